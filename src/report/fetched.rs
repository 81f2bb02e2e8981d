//! What is said of lines that were fetched, in words and in JSON.

use serde::Serialize;

use super::escape::escape;
use super::summary::Summary;
use super::terminal::plural;
use crate::record::Fetched;
use crate::units::format_us;

/// The lines of a retrieval, by what became of them.
#[derive(Serialize)]
pub(super) struct FetchEcho {
    lines: u64,
    ok: u64,
    /// By kind; of lines without an answer of use.
    errors: std::collections::BTreeMap<&'static str, u64>,
    unfinished: u64,
    skipped: u64,
    repeated: u64,
    retries: u64,
    /// Those of them that went on with a body where it had broken off.
    continued: u64,
    /// The response times of all lines, one after the other.
    waits_s: f64,
    /// By how much that is more than the run took; none where it took no time.
    waits_over_wall: Option<f64>,
}

impl FetchEcho {
    pub(super) fn new(fetched: &Fetched, window_s: f64) -> Self {
        Self {
            lines: fetched.lines,
            ok: fetched.ok,
            errors: fetched.errors.iter().copied().collect(),
            unfinished: fetched.unfinished,
            skipped: fetched.skipped,
            repeated: fetched.repeated,
            retries: fetched.retries,
            continued: fetched.continued,
            waits_s: fetched.waits.as_secs_f64(),
            waits_over_wall: waits_over_wall(fetched, window_s),
        }
    }
}

/// How many times as long as the run lines would have waited one after the other.
fn waits_over_wall(fetched: &Fetched, window_s: f64) -> Option<f64> {
    (window_s > 0.0).then(|| fetched.waits.as_secs_f64() / window_s)
}

/// The first lines of the report in words: what was fetched, and how much faster than one after the other.
pub(super) fn heading(summary: &Summary<'_>, fetched: &Fetched) -> Vec<String> {
    let Fetched { lines, ok, errors, unfinished, skipped, repeated, retries, continued, waits, .. } = fetched;
    let mut text = vec![format!("ringload: {lines} line{} fetched, {ok} ok, {} not", plural(*lines), lines - ok)];
    if !errors.is_empty() {
        let errors: Vec<_> = errors.iter().map(|(kind, n)| format!("{kind}: {n}")).collect();
        text.push(escape(&format!("  without an answer of use: {}", errors.join(", "))));
    }
    if *unfinished > 0 {
        text.push(format!("  {unfinished} under way when the run was ended, without a record"));
    }
    if *skipped > 0 {
        text.push(format!("  {skipped} fetched by an earlier run, and not again"));
    }
    if *repeated > 0 {
        text.push(format!("  {repeated} left out, as they ask for what an earlier line asks for"));
    }
    if *retries > 0 {
        let went_on = match continued {
            0 => String::new(),
            _ => format!(", {continued} of them for the rest of a body that had broken off"),
        };
        text.push(format!("  {retries} request{} made again{went_on}", plural(*retries)));
    }
    let wall_us = summary.window_s * 1e6;
    let waits_us = waits.0 as f64 / 1e3;
    let mut time = format!("  in {}", format_us(wall_us));
    if let Some(times) = waits_over_wall(fetched, summary.window_s).filter(|_| *lines > 1) {
        let waits = format_us(waits_us);
        time += &format!("; one after the other they would have waited {waits}: {times:.1} times as long");
    }
    text.push(time);
    text
}
