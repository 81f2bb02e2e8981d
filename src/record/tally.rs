//! What is counted of requests, by shard and, added up, in total. Allocated before the start; recording allocates nothing.

use std::fmt::Display;

use super::blame::{Blame, Shares};
use super::check::{CheckSample, SAMPLES_MAX};
use super::flow::Flow;
use super::histogram::Histogram;
use super::latency::{Latency, PerLatency};
use super::outcome::{Failure, Outcome, Stamps};
use super::tags::{self, TagTally};
use crate::units::Nanos;

/// The two sides of Little's law may differ by such a share; being sums of whole nanoseconds, they do not differ at all.
pub const LITTLE_MAX: f64 = 1e-6;

/// Requests by class; `intended = ok + http_error + failed + unsent + in_flight_at_end` once a run has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Fell due in [T0, end).
    pub intended: u64,
    /// First byte handed to the ring; subset of `intended`.
    pub sent: u64,
    /// Answered below 400; subset of `sent`.
    pub ok: u64,
    /// Answered with 400 or above; subset of `sent`.
    pub http_error: u64,
    /// Ended without a whole answer, sent or not.
    pub failed: u64,
    /// Due and never taken up before the end.
    pub unsent: u64,
    /// Taken up and without an end when the drain ended.
    pub in_flight_at_end: u64,
    /// Kept back by the client itself for more than a millisecond; subset of `intended`.
    pub withheld: u64,
    /// Requests sent a second time because the pooled connection was dead; no tickets of their own.
    pub redials: u64,
    /// Connections opened, those before T0 included.
    pub connections_opened: u64,
    /// Those of them opened before T0.
    pub connections_opened_before_t0: u64,
    /// Those of them whose TLS handshake resumed an earlier session.
    pub tls_resumed: u64,
}

/// Requests before T0; counted nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmup {
    /// Answered or failed.
    pub requests: u64,
    /// Failed.
    pub failed: u64,
}

/// HTTP bytes with heads, above TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Received.
    pub received: u64,
    /// Sent.
    pub sent: u64,
    /// Bytes of bodies after decoding, of those that were not encoded too; 0 where nothing is to be decoded.
    pub decoded: u64,
}

/// Response times that are only lower bounds: timeouts, and what had no end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Censored {
    /// How many; subset of `response`.
    pub count: u64,
    /// The shortest of them; quantiles from there on are lower bounds.
    pub least: Option<Nanos>,
}

impl Censored {
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.least = [self.least, other.least].into_iter().flatten().min();
    }
}

/// So much of a reason is kept: a server may have had a say in it, such as by the names of its certificate.
const REASON_CHARS_MAX: usize = 300;

/// Why something failed, as far as it is kept.
pub fn reason(text: &dyn Display) -> Box<str> {
    text.to_string().chars().take(REASON_CHARS_MAX).collect()
}

/// Everything that is counted of requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// By class.
    pub counts: Counts,
    /// By kind, in the order of [`Failure::ALL`]; sums to `counts.failed`.
    pub failures: [u64; Failure::ALL.len()],
    /// Why the first of each kind failed, where more is known than the kind; in the order of [`Failure::ALL`].
    pub reasons: [Option<Box<str>>; Failure::ALL.len()],
    /// Answers that were not what was expected, at most [`SAMPLES_MAX`].
    pub check_samples: Vec<CheckSample>,
    /// Answers by status code, 0 to 999; sums to `ok + http_error`.
    pub status: Vec<u64>,
    /// Bytes on the wire.
    pub traffic: Traffic,
    /// Before T0.
    pub warmup: Warmup,
    /// Times.
    pub latencies: PerLatency<Histogram>,
    /// Which of `latencies[Latency::Response]` are lower bounds.
    pub censored: Censored,
    /// By the plan's tags; empty where it has none.
    pub tags: Vec<TagTally>,
    /// Requests in flight when their worker died: nobody knows their tags.
    pub untagged: u64,
    /// What client and pool had of `latencies[Latency::Response]`.
    pub blame: Blame,
    /// What entered and left.
    pub flow: Flow,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            failures: [0; Failure::ALL.len()],
            reasons: Default::default(),
            check_samples: Vec::new(),
            status: vec![0; 1000],
            traffic: Traffic::default(),
            warmup: Warmup::default(),
            latencies: PerLatency::default(),
            censored: Censored::default(),
            tags: Vec::new(),
            untagged: 0,
            blame: Blame::default(),
            flow: Flow::default(),
        }
    }
}

impl Tally {
    /// An empty one that also counts by so many tags.
    pub fn with_tags(count: usize) -> Self {
        Self { tags: vec![TagTally::default(); count], ..Self::default() }
    }

    /// Counts a request that was taken up and came to `outcome`.
    pub fn record(&mut self, outcome: Outcome, stamps: &Stamps) {
        self.record_lags(stamps);
        let response = Nanos(stamps.done.0 - stamps.intended.0);
        self.flow.spend(response);
        match outcome {
            Outcome::Answered(status) => self.record_answer(status, response, stamps),
            Outcome::Failed(failure) => {
                self.counts.failed += 1;
                self.failures[failure as usize] += 1;
                if failure.waited() {
                    self.record_censored(response, stamps.shares(), 1);
                }
            }
            Outcome::InFlightAtEnd => {
                self.counts.in_flight_at_end += 1;
                self.record_censored(response, stamps.shares(), 1);
            }
        }
    }

    /// Counts `n` requests that fell due and were never taken up, each having waited at least `waited` at the end; `client`:
    /// how much of it the client kept them back. Returns how many of them it withheld.
    pub fn record_unsent(&mut self, waited: Nanos, client: Nanos, n: u64) -> u64 {
        self.counts.unsent += n;
        let shares = Shares { client, pool: Nanos(waited.0 - client.0) };
        let withheld = if shares.stalled() { n } else { 0 };
        self.counts.withheld += withheld;
        self.record_censored(waited, shares, n);
        withheld
    }

    /// Adds another tally: counts sum, histograms add bucket for bucket.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        for (sum, &part) in self.failures.iter_mut().zip(&other.failures) {
            *sum += part;
        }
        for (first, other) in self.reasons.iter_mut().zip(&other.reasons) {
            *first = first.take().or_else(|| other.clone());
        }
        let room = SAMPLES_MAX.saturating_sub(self.check_samples.len());
        self.check_samples.extend(other.check_samples.iter().take(room).cloned());
        for (sum, &part) in self.status.iter_mut().zip(&other.status) {
            *sum += part;
        }
        self.traffic.received += other.traffic.received;
        self.traffic.sent += other.traffic.sent;
        self.traffic.decoded += other.traffic.decoded;
        self.warmup.requests += other.warmup.requests;
        self.warmup.failed += other.warmup.failed;
        for (latency, part) in other.latencies.iter() {
            self.latencies[latency].add(part);
        }
        self.blame.add(&other.blame);
        self.flow.add(other.flow);
        self.censored.add(other.censored);
        self.tags.resize_with(self.tags.len().max(other.tags.len()), TagTally::default);
        for (sum, part) in self.tags.iter_mut().zip(&other.tags) {
            sum.add(part);
        }
        self.untagged += other.untagged;
    }

    /// Checks the accounting identity of the contract and what must follow from it.
    ///
    /// # Errors
    /// Which equality does not hold: a request was lost or counted twice, which is a bug of this program.
    pub fn check(&self) -> Result<(), String> {
        let counts = &self.counts;
        let answered = counts.ok + counts.http_error;
        let waited: u64 =
            Failure::ALL.iter().filter(|kind| kind.waited()).map(|&kind| self.failures[kind as usize]).sum();
        let censored = waited + counts.in_flight_at_end + counts.unsent;
        let ended = answered + counts.failed + counts.unsent + counts.in_flight_at_end;
        let latencies = &self.latencies;
        let equalities = [
            ("intended = ok + http_error + failed + unsent + in_flight_at_end", counts.intended, ended),
            ("failed = the sum of its kinds", counts.failed, self.failures.iter().sum()),
            ("answers by status = ok + http_error", self.status.iter().sum(), answered),
            ("lower bounds = waited + in_flight_at_end + unsent", self.censored.count, censored),
            ("response.count = answered + lower bounds", latencies[Latency::Response].count(), answered + censored),
            ("response_ok.count = ok", latencies[Latency::ResponseOk].count(), counts.ok),
            ("service.count = answered", latencies[Latency::Service].count(), answered),
            ("pool_lag.count = sent", latencies[Latency::PoolLag].count(), counts.sent),
            ("client_lag.count = sent", latencies[Latency::ClientLag].count(), counts.sent),
        ];
        if let Some((name, left, right)) = equalities.into_iter().find(|(_, left, right)| left != right) {
            return Err(format!("{name} does not hold: {left} against {right}"));
        }
        if let Some(difference) = self.flow.difference().filter(|&difference| difference > LITTLE_MAX) {
            return Err(format!("Little's law does not hold: the sides differ by {difference:e}"));
        }
        if counts.intended < counts.sent || counts.sent < answered {
            return Err(format!("intended ≥ sent ≥ answered does not hold: {counts:?}"));
        }
        tags::check(&self.tags, counts, &self.failures, self.untagged)
    }

    fn record_lags(&mut self, stamps: &Stamps) {
        let Some(sent) = stamps.sent else { return };
        self.counts.sent += 1;
        self.counts.withheld += u64::from(stamps.withheld());
        self.latencies[Latency::PoolLag].record(Nanos(stamps.ready.0 - stamps.intended.0));
        self.latencies[Latency::ClientLag].record(Nanos(sent.0 - stamps.ready.0));
        if let Some(submitted) = stamps.submitted {
            self.latencies[Latency::SubmitLag].record(Nanos(submitted.0 - sent.0));
        }
    }

    fn record_answer(&mut self, status: u16, response: Nanos, stamps: &Stamps) {
        let sent = stamps.sent.expect("an answer follows a request");
        self.status[usize::from(status)] += 1;
        self.latencies[Latency::Response].record(response);
        self.blame.record(response, stamps.shares(), 1);
        self.latencies[Latency::Service].record(Nanos(stamps.done.0 - sent.0));
        self.latencies[Latency::FirstByte].record(Nanos(stamps.first_byte.unwrap_or(stamps.done).0 - sent.0));
        if status < 400 {
            self.counts.ok += 1;
            self.latencies[Latency::ResponseOk].record(response);
        } else {
            self.counts.http_error += 1;
        }
    }

    fn record_censored(&mut self, waited: Nanos, shares: Shares, n: u64) {
        self.latencies[Latency::Response].record_n(waited, n);
        self.blame.record(waited, shares, n);
        self.censored.count += n;
        self.censored.least = Some(self.censored.least.map_or(waited, |least| least.min(waited)));
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.intended += other.intended;
        self.sent += other.sent;
        self.ok += other.ok;
        self.http_error += other.http_error;
        self.failed += other.failed;
        self.unsent += other.unsent;
        self.in_flight_at_end += other.in_flight_at_end;
        self.withheld += other.withheld;
        self.redials += other.redials;
        self.connections_opened += other.connections_opened;
        self.connections_opened_before_t0 += other.connections_opened_before_t0;
        self.tls_resumed += other.tls_resumed;
    }
}
