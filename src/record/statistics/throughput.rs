//! The interval of a rate by batch means: neighbouring windows depend on each other, long enough batches of them do not.

use super::student::{Z_975, t};

/// With fewer batches there is no interval.
const BATCHES_MIN: usize = 10;
/// Batches whose neighbours correlate less count as independent.
const AUTOCORRELATION_MAX: f64 = 0.2;

/// The mean of a series and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchMeans {
    /// Of the whole batches.
    pub mean: f64,
    /// The 95 % interval is the mean less and plus this; `None` where batches long enough to be independent would be
    /// fewer than 10: the run is too short for its slow waves.
    pub half_width: Option<f64>,
    /// How many there were in the end.
    pub batches: usize,
}

/// Of a series of equally long spans, in order: the number of batches is halved until the correlation of neighbours is
/// below 0.2. `None` for fewer than 10 spans.
pub fn batch_means(series: &[f64]) -> Option<BatchMeans> {
    let mut batches = series.to_vec();
    while batches.len() >= BATCHES_MIN {
        let (mean, variance) = moments(&batches);
        if autocorrelation(&batches, mean, variance) < AUTOCORRELATION_MAX {
            let m = batches.len();
            let half_width = Some(t(Z_975, m - 1) * (variance / m as f64).sqrt());
            return Some(BatchMeans { mean, half_width, batches: m });
        }
        if batches.len() / 2 < BATCHES_MIN {
            return Some(BatchMeans { mean, half_width: None, batches: batches.len() });
        }
        batches = batches.chunks_exact(2).map(|pair| f64::midpoint(pair[0], pair[1])).collect();
    }
    None
}

/// Mean and unbiased variance of two or more values.
fn moments(values: &[f64]) -> (f64, f64) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (values.len() - 1) as f64)
}

/// Of each value with the next.
fn autocorrelation(values: &[f64], mean: f64, variance: f64) -> f64 {
    let products: f64 = values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    if variance == 0.0 { 0.0 } else { products / (variance * (values.len() - 1) as f64) }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

    use super::*;

    /// x' = phi x + noise around 1,000.
    fn autoregressive(seed: u64, n: usize, phi: f64) -> Vec<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut state = 0.0;
        let mut next = || {
            let noise: f64 = (0..12).map(|_| random.next_u32() as f64 / u32::MAX as f64 - 0.5).sum();
            state = phi * state + noise;
            1_000.0 + state
        };
        // The first hundred bring it to its steady state.
        (0..100 + n).map(|_| next()).skip(100).collect()
    }

    fn coverage(n: usize, phi: f64) -> (f64, usize) {
        let runs: Vec<_> = (0..400).map(|seed| batch_means(&autoregressive(seed, n, phi)).expect("enough")).collect();
        let sure: Vec<_> = runs.iter().filter_map(|run| run.half_width.map(|half| (run.mean, half))).collect();
        let covered = sure.iter().filter(|(mean, half)| (mean - 1_000.0).abs() <= *half).count();
        (covered as f64 / sure.len().max(1) as f64, runs.len() - sure.len())
    }

    #[test]
    fn intervals_of_a_rate_hold_what_they_promise() {
        let (independent, unsure) = coverage(120, 0.0);
        assert!(independent > 0.92 && unsure < 8, "{independent} {unsure}");
        let (dependent, unsure) = coverage(120, 0.5);
        assert!(dependent > 0.88 && unsure < 80, "{dependent} {unsure}");
        let (_, unsure) = coverage(120, 0.95);
        assert!(unsure > 200, "a run of few waves says so: {unsure}");
    }

    #[test]
    fn few_spans_say_nothing_and_equal_ones_are_sure() {
        assert_eq!(batch_means(&[5.0; 9]), None);
        assert_eq!(batch_means(&[5.0; 10]), Some(BatchMeans { mean: 5.0, half_width: Some(0.0), batches: 10 }));
    }
}
