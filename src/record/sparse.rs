//! A histogram for keeping by the thousand: few, coarse buckets, of which only those with values in them take room.

use super::histogram::Histogram;
use crate::units::Nanos;

/// Each doubling of the value has 2^6 buckets: a bucket is at most 1.6 % wide, its middle within 0.8 % of every value in
/// it. The edges are edges of [`Histogram`] too, so that nothing is counted on the wrong side of one.
const DIGITS: u32 = 6;

/// Values by bucket, ascending; 8 bytes a bucket that has any, at most 2,688 of them. Answers between 100 us and 100 ms
/// take at most 640, and those of an ordinary half second about 200.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SparseHistogram {
    buckets: Vec<(Bucket, u32)>,
}

/// One range of values; ordered as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket that `value` falls into.
    pub fn of(value: Nanos) -> Self {
        let value = value.0.max(1);
        let shift = value.ilog2().saturating_sub(DIGITS);
        let place = (u64::from(shift) << DIGITS) + (value >> shift);
        Self(u16::try_from(place).expect("64 doublings of 64 buckets"))
    }

    /// Its lowest value.
    pub fn lowest(self) -> Nanos {
        let place = u64::from(self.0);
        let shift = (place >> DIGITS).saturating_sub(1);
        Nanos((place - (shift << DIGITS)) << shift)
    }

    /// Its highest value.
    pub fn highest(self) -> Nanos {
        Nanos(Self(self.0 + 1).lowest().0 - 1)
    }
}

impl SparseHistogram {
    /// The same values, each in the coarser bucket that holds its own.
    pub fn new(histogram: &Histogram) -> Self {
        let mut buckets: Vec<(Bucket, u32)> = Vec::new();
        for value in histogram.hdr().iter_recorded() {
            let bucket = Bucket::of(Nanos(value.value_iterated_to()));
            let count = u32::try_from(value.count_since_last_iteration()).unwrap_or(u32::MAX);
            match buckets.last_mut() {
                Some((last, sum)) if *last == bucket => *sum = sum.saturating_add(count),
                _ => buckets.push((bucket, count)),
            }
        }
        buckets.shrink_to_fit();
        Self { buckets }
    }

    /// Of single values, without the cost of a whole histogram.
    #[cfg(test)]
    pub(crate) fn of(mut values: Vec<Nanos>) -> Self {
        values.sort_unstable();
        let equal = values.chunk_by(|a, b| Bucket::of(*a) == Bucket::of(*b));
        Self { buckets: equal.map(|equal| (Bucket::of(equal[0]), equal.len() as u32)).collect() }
    }

    /// The buckets that hold values, ascending, and how many each.
    pub fn buckets(&self) -> &[(Bucket, u32)] {
        &self.buckets
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&(_, count)| u64::from(count)).sum()
    }

    /// The middle one of the values, in nanoseconds, as if those of a bucket were spread evenly over it.
    pub fn median_ns(&self) -> Option<f64> {
        let half = self.count() as f64 / 2.0;
        let mut below = 0.0;
        for &(bucket, count) in &self.buckets {
            let count = f64::from(count);
            if below + count >= half {
                let (lowest, highest) = (bucket.lowest().0 as f64, bucket.highest().0 as f64);
                return Some(lowest + (highest - lowest) * (half - below) / count);
            }
            below += count;
        }
        None
    }

    /// How many values lie in buckets above `bucket`.
    pub fn count_above(&self, bucket: Bucket) -> u64 {
        self.buckets.iter().rev().take_while(|(at, _)| *at > bucket).map(|&(_, count)| u64::from(count)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::HIGHEST_NS;
    use super::*;

    #[test]
    fn buckets_join_without_gap_and_are_narrow() {
        let last = Bucket::of(Nanos(HIGHEST_NS));
        assert!(last.0 < 2_688, "{last:?}");
        for place in 1..=last.0 {
            let bucket = Bucket(place);
            let (lowest, highest) = (bucket.lowest(), bucket.highest());
            assert_eq!((Bucket::of(lowest), Bucket::of(highest)), (bucket, bucket));
            assert_eq!(Bucket::of(Nanos(highest.0 + 1)), Bucket(place + 1));
            assert!((highest.0 - lowest.0) as f64 <= 0.016 * lowest.0 as f64, "{lowest:?} to {highest:?}");
        }
    }

    #[test]
    fn it_holds_what_the_histogram_holds() {
        let mut histogram = Histogram::default();
        for number in 0..10_000u64 {
            histogram.record(Nanos(number * number * 137));
        }
        histogram.record_n(Nanos::from_millis(700), 50);
        let sparse = SparseHistogram::new(&histogram);
        assert_eq!(sparse.count(), histogram.count());
        assert!(sparse.buckets().is_sorted_by(|(a, _), (b, _)| a < b));
        for ms in [0, 1, 20, 699, 700, 13_000, 14_000] {
            let edge = Bucket::of(Nanos::from_millis(ms)).lowest();
            let below = sparse.count() - sparse.count_above(Bucket::of(Nanos(edge.0.saturating_sub(1))));
            assert_eq!(below, histogram.count_below(edge), "{ms} ms");
        }
    }

    #[test]
    fn a_median_is_found_within_its_bucket() {
        let mut histogram = Histogram::default();
        (0..1_000u64).for_each(|number| histogram.record(Nanos(1_000_000 + number * 100)));
        let median = SparseHistogram::new(&histogram).median_ns().expect("values");
        assert!((median - 1_050_000.0).abs() < 1_500.0, "{median}");
        assert_eq!(SparseHistogram::default().median_ns(), None);
    }

    #[test]
    fn a_half_second_of_ordinary_answers_takes_little_room() {
        let mut histogram = Histogram::default();
        for number in 0..50_000u64 {
            histogram.record(Nanos(100_000 + number * 7_919 % 100_000_000));
        }
        let taken = SparseHistogram::new(&histogram).buckets().len();
        assert!((200..=640).contains(&taken), "{taken}");
        assert_eq!(SparseHistogram::new(&Histogram::default()).buckets(), []);
    }
}
