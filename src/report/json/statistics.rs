//! The `statistics` object: what is inferred of a run, mirrored.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::statistics::{BatchMeans, Effective, Modes as Found};
use crate::record::timeline::WINDOW;
use crate::report::inference::{ErrorRate as Rate, Inference, QuantileInterval};
use crate::report::summary::{QUANTILES, us};

#[derive(Serialize)]
pub(super) struct Statistics {
    scope: &'static str,
    confidence: f64,
    response_us: BTreeMap<String, Quantile>,
    ok_per_s: Option<Throughput>,
    error_rate: Option<ErrorRate>,
    warmup_too_short: Option<WarmUp>,
    drift: Option<Drift>,
    outlier_second: Option<OutlierSecond>,
    modes: Option<Modes>,
}

#[derive(Serialize)]
struct Quantile {
    ci95: Option<Interval>,
    n_eff: Option<f64>,
    deff: Option<f64>,
    needs: u64,
    needs_s: Option<f64>,
}

#[derive(Serialize)]
struct Interval {
    low: f64,
    high: Option<f64>,
}

#[derive(Serialize)]
struct Throughput {
    mean: f64,
    ci95: Option<Interval>,
    batches: usize,
}

#[derive(Serialize)]
struct ErrorRate {
    share: f64,
    ci95: Interval,
    n_eff: f64,
    deff: f64,
}

#[derive(Serialize)]
struct WarmUp {
    first_s: f64,
    ratio: f64,
    never_steady: bool,
}

#[derive(Serialize)]
struct Drift {
    rho: f64,
    p50_ratio: f64,
    p99_ratio: f64,
    significant: bool,
}

#[derive(Serialize)]
struct OutlierSecond {
    t_s: f64,
    p99_us: f64,
    median_p99_us: f64,
    count: usize,
}

#[derive(Serialize)]
struct Modes {
    mvalue: f64,
    modes: Vec<Mode>,
}

#[derive(Serialize)]
struct Mode {
    share: f64,
    centre_us: f64,
}

impl Statistics {
    pub(super) fn new(inference: &Inference) -> Self {
        // The names of `latency_us`, whose keys have no dots.
        let names = QUANTILES.iter().map(|(name, _)| name.replace('.', "_"));
        Self {
            scope: "within this run",
            confidence: 0.95,
            response_us: names.zip(inference.quantiles.iter().map(Quantile::new)).collect(),
            ok_per_s: inference.throughput.as_ref().map(Throughput::new),
            error_rate: inference.error_rate.as_ref().map(ErrorRate::new),
            warmup_too_short: inference.warm_up.map(|found| WarmUp {
                first_s: found.values as f64 * WINDOW.as_secs_f64(),
                ratio: found.ratio,
                never_steady: found.never_steady,
            }),
            drift: inference.drift.map(|drift| Drift {
                rho: drift.rho,
                p50_ratio: drift.p50_ratio,
                p99_ratio: drift.p99_ratio,
                significant: drift.significant,
            }),
            outlier_second: inference.outlier.map(|(t_s, outlier)| OutlierSecond {
                t_s,
                p99_us: outlier.value,
                median_p99_us: outlier.median,
                count: outlier.count,
            }),
            modes: inference.modes.as_ref().map(Modes::new),
        }
    }
}

impl Quantile {
    fn new(quantile: &QuantileInterval) -> Self {
        Self {
            ci95: quantile.ci95.map(|interval| Interval { low: interval.low_us, high: interval.high_us }),
            n_eff: quantile.effective.map(|effective| effective.n_eff),
            deff: quantile.effective.map(|effective| effective.deff),
            needs: quantile.needs,
            needs_s: quantile.needs_s,
        }
    }
}

impl Throughput {
    fn new(means: &BatchMeans) -> Self {
        let interval = |half| Interval { low: f64::max(means.mean - half, 0.0), high: Some(means.mean + half) };
        Self { mean: means.mean, ci95: means.half_width.map(interval), batches: means.batches }
    }
}

impl ErrorRate {
    fn new(rate: &Rate) -> Self {
        let (low, high) = rate.ci95;
        let Effective { deff, n_eff } = rate.effective;
        Self { share: rate.share, ci95: Interval { low, high: Some(high) }, n_eff, deff }
    }
}

impl Modes {
    fn new(found: &Found) -> Self {
        let modes = found.modes.iter().map(|mode| Mode { share: mode.share, centre_us: us(mode.centre) });
        Self { mvalue: found.mvalue, modes: modes.collect() }
    }
}
