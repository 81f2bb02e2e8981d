//! Independent arrivals: exponential gaps from a seeded ChaCha8 stream of the shard's own.
//!
//! Under a rate that changes, a Poisson stream is one of rate 1 on another clock (Çinlar, *Introduction to Stochastic
//! Processes*, 1975): an arrival at position s of the stream of rate 1 starts when the cumulative rate of the stages is s.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::stages::Stages;
use crate::units::{NANOS_PER_S, Nanos, Rate};

/// The stripe of one shard: a stream of its own at rate / n.
#[derive(Clone, Debug)]
pub struct Poisson {
    pub(super) next: ArrivalStream,
    pub(super) taken: u64,
    /// The same stream, ahead of `next`: counts what is due while nobody takes it.
    pub(super) ahead: ArrivalStream,
    pub(super) due: u64,
}

impl Poisson {
    /// The stripe of shard `index` of `count` at a total of `rate`.
    pub(super) fn new(rate: Rate, seed: u64, index: u64, count: u64) -> Self {
        let mean_gap_ns = NANOS_PER_S as f64 * rate.den as f64 * count as f64 / rate.num as f64;
        Self::of(ArrivalStream::new(mean_gap_ns, None, seed, index))
    }

    /// The same at the rate of `stages`.
    pub(super) fn staged(stages: Arc<Stages>, seed: u64, index: u64, count: u64) -> Self {
        Self::of(ArrivalStream::new(count as f64, Some(stages), seed, index))
    }

    fn of(stream: ArrivalStream) -> Self {
        Self { next: stream.clone(), taken: 0, ahead: stream, due: 0 }
    }

    pub(super) fn take(&mut self) {
        self.taken += 1;
        self.next.advance();
    }

    pub(super) fn due_before(&mut self, elapsed: Nanos) -> u64 {
        while self.ahead.at() < elapsed {
            self.ahead.advance();
            self.due += 1;
        }
        self.due
    }
}

#[derive(Clone, Debug)]
pub(super) struct ArrivalStream {
    rng: ChaCha8Rng,
    /// In nanoseconds; where there are stages, in requests.
    mean_gap: f64,
    whole: u64,
    /// Below 1; carried so that gaps below 1 add up.
    fraction: f64,
    stages: Option<Arc<Stages>>,
    at: Nanos,
}

impl ArrivalStream {
    fn new(mean_gap: f64, stages: Option<Arc<Stages>>, seed: u64, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        let mut stream = Self { rng, mean_gap, whole: 0, fraction: 0.0, stages, at: Nanos::ZERO };
        stream.advance();
        stream
    }

    /// When the arrival that it stands at starts; never, past the end of the last stage.
    pub(super) fn at(&self) -> Nanos {
        self.at
    }

    fn advance(&mut self) {
        // 53 random bits give a uniform in (0, 1]; its negative logarithm is exponential.
        let uniform = ((self.rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let gap = self.fraction - uniform.ln() * self.mean_gap;
        self.whole = self.whole.saturating_add(gap as u64);
        self.fraction = gap.fract();
        self.at = match &self.stages {
            None => Nanos(self.whole),
            Some(stages) => stages.instant_of(self.whole, self.fraction),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: f64 = 6.0;

    fn staged(text: &str, seed: u64, index: u64, count: u64) -> Poisson {
        Poisson::staged(Arc::new(Stages::parse(text).expect(text)), seed, index, count)
    }

    /// The starts of a stripe, to its end or to the 100,000th.
    fn starts(mut stripe: Poisson) -> Vec<Nanos> {
        let next = || {
            let at = stripe.next.at();
            stripe.take();
            (at.0 < u64::MAX).then_some(at)
        };
        std::iter::from_fn(next).take(100_000).collect()
    }

    /// The Anderson-Darling statistic of gaps against the exponential distribution of mean 1; for one that is fully
    /// specified, [`LIMIT`] is p = 0.001 (Stephens 1974).
    fn anderson_darling(positions: impl Iterator<Item = f64>) -> f64 {
        let mut last = 0.0;
        let mut gaps: Vec<f64> = positions.map(|at| at - std::mem::replace(&mut last, at)).collect();
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        let cdf = |x: f64| (1.0 - (-x).exp()).clamp(1e-12, 1.0 - 1e-12);
        let sum: f64 = gaps
            .iter()
            .zip(gaps.iter().rev())
            .enumerate()
            .map(|(i, (&low, &high))| (2.0 * i as f64 + 1.0) * (cdf(low).ln() + (1.0 - cdf(high)).ln()))
            .sum();
        -n - sum / n
    }

    #[test]
    fn arrivals_are_repeatable_by_seed_and_right_in_the_mean() {
        let rate = Rate { num: 1_000, den: 1 };
        let of = |seed, index| starts(Poisson::new(rate, seed, index, 2));
        let first = of(1, 0);
        assert_eq!(first, of(1, 0));
        assert_ne!(first, of(2, 0));
        assert_ne!(first, of(1, 1));
        // 100,000 gaps of mean 2 ms: the sum's standard deviation is 2 ms · sqrt(100,000) = 0.63 s; four of them.
        let last_s = first[99_999].as_secs_f64();
        assert!((last_s - 200.0).abs() < 2.53, "{last_s}");
    }

    #[test]
    fn gaps_are_exponential_by_anderson_darling() {
        let starts = starts(Poisson::new(Rate { num: 1_000, den: 1 }, 7, 0, 1));
        let statistic = anderson_darling(starts.iter().take(10_000).map(|at| at.0 as f64 / 1e6));
        assert!(statistic < LIMIT, "A² = {statistic}");
    }

    #[test]
    fn what_is_due_is_counted_without_being_taken() {
        for mut stripe in [Poisson::new(Rate { num: 1_000, den: 1 }, 3, 0, 1), staged("0:1000@20s", 3, 1, 2)] {
            let due = stripe.due_before(Nanos::from_secs(5));
            assert_eq!(stripe.taken, 0);
            let mut taken = 0;
            while stripe.next.at() < Nanos::from_secs(5) {
                stripe.take();
                taken += 1;
            }
            assert_eq!(taken, due);
        }
    }

    #[test]
    fn a_held_stage_has_the_arrivals_of_its_rate() {
        let plain = starts(Poisson::new(Rate { num: 1_000, den: 1 }, 5, 1, 3));
        let held = starts(staged("1000@60s", 5, 1, 3));
        assert!((19_000..21_000).contains(&held.len()), "{}", held.len());
        // Fractions of a nanosecond are lost at another place.
        assert!(held.iter().zip(&plain).all(|(held, plain)| held.0.abs_diff(plain.0) <= 1));
    }

    #[test]
    fn gaps_under_a_ramp_are_exponential_once_its_clock_is_undone() {
        // From 0 to 2,000/s in 10 s: 10,000 arrivals; the cumulative rate at t is 100 t².
        let starts = starts(staged("0:2000@10s", 11, 0, 1));
        // The number's standard deviation is 100; four of them.
        assert!(starts.len().abs_diff(10_000) < 400, "{}", starts.len());
        let statistic = anderson_darling(starts.iter().map(|at| 100.0 * at.as_secs_f64().powi(2)));
        assert!(statistic < LIMIT, "A² = {statistic}");
        for second in 0..10u64 {
            let within = starts.iter().filter(|at| at.0 / NANOS_PER_S == second).count() as f64;
            let mean = 100.0 * (2 * second + 1) as f64;
            assert!((within - mean).abs() < 4.0 * mean.sqrt(), "second {second}: {within} of {mean}");
        }
    }

    #[test]
    fn nothing_arrives_in_a_pause_or_after_the_end() {
        let starts = starts(staged("100@5s,0@5s,100@5s", 2, 0, 1));
        let in_pause = |at: &&Nanos| (5..10).contains(&(at.0 / NANOS_PER_S));
        assert_eq!(starts.iter().filter(in_pause).count(), 0);
        assert!(starts.last().is_some_and(|last| *last < Nanos::from_secs(15)) && starts.len() > 800);
    }
}
