//! The line that shows a run under way; whoever has the terminal draws it.

use super::terminal::plural;
use crate::plan::Plan;
use crate::record::Point;
use crate::record::timeline::IntervalCounts;
use crate::units::{NANOS_PER_S, Nanos, format_us};

/// `elapsed of total, rate, p99, errors` after `elapsed` since T0: rate and p99 are those of the latest complete second
/// of `points`, errors are all so far. Where the rate changes by plan, the rate that fell due in that second stands beside.
pub fn line(plan: &Plan, elapsed: Nanos, points: &[Point]) -> String {
    if elapsed == Nanos::ZERO && plan.warmup > Nanos::ZERO {
        return format!("warming up for {}", plan.warmup);
    }
    let total = sum(points);
    let seconds = elapsed.0 / NANOS_PER_S;
    let progress = match (plan.end.duration, plan.end.requests) {
        (Some(duration), None) => format!("{seconds}s of {duration}"),
        (None, Some(requests)) => format!("{seconds}s, {} of {requests} requests", total.ended()),
        (Some(duration), Some(requests)) => {
            format!("{seconds}s of {duration}, {} of {requests} requests", total.ended())
        }
        (None, None) => format!("{seconds}s"),
    };
    let changing = plan.load.stages().is_some() || plan.load.trace().is_some();
    let errors = total.errors();
    let latest = points.iter().rfind(|point| !point.id.drain).map_or_else(String::new, |point| {
        let p99 = point.p99.map_or_else(|| "n/a".to_owned(), |p99| format_us(p99.0 as f64 / 1e3));
        let due = if changing { format!(" of {}/s due", point.counts.intended) } else { String::new() };
        format!(", {}/s{due}, p99 {p99}", point.counts.completed)
    });
    format!("{progress}{latest}, {errors} error{}", plural(errors))
}

fn sum(points: &[Point]) -> IntervalCounts {
    let mut total = IntervalCounts::default();
    points.iter().for_each(|point| total.add(&point.counts));
    total
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::fixture::{Run, closed, open, raw};
    use super::*;
    use crate::plan::RawPlan;
    use crate::plan::raw::RawShape;

    fn check(plan: &Plan, points: &[Point], secs: u64, expect: Expect) {
        expect.assert_eq(&line(plan, Nanos(secs * NANOS_PER_S + 5), points));
    }

    #[test]
    fn a_line_shows_time_rate_p99_and_errors() {
        let (plan, record) = closed();
        check(&plan, &[], 0, expect!["0s of 2s, 0 errors"]);
        check(&plan, &record.timeline[..1], 1, expect!["1s of 2s, 11100/s, p99 1.09ms, 0 errors"]);
        let (plan, record) = open();
        check(&plan, &record.timeline[..2], 2, expect!["2s of 2s, 4136/s, p99 800ms, 600 errors"]);
    }

    #[test]
    fn a_rate_that_changes_is_shown_beside_what_was_done() {
        let shape = RawShape { rate: Some("1k:10k".into()), ..RawShape::default() };
        let mut run = Run::new(&RawPlan { shape, ..raw() });
        run.answers(9_000);
        let (plan, record) = run.finish();
        check(&plan, &record.timeline[..1], 1, expect!["1s of 2s, 4997/s of 5000/s due, p99 1.09ms, 0 errors"]);
    }
}
