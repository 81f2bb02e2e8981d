//! A server that stands still (method T3, T3b, T5, T7): charged to all that fell due meanwhile, and not to the client.

use std::time::Duration;

use super::law::{Law, stop, utilisation};
use super::server::Nginx;
use super::{Attempt, EXCUSE, diagnosis, excuse, hold, load, near};
use crate::support::{Program, Report, TargetProgram};

const DURATION_S: f64 = 20.0;
const CONNECTIONS: u64 = 100;

/// An open load of 20 s on 100 connections.
fn start(rate: u64, url: &str, more: &[&str]) -> Program {
    let rate = rate.to_string();
    let args = ["-R", &rate, "-d", "20s", "-c", "100", url];
    load::start(&[&args[..], more].concat())
}

fn answered(report: &Report, n: u64) -> Attempt {
    hold(report.count("ok") == n, || format!("{} {}", report.at("counts"), report.at("failures")))
}

/// T3 and T3b.
pub(super) fn a_pause_follows_its_law() -> Attempt {
    let nginx = Nginx::start();
    let url = nginx.url("/");
    let utilisation = utilisation(1_000, "100", &url)?;
    let program = start(1_000, &url, &[]);
    std::thread::sleep(Duration::from_secs(6));
    let stops_s = vec![stop(nginx.pid(), Duration::from_secs(1))];
    let report = Report::of(&program.finish());
    excuse(&report);
    is_not_the_client_s(&report)?;
    answered(&report, 20_000)?;
    Law { stops_s, duration_s: DURATION_S, utilisation }.holds(&report)?;
    service_saw_it_once_a_connection(&report)
}

/// A server that stops leaves no trace in the client's own condition.
fn is_not_the_client_s(report: &Report) -> Attempt {
    let longest = report.float("health.stalls.longest_ms");
    hold(longest < 50.0, || format!("the ledger has a stall of {longest} ms"))?;
    let budget = report.signal("stall_budget_p99");
    if budget["verdict"] != "OK" {
        // Of the condition nothing can be told then; the law holds all the same, or is excused by it.
        EXCUSE.set(Some(format!("the client had stalls of its own: {}", diagnosis(report))));
        return Ok(());
    }
    let (p99, cause) = (report.at("health.quantiles.p99"), report.at("health.cause"));
    hold(p99 != "INVALID", || format!("p99 is {p99}: {}", diagnosis(report)))?;
    let client = ["client stall", "client-limited"].iter().any(|client| cause == *client);
    hold(!client, || format!("the cause is {cause}: {}", diagnosis(report)))
}

/// Only what was on a connection when the server stopped waited as service: one a connection, below the p99.
fn service_saw_it_once_a_connection(report: &Report) -> Attempt {
    near("service p99 in seconds", report.float("latency_us.service.p99") / 1e6, 0.0, 0.01)?;
    let slow = report.slower_than("service", Duration::from_millis(500));
    hold(slow == CONNECTIONS, || format!("{slow} service times saw the pause, not {CONNECTIONS}"))
}

/// T5.
pub(super) fn three_pauses_follow_their_law() -> Attempt {
    let target = TargetProgram::start();
    let utilisation = utilisation(2_000, "100", &target.url)?;
    let program = start(2_000, &target.url, &[]);
    let pause = || {
        std::thread::sleep(Duration::from_millis(4_700));
        stop(target.pid(), Duration::from_millis(300))
    };
    let stops_s = vec![pause(), pause(), pause()];
    let report = Report::of(&program.finish());
    excuse(&report);
    is_not_the_client_s(&report)?;
    answered(&report, 40_000)?;
    Law { stops_s, duration_s: DURATION_S, utilisation }.holds(&report)
}

/// T7: of those that waited for longer than the deadline nothing more is known, and nothing more is told.
pub(super) fn a_deadline_is_where_knowledge_ends() -> Attempt {
    let nginx = Nginx::start();
    let program = start(1_000, &nginx.url("/"), &["--deadline", "1s"]);
    std::thread::sleep(Duration::from_secs(6));
    let stop_s = stop(nginx.pid(), Duration::from_secs(2));
    let report = Report::of(&program.finish());
    excuse(&report);
    let expected = 1_000.0 * (stop_s - 1.0);
    // When the server goes on, the oldest that can still be in time have 10 ms, and wait for a new connection.
    near("failures.deadline", report.failure("deadline") as f64, expected + 5.0, 0.01 * expected + 5.0)?;
    answered(&report, 20_000 - report.failure("deadline"))?;
    let from_q = report.float("latency_us.response.censored_from_q");
    near("censored_from_q", from_q, 1.0 - expected / 20_000.0, 0.001)?;
    for name in ["p99", "p99_9", "p99_99", "max"] {
        let response = report.float(&format!("latency_us.response.{name}")) / 1e6;
        near(&format!("response {name}, a lower bound"), response, 1.0, 0.01)?;
    }
    Ok(())
}
