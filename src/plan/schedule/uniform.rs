//! Evenly spaced arrivals at one rate.

use crate::units::{NANOS_PER_S, Nanos, Rate};

/// Evenly spaced arrivals: t_j = floor(j · 10⁹ · den / num) ns, in 128 bits, never a rounded interval.
#[derive(Clone, Debug)]
pub struct Uniform {
    rate: Rate,
    index: u64,
    count: u64,
    pub(super) taken: u64,
}

impl Uniform {
    /// The stripe of shard `index` of `count` at a total of `rate`.
    pub(super) fn new(rate: Rate, index: u64, count: u64) -> Self {
        Self { rate, index, count, taken: 0 }
    }

    /// Intended start of the stripe's `k`-th ticket.
    pub(super) fn intended(&self, k: u64) -> Nanos {
        let number = u128::from(self.index) + u128::from(k) * u128::from(self.count);
        let at = number * self.period_num() / u128::from(self.rate.num);
        Nanos(u64::try_from(at).unwrap_or(u64::MAX))
    }

    pub(super) fn due_before(&self, elapsed: Nanos) -> u64 {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        Rate::parse(text).expect(text)
    }

    #[test]
    fn starts_are_exact_to_the_nanosecond_at_any_number() {
        let rates = [("700k", 700_000u128, 1u128), ("1.5M", 1_500_000, 1), ("3M", 3_000_000, 1), ("7M", 7_000_000, 1)];
        for (text, num, den) in rates.into_iter().chain([("140/m", 7, 3)]) {
            let schedule = Uniform::new(rate(text), 0, 1);
            for j in [0u64, 1, 2, 3, 1_000_003, 10_000_000_000] {
                let exact = u128::from(j) * 1_000_000_000 * den / num;
                assert_eq!(u128::from(schedule.intended(j).0), exact, "{text} {j}");
            }
        }
    }

    #[test]
    fn what_is_due_is_what_the_starts_say() {
        for text in ["1", "3", "7", "140/m", "999", "1.5M"] {
            for count in [1u64, 2, 3, 7] {
                for index in 0..count {
                    let schedule = Uniform::new(rate(text), index, count);
                    for k in [0u64, 1, 2, 5, 1000] {
                        let at = schedule.intended(k);
                        let due = [at.0, at.0 + 1].map(|elapsed| schedule.due_before(Nanos(elapsed)));
                        assert_eq!(due, [k, k + 1], "{text} {index}/{count}: at its start {k} is not yet due before");
                    }
                }
            }
        }
    }

    #[test]
    fn stripes_together_are_the_one_schedule() {
        let whole = Uniform::new(rate("777"), 0, 1);
        for count in [2u64, 3, 7] {
            let stripe = |index| Uniform::new(rate("777"), index, count);
            let mut union: Vec<_> =
                (0..count).flat_map(|index| (0..100).map(move |k| stripe(index).intended(k))).collect();
            union.sort();
            assert_eq!(union, (0..100 * count).map(|j| whole.intended(j)).collect::<Vec<_>>());
        }
    }
}
