//! The interval of a quantile, as a pair of ranks: it holds for every distribution.

use super::binomial::{TAIL, quantile};
use crate::record::sparse::Bucket;
use crate::record::{Histogram, Window};
use crate::units::Nanos;

/// Shares of the ordered values between which a quantile lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranks {
    /// 0 to 1.
    pub low: f64,
    /// 0 to 1; 1 is the maximum.
    pub high: f64,
}

/// The ranks around `q`, 0 < q < 1, of `n_eff` independent values (Hahn and Meeker, Statistical Intervals, 5.2); `None`
/// where an end lies beyond all of them.
pub fn ranks(q: f64, n_eff: f64) -> Option<Ranks> {
    let n = n_eff as u64;
    if n == 0 {
        return None;
    }
    let (low, high) = (quantile(n, q, TAIL), quantile(n, q, 1.0 - TAIL) + 1);
    (low >= 1 && high <= n).then(|| Ranks { low: low as f64 / n as f64, high: high as f64 / n as f64 })
}

/// How many independent values it takes before the interval of `q`, 0.5 or more, has an upper end: the least n with q^n <= 2.5 %.
pub fn needed(q: f64) -> u64 {
    (TAIL.ln() / q.ln()).ceil() as u64
}

/// For each window how many response times it has and how many of them are above the quantile `q` of all: what
/// [`super::effective`] takes. Where none is, because the slowest are all alike, those alike are counted.
pub fn marks(q: f64, response: &Histogram, windows: &[&Window]) -> Vec<(u64, u64)> {
    let above = |bucket| -> Vec<(u64, u64)> {
        windows.iter().map(|window| (window.response.count(), window.response.count_above(bucket))).collect()
    };
    let bucket = Bucket::of(response.value_at(q));
    let marks = above(bucket);
    if marks.iter().any(|&(_, marked)| marked > 0) {
        return marks;
    }
    above(Bucket::of(Nanos(bucket.lowest().0.saturating_sub(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_interval_takes_is_known() {
        assert_eq!([0.5, 0.99, 0.999, 0.9999].map(needed), [6, 368, 3_688, 36_887]);
        for q in [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999] {
            let needed = needed(q) as f64;
            assert!(ranks(q, needed).is_some_and(|ranks| ranks.high == 1.0), "{q}");
            assert_eq!(ranks(q, needed - 1.0), None, "{q}");
        }
    }

    #[test]
    fn ranks_are_those_of_the_tables() {
        // The median of 100: x(40) to x(61).
        assert_eq!(ranks(0.5, 100.9), Some(Ranks { low: 0.40, high: 0.61 }));
        let p99 = ranks(0.99, 10_000.0).expect("enough");
        assert!((p99.low - 0.988).abs() < 1e-4 && (p99.high - 0.992).abs() < 2e-4, "{p99:?}");
    }
}
