//! Delays of a known distribution (method T9): every quantile of the report is the distribution's. The server deals its
//! delays by the request's number, each quantile once, so that no chance comes in.

use std::time::Duration;

use super::timers::Timers;
use super::{Attempt, excuse_late, excuse_unhealthy, hold, load, near};
use crate::support::{Report, TargetProgram};

/// What the server deals the quantiles to exactly once.
const REQUESTS: u64 = 65_536;
const LATE: Duration = Duration::from_micros(300);

fn spread(distribution: &str) -> Report {
    let target = TargetProgram::start();
    let url = format!("{}/delays?{distribution}", target.url);
    let timers = Timers::start();
    let report = load::run(&["-R", "4k", "-n", &REQUESTS.to_string(), "-c", "600", &url]);
    excuse_late(timers, LATE);
    report
}

/// Quantiles in milliseconds, each to within the larger of 0.3 ms and 0.2 %; and never early by more than a bucket.
fn agree(report: &Report, expected: &[(f64, f64)]) -> Attempt {
    excuse_unhealthy(report);
    hold(report.count("ok") == REQUESTS, || format!("{} {}", report.at("counts"), report.at("failures")))?;
    for histogram in ["service", "response"] {
        for &(q, expected_ms) in expected {
            let found_ms = report.quantile(histogram, q).as_secs_f64() * 1e3;
            near(
                &format!("{histogram} q{q} in ms"),
                found_ms,
                expected_ms,
                (LATE.as_secs_f64() * 1e3).max(0.002 * expected_ms),
            )?;
            hold(found_ms >= expected_ms * 0.999, || format!("{histogram} q{q} is early: {found_ms} ms"))?;
        }
    }
    Ok(())
}

pub(super) fn evenly() -> Attempt {
    agree(&spread("uniform=100ms"), &[0.1, 0.5, 0.9, 0.99, 0.999].map(|q| (q, 100.0 * q)))
}

pub(super) fn exponentially() -> Attempt {
    agree(&spread("exp=20ms"), &[0.5, 0.9, 0.99, 0.999].map(|q| (q, -20.0 * f64::ln(1.0 - q))))
}

pub(super) fn one_in_a_hundred() -> Attempt {
    agree(&spread("fast=1ms&slow=100ms"), &[(0.5, 1.0), (0.989, 1.0), (0.991, 100.0), (0.999, 100.0)])
}
