//! Notices a core whose loop stands still while its thread burns CPU: monoio swallows ring errors and spins on them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::Pulse;

/// How long a loop may stand still with its thread busy before its worker counts as lost.
const STANDSTILL: Duration = Duration::from_secs(5);
/// The least part of that time that the thread must have been on a CPU: a stopped or starved thread is not stuck.
const BUSY_SHARE: f64 = 0.8;

/// Watches one worker.
#[derive(Debug)]
pub(crate) struct Watchdog {
    pulse: Arc<Pulse>,
    beats: u64,
    since: Instant,
    cpu_s: f64,
}

impl Watchdog {
    pub(crate) fn new(pulse: Arc<Pulse>) -> Self {
        Self { pulse, beats: 0, since: Instant::now(), cpu_s: 0.0 }
    }

    /// Whether the worker is stuck at `now`; call it a few times a second.
    pub(crate) fn is_stuck(&mut self, now: Instant) -> bool {
        let beats = self.pulse.beats();
        let cpu_s = thread_cpu_s(self.pulse.thread());
        self.judge(now, beats, cpu_s)
    }

    fn judge(&mut self, now: Instant, beats: u64, cpu_s: Option<f64>) -> bool {
        if beats != self.beats {
            *self = Self { pulse: Arc::clone(&self.pulse), beats, since: now, cpu_s: cpu_s.unwrap_or(0.0) };
            return false;
        }
        let still = now.saturating_duration_since(self.since);
        let busy_s = cpu_s.map_or(0.0, |cpu_s| cpu_s - self.cpu_s);
        still >= STANDSTILL && busy_s >= BUSY_SHARE * still.as_secs_f64()
    }
}

/// CPU time of a thread of this process, from the first field of its schedstat (nanoseconds on a CPU).
fn thread_cpu_s(thread: u64) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    let on_cpu_ns: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(on_cpu_ns as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_busy_standstill_is_stuck() {
        let start = Instant::now();
        let after = |s: f64| start + Duration::from_secs_f64(s);
        let mut dog = Watchdog { pulse: Arc::default(), beats: 0, since: start, cpu_s: 1.0 };
        assert!(!dog.judge(after(4.0), 0, Some(5.0)), "too soon to tell");
        assert!(!dog.judge(after(6.0), 0, Some(1.1)), "off the CPU: stopped, not stuck");
        assert!(dog.judge(after(6.0), 0, Some(6.9)));
        assert!(!dog.judge(after(7.0), 1, Some(7.9)), "it came round");
        assert!(!dog.judge(after(8.0), 1, Some(8.9)), "the count starts anew");
        assert!(!dog.judge(after(20.0), 1, None), "nothing known of its CPU time");
    }

    #[test]
    fn the_calling_thread_s_cpu_time_can_be_read() {
        let pulse = Pulse::default();
        pulse.enter();
        assert!(thread_cpu_s(pulse.thread()).is_some());
    }
}
