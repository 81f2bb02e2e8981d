//! Figures held against what is known of a server: quantiles of a fixed delay, rates, the law of a pause.
//!
//! Slow, and true on a quiet machine only: runs with `SLOW_TESTS=1`. Each figure has three attempts, each on a machine
//! that was quiet when it began; where there was none it is skipped. All of them are one test, because they must not run
//! beside each other, and it fails when more than a third was skipped.

mod delay;
mod pause;
mod quiet;
mod rate;

use crate::support::note;
use crate::support::turn::Alone;

/// What came of one figure.
enum Verdict {
    Held,
    /// The machine was never quiet.
    Skipped(String),
    /// On a quiet machine.
    Wrong(String),
}

/// A figure: its name, and what is wrong with it in one attempt.
type Figure = (&'static str, fn() -> Result<(), String>);

const FIGURES: [Figure; 5] = [
    ("service times of a fixed delay are the delay", delay::service_times_are_the_delay),
    ("response times agree with the server's own clock", delay::response_times_agree_with_the_server),
    ("200 requests a second are 200 requests a second", rate::two_hundred_a_second),
    ("10,000 requests a second are 10,000 requests a second", rate::ten_thousand_a_second),
    ("a pause of the server is charged to all that fell due in it", pause::a_pause_follows_its_law),
];
const ATTEMPTS: usize = 3;

#[test]
fn figures_are_true_on_a_quiet_machine() {
    if std::env::var_os("SLOW_TESTS").is_none_or(|value| value != "1") {
        return note("SKIPPED accuracy: SLOW_TESTS=1 runs it");
    }
    let _alone = Alone::take();
    let (mut skipped, mut wrong) = (Vec::new(), Vec::new());
    for (name, attempt) in FIGURES {
        match verdict(attempt) {
            Verdict::Held => note(&format!("held: {name}")),
            Verdict::Skipped(why) => {
                note(&format!("SKIPPED {name}: {why}"));
                skipped.push(name);
            }
            Verdict::Wrong(problem) => wrong.push(format!("{name}: {problem}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(skipped.len() * 3 <= FIGURES.len(), "more than a third was skipped: {skipped:?}");
}

/// An attempt counts only where the machine was quiet before it and not kept busy by others during it.
fn verdict(attempt: fn() -> Result<(), String>) -> Verdict {
    let mut noise = String::new();
    let mut problem = None;
    for _ in 0..ATTEMPTS {
        if let Err(why) = quiet::wait_for_quiet() {
            noise = why;
            continue;
        }
        let watch = quiet::Watch::start();
        match (attempt(), watch.disturbed()) {
            (Ok(()), _) => return Verdict::Held,
            (Err(_), Some(why)) => noise = why,
            (Err(what), None) => problem = Some(what),
        }
    }
    problem.map_or(Verdict::Skipped(noise), Verdict::Wrong)
}
