//! The facts of a report: read once, behind the run, so that no core is kept from its work.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::process::{Resource, getrlimit};
use sha2::{Digest as _, Sha256};

use super::{cgroup, kibibytes, read, sockets, way};
use crate::clock;
use crate::engine::destination::Destinations;
use crate::plan::Plan;
use crate::plan::shard::Machine;
use crate::record::Environment;
use crate::record::environment::{Cgroup, Platform};
use crate::units::hex;

/// Settings that decide how connections open, close and are paced, under `/proc/sys/net`.
const SYSCTLS: [&str; 16] = [
    "core.busy_poll",
    "core.busy_read",
    "core.default_qdisc",
    "core.netdev_max_backlog",
    "core.rmem_max",
    "core.somaxconn",
    "core.wmem_max",
    "ipv4.tcp_congestion_control",
    "ipv4.tcp_fin_timeout",
    "ipv4.tcp_max_syn_backlog",
    "ipv4.tcp_max_tw_buckets",
    "ipv4.tcp_rmem",
    "ipv4.tcp_slow_start_after_idle",
    "ipv4.tcp_timestamps",
    "ipv4.tcp_tw_reuse",
    "ipv4.tcp_wmem",
];

/// What a report says of the machine, and of the ways to the run's destinations.
pub(in crate::engine) fn environment(machine: &Machine, plan: &Plan, to: &Destinations) -> Environment {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let governor =
        plan.cores.first().and_then(|core| read(format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor")));
    Environment {
        // 10 MB take a few milliseconds, but a hundred of an unoptimized build a second: for figures that mean nothing.
        binary_sha256: (!cfg!(debug_assertions)).then(|| sha256(Path::new("/proc/self/exe")).ok()).flatten(),
        kernel: read("/proc/sys/kernel/osrelease"),
        cpu_model: field(&cpuinfo, "model name").map(str::to_owned),
        smt: read("/sys/devices/system/cpu/smt/active").map(|active| active == "1"),
        cores_allowed: machine.cpus.iter().map(|cpu| cpu.id).collect(),
        cores_used: plan.cores.clone(),
        governor,
        memory_bytes: read("/proc/meminfo").and_then(|text| kibibytes(&text, "MemTotal")),
        nofile: getrlimit(Resource::Nofile).current,
        port_range: sockets::port_range(),
        clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        clock_resolution_ns: Some(clock::resolution().0),
        cgroup: Cgroup { cpu: machine.quota, memory_bytes: cgroup::memory_limit() },
        platform: platform(&cpuinfo),
        sysctls: SYSCTLS.map(|name| (name, read(format!("/proc/sys/net/{}", name.replace('.', "/"))))).to_vec(),
        ways: way::ways(&plan.network, to.addresses()),
    }
}

fn platform(cpuinfo: &str) -> Platform {
    let firmware = |name: &str| read(format!("/sys/class/dmi/id/{name}")).filter(|text| !text.is_empty());
    Platform {
        vendor: firmware("sys_vendor"),
        product: firmware("product_name"),
        // ARM's list of features does not tell.
        hypervisor: field(cpuinfo, "flags").map(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        container: container(),
    }
}

/// What engines leave in a container for those who ask.
fn container() -> Option<String> {
    let there = |path: &str| Path::new(path).exists();
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Some("kubernetes".to_owned());
    }
    let systemd = read("/run/systemd/container").filter(|name| !name.is_empty());
    systemd.or_else(|| {
        let marks = [("/run/.containerenv", "podman"), ("/.dockerenv", "docker")];
        marks.into_iter().find(|(path, _)| there(path)).map(|(_, name)| name.to_owned())
    })
}

/// The value of the first line `name : value` of `/proc/cpuinfo`.
fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    let value = cpuinfo.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
    value.map(str::trim)
}

/// The digest of a file in hex.
fn sha256(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut digest, mut piece) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hex(&digest.finalize())),
            n => digest.update(&piece[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel_a_clock_and_settings() {
        let raw = crate::plan::RawPlan { urls: vec!["http://127.0.0.1:9/".into()], ..Default::default() };
        let machine = super::super::machine();
        let plan = crate::plan::validate(&raw, &machine).expect("a plan");
        let to = Destinations::resolve(&plan).expect("an address");
        let environment = environment(&machine, &plan, &to);
        assert!(environment.kernel.is_some_and(|kernel| !kernel.is_empty()));
        assert!(environment.clock_resolution_ns.is_some_and(|ns| (1..1_000_000).contains(&ns)));
        assert_eq!(environment.sysctls.len(), SYSCTLS.len());
        assert!(environment.sysctls.iter().any(|(name, value)| *name == "core.somaxconn" && value.is_some()));
        assert_eq!(environment.ways.len(), 1);
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: A: B\nflags\t\t: fpu hypervisor\nflags : none";
        assert_eq!((field(cpuinfo, "model name"), field(cpuinfo, "model")), (Some("A: B"), Some("85")));
        assert_eq!((platform(cpuinfo).hypervisor, platform("").hypervisor), (Some(true), None));
        assert_eq!(platform("flags : fpu").hypervisor, Some(false));
    }

    #[test]
    fn a_file_is_known_by_the_digest_that_other_tools_print() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").expect("a file");
        // FIPS 180-4, its first example.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&path).expect("a digest"), expected);
        assert!(sha256(folder.path()).is_err());
    }
}
