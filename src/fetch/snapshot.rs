//! Where a retrieval stands: what the live view and the metrics are written from.
//!
//! Owns sums and no atomics; whoever shows it gathers it.

use super::line::Kind;
use crate::units::Nanos;

/// Upper ends of the buckets of [`Latencies`], in milliseconds; one more is above the last.
pub const BUCKETS_MS: [u64; 14] = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000];

/// How long lines took, in few buckets: a histogram that costs nothing to read while it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    /// Values up to each of [`BUCKETS_MS`] and above the one before.
    pub counts: [u64; BUCKETS_MS.len()],
    /// Values above the last.
    pub beyond: u64,
    /// All values together.
    pub sum: Nanos,
}

impl Latencies {
    /// Counts one value.
    pub fn record(&mut self, value: Nanos) {
        match BUCKETS_MS.iter().position(|&end| value <= Nanos::from_millis(end)) {
            Some(bucket) => self.counts[bucket] += 1,
            None => self.beyond += 1,
        }
        self.sum.0 = self.sum.0.saturating_add(value.0);
    }

    /// Adds another core's.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.beyond += other.beyond;
        self.sum.0 = self.sum.0.saturating_add(other.sum.0);
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.beyond
    }
}

/// A host that holds the run up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlowHost {
    /// Name and port, as the origin has them.
    pub host: String,
    /// Its lines that are in flight or wait for their turn.
    pub lines: u64,
    /// How long its oldest request has been under way.
    pub oldest: Nanos,
    /// When it may be asked again, counted from now; none where it may be.
    pub rests: Option<Nanos>,
}

impl SlowHost {
    /// What it does on another core too.
    fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.oldest = self.oldest.max(other.oldest);
        self.rests = self.rests.max(other.rests);
    }

    /// What it costs, as far as is known.
    pub fn delay(&self) -> Nanos {
        self.oldest.max(self.rests.unwrap_or_default())
    }
}

/// Counts `count` more of `key`.
pub fn add_to<K: PartialEq>(counts: &mut Vec<(K, u64)>, key: K, count: u64) {
    match counts.iter_mut().find(|(known, _)| *known == key) {
        Some((_, sum)) => *sum += count,
        None => counts.push((key, count)),
    }
}

/// Sums over all cores since the start of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Since the first request.
    pub elapsed: Nanos,
    /// Lines of input so far.
    pub read: u64,
    /// All of them were read: `read` is how many there are.
    pub input_ended: bool,
    /// Lines that ended, those an earlier run had ended not among them.
    pub ended: u64,
    /// Those of them that were ok.
    pub ok: u64,
    /// Those of them that were answered and not ok: `ended = ok + http_errors + Σ errors`.
    pub http_errors: u64,
    /// Those of them without an answer of use, by kind.
    pub errors: Vec<(Kind, u64)>,
    /// Lines that an earlier run had ended.
    pub skipped: u64,
    /// Lines that ended in the last complete second.
    pub latest: u64,
    /// Requests sent, retries and redirects among them.
    pub requests: u64,
    /// Requests made again.
    pub retries: u64,
    /// Answers that asked for time (429, and 503 with `Retry-After`).
    pub rate_limited: u64,
    /// Requests under way.
    pub in_flight: u64,
    /// Lines that wait for their next attempt.
    pub waiting: u64,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Answers by status.
    pub statuses: Vec<(u16, u64)>,
    /// Response times of lines that ended.
    pub latencies: Latencies,
    /// Those that hold the run up, the slowest first; a few.
    pub slowest: Vec<SlowHost>,
}

impl Snapshot {
    /// Adds what another core counted. Time, what is read and the last second's lines are the whole run's, not a sum.
    pub fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.ended, other.ended),
            (&mut self.ok, other.ok),
            (&mut self.http_errors, other.http_errors),
            (&mut self.skipped, other.skipped),
            (&mut self.requests, other.requests),
            (&mut self.retries, other.retries),
            (&mut self.rate_limited, other.rate_limited),
            (&mut self.in_flight, other.in_flight),
            (&mut self.waiting, other.waiting),
            (&mut self.bytes, other.bytes),
        ];
        sums.into_iter().for_each(|(sum, count)| *sum += count);
        other.errors.iter().for_each(|&(kind, count)| add_to(&mut self.errors, kind, count));
        other.statuses.iter().for_each(|&(status, count)| add_to(&mut self.statuses, status, count));
        self.latencies.add(&other.latencies);
        for host in &other.slowest {
            match self.slowest.iter_mut().find(|known| known.host == host.host) {
                Some(known) => known.add(host),
                None => self.slowest.push(host.clone()),
            }
        }
        self.slowest.sort_by_key(|host| std::cmp::Reverse(host.delay()));
    }

    /// Lines that failed or were refused.
    pub fn failed(&self) -> u64 {
        self.errors.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_bucket_that_ends_at_or_above_it() {
        let mut latencies = Latencies::default();
        for ns in [0, 5_000_000, 5_000_001, 300_000_000_000, 300_000_000_001] {
            latencies.record(Nanos(ns));
        }
        assert_eq!((latencies.counts[0], latencies.counts[1], latencies.counts[13], latencies.beyond), (2, 1, 1, 1));
        let mut all = latencies.clone();
        all.add(&latencies);
        assert_eq!((all.count(), all.sum.0), (10, 2 * latencies.sum.0));
    }

    #[test]
    fn what_cores_counted_is_added_up_by_kind_status_and_host() {
        let host = |name: &str, oldest, rests| SlowHost { host: name.to_owned(), lines: 2, oldest, rests };
        let one = Snapshot {
            ended: 5,
            ok: 1,
            errors: vec![(Kind::Robots, 2)],
            statuses: vec![(200, 1), (404, 2)],
            in_flight: 3,
            slowest: vec![host("a", Nanos(5), None), host("b", Nanos(4), None)],
            ..Snapshot::default()
        };
        let other = Snapshot {
            errors: vec![(Kind::HostDown, 1), (Kind::Robots, 1)],
            statuses: vec![(404, 1)],
            slowest: vec![host("b", Nanos(2), Some(Nanos(9)))],
            ..one.clone()
        };
        let mut all = one;
        all.add(&other);
        assert_eq!((all.ended, all.ok, all.in_flight, all.failed()), (10, 2, 6, 4));
        assert_eq!(all.errors, [(Kind::Robots, 3), (Kind::HostDown, 1)]);
        assert_eq!(all.statuses, [(200, 1), (404, 3)]);
        let b = SlowHost { lines: 4, ..host("b", Nanos(4), Some(Nanos(9))) };
        assert_eq!(all.slowest, [b, host("a", Nanos(5), None)]);
    }
}
