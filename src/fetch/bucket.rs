//! How often a host is asked: at most at a rate, at least so far apart.
//!
//! Exact: the k-th grant falls due at a start plus k periods, a fraction of 128 bits that is never rounded to an interval.
//! Owns no timer; whoever asks says what time it is.

use crate::units::{NANOS_PER_S, Nanos, Rate};

/// A token bucket as its theoretical arrival times (the virtual scheduling of ITU-T I.371).
#[derive(Clone, Debug)]
pub struct Bucket {
    /// A period is `numerator / denominator` ns.
    numerator: u128,
    denominator: u128,
    /// Grants that fell due up to so long ago and were not taken are made up for.
    slack: Nanos,
    /// The grant of number 0; moved where the bucket was idle.
    start: Nanos,
    /// The number of the next grant.
    next: u128,
}

impl Bucket {
    /// At most `rate`, from `start` on. What was not taken in time is made up for at once, as far as it fell due at most
    /// `slack` ago: enough for timers that come late, so that the rate is kept and not only stayed below.
    pub fn at_rate(rate: Rate, slack: Nanos, start: Nanos) -> Self {
        Self::striped(rate, slack, start, 0, 1)
    }

    /// Every `count`-th grant of [`Bucket::at_rate`] from number `index` on: of a host that several cores ask, each has one,
    /// and together they keep the rate.
    pub fn striped(rate: Rate, slack: Nanos, start: Nanos, index: u64, count: u64) -> Self {
        assert!(index < count);
        let period = u128::from(NANOS_PER_S) * u128::from(rate.den);
        let offset = (period * u128::from(index)).div_ceil(u128::from(rate.num));
        let start = Nanos(start.0.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX)));
        Self { numerator: period * u128::from(count), denominator: rate.num.into(), slack, start, next: 0 }
    }

    /// At least `gap` between two grants, whatever happened before (`Crawl-delay`).
    pub fn spaced(gap: Nanos, start: Nanos) -> Self {
        Self { numerator: gap.0.into(), denominator: 1, slack: Nanos::ZERO, start, next: 0 }
    }

    /// From when on the next grant may be taken.
    #[inline]
    pub fn due(&self) -> Nanos {
        let offset = (self.next * self.numerator).div_ceil(self.denominator);
        Nanos(u64::try_from(offset).map_or(u64::MAX, |offset| self.start.0.saturating_add(offset)))
    }

    /// Takes the next grant at `now`; calls must not go back in time.
    ///
    /// # Errors
    /// The instant from when on there will be one.
    #[inline]
    pub fn take(&mut self, now: Nanos) -> Result<(), Nanos> {
        let due = self.due();
        if now < due {
            return Err(due);
        }
        let made_up = Nanos(now.0.saturating_sub(self.slack.0));
        if due < made_up {
            // Was idle: what nobody took is gone.
            (self.start, self.next) = (made_up, 0);
        }
        self.next += 1;
        Ok(())
    }
}

/// All limits of one host: `--rate-per-host`, and the delay that its robots.txt asks for.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    rate: Option<Bucket>,
    spacing: Option<Bucket>,
}

impl Pace {
    /// With this rate, or without one.
    pub fn new(rate: Option<Bucket>) -> Self {
        Self { rate, spacing: None }
    }

    /// From `now` on at least `gap` apart.
    pub fn space(&mut self, gap: Nanos, now: Nanos) {
        self.spacing = (gap > Nanos::ZERO).then(|| Bucket::spaced(gap, now));
    }

    /// From when on the host may be asked again; zero where nothing limits it.
    pub fn due(&self) -> Nanos {
        let buckets = [&self.rate, &self.spacing];
        buckets.into_iter().flatten().map(Bucket::due).max().unwrap_or_default()
    }

    /// Asks the host at `now`, under all of its limits or under none.
    ///
    /// # Errors
    /// The instant from when on it may be asked.
    pub fn take(&mut self, now: Nanos) -> Result<(), Nanos> {
        let due = self.due();
        if now < due {
            return Err(due);
        }
        for bucket in [&mut self.rate, &mut self.spacing].into_iter().flatten() {
            bucket.take(now)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLACK: Nanos = Nanos::from_millis(10);

    fn rate(text: &str) -> Rate {
        Rate::parse(text).expect(text)
    }

    /// The instants of all grants up to `end`, taken by one who waits until each is due.
    fn grants(bucket: &mut Bucket, end: Nanos) -> Vec<u64> {
        let mut taken = Vec::new();
        while bucket.due() <= end {
            let due = bucket.due();
            bucket.take(due).expect("it is due");
            taken.push(due.0);
        }
        taken
    }

    #[test]
    fn a_rate_is_exact_over_any_time() {
        let mut third = Bucket::at_rate(rate("3"), SLACK, Nanos(5));
        assert_eq!(grants(&mut third, Nanos(1_000_000_005)), [5, 333_333_339, 666_666_672, 1_000_000_005]);
        let mut fast = Bucket::at_rate(rate("333333"), SLACK, Nanos::ZERO);
        let taken = grants(&mut fast, Nanos::from_secs(3));
        assert_eq!(taken.len(), 999_999 + 1);
        let mut rare = Bucket::at_rate(rate("1/h"), SLACK, Nanos::ZERO);
        assert_eq!(grants(&mut rare, Nanos::from_secs(7_200)).len(), 3);
    }

    #[test]
    fn late_timers_do_not_lower_the_rate() {
        let mut bucket = Bucket::at_rate(rate("1000"), SLACK, Nanos::ZERO);
        let mut taken = 0;
        for tick in 0..1_000 {
            // Two milliseconds apart, each up to 3 ms late.
            let now = Nanos(tick * 2_000_000 + (tick * 7 % 4) * 750_000);
            while bucket.take(now).is_ok() {
                taken += 1;
            }
        }
        assert!((1_998..=2_001).contains(&taken), "{taken}");
    }

    #[test]
    fn time_without_demand_is_not_saved_up() {
        let mut bucket = Bucket::at_rate(rate("100"), SLACK, Nanos::ZERO);
        assert_eq!(bucket.take(Nanos::ZERO), Ok(()));
        let now = Nanos::from_secs(100);
        let burst = (0..100).filter(|_| bucket.take(now).is_ok()).count();
        assert_eq!(burst, 2, "one for the slack of a period, one for now");
        assert_eq!(bucket.take(now), Err(Nanos(now.0 + 10_000_000)));
    }

    #[test]
    fn stripes_of_one_host_make_up_its_rate() {
        for count in [1, 2, 3, 7] {
            let stripe = |index| Bucket::striped(rate("1000/m"), SLACK, Nanos(9), index, count);
            let end = Nanos::from_secs(60);
            let mut all: Vec<_> = (0..count).flat_map(|index| grants(&mut stripe(index), end)).collect();
            all.sort_unstable();
            let whole = grants(&mut Bucket::at_rate(rate("1000/m"), SLACK, Nanos(9)), end);
            assert_eq!(all.len(), whole.len());
            let apart = all.iter().zip(&whole).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(apart <= Some(1), "rounded up to whole nanoseconds once more: {apart:?}");
        }
    }

    #[test]
    fn a_gap_is_kept_even_after_a_late_grant() {
        let mut bucket = Bucket::spaced(Nanos::from_secs(2), Nanos::ZERO);
        assert_eq!(bucket.take(Nanos::ZERO), Ok(()));
        assert_eq!(bucket.take(Nanos(1_999_999_999)), Err(Nanos::from_secs(2)));
        assert_eq!(bucket.take(Nanos::from_secs(5)), Ok(()));
        assert_eq!(bucket.take(Nanos::from_secs(6)), Err(Nanos::from_secs(7)));
    }

    #[test]
    fn in_no_window_are_there_more_grants_than_the_rate_and_the_slack_allow() {
        let mut seed = 0x5eed_u64;
        let mut draw = |end: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % end
        };
        for _ in 0..100 {
            let rate = Rate { num: 1 + draw(2_000), den: 1 + draw(3) };
            let mut bucket = Bucket::at_rate(rate, SLACK, Nanos::ZERO);
            let (mut now, mut taken) = (0, Vec::new());
            for _ in 0..500 {
                now += draw(20_000_000);
                match bucket.take(Nanos(now)) {
                    Ok(()) => taken.push(now),
                    Err(due) => assert!(due.0 > now),
                }
            }
            for (first, &start) in taken.iter().enumerate() {
                for (more, &end) in taken[first..].iter().enumerate() {
                    let allowed = (end - start + SLACK.0) as f64 * rate.per_s() / 1e9 + 1.0 + 1e-6;
                    assert!((more + 1) as f64 <= allowed, "{} in {} ns at {rate:?}", more + 1, end - start);
                }
            }
        }
    }

    #[test]
    fn a_host_is_asked_when_all_of_its_limits_allow() {
        let mut pace = Pace::new(Some(Bucket::at_rate(rate("2"), SLACK, Nanos::ZERO)));
        assert_eq!(pace.take(Nanos::ZERO), Ok(()));
        assert_eq!(pace.due(), Nanos::from_millis(500));
        pace.space(Nanos::from_secs(3), Nanos::from_secs(1));
        assert_eq!(pace.take(Nanos::from_millis(600)), Err(Nanos::from_secs(1)));
        assert_eq!(pace.take(Nanos::from_secs(1)), Ok(()));
        assert_eq!(pace.take(Nanos::from_secs(2)), Err(Nanos::from_secs(4)));
        let mut free = Pace::default();
        free.space(Nanos::ZERO, Nanos::from_secs(1));
        assert!((0..1_000).all(|_| free.take(Nanos::ZERO).is_ok()));
    }

    #[test]
    fn the_ends_of_what_can_be_said_do_not_overflow() {
        let rarest = Rate { num: 1, den: 1 << 40 };
        let mut bucket = Bucket::striped(rarest, SLACK, Nanos(u64::MAX - 5), 1_000, 1_024);
        assert_eq!(bucket.due(), Nanos(u64::MAX));
        assert_eq!(bucket.take(Nanos(u64::MAX)), Ok(()));
        assert_eq!(bucket.due(), Nanos(u64::MAX));
    }
}
