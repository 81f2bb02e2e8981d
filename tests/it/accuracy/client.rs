//! The client's own part (method T6, T19): stops of ringload itself are its own and nobody else's, and so is a load that
//! it is not up to.

use std::time::Duration;

use super::law::{Law, stop, utilisation};
use super::server::Nginx;
use super::{Attempt, Miss, diagnosis, excuse, hold, load, near};
use crate::support::program::ordinary;
use crate::support::{Report, TargetProgram};

/// T6: to the percentiles it makes no difference who stood still, so the verdict must.
pub(super) fn a_long_stop_is_the_client_s() -> Attempt {
    let target = TargetProgram::start();
    let utilisation = utilisation(2_000, "100", &target.url)?;
    let args = ["-R", "2000", "-d", "20s", "-c", "100", &target.url];
    let program = load::start(&args);
    std::thread::sleep(Duration::from_secs(6));
    let stop_s = stop(program.pid(), Duration::from_secs(1));
    let report = Report::of(&program.finish());
    excuse(&report);
    for name in ["p99", "p99_9"] {
        let verdict = report.at(&format!("health.quantiles.{name}"));
        hold(verdict == "INVALID", || format!("{name} is {verdict}: {}", diagnosis(&report)))?;
    }
    let cause = report.at("health.cause");
    hold(report.at("health.verdict") == "INVALID" && cause == "client stall", || diagnosis(&report))?;
    near("the longest stall in ms", report.float("health.stalls.longest_ms"), stop_s * 1e3, 5.0)?;
    hold(report.count("ok") == 40_000, || format!("{} {}", report.at("counts"), report.at("failures")))?;
    Law { stops_s: vec![stop_s], duration_s: 20.0, utilisation }.holds(&report)
}

pub(super) fn a_short_stop_is_in_the_ledger() -> Attempt {
    let target = TargetProgram::start();
    let args = ["-R", "1000", "-d", "4s", "-c", "50", &target.url];
    let program = load::start(&args);
    std::thread::sleep(Duration::from_secs(2));
    let stop_ms = stop(program.pid(), Duration::from_millis(50)) * 1e3;
    let report = Report::of(&program.finish());
    near("the longest stall in ms", report.float("health.stalls.longest_ms"), stop_ms, 2.0)?;
    let listed = report.list("health.stalls.listed");
    let entry =
        listed.iter().max_by(|a, b| a["length_ms"].as_f64().partial_cmp(&b["length_ms"].as_f64()).expect("numbers"));
    let entry = entry.ok_or_else(|| Miss::Wrong("no stall is listed".to_owned()))?;
    hold(entry["busy"] == false, || format!("the thread was stopped and not busy: {entry}"))
}

/// T19: twice of what one core can decode.
pub(super) fn one_that_cannot_keep_up_says_so() -> Attempt {
    ordinary(overdrive)
}

fn overdrive() -> Attempt {
    let nginx = Nginx::start();
    let url = nginx.url("/page");
    let options = ["-c", "64", "--decode", &url];
    let report = load::run(&[&["-d", "1s"], &options[..]].concat());
    let rate = (2.0 * report.float("rate_per_s.completed")).round().to_string();
    let report = load::run(&[&["-R", &rate, "-d", "3s"], &options[..]].concat());
    excuse(&report);
    let (verdict, cause) = (report.at("health.verdict"), report.at("health.cause"));
    hold(verdict == "INVALID" && cause == "client-limited", || diagnosis(&report))?;
    let share = report.count("sent") as f64 / report.count("intended") as f64;
    hold(share < 0.99, || format!("{share} of what was intended was sent"))
}
