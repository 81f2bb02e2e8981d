//! What can be read of the machine: the CPUs and the share of them that a plan may use, and the facts a report states.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::plan::shard::{Cpu, Machine};
use crate::record::Environment;

/// The CPUs of the affinity mask, their physical cores, and the cgroup's quota.
pub fn machine() -> Machine {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let mut cpus: Vec<Cpu> = ids.into_iter().map(|core| Cpu { id: core.id, core: first_sibling(core.id) }).collect();
    cpus.sort_unstable_by_key(|cpu| cpu.id);
    if cpus.is_empty() {
        cpus.push(Cpu { id: 0, core: 0 });
    }
    Machine { cpus, quota: quota() }
}

/// The facts of contract section 3.
pub fn environment(machine: &Machine, cores_used: &[usize]) -> Environment {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let memory_kb = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    });
    let ports = read("/proc/sys/net/ipv4/ip_local_port_range").and_then(|text| {
        let mut ports = text.split_whitespace().map(str::parse::<u16>);
        Some((ports.next()?.ok()?, ports.next()?.ok()?))
    });
    let governor =
        cores_used.first().and_then(|core| read(format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor")));
    Environment {
        kernel: read("/proc/sys/kernel/osrelease"),
        cpu_model: model.map(|(_, name)| name.trim().to_owned()),
        cores_allowed: machine.cpus.iter().map(|cpu| cpu.id).collect(),
        cores_used: cores_used.to_vec(),
        governor,
        memory_bytes: memory_kb.map(|kb| kb * 1024),
        nofile: getrlimit(Resource::Nofile).current,
        port_range: ports,
        clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    }
}

/// How many files this process has open already, inherited ones included.
pub fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// Raises the soft limit of open files to the hard one, where `needed` asks for it.
///
/// # Errors
/// The hard limit, where it is too low.
pub fn raise_open_files(needed: u64) -> Result<(), u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    // Raising a soft limit within the hard one is always allowed.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    match limit.maximum {
        Some(hard) if hard < needed => Err(hard),
        _ => Ok(()),
    }
}

fn first_sibling(cpu: usize) -> usize {
    let siblings = read(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
    siblings.and_then(|list| list.split([',', '-']).next()?.parse().ok()).unwrap_or(cpu)
}

/// The smallest CPU quota of the process's cgroup (version 2) and its parents, rounded up to whole CPUs.
fn quota() -> Option<usize> {
    let groups = read("/proc/self/cgroup")?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let root = Path::new("/sys/fs/cgroup");
    let mut folder: PathBuf = root.join(path);
    let mut least: Option<usize> = None;
    while folder.starts_with(root) {
        let quota = read(folder.join("cpu.max")).and_then(|text| parse_quota(&text));
        least = least.into_iter().chain(quota).min();
        if !folder.pop() {
            break;
        }
    }
    least
}

/// Reads `cpu.max`: `max 100000`, or microseconds granted in each period.
fn parse_quota(text: &str) -> Option<usize> {
    let (granted, period) = text.split_once(' ')?;
    let (granted, period): (u64, u64) = (granted.parse().ok()?, period.trim().parse().ok()?);
    Some(granted.div_ceil(period.max(1)).max(1) as usize)
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_rounded_up_to_whole_cpus() {
        assert_eq!(parse_quota("max 100000"), None);
        assert_eq!(parse_quota("150000 100000"), Some(2));
        assert_eq!(parse_quota("50000 100000"), Some(1));
        assert_eq!(parse_quota("nonsense"), None);
    }

    #[test]
    fn this_machine_has_a_cpu_and_a_kernel() {
        let machine = machine();
        assert!(!machine.cpus.is_empty());
        assert!(environment(&machine, &[0]).kernel.is_some_and(|kernel| !kernel.is_empty()));
    }
}
