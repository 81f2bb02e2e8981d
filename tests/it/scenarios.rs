//! Random loads over a bad network: whatever happens, every intended request ends up in exactly one class, nothing is
//! counted that did not happen, and the exit code says what the report says.
//!
//! 50 scenarios, 1,000 with `SLOW_TESTS=1`, each by a seed that a failure names; `SCENARIO=<seed>` runs that one alone.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::support::daemon::Daemon;
use crate::support::dice::Dice;
use crate::support::faults::{Faults, Kind};
use crate::support::program::Finished;
use crate::support::{Report, TargetProgram, bench, slow_tests};

const FEW: u64 = 50;
const MANY: u64 = 1_000;
/// They wait more than they work.
const AT_A_TIME: usize = 8;
/// What came of requests in some scenario or other: a network without faults would prove nothing.
const SEEN: [&str; 9] = [
    "counts.ok",
    "counts.http_error",
    "counts.unsent",
    "counts.in_flight_at_end",
    "failures.timeout",
    "failures.read_timeout",
    "failures.deadline",
    "failures.reset",
    "failures.closed_early",
];

/// What loads are run against: an HTTP/1.1 server and one of HTTP/2.
struct Servers {
    target: TargetProgram,
    nghttpd: Daemon,
}

/// One run, as its seed has it.
struct Scenario {
    kinds: Vec<Kind>,
    http_2: bool,
    path: &'static str,
    args: Vec<String>,
    strict: bool,
    /// In percent of what is intended.
    max_error_rate: Option<u64>,
}

#[test]
fn every_request_is_accounted_for_whatever_the_network_does() {
    let servers = Servers::start();
    let only = std::env::var("SCENARIO").ok().map(|seed| seed.parse().expect("SCENARIO=<seed>, a number"));
    let most = if slow_tests() { MANY } else { FEW };
    let end = only.map_or(most, |seed: u64| seed + 1);
    let next = AtomicU64::new(only.unwrap_or(0));
    let ends: Vec<Ends> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_A_TIME).map(|_| scope.spawn(|| run_all(&next, end, &servers))).collect();
        workers.into_iter().map(|worker| worker.join().expect("panics are caught inside")).collect()
    });
    let failed: Vec<&str> = ends.iter().flat_map(|ends| &ends.failed).map(String::as_str).collect();
    assert!(failed.is_empty(), "{} scenarios failed, SCENARIO=<seed> runs one:\n{}", failed.len(), failed.join("\n"));
    let seen: BTreeSet<&str> = ends.iter().flat_map(|ends| ends.seen.iter().copied()).collect();
    assert!(only.is_some() || SEEN.iter().all(|path| seen.contains(path)), "only these were seen: {seen:?}");
}

/// What came of some scenarios.
#[derive(Default)]
struct Ends {
    /// What is wrong with those that failed.
    failed: Vec<String>,
    /// Of [`SEEN`].
    seen: BTreeSet<&'static str>,
}

/// Runs scenarios until there are none left.
fn run_all(next: &AtomicU64, end: u64, servers: &Servers) -> Ends {
    let mut ends = Ends::default();
    loop {
        let seed = next.fetch_add(1, Ordering::SeqCst);
        if seed >= end {
            return ends;
        }
        let scenario = Scenario::of(seed);
        match catch_unwind(AssertUnwindSafe(|| scenario.run(seed, servers))) {
            Ok(report) => ends.seen.extend(SEEN.iter().filter(|path| report.number(path) > 0)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked");
                ends.failed.push(format!("seed {seed}: {text}\n  of bench {}", scenario.args.join(" ")));
            }
        }
    }
}

impl Servers {
    fn start() -> Self {
        let nghttpd = Daemon::start(|folder, port| {
            std::fs::write(folder.join("file"), "hello").expect("a file");
            std::fs::write(folder.join("large"), vec![b'x'; 50_000]).expect("a file");
            let mut command = Command::new("nghttpd");
            command.args(["--no-tls", "--address=127.0.0.1", "-d"]).arg(folder).arg(port.to_string());
            command
        });
        Self { target: TargetProgram::start(), nghttpd }
    }

    fn addr(&self, http_2: bool) -> SocketAddr {
        if http_2 {
            return SocketAddr::from(([127, 0, 0, 1], self.nghttpd.port));
        }
        self.target.url.trim_start_matches("http://").parse().expect("an address")
    }
}

impl Scenario {
    fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, u64::MAX);
        let kinds = (0..=dice.below(4)).map(|_| dice.one_of(&Kind::ALL)).collect();
        let http_2 = dice.once_in(3);
        let connections = dice.below(12) + 1;
        let paths: &[&'static str] = if http_2 {
            &["/file", "/large", "/missing"]
        } else {
            &["/", "/bytes/20000", "/chunked/3000", "/status/503", "/delay/3"]
        };
        let path = dice.one_of(paths);
        let mut args = Vec::new();
        let mut say = |name: &str, value: String| args.extend([name.to_owned(), value]);
        say("-c", connections.to_string());
        say("-t", "1".to_owned());
        // A time limit on each request, so that a number of requests comes to its end, whatever stalls.
        say("--timeout", format!("{}ms", 20 + dice.below(40)));
        say("--connect-timeout", "2s".to_owned());
        say("--drain", format!("{}ms", dice.below(40)));
        let has_end = dice.once_in(2);
        if has_end {
            say("-n", (1 + dice.below(120)).to_string());
        }
        // With a number of requests a time as well: what is broken for good must end some time.
        say("-d", format!("{}ms", 10 + dice.below(40)));
        if dice.once_in(2) {
            say("-R", (200 + dice.below(3_000)).to_string());
            if dice.once_in(2) {
                say("--arrivals", "poisson".to_owned());
            }
        }
        for (name, most) in [("--read-timeout", 30), ("--deadline", 30), ("--warmup", 10)] {
            if dice.once_in(4) {
                say(name, format!("{}ms", 5 + dice.below(most)));
            }
        }
        if http_2 {
            say("--http", "2".to_owned());
            say("--streams", (1 + dice.below(6)).to_string());
        } else if dice.once_in(4) {
            say("--pipeline", (2 + dice.below(4)).to_string());
        } else if dice.once_in(4) {
            say("--keep-alive", "false".to_owned());
        } else if dice.once_in(4) {
            say("--requests-per-connection", (1 + dice.below(5)).to_string());
        }
        if dice.once_in(3) {
            say("-X", "POST".to_owned());
        }
        let strict = dice.once_in(5);
        let max_error_rate = dice.once_in(4).then(|| dice.below(60));
        if let Some(rate) = max_error_rate {
            say("--max-error-rate", format!("{rate}%"));
        }
        args.extend(strict.then(|| "--strict".to_owned()));
        // A run that could not open a connection is one of these too.
        args.push("--start-anyway".to_owned());
        Self { kinds, http_2, path, args, strict, max_error_rate }
    }

    /// Runs it; the report is held against the accounting rules as it is read.
    fn run(&self, seed: u64, servers: &Servers) -> Report {
        let faults = Faults::start(servers.addr(self.http_2), seed, self.kinds.clone());
        let url = faults.url(self.path);
        let finished = bench(
            &[&["--format", "json", "-q", &url], &self.args.iter().map(String::as_str).collect::<Vec<_>>()[..]]
                .concat(),
        );
        assert!(!finished.stdout.is_empty(), "no report; {:?}: {}", finished.status, finished.stderr);
        let report = Report::parse(&finished.stdout);
        if let Some(difference) = report.signal("littles_law")["value"].as_f64() {
            assert!(difference < 1e-6, "Little's law: {difference}");
        }
        let (opened, accepted) = (report.count("connections_opened"), faults.accepted());
        assert!(opened <= accepted, "{opened} connections opened, {accepted} accepted");
        let (read, handed_on) = (report.number("bytes.in"), faults.handed_on());
        assert!(read <= handed_on, "{read} bytes came, {handed_on} were handed on");
        let expected = self.code(&report);
        assert_eq!(
            finished.code(),
            Some(expected),
            "{} {}: {}",
            report.at("counts"),
            report.at("health.quantiles"),
            said(&finished)
        );
        report
    }

    /// What the program has to exit with, by its report.
    fn code(&self, report: &Report) -> i32 {
        let quantiles = report.at("health.quantiles").as_object().expect("an object");
        let has_value = |name: &str| !report.at(&format!("health.tail.{name}")).is_null();
        let invalid = quantiles.iter().any(|(name, verdict)| verdict == "INVALID" && has_value(name));
        let errors = report.count("http_error") + report.count("failed");
        let too_many = self.max_error_rate.is_some_and(|most| errors * 100 > most * report.count("intended"));
        match report.count("ok") {
            _ if self.strict && invalid => 3,
            0 => 1,
            _ if too_many => 1,
            _ => 0,
        }
    }
}

fn said(finished: &Finished) -> String {
    finished.stderr.chars().take(500).collect()
}
