//! A core's own condition while it measures: the ledger of its stalls, by the lateness of its heartbeat, and what its
//! thread used and was kept from, from T0 to the end of sending.
//!
//! A stall is what the pacer's timer shows: it was to come round at an instant and came more than a millisecond later.
//! Whether the thread was busy or away meanwhile its CPU time tells, which is read once a millisecond and not a request.

use std::cell::RefCell;
use std::fs;
use std::sync::Arc;

use super::control::{Control, Pulse};
use crate::clock;
use crate::net::account;
use crate::record::vitals::{Ledger, STALL, Stall, Vitals};
use crate::units::Nanos;

/// How often the thread's CPU time is read.
const SAMPLE: Nanos = Nanos::from_millis(1);

/// Watches over one worker's thread, from that thread.
pub(crate) struct Heart {
    pulse: Arc<Pulse>,
    control: Arc<Control>,
    state: RefCell<State>,
}

struct State {
    ledger: Ledger,
    /// The last look at the thread's CPU time: when, and what it was.
    sample: (Nanos, Nanos),
    at_t0: Option<Reading>,
    at_end: Option<Reading>,
}

/// What is told of the calling thread since it began.
#[derive(Clone, Copy)]
struct Reading {
    at: Nanos,
    cpu: Nanos,
    run_delay: Option<Nanos>,
    major_faults: Option<u64>,
}

impl Heart {
    /// To be called on the thread that it watches.
    pub(crate) fn new(pulse: Arc<Pulse>, control: Arc<Control>) -> Self {
        pulse.enter();
        let sample = (clock::now(), clock::thread_cpu());
        let state = State { ledger: Ledger::with_room(), sample, at_t0: None, at_end: None };
        Self { pulse, control, state: RefCell::new(state) }
    }

    /// The loop came round at `now`, as it was to at `expected`; returns how long the core stalled, zero where it did not.
    pub(crate) fn beat(&self, expected: Nanos, now: Nanos) -> Nanos {
        self.pulse.beat();
        let state = &mut *self.state.borrow_mut();
        let late = Nanos(now.0.saturating_sub(expected.0));
        let stalled = late > STALL;
        if stalled || now.0 - state.sample.0.0 >= SAMPLE.0 {
            let (since, before) = std::mem::replace(&mut state.sample, (now, clock::thread_cpu()));
            if stalled {
                // The time before the stall is in this too, at most a beat of it.
                let busy = (state.sample.1.0 - before.0) * 2 > now.0 - since.0;
                self.enter(&mut state.ledger, Stall { start: expected, length: late, busy });
            }
        }
        self.mark(state, now);
        if stalled { late } else { Nanos::ZERO }
    }

    /// Enters what lies within the window, in its time.
    fn enter(&self, ledger: &mut Ledger, stall: Stall) {
        let (t0, end) = (self.control.t0(), self.control.end());
        let start = stall.start.max(t0);
        let until = Nanos(stall.start.0 + stall.length.0).min(end);
        if start < until {
            ledger.enter(Stall { start: Nanos(start.0 - t0.0), length: Nanos(until.0 - start.0), ..stall });
        }
    }

    /// Reads the thread's figures where the window begins and where it ends.
    fn mark(&self, state: &mut State, now: Nanos) {
        if state.at_t0.is_none() && now >= self.control.t0() {
            state.at_t0 = Some(Reading::now(now));
        }
        if state.at_end.is_none() && now >= self.control.end() {
            state.at_end = Some(Reading::now(now));
        }
    }

    /// CPU time of the thread from T0 to now, the drain included; zero before T0.
    pub(crate) fn cpu(&self) -> Nanos {
        let at_t0 = self.state.borrow().at_t0;
        at_t0.map_or(Nanos::ZERO, |from| Nanos(clock::thread_cpu().0 - from.cpu.0))
    }

    /// What came of it; the core's connections are closed.
    pub(crate) fn finish(&self) -> Vitals {
        let state = &mut *self.state.borrow_mut();
        let ledger = std::mem::take(&mut state.ledger);
        let (segments, shortages) = (account::take_segments(), account::take_shortages());
        let Some(from) = state.at_t0 else { return Vitals { ledger, segments, shortages, ..Vitals::default() } };
        let to = state.at_end.unwrap_or_else(|| Reading::now(clock::now()));
        let since = |from: Option<Nanos>, to: Option<Nanos>| Some(Nanos(to?.0.saturating_sub(from?.0)));
        Vitals {
            ledger,
            watched: Nanos(to.at.0.saturating_sub(from.at.0)),
            cpu: Nanos(to.cpu.0.saturating_sub(from.cpu.0)),
            run_delay: since(from.run_delay, to.run_delay),
            major_faults: to.major_faults.zip(from.major_faults).map(|(to, from)| to.saturating_sub(from)),
            shortages,
            segments,
        }
    }
}

impl Reading {
    fn now(at: Nanos) -> Self {
        // Its second field: nanoseconds that the thread waited for a CPU.
        let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let run_delay = schedstat.split_whitespace().nth(1).and_then(|ns| ns.parse().ok()).map(Nanos);
        // Counted from the name's end: it may hold spaces. The tenth field behind it are the major faults (proc(5)).
        let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
        let behind_the_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let major_faults = behind_the_name.split_whitespace().nth(9).and_then(|faults| faults.parse().ok());
        Self { at, cpu: clock::thread_cpu(), run_delay, major_faults }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::control::NEVER;

    fn heart(t0: u64, end: u64) -> Heart {
        let control = Control::default();
        control.schedule(Nanos(t0), Nanos(t0), Nanos(end));
        Heart::new(Arc::default(), Arc::new(control))
    }

    #[test]
    fn only_lateness_of_more_than_a_millisecond_is_a_stall_and_only_its_part_in_the_window() {
        let start = clock::now().0;
        let at = |ms: u64| Nanos(start + ms * 1_000_000);
        let heart = heart(at(100).0, at(200).0);
        assert_eq!(heart.beat(at(50), at(53)), Nanos::from_millis(3), "it is one, before the window");
        assert_eq!(heart.beat(at(98), at(104)), Nanos::from_millis(6));
        assert_eq!(heart.beat(at(110), at(111)), Nanos::ZERO);
        assert_eq!(heart.beat(at(120), Nanos(at(121).0 + 1)), Nanos(1_000_001));
        assert_eq!(heart.beat(at(190), at(250)), Nanos::from_millis(60));
        assert_eq!(heart.beat(at(251), at(260)), Nanos::from_millis(9), "it is one, behind the window");
        let vitals = heart.finish();
        let stalls: Vec<_> = vitals.ledger.stalls().iter().map(|stall| (stall.start.0, stall.length.0)).collect();
        assert_eq!(stalls, [(0, 4_000_000), (20_000_000, 1_000_001), (90_000_000, 10_000_000)]);
        // The instants were made up: the thread has not used so much time.
        assert!(vitals.ledger.stalls().iter().all(|stall| !stall.busy));
    }

    #[test]
    fn a_thread_that_computes_is_busy_and_one_that_sleeps_is_away() {
        let heart = heart(clock::now().0, NEVER.0);
        while clock::now().0 - heart.state.borrow().sample.0.0 < SAMPLE.0 {}
        let mut expected = clock::now();
        heart.beat(expected, expected);
        while clock::now().0 - expected.0 < 20_000_000 {}
        heart.beat(expected, clock::now());
        expected = clock::now();
        std::thread::sleep(std::time::Duration::from_millis(20));
        heart.beat(expected, clock::now());
        let vitals = heart.finish();
        let away = vitals.ledger.stalls().last().expect("a stall");
        assert!(!away.busy && away.length >= Nanos::from_millis(19), "{away:?}");
        assert!(vitals.watched >= Nanos::from_millis(39) && vitals.cpu < vitals.watched, "{vitals:?}");
        assert!(vitals.major_faults.is_some());
    }
}
