//! What makes a number of a run doubtful: a closed list of codes, each with its cause and what to do about it.

mod code;
mod steadiness;

pub use code::Code;

use super::escape::escape;
use super::health::BUSY_SHARE;
use super::summary::{QUANTILES, Summary, lower_bound};
use crate::plan::{Load, Plan};
use crate::record::{Failure, Latency, RunRecord};
use crate::units::format_us;

/// One reason to doubt a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which one.
    pub code: Code,
    /// Cause and remedy in one or two sentences; printable ASCII.
    pub text: String,
}

impl Warning {
    /// The code's name in reports.
    pub fn code(&self) -> &'static str {
        self.code.name()
    }
}

/// All that is doubtful about a run, gravest first; everything else of the summary is known already.
pub(super) fn warnings(summary: &Summary<'_>) -> Vec<Warning> {
    let mut all: Vec<_> = bugs(summary.record).chain(lost(summary.record)).collect();
    let rules = [
        interrupted,
        aborted,
        no_success,
        error_rate,
        failures,
        http_errors,
        redirects,
        lower_bounds,
        unsent,
        rate_missed,
        connection_limited,
        client_saturated,
        in_flight_at_end,
        churn,
        clamped,
        few_samples,
        steadiness::warmup_too_short,
        steadiness::drift,
        steadiness::outlier_second,
        steadiness::bimodal,
        epoll_driver,
        ring_flags,
        |summary: &Summary<'_>| shared_machine(summary.plan, summary.record),
    ];
    all.extend(rules.iter().filter_map(|rule| rule(summary)));
    all.extend(summary.record.findings.iter().map(|finding| Code::of(finding.kind).because(&finding.text)));
    all.retain(|warning| !summary.plan.is_fetched() || warning.code.is_of_fetch());
    all.sort_by_key(|warning| warning.code);
    all
}

fn bugs(record: &RunRecord) -> impl Iterator<Item = Warning> + '_ {
    record.bugs.iter().map(|bug| {
        Code::Bug.because(format!("the accounting does not add up ({bug}): believe no figure, and please report it."))
    })
}

fn lost(record: &RunRecord) -> impl Iterator<Item = Warning> + '_ {
    record.shards.iter().filter_map(|shard| {
        let reason = escape(shard.lost.as_deref()?);
        let (index, count) = (shard.shard.index, shard.shard.count);
        Some(Code::WorkerLost.because(format!(
            "the worker of shard {index} of {count} died ({reason}): its part of the load is missing, so no figure holds \
             for the whole. Please report this bug."
        )))
    })
}

fn interrupted(summary: &Summary<'_>) -> Option<Warning> {
    summary.record.interrupted.then(|| {
        let after = format_us(summary.window_s * 1e6);
        if summary.record.total.counts.intended == 0 {
            return Code::Interrupted.because("a signal ended the run before its window: nothing was measured.");
        }
        Code::Interrupted.because(format!("a signal ended the run after {after}; the figures cover that part alone."))
    })
}

fn aborted(summary: &Summary<'_>) -> Option<Warning> {
    summary.record.aborted.map(|rule| {
        let after = format_us(summary.window_s * 1e6);
        Code::Aborted.because(format!(
            "--abort-on '{rule}' ended the run after {after}; the figures cover that part alone. Find its cause, or lower the load."
        ))
    })
}

fn no_success(summary: &Summary<'_>) -> Option<Warning> {
    (summary.nothing_succeeded && summary.record.total.counts.intended > 0).then(|| {
        Code::NoSuccess.because("not one request was answered below 400: check the URL, and that the server is up.")
    })
}

fn error_rate(summary: &Summary<'_>) -> Option<Warning> {
    let limit = summary.plan.max_error_rate.filter(|_| summary.too_many_errors)?;
    let counts = &summary.record.total.counts;
    let errors = counts.http_error + counts.failed;
    Some(Code::ErrorRate.because(format!(
        "{errors} of {} requests ({}) failed or were answered with 400 or above, more than --max-error-rate {limit} allows.",
        counts.intended,
        percent(errors, counts.intended)
    )))
}

fn failures(summary: &Summary<'_>) -> Option<Warning> {
    let total = &summary.record.total;
    let mut kinds: Vec<_> = Failure::ALL.into_iter().zip(total.failures).filter(|&(_, n)| n > 0).collect();
    kinds.sort_by_key(|&(_, n)| std::cmp::Reverse(n));
    let remedy = remedy(kinds.first()?.0);
    let named = kinds.iter().map(|&(kind, n)| match &total.reasons[kind as usize] {
        Some(reason) => format!("{} {n} (the first: {})", kind.name(), escape(reason)),
        None => format!("{} {n}", kind.name()),
    });
    let named: Vec<_> = named.collect();
    let (failed, intended) = (total.counts.failed, total.counts.intended);
    Some(Code::Failures.because(format!(
        "{failed} of {intended} requests failed ({}): {}. {remedy}.",
        percent(failed, intended),
        named.join(", ")
    )))
}

/// What to do about the most frequent kind of failure.
fn remedy(kind: Failure) -> &'static str {
    match kind {
        Failure::Resolve => "Check the host name",
        Failure::Connect => "Check that the server is up, its backlog, and the limits on open files (ulimit -n)",
        Failure::ConnectTimeout => "Check the way to the server, or raise --connect-timeout",
        Failure::Proxy => "Check the proxy and its credentials",
        Failure::Tls => "Check the server's certificate",
        Failure::Write | Failure::Reset | Failure::ClosedEarly | Failure::StreamReset => {
            "The server ended connections with requests on them: check its log and its limits"
        }
        Failure::ReadTimeout => "The server fell silent: lower the load, or raise --read-timeout",
        Failure::Timeout => "The server was slower than --timeout: lower the load, or raise it",
        Failure::Deadline => "The server was slower than --deadline: lower the load, or raise it",
        Failure::Protocol => "The answers break HTTP, or a coding of their bodies: check what the port speaks",
        Failure::Check => "Answers did not meet an expectation",
    }
}

fn http_errors(summary: &Summary<'_>) -> Option<Warning> {
    let counts = &summary.record.total.counts;
    // Backwards, because `max_by_key` takes the last of equals and the lowest status is wanted.
    let errors = summary.status.iter().rev().filter(|(status, _)| *status >= 400);
    let (status, _) = errors.max_by_key(|(_, n)| *n)?;
    let (errors, answered) = (counts.http_error, counts.ok + counts.http_error);
    Some(Code::HttpErrors.because(format!(
        "{errors} of {answered} answers ({}) were 400 or above, most often {status}; they are not in ok/s. Check URL, \
         method and headers, or the server's log.",
        percent(errors, answered)
    )))
}

fn redirects(summary: &Summary<'_>) -> Option<Warning> {
    let counts = &summary.record.total.counts;
    let answered = counts.ok + counts.http_error;
    let redirects: u64 = summary.status.iter().filter(|(s, _)| (300..400).contains(s)).map(|(_, n)| n).sum();
    (redirects * 2 > answered).then(|| {
        Code::Redirects.because(format!(
            "{} of the answers were redirects (3xx), which are not followed: the load measured redirects. Ask for the \
             URL they lead to.",
            percent(redirects, answered)
        ))
    })
}

fn lower_bounds(summary: &Summary<'_>) -> Option<Warning> {
    let measured =
        QUANTILES.iter().zip(summary.latencies[Latency::Response].quantiles_us).filter(|(_, value)| value.is_some());
    let (&(from, _), _) = measured.into_iter().find(|&(&(_, q), _)| lower_bound(summary.censored_from_q, q))?;
    let censored = summary.record.total.censored.count;
    Some(Code::LowerBounds.because(format!(
        "response times from {from} on are lower bounds (> x): {censored} requests ({}) timed out, were in flight at the \
         end or unsent, and count with the time they had waited. A quantile can be off by as many ranks, no more.",
        percent(censored, summary.record.total.counts.intended)
    )))
}

fn unsent(summary: &Summary<'_>) -> Option<Warning> {
    let counts = &summary.record.total.counts;
    let behind = is_open(summary.plan) && counts.unsent * 1_000 > counts.intended;
    let no_connection = [Failure::Resolve, Failure::Connect, Failure::ConnectTimeout];
    let unconnected: u64 = no_connection.iter().map(|&kind| summary.record.total.failures[kind as usize]).sum();
    let advice = if unconnected > 0 {
        "Mend what refused connections first: a dead origin holds requests back while it rests."
    } else if counts.withheld.min(counts.unsent) * 2 > counts.unsent {
        "The client kept most of them back itself (see Client): give it more CPU, or lower -R."
    } else {
        "Raise -c, or lower -R to what the server takes."
    };
    behind.then(|| {
        Code::Unsent.because(format!(
            "{} of {} requests ({}) fell due and were never sent: {} connections did not keep up with the rate. {advice}",
            counts.unsent,
            counts.intended,
            percent(counts.unsent, counts.intended),
            summary.plan.connections
        ))
    })
}

fn rate_missed(summary: &Summary<'_>) -> Option<Warning> {
    let counts = &summary.record.total.counts;
    let missed = is_open(summary.plan) && u128::from(counts.sent) * 100 < u128::from(counts.intended) * 99;
    missed.then(|| {
        let (sent, intended) = (summary.rates.sent, summary.rates.intended);
        Code::RateMissed.because(format!(
            "{sent:.0}/s were sent of {intended:.0}/s intended: service times are those of the lighter load."
        ))
    })
}

fn connection_limited(summary: &Summary<'_>) -> Option<Warning> {
    let pool_lag_us = summary.latencies[Latency::PoolLag].p99_us()?;
    let response_us = summary.latencies[Latency::Response].p99_us()?;
    // What the client's own stalls left behind is no matter of connections.
    let is_owed = QUANTILES
        .iter()
        .zip(&summary.health.quantiles)
        .any(|(&(_, q), quantile)| q == 0.99 && quantile.tail.is_some_and(|tail| tail.client > tail.pool));
    let limited = is_open(summary.plan) && !is_owed && pool_lag_us > 1_000.0 && pool_lag_us > 0.1 * response_us;
    limited.then(|| {
        Code::ConnectionLimited.because(format!(
            "requests waited for a free connection (pool lag p99 {}): the open load ran as a closed one of c={}. Raise -c \
             until pool lag is gone.",
            format_us(pool_lag_us),
            summary.plan.connections
        ))
    })
}

fn client_saturated(summary: &Summary<'_>) -> Option<Warning> {
    let shards = summary.record.shards.iter().zip(&summary.shards);
    let busy = shards.filter(|(_, figures)| figures.cpu_s > BUSY_SHARE * summary.window_s);
    let cores: Vec<usize> = busy.map(|(record, _)| record.shard.cpu).collect();
    let effect =
        if is_open(summary.plan) { "latencies may hold its own delays" } else { "throughput is a lower bound" };
    (!cores.is_empty()).then(|| {
        Code::ClientSaturated.because(format!(
            "the client kept its core {} busy more than {:.0} % of the time: {effect}. Give it more cores (-t, --cores).",
            ranges(&cores),
            BUSY_SHARE * 100.0
        ))
    })
}

fn in_flight_at_end(summary: &Summary<'_>) -> Option<Warning> {
    let requests = summary.record.total.counts.in_flight_at_end;
    (requests > 0).then(|| {
        Code::InFlightAtEnd.because(format!(
            "{requests} requests had no end {} after the sending stopped; they count with the time they had waited. Raise \
             --drain to see them through.",
            summary.plan.drain
        ))
    })
}

fn churn(summary: &Summary<'_>) -> Option<Warning> {
    let counts = &summary.record.total.counts;
    let reconnects = counts.connections_opened.saturating_sub(counts.connections_opened_before_t0);
    let asked_for = counts.sent / summary.plan.requests_per_connection_max();
    let churns = summary.plan.keep_alive && counts.sent > 0 && reconnects.saturating_sub(asked_for) * 10 > counts.sent;
    churns.then(|| {
        Code::Churn.because(format!(
            "{reconnects} connections were opened for {} requests although keep-alive is on: response times include \
             connecting. The server closed them (raise its keep-alive limits), or requests on them failed.",
            counts.sent
        ))
    })
}

fn clamped(summary: &Summary<'_>) -> Option<Warning> {
    let values: u64 = summary.record.total.latencies.iter().map(|(_, histogram)| histogram.clamped()).sum();
    (values > 0).then(|| {
        Code::Clamped.because(format!("above the 24 h that are told apart, and counted as 24 h: {values} times."))
    })
}

fn few_samples(summary: &Summary<'_>) -> Option<Warning> {
    let response = &summary.latencies[Latency::Response];
    (response.count > 0 && response.p99_us().is_none()).then(|| {
        let count = response.count;
        Code::FewSamples.because(format!("{count} requests are too few for a p99; run longer (-d) or send more (-n)."))
    })
}

fn epoll_driver(summary: &Summary<'_>) -> Option<Warning> {
    let cause = escape(summary.record.io_uring_refused.as_deref()?);
    Some(Code::EpollDriver.because(format!(
        "io_uring was refused ({cause}) and epoll took its place: the client needs more CPU a request, and its figures do \
         not compare with those of io_uring. See: ringload help containers."
    )))
}

fn ring_flags(summary: &Summary<'_>) -> Option<Warning> {
    let cheapest = ["COOP_TASKRUN", "SINGLE_ISSUER", "DEFER_TASKRUN"];
    let granted = &summary.ring_flags;
    let missing = summary.record.driver == "io_uring" && cheapest.iter().any(|flag| !granted.contains(flag));
    missing.then(|| {
        let granted = if granted.is_empty() { "none".to_owned() } else { format!("only {}", granted.join(", ")) };
        Code::RingFlags.because(format!(
            "of the ring flags COOP_TASKRUN, SINGLE_ISSUER and DEFER_TASKRUN the kernel granted {granted}: the client needs \
             about 26 % more CPU. Linux 6.1 or later has all."
        ))
    })
}

fn shared_machine(plan: &Plan, record: &RunRecord) -> Option<Warning> {
    if plan.embedded_target {
        return Some(Code::SharedMachine.because(
            "the target was started by this process and shares its machine: the figures exercise the client and are no \
             benchmark of a server.",
        ));
    }
    let mut addresses = record.origins.iter().flat_map(|origin| &origin.addresses);
    let here = plan.network.socket.is_some() || addresses.any(|address| address.ip().to_canonical().is_loopback());
    here.then(|| {
        Code::Loopback.because(
            "the target is on this machine: client and server compete for its cores. Keep them apart (--cores, \
             taskset), or use two machines.",
        )
    })
}

fn is_open(plan: &Plan) -> bool {
    plan.load != Load::Closed
}

/// A share with one decimal, never rounded to 0 or to 100 %.
fn percent(part: u64, whole: u64) -> String {
    percent_of(part as f64 / whole.max(1) as f64)
}

fn percent_of(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.1 => "< 0.1 %".to_owned(),
        percent if percent > 99.9 && percent < 100.0 => "> 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// CPU numbers as `0-3,7`.
pub(super) fn ranges(cores: &[usize]) -> String {
    let mut sorted = cores.to_vec();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a + 1 == *b);
    let named = runs.map(|run| match (run[0], run[run.len() - 1]) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first}-{last}"),
    });
    named.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
