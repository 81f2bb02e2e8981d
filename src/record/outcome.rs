//! What can become of one request, and the instants of its life (contract section 1).

use super::blame::Shares;
use super::vitals::STALL;
use crate::units::Nanos;

/// Why a request failed: the closed list of the contract, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The name has no address.
    Resolve,
    /// TCP connect refused or unreachable.
    Connect,
    /// No connection within `--connect-timeout`.
    ConnectTimeout,
    /// The proxy refused.
    Proxy,
    /// The TLS handshake failed.
    Tls,
    /// The request could not be written.
    Write,
    /// Silence for `--read-timeout`.
    ReadTimeout,
    /// No whole answer within `--timeout` of sending.
    Timeout,
    /// No whole answer within `--deadline` of the intended start.
    Deadline,
    /// The peer reset the connection.
    Reset,
    /// The peer closed before the answer was whole.
    ClosedEarly,
    /// The peer reset the HTTP/2 stream.
    StreamReset,
    /// The answer broke HTTP.
    Protocol,
    /// The answer failed an expectation.
    Check,
}

impl Failure {
    /// All kinds, in the order of the report.
    pub const ALL: [Self; 14] = [
        Self::Resolve,
        Self::Connect,
        Self::ConnectTimeout,
        Self::Proxy,
        Self::Tls,
        Self::Write,
        Self::ReadTimeout,
        Self::Timeout,
        Self::Deadline,
        Self::Reset,
        Self::ClosedEarly,
        Self::StreamReset,
        Self::Protocol,
        Self::Check,
    ];

    /// The name in reports; a contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Write => "write",
            Self::ReadTimeout => "read_timeout",
            Self::Timeout => "timeout",
            Self::Deadline => "deadline",
            Self::Reset => "reset",
            Self::ClosedEarly => "closed_early",
            Self::StreamReset => "stream_reset",
            Self::Protocol => "protocol",
            Self::Check => "check",
        }
    }

    /// Whether the request waited for an answer until a limit: its time so far is a lower bound of its response time.
    pub fn waited(self) -> bool {
        matches!(self, Self::Timeout | Self::ReadTimeout | Self::Deadline)
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole answer of this status.
    Answered(u16),
    /// None, and why.
    Failed(Failure),
    /// None yet when the drain ended.
    InFlightAtEnd,
}

/// The instants of one request on the run's clock; `intended <= ready <= sent <= first_byte <= done`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// When it fell due (open load) or a slot took it (closed load).
    pub intended: Nanos,
    /// When a slot and its connection were free for it: `intended`, or later.
    pub ready: Nanos,
    /// How much of the time until `ready` was the backlog of the client's own stalls; at most all of it.
    pub stalled: Nanos,
    /// Its first byte was handed to the ring; `None` when that never happened.
    pub sent: Option<Nanos>,
    /// The completion of the send was seen.
    pub submitted: Option<Nanos>,
    /// The first byte of the answer was seen.
    pub first_byte: Option<Nanos>,
    /// The last byte was seen, or the request was given up.
    pub done: Nanos,
}

impl Stamps {
    /// What client and pool had of the time from `intended` to `done`. A request that was never sent waited for its
    /// connection.
    #[inline]
    pub fn shares(&self) -> Shares {
        let (ready, late) = match self.sent {
            Some(sent) => (self.ready, sent.0 - self.ready.0),
            None => (self.done, 0),
        };
        let waited = ready.0 - self.intended.0;
        Shares { client: Nanos(late + self.stalled.0), pool: Nanos(waited - self.stalled.0) }
    }

    /// Whether the client kept it back: it was sent more than [`STALL`] after it was ready, or after it would have been
    /// without a stall of ours.
    #[inline]
    pub fn withheld(&self) -> bool {
        self.sent.is_some_and(|sent| sent.0 - self.ready.0 > STALL.0 || self.shares().stalled())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Intended at 0; of the wait until it was ready so much was a stall of ours. In milliseconds.
    fn withheld(ready: u64, stalled: u64, sent: u64) -> bool {
        let [ready, stalled, sent] = [ready, stalled, sent].map(Nanos::from_millis);
        Stamps { ready, stalled, sent: Some(sent), done: sent, ..Stamps::default() }.withheld()
    }

    #[test]
    fn what_a_server_s_backlog_and_a_hiccup_of_ours_keep_back_is_not_all_ours() {
        assert!(withheld(0, 0, 2), "it was ready");
        assert!(withheld(500, 0, 502), "it was ready, late as that was");
        assert!(withheld(500, 500, 500), "it would have been");
        assert!(withheld(500, 300, 500), "most of its wait was ours");
        assert!(!withheld(500, 3, 500), "it would have waited anyway");
        assert!(!withheld(500, 0, 501) && !withheld(1, 1, 1), "a millisecond is no stall");
    }
}
