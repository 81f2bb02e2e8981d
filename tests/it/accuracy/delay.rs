//! A server that answers after exactly 20 ms by a timer of its own (method T8).

use crate::support::{Report, TargetProgram, measured};

/// The embedded target's delay is never early; a virtual machine's timers and wake-ups make it somewhat late.
const DELAY_US: f64 = 20_000.0;
const LATE_US: f64 = 300.0;
/// Of 0.1 % resolution, rounded to a bucket's end.
const BUCKET: f64 = 1.001;

fn load() -> Report {
    let target = TargetProgram::start();
    let url = format!("{}/delay/20", target.url);
    measured(&["-R", "200", "-d", "5s", "-c", "32", "-t", "1", &url]).0
}

#[track_caller]
fn within(report: &Report, path: &str, least: f64, most: f64) -> Result<(), String> {
    let value = report.float(path);
    let holds = value >= least / BUCKET && value <= most * BUCKET;
    if holds { Ok(()) } else { Err(format!("{path} is {value} us, not in [{least}, {most}] us")) }
}

pub(super) fn service_times_are_the_delay() -> Result<(), String> {
    let report = load();
    if report.count("ok") != 1000 {
        return Err(format!("{}", report.at("counts")));
    }
    // What the machine's scheduler does to one request in ten or fewer is not the tool's to promise.
    within(&report, "latency_us.service.min", DELAY_US, DELAY_US + LATE_US)?;
    for quantile in ["p50", "p75", "p90"] {
        within(&report, &format!("latency_us.service.{quantile}"), DELAY_US, DELAY_US + LATE_US)?;
    }
    Ok(())
}

pub(super) fn response_times_agree_with_the_server() -> Result<(), String> {
    let report = load();
    // From the intended start, with the client's own lag in it.
    for quantile in ["p50", "p75", "p90"] {
        within(&report, &format!("latency_us.response.{quantile}"), DELAY_US, DELAY_US + 2.0 * LATE_US)?;
    }
    within(&report, "latency_us.client_lag.p50", 0.0, 200.0)
}
