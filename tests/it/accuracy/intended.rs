//! Recording from the intended start needs no correction (method T1): in HdrHistogram's own example of coordinated
//! omission it gives, value for value, what back-filling with the right interval would give.

use hdrhistogram::Histogram as Hdr;
use ringload::record::Histogram;
use ringload::record::histogram::{DIGITS, HIGHEST_NS, LOWEST_NS};
use ringload::units::Nanos;

/// A request is due every 10 ms.
const INTERVAL: u64 = 10_000_000;
const FAST: u64 = 1_000_000;
const STOP: u64 = 100 * 1_000_000_000;

/// One client: 10,000 answers in 1 ms each, one in 100 s, and what fell due meanwhile.
fn from_the_intended_start() -> Histogram {
    let mut histogram = Histogram::default();
    // When the one connection is free again.
    let mut free = 0;
    for number in 0..20_000 {
        let intended = number * INTERVAL;
        // The stop begins with request 10,000, and those behind it are answered as it ends.
        let done = match number {
            10_000 => intended + STOP,
            _ if free > intended => free,
            _ => intended + FAST,
        };
        free = free.max(done);
        histogram.record(Nanos(done - intended));
    }
    histogram
}

#[test]
fn the_textbook_s_pause_is_told_without_correction() {
    let ours = from_the_intended_start();
    let mut corrected = Hdr::<u64>::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS).expect("bounds");
    corrected.record_n(FAST, 10_000).expect("in range");
    corrected.record_correct(STOP, INTERVAL).expect("in range");
    assert_eq!((ours.count(), corrected.len()), (20_000, 20_000));
    assert!(ours.hdr().iter_recorded().eq(corrected.iter_recorded()), "bucket for bucket");
    assert_eq!(ours.count_below(Nanos(FAST + FAST / 100)), 10_000, "half took 1 ms");
    for (q, expected_s) in [(0.75, 50.0), (0.99, 98.0)] {
        let found = ours.quantile(q).expect("enough values").as_secs_f64();
        assert!((found / expected_s - 1.0).abs() <= 1e-3, "q {q}: {found} s");
    }
}

/// T13: quantiles of several cores are those of all their values, and no average.
#[test]
fn merged_quantiles_are_no_averages() {
    let (mut fast, mut slow) = (Histogram::default(), Histogram::default());
    fast.record_n(Nanos(FAST), 90_000);
    slow.record_n(Nanos(100 * FAST), 10_000);
    fast.add(&slow);
    let p95 = fast.quantile(0.95).expect("enough values").as_secs_f64();
    assert!((p95 / 0.1 - 1.0).abs() <= 1e-3, "{p95} s");
}
