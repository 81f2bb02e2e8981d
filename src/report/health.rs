//! Whether a run's numbers may be believed: the client's own condition judged, for the run and for each quantile.
//!
//! A quantile is about the slowest (1 - q) of the requests. The client's stalls and lags are held against that share of the
//! run and not against the whole: what a p50 does not notice may be all there is to a p99.9.

use super::summary::QUANTILES;
use crate::plan::{Load, Plan};
use crate::record::tally::LITTLE_MAX;
use crate::record::vitals::{Ledger, Shortages};
use crate::record::{Latency, RunRecord, ShardRecord, Shares};
use crate::units::Nanos;

/// Quantiles by which the run is judged, besides its signals.
const JUDGED: [f64; 3] = [0.5, 0.9, 0.99];
/// A quantile whose tail is a shorter part of the run than this is at best suspect: one hiccup of a machine fills it.
const LEAST_BUDGET_S: f64 = 0.01;
/// Lateness that an open load cannot avoid, by its timer and by how often it wakes: what is below can make a tail suspect,
/// as it is not the server's, but not invalid.
const RESOLUTION: Nanos = Nanos(300_000);
/// A second with fewer intended requests says nothing by a few late ones.
const SECOND_LEAST: u64 = 100;
/// Share of a core's time beyond which its worker, not the server, is what limits the load.
pub(super) const BUSY_SHARE: f64 = 0.85;
/// From such a share of the stalls on, what others took of the cores is what they are called by.
const OTHERS_SHARE: f64 = 0.8;
/// Shards' p99s are compared where each has so many values.
const SHARD_LEAST: u64 = 1_000;

/// How far a number may be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The client shows nothing that would have falsified it.
    #[default]
    Ok,
    /// The client may have had a part in it.
    Suspect,
    /// It is at least partly the client's own.
    Invalid,
}

/// What was behind a verdict that is not OK; in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Cores were kept from running, or stopped.
    ClientStall,
    /// Others had the CPU: the hypervisor's guests, or programs of this machine.
    Steal,
    /// The cgroup's quota was used up.
    Throttled,
    /// The client had more to do than its cores can.
    ClientLimited,
    /// No connection was free.
    Pool,
    /// Segments were lost.
    Network,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// What it is.
    pub what: &'static str,
    /// The quantile that it is about, by its place in [`QUANTILES`]; none: the run.
    pub of: Option<usize>,
    /// `None`: not measured.
    pub value: Option<f64>,
    /// Where it ceases to be OK; below that, or above it where more is better.
    pub limit: f64,
    /// What it means for the run, or for its quantile.
    pub verdict: Verdict,
    /// What it would be a sign of.
    cause: Option<Cause>,
}

/// Who had how much of the response times from a quantile on, 0 to 1; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The client.
    pub client: f64,
    /// The wait for a connection.
    pub pool: f64,
    /// The server and the way to it.
    pub service: f64,
}

/// One quantile, judged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quantile {
    /// 0 to 1.
    pub q: f64,
    /// How far it may be believed.
    pub verdict: Verdict,
    /// Who made the response times from it on; `None` where it has no value.
    pub tail: Option<Tail>,
    /// How much longer the run must be for it to be more than suspect, in seconds of the window.
    pub needs_s: Option<f64>,
}

/// The client's condition, judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// The worst of the run's signals and of p50, p90 and p99.
    pub verdict: Verdict,
    /// Of a verdict that is not OK, where one is known.
    pub cause: Option<Cause>,
    /// In the order of [`QUANTILES`].
    pub quantiles: [Quantile; QUANTILES.len()],
    /// All that was looked at.
    pub signals: Vec<Signal>,
}

impl Verdict {
    /// As reports spell it; a contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Suspect => "SUSPECT",
            Self::Invalid => "INVALID",
        }
    }
}

impl Cause {
    /// As reports spell it; a contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientStall => "client stall",
            Self::Steal => "steal",
            Self::Throttled => "throttled",
            Self::ClientLimited => "client-limited",
            Self::Pool => "pool",
            Self::Network => "network",
        }
    }
}

impl Health {
    /// Judges a run.
    pub fn new(plan: &Plan, record: &RunRecord) -> Self {
        let condition = Condition::new(record);
        let tails = QUANTILES.map(|(_, q)| tail(record, q));
        let mut signals = Signals::default();
        run_signals(&mut signals, plan, record, &condition);
        for (index, tail) in tails.iter().enumerate() {
            quantile_signals(&mut signals, record, &condition, index, *tail);
        }
        let signals = signals.0;
        let worst = |of: Option<usize>| {
            let all = signals.iter().filter(|signal| signal.of == of).map(|signal| signal.verdict);
            all.max().unwrap_or_default()
        };
        let mut quantiles = [Quantile::default(); QUANTILES.len()];
        for (index, (quantile, (_, q))) in quantiles.iter_mut().zip(QUANTILES).enumerate() {
            let short = (1.0 - q) * condition.window_s < LEAST_BUDGET_S * (1.0 - 1e-9);
            let least = if short { Verdict::Suspect } else { Verdict::Ok };
            *quantile = Quantile {
                q,
                verdict: worst(Some(index)).max(least),
                tail: tails[index].map(|(tail, _)| tail),
                needs_s: short.then_some(LEAST_BUDGET_S / (1.0 - q)),
            };
        }
        let judged = |of: &Option<usize>| of.is_none_or(|index| JUDGED.contains(&QUANTILES[index].1));
        let of_quantiles = quantiles.iter().filter(|quantile| JUDGED.contains(&quantile.q));
        let verdict = of_quantiles.map(|quantile| quantile.verdict).fold(worst(None), Verdict::max);
        let decides = |signal: &&Signal| verdict > Verdict::Ok && signal.verdict == verdict && judged(&signal.of);
        let cause = signals.iter().filter(decides).filter_map(|signal| signal.cause).min();
        Self { verdict, cause, quantiles, signals }
    }

    /// Whether a quantile that is printed is none.
    pub fn any_invalid(&self) -> bool {
        self.quantiles.iter().any(|quantile| quantile.verdict == Verdict::Invalid && quantile.tail.is_some())
    }
}

impl Signal {
    /// As the report names it; those of a quantile end in its name.
    pub fn name(&self) -> String {
        match self.of {
            Some(index) => format!("{}_{}", self.what, QUANTILES[index].0.replace('.', "_")),
            None => self.what.to_owned(),
        }
    }
}

/// What several signals are judged by.
struct Condition {
    window_s: f64,
    /// The CPU share of the busiest worker.
    busy: Option<f64>,
    /// Stalls in seconds: of threads kept from running, and of busy ones.
    stalls: (f64, f64),
    /// It is a worker with more to do than it can.
    saturated: bool,
    /// Why cores stood still that were not busy.
    away: Cause,
    /// Why cores did not come round.
    standstill: Cause,
}

impl Condition {
    fn new(record: &RunRecord) -> Self {
        let window_s = record.window.as_secs_f64();
        let (busy, stalls) = (useful_work(record), stalls(record));
        let away = kept_away(record, window_s);
        // A core that could not come round for all its work did not stall: it had too much of it.
        let standstill = if stalls.1 > stalls.0 { Cause::ClientLimited } else { away };
        let saturated = busy.is_some_and(|share| share > BUSY_SHARE);
        Self { window_s, busy, stalls, saturated, away, standstill }
    }

    /// What a core keeps back while it is busy all the time, it keeps back for want of a faster one.
    fn unless_saturated(&self, cause: Cause) -> Cause {
        if self.saturated { Cause::ClientLimited } else { cause }
    }
}

/// Signals under collection.
#[derive(Default)]
struct Signals(Vec<Signal>);

impl Signals {
    /// A signal of the run: OK up to the first limit, suspect up to the second, invalid above.
    fn up_to(&mut self, what: &'static str, value: Option<f64>, (ok, suspect): (f64, f64), cause: Option<Cause>) {
        let verdict = value.map_or(Verdict::Ok, |value| grade(value, ok, suspect));
        self.0.push(Signal { what, of: None, value, limit: ok, verdict, cause });
    }

    /// The same, where more is better.
    fn down_to(&mut self, what: &'static str, value: Option<f64>, (ok, suspect): (f64, f64), cause: Option<Cause>) {
        let verdict = value.map_or(Verdict::Ok, |value| grade(-value, -ok, -suspect));
        self.0.push(Signal { what, of: None, value, limit: ok, verdict, cause });
    }
}

fn grade(value: f64, ok: f64, suspect: f64) -> Verdict {
    match value {
        value if value <= ok => Verdict::Ok,
        value if value <= suspect => Verdict::Suspect,
        _ => Verdict::Invalid,
    }
}

/// No bound: it makes nothing invalid.
const NEVER: f64 = f64::INFINITY;

fn run_signals(signals: &mut Signals, plan: &Plan, record: &RunRecord, condition: &Condition) {
    let counts = &record.total.counts;
    let is_open = plan.load != Load::Closed;
    let late = Some(condition.unless_saturated(condition.away));
    let share_of = |n: u64| (counts.intended > 0).then(|| n as f64 / counts.intended as f64);
    let in_time = share_of(counts.withheld).map(|withheld| 1.0 - withheld);
    signals.down_to("sent_in_time", in_time, (0.999, 0.99), late);
    // What was never sent has no second: with it the whole may be worse than the worst of them.
    let worst = worst_second(record).zip(in_time).map(|(worst, all)| worst.min(all));
    signals.down_to("sent_in_time_worst_second", worst, (0.99, 0.95), late);
    let limits = if is_open { (0.70, BUSY_SHARE) } else { (BUSY_SHARE, NEVER) };
    signals.up_to("useful_work", condition.busy, limits, Some(Cause::ClientLimited));
    signals.up_to("steal", record.strain.steal, (0.005, 0.03), Some(Cause::Steal));
    signals.up_to("run_delay", run_delay(record), (0.005, 0.02), Some(Cause::Steal));
    let throttled_s = record.strain.throttled.map(Nanos::as_secs_f64);
    signals.up_to("throttled_s", throttled_s, (0.0, NEVER), Some(Cause::Throttled));
    signals.up_to("cq_overflow", record.strain.ring_overflows.map(|n| n as f64), (0.0, NEVER), None);
    let mut short = Shortages::default();
    record.shards.iter().for_each(|shard| short.add(shard.vitals.shortages));
    for (what, n) in [("file_errors", short.files), ("port_errors", short.ports), ("buffer_errors", short.buffers)] {
        signals.up_to(what, Some(n as f64), (0.0, 0.0), Some(Cause::ClientLimited));
    }
    signals.up_to("retransmit_ratio", retransmits(record), (0.0001, 0.001), Some(Cause::Network));
    let drops = record.strain.backlog_drops.map(|n| n as f64);
    signals.up_to("backlog_drops", drops, (0.0, NEVER), Some(Cause::Network));
    let faults: Option<u64> = record.shards.iter().map(|shard| shard.vitals.major_faults).sum();
    signals.up_to("major_faults", faults.map(|n| n as f64), (0.0, NEVER), Some(Cause::ClientStall));
    let tsc = record.environment.clocksource.as_ref().map(|source| f64::from(source == "tsc"));
    signals.down_to("clocksource_tsc", tsc, (1.0, 0.0), None);
    signals.up_to("littles_law", record.total.flow.difference(), (LITTLE_MAX, LITTLE_MAX), None);
    // Requests that no connection was free for are not the client's fault, but the percentiles are then a closed load's.
    let withheld_and_unsent = counts.withheld.min(counts.unsent);
    let pooled = if is_open { share_of(counts.unsent - withheld_and_unsent) } else { None };
    let pool = Some(condition.unless_saturated(Cause::Pool));
    signals.up_to("unsent_for_want_of_connections", pooled, (0.001, NEVER), pool);
    let idle_elsewhere = imbalance(record, condition.window_s);
    signals.up_to("imbalance_pool_lag", idle_elsewhere, (0.0, NEVER), Some(Cause::Pool));
    signals.up_to("imbalance_p99_ratio", p99_ratio(record), (1.2, NEVER), None);
}

fn quantile_signals(
    signals: &mut Signals,
    record: &RunRecord,
    condition: &Condition,
    index: usize,
    tail: Option<(Tail, Nanos)>,
) {
    let budget_s = (1.0 - QUANTILES[index].1) * condition.window_s;
    let mut push = |what: &'static str, value: Option<f64>, limit: f64, verdict, cause| {
        signals.0.push(Signal { what, of: Some(index), value, limit, verdict, cause: Some(cause) });
    };
    let share = (condition.stalls.0 + condition.stalls.1) / budget_s;
    let verdict = if share >= 0.5 { Verdict::Invalid } else { grade(share, 0.1, NEVER) };
    push("stall_budget", Some(share), 0.1, verdict, condition.standstill);
    let verdict = tail.map_or(Verdict::Ok, |(tail, lag)| match grade(tail.client, 0.05, 0.25) {
        Verdict::Invalid if lag <= RESOLUTION => Verdict::Suspect,
        Verdict::Suspect if lag <= RESOLUTION => Verdict::Ok,
        verdict => verdict,
    });
    let late = condition.unless_saturated(condition.standstill);
    push("tail_client_share", tail.map(|(tail, _)| tail.client), 0.05, verdict, late);
    if let Some(throttled) = record.strain.throttled {
        let share = throttled.as_secs_f64() / budget_s;
        push("throttled_budget", Some(share), 0.1, grade(share, 0.1, 0.1), Cause::Throttled);
    }
}

/// Who made the response times from the quantile on, and the client's part of them a request.
fn tail(record: &RunRecord, q: f64) -> Option<(Tail, Nanos)> {
    let response = &record.total.latencies[Latency::Response];
    let value = response.quantile(q)?;
    let (count, sum_ns) = response.from(value);
    if count == 0 || sum_ns <= 0.0 {
        return None;
    }
    let Shares { client, pool } = record.total.blame.beyond(value);
    // The sum of response times is one of bucket mid-points: off by half a bucket at most.
    let whole = sum_ns.max((client.0 + pool.0) as f64);
    let (client_share, pool_share) = (client.0 as f64 / whole, pool.0 as f64 / whole);
    let tail = Tail { client: client_share, pool: pool_share, service: (1.0 - client_share - pool_share).max(0.0) };
    Some((tail, Nanos(client.0 / count)))
}

/// The stalls of all cores in seconds, each by its part of the load: those off the CPU, and those of a busy core.
pub(super) fn stalls(record: &RunRecord) -> (f64, f64) {
    let intended = record.total.counts.intended.max(1) as f64;
    let weighted = |of: fn(&Ledger) -> Nanos| {
        let shards = record.shards.iter();
        shards.map(|shard| of(&shard.vitals.ledger).as_secs_f64() * shard.tally.counts.intended as f64).sum::<f64>()
            / intended
    };
    (weighted(Ledger::away), weighted(Ledger::busy))
}

/// Why cores stood still while they were not busy: others had them, where what the hypervisor and other programs took makes
/// most of it, and can have made the longest of it.
fn kept_away(record: &RunRecord, window_s: f64) -> Cause {
    let away: f64 = record.shards.iter().map(|shard| shard.vitals.ledger.away().as_secs_f64()).sum();
    let stolen = record.strain.steal.unwrap_or_default() * window_s * record.environment.cores_used.len() as f64;
    let delayed: f64 = record.shards.iter().filter_map(|shard| shard.vitals.run_delay).map(Nanos::as_secs_f64).sum();
    let longest =
        record.shards.iter().filter_map(|shard| shard.vitals.ledger.longest()).max_by_key(|stall| stall.length);
    let (longest, at_once) = longest
        .map_or((0.0, 0.0), |stall| (stall.length.as_secs_f64(), record.strain.thefts.during(stall).as_secs_f64()));
    let others = stolen + delayed >= OTHERS_SHARE * away && at_once + delayed >= OTHERS_SHARE * longest;
    if away > 0.0 && others { Cause::Steal } else { Cause::ClientStall }
}

/// The worst second's share of requests that the client did not keep back.
fn worst_second(record: &RunRecord) -> Option<f64> {
    let whole = record.timeline.iter().filter(|point| !point.id.drain && point.counts.intended >= SECOND_LEAST);
    whole.map(|point| 1.0 - (point.counts.withheld as f64 / point.counts.intended as f64).min(1.0)).reduce(f64::min)
}

/// The CPU share of the busiest worker.
fn useful_work(record: &RunRecord) -> Option<f64> {
    let watched = record.shards.iter().map(|shard| &shard.vitals).filter(|vitals| vitals.watched > Nanos::ZERO);
    watched.map(|vitals| vitals.cpu.0 as f64 / vitals.watched.0 as f64).reduce(f64::max)
}

/// The share of its time that the worker that waited most was ready and did not run. The kernel counts a wait when it ends,
/// so that one from before a short run is in it.
fn run_delay(record: &RunRecord) -> Option<f64> {
    let watched = record.shards.iter().map(|shard| &shard.vitals).filter(|vitals| vitals.watched > Nanos::ZERO);
    watched
        .filter_map(|vitals| Some(vitals.run_delay?.0.min(vitals.watched.0) as f64 / vitals.watched.0 as f64))
        .reduce(f64::max)
}

fn retransmits(record: &RunRecord) -> Option<f64> {
    let all = record.shards.iter().filter_map(|shard| shard.vitals.segments);
    let (sent, again) = all.fold((0, 0), |(sent, again), of| (sent + of.sent, again + of.retransmitted));
    (sent > 0).then(|| again as f64 / sent as f64)
}

/// Seconds of pool lag at the p99 of the worst shard while another had free connections; `None` with a single shard.
fn imbalance(record: &RunRecord, window_s: f64) -> Option<f64> {
    let lag = |shard: &ShardRecord| shard.tally.latencies[Latency::PoolLag].quantile(0.99);
    let lags = record.shards.iter().filter_map(lag);
    let (worst, least) = (lags.clone().max()?, lags.min()?);
    let queued = worst > Nanos::from_millis(1) && least < Nanos(50_000);
    (record.shards.len() > 1).then(|| if queued { worst.as_secs_f64().min(window_s) } else { 0.0 })
}

/// The largest p99 of a shard by the smallest; 1 where they differ by no more than an open load's own lateness.
fn p99_ratio(record: &RunRecord) -> Option<f64> {
    let response = |shard: &ShardRecord| {
        let response = &shard.tally.latencies[Latency::Response];
        response.quantile(0.99).filter(|p99| response.count() >= SHARD_LEAST && p99.0 > 0)
    };
    let all: Option<Vec<Nanos>> = record.shards.iter().map(response).collect();
    let (largest, smallest) = (*all.as_ref()?.iter().max()?, *all.as_ref()?.iter().min()?);
    let apart = largest.0 - smallest.0 > RESOLUTION.0;
    (record.shards.len() > 1).then(|| if apart { largest.0 as f64 / smallest.0 as f64 } else { 1.0 })
}

#[cfg(test)]
mod tests;
