//! The latency histogram: bounds, recording and reading quantiles.

use hdrhistogram::Histogram as Hdr;

use crate::units::Nanos;

/// Smallest value told apart from 0.
pub const LOWEST_NS: u64 = 1;
/// Largest value; longer ones are counted here and make the report warn.
pub const HIGHEST_NS: u64 = 24 * 3_600 * crate::units::NANOS_PER_S;
/// Significant decimal digits of every value.
pub const DIGITS: u8 = 3;

/// Latencies in nanoseconds, 1 ns to 24 h with 3 digits; about 300 KB, all of it allocated at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    hdr: Hdr<u64>,
    /// How many values were above [`HIGHEST_NS`]; subset of the count.
    clamped: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        let hdr = Hdr::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).expect("the bounds are constants in range");
        Self { hdr, clamped: 0 }
    }
}

impl Histogram {
    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value: Nanos) {
        self.record_n(value, 1);
    }

    /// Counts the same value `n` times.
    #[inline]
    pub fn record_n(&mut self, value: Nanos, n: u64) {
        if value.0 > HIGHEST_NS {
            self.clamped += n;
        }
        self.hdr.saturating_record_n(value.0, n);
    }

    /// Adds another histogram, bucket for bucket.
    pub fn add(&mut self, other: &Self) {
        self.hdr.add(&other.hdr).expect("all histograms have the same bounds");
        self.clamped += other.clamped;
    }

    /// Back to empty, without giving memory back.
    pub fn reset(&mut self) {
        self.hdr.reset();
        self.clamped = 0;
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.hdr.len()
    }

    /// How many of them were above [`HIGHEST_NS`].
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// The smallest value v with count(≤ v) ≥ ⌈q · count⌉, as the highest value of its bucket, never above the maximum;
    /// `None` where fewer than one value is expected above it: count · (1 − q) < 1.
    pub fn quantile(&self, q: f64) -> Option<Nanos> {
        let beyond = self.count() as f64 * (1.0 - q);
        // One part in a billion, so that 1,000 values have a p99.9 in spite of binary fractions.
        (beyond >= 1.0 - 1e-9).then(|| self.value_at(q))
    }

    /// The smallest value v with count(≤ v) ≥ ⌈share · count⌉, however few lie beyond; 0 when empty.
    pub fn value_at(&self, share: f64) -> Nanos {
        Nanos(self.hdr.value_at_quantile(share).min(self.hdr.max()))
    }

    /// The smallest value's bucket; `None` when empty.
    pub fn min(&self) -> Option<Nanos> {
        (self.count() > 0).then(|| Nanos(self.hdr.min()))
    }

    /// The largest value's bucket; `None` when empty.
    pub fn max(&self) -> Option<Nanos> {
        (self.count() > 0).then(|| Nanos(self.hdr.max()))
    }

    /// The mean of the bucket mid-points in nanoseconds; `None` when empty.
    pub fn mean_ns(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.hdr.mean())
    }

    /// How many values lie in buckets below that of `value`.
    pub fn count_below(&self, value: Nanos) -> u64 {
        match self.hdr.lowest_equivalent(value.0.min(HIGHEST_NS)) {
            0 => 0,
            lowest => self.hdr.count_between(0, lowest - 1),
        }
    }

    /// How many values lie in the bucket of `value` and above, and their sum in nanoseconds by the middles of their buckets.
    pub fn from(&self, value: Nanos) -> (u64, f64) {
        let lowest = self.hdr.lowest_equivalent(value.0.min(HIGHEST_NS));
        let buckets = self.hdr.iter_recorded().filter(|bucket| bucket.value_iterated_to() >= lowest);
        buckets.fold((0, 0.0), |(count, sum), bucket| {
            let n = bucket.count_at_value();
            (count + n, sum + n as f64 * self.hdr.median_equivalent(bucket.value_iterated_to()) as f64)
        })
    }

    /// The histogram under this one, for the file formats that take it whole.
    pub fn hdr(&self) -> &Hdr<u64> {
        &self.hdr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_needs_a_value_beyond_it() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|us| histogram.record(Nanos(us * 1000)));
        assert_eq!(histogram.quantile(0.999).map(|v| v.0 / 1000), Some(999));
        assert_eq!(histogram.quantile(0.9999), None);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn merging_adds_counts_and_never_averages() {
        let (mut fast, mut slow) = (Histogram::default(), Histogram::default());
        fast.record_n(Nanos::from_millis(1), 90_000);
        slow.record_n(Nanos::from_millis(100), 10_000);
        fast.add(&slow);
        let p95_ms = fast.quantile(0.95).map(|v| v.0 as f64 / 1e6);
        assert!(p95_ms.is_some_and(|ms| (ms - 100.0).abs() < 0.1), "{p95_ms:?}");
        assert_eq!(fast.count(), 100_000);
    }

    #[test]
    fn a_value_out_of_range_is_counted_and_marked() {
        let mut histogram = Histogram::default();
        histogram.record(Nanos(u64::MAX));
        histogram.record(Nanos(0));
        assert_eq!((histogram.count(), histogram.clamped()), (2, 1));
    }

    #[test]
    fn a_tail_is_counted_and_summed_from_its_value_s_own_bucket_on() {
        let mut histogram = Histogram::default();
        [10, 20, 30].into_iter().for_each(|ms| histogram.record(Nanos::from_millis(ms)));
        let (count, sum_ns) = histogram.from(Nanos::from_millis(20));
        assert!(count == 2 && (sum_ns / 50e6 - 1.0).abs() < 0.001, "{count} {sum_ns}");
        assert_eq!(histogram.from(Nanos(u64::MAX)), (0, 0.0));
    }

    #[test]
    fn count_below_stops_at_the_value_s_own_bucket() {
        let mut histogram = Histogram::default();
        [10, 20, 30].into_iter().for_each(|ms| histogram.record(Nanos::from_millis(ms)));
        assert_eq!(histogram.count_below(Nanos::from_millis(20)), 1);
        assert_eq!(histogram.count_below(Nanos(0)), 0);
        assert_eq!(histogram.count_below(Nanos(u64::MAX)), 3);
    }
}
