//! Whose fault the slow requests are: what the client itself and the waiting for a connection had of each response time,
//! summed beside the buckets of the response histogram. No log per request: suffix sums give the shares of any tail.

use super::histogram::HIGHEST_NS;
use super::vitals::STALL;
use crate::units::Nanos;

/// The buckets of HdrHistogram at 3 significant digits: 2^11 values one by one, then 2^10 buckets each time they double.
const LINEAR_BITS: u32 = 11;

/// What had how much of some response times; the rest was service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    /// The client's: its own lateness, and the backlog of its stalls.
    pub client: Nanos,
    /// The pool's: no connection was free.
    pub pool: Nanos,
}

impl Shares {
    /// Whether the client kept a request back by stalls of its own: by more than [`STALL`], and no less than the pool did.
    /// A hiccup within a backlog that the server made does not make the backlog the client's.
    #[inline]
    pub fn stalled(self) -> bool {
        self.client > STALL && self.client >= self.pool
    }
}

/// Two sums for each bucket of a response histogram; about 600 KB, all of it allocated at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Blame {
    buckets: Vec<Shares>,
}

impl Default for Blame {
    fn default() -> Self {
        Self { buckets: vec![Shares::default(); bucket(HIGHEST_NS) + 1] }
    }
}

impl Blame {
    /// Adds the shares of `n` requests with this response time.
    #[inline]
    pub fn record(&mut self, response: Nanos, shares: Shares, n: u64) {
        // Nearly all requests of a quiet run have nothing to add, and their buckets are not touched.
        if shares != Shares::default() {
            self.buckets[bucket(response.0.min(HIGHEST_NS))].add(shares, n);
        }
    }

    /// Adds another one, bucket for bucket.
    pub fn add(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, &part)| sum.add(part, 1));
    }

    /// The sums over all response times in the bucket of `value` and above.
    pub fn beyond(&self, value: Nanos) -> Shares {
        let mut sum = Shares::default();
        self.buckets[bucket(value.0.min(HIGHEST_NS))..].iter().for_each(|&part| sum.add(part, 1));
        sum
    }
}

impl Shares {
    fn add(&mut self, other: Self, n: u64) {
        self.client.0 = self.client.0.saturating_add(other.client.0.saturating_mul(n));
        self.pool.0 = self.pool.0.saturating_add(other.pool.0.saturating_mul(n));
    }
}

/// The bucket of a value, as HdrHistogram numbers them.
#[inline]
fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - (value | ((1 << LINEAR_BITS) - 1)).leading_zeros()) - LINEAR_BITS;
    ((shift as usize) << (LINEAR_BITS - 1)) + (value >> shift) as usize
}

#[cfg(test)]
mod tests {
    use super::super::Histogram;
    use super::*;

    #[test]
    fn buckets_are_those_of_the_histogram() {
        let histogram = Histogram::default();
        let hdr = histogram.hdr();
        let mut value = 1u64;
        let mut last = (0, 0);
        while value < HIGHEST_NS {
            let this = (hdr.lowest_equivalent(value), bucket(value));
            assert_eq!(this.0 == last.0, this.1 == last.1, "{value}");
            assert_eq!(bucket(hdr.highest_equivalent(value)), this.1, "{value}");
            assert_eq!(bucket(hdr.highest_equivalent(value) + 1), this.1 + 1, "no bucket is left out: {value}");
            last = this;
            value = value * 1_001 / 1_000 + 1;
        }
    }

    #[test]
    fn a_tail_has_what_its_requests_had() {
        let mut blame = Blame::default();
        let shares = |client, pool| Shares { client: Nanos(client), pool: Nanos(pool) };
        blame.record(Nanos::from_millis(1), shares(10, 1), 1);
        blame.record(Nanos::from_millis(5), shares(200, 20), 3);
        let mut other = Blame::default();
        other.record(Nanos::from_millis(9), shares(3_000, 0), 1);
        blame.add(&other);
        assert_eq!(blame.beyond(Nanos::ZERO), shares(3_610, 61));
        assert_eq!(blame.beyond(Nanos::from_millis(5)), shares(3_600, 60));
        assert_eq!(blame.beyond(Nanos::from_millis(6)), shares(3_000, 0));
        assert_eq!(blame.beyond(Nanos(u64::MAX)), shares(0, 0));
    }
}
