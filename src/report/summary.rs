//! Every number that is derived from a run, derived once: rates, quantiles, shares, and the warnings they give rise to.
//!
//! Formats print what stands here and compute nothing of their own. Times are microseconds; `None` was not measured.

use super::echo::config_digest;
use super::health::Health;
use super::inference::Inference;
use super::warning::{self, Warning};
use crate::plan::Plan;
use crate::record::tally::Censored;
use crate::record::{Failure, Histogram, Latency, PerLatency, RunRecord, ShardRecord, TagTally, Tally};
use crate::units::{NANOS_PER_S, Nanos};

/// The quantiles of every latency: their names in reports, and q.
pub const QUANTILES: [(&str, f64); 7] =
    [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// A run with everything that is said about it.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    /// What was asked for.
    pub plan: &'a Plan,
    /// What was measured.
    pub record: &'a RunRecord,
    /// SHA-256 in hex of what the plan asks for; equal digests are equal questions.
    pub config_digest: String,
    /// T0 to the end of sending; above 0.
    pub window_s: f64,
    /// Requests a second of the window.
    pub rates: Rates,
    /// HTTP bytes a second of the window.
    pub bytes_per_s: Bytes,
    /// One for each histogram.
    pub latencies: PerLatency<Statistics>,
    /// The share of `response` below its first lower bound, 0 to 1: quantiles from there on are lower bounds, and so are
    /// mean and maximum. `None` where nothing is one.
    pub censored_from_q: Option<f64>,
    /// How sure the figures are, and whether the run was steady.
    pub inference: Inference,
    /// Answers by status code, ascending; none is 0. Sums to ok + http_error.
    pub status: Vec<(u16, u64)>,
    /// By shard index.
    pub shards: Vec<ShardSummary>,
    /// By the plan's tags, in the order in which they first appear.
    pub tags: Vec<TagSummary<'a>>,
    /// CPU time of all workers, from T0 to their end.
    pub cpu_s: f64,
    /// The same by request sent; `None` where none was.
    pub cpu_us_per_request: Option<f64>,
    /// Ring flags that every shard had.
    pub ring_flags: Vec<&'static str>,
    /// Not one request was answered below 400: the answer is no.
    pub nothing_succeeded: bool,
    /// The share of errors is above the plan's limit: the answer is no.
    pub too_many_errors: bool,
    /// An answer was not what was expected: the answer is no.
    pub expectation_failed: bool,
    /// Workers that died before the end: no answer can be given.
    pub workers_lost: u64,
    /// Whether its numbers may be believed.
    pub health: Health,
    /// What makes a number doubtful, gravest first.
    pub warnings: Vec<Warning>,
}

/// Requests a second of the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Fell due.
    pub intended: f64,
    /// Sent.
    pub sent: f64,
    /// Answered inside the window, whatever the status.
    pub completed: f64,
    /// Answered inside the window, below 400.
    pub ok: f64,
}

/// HTTP bytes a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bytes {
    /// Received.
    pub received: f64,
    /// Sent.
    pub sent: f64,
    /// Of bodies after decoding; `None` where nothing was to be decoded.
    pub decoded: Option<f64>,
}

/// What is said of one histogram, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// How many values; 0 leaves all the rest `None`.
    pub count: u64,
    /// The smallest.
    pub min_us: Option<f64>,
    /// Of all values.
    pub mean_us: Option<f64>,
    /// In the order of [`QUANTILES`]; `None` where too few values lie beyond.
    pub quantiles_us: [Option<f64>; QUANTILES.len()],
    /// The largest.
    pub max_us: Option<f64>,
}

/// One shard's derived numbers; its counts are in the record under the same index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShardSummary {
    /// Requests sent a second of the window.
    pub sent_per_s: f64,
    /// Of all that was answered or waited.
    pub response: Statistics,
    /// As for the run: the share of `response` below its first lower bound.
    pub censored_from_q: Option<f64>,
    /// Of ok and http_error.
    pub service: Statistics,
    /// CPU time of its worker.
    pub cpu_s: f64,
    /// The same by request sent; `None` where none was.
    pub cpu_us_per_request: Option<f64>,
}

/// What is said of the requests of one tag's lines.
#[derive(Clone, Debug)]
pub struct TagSummary<'a> {
    /// `None`: lines without, where others have one.
    pub tag: Option<&'a str>,
    /// Its counts.
    pub tally: &'a TagTally,
    /// Of all that was answered or waited.
    pub response: Statistics,
    /// As for the run: the share of `response` below its first lower bound.
    pub censored_from_q: Option<f64>,
}

impl<'a> Summary<'a> {
    /// Derives everything there is to say of a run.
    ///
    /// # Panics
    /// Where its window is empty: a bug.
    pub fn new(plan: &'a Plan, record: &'a RunRecord) -> Self {
        assert!(record.window > Nanos::ZERO, "a run lasts");
        let window_s = record.window.as_secs_f64();
        let total = &record.total;
        let censored_from_q = censored_from_q(total);
        let cpu = Nanos(record.shards.iter().map(|shard| shard.cpu.0).sum());
        let mut summary = Self {
            plan,
            record,
            config_digest: config_digest(plan),
            window_s,
            rates: rates(record, window_s),
            bytes_per_s: Bytes {
                received: total.traffic.received as f64 / window_s,
                sent: total.traffic.sent as f64 / window_s,
                decoded: plan.decode.then_some(total.traffic.decoded as f64 / window_s),
            },
            latencies: total.latencies.map(Statistics::new),
            censored_from_q,
            inference: Inference::new(plan, record, censored_from_q),
            status: (0u16..).zip(total.status.iter().copied()).filter(|&(_, n)| n > 0).collect(),
            shards: record.shards.iter().map(|shard| ShardSummary::new(shard, window_s)).collect(),
            tags: tags(plan, total),
            cpu_s: cpu.as_secs_f64(),
            cpu_us_per_request: us_per(cpu, total.counts.sent),
            ring_flags: ring_flags(&record.shards),
            nothing_succeeded: total.counts.ok == 0,
            too_many_errors: too_many_errors(plan, total),
            expectation_failed: total.failures[Failure::Check as usize] > 0,
            workers_lost: record.shards.iter().filter(|shard| shard.lost.is_some()).count() as u64,
            health: Health::new(plan, record),
            warnings: Vec::new(),
        };
        summary.warnings = warning::warnings(&summary);
        summary
    }
}

impl Statistics {
    /// Sums up `histogram`.
    pub fn new(histogram: &Histogram) -> Self {
        Self {
            count: histogram.count(),
            min_us: histogram.min().map(us),
            mean_us: histogram.mean_ns().map(|ns| ns / 1e3),
            quantiles_us: QUANTILES.map(|(_, q)| histogram.quantile(q).map(us)),
            max_us: histogram.max().map(us),
        }
    }

    /// The median.
    pub fn p50_us(&self) -> Option<f64> {
        self.quantiles_us[0]
    }

    /// The 99th percentile.
    pub fn p99_us(&self) -> Option<f64> {
        self.quantiles_us[4]
    }
}

impl ShardSummary {
    fn new(record: &ShardRecord, window_s: f64) -> Self {
        let sent = record.tally.counts.sent;
        Self {
            sent_per_s: sent as f64 / window_s,
            response: Statistics::new(&record.tally.latencies[Latency::Response]),
            censored_from_q: censored_from_q(&record.tally),
            service: Statistics::new(&record.tally.latencies[Latency::Service]),
            cpu_s: record.cpu.as_secs_f64(),
            cpu_us_per_request: us_per(record.cpu, sent),
        }
    }
}

fn tags<'a>(plan: &'a Plan, total: &'a Tally) -> Vec<TagSummary<'a>> {
    let named = plan.urls.tags().names().iter().zip(&total.tags);
    let summary = |(name, tally): (&'a Option<Box<str>>, &'a TagTally)| TagSummary {
        tag: name.as_deref(),
        tally,
        response: Statistics::new(&tally.response),
        censored_from_q: lower_bounds_from(&tally.response, tally.censored),
    };
    named.map(summary).collect()
}

/// Instants as microseconds; exact to the nanosecond up to 104 days.
pub fn us(time: Nanos) -> f64 {
    time.0 as f64 / 1e3
}

fn too_many_errors(plan: &Plan, total: &Tally) -> bool {
    let counts = &total.counts;
    plan.max_error_rate.is_some_and(|limit| limit.is_exceeded_by(counts.http_error + counts.failed, counts.intended))
}

fn us_per(time: Nanos, requests: u64) -> Option<f64> {
    (requests > 0).then(|| us(time) / requests as f64)
}

/// What ended in the drain was not served at the window's rate, so only the window's seconds count as completed.
fn rates(record: &RunRecord, window_s: f64) -> Rates {
    let in_window = || record.timeline.iter().filter(|point| !point.id.drain).map(|point| point.counts);
    let per_s = |n: u64| n as f64 / window_s;
    Rates {
        intended: per_s(record.total.counts.intended),
        sent: per_s(record.total.counts.sent),
        completed: per_s(in_window().map(|counts| counts.completed).sum()),
        ok: per_s(in_window().map(|counts| counts.ok).sum()),
    }
}

/// Whether the response time at `q`, 0 to 1, is only a lower bound, for a run or a shard censored from `from_q` on.
pub fn lower_bound(from_q: Option<f64>, q: f64) -> bool {
    from_q.is_some_and(|from| q >= from)
}

fn censored_from_q(tally: &Tally) -> Option<f64> {
    lower_bounds_from(&tally.latencies[Latency::Response], tally.censored)
}

fn lower_bounds_from(response: &Histogram, censored: Censored) -> Option<f64> {
    let least = censored.least.filter(|_| censored.count > 0)?;
    Some(response.count_below(least) as f64 / response.count() as f64)
}

fn ring_flags(shards: &[ShardRecord]) -> Vec<&'static str> {
    let Some((first, rest)) = shards.split_first() else { return Vec::new() };
    let everywhere = |flag: &&str| rest.iter().all(|shard| shard.ring_flags.contains(flag));
    first.ring_flags.iter().copied().filter(everywhere).collect()
}

/// The second's start since T0; those of the drain begin where the window ends.
pub fn interval_start_s(id: crate::record::timeline::IntervalId, window: Nanos) -> f64 {
    let start = if id.drain { window } else { Nanos::ZERO };
    Nanos(start.0.saturating_add(id.second.saturating_mul(NANOS_PER_S))).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{self, MS, Run, US, raw};
    use super::*;
    use crate::record::Outcome;
    use crate::record::timeline::IntervalId;

    #[test]
    fn what_ends_in_the_drain_is_counted_and_not_in_the_rate() {
        let mut run = Run::new(&raw());
        run.request(0, 1_000 * MS, 0, 100 * MS, Outcome::Answered(200));
        run.request(1, 1_100 * MS, 0, 100 * MS, Outcome::Answered(500));
        run.request(1, 1_999 * MS, 0, 100 * MS, Outcome::Answered(200));
        let (plan, record) = run.finish();
        let summary = Summary::new(&plan, &record);
        assert_eq!(record.total.counts.ok, 2);
        assert_eq!(summary.rates, Rates { intended: 1.5, sent: 1.5, completed: 1.0, ok: 0.5 });
        assert_eq!(summary.status, [(200, 2), (500, 1)]);
    }

    #[test]
    fn quantiles_are_lower_bounds_from_the_share_below_the_shortest_wait_on() {
        let mut run = Run::new(&raw());
        for number in 0..900 {
            run.request(0, number * MS, 0, 100 * US, Outcome::Answered(200));
        }
        for number in 0..90 {
            run.request(1, number * MS, 0, 500 * MS, Outcome::Failed(Failure::Timeout));
        }
        for number in 0..10 {
            run.request(1, number * MS, 0, 700 * MS, Outcome::Answered(200));
        }
        let (plan, record) = run.finish();
        let summary = Summary::new(&plan, &record);
        assert_eq!(summary.censored_from_q, Some(0.9));
        assert!(!lower_bound(summary.censored_from_q, 0.75) && lower_bound(summary.censored_from_q, 0.99));
        assert_eq!(summary.shards[0].censored_from_q, None);
        assert_eq!(summary.shards[1].censored_from_q, Some(0.0));
        assert!(lower_bound(Some(0.0), 0.0), "a minimum is one where everything is");
    }

    #[test]
    fn nothing_measured_leaves_nothing_to_tell() {
        let (plan, record) = fixture::empty();
        let summary = Summary::new(&plan, &record);
        assert_eq!(summary.latencies, PerLatency::default());
        assert_eq!((summary.cpu_us_per_request, summary.censored_from_q), (None, None));
        assert!(summary.nothing_succeeded && summary.workers_lost == 0);
    }

    #[test]
    fn only_flags_of_every_ring_are_claimed() {
        let (plan, record) = fixture::broken();
        let summary = Summary::new(&plan, &record);
        assert_eq!((summary.ring_flags.as_slice(), summary.workers_lost), (&["COOP_TASKRUN"][..], 1));
    }

    #[test]
    fn seconds_of_the_drain_start_at_the_end_of_the_window() {
        let window = Nanos::from_millis(1_500);
        let start = |drain, second| interval_start_s(IntervalId { drain, second }, window);
        assert_eq!((start(false, 1), start(true, 0), start(true, 2)), (1.0, 1.5, 3.5));
    }

    #[test]
    fn a_record_that_does_not_add_up_says_so_first() {
        let (plan, mut record) = fixture::closed();
        record.total.counts.ok -= 1;
        record.bugs.extend(record.total.check().err());
        let summary = Summary::new(&plan, &record);
        let first = summary.warnings.first().expect("a warning");
        assert!(first.code() == "bug" && first.text.contains("intended = ok"), "{}", first.text);
    }
}
