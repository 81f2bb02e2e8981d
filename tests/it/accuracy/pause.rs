//! The pause law (method T3): a server that stands still for T in a run of D at a constant rate.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Program, Report, TargetProgram};

const DURATION_S: f64 = 6.0;
const PAUSE: Duration = Duration::from_secs(1);
const CONNECTIONS: u64 = 100;

pub(super) fn a_pause_follows_its_law() -> Result<(), String> {
    let target = TargetProgram::start();
    let args = ["bench", "--format", "json", "-R", "1000", "-d", "6s", "-c", "100", "-t", "1", &target.url];
    let program = Program::start(&args);
    std::thread::sleep(Duration::from_millis(2_500));
    target.signal(Signal::STOP);
    let stopped = Instant::now();
    std::thread::sleep(PAUSE);
    target.signal(Signal::CONT);
    let pause_s = stopped.elapsed().as_secs_f64();
    let report = Report::of(&program.finish());
    if report.count("ok") != 6000 {
        return Err(format!("{} {}", report.at("counts"), report.at("failures")));
    }
    // p_q = T - (1 - q) D, where the stopped server is seen at all; within the larger of 20 ms and 2 % of the pause.
    for (name, q) in [("p90", 0.90), ("p95", 0.95), ("p99", 0.99), ("p99_9", 0.999), ("max", 1.0)] {
        let expected = pause_s - (1.0 - q) * DURATION_S;
        let found = report.float(&format!("latency_us.response.{name}")) / 1e6;
        if (found - expected).abs() > 0.03 {
            return Err(format!("response {name} is {found:.3} s, the law says {expected:.3} s"));
        }
    }
    let mean = report.float("latency_us.response.mean") / 1e6;
    let expected = pause_s * pause_s / (2.0 * DURATION_S);
    if (mean - expected).abs() > 0.01 {
        return Err(format!("the mean response is {mean:.4} s, the law says {expected:.4} s"));
    }
    service_saw_it_once_a_connection(&report)
}

/// Only what was on a connection when the server stopped waited as service: about c of 6000, below the p98.
fn service_saw_it_once_a_connection(report: &Report) -> Result<(), String> {
    let (p95, max) = (report.float("latency_us.service.p95"), report.float("latency_us.service.max"));
    if p95 > 100_000.0 || max < 800_000.0 {
        return Err(format!("service p95 is {p95} us and its maximum {max} us"));
    }
    let slow = report.slower_than("service", Duration::from_millis(500));
    if slow.abs_diff(CONNECTIONS) > 5 {
        return Err(format!("{slow} service times saw the pause, not about {CONNECTIONS}"));
    }
    Ok(())
}
