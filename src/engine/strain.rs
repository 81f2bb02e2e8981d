//! How the machine fared while a run measured: what its hypervisor, its cgroup and its network backlog kept from it, from
//! T0 to the end of sending. Looked at by the main thread, a few times a second at most.

use std::fs;
use std::path::Path;

use super::control::Control;
use super::machine::{cgroups, read};
use crate::clock;
use crate::record::Strain;
use crate::record::vitals::{STEAL_LOOK, Theft, Thefts};
use crate::units::{NANOS_PER_S, Nanos};

/// How often rings are looked at: each look lists what is in them.
const RING_LOOK: u64 = NANOS_PER_S;

/// Follows the machine's counters.
#[derive(Default)]
pub(super) struct Meter {
    cores: Vec<usize>,
    /// `/proc/self/fdinfo/N` of the workers' rings.
    rings: Vec<String>,
    next_ring_look: Nanos,
    overflows: Option<u64>,
    at_t0: Option<Reading>,
    /// The last look at the ticks, and when the next is due.
    ticks: Option<(Nanos, Ticks)>,
    next_ticks: Nanos,
    thefts: Thefts,
    at_end: Option<Reading>,
}

/// The counters at one instant; they only grow.
#[derive(Clone, Copy)]
struct Reading {
    ticks: Option<Ticks>,
    throttled: Option<Nanos>,
    drops: Option<u64>,
}

/// Ticks of the used CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    stolen: u64,
    all: u64,
}

impl Meter {
    /// A meter of the CPUs that workers are pinned to; their rings must exist already.
    pub(super) fn new(cores: &[usize]) -> Self {
        Self { cores: cores.to_vec(), rings: rings(), ..Self::default() }
    }

    /// Looks where it is time to.
    pub(super) fn look(&mut self, control: &Control) {
        let now = clock::now();
        if now < control.t0() || self.at_end.is_some() {
            return;
        }
        if self.at_t0.is_none() {
            self.at_t0 = Some(Reading::now(&self.cores));
        }
        if now >= self.next_ring_look {
            self.next_ring_look = Nanos(now.0 + RING_LOOK);
            self.look_at_rings();
        }
        if now >= self.next_ticks {
            self.next_ticks = Nanos(now.0 + STEAL_LOOK.0);
            self.look_at_ticks(Nanos(now.0 - control.t0().0));
        }
        if now >= control.end() {
            self.at_end = Some(Reading::now(&self.cores));
        }
    }

    fn look_at_rings(&mut self) {
        for ring in &self.rings {
            let Some(overflown) = read(ring).and_then(|text| has_overflown(&text)) else { continue };
            *self.overflows.get_or_insert(0) += u64::from(overflown);
        }
    }

    /// `at`: since T0.
    fn look_at_ticks(&mut self, at: Nanos) {
        let Some(ticks) = Ticks::now(&self.cores) else { return };
        let Some((from, before)) = self.ticks.replace((at, ticks)) else { return };
        let watched = (at.0 - from.0) as f64 * self.cores.len() as f64;
        let share = ticks.stolen_since(before).unwrap_or_default();
        self.thefts.enter(Theft { from, until: at, stolen: Nanos((share * watched) as u64) });
    }

    /// What came of it, up to now where the end was not seen.
    pub(super) fn finish(self) -> Strain {
        let Some(from) = self.at_t0 else { return Strain::default() };
        let to = self.at_end.unwrap_or_else(|| Reading::now(&self.cores));
        Strain {
            steal: from.ticks.zip(to.ticks).and_then(|(from, to)| to.stolen_since(from)),
            thefts: self.thefts,
            throttled: from.throttled.zip(to.throttled).map(|(from, to)| Nanos(to.0.saturating_sub(from.0))),
            backlog_drops: from.drops.zip(to.drops).map(|(from, to)| to.saturating_sub(from)),
            ring_overflows: self.overflows,
        }
    }
}

impl Reading {
    fn now(cores: &[usize]) -> Self {
        Self {
            ticks: Ticks::now(cores),
            throttled: cgroups().iter().filter_map(|folder| throttled(folder)).max(),
            drops: read("/proc/net/softnet_stat").and_then(|text| drops(&text)),
        }
    }
}

impl Ticks {
    fn now(cores: &[usize]) -> Option<Self> {
        Self::of(&read("/proc/stat")?, cores)
    }

    /// Those of the CPUs `cores`; `None` where one is not listed (proc(5)).
    fn of(stat: &str, cores: &[usize]) -> Option<Self> {
        let mut sum = Self { stolen: 0, all: 0 };
        for core in cores {
            let line = stat.lines().find_map(|line| line.strip_prefix(&format!("cpu{core} ")))?;
            // user, nice, system, idle, iowait, irq, softirq, steal; guests are in user already.
            let fields: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
            sum.stolen += fields.get(7)?;
            sum.all += fields.iter().sum::<u64>();
        }
        Some(sum)
    }

    /// The share of the time since `from` that was stolen.
    fn stolen_since(self, from: Self) -> Option<f64> {
        let all = self.all.saturating_sub(from.all);
        (all > 0).then(|| self.stolen.saturating_sub(from.stolen) as f64 / all as f64)
    }
}

/// How long the threads of a cgroup, version 2, were kept from running by its quota.
fn throttled(folder: &Path) -> Option<Nanos> {
    let stat = read(folder.join("cpu.stat"))?;
    let us = stat.lines().find_map(|line| line.strip_prefix("throttled_usec "))?;
    Some(Nanos(us.trim().parse::<u64>().ok()? * 1_000))
}

/// Packets that all CPUs dropped for want of room in their backlogs: the second field of each line, in hexadecimal.
fn drops(softnet: &str) -> Option<u64> {
    let of_cpu = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    softnet.lines().map(of_cpu).sum()
}

/// Where the kernel tells about this process's rings.
fn rings() -> Vec<String> {
    let files = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let is_ring = |path: &Path| fs::read_link(path).is_ok_and(|what| what.to_string_lossy().contains("[io_uring]"));
    let rings = files.filter(|file| is_ring(&file.path()));
    rings.filter_map(|file| Some(format!("/proc/self/fdinfo/{}", file.file_name().to_str()?))).collect()
}

/// Whether completions wait that the ring has no room for; `None` where the kernel does not say.
fn has_overflown(fdinfo: &str) -> Option<bool> {
    let mut lines = fdinfo.lines().skip_while(|line| !line.starts_with("CqOverflowList:")).skip(1);
    fdinfo.contains("CqOverflowList:").then(|| lines.any(|line| line.trim_start().starts_with("user_data=")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_used_cpus_count_for_steal() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 0 20 60 0 0 5 5 0 0\ncpu1 1 1 1 1 1 1 1 93 0 0\n";
        let of = |cores: &[usize]| Ticks::of(stat, cores).map(|ticks| (ticks.stolen, ticks.all));
        assert_eq!(of(&[0]), Some((5, 100)));
        assert_eq!(of(&[0, 1]), Some((98, 200)));
        assert_eq!(of(&[2]), None);
    }

    #[test]
    fn dropped_packets_of_all_cpus_are_read() {
        assert_eq!(drops("0002 00000000 0 0\n0003 0000000a 0 0\n"), Some(10));
        assert_eq!(drops("nonsense\n"), None);
    }

    #[test]
    fn an_overflown_ring_is_told_from_one_that_is_not() {
        assert_eq!(has_overflown("SqMask:\t0x7\nPollList:\nCqOverflowList:\n"), Some(false));
        let overflown = "PollList:\nCqOverflowList:\n  user_data=7, res=0, flags=0\n";
        assert_eq!(has_overflown(overflown), Some(true));
        assert_eq!(has_overflown("SqMask:\t0x7\n  user_data=7\n"), None);
    }

    #[test]
    fn this_machine_s_counters_can_be_read() {
        let control = Control::default();
        let now = clock::now();
        control.schedule(now, now, now);
        let mut meter = Meter::new(&[super::super::machine::machine().cpus[0].id]);
        meter.look(&control);
        assert!(meter.at_end.is_some());
        assert!(Reading::now(&meter.cores).ticks.is_some());
        assert!(meter.finish().steal.is_none_or(|share| (0.0..=1.0).contains(&share)));
    }
}
