//! Times of a known distribution: a quantile function read at places that are dealt by the request's number, so that what a
//! client measures can be held against the exact quantiles. Pure: a number to a time.

use super::route::DELAY_MAX;
use crate::units::Nanos;

/// After so many requests of a thread the times repeat; over each such period the distribution is exact.
pub const PERIOD: u64 = 1 << 16;

/// The longest mean of an exponential distribution, whose largest time is 12 times that: 5 s.
const MEAN_MAX: Nanos = Nanos::from_secs(5);

/// How times are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All the same.
    Fixed(Nanos),
    /// Evenly from 0 to this.
    Uniform(Nanos),
    /// Exponentially, with this mean.
    Exponential(Nanos),
    /// The first, but for one in a hundred that is the second.
    Rare(Nanos, Nanos),
}

impl Spread {
    /// Reads `fixed=TIME`, `uniform=TIME`, `exp=TIME` or `fast=TIME&slow=TIME`; `None` for anything else, and for times
    /// above [`DELAY_MAX`] (a mean above 5 s).
    pub fn parse(query: &[u8]) -> Option<Self> {
        let query = std::str::from_utf8(query).ok()?;
        let (name, rest) = query.split_once('=')?;
        let time = |text: &str, most: Nanos| Nanos::parse(text).ok().filter(|&time| time <= most);
        match name {
            "fixed" => time(rest, DELAY_MAX).map(Self::Fixed),
            "uniform" => time(rest, DELAY_MAX).map(Self::Uniform),
            "exp" => time(rest, MEAN_MAX).map(Self::Exponential),
            "fast" => {
                let (fast, slow) = rest.split_once("&slow=")?;
                Some(Self::Rare(time(fast, DELAY_MAX)?, time(slow, DELAY_MAX)?))
            }
            _ => None,
        }
    }

    /// The time of the request with this number: the quantile at (i + 1/2) / [`PERIOD`], i being the number's place.
    pub fn at(self, number: u64) -> Nanos {
        let share = (place(number) as f64 + 0.5) / PERIOD as f64;
        let of = |time: Nanos, part: f64| Nanos((time.0 as f64 * part) as u64);
        match self {
            Self::Fixed(time) => time,
            Self::Uniform(longest) => of(longest, share),
            Self::Exponential(mean) => of(mean, -(1.0 - share).ln()),
            Self::Rare(fast, slow) => {
                if share < 0.99 {
                    fast
                } else {
                    slow
                }
            }
        }
    }
}

/// A permutation of the numbers of a period: each step, an odd factor or a shift folded in, can be undone. Neighbours come
/// to lie so far apart that a queue takes their times for independent ones.
fn place(number: u64) -> u64 {
    const MASK: u64 = PERIOD - 1;
    let mut x = ((number & MASK) * 40_503 + 23_063) & MASK;
    x = ((x ^ (x >> 8)) * 27_947) & MASK;
    x = ((x ^ (x >> 7)) * 46_509) & MASK;
    x ^ (x >> 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of a period, ascending, in milliseconds.
    fn period(query: &str) -> Vec<f64> {
        let spread = Spread::parse(query.as_bytes()).expect("a distribution");
        let mut all: Vec<f64> = (0..PERIOD).map(|number| spread.at(number).0 as f64 / 1e6).collect();
        all.sort_by(f64::total_cmp);
        all
    }

    fn quantile(sorted: &[f64], q: f64) -> f64 {
        sorted[(sorted.len() as f64 * q).ceil() as usize - 1]
    }

    #[track_caller]
    fn close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-3, "{found}, not {expected}");
    }

    #[test]
    fn every_place_is_taken_once_a_period() {
        let mut places: Vec<u64> = (0..PERIOD).map(place).collect();
        places.sort_unstable();
        assert!(places.into_iter().eq(0..PERIOD));
        assert_eq!(place(PERIOD + 7), place(7));
    }

    #[test]
    fn a_period_has_the_quantiles_of_its_distribution() {
        let uniform = period("uniform=100ms");
        for q in [0.01, 0.5, 0.9, 0.999] {
            close(quantile(&uniform, q), 100.0 * q);
        }
        let exponential = period("exp=20ms");
        for (q, expected) in [(0.5, 13.863), (0.9, 46.052), (0.99, 92.103), (0.999, 138.155)] {
            close(quantile(&exponential, q), expected);
        }
        close(exponential.iter().sum::<f64>() / exponential.len() as f64, 20.0);
        let rare = period("fast=1ms&slow=100ms");
        assert_eq!([0.5, 0.989, 0.991, 1.0].map(|q| quantile(&rare, q)), [1.0, 1.0, 100.0, 100.0]);
        assert_eq!(rare.iter().filter(|&&time| time == 100.0).count() as u64, PERIOD / 100);
        assert!(period("fixed=5ms").iter().all(|&time| time == 5.0));
    }

    #[test]
    fn neighbours_are_as_if_independent() {
        let spread = Spread::Uniform(Nanos(1_000_000));
        let share = |number| spread.at(number).0 as f64 / 1e6 - 0.5;
        for lag in [1, 2, 3, 8, 64] {
            // Of independent ones it would be 0 with a standard deviation of 1/256.
            let correlation = (0..PERIOD).map(|n| share(n) * share(n + lag)).sum::<f64>() * 12.0 / PERIOD as f64;
            assert!(correlation.abs() < 0.02, "lag {lag}: {correlation}");
        }
    }

    #[test]
    fn what_cannot_be_had_is_not_guessed() {
        for query in
            ["", "exp", "exp=", "exp=5001ms", "uniform=61s", "fixed=1", "fast=1ms", "fast=1ms&slow=", "fixed=1ms&x=1"]
        {
            assert_eq!(Spread::parse(query.as_bytes()), None, "{query}");
        }
        assert_eq!(Spread::parse(b"fixed=60s"), Some(Spread::Fixed(DELAY_MAX)));
        assert_eq!(Spread::parse(b"exp=5s"), Some(Spread::Exponential(MEAN_MAX)));
        let longest = (0..PERIOD).map(|number| Spread::Exponential(MEAN_MAX).at(number)).max();
        assert!(longest.expect("a period") <= DELAY_MAX);
    }
}
