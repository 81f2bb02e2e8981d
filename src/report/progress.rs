//! The line that shows a run under way; whoever has the terminal draws it.

use super::terminal::plural;
use crate::plan::{End, Plan};
use crate::record::Point;
use crate::record::timeline::IntervalCounts;
use crate::units::{NANOS_PER_S, Nanos, format_us};

/// How far a run is after `elapsed` since T0, 0 to 1: by time or by requests, whichever is further.
pub fn fraction(end: &End, elapsed: Nanos, points: &[Point]) -> f64 {
    let share = |part: u64, whole: u64| part as f64 / whole as f64;
    let by_time = end.duration.map_or(0.0, |duration| share(elapsed.0, duration.0));
    let by_requests = end.requests.map_or(0.0, |requests| share(ended(&sum(points)), requests));
    by_time.max(by_requests).min(1.0)
}

/// `elapsed of total, rate, p99, errors` after `elapsed` since T0: rate and p99 are those of the latest complete second
/// of `points`, errors are all so far.
pub fn line(plan: &Plan, elapsed: Nanos, points: &[Point]) -> String {
    let total = sum(points);
    let seconds = elapsed.0 / NANOS_PER_S;
    let progress = match (plan.end.duration, plan.end.requests) {
        (Some(duration), None) => format!("{seconds}s of {duration}"),
        (None, Some(requests)) => format!("{seconds}s, {} of {requests} requests", ended(&total)),
        (Some(duration), Some(requests)) => {
            format!("{seconds}s of {duration}, {} of {requests} requests", ended(&total))
        }
        (None, None) => format!("{seconds}s"),
    };
    let errors = total.failed + (total.completed - total.ok);
    let latest = points.last().map_or_else(String::new, |point| {
        let p99 = point.p99.map_or_else(|| "n/a".to_owned(), |p99| format_us(p99.0 as f64 / 1e3));
        format!(", {}/s, p99 {p99}", point.counts.completed)
    });
    format!("{progress}{latest}, {errors} error{}", plural(errors))
}

fn sum(points: &[Point]) -> IntervalCounts {
    let mut total = IntervalCounts::default();
    points.iter().for_each(|point| total.add(&point.counts));
    total
}

fn ended(counts: &IntervalCounts) -> u64 {
    counts.completed + counts.failed
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::fixture::{Run, closed, open, raw};
    use super::*;
    use crate::plan::RawPlan;

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
    fn a_number_of_requests_is_counted_down() {
        let limited = RawPlan { requests: Some("30k".into()), duration: None, ..raw() };
        let (_, record) = closed();
        let (plan, _) = Run::new(&limited).finish();
        check(&plan, &record.timeline, 2, expect!["2s, 20000 of 30000 requests, 8900/s, p99 1.09ms, 0 errors"]);
        assert!((fraction(&plan.end, Nanos::from_secs(2), &record.timeline) - 2.0 / 3.0).abs() < 1e-9);
        let (both, _) = Run::new(&RawPlan { requests: Some("30k".into()), ..raw() }).finish();
        check(&both, &record.timeline, 1, expect!["1s of 2s, 20000 of 30000 requests, 8900/s, p99 1.09ms, 0 errors"]);
        assert_eq!(fraction(&both.end, Nanos::from_secs(3), &record.timeline), 1.0);
    }
}
