//! Whether the machine is quiet: what other programs use of it, and what its hypervisor keeps from it.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// The share of all CPUs that others may use.
const OTHERS_MAX: f64 = 0.10;
/// The share of all CPUs that the hypervisor may keep.
const STEAL_MAX: f64 = 0.01;
const LOOK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(6);

/// Counts from now on.
pub(super) struct Watch {
    busy: u64,
    steal: u64,
    all: u64,
    own: HashMap<u32, u64>,
    children: u64,
}

/// Waits for a quiet moment; why there was none.
pub(super) fn wait_for_quiet() -> Result<(), String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let watch = Watch::start();
        std::thread::sleep(LOOK);
        match watch.disturbed() {
            None => return Ok(()),
            Some(why) if Instant::now() > until => return Err(why),
            Some(_) => {}
        }
    }
}

impl Watch {
    pub(super) fn start() -> Self {
        let [busy, steal, all] = system();
        let (own, children) = own();
        Self { busy, steal, all, own, children }
    }

    /// Who kept the machine busy since the start, if anyone did.
    pub(super) fn disturbed(&self) -> Option<String> {
        let [busy, steal, all] = system();
        let (own_now, children) = own();
        let all = (all - self.all).max(1) as f64;
        // Those of ours that ended meanwhile are in the children's count of the process that waited for them.
        let of_living: u64 =
            own_now.iter().map(|(pid, ticks)| ticks.saturating_sub(*self.own.get(pid).unwrap_or(&0))).sum();
        let ours = of_living + (children - self.children);
        let others = (busy - self.busy).saturating_sub(ours) as f64 / all;
        let stolen = (steal - self.steal) as f64 / all;
        match (others > OTHERS_MAX, stolen > STEAL_MAX) {
            (true, _) => Some(format!("other programs use {:.0} % of the machine", others * 100.0)),
            (_, true) => Some(format!("the hypervisor keeps {:.1} % of the machine", stolen * 100.0)),
            _ => None,
        }
    }
}

/// Ticks of all CPUs: busy, stolen, all.
fn system() -> [u64; 3] {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
    // user, nice, system, idle, iowait, irq, softirq, steal. Interrupts are the load's own on loopback.
    [at(0) + at(1) + at(2), at(7), (0..8).map(at).sum()]
}

/// Ticks of this process and its living children by pid, and of its children that were waited for.
fn own() -> (HashMap<u32, u64>, u64) {
    let me = std::process::id();
    let mut ticks = HashMap::new();
    let mut waited_for = 0;
    let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in folders.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name in parentheses may hold spaces.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        if pid == me || number(1) == u64::from(me) {
            ticks.insert(pid, number(11) + number(12));
        }
        if pid == me {
            waited_for = number(13) + number(14);
        }
    }
    (ticks, waited_for)
}
