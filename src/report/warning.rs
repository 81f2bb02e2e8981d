//! What makes a number of a run doubtful: a closed list, each with a stable code, its cause and what to do about it.

use std::fmt;

use super::escape::escape;
use super::summary::{QUANTILES, Rates, Summary};
use crate::plan::{Load, Plan};
use crate::record::{Failure, RunRecord};
use crate::units::{Nanos, format_us};

/// Every code that a report may carry; a contract. Codes are added, never renamed.
pub const CODES: [&str; 18] = [
    "worker_lost",
    "interrupted",
    "no_success",
    "failures",
    "http_errors",
    "redirects",
    "lower_bounds",
    "unsent",
    "rate_missed",
    "connection_limited",
    "client_saturated",
    "in_flight_at_end",
    "churn",
    "clamped",
    "few_samples",
    "ring_flags",
    "shared_machine",
    "loopback",
];

/// Share of a core's time beyond which its worker, not the server, is what limits the load.
const BUSY_SHARE: f64 = 0.85;

/// One reason to doubt a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// A worker died before the end.
    WorkerLost {
        /// Index of its shard.
        shard: u64,
        /// Number of shards.
        of: u64,
        /// What it said last, control characters escaped.
        reason: String,
    },
    /// A signal ended the run after so many seconds.
    Interrupted {
        /// Length of the window.
        window_s: f64,
    },
    /// Not one request was answered below 400.
    NoSuccess,
    /// Requests ended without a whole answer.
    Failures {
        /// All kinds together.
        failed: u64,
        /// All requests.
        intended: u64,
        /// The kinds that occurred, most frequent first.
        kinds: Vec<(Failure, u64)>,
    },
    /// Answers of 400 and above.
    HttpErrors {
        /// How many.
        errors: u64,
        /// Answers of any status.
        answered: u64,
        /// The most frequent of their statuses.
        status: u16,
    },
    /// More than half of the answers were 3xx.
    Redirects {
        /// How many.
        redirects: u64,
        /// Answers of any status.
        answered: u64,
    },
    /// Some quantile that is printed is only a lower bound.
    LowerBounds {
        /// The first such quantile's name.
        from: &'static str,
        /// How many response times are lower bounds.
        censored: u64,
    },
    /// More than one in a thousand requests fell due and was never sent.
    Unsent {
        /// How many.
        unsent: u64,
        /// All requests.
        intended: u64,
        /// Open connections.
        connections: u32,
    },
    /// Fewer than 99 % of the intended requests were sent.
    RateMissed {
        /// Sent a second.
        sent_per_s: f64,
        /// Intended a second.
        intended_per_s: f64,
    },
    /// An open load waited for free connections.
    ConnectionLimited {
        /// 99th percentile of pool lag.
        pool_lag_p99_us: f64,
        /// Open connections.
        connections: u32,
    },
    /// Workers were busy nearly all the time.
    ClientSaturated {
        /// Their CPUs.
        cores: Vec<usize>,
        /// Whether the load was closed.
        closed: bool,
    },
    /// Requests had no end when the drain was over.
    InFlightAtEnd {
        /// How many.
        requests: u64,
        /// Length of the drain.
        drain: Nanos,
    },
    /// Connections were opened again and again though keep-alive is on.
    Churn {
        /// Opened after T0.
        reconnects: u64,
        /// Requests sent.
        sent: u64,
    },
    /// Values above the histograms' range.
    Clamped {
        /// How many, over all histograms.
        values: u64,
    },
    /// Too few values for a p99.
    FewSamples {
        /// How many response times there are.
        count: u64,
    },
    /// The kernel refused the cheapest ring.
    RingFlags {
        /// What it granted every shard.
        granted: Vec<&'static str>,
    },
    /// The target was started by this very process.
    SharedMachine,
    /// The target has a loopback address.
    Loopback,
}

impl Warning {
    /// Its name in reports, one of [`CODES`].
    pub fn code(&self) -> &'static str {
        match self {
            Self::WorkerLost { .. } => "worker_lost",
            Self::Interrupted { .. } => "interrupted",
            Self::NoSuccess => "no_success",
            Self::Failures { .. } => "failures",
            Self::HttpErrors { .. } => "http_errors",
            Self::Redirects { .. } => "redirects",
            Self::LowerBounds { .. } => "lower_bounds",
            Self::Unsent { .. } => "unsent",
            Self::RateMissed { .. } => "rate_missed",
            Self::ConnectionLimited { .. } => "connection_limited",
            Self::ClientSaturated { .. } => "client_saturated",
            Self::InFlightAtEnd { .. } => "in_flight_at_end",
            Self::Churn { .. } => "churn",
            Self::Clamped { .. } => "clamped",
            Self::FewSamples { .. } => "few_samples",
            Self::RingFlags { .. } => "ring_flags",
            Self::SharedMachine => "shared_machine",
            Self::Loopback => "loopback",
        }
    }
}

/// All that is doubtful about a run, gravest first; everything else of the summary is known already.
pub(super) fn warnings(summary: &Summary<'_>) -> Vec<Warning> {
    let mut all = Vec::new();
    all.extend(lost(summary.record));
    if summary.record.interrupted {
        all.push(Warning::Interrupted { window_s: summary.window_s });
    }
    if summary.nothing_succeeded {
        all.push(Warning::NoSuccess);
    }
    all.extend(failures(summary.record));
    all.extend(http_errors(summary));
    all.extend(redirects(summary));
    all.extend(lower_bounds(summary));
    all.extend(open_load(summary));
    all.extend(saturated(summary));
    all.extend(in_flight(summary));
    all.extend(churn(summary));
    all.extend(clamped(summary.record));
    all.extend(few_samples(summary));
    all.extend(ring(summary));
    all.extend(shared(summary.plan, summary.record));
    all
}

fn lost(record: &RunRecord) -> impl Iterator<Item = Warning> + '_ {
    record.shards.iter().filter_map(|shard| {
        let reason = escape(shard.lost.as_deref()?);
        Some(Warning::WorkerLost { shard: shard.shard.index, of: shard.shard.count, reason })
    })
}

fn failures(record: &RunRecord) -> Option<Warning> {
    let counts = &record.total.counts;
    let mut kinds: Vec<_> = Failure::ALL.into_iter().zip(record.total.failures).filter(|&(_, n)| n > 0).collect();
    kinds.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    (counts.failed > 0).then_some(Warning::Failures { failed: counts.failed, intended: counts.intended, kinds })
}

fn http_errors(summary: &Summary<'_>) -> Option<Warning> {
    let counts = &summary.record.total.counts;
    // The first of the largest: `max_by_key` would take the last.
    let errors = summary.status.iter().rev().filter(|(status, _)| *status >= 400);
    let &(status, _) = errors.max_by_key(|(_, n)| *n)?;
    Some(Warning::HttpErrors { errors: counts.http_error, answered: counts.ok + counts.http_error, status })
}

fn redirects(summary: &Summary<'_>) -> Option<Warning> {
    let counts = &summary.record.total.counts;
    let answered = counts.ok + counts.http_error;
    let redirects: u64 = summary.status.iter().filter(|(s, _)| (300..400).contains(s)).map(|(_, n)| n).sum();
    (redirects * 2 > answered).then_some(Warning::Redirects { redirects, answered })
}

fn lower_bounds(summary: &Summary<'_>) -> Option<Warning> {
    let measured = QUANTILES.iter().zip(summary.latencies.response.quantiles_us).filter(|(_, value)| value.is_some());
    let (&(from, _), _) = measured.into_iter().find(|&(&(_, q), _)| summary.is_lower_bound(q))?;
    Some(Warning::LowerBounds { from, censored: summary.record.total.censored.count })
}

fn open_load(summary: &Summary<'_>) -> Vec<Warning> {
    let (counts, connections) = (&summary.record.total.counts, summary.plan.connections);
    let mut all = Vec::new();
    if summary.plan.load == Load::Closed {
        return all;
    }
    if counts.unsent * 1_000 > counts.intended {
        all.push(Warning::Unsent { unsent: counts.unsent, intended: counts.intended, connections });
    }
    if counts.sent * 100 < counts.intended * 99 {
        let Rates { sent, intended, .. } = summary.rates;
        all.push(Warning::RateMissed { sent_per_s: sent, intended_per_s: intended });
    }
    if let Some(pool_lag_p99_us) = summary.latencies.pool_lag.p99_us() {
        let response_p99_us = summary.latencies.response.p99_us().unwrap_or(0.0);
        if pool_lag_p99_us > 1_000.0 && pool_lag_p99_us > 0.1 * response_p99_us {
            all.push(Warning::ConnectionLimited { pool_lag_p99_us, connections });
        }
    }
    all
}

fn saturated(summary: &Summary<'_>) -> Option<Warning> {
    let shards = summary.record.shards.iter().zip(&summary.shards);
    let busy = shards.filter(|(_, figures)| figures.cpu_s > BUSY_SHARE * summary.window_s);
    let cores: Vec<usize> = busy.map(|(record, _)| record.shard.cpu).collect();
    let closed = summary.plan.load == Load::Closed;
    (!cores.is_empty()).then_some(Warning::ClientSaturated { cores, closed })
}

fn in_flight(summary: &Summary<'_>) -> Option<Warning> {
    let requests = summary.record.total.counts.in_flight_at_end;
    (requests > 0).then_some(Warning::InFlightAtEnd { requests, drain: summary.plan.drain })
}

fn churn(summary: &Summary<'_>) -> Option<Warning> {
    let counts = &summary.record.total.counts;
    let reconnects = counts.connections_opened.saturating_sub(counts.connections_opened_before_t0);
    let churns = summary.plan.keep_alive && reconnects * 10 > counts.sent && counts.sent > 0;
    churns.then_some(Warning::Churn { reconnects, sent: counts.sent })
}

fn clamped(record: &RunRecord) -> Option<Warning> {
    let values = record.total.latencies.named().iter().map(|(_, histogram)| histogram.clamped()).sum();
    (values > 0).then_some(Warning::Clamped { values })
}

fn few_samples(summary: &Summary<'_>) -> Option<Warning> {
    let response = &summary.latencies.response;
    (response.count > 0 && response.p99_us().is_none()).then_some(Warning::FewSamples { count: response.count })
}

fn ring(summary: &Summary<'_>) -> Option<Warning> {
    let cheapest = ["COOP_TASKRUN", "SINGLE_ISSUER", "DEFER_TASKRUN"];
    let granted = &summary.ring_flags;
    let missing = summary.record.driver == "io_uring" && cheapest.iter().any(|flag| !granted.contains(flag));
    missing.then(|| Warning::RingFlags { granted: granted.clone() })
}

fn shared(plan: &Plan, record: &RunRecord) -> Option<Warning> {
    if plan.embedded_target {
        return Some(Warning::SharedMachine);
    }
    let loopback = record.addresses.iter().flatten().any(|address| address.ip().to_canonical().is_loopback());
    loopback.then_some(Warning::Loopback)
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkerLost { .. } | Self::Interrupted { .. } | Self::ClientSaturated { .. } => self.fmt_client(f),
            Self::NoSuccess | Self::Failures { .. } | Self::HttpErrors { .. } | Self::Redirects { .. } => {
                self.fmt_answers(f)
            }
            Self::Unsent { .. } | Self::RateMissed { .. } | Self::ConnectionLimited { .. } => self.fmt_open(f),
            _ => self.fmt_figures(f),
        }
    }
}

impl Warning {
    fn fmt_client(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkerLost { shard, of, reason } => write!(
                f,
                "worker {shard} of {of} died (\"{reason}\"): its part of the load is missing and no figure holds for the \
                 whole; please report this bug."
            ),
            Self::Interrupted { window_s } => {
                write!(f, "a signal ended the run after {}; the figures cover that part alone.", format_us(window_s * 1e6))
            }
            Self::ClientSaturated { cores, closed } => write!(
                f,
                "the client kept {} {} busy more than 85 % of the time: {}. Give it more cores (-t, --cores).",
                if cores.len() == 1 { "core" } else { "cores" },
                ranges(cores),
                if *closed { "throughput is a lower bound" } else { "latencies may include its own delays" }
            ),
            _ => unreachable!("fmt sends it elsewhere"),
        }
    }

    fn fmt_answers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuccess => f.write_str(
                "not one request was answered below 400; check the URL, and that the server is up, before reading on.",
            ),
            Self::Failures { failed, intended, kinds } => {
                let named: Vec<_> = kinds.iter().map(|(kind, n)| format!("{} {n}", kind.name())).collect();
                let share = percent(*failed, *intended);
                write!(f, "{failed} of {intended} requests failed ({share}): {}.", named.join(", "))?;
                kinds.first().map_or(Ok(()), |&(kind, _)| write!(f, " {}.", remedy(kind)))
            }
            Self::HttpErrors { errors, answered, status } => write!(
                f,
                "{errors} of {answered} answers ({}) were 400 or above, most often {status}; they are not in ok/s. Check \
                 URL, method and headers, or the server's log.",
                percent(*errors, *answered)
            ),
            Self::Redirects { redirects, answered } => write!(
                f,
                "{} of the answers were redirects (3xx), which are not followed: the load measured redirects. Ask for the \
                 URL they lead to.",
                percent(*redirects, *answered)
            ),
            _ => unreachable!("fmt sends it elsewhere"),
        }
    }

    fn fmt_open(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent { unsent, intended, connections } => write!(
                f,
                "{unsent} of {intended} requests ({}) fell due and were never sent: {connections} connections did not keep \
                 up with the rate. Raise -c, or lower -R to what the server takes.",
                percent(*unsent, *intended)
            ),
            Self::RateMissed { sent_per_s, intended_per_s } => write!(
                f,
                "{sent_per_s:.0}/s were sent of {intended_per_s:.0}/s intended: service times are those of the lighter load."
            ),
            Self::ConnectionLimited { pool_lag_p99_us, connections } => write!(
                f,
                "requests waited for a free connection (pool lag p99 {}): the open load ran as a closed one of \
                 c={connections}. Raise -c until pool lag is gone.",
                format_us(*pool_lag_p99_us)
            ),
            _ => unreachable!("fmt sends it elsewhere"),
        }
    }

    fn fmt_figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LowerBounds { from, censored } => write!(
                f,
                "response times from {from} on are lower bounds (> x): {censored} requests had timed out, were in flight or \
                 unsent, and count with the time they had waited."
            ),
            Self::InFlightAtEnd { requests, drain } => write!(
                f,
                "{requests} requests had no end {drain} after the sending stopped; they count with the time waited. Raise \
                 --drain to see them through."
            ),
            Self::Churn { reconnects, sent } => write!(
                f,
                "{reconnects} connections were opened for {sent} requests although keep-alive is on, usually because the \
                 server closes them: response times include connecting. Raise the server's keep-alive limits."
            ),
            Self::Clamped { values } => write!(f, "{values} times were above 24 h and are counted as 24 h."),
            Self::FewSamples { count } => {
                write!(f, "{count} requests are too few for a p99; run longer (-d) or send more (-n).")
            }
            Self::RingFlags { granted } => write!(
                f,
                "the kernel granted {} of the ring flags COOP_TASKRUN, SINGLE_ISSUER and DEFER_TASKRUN, so the client needs \
                 about 26 % more CPU; Linux 6.1 or later has all.",
                if granted.is_empty() { "none".to_owned() } else { format!("only {}", granted.join(", ")) }
            ),
            Self::SharedMachine => f.write_str(
                "the target was started by this process and shares its machine: the figures exercise the client and are \
                 no benchmark of a server.",
            ),
            Self::Loopback => f.write_str(
                "the target is on this machine (loopback): client and server compete for its cores. Keep them apart \
                 (--cores, taskset), or use two machines.",
            ),
            _ => unreachable!("fmt sends it elsewhere"),
        }
    }
}

/// What to do about the most frequent kind of failure.
fn remedy(kind: Failure) -> &'static str {
    match kind {
        Failure::Resolve => "Check the host name",
        Failure::Connect => "Check that the server is up, its backlog, and the open-files limits (ulimit -n)",
        Failure::ConnectTimeout => "Check the way to the server, or raise --connect-timeout",
        Failure::Proxy => "Check the proxy and its credentials",
        Failure::Tls => "Check the server's certificate",
        Failure::Write | Failure::Reset | Failure::ClosedEarly | Failure::StreamReset => {
            "The server ended connections with requests on them: check its log and its limits"
        }
        Failure::ReadTimeout => "The server fell silent: lower the load, or raise --read-timeout",
        Failure::Timeout => "The server was slower than --timeout: lower the load, or raise it",
        Failure::Deadline => "The server was slower than --deadline: lower the load, or raise it",
        Failure::Protocol => "The answers break HTTP: check that the port speaks HTTP/1.1",
        Failure::Check => "Answers did not meet an expectation",
    }
}

/// A share with one decimal, never rounded to 0 or to 100 %.
pub(super) fn percent(part: u64, whole: u64) -> String {
    match part as f64 / whole.max(1) as f64 * 100.0 {
        share if part > 0 && share < 0.1 => "< 0.1 %".to_owned(),
        share if part < whole && share > 99.9 => "> 99.9 %".to_owned(),
        share => format!("{share:.1} %"),
    }
}

/// CPU numbers as `0-3,7`.
pub(super) fn ranges(cores: &[usize]) -> String {
    let mut sorted = cores.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a + 1 == *b);
    let named = runs.map(|run| match run {
        [one] => one.to_string(),
        [first, .., last] => format!("{first}-{last}"),
        [] => unreachable!("a chunk holds at least one"),
    });
    named.collect::<Vec<_>>().join(",")
}
