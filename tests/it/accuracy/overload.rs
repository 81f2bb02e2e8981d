//! A server asked for twice of what it can do (method T11): without a bound on connections the wait grows all the time,
//! R / mu − 1 seconds a second, and is told to its end.

use super::{Attempt, excuse, hold, load, near};
use crate::support::{Report, TargetProgram};

const RATE: f64 = 1_000.0;
/// One every 2 ms.
const SERVED: f64 = 500.0;
const DURATION_S: f64 = 3.0;

/// More connections than the queue ever gets long.
fn overdriven(drain: &str) -> Report {
    let target = TargetProgram::start();
    let url = format!("{}/queue?fixed=2ms", target.url);
    load::run(&["-R", "1000", "-d", "3s", "-c", "1600", "--drain", drain, &url])
}

pub(super) fn a_growing_queue_is_told() -> Attempt {
    let report = overdriven("30s");
    excuse(&report);
    let all = RATE * DURATION_S;
    hold(report.count("ok") as f64 == all, || format!("{} {}", report.at("counts"), report.at("failures")))?;
    for (name, q) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
        let expected = q * DURATION_S * (RATE / SERVED - 1.0);
        let found = report.float(&format!("latency_us.response.{name}")) / 1e6;
        near(&format!("response {name}"), found, expected, 0.01 * DURATION_S)?;
    }
    let report = overdriven("0s");
    excuse(&report);
    let expected = (RATE - SERVED) * DURATION_S;
    near("in_flight_at_end", report.count("in_flight_at_end") as f64, expected, 0.01 * expected)
}
