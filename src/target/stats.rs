//! What the target counts: one set a thread with that thread as its only writer, summed when somebody asks.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::route::Kind;

/// A count with one writer and any number of readers; no read-modify-write.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`; only the owning thread may.
    #[inline]
    pub(super) fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }

    /// The count so far.
    #[inline]
    pub(super) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The counts of one thread, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    /// Complete request heads by [`Kind`].
    pub(super) requests: [Counter; Kind::ALL.len()],
    /// Requests refused with 4xx or 501 and the end of the connection; those of a bad body are also in `requests`.
    pub(super) refused: Counter,
    pub(super) opened: Counter,
    pub(super) closed: Counter,
    pub(super) bytes_in: Counter,
    pub(super) bytes_out: Counter,
}

/// The target's counts, summed over its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests whose head was complete and well-formed.
    pub requests: u64,
    /// `requests` by path: [`Kind`] in its order.
    pub by_kind: [u64; Kind::ALL.len()],
    /// Requests refused with a 4xx or 501 and the end of the connection.
    pub refused: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections open now; subset of `connections`.
    pub open: u64,
    /// Bytes read from sockets.
    pub bytes_in: u64,
    /// Bytes of completed writes to sockets.
    pub bytes_out: u64,
}

impl Stats {
    /// The sum over all threads, each read while it goes on counting.
    pub(super) fn sum(threads: &[Counters]) -> Self {
        let mut sum = Self::default();
        for counters in threads {
            for (total, counter) in sum.by_kind.iter_mut().zip(&counters.requests) {
                *total += counter.value();
            }
            sum.refused += counters.refused.value();
            // In this order a connection that closes meanwhile cannot make the difference negative.
            let closed = counters.closed.value();
            let opened = counters.opened.value();
            sum.connections += opened;
            sum.open += opened.saturating_sub(closed);
            sum.bytes_in += counters.bytes_in.value();
            sum.bytes_out += counters.bytes_out.value();
        }
        sum.requests = sum.by_kind.iter().sum();
        sum
    }

    /// Requests for one path.
    pub fn requests_for(&self, kind: Kind) -> u64 {
        self.by_kind[kind as usize]
    }

    /// The body of `/stats`: one JSON object and a newline.
    pub fn to_json(&self) -> String {
        let Self { requests, by_kind: _, refused, connections, open, bytes_in, bytes_out } = self;
        let mut json = format!(
            "{{\"requests\":{requests},\"refused\":{refused},\"connections\":{connections},\"open\":{open},\
             \"bytes_in\":{bytes_in},\"bytes_out\":{bytes_out},\"paths\":{{"
        );
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let _ = write!(json, "{comma}\"{}\":{}", kind.path(), self.requests_for(kind));
        }
        json.push_str("}}\n");
        json
    }
}
