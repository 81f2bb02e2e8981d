//! A host that does not answer is left alone: it rests, longer each time, and is given up in the end. A host that asks for
//! time is held for as long as it asks.
//!
//! Knows what came of attempts and nothing of requests; reads no clock.

use crate::record::outcome::Failure;
use crate::units::Nanos;

/// So many failures in a row make a host rest.
const FAILURES_A_REST: u32 = 10;
/// The first rest; doubles up to [`REST_MAX`].
const REST_MIN: Nanos = Nanos::from_secs(1);
const REST_MAX: Nanos = Nanos::from_secs(60);
/// Whoever fails after so many rests without an answer is down.
const RESTS_MAX: u32 = 3;

/// Whether a failure of this kind says that the host is not there: no connection, an end to it, or silence. A status never
/// does, nor does what is wrong with its name, its certificate or its HTTP, nor a proxy that fails.
pub fn is_absence(failure: Failure) -> bool {
    use Failure::{ClosedEarly, Connect, ConnectTimeout, ReadTimeout, Reset, StreamReset, Timeout, Write};
    matches!(failure, Connect | ConnectTimeout | Write | ReadTimeout | Timeout | Reset | ClosedEarly | StreamReset)
}

/// Whether a host may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Now.
    Now,
    /// Not before this instant.
    From(Nanos),
    /// Not any more: what is left of its lines ends as `host_down`, untried.
    Down,
}

/// What came of one host lately. Instants are those of the run's clock.
#[derive(Clone, Debug, Default)]
pub struct HostRest {
    /// Failures since the last answer.
    failures: u32,
    /// Answers since the last failure.
    answers: u32,
    /// Rests since the last answer.
    rests: u32,
    /// Of the rest that is, or was last; zero before the first.
    length: Nanos,
    /// The end of it.
    rested: Nanos,
    /// Until when the host asked to be left alone.
    held: Nanos,
    down: bool,
}

impl HostRest {
    /// Whether the host may be asked at `now`.
    pub fn admission(&self, now: Nanos) -> Admission {
        let free = self.rested.max(self.held);
        match self {
            Self { down: true, .. } => Admission::Down,
            _ if now < free => Admission::From(free),
            _ => Admission::Now,
        }
    }

    /// The host answered, with whatever status.
    pub fn answered(&mut self) {
        (self.failures, self.rests, self.down) = (0, 0, false);
        self.answers = self.answers.saturating_add(1);
        if self.answers >= FAILURES_A_REST {
            self.length = Nanos::ZERO;
        }
    }

    /// An attempt that began at `started` failed at `now` in the sense of [`is_absence`].
    ///
    /// Says what begins with that, if anything does: a rest, or being down. After a rest one failure is enough for the
    /// next, for no answer came between; attempts that were under way when a rest began say nothing new.
    pub fn failed(&mut self, started: Nanos, now: Nanos) -> Option<Admission> {
        if self.down || started < self.rested {
            return None;
        }
        self.answers = 0;
        self.failures += 1;
        if self.failures < FAILURES_A_REST {
            return None;
        }
        if self.rests == RESTS_MAX {
            self.down = true;
            return Some(Admission::Down);
        }
        self.rests += 1;
        self.length = Nanos((self.length.0 * 2).clamp(REST_MIN.0, REST_MAX.0));
        self.rested = Nanos(now.0.saturating_add(self.length.0));
        Some(Admission::From(self.rested))
    }

    /// The host asked not to be asked for so long after `now` (`Retry-After`).
    pub fn hold(&mut self, now: Nanos, time: Nanos) {
        self.held = self.held.max(Nanos(now.0.saturating_add(time.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Nanos {
        Nanos::from_secs(secs)
    }

    /// `count` attempts, one after the other, each failing in an instant; gives what began with the last.
    fn fail(host: &mut HostRest, count: u32, now: Nanos) -> Option<Admission> {
        (0..count).fold(None, |_, _| host.failed(now, now))
    }

    #[test]
    fn ten_failures_in_a_row_make_a_rest_and_nine_do_not() {
        let mut host = HostRest::default();
        assert_eq!(fail(&mut host, 9, secs(5)), None);
        assert_eq!(host.admission(secs(5)), Admission::Now);
        host.answered();
        fail(&mut host, 9, secs(6));
        assert_eq!(host.admission(secs(6)), Admission::Now);
        assert_eq!(fail(&mut host, 1, secs(6)), Some(Admission::From(secs(7))));
        assert_eq!(host.admission(secs(6)), Admission::From(secs(7)));
        assert_eq!(host.admission(secs(7)), Admission::Now);
    }

    #[test]
    fn after_three_rests_without_an_answer_the_host_is_down() {
        let mut host = HostRest::default();
        fail(&mut host, 10, secs(0));
        assert_eq!(host.admission(secs(0)), Admission::From(secs(1)));
        fail(&mut host, 1, secs(1));
        assert_eq!(host.admission(secs(1)), Admission::From(secs(3)));
        fail(&mut host, 1, secs(3));
        assert_eq!(host.admission(secs(3)), Admission::From(secs(7)));
        assert_eq!((fail(&mut host, 1, secs(7)), fail(&mut host, 1, secs(8))), (Some(Admission::Down), None));
        assert_eq!(host.admission(secs(1_000_000)), Admission::Down);
        host.answered();
        assert_eq!(host.admission(secs(7)), Admission::Now, "one that was still under way came back");
    }

    #[test]
    fn attempts_from_before_a_rest_do_not_end_in_another() {
        let mut host = HostRest::default();
        fail(&mut host, 10, secs(10));
        assert!((0..90).all(|_| host.failed(secs(10), secs(12)).is_none()));
        assert_eq!(host.admission(secs(11)), Admission::Now);
        host.failed(secs(11), secs(13));
        assert_eq!(host.admission(secs(13)), Admission::From(secs(15)));
    }

    #[test]
    fn a_host_that_comes_and_goes_rests_longer_up_to_a_minute_until_it_has_answered_ten_times() {
        let mut host = HostRest::default();
        let mut now = secs(0);
        let mut lengths = Vec::new();
        for _ in 0..8 {
            fail(&mut host, 10, now);
            let Admission::From(end) = host.admission(now) else { panic!("a rest") };
            lengths.push((end.0 - now.0) / secs(1).0);
            now = end;
            (0..9).for_each(|_| host.answered());
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 60, 60]);
        (0..10).for_each(|_| host.answered());
        fail(&mut host, 10, now);
        assert_eq!(host.admission(now), Admission::From(Nanos(now.0 + secs(1).0)));
    }

    #[test]
    fn the_longest_hold_is_kept_beside_the_rest() {
        let mut host = HostRest::default();
        host.hold(secs(1), secs(30));
        host.hold(secs(2), secs(3));
        assert_eq!(host.admission(secs(2)), Admission::From(secs(31)));
        fail(&mut host, 10, secs(30));
        assert_eq!(host.admission(secs(30)), Admission::From(secs(31)));
        assert_eq!(host.admission(secs(31)), Admission::Now);
        host.hold(secs(1), Nanos(u64::MAX));
        assert_eq!(host.admission(secs(9)), Admission::From(Nanos(u64::MAX)));
    }

    #[test]
    fn statuses_names_and_certificates_are_no_absence() {
        let absent: Vec<_> = Failure::ALL.into_iter().filter(|&kind| is_absence(kind)).map(Failure::name).collect();
        assert_eq!(
            absent,
            ["connect", "connect_timeout", "write", "read_timeout", "timeout", "reset", "closed_early", "stream_reset"]
        );
    }

    #[test]
    fn whatever_happens_a_host_is_never_held_longer_than_a_minute_or_as_it_asked() {
        let mut seed = 0x5eed_u64;
        let mut draw = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % end
        };
        for _ in 0..200 {
            let (mut host, mut now, mut held) = (HostRest::default(), 0u64, 0u64);
            for _ in 0..300 {
                now += draw(2_000_000_000);
                match draw(8) {
                    0 => host.answered(),
                    1 => {
                        let time = draw(10_000_000_000);
                        host.hold(Nanos(now), Nanos(time));
                        held = held.max(now + time);
                    }
                    _ => {
                        host.failed(Nanos(now - draw(now + 1)), Nanos(now));
                    }
                }
                if let Admission::From(end) = host.admission(Nanos(now)) {
                    assert!(end.0 > now && end.0 <= held.max(now + REST_MAX.0));
                }
            }
        }
    }
}
