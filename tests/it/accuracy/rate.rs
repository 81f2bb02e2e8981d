//! What was intended is what is sent (method T12, as far as a real machine keeps up).

use super::{Attempt, Miss, excuse, load, near};
use crate::support::TargetProgram;

fn holds(rate: u64) -> Attempt {
    let target = TargetProgram::start();
    let report = load::run(&["-R", &rate.to_string(), "-d", "3s", "-c", "64", &target.url]);
    assert_eq!(report.count("intended"), 3 * rate, "this is arithmetic and no matter of noise");
    excuse(&report);
    // A build without optimizations is busy with the highest of the rates, and says so.
    let tolerance = if report.at("health.verdict") == "OK" { 0.001 } else { 0.01 };
    near("sent a second", report.float("rate_per_s.sent"), rate as f64, tolerance * rate as f64)?;
    // Each second has its share too.
    for interval in report.list("intervals").iter().filter(|interval| interval["drain"] == false) {
        let sent = interval["sent"].as_f64().unwrap_or(0.0);
        if (sent / rate as f64 - 1.0).abs() > 0.02 {
            return Err(Miss::Wrong(format!("{sent} were sent in the second at {}", interval["t_s"])));
        }
    }
    Ok(())
}

pub(super) fn two_hundred_a_second() -> Attempt {
    holds(200)
}

pub(super) fn thousand_a_second() -> Attempt {
    holds(1_000)
}

pub(super) fn ten_thousand_a_second() -> Attempt {
    holds(10_000)
}
