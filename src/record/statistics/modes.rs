//! Whether a distribution has more than one mode: quantiles between two say nothing of either.

use crate::record::Histogram;
use crate::units::Nanos;

/// Bins a doubling: each is 19 % wide.
const BINS: f64 = 4.0;
/// With fewer values, or fewer in the smaller peak's bin, a peak may be chance.
const VALUES_MIN: u64 = 1_000;
const PEAK_MIN: u64 = 30;
/// The share of all values that makes a mode.
const SHARE_MIN: f64 = 0.005;
/// Two peaks are told apart where one is so many times the other.
const RATIO_MIN: f64 = 1.5;

/// One heap of values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mode {
    /// Of all values, 0 to 1.
    pub share: f64,
    /// The middle of its highest bin.
    pub centre: Nanos,
}

/// The heaps of a distribution.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modes {
    /// Sum of the steps between neighbouring bins over the highest bin (Gregg's mvalue): 2 for one smooth heap, above
    /// 2.4 for more.
    pub mvalue: f64,
    /// Ascending; one where there is nothing to tell apart.
    pub modes: Vec<Mode>,
}

/// The modes of `histogram` on bins of a quarter doubling; `None` for fewer than 1,000 values.
///
/// Two peaks are modes of their own where the valley between them is at most half as high as the smaller one, or the
/// smaller one stands out of it by a fifth of the largest (which alone lifts the mvalue above 2.4), they are 1.5 times
/// apart, and each has 0.5 % of the values.
pub fn modes(histogram: &Histogram) -> Option<Modes> {
    if histogram.count() < VALUES_MIN {
        return None;
    }
    let (first, bins) = bins(histogram);
    let highest = bins.iter().copied().max().unwrap_or_default();
    let (before, after) = ([0].iter().chain(&bins), bins.iter().chain(&[0]));
    let steps: u64 = before.zip(after).map(|(a, b)| a.abs_diff(*b)).sum();
    let modes = heaps(&bins, highest, histogram.count()).into_iter().map(|heap| Mode {
        share: heap.values as f64 / histogram.count() as f64,
        centre: Nanos((((first + heap.peak) as f64 + 0.5) / BINS).exp2() as u64),
    });
    Some(Modes { mvalue: steps as f64 / highest as f64, modes: modes.collect() })
}

/// The number of the first bin with values, and the counts from there to the last.
fn bins(histogram: &Histogram) -> (usize, Vec<u64>) {
    let mut first = None;
    let mut bins = Vec::new();
    for recorded in histogram.hdr().iter_recorded() {
        let bin = (BINS * (recorded.value_iterated_to().max(1) as f64).log2()) as usize;
        let place = bin - *first.get_or_insert(bin);
        bins.resize(place + 1, 0);
        bins[place] += recorded.count_since_last_iteration();
    }
    (first.unwrap_or_default(), bins)
}

/// Neighbouring bins around a peak.
#[derive(Clone, Copy, Debug)]
struct Heap {
    peak: usize,
    values: u64,
}

/// Joins neighbours that are not modes of their own, those first that the lowest ridge parts, until only modes are left.
fn heaps(bins: &[u64], highest: u64, all: u64) -> Vec<Heap> {
    let mut heaps: Vec<_> = bins.iter().enumerate().map(|(peak, &values)| Heap { peak, values }).collect();
    let ridge = |pair: &[Heap]| {
        let smaller = bins[pair[0].peak].min(bins[pair[1].peak]);
        let valley = bins[pair[0].peak..=pair[1].peak].iter().copied().min().unwrap_or_default();
        (smaller, smaller - valley)
    };
    let apart = |pair: &[Heap]| {
        let (smaller, ridge) = ridge(pair);
        ((pair[1].peak - pair[0].peak) as f64 / BINS).exp2() >= RATIO_MIN
            && smaller >= PEAK_MIN
            && (ridge * 2 >= smaller || ridge * 5 >= highest)
            && pair.iter().all(|heap| heap.values as f64 >= SHARE_MIN * all as f64)
    };
    loop {
        let joined = heaps.windows(2).enumerate().filter(|(_, pair)| !apart(pair));
        let Some((at, _)) = joined.min_by_key(|(_, pair)| ridge(pair).1) else { return heaps };
        let (left, right) = (heaps[at], heaps.remove(at + 1));
        let peak = if bins[right.peak] > bins[left.peak] { right.peak } else { left.peak };
        heaps[at] = Heap { peak, values: left.values + right.values };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` values spread like a bell, on a logarithmic scale, around `centre_us`.
    fn add(histogram: &mut Histogram, n: u64, centre_us: f64) {
        for number in 0..n {
            let sum: f64 = (1..=6).map(|k| (number as f64 * 0.618_034 * f64::from(k * k)).fract() - 0.5).sum();
            histogram.record(Nanos((centre_us * 1e3 * (0.3 * sum).exp2()) as u64));
        }
    }

    fn of(heaps: &[(u64, f64)]) -> Modes {
        let mut histogram = Histogram::default();
        heaps.iter().for_each(|&(n, centre_us)| add(&mut histogram, n, centre_us));
        modes(&histogram).expect("enough values")
    }

    #[test]
    fn one_heap_is_one_mode() {
        let one = of(&[(10_000, 200.0)]);
        assert!(one.modes.len() == 1 && one.mvalue < 2.2, "{one:?}");
        let centre_us = one.modes[0].centre.0 as f64 / 1e3;
        assert!((170.0..240.0).contains(&centre_us), "{centre_us}");
        let mut constant = Histogram::default();
        constant.record_n(Nanos::from_millis(20), 5_000);
        assert_eq!(modes(&constant).map(|modes| (modes.mvalue, modes.modes.len())), Some((2.0, 1)));
    }

    #[test]
    fn two_heaps_are_told_with_share_and_centre_down_to_one_in_two_hundred() {
        for (large, small) in [(5_000, 5_000), (8_000, 2_000), (9_500, 500), (39_720, 280)] {
            let two = of(&[(large, 200.0), (small, 2_000.0)]);
            assert_eq!(two.modes.len(), 2, "{two:?}");
            let (share, centre_us) = (two.modes[1].share, two.modes[1].centre.0 as f64 / 1e3);
            assert!((share - small as f64 / (large + small) as f64).abs() < 0.001, "{two:?}");
            assert!((1_600.0..2_500.0).contains(&centre_us), "{two:?}");
        }
        assert_eq!(of(&[(9_980, 200.0), (20, 2_000.0)]).modes.len(), 1, "too few to be a mode");
    }

    #[test]
    fn a_long_tail_and_a_near_neighbour_are_no_modes_and_few_values_tell_nothing() {
        let mut tail = Histogram::default();
        (1..=20_000u64).for_each(|rank| tail.record(Nanos(100_000 * 20_000 / rank)));
        assert_eq!(modes(&tail).map(|modes| modes.modes.len()), Some(1));
        assert_eq!(of(&[(5_000, 200.0), (5_000, 260.0)]).modes.len(), 1);
        let mut few = Histogram::default();
        add(&mut few, 999, 200.0);
        assert_eq!(modes(&few), None);
    }
}
