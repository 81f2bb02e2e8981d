//! Arrivals at recorded times: line j of the URL set starts at its own time, once.

use std::fmt;
use std::sync::Arc;

use crate::units::{Nanos, Rate};

/// How many times as fast a trace is replayed (`--speed`): an exact factor above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed(Rate);

impl Speed {
    /// As recorded.
    pub const ONE: Self = Self(Rate { num: 1, den: 1 });

    /// Reads `2x`, `0.5x`, `10`.
    ///
    /// # Errors
    /// A sentence fragment for the caller to put behind the option's name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('x').unwrap_or(text);
        let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let factor = Some(number).filter(|_| plain).and_then(|number| Rate::parse(number).ok());
        let bad = || format!("\"{}\" is no speed; write e.g. 2x or 0.5x", text.escape_debug());
        factor.map(Self).ok_or_else(bad)
    }

    /// The factor, for print.
    pub fn factor(self) -> f64 {
        self.0.per_s()
    }
}

impl fmt::Display for Speed {
    /// The factor as it is typed, to the precision of print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x", self.factor())
    }
}

/// The times of all lines: 8 bytes a line.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    /// In order; the first is 0.
    starts: Vec<Nanos>,
    /// What they have been divided by.
    pub speed: Speed,
}

impl Trace {
    /// A trace of recorded `times`, which must be in order; it begins with the first of them.
    ///
    /// # Errors
    /// A sentence fragment for the caller to put behind the option's name: slowed down beyond 292 years.
    pub fn new(mut times: Vec<Nanos>, speed: Speed) -> Result<Self, String> {
        debug_assert!(times.is_sorted());
        let first = times.first().copied().unwrap_or_default();
        for time in &mut times {
            let scaled = u128::from(time.0 - first.0) * u128::from(speed.0.den) / u128::from(speed.0.num);
            let fits = u64::try_from(scaled).ok().filter(|&ns| ns <= i64::MAX as u64);
            *time = Nanos(fits.ok_or("makes the trace longer than 292 years; use a higher one")?);
        }
        times.shrink_to_fit();
        Ok(Self { starts: times, speed })
    }

    /// When each line starts, in order, from the start of the load.
    pub fn starts(&self) -> &[Nanos] {
        &self.starts
    }

    /// When the last line starts.
    pub fn last(&self) -> Nanos {
        self.starts.last().copied().unwrap_or_default()
    }
}

/// The stripe of one shard.
#[derive(Clone, Debug)]
pub struct Traced {
    trace: Arc<Trace>,
    index: u64,
    count: u64,
    pub(super) taken: u64,
    /// Counts what is due while nobody takes it; only grows, so that all calls together walk the stripe once.
    due: u64,
}

impl Traced {
    /// The stripe of shard `index` of `count`.
    pub(super) fn new(trace: Arc<Trace>, index: u64, count: u64) -> Self {
        Self { trace, index, count, taken: 0, due: 0 }
    }

    /// Intended start of the stripe's `k`-th ticket; never, past the last line.
    pub(super) fn intended(&self, k: u64) -> Nanos {
        let number = u128::from(self.index) + u128::from(k) * u128::from(self.count);
        let start = usize::try_from(number).ok().and_then(|number| self.trace.starts.get(number));
        start.copied().unwrap_or(Nanos(u64::MAX))
    }

    pub(super) fn due_before(&mut self, elapsed: Nanos) -> u64 {
        while self.intended(self.due) < elapsed {
            self.due += 1;
        }
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(times: &[u64], speed: &str) -> Arc<Trace> {
        let times = times.iter().map(|&ns| Nanos(ns)).collect();
        Arc::new(Trace::new(times, Speed::parse(speed).expect(speed)).expect("a trace"))
    }

    #[test]
    fn lines_start_at_their_times_divided_by_the_speed() {
        let times = [5_000, 5_000, 5_003, 1_000_005_000];
        for (speed, expected) in [("1x", [0, 0, 3, 1_000_000_000]), ("3", [0, 0, 1, 333_333_333])] {
            assert_eq!(trace(&times, speed).starts(), expected.map(Nanos), "{speed}");
        }
        assert_eq!(trace(&times, "0.5x").last(), Nanos::from_secs(2));
        assert_eq!(trace(&times, "0.1x").speed.to_string(), "0.1x");
    }

    #[test]
    fn stripes_together_are_the_one_schedule_and_agree_with_what_is_due() {
        let times: Vec<u64> = (0..500u64).map(|j| j * j / 7).collect();
        let trace = trace(&times, "1x");
        for count in [1u64, 2, 3, 7] {
            let mut union = Vec::new();
            for index in 0..count {
                let mut stripe = Traced::new(Arc::clone(&trace), index, count);
                let own = (500 - index).div_ceil(count);
                let starts: Vec<Nanos> = (0..own).map(|k| stripe.intended(k)).collect();
                for elapsed in (0..40_000).step_by(61).map(Nanos) {
                    let due = starts.iter().filter(|start| **start < elapsed).count() as u64;
                    assert_eq!(stripe.due_before(elapsed), due, "{index}/{count} at {elapsed}");
                }
                assert_eq!(stripe.intended(own), Nanos(u64::MAX));
                union.extend(starts);
            }
            union.sort();
            assert_eq!(union, trace.starts());
        }
    }

    #[test]
    fn a_line_takes_eight_bytes() {
        assert_eq!(size_of_val(trace(&[0; 1_000], "2x").starts()), 8_000);
    }

    #[test]
    fn speeds_without_sense_are_refused() {
        for text in ["0", "0x", "", "x", "-2x", "2xx", "fast", "10k", "1/m", "1.2.3"] {
            assert!(Speed::parse(text).expect_err(text).contains("is no speed"), "{text}");
        }
        let slow = Speed::parse("0.000001x").expect("a speed");
        assert!(Trace::new(vec![Nanos(0), Nanos(i64::MAX as u64)], slow).expect_err("long").contains("292 years"));
    }
}
