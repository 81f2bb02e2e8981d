//! Figures held against what is known of a server: the quantiles of its delays, rates, the law of a pause, a queue that
//! grows; and the client's own stops, which it has to tell from the server's.
//!
//! Slow, and true on a quiet machine only: runs with `SLOW_TESTS=1`, with SCHED_FIFO where that is allowed. Each figure has
//! a few attempts, each on a machine that was quiet when it began; it is wrong where two of them fail without an excuse, and
//! skipped where the machine was never quiet, or shows to have been busy, or to wake its timers late. All of them are one
//! test, because they must not run beside each other, and it fails when more than two thirds were skipped: on a machine of
//! one's own none should be. What needs no quiet, `intended` and `mix`, are ordinary tests.

mod client;
mod delay;
mod intended;
mod law;
mod load;
mod mix;
mod overload;
mod pause;
mod quiet;
mod rate;
mod server;
mod spread;
mod timers;

use std::cell::Cell;
use std::time::{Duration, Instant};

use self::timers::Timers;
use crate::support::program::preferred;
use crate::support::turn::Alone;
use crate::support::{Report, note, slow_tests};

/// What came of one figure.
enum Verdict {
    Held,
    /// The machine was never quiet.
    Skipped(String),
    /// On a quiet machine, each time.
    Wrong(String),
}

/// Why an attempt did not show the figure.
enum Miss {
    /// The report says that the machine was busy.
    Unfit(String),
    Wrong(String),
}

type Attempt = Result<(), Miss>;

/// A figure: its name, and one attempt at it.
type Figure = (&'static str, fn() -> Attempt);

const FIGURES: [Figure; 14] = [
    ("times of a fixed delay are the delay, and agree with the server's own clock", delay::times_are_the_delay),
    ("times spread evenly have the quantiles of that", spread::evenly),
    ("times spread exponentially have the quantiles of that", spread::exponentially),
    ("one slow time in a hundred shows between p98.9 and p99.1", spread::one_in_a_hundred),
    ("200 requests a second are 200 requests a second", rate::two_hundred_a_second),
    ("1,000 requests a second are 1,000 requests a second", rate::thousand_a_second),
    ("10,000 requests a second are 10,000 requests a second", rate::ten_thousand_a_second),
    ("a pause of nginx is charged to all that fell due in it, and not to the client", pause::a_pause_follows_its_law),
    ("three pauses are charged like one of their length in a third of the time", pause::three_pauses_follow_their_law),
    ("nothing is invented beyond a deadline", pause::a_deadline_is_where_knowledge_ends),
    ("a stop of the client itself makes p99 and p99.9 invalid", client::a_long_stop_is_the_client_s),
    ("a stop of the client of 50 ms is in its ledger", client::a_short_stop_is_in_the_ledger),
    ("a client that cannot keep up says so", client::one_that_cannot_keep_up_says_so),
    ("a queue that grows is told to its end", overload::a_growing_queue_is_told),
];
const ATTEMPTS: usize = 3;

thread_local! {
    /// Why the attempt under way may fail without being wrong.
    static EXCUSE: Cell<Option<String>> = const { Cell::new(None) };
}
/// After so long each figure has a single attempt left.
const BUDGET: Duration = Duration::from_secs(240);

#[test]
fn figures_are_true_on_a_quiet_machine() {
    if !slow_tests() {
        return note("SKIPPED accuracy: SLOW_TESTS=1 runs it");
    }
    let _alone = Alone::take();
    preferred(all_figures);
}

fn all_figures() {
    let started = Instant::now();
    let (mut skipped, mut wrong) = (Vec::new(), Vec::new());
    for (name, attempt) in FIGURES {
        let attempts = if started.elapsed() < BUDGET { ATTEMPTS } else { 1 };
        match verdict(attempt, attempts) {
            Verdict::Held => note(&format!("held: {name}")),
            Verdict::Skipped(why) => {
                note(&format!("SKIPPED {name}: {why}"));
                skipped.push(name);
            }
            Verdict::Wrong(problem) => wrong.push(format!("{name}: {problem}")),
        }
    }
    note(&format!("accuracy took {:.0} s", started.elapsed().as_secs_f64()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(skipped.len() * 3 <= FIGURES.len() * 2, "more than two thirds were skipped: {skipped:?}");
}

/// An attempt counts only where the machine was quiet before it and not kept busy by others during it; a first failure that
/// counts has another attempt in any case.
fn verdict(attempt: fn() -> Attempt, attempts: usize) -> Verdict {
    let (mut noise, mut first_wrong) = (String::new(), None);
    let mut left = attempts;
    while left > 0 {
        left -= 1;
        if let Err(why) = quiet::wait_for_quiet() {
            noise = why;
            continue;
        }
        let watch = quiet::Watch::start();
        EXCUSE.take();
        match (attempt(), watch.disturbed().or_else(|| EXCUSE.take())) {
            (Ok(()), _) => return Verdict::Held,
            (Err(Miss::Unfit(why)), _) | (Err(Miss::Wrong(_)), Some(why)) => noise = why,
            (Err(Miss::Wrong(what)), None) => match first_wrong.replace(what) {
                Some(first) => return Verdict::Wrong(format!("{first}; and {}", first_wrong.unwrap_or_default())),
                None => left = left.max(1),
            },
        }
    }
    Verdict::Skipped(match first_wrong {
        Some(what) => format!("once without an excuse: {what}; then: {noise}"),
        None => noise,
    })
}

/// What is wrong, said only where it is.
fn hold(holds: bool, what: impl FnOnce() -> String) -> Attempt {
    if holds { Ok(()) } else { Err(Miss::Wrong(what())) }
}

/// A figure of the report in seconds, milliseconds, or whatever, is within `tolerance` of what is expected.
fn near(name: &str, found: f64, expected: f64, tolerance: f64) -> Attempt {
    hold((found - expected).abs() <= tolerance, || {
        format!("{name} is {found:.6}, expected was {expected:.6} to within {tolerance:.6}")
    })
}

/// Remembers what by the report's own account kept the client from running: it excuses a figure that then does not hold.
fn excuse(report: &Report) {
    for signal in report.list("health.signals") {
        let name = signal["name"].as_str().unwrap_or_default();
        if ["steal", "run_delay", "throttled_s", "major_faults"].contains(&name) && signal["verdict"] != "OK" {
            EXCUSE.set(Some(format!("the report says so: {name} is {}", signal["value"])));
        }
    }
}

/// The same of a run that the client is up to, and should have nothing to say against.
fn excuse_unhealthy(report: &Report) {
    let (verdict, cause) = (report.at("health.verdict"), report.at("health.cause"));
    if verdict != "OK" {
        EXCUSE.set(Some(format!("the report's verdict is {verdict}, {cause}")));
    }
    excuse(report);
}

/// The same of times that can be told to within `tolerance` only where the machine's timers can.
fn excuse_late(timers: Timers, tolerance: Duration) {
    if let Some(why) = timers.too_late_for(tolerance) {
        EXCUSE.set(Some(why));
    }
}

/// The verdict with what made it, in a line.
fn diagnosis(report: &Report) -> String {
    let bad = report.list("health.signals").iter().filter(|signal| signal["verdict"] != "OK");
    let bad: Vec<String> = bad.map(|signal| format!("{} {}", signal["name"], signal["value"])).collect();
    let longest = report.at("health.stalls.longest_ms");
    format!(
        "{}, {}; the longest stall {longest} ms; {}",
        report.at("health.verdict"),
        report.at("health.cause"),
        bad.join(", ")
    )
}
