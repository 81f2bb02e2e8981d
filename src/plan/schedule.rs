//! The one schedule, striped: request number → intended start, as exact arithmetic with no clock in sight.
//!
//! Shard i of n takes the numbers i, i+n, i+2n, …, so that any number of cores gives the same global timeline. There is
//! no queue of due requests: the backlog is what is due less what was taken.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::units::{NANOS_PER_S, Nanos, Rate};

/// How arrivals of an open load are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly: request j starts at j / rate.
    Uniform,
    /// Independently: exponential gaps, one seeded stream a shard at rate / n.
    Poisson,
}

impl Arrivals {
    /// `uniform` or `poisson`, as options and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Poisson => "poisson",
        }
    }
}

/// The part of an open schedule that one shard takes, in offsets from the start of the load.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Evenly spaced.
    Uniform(Uniform),
    /// Exponential gaps.
    Poisson(Box<Poisson>),
}

impl Schedule {
    /// The stripe of shard `index` of `count` at a total of `rate`.
    pub fn new(rate: Rate, arrivals: Arrivals, seed: u64, index: u64, count: u64) -> Self {
        assert!(index < count);
        match arrivals {
            Arrivals::Uniform => Self::Uniform(Uniform { rate, index, count, taken: 0 }),
            Arrivals::Poisson => Self::Poisson(Box::new(Poisson::new(rate, seed, index, count))),
        }
    }

    /// Intended start of the next ticket that nobody took.
    pub fn peek(&self) -> Nanos {
        match self {
            Self::Uniform(uniform) => uniform.intended(uniform.taken),
            Self::Poisson(poisson) => poisson.next.at(),
        }
    }

    /// Takes the next ticket.
    pub fn take(&mut self) {
        match self {
            Self::Uniform(uniform) => uniform.taken += 1,
            Self::Poisson(poisson) => {
                poisson.taken += 1;
                poisson.next.advance();
            }
        }
    }

    /// Takes the next `n` tickets, unseen; at once where starts can be computed.
    pub fn skip(&mut self, n: u64) {
        match self {
            Self::Uniform(uniform) => uniform.taken += n,
            Self::Poisson(_) => (0..n).for_each(|_| self.take()),
        }
    }

    /// How many were taken.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Uniform(uniform) => uniform.taken,
            Self::Poisson(poisson) => poisson.taken,
        }
    }

    /// How many tickets of this stripe are intended before `elapsed`; calls must not go back in time.
    pub fn due_before(&mut self, elapsed: Nanos) -> u64 {
        match self {
            Self::Uniform(uniform) => uniform.due_before(elapsed),
            Self::Poisson(poisson) => poisson.due_before(elapsed),
        }
    }

    /// Intended start of the ticket after the first `due`, which must be what [`Schedule::due_before`] said last.
    pub fn next_after(&self, due: u64) -> Nanos {
        match self {
            Self::Uniform(uniform) => uniform.intended(due),
            Self::Poisson(poisson) => {
                assert_eq!(due, poisson.due, "a Poisson stream knows one arrival ahead only");
                poisson.ahead.at()
            }
        }
    }
}

/// Evenly spaced arrivals: t_j = floor(j · 10⁹ · den / num) ns, in 128 bits, never a rounded interval.
#[derive(Clone, Debug)]
pub struct Uniform {
    rate: Rate,
    index: u64,
    count: u64,
    taken: u64,
}

impl Uniform {
    /// Intended start of the stripe's `k`-th ticket.
    fn intended(&self, k: u64) -> Nanos {
        let number = u128::from(self.index) + u128::from(k) * u128::from(self.count);
        let at = number * self.period_num() / u128::from(self.rate.num);
        Nanos(u64::try_from(at).unwrap_or(u64::MAX))
    }

    fn due_before(&self, elapsed: Nanos) -> u64 {
        // j is due when floor(j · c / num) < elapsed, that is when j · c < elapsed · num.
        let bound = u128::from(elapsed.0) * u128::from(self.rate.num);
        let numbers = bound.div_ceil(self.period_num());
        let own = numbers.saturating_sub(u128::from(self.index)).div_ceil(u128::from(self.count));
        own as u64
    }

    fn period_num(&self) -> u128 {
        u128::from(NANOS_PER_S) * u128::from(self.rate.den)
    }
}

/// Exponential gaps from a seeded ChaCha8 stream of the shard's own.
#[derive(Clone, Debug)]
pub struct Poisson {
    next: ArrivalStream,
    taken: u64,
    /// The same stream, ahead of `next`: counts what is due while nobody takes it.
    ahead: ArrivalStream,
    due: u64,
}

impl Poisson {
    fn new(rate: Rate, seed: u64, index: u64, count: u64) -> Self {
        let stream = ArrivalStream::new(rate, seed, index, count);
        Self { next: stream.clone(), taken: 0, ahead: stream, due: 0 }
    }

    fn due_before(&mut self, elapsed: Nanos) -> u64 {
        while self.ahead.at() < elapsed {
            self.ahead.advance();
            self.due += 1;
        }
        self.due
    }
}

#[derive(Clone, Debug)]
struct ArrivalStream {
    rng: ChaCha8Rng,
    mean_gap_ns: f64,
    whole_ns: u64,
    /// Below 1; carried so that sub-nanosecond gaps add up.
    fraction_ns: f64,
}

impl ArrivalStream {
    fn new(rate: Rate, seed: u64, index: u64, count: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(index);
        let mean_gap_ns = NANOS_PER_S as f64 * rate.den as f64 * count as f64 / rate.num as f64;
        let mut stream = Self { rng, mean_gap_ns, whole_ns: 0, fraction_ns: 0.0 };
        stream.advance();
        stream
    }

    fn at(&self) -> Nanos {
        Nanos(self.whole_ns)
    }

    fn advance(&mut self) {
        // 53 random bits give a uniform in (0, 1]; its negative logarithm is exponential.
        let uniform = ((self.rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let gap = self.fraction_ns - uniform.ln() * self.mean_gap_ns;
        self.whole_ns = self.whole_ns.saturating_add(gap as u64);
        self.fraction_ns = gap.fract();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).expect(text)
    }

    #[test]
    fn uniform_starts_are_exact_to_the_nanosecond_at_any_number() {
        for (text, num, den) in
            [("700k", 700_000u128, 1u128), ("1.5M", 1_500_000, 1), ("3M", 3_000_000, 1), ("140/m", 7, 3)]
        {
            let schedule = Uniform { rate: rate(text), index: 0, count: 1, taken: 0 };
            for j in [0u64, 1, 2, 3, 1_000_003, 10_000_000_000] {
                let exact = u128::from(j) * 1_000_000_000 * den / num;
                assert_eq!(u128::from(schedule.intended(j).0), exact, "{text} {j}");
            }
        }
    }

    #[test]
    fn skipping_is_taking_many() {
        for arrivals in [Arrivals::Uniform, Arrivals::Poisson] {
            let mut taken = Schedule::new(rate("700/m"), arrivals, 7, 1, 3);
            let mut skipped = taken.clone();
            (0..1000).for_each(|_| taken.take());
            skipped.skip(1000);
            assert_eq!((taken.peek(), taken.taken()), (skipped.peek(), skipped.taken()));
        }
    }

    #[test]
    fn what_is_due_is_what_the_starts_say() {
        for text in ["1", "3", "7", "140/m", "999", "1.5M"] {
            for count in [1u64, 2, 3, 7] {
                for index in 0..count {
                    let schedule = Uniform { rate: rate(text), index, count, taken: 0 };
                    for k in [0u64, 1, 2, 5, 1000] {
                        let at = schedule.intended(k);
                        assert_eq!(schedule.due_before(at), k, "{text} {index}/{count}: {k} before its own start");
                        assert_eq!(
                            schedule.due_before(Nanos(at.0 + 1)),
                            k + 1,
                            "{text} {index}/{count}: {k} just after"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn stripes_together_are_the_one_schedule() {
        let whole = Uniform { rate: rate("777"), index: 0, count: 1, taken: 0 };
        let mut union: Vec<_> = (0..3u64)
            .flat_map(|index| {
                let stripe = Uniform { rate: rate("777"), index, count: 3, taken: 0 };
                (0..100).map(move |k| stripe.intended(k))
            })
            .collect();
        union.sort();
        assert_eq!(union, (0..300).map(|j| whole.intended(j)).collect::<Vec<_>>());
    }

    #[test]
    fn poisson_is_repeatable_by_seed_and_right_in_the_mean() {
        let starts = |seed: u64, index: u64| {
            let mut schedule = Schedule::new(rate("1000"), Arrivals::Poisson, seed, index, 2);
            (0..100_000)
                .map(|_| {
                    let at = schedule.peek();
                    schedule.take();
                    at
                })
                .collect::<Vec<_>>()
        };
        let first = starts(1, 0);
        assert_eq!(first, starts(1, 0));
        assert_ne!(first, starts(2, 0));
        assert_ne!(first, starts(1, 1));
        // 100,000 gaps of mean 2 ms: the sum's standard deviation is 2 ms · sqrt(100,000) = 0.63 s; four of them.
        let last_s = first[99_999].as_secs_f64();
        assert!((last_s - 200.0).abs() < 2.53, "{last_s}");
    }

    #[test]
    fn poisson_gaps_are_exponential_by_anderson_darling() {
        let mut schedule = Schedule::new(rate("1000"), Arrivals::Poisson, 7, 0, 1);
        let mut last = 0;
        let mut gaps: Vec<f64> = (0..10_000)
            .map(|_| {
                let at = schedule.peek().0;
                schedule.take();
                (std::mem::replace(&mut last, at), at)
            })
            .map(|(from, to)| (to - from) as f64 / 1e6)
            .collect();
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        let cdf = |x: f64| (1.0 - (-x).exp()).clamp(1e-12, 1.0 - 1e-12);
        let sum: f64 = gaps
            .iter()
            .zip(gaps.iter().rev())
            .enumerate()
            .map(|(i, (&low, &high))| (2.0 * i as f64 + 1.0) * (cdf(low).ln() + (1.0 - cdf(high)).ln()))
            .sum();
        let statistic = -n - sum / n;
        // Fully specified distribution: 6.0 is p = 0.001 (Stephens 1974).
        assert!(statistic < 6.0, "A² = {statistic}");
    }

    #[test]
    fn poisson_counts_what_is_due_without_taking_it() {
        let mut schedule = Schedule::new(rate("1000"), Arrivals::Poisson, 3, 0, 1);
        let due = schedule.due_before(Nanos::from_secs(5));
        assert_eq!(schedule.taken(), 0);
        let mut taken = 0;
        while schedule.peek() < Nanos::from_secs(5) {
            schedule.take();
            taken += 1;
        }
        assert_eq!(taken, due);
    }
}
