//! Whether what went wrong is tried again, and when: statuses and failures that pass, exponential backoff with full jitter,
//! and a budget for the whole run.
//!
//! Knows no hosts ([`super::rest`] does), holds no requests, reads no clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::plan::order::scale;
use crate::record::outcome::{Failure, Outcome};
use crate::units::{NANOS_PER_S, Nanos};

/// Statuses that are tried again unless `--retry-on` names others: what a server or a gateway says while something passes.
pub const STATUSES: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// One retry for so many requests.
const REQUESTS_A_RETRY: u64 = 10;
/// Never fewer retries than these: in a run, and in each second of it.
const RETRIES_A_RUN: u64 = 100;
const RETRIES_A_SECOND: u64 = 10;
/// A core tells the others of its requests when it has made so many.
const REPORT_EVERY: u32 = 64;

/// What is tried again and how often: the user's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// After the first attempt, at most so many more (`--retries`).
    pub retries: u32,
    /// Bound of the first wait (`--backoff`).
    pub backoff: Nanos,
    /// Bound of every wait (`--backoff-max`); at least `backoff`.
    pub backoff_max: Nanos,
    /// Answers with one of these are tried again (`--retry-on`).
    pub statuses: Vec<u16>,
    /// Methods that are not idempotent are tried again too (`--retry-all-methods`).
    pub all_methods: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retries: 3,
            backoff: Nanos::from_millis(500),
            backoff_max: Nanos::from_secs(60),
            statuses: STATUSES.to_vec(),
            all_methods: false,
        }
    }
}

impl Policy {
    /// Whether what came out may come out differently next time.
    fn may_pass(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Answered(status) => self.statuses.contains(&status),
            Outcome::Failed(failure) => passes(failure),
            Outcome::InFlightAtEnd => false,
        }
    }

    /// Bound of the wait after `attempts` attempts: doubled with each, up to the largest.
    fn bound(&self, attempts: u32) -> Nanos {
        let doubled = self.backoff.0.saturating_mul(1u64.checked_shl(attempts - 1).unwrap_or(u64::MAX));
        Nanos(doubled.min(self.backoff_max.0))
    }
}

/// Whether a failure of this kind may be gone the next time: no connection, none in time, none any more. A name without an
/// address, a certificate or an answer that breaks HTTP stays what it is, and a deadline is over.
fn passes(failure: Failure) -> bool {
    match failure {
        Failure::Connect
        | Failure::ConnectTimeout
        | Failure::Proxy
        | Failure::Write
        | Failure::ReadTimeout
        | Failure::Timeout
        | Failure::Reset
        | Failure::ClosedEarly
        | Failure::StreamReset => true,
        Failure::Resolve | Failure::Tls | Failure::Deadline | Failure::Protocol | Failure::Check => false,
    }
}

/// What becomes of a line after an attempt that was no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Once more after this wait; the host's own holds and rests come on top.
    Retry(Nanos),
    /// The line ends with what came out.
    GiveUp(Reason),
}

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It would come out the same.
    Final,
    /// The method is not idempotent (RFC 9110 section 9.2.2).
    Method,
    /// `--retries` are used up.
    Attempts,
    /// The run's [`Budget`] is used up: trying again would be a storm.
    Budget,
}

/// How many retries the whole run may make: a tenth of its requests, never fewer than 100 and than 10 for each second.
///
/// Shared by all cores, touched by a core once in 64 requests and once a retry.
#[derive(Debug, Default)]
pub struct Budget {
    requests: AtomicU64,
    retries: AtomicU64,
}

impl Budget {
    /// Takes one retry at `elapsed` since the start of the run, if there is one left.
    fn take(&self, elapsed: Nanos) -> bool {
        let earned = (self.requests.load(Ordering::Relaxed) / REQUESTS_A_RETRY).max(RETRIES_A_RUN);
        let limit = earned.max((elapsed.0 / NANOS_PER_S).saturating_mul(RETRIES_A_SECOND));
        let spend = |retries| (retries < limit).then_some(retries + 1);
        self.retries.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

/// One core's decisions.
#[derive(Debug)]
pub struct Retries {
    policy: Policy,
    budget: Arc<Budget>,
    /// Requests that the budget has not been told of.
    unreported: u32,
    jitter: ChaCha8Rng,
}

impl Retries {
    /// Those of core `core`, with a stream of jitter of its own that `seed` decides.
    pub fn new(policy: Policy, budget: Arc<Budget>, seed: u64, core: u64) -> Self {
        let mut jitter = ChaCha8Rng::seed_from_u64(seed);
        jitter.set_stream(core);
        Self { policy, budget, unreported: 0, jitter }
    }

    /// A first attempt was made: a tenth of a retry is earned.
    #[inline]
    pub fn count_request(&mut self) {
        self.unreported += 1;
        if self.unreported == REPORT_EVERY {
            self.report();
        }
    }

    /// What becomes of a line whose attempt number `attempts` (from 1) came out as `outcome`, at `elapsed` since the start
    /// of the run. A retry is taken from the budget at once.
    pub fn decide(&mut self, elapsed: Nanos, attempts: u32, outcome: Outcome, idempotent: bool) -> Decision {
        assert!(attempts > 0, "an outcome has an attempt");
        if self.policy.may_pass(outcome) {
            self.once_more(elapsed, attempts, idempotent)
        } else {
            Decision::GiveUp(Reason::Final)
        }
    }

    /// The same of an attempt that came to what will not come out again, as the next one asks for something else.
    pub fn once_more(&mut self, elapsed: Nanos, attempts: u32, idempotent: bool) -> Decision {
        if !idempotent && !self.policy.all_methods {
            return Decision::GiveUp(Reason::Method);
        }
        if attempts > self.policy.retries {
            return Decision::GiveUp(Reason::Attempts);
        }
        self.report();
        if !self.budget.take(elapsed) {
            return Decision::GiveUp(Reason::Budget);
        }
        Decision::Retry(self.wait(attempts))
    }

    /// Full jitter (Brooker, "Exponential backoff and jitter", 2015): anything from none to the bound, evenly, so that those
    /// who failed together do not come back together.
    fn wait(&mut self, attempts: u32) -> Nanos {
        let bound = self.policy.bound(attempts);
        Nanos(scale(self.jitter.next_u64(), bound.0.saturating_add(1)).0)
    }

    fn report(&mut self) {
        self.budget.requests.fetch_add(u64::from(std::mem::take(&mut self.unreported)), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(policy: Policy) -> Retries {
        Retries::new(policy, Arc::default(), 7, 0)
    }

    fn patient() -> Policy {
        Policy { retries: u32::MAX, ..Policy::default() }
    }

    const REFUSED: Outcome = Outcome::Failed(Failure::Connect);

    #[test]
    fn what_may_pass_is_tried_again_and_nothing_else() {
        let tried =
            |outcome| matches!(retries(Policy::default()).decide(Nanos(0), 1, outcome, true), Decision::Retry(_));
        let kinds: Vec<_> = Failure::ALL.into_iter().filter(|&kind| tried(Outcome::Failed(kind))).collect();
        assert_eq!(
            kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            [
                "connect",
                "connect_timeout",
                "proxy",
                "write",
                "read_timeout",
                "timeout",
                "reset",
                "closed_early",
                "stream_reset"
            ]
        );
        let statuses: Vec<_> = (100..600).filter(|&status| tried(Outcome::Answered(status))).collect();
        assert_eq!(statuses, STATUSES);
        assert!(!tried(Outcome::InFlightAtEnd));
        let only = Policy { statuses: vec![404], ..Policy::default() };
        assert!(matches!(retries(only.clone()).decide(Nanos(0), 1, Outcome::Answered(404), true), Decision::Retry(_)));
        let mut retries = retries(only);
        assert_eq!(retries.decide(Nanos(0), 1, Outcome::Answered(503), true), Decision::GiveUp(Reason::Final));
    }

    #[test]
    fn a_method_that_is_not_idempotent_is_tried_again_only_when_asked_for() {
        let mut default = retries(Policy::default());
        assert_eq!(default.decide(Nanos(0), 1, REFUSED, false), Decision::GiveUp(Reason::Method));
        let mut all = retries(Policy { all_methods: true, ..Policy::default() });
        assert!(matches!(all.decide(Nanos(0), 1, REFUSED, false), Decision::Retry(_)));
    }

    #[test]
    fn three_retries_are_four_attempts() {
        let mut default = retries(Policy::default());
        assert!((1..=3).all(|made| matches!(default.decide(Nanos(0), made, REFUSED, true), Decision::Retry(_))));
        assert_eq!(default.decide(Nanos(0), 4, REFUSED, true), Decision::GiveUp(Reason::Attempts));
        let mut none = retries(Policy { retries: 0, ..Policy::default() });
        assert_eq!(none.decide(Nanos(0), 1, REFUSED, true), Decision::GiveUp(Reason::Attempts));
    }

    #[test]
    fn the_bound_doubles_up_to_the_largest_and_never_overflows() {
        let policy = Policy::default();
        let millis: Vec<_> = (1..=9).map(|attempts| policy.bound(attempts).0 / 1_000_000).collect();
        assert_eq!(millis, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(policy.bound(u32::MAX), policy.backoff_max);
        let instant = Policy { backoff: Nanos::ZERO, ..policy };
        assert_eq!([1, 64, 65, 1_000].map(|attempts| instant.bound(attempts)), [Nanos::ZERO; 4]);
    }

    #[test]
    fn waits_are_spread_evenly_from_none_to_the_bound() {
        let mut retries = retries(patient());
        let mut tenths = [0u32; 10];
        for _ in 0..10_000 {
            let wait = retries.wait(2).0;
            assert!(wait <= 1_000_000_000);
            tenths[(wait / 100_000_001) as usize] += 1;
        }
        assert!(tenths.iter().all(|&seen| (850..1_150).contains(&seen)), "{tenths:?}");
    }

    #[test]
    fn the_seed_decides_the_jitter_and_cores_differ() {
        let waits = |seed, core| {
            let mut retries = Retries::new(patient(), Arc::default(), seed, core);
            (0..20).map(|_| retries.wait(5)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1, 0), waits(1, 0));
        assert!(waits(1, 0) != waits(2, 0) && waits(1, 0) != waits(1, 1));
    }

    #[test]
    fn the_budget_is_a_tenth_of_the_requests_with_a_floor_a_run_and_a_second() {
        let granted = |requests: u64, elapsed: Nanos| {
            let mut retries = retries(patient());
            (0..requests).for_each(|_| retries.count_request());
            let made = (0..100_000).filter(|_| matches!(retries.decide(elapsed, 1, REFUSED, true), Decision::Retry(_)));
            made.count()
        };
        assert_eq!(granted(0, Nanos::ZERO), 100);
        assert_eq!(granted(1_009, Nanos::ZERO), 100);
        assert_eq!(granted(20_000, Nanos::ZERO), 2_000);
        assert_eq!(granted(0, Nanos::from_secs(60)), 600);
        assert_eq!(granted(20_000, Nanos::from_secs(60)), 2_000);
    }

    #[test]
    fn a_budget_that_is_used_up_grows_with_time_and_is_the_same_for_all_cores() {
        let budget = Arc::new(Budget::default());
        let mut cores: Vec<_> = (0..2).map(|core| Retries::new(patient(), Arc::clone(&budget), 1, core)).collect();
        for number in 0..100 {
            assert!(matches!(cores[number % 2].decide(Nanos::ZERO, 1, REFUSED, true), Decision::Retry(_)));
        }
        for core in &mut cores {
            assert_eq!(core.decide(Nanos::ZERO, 1, REFUSED, true), Decision::GiveUp(Reason::Budget));
        }
        let later = Nanos::from_secs(11);
        let granted = (0..50).filter(|_| matches!(cores[0].decide(later, 1, REFUSED, true), Decision::Retry(_)));
        assert_eq!(granted.count(), 10);
    }
}
