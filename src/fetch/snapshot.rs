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
    /// Its lines that have not ended.
    pub lines: u64,
    /// How long its oldest request has been under way.
    pub oldest: Nanos,
    /// When it may be asked again, counted from now; none where it may be.
    pub rests: Option<Nanos>,
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
}
