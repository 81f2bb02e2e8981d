//! Whether a run was steady: a warm-up that was too short, a drift, a second unlike the others. Each flags and cuts
//! nothing: what belongs to the run is the user's to say.

use super::student::{Z_995, t};

/// Values that make a batch of MSER-5.
const BATCH: usize = 5;
/// With fewer batches there is no telling a warm-up from chance: 30 s of half seconds have as many.
const BATCHES_MIN: usize = 12;
/// So many batches must be left behind a warm-up; fewer may look alike by chance.
const BATCHES_LEFT: usize = 5;
/// A change of the level by less is not worth a word, however certain it is.
const CHANGE_MIN: f64 = 1.05;
/// With fewer seconds there is no telling a drift, or a second unlike the others, from chance.
const DRIFT_SECONDS_MIN: usize = 20;
const OUTLIER_SECONDS_MIN: usize = 10;
/// Spearman's coefficient beyond which, where it is significant, the run drifted.
const DRIFT_RHO: f64 = 0.3;
/// So many median deviations from the median are an outlier: ten standard deviations of a normal distribution.
const OUTLIER_Z: f64 = 14.8;

/// How long the beginning differed from the rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WarmUp {
    /// Values at the start that are best left out.
    pub values: usize,
    /// Their mean over that of the rest.
    pub ratio: f64,
    /// No part was steady: more than half would have to be left out.
    pub never_steady: bool,
}

impl WarmUp {
    /// What MSER-5 (White, Cobb and Spratt, 2000) would leave out of a series of levels, where that is more than a tenth
    /// and at another level by 5 % or more; `None` where it is not, or the series is too short to tell.
    pub fn of(series: &[f64]) -> Option<Self> {
        let batches: Vec<f64> =
            series.chunks_exact(BATCH).map(|batch| batch.iter().sum::<f64>() / BATCH as f64).collect();
        let n = batches.len();
        if n < BATCHES_MIN {
            return None;
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let error = |d: &usize| {
            let rest = &batches[*d..];
            let level = mean(rest);
            rest.iter().map(|value| (value - level).powi(2)).sum::<f64>() / (rest.len() as f64).powi(2)
        };
        let d = (0..=n - BATCHES_LEFT).min_by(|a, b| error(a).total_cmp(&error(b)))?;
        if d * 10 <= n {
            return None;
        }
        let ratio = mean(&batches[..d]) / mean(&batches[d..]);
        changed(ratio).then_some(Self { values: d * BATCH, ratio, never_steady: d * 2 > n })
    }
}

/// A tendency over the whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// Spearman's rank correlation of the p99 with time, -1 to 1.
    pub rho: f64,
    /// The median p50 of the last third over that of the first.
    pub p50_ratio: f64,
    /// The same of the p99.
    pub p99_ratio: f64,
    /// Beyond 0.3, with p < 0.01, and a change of p50 or p99 by 5 % or more.
    pub significant: bool,
}

impl Drift {
    /// Of the p50 and p99 of each second, in order; `None` for fewer than 20 of them.
    pub fn of(p50s: &[f64], p99s: &[f64]) -> Option<Self> {
        let n = p99s.len();
        if n < DRIFT_SECONDS_MIN || p50s.len() != n {
            return None;
        }
        let rho = spearman(p99s);
        let thirds = |values: &[f64]| median(&values[n - n / 3..]) / median(&values[..n / 3]);
        let (p50_ratio, p99_ratio) = (thirds(p50s), thirds(p99s));
        let certainty = rho.abs() * ((n - 2) as f64 / (1.0 - rho * rho).max(f64::MIN_POSITIVE)).sqrt();
        let significant = rho.abs() > DRIFT_RHO && certainty > t(Z_995, n - 2);
        Some(Self { rho, p50_ratio, p99_ratio, significant: significant && (changed(p50_ratio) || changed(p99_ratio)) })
    }
}

/// Seconds unlike the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutlierSecond {
    /// The place in the series of the one that is farthest off.
    pub place: usize,
    /// Its value.
    pub value: f64,
    /// The median of all.
    pub median: f64,
    /// How many there are.
    pub count: usize,
}

impl OutlierSecond {
    /// The values more than 14.8 median absolute deviations above the median; `None` where there are none, or fewer than
    /// 10 values. What varies by less than 1 % of the median is held to vary by that much.
    pub fn of(series: &[f64]) -> Option<Self> {
        if series.len() < OUTLIER_SECONDS_MIN {
            return None;
        }
        let middle = median(series);
        let deviations: Vec<f64> = series.iter().map(|value| (value - middle).abs()).collect();
        let limit = OUTLIER_Z * median(&deviations).max(middle * 0.01);
        let outliers = || series.iter().copied().enumerate().filter(|(_, value)| value - middle > limit);
        let (place, value) = outliers().max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some(Self { place, value, median: middle, count: outliers().count() })
    }
}

fn changed(ratio: f64) -> bool {
    ratio >= CHANGE_MIN || ratio <= 1.0 / CHANGE_MIN
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { f64::midpoint(sorted[half - 1], sorted[half]) }
}

/// Pearson's correlation of the ranks with time; 0 where all values are equal.
fn spearman(series: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_by(|&a, &b| series[a].total_cmp(&series[b]));
    let mut ranks = vec![0.0; series.len()];
    let mut below = 0;
    // Equal values have the mean of their ranks.
    for equal in order.chunk_by(|&a, &b| series[a] == series[b]) {
        let rank = below as f64 + (equal.len() as f64 - 1.0) / 2.0;
        equal.iter().for_each(|&place| ranks[place] = rank);
        below += equal.len();
    }
    let middle = (series.len() as f64 - 1.0) / 2.0;
    let (mut products, mut of_ranks, mut of_time) = (0.0, 0.0, 0.0);
    for (time, rank) in ranks.iter().enumerate() {
        let (rank, time) = (rank - middle, time as f64 - middle);
        products += rank * time;
        of_ranks += rank * rank;
        of_time += time * time;
    }
    if of_ranks == 0.0 { 0.0 } else { products / f64::sqrt(of_ranks * of_time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise of a few percent around 1, without a tendency.
    fn noise(n: usize) -> impl Iterator<Item = f64> {
        (0..n).map(|place| 0.97 + (place * 7_919 % 61) as f64 / 1_000.0)
    }

    #[test]
    fn a_slow_start_is_told_with_its_length() {
        let cold: Vec<f64> = noise(120).enumerate().map(|(at, x)| x * if at < 25 { 2.0 } else { 1.0 }).collect();
        let warm_up = WarmUp::of(&cold).expect("a warm-up of 25");
        assert!((25..=30).contains(&warm_up.values) && !warm_up.never_steady, "{warm_up:?}");
        assert!((warm_up.ratio - 2.0).abs() < 0.2, "{warm_up:?}");
        let rising: Vec<f64> = noise(120).enumerate().map(|(at, x)| x + at as f64 / 30.0).collect();
        assert!(WarmUp::of(&rising).is_some_and(|warm_up| warm_up.never_steady));
    }

    #[test]
    fn what_is_steady_or_too_short_is_not_flagged() {
        for n in [5, 59, 60, 600] {
            assert_eq!(WarmUp::of(&noise(n).collect::<Vec<_>>()), None, "{n}");
        }
        let short: Vec<f64> = noise(59).enumerate().map(|(at, x)| x * if at < 25 { 2.0 } else { 1.0 }).collect();
        assert_eq!(WarmUp::of(&short), None);
        assert_eq!(WarmUp::of(&[1.0; 200]), None);
    }

    #[test]
    fn a_drift_is_a_tendency_that_matters() {
        let series = |slope: f64| -> Vec<f64> { noise(60).enumerate().map(|(at, x)| x + slope * at as f64).collect() };
        let drift = |slope| Drift::of(&series(slope), &series(slope)).expect("60 s");
        assert!(drift(0.005).significant && drift(0.005).rho > 0.9 && drift(0.005).p50_ratio > 1.15);
        assert!(drift(-0.005).significant && drift(-0.005).rho < -0.9);
        assert!(!drift(0.0).significant && drift(0.0).rho.abs() < 0.3, "{:?}", drift(0.0));
        let certain_and_small = drift(0.001);
        assert!(certain_and_small.rho > 0.5 && !certain_and_small.significant, "{certain_and_small:?}");
        assert_eq!(Drift::of(&[1.0; 19], &[1.0; 19]), None);
        assert_eq!(Drift::of(&[1.0; 20], &[1.0; 20]).map(|drift| drift.rho), Some(0.0));
    }

    #[test]
    fn ranks_correlate_as_in_the_textbook() {
        assert_eq!(spearman(&[1.0, 2.0, 3.0, 100.0]), 1.0);
        assert_eq!(spearman(&[4.0, 3.0, 2.0, 1.0]), -1.0);
        // 1 - 6 * (4 + 1 + 4 + 1 + 4) / (5 * 24) with ranks 3, 1, 5, 4... by hand: d = 2, 1, 2, 0, 3.
        assert!((spearman(&[30.0, 10.0, 50.0, 40.0, 20.0]) - 0.1).abs() < 1e-12);
    }

    #[test]
    fn a_second_unlike_the_others_is_found() {
        let mut series: Vec<f64> = noise(30).collect();
        assert_eq!(OutlierSecond::of(&series), None);
        series[7] = 5.0;
        series[20] = 3.0;
        let found = OutlierSecond::of(&series).expect("two seconds");
        assert_eq!((found.place, found.value, found.count), (7, 5.0, 2));
        assert_eq!(OutlierSecond::of(&series[4..13]), None, "too few");
        let mut constant = vec![1.0; 20];
        constant[0] = 1.1;
        assert_eq!(OutlierSecond::of(&constant), None, "a tenth more is nothing");
        constant[0] = 1.2;
        assert_eq!(OutlierSecond::of(&constant).map(|found| found.place), Some(0));
    }
}
