//! Which times are measured of a request: the closed list of the contract, and one value for each of them.

use std::ops::{Index, IndexMut};

/// A time that is measured, and of which requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// done − intended of all that was answered or waited; the unanswered with the time waited so far.
    Response,
    /// done − intended of ok.
    ResponseOk,
    /// done − sent of ok and http_error.
    Service,
    /// ready − intended of sent.
    PoolLag,
    /// sent − ready of sent.
    ClientLag,
    /// Send completion seen − sent; of sent, where it was seen.
    SubmitLag,
    /// First byte − sent of ok and http_error.
    FirstByte,
    /// Opening a TCP connection; of those opened.
    Connect,
    /// The TLS handshake over it; of those that had one.
    Tls,
}

impl Latency {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 9] = [
        Self::Response,
        Self::ResponseOk,
        Self::Service,
        Self::PoolLag,
        Self::ClientLag,
        Self::SubmitLag,
        Self::FirstByte,
        Self::Connect,
        Self::Tls,
    ];

    /// The name in reports; a contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::ResponseOk => "response_ok",
            Self::Service => "service",
            Self::PoolLag => "pool_lag",
            Self::ClientLag => "client_lag",
            Self::SubmitLag => "submit_lag",
            Self::FirstByte => "first_byte",
            Self::Connect => "connect",
            Self::Tls => "tls",
        }
    }
}

/// One `T` for each latency.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PerLatency<T>([T; Latency::ALL.len()]);

impl<T> PerLatency<T> {
    /// Each with its latency, in the order of the report.
    pub fn iter(&self) -> impl Iterator<Item = (Latency, &T)> {
        Latency::ALL.into_iter().zip(&self.0)
    }

    /// What `derive` makes of each.
    pub fn map<U>(&self, derive: impl FnMut(&T) -> U) -> PerLatency<U> {
        PerLatency(self.0.each_ref().map(derive))
    }
}

impl<T> Index<Latency> for PerLatency<T> {
    type Output = T;

    fn index(&self, latency: Latency) -> &T {
        &self.0[latency as usize]
    }
}

impl<T> IndexMut<Latency> for PerLatency<T> {
    fn index_mut(&mut self, latency: Latency) -> &mut T {
        &mut self.0[latency as usize]
    }
}
