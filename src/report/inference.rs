//! What is inferred of a run beyond its sums: how sure its figures are within this run, and whether it was steady.

use super::summary::{QUANTILES, lower_bound, us};
use crate::plan::{Load, Plan};
use crate::record::statistics::{
    BatchMeans, Drift, Effective, Modes, OutlierSecond, WarmUp, batch_means, binomial, design, effective, modes,
    needed, quantile, ranks,
};
use crate::record::timeline::WINDOW;
use crate::record::{Histogram, Latency, Point, RunRecord, Window};
use crate::units::{NANOS_PER_S, Nanos};

/// So few requests beyond a quantile do not show how they cluster.
const CLUSTER_MIN: u64 = 30;

/// A run shorter than this, in seconds, has no intervals.
pub const RUN_MIN_S: f64 = design::WINDOWS_MIN as f64 * WINDOW.0 as f64 / NANOS_PER_S as f64;

/// All that is inferred. `None`: not asked for, or the run is too short to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// Of the response time, in the order of [`QUANTILES`].
    pub quantiles: [QuantileInterval; QUANTILES.len()],
    /// Answers below 400 a second. `None` also for an open load that the server kept up with: the rate was given.
    pub throughput: Option<BatchMeans>,
    /// Failed, or answered with 400 or above, of all intended.
    pub error_rate: Option<ErrorRate>,
    /// Where the start of the run was unlike the rest; the series is half seconds.
    pub warm_up: Option<WarmUp>,
    /// Of the p99 over the seconds.
    pub drift: Option<Drift>,
    /// Of the p99 of the seconds, in microseconds, with the second's start since T0 in seconds.
    pub outlier: Option<(f64, OutlierSecond)>,
    /// Of the response time of ok: a wait that was given up is no kind of answer.
    pub modes: Option<Modes>,
}

/// How sure a quantile of the response time is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantileInterval {
    /// `None` where the run is worth fewer samples than it takes.
    pub ci95: Option<Interval>,
    /// What the run's requests are worth as samples.
    pub effective: Option<Effective>,
    /// How many effective samples an interval takes.
    pub needs: u64,
    /// How long a run of this load would have as many, in seconds; about.
    pub needs_s: Option<f64>,
}

/// Microseconds between which the quantile lies, with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end; a lower bound of it where it is censored itself.
    pub low_us: f64,
    /// `None` where it is beyond the shortest wait without an answer: nobody knows how long that would have been.
    pub high_us: Option<f64>,
}

/// The share of requests that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorRate {
    /// 0 to 1.
    pub share: f64,
    /// The interval of Clopper and Pearson, with the number of effective samples.
    pub ci95: (f64, f64),
    /// What the run's requests are worth as samples of it.
    pub effective: Effective,
}

impl Inference {
    /// Infers what the record allows; `censored_from_q` as in the summary.
    pub fn new(plan: &Plan, record: &RunRecord, censored_from_q: Option<f64>) -> Self {
        let windows: Vec<&Window> = record.windows.iter().filter(|window| !window.id.drain).collect();
        let whole: Vec<&Window> = windows.iter().copied().filter(|window| window.id.until() <= record.window).collect();
        let response = &record.total.latencies[Latency::Response];
        let medians: Vec<f64> = whole.iter().filter_map(|window| window.response.median_ns()).collect();
        let seconds: Vec<(&Point, f64, f64)> = whole_seconds(record).collect();
        let p50s: Vec<f64> = seconds.iter().map(|&(_, p50, _)| p50).collect();
        let p99s: Vec<f64> = seconds.iter().map(|&(_, _, p99)| p99).collect();
        let outlier = OutlierSecond::of(&p99s);
        let mut before = None;
        let quantiles = QUANTILES.map(|(_, q)| {
            let effective = worth(q, response, &windows, before);
            before = effective;
            QuantileInterval::new(q, response, effective, record.window, censored_from_q)
        });
        Self {
            quantiles,
            throughput: is_measured_rate(plan, record).then(|| throughput(&whole)).flatten(),
            error_rate: error_rate(record, &windows),
            warm_up: WarmUp::of(&medians),
            drift: Drift::of(&p50s, &p99s),
            outlier: outlier.map(|outlier| (seconds[outlier.place].0.id.second as f64, outlier)),
            modes: modes(&record.total.latencies[Latency::ResponseOk]),
        }
    }
}

impl QuantileInterval {
    fn new(
        q: f64,
        response: &Histogram,
        effective: Option<Effective>,
        window: Nanos,
        censored_from_q: Option<f64>,
    ) -> Self {
        let needs = needed(q);
        let ranks = effective.and_then(|effective| ranks(q, effective.n_eff));
        Self {
            ci95: ranks.map(|ranks| Interval {
                low_us: us(response.value_at(ranks.low)),
                high_us: (!lower_bound(censored_from_q, ranks.high)).then(|| us(response.value_at(ranks.high))),
            }),
            effective,
            needs,
            needs_s: effective
                .filter(|_| ranks.is_none())
                .map(|worth| window.as_secs_f64() * needs as f64 / worth.n_eff),
        }
    }
}

/// What the run's requests are worth for `q`; where too few are beyond it to tell, no more than for the quantile before.
fn worth(q: f64, response: &Histogram, windows: &[&Window], before: Option<Effective>) -> Option<Effective> {
    let marks = quantile::marks(q, response, windows);
    let own = effective(response.count(), &marks)?;
    let marked: u64 = marks.iter().map(|(_, marked)| marked).sum();
    Some(before.filter(|before| marked < CLUSTER_MIN && before.n_eff < own.n_eff).unwrap_or(own))
}

/// Whether the rate is the server's answer and not the plan's: a closed load, or an open one that was not kept up with.
fn is_measured_rate(plan: &Plan, record: &RunRecord) -> bool {
    let counts = &record.total.counts;
    plan.load == Load::Closed || u128::from(counts.sent) * 1_000 < u128::from(counts.intended) * 999
}

fn throughput(windows: &[&Window]) -> Option<BatchMeans> {
    let per_s = NANOS_PER_S as f64 / WINDOW.0 as f64;
    batch_means(&windows.iter().map(|window| window.counts.ok as f64 * per_s).collect::<Vec<_>>())
}

fn error_rate(record: &RunRecord, windows: &[&Window]) -> Option<ErrorRate> {
    let counts = &record.total.counts;
    let marks: Vec<_> = windows.iter().map(|window| (window.counts.ended(), window.counts.errors())).collect();
    let errors = counts.http_error + counts.failed;
    if counts.intended == 0 {
        return None;
    }
    let effective = effective(counts.intended, &marks)?;
    let share = errors as f64 / counts.intended as f64;
    Some(ErrorRate { share, ci95: binomial::share_interval(share, effective.n_eff), effective })
}

/// The whole seconds of the window in which anything ended, with their p50 and p99 in microseconds.
fn whole_seconds(record: &RunRecord) -> impl Iterator<Item = (&Point, f64, f64)> {
    let whole =
        |point: &&Point| !point.id.drain && Nanos((point.id.second + 1).saturating_mul(NANOS_PER_S)) <= record.window;
    let seconds = record.timeline.iter().filter(whole);
    seconds.filter_map(|point| Some((point, us(point.p50?), us(point.p99?))))
}

#[cfg(test)]
mod tests;
