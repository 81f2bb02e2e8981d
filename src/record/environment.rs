//! What is known of the machine that a run was measured on; read elsewhere, `None` where it could not be read.

use std::net::IpAddr;

use crate::plan::shard::Quota;

/// The client's machine and its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// SHA-256 of the running program's file, in hex; a build for tests does not measure itself.
    pub binary_sha256: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// CPU model name.
    pub cpu_model: Option<String>,
    /// Whether cores run several threads at once.
    pub smt: Option<bool>,
    /// CPUs of the affinity mask.
    pub cores_allowed: Vec<usize>,
    /// CPUs that workers were pinned to.
    pub cores_used: Vec<usize>,
    /// Frequency governor of the first used core.
    pub governor: Option<String>,
    /// Physical memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Soft limit of open files.
    pub nofile: Option<u64>,
    /// Ephemeral ports, first and last.
    pub port_range: Option<(u16, u16)>,
    /// The kernel's clock source.
    pub clocksource: Option<String>,
    /// Resolution of the clock that all instants are read from.
    pub clock_resolution_ns: Option<u64>,
    /// What the process's cgroups allow.
    pub cgroup: Cgroup,
    /// What the machine is made of, or made to look like.
    pub platform: Platform,
    /// Settings of the kernel's network, by their names under `net.`.
    pub sysctls: Vec<(&'static str, Option<String>)>,
    /// The ways that connections take out of this machine.
    pub ways: Vec<Way>,
}

/// Limits of the process's cgroups (version 2): the tightest of its own and its parents'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// CPU time; `None` is without, or not to be seen.
    pub cpu: Option<Quota>,
    /// Bytes of memory; `None` is without, or not to be seen.
    pub memory_bytes: Option<u64>,
}

/// Real or virtual, bare or in a container, as far as the machine tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// The vendor that the firmware names (DMI).
    pub vendor: Option<String>,
    /// The product that the firmware names (DMI): of a virtual machine its kind, in clouds often the instance's.
    pub product: Option<String>,
    /// The CPU says that a hypervisor is under it.
    pub hypervisor: Option<bool>,
    /// What hints at a container: `docker`, `podman`, `kubernetes`, or what systemd calls it; `None` is no hint.
    pub container: Option<String>,
}

/// A way to one address of the target, or of a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where it leads.
    pub to: IpAddr,
    /// Our end of it.
    pub from: Option<IpAddr>,
    /// The network interface that has this address.
    pub interface: Option<String>,
    /// The interface's driver; virtual ones have none.
    pub driver: Option<String>,
    /// Megabits a second, as the interface says; virtual ones say none.
    pub speed_mbit: Option<u64>,
    /// Bytes of its largest packet.
    pub mtu: Option<u64>,
}
