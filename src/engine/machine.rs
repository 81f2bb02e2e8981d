//! What can be read of the machine: the CPUs and the share of them that a plan may use, the facts a report states, and
//! those by which the preflight judges.

mod cgroup;
mod environment;
mod sockets;
mod way;

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

pub(super) use cgroup::cgroups;
pub(super) use environment::environment;
pub(super) use sockets::ports;

use super::preflight::{Facts, Memory};
use crate::plan::shard::{Cpu, Machine};

/// The CPUs of the affinity mask, their physical cores, and the cgroup's quota.
pub fn machine() -> Machine {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let mut cpus: Vec<Cpu> = ids.into_iter().map(|core| Cpu { id: core.id, core: first_sibling(core.id) }).collect();
    cpus.sort_unstable_by_key(|cpu| cpu.id);
    if cpus.is_empty() {
        cpus.push(Cpu { id: 0, core: 0 });
    }
    Machine { cpus, quota: cgroup::quota() }
}

/// What decides whether a plan can run, beside its ports.
pub(super) fn facts(machine: &Machine) -> Facts {
    Facts {
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        files_limit: getrlimit(Resource::Nofile).maximum,
        memory: memory(),
        quota: machine.quota,
    }
}

/// Raises the soft limit of open files to the hard one, where `needed` asks for it.
pub(super) fn raise_open_files(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|soft| soft < needed) {
        // Raising a soft limit within the hard one is always allowed.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// What the machine has left, or the cgroup or a parent of it if that is less.
fn memory() -> Option<Memory> {
    let text = read("/proc/meminfo")?;
    let machine = kibibytes(&text, "MemAvailable")?;
    let available = cgroups().iter().filter_map(|folder| cgroup::room(folder)).fold(machine, u64::min);
    Some(Memory { available, swap: kibibytes(&text, "SwapFree").unwrap_or(0) })
}

/// A line such as `MemTotal:  1024 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

fn first_sibling(cpu: usize) -> usize {
    let siblings = read(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
    siblings.and_then(|list| list.split([',', '-']).next()?.parse().ok()).unwrap_or(cpu)
}

/// A file's text without space around it.
pub(super) fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_cpu() {
        assert!(!machine().cpus.is_empty());
    }
}
