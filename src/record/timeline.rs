//! The run's series: what each shard counts in half a second, merged over shards and reduced as the run goes on, to
//! windows of that length and to points of a second.

use std::collections::BTreeMap;

use super::classes::{ByClass, Second};
use super::histogram::Histogram;
use super::sparse::SparseHistogram;
use crate::units::{NANOS_PER_S, Nanos};

/// The length of a page and of what is retained of it: two make a second.
pub const WINDOW: Nanos = Nanos(NANOS_PER_S / 2);

/// Which page: those of [T0, end) in order, then those of the drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageId {
    /// False in [T0, end), true after it.
    pub drain: bool,
    /// How many times [`WINDOW`] lie between it and T0, or the end in the drain.
    pub number: u64,
}

impl PageId {
    /// The second that it is a half of.
    pub fn second(self) -> IntervalId {
        IntervalId { drain: self.drain, second: self.number / 2 }
    }

    /// The first page after it in the same part of the run.
    pub fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }

    /// From T0, or from the end in the drain, to its own end.
    pub fn until(self) -> Nanos {
        Nanos((self.number + 1).saturating_mul(WINDOW.0))
    }
}

/// Which second: those of [T0, end) in order, then those of the drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntervalId {
    /// False in [T0, end), true after it.
    pub drain: bool,
    /// Whole seconds since T0, or since the end in the drain.
    pub second: u64,
}

impl IntervalId {
    fn last_page(self) -> PageId {
        PageId { drain: self.drain, number: self.second * 2 + 1 }
    }
}

/// Counts of a span of time, each event by its own instant.
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

/// One shard's page: half a second.
#[derive(Clone, Debug, Default)]
pub struct Interval {
    /// Which one.
    pub id: PageId,
    /// What happened in it.
    pub counts: IntervalCounts,
    /// Response times of what was answered or given up in it.
    pub response: Histogram,
    /// The same and more by what became of each request, where the plan asks for it; what has no end is in the last page.
    pub by_class: ByClass,
}

impl Interval {
    /// Empties it for reuse.
    pub fn reset(&mut self, id: PageId) {
        self.id = id;
        self.counts = IntervalCounts::default();
        self.response.reset();
        self.by_class.reset();
    }

    fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.response.add(&other.response);
        self.by_class.add(&other.by_class);
    }
}

/// What is retained of half a second of the whole run: with its counts some 2 KB, so about 15 MB an hour, and at most 40
/// where answers take anything between 100 us and 100 ms.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// Which one.
    pub id: PageId,
    /// Sums over shards.
    pub counts: IntervalCounts,
    /// Response times of what was answered or given up in it.
    pub response: SparseHistogram,
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

/// Merges the shards' pages; holds whole histograms only of what some shard has not delivered yet.
#[derive(Debug)]
pub struct Timeline {
    pending: BTreeMap<PageId, Interval>,
    /// Per shard the last page it delivered; `None` before its first.
    delivered: Vec<Option<PageId>>,
    ended: Vec<bool>,
    /// The pages so far of the second after the last point.
    second: Option<Interval>,
    windows: Vec<Window>,
    points: Vec<Point>,
    /// Complete ones that were not taken yet.
    seconds: Vec<Second>,
}

impl Timeline {
    /// A series fed by `shards` shards.
    pub fn new(shards: usize) -> Self {
        Self {
            pending: BTreeMap::new(),
            delivered: vec![None; shards],
            ended: vec![false; shards],
            second: None,
            windows: Vec::new(),
            points: Vec::new(),
            seconds: Vec::new(),
        }
    }

    /// Takes in one shard's page; returns how many points became complete by it.
    pub fn add(&mut self, shard: usize, interval: &Interval) -> usize {
        assert!(!self.ended[shard] && self.delivered[shard].is_none_or(|last| last < interval.id));
        let merged = self.pending.entry(interval.id).or_default();
        merged.id = interval.id;
        merged.add(interval);
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

    /// Times by class of the seconds that became complete since the last call: whole histograms, to be let go of soon.
    pub fn take_seconds(&mut self) -> Vec<Second> {
        std::mem::take(&mut self.seconds)
    }

    /// All seconds and all windows, whether or not every shard delivered them.
    pub fn finish(mut self) -> (Vec<Point>, Vec<Window>) {
        self.ended.fill(true);
        self.reduce();
        (self.points, self.windows)
    }

    /// Whether no shard has anything to add to `page`.
    fn is_complete(&self, page: PageId) -> bool {
        let shards = self.delivered.iter().zip(&self.ended);
        shards.into_iter().all(|(last, &ended)| ended || last.is_some_and(|last| last >= page))
    }

    fn reduce(&mut self) -> usize {
        let before = self.points.len();
        while let Some((&id, _)) = self.pending.first_key_value()
            && self.is_complete(id)
        {
            let page = self.pending.remove(&id).expect("it was there just now");
            let response = SparseHistogram::new(&page.response);
            self.windows.push(Window { id, counts: page.counts, response });
            self.join(page);
        }
        // The last second of [T0, end) and of the drain may have one page only.
        if self.second.as_ref().is_some_and(|second| self.is_complete(second.id.second().last_page())) {
            self.close_second();
        }
        self.points.len() - before
    }

    fn join(&mut self, page: Interval) {
        match &mut self.second {
            Some(second) if second.id.second() == page.id.second() => second.add(&page),
            _ => {
                self.close_second();
                self.second = Some(page);
            }
        }
    }

    fn close_second(&mut self) {
        let Some(second) = self.second.take() else { return };
        let max = second.response.max();
        // A second is short: a quantile that is not to be had reliably is still the best there is, at most the maximum.
        let quantile = |q| second.response.quantile(q).or(max);
        self.points.push(Point {
            id: second.id.second(),
            counts: second.counts,
            p50: quantile(0.5),
            p99: quantile(0.99),
            max,
        });
        if !second.by_class.is_empty() {
            self.seconds.push(Second { id: second.id.second(), by_class: second.by_class });
        }
    }
}

impl IntervalCounts {
    /// Answered or failed.
    pub fn ended(&self) -> u64 {
        self.completed + self.failed
    }

    /// Failed, or answered with 400 or above; of [`Self::ended`].
    pub fn errors(&self) -> u64 {
        self.ended() - self.ok
    }

    /// Adds another span's counts.
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

    fn page(number: u64, completed: u64, ms: u64) -> Interval {
        let mut page = Interval { id: PageId { drain: false, number }, ..Interval::default() };
        page.counts.completed = completed;
        page.response.record_n(Nanos::from_millis(ms), completed);
        page
    }

    fn completed(points: &[Point]) -> Vec<u64> {
        points.iter().map(|point| point.counts.completed).collect()
    }

    #[test]
    fn a_second_is_reduced_once_every_shard_delivered_both_its_pages() {
        let mut timeline = Timeline::new(2);
        for number in 0..3 {
            assert_eq!(timeline.add(0, &page(number, 10, 1)), 0);
        }
        assert_eq!(timeline.add(1, &page(0, 5, 3)), 0, "half of it is missing");
        assert_eq!(timeline.add(1, &page(1, 6, 3)), 1);
        assert_eq!(completed(timeline.points()), [31]);
        assert_eq!(timeline.end(1), 0, "the other one is in the middle of the second");
        assert_eq!(timeline.add(0, &page(3, 10, 1)), 1, "a shard that ended is not waited for");
        assert_eq!(timeline.add(0, &page(4, 1, 7)), 0);
        let (points, windows) = timeline.finish();
        assert_eq!(completed(&points), [31, 20, 1]);
        assert_eq!(points[2].p99, points[2].max, "one value: its quantiles are the maximum");
        let retained =
            windows.iter().map(|window| (window.id.number, window.counts.completed, window.response.count()));
        assert_eq!(retained.collect::<Vec<_>>(), [(0, 15, 15), (1, 16, 16), (2, 10, 10), (3, 10, 10), (4, 1, 1)]);
    }

    #[test]
    fn shards_merged_are_one_process_window_for_window() {
        let whole = |shards: u64| {
            let mut timeline = Timeline::new(shards as usize);
            for number in 0..6 {
                for shard in 0..shards {
                    let mut page = page(number, 0, 1);
                    for request in (0..1_000).filter(|request| request % shards == shard) {
                        page.counts.completed += 1;
                        page.response.record(Nanos(100_000 + (request * 7_919 + number * 31) % 900_000_000));
                    }
                    timeline.add(shard as usize, &page);
                }
            }
            timeline.finish()
        };
        for shards in [2, 3, 7] {
            assert!(whole(shards) == whole(1), "{shards} shards");
        }
    }

    #[test]
    fn the_drain_begins_a_second_of_its_own() {
        let mut timeline = Timeline::new(1);
        timeline.add(0, &page(0, 4, 1));
        let drain = |number| Interval { id: PageId { drain: true, number }, ..page(0, 2, 9) };
        assert_eq!(timeline.add(0, &drain(0)), 1, "the last second of the window had half a second");
        assert_eq!(timeline.add(0, &drain(1)), 1);
        let (points, windows) = timeline.finish();
        assert_eq!(completed(&points), [4, 4]);
        assert_eq!((points[0].id.drain, points[1].id.drain, windows.len()), (false, true, 3));
    }

    #[test]
    fn what_was_recorded_by_class_is_handed_over_once_its_second_is_complete() {
        let mut timeline = Timeline::new(2);
        let unsent = |number, n| {
            let mut page = page(number, 0, 1);
            page.by_class.record_unsent(Nanos::from_millis(1), n);
            page
        };
        timeline.add(0, &unsent(0, 1));
        timeline.add(0, &unsent(1, 2));
        timeline.add(1, &unsent(0, 4));
        assert!(timeline.take_seconds().is_empty(), "half of it is missing");
        timeline.add(1, &unsent(1, 8));
        let seconds = timeline.take_seconds();
        let counts = |second: &Second| second.by_class.iter().map(|(.., histogram)| histogram.count()).sum::<u64>();
        assert_eq!(seconds.iter().map(counts).collect::<Vec<_>>(), [15]);
        assert!(timeline.take_seconds().is_empty(), "once");
        timeline.add(0, &page(2, 3, 1));
        assert_eq!((timeline.end(0), timeline.end(1)), (0, 1));
        assert!(timeline.take_seconds().is_empty(), "where nothing was recorded by class there is nothing");
    }

    #[test]
    fn pages_that_nothing_was_counted_on_are_seconds_too() {
        let mut timeline = Timeline::new(1);
        for number in 0..4 {
            timeline.add(0, &page(number, 0, 1));
        }
        let (points, windows) = timeline.finish();
        assert_eq!((completed(&points), points[1].p50, windows.len()), (vec![0, 0], None, 4));
    }
}
