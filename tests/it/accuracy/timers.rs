//! How late the machine's own timers are: on each core that a figure uses, a thread before all others that has nothing to
//! do but to wake and look at the clock. A hypervisor that wakes its guest late makes each answer late, and tells nobody.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{ClockId, clock_nanosleep_absolute, gettid};
use rustix::time::{Timespec, clock_gettime};

use super::load::{client_core, pin, server_core};

/// Rarely enough to be nothing to who shares the core.
const PERIOD: Duration = Duration::from_millis(10);
/// The share of a core's timers that may be late: a request needs two of them, the server's and the client's.
const LATE_MAX: f64 = 0.005;

/// Counts from its start, on the server's core and the client's; nothing where a thread may not go before all others, as it
/// would then be late by the very programs that it is to judge.
pub(super) struct Timers {
    ended: Arc<AtomicBool>,
    cores: [JoinHandle<Vec<Duration>>; 2],
}

impl Timers {
    pub(super) fn start() -> Self {
        let ended = Arc::<AtomicBool>::default();
        let cores = [server_core(), client_core()].map(|core| {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || lateness(core, &ended))
        });
        Self { ended, cores }
    }

    /// Why times within `tolerance` cannot be told on this machine, if so.
    pub(super) fn too_late_for(self, tolerance: Duration) -> Option<String> {
        self.ended.store(true, Ordering::Relaxed);
        let cores = self.cores.map(|core| core.join().expect("it does not panic"));
        cores.iter().find_map(|found| {
            let late = found.iter().filter(|&&late| late > tolerance / 2).count();
            let share = late as f64 / found.len().max(1) as f64;
            (share > LATE_MAX)
                .then(|| format!("{:.1} % of a core's own timers are {:?} late", share * 100.0, tolerance / 2))
        })
    }
}

/// How late each of a core's timers was.
fn lateness(core: usize, ended: &AtomicBool) -> Vec<Duration> {
    pin(None, core);
    let thread = gettid().as_raw_nonzero().to_string();
    // One above the programs of the figure.
    let preferred = Command::new("chrt").args(["-f", "-p", "2", &thread]).stderr(Stdio::null()).status();
    let mut found = Vec::new();
    if !preferred.is_ok_and(|status| status.success()) {
        return found;
    }
    let mut due = now();
    while !ended.load(Ordering::Relaxed) {
        due += PERIOD;
        let at = Timespec::try_from(due).expect("within the clock");
        if clock_nanosleep_absolute(ClockId::Monotonic, &at).is_ok() {
            let late = now().saturating_sub(due);
            found.push(late);
            // What it slept through is one lateness and not many.
            due += late;
        }
    }
    found
}

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).expect("it is not negative")
}
