//! One stage of a changing rate: held, or changed linearly from its beginning to its end. All of it is whole numbers of
//! 128 bits: nothing is rounded but the instant itself, down to the nanosecond.

/// A stage. What it counts are *parts* of a request, of which the schedule that it belongs to knows how many make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ramp {
    /// The rate at its beginning, in halves of parts a nanosecond.
    pub(super) from: u128,
    /// The rate at its end.
    pub(super) to: u128,
    /// Nanoseconds, 1 or more.
    pub(super) duration: u64,
}

impl Ramp {
    /// The parts of the whole stage; `None` where they do not fit, which a schedule refuses.
    pub(super) fn total(&self) -> Option<u128> {
        (self.from + self.to).checked_mul(u128::from(self.duration))
    }

    /// The parts that fall due before `at` nanoseconds since its beginning, up to its end; a part that is due by a bit
    /// counts: 2·from·t + (to − from)·t² / D, rounded up.
    ///
    /// No product is greater than the stage's total or D², so that 128 bits hold them.
    pub(super) fn before(&self, at: u64) -> u128 {
        debug_assert!(at <= self.duration);
        let held = 2 * self.from * u128::from(at);
        let (t, d) = (u128::from(at), u128::from(self.duration));
        let change = self.to.abs_diff(self.from) * t;
        // change · t / D, without the product: the whole times t, and what is left of it.
        let (whole, rest) = (change / d * t, change % d * t);
        if self.to >= self.from { held + whole + rest.div_ceil(d) } else { held - whole - rest / d }
    }

    /// The instant at which `parts` are reached, which must be fewer than the total: the last nanosecond before which no
    /// more of them fall due.
    pub(super) fn reach(&self, parts: u128) -> u64 {
        if self.from == self.to {
            return (parts / (2 * self.from)) as u64;
        }
        // The root of the quadratic is only guessed by floating point; what decides is `before`, which is exact.
        let (mut low, mut high) = (0, self.duration);
        let (mut at, mut step) = (self.guess(parts), 1);
        while high - low > 1 {
            if at <= low || at >= high {
                at = low + (high - low) / 2;
            }
            if self.before(at) <= parts {
                low = at;
                at = at.saturating_add(step);
            } else {
                high = at;
                at = at.saturating_sub(step);
            }
            step = step.saturating_mul(2);
        }
        low
    }

    /// About when `parts` are reached: the solution of the quadratic in the form that subtracts nothing, from the end
    /// where the rate is lower.
    fn guess(&self, parts: u128) -> u64 {
        let root = |low: u128, high: u128, parts: u128| {
            let (low, parts, duration) = (low as f64, parts as f64, self.duration as f64);
            parts / (low + (low * low + (high as f64 - low) * parts / duration).sqrt())
        };
        if self.to > self.from {
            root(self.from, self.to, parts) as u64
        } else {
            let left = (self.from + self.to) * u128::from(self.duration) - parts;
            self.duration.saturating_sub(root(self.to, self.from, left).ceil() as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    use num_bigint::BigInt;

    use super::*;

    /// D times the exact number of parts at `at`.
    fn exact(ramp: &Ramp, at: u64) -> BigInt {
        let (from, to, t, d) =
            (BigInt::from(ramp.from), BigInt::from(ramp.to), BigInt::from(at), BigInt::from(ramp.duration));
        2 * &from * &t * &d + (to - from) * &t * &t
    }

    fn ramps() -> Vec<Ramp> {
        let rates = [0u128, 1, 2, 7, 1_000, 999_983, 7_000_000, 1 << 53, 1 << 70];
        let durations = [1u64, 2, 3, 1_000, 999_999_937, 10_000_000_000, 3_600_000_000_000, 1 << 53, (1 << 63) - 1];
        let mut ramps = Vec::new();
        for (from, to) in rates.into_iter().flat_map(|from| rates.map(|to| (from, to))) {
            let all = durations.into_iter().map(|duration| Ramp { from, to, duration });
            ramps.extend(all.filter(|ramp| ramp.total().is_some_and(|total| total > 0 && total < 1 << 124)));
        }
        ramps
    }

    #[test]
    fn parts_are_those_of_exact_arithmetic_rounded_up() {
        for ramp in ramps() {
            let d = ramp.duration;
            for at in [0, 1, d / 3, d / 2, d - 1, d].into_iter().filter(|&at| at <= d) {
                let (found, exact) = (BigInt::from(ramp.before(at)) * d, exact(&ramp, at));
                assert!(found >= exact && found < exact + d, "{ramp:?} at {at}");
            }
            assert_eq!(Some(ramp.before(d)), ramp.total());
        }
    }

    #[test]
    fn an_instant_is_that_of_exact_arithmetic_rounded_down() {
        for ramp in ramps() {
            let total = ramp.total().expect("it fits");
            for parts in [0, 1, total / 7, total / 2, total - total / 1_000_003, total - 1] {
                let parts = parts.min(total - 1);
                let at = ramp.reach(parts);
                let wanted = BigInt::from(parts) * ramp.duration;
                assert!(at < ramp.duration && exact(&ramp, at) <= wanted, "{ramp:?} reaches {parts} at {at}");
                assert!(exact(&ramp, at + 1) > wanted, "{ramp:?} reaches {parts} after {at}");
            }
        }
    }
}
