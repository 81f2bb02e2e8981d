//! The text report: about 40 lines of at most 80 columns of printable ASCII, after the layout that wrk made familiar.
//!
//! Prints what a [`Summary`] says and computes nothing. All text from outside has gone through [`super::escape()`].

mod confidence;

use std::io::{self, Write};

use super::checks;
use super::diagnosis;
use super::environment;
use super::escape::escape;
use super::heading::heading;
use super::health::Verdict;
use super::summary::{QUANTILES, Statistics, Summary, lower_bound};
use crate::record::{Failure, Latency};
use crate::units::{format_bytes, format_us};

/// Width of the report.
pub(super) const COLUMNS: usize = 80;
/// More shards than this are not all listed.
const SHARDS_LISTED: usize = 8;
/// More statuses than this are not all listed.
const STATUSES_LISTED: usize = 16;

/// More lines of a description are not all listed.
const DESCRIPTION_LINES: usize = 20;

/// Writes the report.
///
/// # Errors
/// Those of `out`.
pub fn write(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    for line in heading(summary) {
        writeln!(out, "{line}")?;
    }
    let rates = &summary.rates;
    writeln!(out)?;
    writeln!(out, "Requests/sec: {:.2} ok", rates.ok)?;
    writeln!(
        out,
        "{:13} {:.2} completed, {:.2} sent, {:.2} intended",
        "", rates.completed, rates.sent, rates.intended
    )?;
    write_traffic(summary, out)?;
    write_accounting(summary, out)?;
    write_wrapped(out, "Client:       ", &diagnosis::client(summary))?;
    writeln!(out)?;
    write_latency(summary, out)?;
    confidence::write(summary, out)?;
    writeln!(out)?;
    tags::write_tags(summary, out)?;
    write_shards(summary, out)?;
    writeln!(out)?;
    write_wrapped(out, "Measured on:  ", &escape(&environment::paragraph(&summary.record.environment)))?;
    write_described(summary, out)?;
    write_warnings(summary, out)
}

fn write_traffic(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    let traffic = &summary.record.total.traffic;
    writeln!(
        out,
        "Transfer/sec: {} in ({} in all), {} out ({} in all)",
        format_bytes(summary.bytes_per_s.received),
        format_bytes(traffic.received as f64),
        format_bytes(summary.bytes_per_s.sent),
        format_bytes(traffic.sent as f64)
    )?;
    if let Some(decoded) = summary.bytes_per_s.decoded {
        let (decoded, all) = (format_bytes(decoded), format_bytes(traffic.decoded as f64));
        writeln!(out, "Decoded/sec:  {decoded} of bodies ({all} in all)")?;
    }
    Ok(())
}

/// Each intended request in exactly one class; then what the answers and the failures were.
fn write_accounting(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    let total = &summary.record.total;
    let counts = &total.counts;
    let classes = [
        (counts.ok, "ok"),
        (counts.http_error, "http_error"),
        (counts.failed, "failed"),
        (counts.unsent, "unsent"),
        (counts.in_flight_at_end, "in_flight"),
    ];
    let classes: Vec<_> = classes.iter().map(|(n, name)| format!("{n} {name}")).collect();
    writeln!(out, "Requests:     {} intended", counts.intended)?;
    write_wrapped(out, "              ", &format!("= {}", classes.join(" + ")))?;
    if !summary.status.is_empty() {
        let mut statuses: Vec<_> =
            summary.status.iter().take(STATUSES_LISTED).map(|(status, n)| format!("{status}: {n}")).collect();
        if summary.status.len() > STATUSES_LISTED {
            statuses.push(format!("{} more kinds", summary.status.len() - STATUSES_LISTED));
        }
        write_wrapped(out, "Status:       ", &statuses.join(", "))?;
    }
    let failures = Failure::ALL.into_iter().zip(total.failures).filter(|&(_, n)| n > 0);
    let failures: Vec<_> = failures.map(|(kind, n)| format!("{}: {n}", kind.name())).collect();
    if !failures.is_empty() {
        write_wrapped(out, "Failures:     ", &failures.join(", "))?;
    }
    let mut label = "Unexpected:   ";
    for sample in checks::lines(total) {
        write_wrapped(out, label, &sample)?;
        label = "              ";
    }
    if counts.redials > 0 {
        writeln!(out, "Redials:      {} requests sent again on a fresh connection", counts.redials)?;
    }
    Ok(())
}

fn write_latency(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    let latencies = &summary.latencies;
    let (response, service) = (&latencies[Latency::Response], &latencies[Latency::Service]);
    writeln!(
        out,
        "{:<10}{:>12}{:>13}{:>13}{:>13}{:>13}",
        "Latency", "response", "service", "first byte", "pool lag", "client lag"
    )?;
    let others =
        [service, &latencies[Latency::FirstByte], &latencies[Latency::PoolLag], &latencies[Latency::ClientLag]];
    let mut row = |name: &str, bound: bool, verdict: Verdict, of: &dyn Fn(&Statistics) -> Option<f64>| {
        let [service, first_byte, pool_lag, client_lag] = others.map(|statistics| cell(of(statistics), false));
        let (response, mark) = (of(response), diagnosis::mark(verdict));
        let (response, mark) = (cell(response, bound), if response.is_some() { mark } else { ' ' });
        writeln!(out, "  {name:<8}{response:>12}{mark}{service:>12}{first_byte:>13}{pool_lag:>13}{client_lag:>13}")
    };
    let from_q = summary.censored_from_q;
    row("min", lower_bound(from_q, 0.0), Verdict::Ok, &|statistics| statistics.min_us)?;
    // A mean is a lower bound as soon as anything in it is.
    row("mean", from_q.is_some(), Verdict::Ok, &|statistics| statistics.mean_us)?;
    let judged = QUANTILES.into_iter().zip(&summary.health.quantiles);
    for (index, ((name, q), judged)) in judged.enumerate() {
        row(name, lower_bound(from_q, q), judged.verdict, &|statistics| statistics.quantiles_us[index])?;
    }
    row("max", lower_bound(from_q, 1.0), Verdict::Ok, &|statistics| statistics.max_us)?;
    let [service_n, first_byte_n, pool_lag_n, client_lag_n] = others.map(|statistics| statistics.count);
    writeln!(
        out,
        "  {:<8}{:>12}{service_n:>13}{first_byte_n:>13}{pool_lag_n:>13}{client_lag_n:>13}",
        "of", response.count
    )?;
    writeln!(out, "  response: from the intended start; of all answered, timed out or left waiting")?;
    writeln!(out, "  service, first byte: from sending; of all answered. n/a: not measured")?;
    writeln!(out, "  pool lag: wait for a connection; client lag: the client's own; of all sent")?;
    if summary.health.quantiles.iter().any(|quantile| quantile.verdict > Verdict::Ok && quantile.tail.is_some()) {
        writeln!(out, "  ?, !: suspect, invalid; Client above says why")?;
    }
    diagnosis::tail(&summary.health).map_or(Ok(()), |tail| writeln!(out, "  {tail}"))
}

/// One row a core; of many cores those that sent least, for they are the ones to look at.
fn write_shards(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut rows: Vec<_> = summary.record.shards.iter().zip(&summary.shards).collect();
    let all = rows.len();
    if all > SHARDS_LISTED {
        rows.sort_by_key(|(record, _)| record.tally.counts.sent);
        rows.truncate(SHARDS_LISTED);
    }
    writeln!(out, "Core  conns        sent      sent/s  response p50  response p99 cpu/request")?;
    for (record, figures) in rows {
        let (p50, p99) = (figures.response.p50_us(), figures.response.p99_us());
        writeln!(
            out,
            "{:<5}{:>6}{:>12}{:>12.2}{:>14}{:>14}{:>12}{}",
            record.shard.cpu,
            record.shard.connections,
            record.tally.counts.sent,
            figures.sent_per_s,
            cell(p50, lower_bound(figures.censored_from_q, 0.5)),
            cell(p99, lower_bound(figures.censored_from_q, 0.99)),
            cell(figures.cpu_us_per_request, false),
            if record.lost.is_some() { " LOST" } else { "" }
        )?;
    }
    if all > SHARDS_LISTED {
        writeln!(out, "     ... the {SHARDS_LISTED} that sent least of {all}; the JSON report has all")?;
    }
    Ok(())
}

/// What the user said of the target, as far as it is short; its lines as they stand.
fn write_described(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    let Some(text) = &summary.plan.described else { return Ok(()) };
    writeln!(out, "Target ({}):", environment::DECLARED)?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    for line in lines.clone().take(DESCRIPTION_LINES) {
        write_wrapped(out, "  ", &escape(line.trim_end()))?;
    }
    match lines.count().saturating_sub(DESCRIPTION_LINES) {
        0 => Ok(()),
        more => writeln!(out, "  ... {more} more line{}; the JSON report has all", plural(more as u64)),
    }
}

fn write_warnings(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    if summary.warnings.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for warning in &summary.warnings {
        write_wrapped(out, "Warning: ", &format!("[{}] {}", warning.code(), warning.text))?;
    }
    Ok(())
}

/// A time in at most 10 columns, `n/a` where there is none, `> x` for a lower bound.
fn cell(value_us: Option<f64>, lower_bound: bool) -> String {
    match value_us.map(format_us) {
        None => "n/a".to_owned(),
        Some(time) if lower_bound => format!("> {time}"),
        Some(time) => time,
    }
}

/// Writes `text` behind `label`, broken between words so that no line is longer than it must be.
fn write_wrapped(out: &mut impl Write, label: &str, text: &str) -> io::Result<()> {
    let mut line = label.to_owned();
    let indent = label.len();
    // A word that no line has room for is broken; all text here is ASCII.
    let pieces = |word: &str| word.as_bytes().chunks(COLUMNS - indent).map(<[u8]>::to_vec).collect::<Vec<_>>();
    for word in text.split(' ').flat_map(pieces) {
        let word = String::from_utf8_lossy(&word);
        if line.len() > indent && line.len() + 1 + word.len() > COLUMNS {
            writeln!(out, "{line}")?;
            line = " ".repeat(indent);
        }
        if line.len() > indent {
            line.push(' ');
        }
        line.push_str(&word);
    }
    writeln!(out, "{line}")
}

/// The ending of a noun behind `n`.
pub(super) fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

mod tags;
#[cfg(test)]
mod tests;
