//! The JSON report, schema version 1 (`report.schema.json`): mirror structs of what the domain types hold.
//!
//! A value that was not measured is null, never 0. Secrets and bodies are not in it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use serde::Serialize;

use self::tags::Tag;
use super::checks::{self, CheckSample};
use super::echo::{self, PlanEcho};
use super::environment::{Described, Environment, Origin, Time, Tool, origins, rfc3339};
use super::fetched::FetchEcho;
use super::intervals::{Interval, intervals};
use super::rerun::rerun;
use super::summary::{Rates, ShardSummary, Statistics, Summary};
use crate::record::{Failure, Histogram, Latency, ShardRecord, Tally, histogram};

/// Additive: fields come and never change their meaning.
const SCHEMA_VERSION: u32 = 1;

/// The JSON Schema of the report.
pub const SCHEMA: &str = include_str!("report.schema.json");

/// Writes the report and a line end.
///
/// # Errors
/// Those of `out`.
pub fn write(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    let report = report(summary)?;
    serde_json::to_writer_pretty(&mut *out, &report).map_err(io::Error::from)?;
    writeln!(out)
}

mod health;
mod statistics;

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    tool: Tool<'a>,
    argv: &'a [String],
    rerun: String,
    plan: PlanEcho<'a>,
    config_digest: &'a str,
    run: Run,
    environment: Environment<'a>,
    origins: Vec<Origin<'a>>,
    started_at: String,
    time: Time,
    described: Option<Described<'a>>,
    window_s: f64,
    counts: Counts,
    failures: BTreeMap<&'static str, u64>,
    failure_reasons: BTreeMap<&'static str, &'a str>,
    check_samples: Vec<CheckSample<'a>>,
    status: BTreeMap<String, u64>,
    warmup: Warmup,
    rate_per_s: RatePerS,
    bytes: Bytes,
    latency_us: BTreeMap<&'static str, LatencyUs>,
    statistics: statistics::Statistics,
    client: Client,
    health: health::Health,
    histogram_bounds: HistogramBounds,
    histograms: BTreeMap<&'static str, String>,
    intervals: Vec<Interval>,
    tags: Vec<Tag<'a>>,
    shards: Vec<Shard<'a>>,
    warnings: Vec<Warning<'a>>,
    interrupted: bool,
    aborted: Option<String>,
    fetch: Option<FetchEcho>,
}

#[derive(Serialize)]
struct Run {
    id: String,
    shard_index: u64,
    shard_count: u64,
    t0_unix_ns: u64,
}

#[derive(Serialize)]
struct Counts {
    intended: u64,
    sent: u64,
    ok: u64,
    http_error: u64,
    failed: u64,
    unsent: u64,
    in_flight_at_end: u64,
    withheld: u64,
    redials: u64,
    connections_opened: u64,
    connections_opened_before_t0: u64,
    tls_resumed: u64,
}

#[derive(Serialize)]
struct Warmup {
    requests: u64,
    failed: u64,
}

#[derive(Serialize)]
struct RatePerS {
    intended: f64,
    sent: f64,
    completed: f64,
    ok: f64,
}

#[derive(Serialize)]
struct Bytes {
    r#in: u64,
    out: u64,
    decoded: Option<u64>,
    in_per_s: f64,
    out_per_s: f64,
    decoded_per_s: Option<f64>,
}

#[derive(Serialize)]
struct LatencyUs {
    count: u64,
    min: Option<f64>,
    mean: Option<f64>,
    p50: Option<f64>,
    p75: Option<f64>,
    p90: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
    p99_9: Option<f64>,
    p99_99: Option<f64>,
    max: Option<f64>,
    /// Of the response time alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    censored_from_q: Option<Option<f64>>,
}

#[derive(Serialize)]
struct Client {
    cpu_s: f64,
    cpu_us_per_request: Option<f64>,
}

#[derive(Serialize)]
struct HistogramBounds {
    lowest: u64,
    highest: u64,
    digits: u8,
    unit: &'static str,
}

#[derive(Serialize)]
struct Shard<'a> {
    index: u64,
    core: usize,
    connections: u32,
    counts: Counts,
    failures: BTreeMap<&'static str, u64>,
    sent_per_s: f64,
    latency_us: BTreeMap<&'static str, LatencyUs>,
    cpu_s: f64,
    cpu_us_per_request: Option<f64>,
    ring_flags: &'a [&'static str],
    lost: Option<&'a str>,
}

#[derive(Serialize)]
struct Warning<'a> {
    code: &'static str,
    text: &'a str,
}

fn report<'a>(summary: &'a Summary<'a>) -> io::Result<Report<'a>> {
    let (plan, record) = (summary.plan, summary.record);
    let total = &record.total;
    let blobs = total.latencies.iter().map(|(latency, histogram)| Ok((latency.name(), encode(histogram)?)));
    let histograms = blobs.collect::<io::Result<_>>()?;
    let latencies = summary.latencies.iter();
    Ok(Report {
        schema_version: SCHEMA_VERSION,
        tool: Tool::new(summary),
        argv: &plan.argv,
        rerun: rerun(&plan.argv),
        plan: PlanEcho::new(plan),
        config_digest: &summary.config_digest,
        run: Run {
            id: echo::run_id(record.t0_unix, &summary.config_digest),
            shard_index: plan.part.index,
            shard_count: plan.part.count,
            t0_unix_ns: record.t0_unix.0,
        },
        environment: Environment::new(summary),
        origins: origins(summary),
        started_at: rfc3339(record.t0_unix),
        time: Time::new(summary),
        described: Described::new(plan),
        window_s: summary.window_s,
        counts: Counts::new(total),
        failures: failures(total),
        failure_reasons: failure_reasons(total),
        check_samples: checks::samples(total),
        status: summary.status.iter().map(|(status, n)| (format!("{status:03}"), *n)).collect(),
        warmup: Warmup { requests: total.warmup.requests, failed: total.warmup.failed },
        rate_per_s: RatePerS::new(&summary.rates),
        bytes: Bytes {
            r#in: total.traffic.received,
            out: total.traffic.sent,
            decoded: plan.decode.then_some(total.traffic.decoded),
            in_per_s: summary.bytes_per_s.received,
            out_per_s: summary.bytes_per_s.sent,
            decoded_per_s: summary.bytes_per_s.decoded,
        },
        latency_us: latencies.map(|of| LatencyUs::named(of, summary.censored_from_q)).collect(),
        statistics: statistics::Statistics::new(&summary.inference),
        client: Client { cpu_s: summary.cpu_s, cpu_us_per_request: summary.cpu_us_per_request },
        health: health::Health::new(&summary.health, record),
        histogram_bounds: HistogramBounds {
            lowest: histogram::LOWEST_NS,
            highest: histogram::HIGHEST_NS,
            digits: histogram::DIGITS,
            unit: "ns",
        },
        histograms,
        intervals: intervals(record).collect(),
        tags: tags::tags(summary)?,
        shards: record.shards.iter().zip(&summary.shards).map(|(shard, figures)| Shard::new(shard, figures)).collect(),
        warnings: summary.warnings.iter().map(|w| Warning { code: w.code(), text: &w.text }).collect(),
        interrupted: record.interrupted,
        aborted: record.aborted.map(|rule| rule.to_string()),
        fetch: record.fetched.as_ref().map(|fetched| FetchEcho::new(fetched, summary.window_s)),
    })
}

fn failures(tally: &Tally) -> BTreeMap<&'static str, u64> {
    Failure::ALL.into_iter().map(Failure::name).zip(tally.failures).collect()
}

fn failure_reasons(tally: &Tally) -> BTreeMap<&'static str, &str> {
    let known = Failure::ALL.into_iter().zip(&tally.reasons);
    known.filter_map(|(kind, reason)| Some((kind.name(), reason.as_deref()?))).collect()
}

/// HdrHistogram's V2 format, deflated, in base64: what its other implementations and plotters read.
pub(super) fn encode(histogram: &Histogram) -> io::Result<String> {
    let mut blob = Vec::new();
    V2DeflateSerializer::new().serialize(histogram.hdr(), &mut blob).map_err(io::Error::other)?;
    Ok(BASE64_STANDARD.encode(blob))
}

impl Counts {
    fn new(tally: &Tally) -> Self {
        let counts = &tally.counts;
        Self {
            intended: counts.intended,
            sent: counts.sent,
            ok: counts.ok,
            http_error: counts.http_error,
            failed: counts.failed,
            unsent: counts.unsent,
            in_flight_at_end: counts.in_flight_at_end,
            withheld: counts.withheld,
            redials: counts.redials,
            connections_opened: counts.connections_opened,
            connections_opened_before_t0: counts.connections_opened_before_t0,
            tls_resumed: counts.tls_resumed,
        }
    }
}

impl RatePerS {
    fn new(rates: &Rates) -> Self {
        Self { intended: rates.intended, sent: rates.sent, completed: rates.completed, ok: rates.ok }
    }
}

impl LatencyUs {
    /// By name; `censored_from_q` is of the response time.
    fn named(of: (Latency, &Statistics), censored_from_q: Option<f64>) -> (&'static str, Self) {
        let (latency, statistics) = of;
        let censored_from_q = (latency == Latency::Response).then_some(censored_from_q);
        (latency.name(), Self::new(statistics, censored_from_q))
    }

    fn new(statistics: &Statistics, censored_from_q: Option<Option<f64>>) -> Self {
        let [p50, p75, p90, p95, p99, p99_9, p99_99] = statistics.quantiles_us;
        Self {
            count: statistics.count,
            min: statistics.min_us,
            mean: statistics.mean_us,
            p50,
            p75,
            p90,
            p95,
            p99,
            p99_9,
            p99_99,
            max: statistics.max_us,
            censored_from_q,
        }
    }
}

impl<'a> Shard<'a> {
    fn new(record: &'a ShardRecord, figures: &ShardSummary) -> Self {
        Self {
            index: record.shard.index,
            core: record.shard.cpu,
            connections: record.shard.connections,
            counts: Counts::new(&record.tally),
            failures: failures(&record.tally),
            sent_per_s: figures.sent_per_s,
            latency_us: [(Latency::Response, &figures.response), (Latency::Service, &figures.service)]
                .map(|of| LatencyUs::named(of, figures.censored_from_q))
                .into(),
            cpu_s: figures.cpu_s,
            cpu_us_per_request: figures.cpu_us_per_request,
            ring_flags: record.ring_flags,
            lost: record.lost.as_deref(),
        }
    }
}

mod tags;
#[cfg(test)]
mod tests;
