//! The text that Prometheus reads (exposition format 0.0.4), from a snapshot.

use std::fmt::{self, Write as _};

use super::line::Kind;
use super::snapshot::{BUCKETS_MS, Latencies, Snapshot};

/// What such a text is called in `Content-Type`.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics, each with its help and type; kinds that did not occur are there as 0, so that rates have a beginning.
pub fn text(snapshot: &Snapshot) -> String {
    let mut out = String::with_capacity(8 * 1024);
    write(&mut out, snapshot).expect("a string takes everything");
    out
}

fn write(out: &mut String, now: &Snapshot) -> fmt::Result {
    head(out, "build_info", "gauge", "The program that is running.")?;
    writeln!(out, "ringload_fetch_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))?;
    head(out, "lines_read_total", "counter", "Lines of input read.")?;
    value(out, "lines_read_total", now.read)?;
    head(out, "lines_total", "counter", "Lines that ended, by what became of them.")?;
    for (outcome, count) in
        [("ok", now.ok), ("http_error", now.http_errors), ("failed", now.failed()), ("skipped", now.skipped)]
    {
        writeln!(out, "ringload_fetch_lines_total{{outcome=\"{outcome}\"}} {count}")?;
    }
    head(out, "errors_total", "counter", "Lines without an answer of use, by kind.")?;
    for kind in Kind::all() {
        let count: u64 = now.errors.iter().filter(|(other, _)| *other == kind).map(|(_, count)| count).sum();
        writeln!(out, "ringload_fetch_errors_total{{kind=\"{}\"}} {count}", kind.name())?;
    }
    head(out, "responses_total", "counter", "Answers by status.")?;
    for (status, count) in &now.statuses {
        writeln!(out, "ringload_fetch_responses_total{{status=\"{status}\"}} {count}")?;
    }
    for (name, help, count) in [
        ("requests_total", "Requests sent, retries and redirects among them.", now.requests),
        ("retries_total", "Requests made again after a failure.", now.retries),
        ("rate_limited_total", "Answers that asked for time.", now.rate_limited),
        ("body_bytes_total", "Bytes of bodies received.", now.bytes),
    ] {
        head(out, name, "counter", help)?;
        value(out, name, count)?;
    }
    for (name, help, count) in [
        ("requests_in_flight", "Requests under way.", now.in_flight),
        ("lines_waiting", "Lines that wait for their next attempt.", now.waiting),
    ] {
        head(out, name, "gauge", help)?;
        value(out, name, count)?;
    }
    histogram(out, &now.latencies)
}

fn histogram(out: &mut String, latencies: &Latencies) -> fmt::Result {
    head(out, "response_seconds", "histogram", "Time of a line from its admission to its end, retries included.")?;
    let mut below = 0;
    for (end, count) in BUCKETS_MS.into_iter().zip(latencies.counts) {
        below += count;
        writeln!(out, "ringload_fetch_response_seconds_bucket{{le=\"{}\"}} {below}", end as f64 / 1e3)?;
    }
    writeln!(out, "ringload_fetch_response_seconds_bucket{{le=\"+Inf\"}} {}", latencies.count())?;
    writeln!(out, "ringload_fetch_response_seconds_sum {}", latencies.sum.as_secs_f64())?;
    value(out, "response_seconds_count", latencies.count())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(out, "# HELP ringload_fetch_{name} {help}\n# TYPE ringload_fetch_{name} {kind}")
}

fn value(out: &mut String, name: &str, value: u64) -> fmt::Result {
    writeln!(out, "ringload_fetch_{name} {value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::outcome::Failure;
    use crate::units::Nanos;

    /// The sample of this name and these labels.
    fn sample<'a>(text: &'a str, series: &str) -> Option<&'a str> {
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
    }

    #[test]
    fn every_number_of_a_snapshot_is_there() {
        let mut snapshot = Snapshot {
            read: 100,
            ended: 60,
            ok: 50,
            http_errors: 5,
            errors: vec![(Kind::Failure(Failure::Timeout), 3), (Kind::HostDown, 2)],
            skipped: 7,
            requests: 70,
            retries: 8,
            rate_limited: 4,
            in_flight: 9,
            waiting: 11,
            bytes: 12_345,
            statuses: vec![(200, 50), (404, 5)],
            ..Snapshot::default()
        };
        [3, 7, 70, 900_000].into_iter().for_each(|ms| snapshot.latencies.record(Nanos::from_millis(ms)));
        let text = text(&snapshot);
        for (series, expected) in [
            ("lines_read_total", "100"),
            ("lines_total{outcome=\"ok\"}", "50"),
            ("lines_total{outcome=\"failed\"}", "5"),
            ("lines_total{outcome=\"skipped\"}", "7"),
            ("errors_total{kind=\"timeout\"}", "3"),
            ("errors_total{kind=\"host_down\"}", "2"),
            ("errors_total{kind=\"robots\"}", "0"),
            ("responses_total{status=\"404\"}", "5"),
            ("requests_total", "70"),
            ("retries_total", "8"),
            ("rate_limited_total", "4"),
            ("requests_in_flight", "9"),
            ("lines_waiting", "11"),
            ("body_bytes_total", "12345"),
            ("response_seconds_bucket{le=\"0.005\"}", "1"),
            ("response_seconds_bucket{le=\"0.01\"}", "2"),
            ("response_seconds_bucket{le=\"0.1\"}", "3"),
            ("response_seconds_bucket{le=\"300\"}", "3"),
            ("response_seconds_bucket{le=\"+Inf\"}", "4"),
            ("response_seconds_sum", "900.08"),
            ("response_seconds_count", "4"),
        ] {
            assert_eq!(sample(&text, &format!("ringload_fetch_{series}")), Some(expected), "{series}");
        }
    }

    #[test]
    fn the_text_keeps_the_format() {
        let text = text(&Snapshot { statuses: vec![(200, 1)], ..Snapshot::default() });
        let mut declared = Vec::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a name and a type");
                assert!(["counter", "gauge", "histogram"].contains(&kind));
                assert!(!declared.contains(&name), "{name} is declared once");
                declared.push(name);
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let name = series.split('{').next().expect("a name");
                let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
                assert!(declared.last().is_some_and(|last| *last == name || base == Some(last)), "{line}");
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        assert!(text.ends_with('\n') && declared.len() == 12, "{declared:?}");
    }
}
