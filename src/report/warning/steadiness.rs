//! Warnings of runs that were not one and the same from beginning to end, or whose answers were not of one kind.

use super::{Code, Warning, percent_of};
use crate::record::statistics::{Drift, Mode, WarmUp};
use crate::record::timeline::WINDOW;
use crate::report::Summary;
use crate::units::{Nanos, format_us};

/// As many modes are described.
const MODES_NAMED: usize = 4;

pub(super) fn warmup_too_short(summary: &Summary<'_>) -> Option<Warning> {
    let found = summary.inference.warm_up?;
    let (first, ratio) = (length(found), found.ratio);
    if found.never_steady {
        // Where a tendency is known, that says more.
        return significant_drift(summary).is_none().then(|| {
            Code::WarmupTooShort.because(format!(
                "the response time never settled: in the first {first} it was {ratio:.2} times that of the rest. Run longer, \
                 raise --warmup, and look for what changes on the server."
            ))
        });
    }
    let warmup = Nanos(first.0.saturating_add(summary.plan.warmup.0));
    Some(Code::WarmupTooShort.because(format!(
        "the first {first} were unlike the rest: response times were {ratio:.2} times theirs, and are in the figures. Use \
         --warmup {warmup} or more."
    )))
}

pub(super) fn drift(summary: &Summary<'_>) -> Option<Warning> {
    // A beginning that differs has a warning of its own.
    let settles = summary.inference.warm_up.is_some_and(|found| !found.never_steady);
    let drift = significant_drift(summary).filter(|_| !settles)?;
    let direction = if drift.rho > 0.0 { "rose" } else { "fell" };
    Some(Code::Drift.because(format!(
        "response times {direction} over the run (rank correlation of p99 with time {:.2}): from its first to its last third \
         p50 by a factor of {:.2}, p99 of {:.2}. Quantiles mix early and late: find what builds up or warms up, or run \
         longer with a longer --warmup.",
        drift.rho, drift.p50_ratio, drift.p99_ratio
    )))
}

pub(super) fn outlier_second(summary: &Summary<'_>) -> Option<Warning> {
    let (start_s, outlier) = summary.inference.outlier?;
    if summary.inference.warm_up.is_some_and(|found| start_s < length(found).as_secs_f64()) {
        return None;
    }
    let (p99, usual) = (format_us(outlier.value), format_us(outlier.median));
    if start_s == 0.0 {
        return Some(Code::OutlierSecond.because(format!(
            "the first second was unlike the others: its p99 was {p99}, theirs {usual} in the median. Use --warmup to keep \
             the start out of the figures."
        )));
    }
    let more = if outlier.count > 1 { format!(", as were {} more", outlier.count - 1) } else { String::new() };
    Some(Code::OutlierSecond.because(format!(
        "the second at {start_s:.0}s was unlike the others{more}: its p99 was {p99}, theirs {usual} in the median. The tail \
         is that event's: look at the server's log and at the intervals of the JSON report, and run again."
    )))
}

pub(super) fn bimodal(summary: &Summary<'_>) -> Option<Warning> {
    let modes = &summary.inference.modes.as_ref()?.modes;
    let described =
        |mode: &Mode| format!("{} around {}", percent_of(mode.share), format_us(mode.centre.0 as f64 / 1e3));
    let named: Vec<String> = modes.iter().take(MODES_NAMED).map(described).collect();
    let more = modes.len().saturating_sub(MODES_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (modes.len() > 1).then(|| {
        Code::Bimodal.because(format!(
            "response times of ok are of {} kinds: {}{more}. Mean and quantiles between them describe none: measure the kinds of \
             requests apart, or find what makes some slow.",
            modes.len(),
            named.join(", ")
        ))
    })
}

fn significant_drift(summary: &Summary<'_>) -> Option<Drift> {
    summary.inference.drift.filter(|drift| drift.significant)
}

/// Of the part of the run that differs from the rest.
fn length(warm_up: WarmUp) -> Nanos {
    Nanos(warm_up.values as u64 * WINDOW.0)
}
