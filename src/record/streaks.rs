//! Which rule of the plan complete seconds broke. Pure: the seconds and the time are arguments.

use super::timeline::Point;
use crate::plan::limit::{Measure, Rule};
use crate::units::{NANOS_PER_S, Nanos};

/// For how many seconds on end each rule has been broken.
#[derive(Clone, Debug)]
pub struct Streaks {
    /// With the seconds on end.
    rules: Vec<(Rule, u64)>,
    /// Points looked at; they never change once they are there.
    seen: usize,
}

impl Streaks {
    /// No rule is broken yet.
    pub fn new(rules: &[Rule]) -> Self {
        Self { rules: rules.iter().map(|&rule| (rule, 0)).collect(), seen: 0 }
    }

    /// Looks at the points that came since, and returns the first rule that is now broken for its time. `points` are all
    /// points so far and `elapsed` the time since T0: a second that is not over, and the drain, are not looked at.
    pub fn look(&mut self, points: &[Point], elapsed: Nanos) -> Option<Rule> {
        let over = |point: &&Point| !point.id.drain && point.id.second < elapsed.0 / NANOS_PER_S;
        for point in points[self.seen..].iter().take_while(over) {
            self.seen += 1;
            for (rule, streak) in &mut self.rules {
                match breaks(rule.measure, point) {
                    Some(true) => *streak += 1,
                    Some(false) => *streak = 0,
                    None => {}
                }
            }
            if let Some((rule, _)) = self.rules.iter().find(|(rule, streak)| *streak >= rule.seconds) {
                return Some(*rule);
            }
        }
        None
    }
}

/// Whether a second is beyond the limit; `None` where nothing ended in it that could tell.
fn breaks(measure: Measure, point: &Point) -> Option<bool> {
    let above = |value: Option<Nanos>, limit| value.map(|value| value > limit);
    match measure {
        Measure::Errors(limit) => {
            let (ended, errors) = (point.counts.ended(), point.counts.errors());
            (ended > 0).then(|| limit.is_exceeded_by(errors, ended))
        }
        Measure::P50(limit) => above(point.p50, limit),
        Measure::P99(limit) => above(point.p99, limit),
        Measure::Max(limit) => above(point.max, limit),
    }
}

#[cfg(test)]
mod tests {
    use super::super::timeline::{IntervalCounts, IntervalId};
    use super::*;

    /// A second in which so many of 10 requests failed, with a p99 of so many milliseconds.
    fn second(second: u64, failed: u64, p99_ms: u64) -> Point {
        let counts = IntervalCounts { completed: 10 - failed, ok: 10 - failed, failed, ..IntervalCounts::default() };
        let time = Some(Nanos::from_millis(p99_ms));
        Point { id: IntervalId { drain: false, second }, counts, p50: time, p99: time, max: time }
    }

    /// The second after which a rule was broken, each second looked at as it comes.
    fn broken(rules: &[&str], points: &[Point]) -> Option<(usize, String)> {
        let rules: Vec<Rule> = rules.iter().map(|text| Rule::parse(text).expect("a rule")).collect();
        let mut streaks = Streaks::new(&rules);
        (1..=points.len()).find_map(|n| {
            let rule = streaks.look(&points[..n], Nanos::from_secs(n as u64))?;
            Some((n, rule.to_string()))
        })
    }

    #[test]
    fn a_rule_is_broken_after_its_time_on_end() {
        let failures = [9, 9, 0, 9, 9, 9, 0];
        let points: Vec<Point> = (0..).zip(failures).map(|(number, failed)| second(number, failed, 1)).collect();
        assert_eq!(broken(&["errors>50% for 3s"], &points), Some((6, "errors>50% for 3s".to_owned())));
        assert_eq!(broken(&["errors>50%"], &points).map(|(n, _)| n), Some(1));
        assert_eq!(broken(&["errors>50% for 4s"], &points), None, "interrupted by a good second");
        assert_eq!(broken(&["errors>90%"], &points), None, "the limit itself is allowed");
        assert_eq!(broken(&[], &points), None);
    }

    #[test]
    fn response_times_are_held_against_their_limit() {
        let points = [second(0, 0, 900), second(1, 0, 1_000), second(2, 0, 1_001)];
        for name in ["p50", "p99", "max"] {
            assert_eq!(broken(&[&format!("{name}>1s")], &points).map(|(n, _)| n), Some(3), "{name}");
        }
        assert_eq!(
            broken(&["p99>1s", "max>950ms"], &points),
            Some((2, "max>950ms for 1s".to_owned())),
            "whichever is broken first"
        );
    }

    #[test]
    fn answers_of_400_and_above_are_errors() {
        let mut point = second(0, 0, 1);
        point.counts.ok = 3;
        assert!(broken(&["errors>60%"], &[point]).is_some());
        assert!(broken(&["errors>70%"], &[point]).is_none());
    }

    #[test]
    fn a_second_in_which_nothing_ended_tells_nothing() {
        let silent = Point { p50: None, p99: None, max: None, counts: IntervalCounts::default(), ..second(1, 0, 0) };
        let points = [second(0, 10, 5), silent, second(2, 10, 5)];
        assert_eq!(broken(&["errors>50% for 2s"], &points).map(|(n, _)| n), Some(3));
        assert_eq!(broken(&["p99>1ms for 2s"], &points).map(|(n, _)| n), Some(3));
    }

    #[test]
    fn neither_a_second_that_is_not_over_nor_the_drain_is_looked_at() {
        let mut streaks = Streaks::new(&[Rule::parse("errors>50%").expect("a rule")]);
        let bad = second(0, 10, 1);
        assert_eq!(streaks.look(&[bad], Nanos::from_millis(999)), None);
        assert!(streaks.look(&[bad], Nanos::from_secs(1)).is_some(), "it is looked at once it is over");
        let drain = Point { id: IntervalId { drain: true, second: 0 }, ..bad };
        let mut streaks = Streaks::new(&[Rule::parse("errors>50%").expect("a rule")]);
        assert_eq!(streaks.look(&[drain], Nanos::from_secs(60)), None);
    }
}
