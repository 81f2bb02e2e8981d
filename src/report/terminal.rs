//! The text report: about 40 lines of at most 80 columns of printable ASCII, after the layout that wrk made familiar.
//!
//! Prints what a [`Summary`] says and computes nothing. All text from outside has gone through [`super::escape()`].

use std::io::{self, Write};

use super::heading::heading;
use super::summary::{QUANTILES, Statistics, Summary, lower_bound};
use crate::record::{Failure, Latency};
use crate::units::{format_bytes, format_us};

/// Width of the report.
pub(super) const COLUMNS: usize = 80;
/// More shards than this are not all listed.
const SHARDS_LISTED: usize = 8;
/// More statuses than this are not all listed.
const STATUSES_LISTED: usize = 16;

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
    writeln!(out)?;
    write_latency(summary, out)?;
    writeln!(out)?;
    write_shards(summary, out)?;
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
    )
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
    let mut row = |name: &str, bound: bool, of: &dyn Fn(&Statistics) -> Option<f64>| {
        let [service, first_byte, pool_lag, client_lag] = others.map(|statistics| cell(of(statistics), false));
        let response = cell(of(response), bound);
        writeln!(out, "  {name:<8}{response:>12}{service:>13}{first_byte:>13}{pool_lag:>13}{client_lag:>13}")
    };
    let from_q = summary.censored_from_q;
    row("min", lower_bound(from_q, 0.0), &|statistics| statistics.min_us)?;
    // A mean is a lower bound as soon as anything in it is.
    row("mean", from_q.is_some(), &|statistics| statistics.mean_us)?;
    for (index, (name, q)) in QUANTILES.into_iter().enumerate() {
        row(name, lower_bound(from_q, q), &|statistics| statistics.quantiles_us[index])?;
    }
    row("max", lower_bound(from_q, 1.0), &|statistics| statistics.max_us)?;
    let [service_n, first_byte_n, pool_lag_n, client_lag_n] = others.map(|statistics| statistics.count);
    writeln!(
        out,
        "  {:<8}{:>12}{service_n:>13}{first_byte_n:>13}{pool_lag_n:>13}{client_lag_n:>13}",
        "of", response.count
    )?;
    writeln!(out, "  response: from the intended start; of all answered, timed out or left waiting")?;
    writeln!(out, "  service, first byte: from sending; of all answered. n/a: not measured")?;
    writeln!(out, "  pool lag: wait for a connection; client lag: the client's own; of all sent")
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
    for word in text.split(' ') {
        if line.len() > indent && line.len() + 1 + word.len() > COLUMNS {
            writeln!(out, "{line}")?;
            line = " ".repeat(indent);
        }
        if line.len() > indent {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{line}")
}

/// The ending of a noun behind `n`.
pub(super) fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::fixture::{self, MS, Run, US, raw};
    use super::*;
    use crate::plan::{Plan, RawPlan};
    use crate::record::{Outcome, RunRecord};

    fn text((plan, record): &(Plan, RunRecord)) -> String {
        let mut out = Vec::new();
        write(&Summary::new(plan, record), &mut out).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("ASCII");
        assert!(text.bytes().all(|b| b == b'\n' || (32..127).contains(&b)), "{text}");
        assert!(text.lines().all(|line| line.len() <= COLUMNS && line.trim_end() == line), "{text}");
        text
    }

    fn check(run: &(Plan, RunRecord), expect: Expect) {
        expect.assert_eq(&text(run));
    }

    #[test]
    fn a_closed_run() {
        check(
            &fixture::closed(),
            expect![[r#"
                ringload: GET http://10.0.0.2:8080/index.html
                  closed load, measured for 2.00s
                  8 connections, 2 threads on cores 0-1

                Requests/sec: 10000.00 ok
                              10000.00 completed, 10000.00 sent, 10000.00 intended
                Transfer/sec: 8.11MiB in (16.2MiB in all), 879KiB out (1.72MiB in all)
                Requests:     20000 intended
                              = 20000 ok + 0 http_error + 0 failed + 0 unsent + 0 in_flight
                Status:       200: 20000

                Latency       response      service   first byte     pool lag   client lag
                  min            102us      100.0us       90.0us       0.00us       2.00us
                  mean           601us        599us        539us       0.00us       2.00us
                  p50            601us        599us        539us       0.00us       2.00us
                  p75            851us        849us        765us       0.00us       2.00us
                  p90           1.00ms       1.00ms        900us       0.00us       2.00us
                  p95           1.05ms       1.05ms        945us       0.00us       2.00us
                  p99           1.09ms       1.09ms        981us       0.00us       2.00us
                  p99.9         1.10ms       1.10ms        989us       0.00us       2.00us
                  p99.99        1.10ms       1.10ms        990us       0.00us       2.00us
                  max           1.10ms       1.10ms        990us       0.00us       2.00us
                  of             20000        20000        20000        20000        20000
                  response: from the intended start; of all answered, timed out or left waiting
                  service, first byte: from sending; of all answered. n/a: not measured
                  pool lag: wait for a connection; client lag: the client's own; of all sent

                Core  conns        sent      sent/s  response p50  response p99 cpu/request
                0         4       10000     5000.00         601us        1.09ms      40.0us
                1         4       10000     5000.00         601us        1.09ms      40.0us
            "#]],
        );
    }

    #[test]
    fn an_open_run_with_lower_bounds() {
        check(
            &fixture::open(),
            expect![[r#"
                ringload: GET http://10.0.0.2:8080/index.html
                  open load of 5000/s, Poisson arrivals, measured for 2.00s
                  8 connections, 2 threads on cores 0-1
                  after a warm-up of 1s (4990 requests, 3 failed), in no figure below

                Requests/sec: 4500.00 ok
                              4600.00 completed, 4810.50 sent, 5000.50 intended
                Transfer/sec: 3.73MiB in (7.46MiB in all), 423KiB out (846KiB in all)
                Requests:     10001 intended
                              = 9001 ok + 200 http_error + 400 failed + 380 unsent + 20
                              in_flight
                Status:       200: 9001, 503: 200
                Failures:     timeout: 400

                Latency       response      service   first byte     pool lag   client lag
                  min            102us      100.0us       90.0us       0.00us       2.00us
                  mean        > 60.8ms       11.5ms       10.4ms       18.8ms       2.00us
                  p50            656us        610us        549us       0.00us       2.00us
                  p75            935us        866us        779us       0.00us       2.00us
                  p90         > 21.0ms       1.02ms        918us       0.00us       2.00us
                  p95          > 800ms       1.07ms        964us        300ms       2.00us
                  p99          > 800ms        500ms        450ms        300ms       2.00us
                  p99.9        > 2.10s        500ms        450ms        300ms       2.00us
                  p99.99       > 2.10s          n/a          n/a          n/a          n/a
                  max          > 2.10s        800ms        720ms        300ms       2.00us
                  of             10001         9201         9201         9621         9621
                  response: from the intended start; of all answered, timed out or left waiting
                  service, first byte: from sending; of all answered. n/a: not measured
                  pool lag: wait for a connection; client lag: the client's own; of all sent

                Core  conns        sent      sent/s  response p50  response p99 cpu/request
                0         4        4500     2250.00         600us        1.09ms      88.9us
                1         4        5121     2560.50         712us       > 800ms      78.1us

                Warning: [failures] 400 of 10001 requests failed (4.0 %): timeout 400. The
                         server was slower than --timeout: lower the load, or raise it.
                Warning: [http_errors] 200 of 9201 answers (2.2 %) were 400 or above, most often
                         503; they are not in ok/s. Check URL, method and headers, or the
                         server's log.
                Warning: [lower_bounds] response times from p90 on are lower bounds (> x): 800
                         requests (8.0 %) timed out, were in flight at the end or unsent, and
                         count with the time they had waited. A quantile can be off by as many
                         ranks, no more.
                Warning: [unsent] 380 of 10001 requests (3.8 %) fell due and were never sent: 8
                         connections did not keep up with the rate. Raise -c, or lower -R to
                         what the server takes.
                Warning: [rate_missed] 4810/s were sent of 5000/s intended: service times are
                         those of the lighter load.
                Warning: [connection_limited] requests waited for a free connection (pool lag
                         p99 300ms): the open load ran as a closed one of c=8. Raise -c until
                         pool lag is gone.
                Warning: [in_flight_at_end] 20 requests had no end 2s after the sending stopped;
                         they count with the time they had waited. Raise --drain to see them
                         through.
            "#]],
        );
    }

    #[test]
    fn a_run_with_nothing_answered() {
        check(
            &fixture::nothing(),
            expect![[r#"
                ringload: GET http://10.0.0.2:8080/index.html
                  closed load, measured for 2.00s
                  8 connections, 2 threads on cores 0-1

                Requests/sec: 0.00 ok
                              0.00 completed, 0.00 sent, 100.00 intended
                Transfer/sec: 0B in (0B in all), 0B out (0B in all)
                Requests:     200 intended
                              = 0 ok + 0 http_error + 200 failed + 0 unsent + 0 in_flight
                Failures:     connect: 200

                Latency       response      service   first byte     pool lag   client lag
                  min              n/a          n/a          n/a          n/a          n/a
                  mean             n/a          n/a          n/a          n/a          n/a
                  p50              n/a          n/a          n/a          n/a          n/a
                  p75              n/a          n/a          n/a          n/a          n/a
                  p90              n/a          n/a          n/a          n/a          n/a
                  p95              n/a          n/a          n/a          n/a          n/a
                  p99              n/a          n/a          n/a          n/a          n/a
                  p99.9            n/a          n/a          n/a          n/a          n/a
                  p99.99           n/a          n/a          n/a          n/a          n/a
                  max              n/a          n/a          n/a          n/a          n/a
                  of                 0            0            0            0            0
                  response: from the intended start; of all answered, timed out or left waiting
                  service, first byte: from sending; of all answered. n/a: not measured
                  pool lag: wait for a connection; client lag: the client's own; of all sent

                Core  conns        sent      sent/s  response p50  response p99 cpu/request
                0         4           0        0.00           n/a           n/a         n/a
                1         4           0        0.00           n/a           n/a         n/a

                Warning: [no_success] not one request was answered below 400: check the URL, and
                         that the server is up.
                Warning: [failures] 200 of 200 requests failed (100.0 %): connect 200. Check
                         that the server is up, its backlog, and the limits on open files
                         (ulimit -n).
            "#]],
        );
    }

    #[test]
    fn a_run_interrupted_with_a_lost_worker() {
        check(
            &fixture::broken(),
            expect![[r#"
                ringload: GET http://10.0.0.2:8080/index.html
                  closed load, measured for 700ms
                  8 connections, 2 threads on cores 0-1

                Requests/sec: 7142.86 ok
                              7142.86 completed, 7142.86 sent, 7142.86 intended
                Transfer/sec: 5.79MiB in (4.05MiB in all), 628KiB out (439KiB in all)
                Requests:     5000 intended
                              = 5000 ok + 0 http_error + 0 failed + 0 unsent + 0 in_flight
                Status:       200: 5000

                Latency       response      service   first byte     pool lag   client lag
                  min            102us      100.0us       90.0us       0.00us       2.00us
                  mean           599us        597us        537us       0.00us       2.00us
                  p50            597us        595us        536us       0.00us       2.00us
                  p75            848us        846us        762us       0.00us       2.00us
                  p90           1.00ms        998us        899us       0.00us       2.00us
                  p95           1.05ms       1.05ms        945us       0.00us       2.00us
                  p99           1.09ms       1.09ms        981us       0.00us       2.00us
                  p99.9         1.10ms       1.10ms        989us       0.00us       2.00us
                  p99.99           n/a          n/a          n/a          n/a          n/a
                  max           1.10ms       1.10ms        990us       0.00us       2.00us
                  of              5000         5000         5000         5000         5000
                  response: from the intended start; of all answered, timed out or left waiting
                  service, first byte: from sending; of all answered. n/a: not measured
                  pool lag: wait for a connection; client lag: the client's own; of all sent

                Core  conns        sent      sent/s  response p50  response p99 cpu/request
                0         4        2500     3571.43         597us        1.09ms       160us
                1         4        2500     3571.43         597us        1.09ms       160us LOST

                Warning: [worker_lost] the worker of shard 1 of 2 died (assertion failed:
                         \u{1b}[31mgot\u{1b}[0m "x"\nat line 3): its part of the load is
                         missing, so no figure holds for the whole. Please report this bug.
                Warning: [interrupted] a signal ended the run after 700ms; the figures cover
                         that part alone.
                Warning: [ring_flags] of the ring flags COOP_TASKRUN, SINGLE_ISSUER and
                         DEFER_TASKRUN the kernel granted only COOP_TASKRUN: the client needs
                         about 26 % more CPU. Linux 6.1 or later has all.
            "#]],
        );
    }

    #[test]
    fn long_urls_are_cut_and_the_rest_of_them_counted() {
        let url = format!("http://10.0.0.2/{}", "x".repeat(200));
        let urls = vec![url, "http://10.0.0.3/".into()];
        let raw = RawPlan { urls, keep_alive: Some(false), shard: Some("2/3".into()), ..raw() };
        let text = text(&Run::new(&raw).finish());
        assert!(text.lines().next().is_some_and(|line| line.ends_with("xxx... and 1 more")), "{text}");
        assert!(text.contains("closed after each answer"));
        assert!(text.contains("  2 lines, seq order\n  part 2 of 3 of this load\n"), "{text}");
    }

    #[test]
    fn a_server_that_answers_with_many_statuses_fills_no_screen() {
        let mut run = Run::new(&raw());
        for number in 0..900 {
            run.request(0, number * MS, 0, 100 * US, Outcome::Answered(100 + number as u16));
        }
        let text = text(&run.finish());
        assert!(text.contains("884 more kinds") && text.lines().count() < 50, "{text}");
    }
}
