//! Per-second series: what each shard counts in a second, merged over shards and reduced as the run goes on.

use std::collections::BTreeMap;

use super::histogram::Histogram;
use crate::units::Nanos;

/// Which second: those of the window in order, then those of the drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntervalId {
    /// False in [T0, end), true after it.
    pub drain: bool,
    /// Whole seconds since T0, or since the end in the drain.
    pub second: u64,
}

/// Counts of one second, each event by its own instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IntervalCounts {
    /// Fell due.
    pub intended: u64,
    /// First byte handed to the ring.
    pub sent: u64,
    /// Answered: ok and http_error.
    pub completed: u64,
    /// Answered below 400.
    pub ok: u64,
    /// Failed, any kind.
    pub failed: u64,
    /// Kept back by the client for more than a millisecond; by the instant of their end.
    pub withheld: u64,
}

/// One shard's second.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Which one.
    pub id: IntervalId,
    /// What happened in it.
    pub counts: IntervalCounts,
    /// Response times of what was answered or given up in it.
    pub response: Histogram,
}

impl Interval {
    /// Empties it for reuse.
    pub fn reset(&mut self, id: IntervalId) {
        self.id = id;
        self.counts = IntervalCounts::default();
        self.response.reset();
    }
}

/// One second of the whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Which one.
    pub id: IntervalId,
    /// Sums over shards.
    pub counts: IntervalCounts,
    /// Response time, `None` where nothing ended.
    pub p50: Option<Nanos>,
    /// Response time.
    pub p99: Option<Nanos>,
    /// Response time.
    pub max: Option<Nanos>,
}

/// Merges the shards' seconds; holds histograms only of seconds that some shard has not delivered yet.
#[derive(Debug)]
pub struct Timeline {
    pending: BTreeMap<IntervalId, Interval>,
    /// Per shard the last second it delivered; `None` before its first.
    delivered: Vec<Option<IntervalId>>,
    ended: Vec<bool>,
    points: Vec<Point>,
}

impl Timeline {
    /// A series fed by `shards` shards.
    pub fn new(shards: usize) -> Self {
        Self { pending: BTreeMap::new(), delivered: vec![None; shards], ended: vec![false; shards], points: Vec::new() }
    }

    /// Takes in one shard's second; returns how many points became complete by it.
    pub fn add(&mut self, shard: usize, interval: &Interval) -> usize {
        assert!(!self.ended[shard] && self.delivered[shard].is_none_or(|last| last < interval.id));
        let merged = self.pending.entry(interval.id).or_default();
        merged.id = interval.id;
        merged.counts.add(&interval.counts);
        merged.response.add(&interval.response);
        self.delivered[shard] = Some(interval.id);
        self.reduce()
    }

    /// A shard delivers no more; returns how many points became complete by it.
    pub fn end(&mut self, shard: usize) -> usize {
        self.ended[shard] = true;
        self.reduce()
    }

    /// The complete seconds so far, in order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// All seconds, whether or not every shard delivered them.
    pub fn finish(mut self) -> Vec<Point> {
        self.ended.fill(true);
        self.reduce();
        self.points
    }

    fn reduce(&mut self) -> usize {
        let before = self.points.len();
        while let Some(first) = self.pending.first_entry() {
            let complete =
                |(last, &ended): (&Option<IntervalId>, &bool)| ended || last.is_some_and(|l| l >= *first.key());
            if !self.delivered.iter().zip(&self.ended).all(complete) {
                break;
            }
            let interval = first.remove();
            let max = interval.response.max();
            // A second is short: a quantile that is not to be had reliably is still the best there is, at most the maximum.
            let quantile = |q| interval.response.quantile(q).or(max);
            self.points.push(Point {
                id: interval.id,
                counts: interval.counts,
                p50: quantile(0.5),
                p99: quantile(0.99),
                max,
            });
        }
        self.points.len() - before
    }
}

impl IntervalCounts {
    /// Adds another second's counts.
    pub fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.sent += other.sent;
        self.completed += other.completed;
        self.ok += other.ok;
        self.failed += other.failed;
        self.withheld += other.withheld;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(second: u64, completed: u64, ms: u64) -> Interval {
        let mut interval = Interval { id: IntervalId { drain: false, second }, ..Interval::default() };
        interval.counts.completed = completed;
        interval.response.record_n(Nanos::from_millis(ms), completed);
        interval
    }

    #[test]
    fn a_second_is_reduced_once_every_shard_delivered_it() {
        let mut timeline = Timeline::new(2);
        assert_eq!(timeline.add(0, &interval(0, 10, 1)), 0);
        assert_eq!(timeline.add(0, &interval(1, 10, 1)), 0);
        assert_eq!(timeline.add(1, &interval(0, 5, 3)), 1);
        assert_eq!(timeline.points()[0].counts.completed, 15);
        assert_eq!(timeline.end(1), 1, "a shard that ended is not waited for");
        assert_eq!(timeline.add(0, &interval(2, 1, 7)), 1);
        let points = timeline.finish();
        assert_eq!(points.iter().map(|point| point.counts.completed).collect::<Vec<_>>(), [15, 10, 1]);
        assert_eq!(points[2].p99, points[2].max, "one value: its quantiles are the maximum");
    }
}
