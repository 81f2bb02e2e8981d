//! The right to make one request: on which connection, how that came, and what becomes of it.

use std::rc::Rc;

use super::Connection;
use super::streams::Shared;
use crate::engine::work::Dial;
use crate::units::Nanos;

/// The right to make one request on a connection.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) way: Way,
    /// How it came, where it was not there already. In a box: it is rare, and leases are moved about for each request.
    pub(crate) arrival: Option<Box<Arrival>>,
}

/// How a connection came that had to be waited for.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Nanos,
    /// It was opened for this lease; otherwise another one had done with it.
    pub(crate) dial: Option<Dial>,
}

impl Lease {
    /// One that was there at `at`.
    pub(super) fn waited_for(way: Way, at: Nanos, dial: Option<Dial>) -> Self {
        Self { way, arrival: Some(Box::new(Arrival { at, dial })) }
    }

    /// How its connection was opened, where that was for this lease; `None` for one from the pool.
    pub(crate) fn dial(&self) -> Option<&Dial> {
        self.arrival.as_ref().and_then(|arrival| arrival.dial.as_ref())
    }

    /// The number of the form in which requests on it are addressed.
    pub(crate) fn form(&self) -> u32 {
        match &self.way {
            Way::Own(connection) => connection.form,
            Way::Shared(_) => 0,
        }
    }
}

/// What a request goes through.
#[derive(Debug)]
pub(crate) enum Way {
    /// A connection of HTTP/1.1, its own for the time of the request.
    Own(Box<Connection>),
    /// A stream of an HTTP/2 connection, a place in a pipeline.
    Shared(Rc<Shared>),
}

/// What becomes of a leased connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GiveBack {
    /// No request was made on it.
    Unused,
    /// Another request may follow, unless it was the connection's last.
    Keep,
    /// The answer was whole, and nothing follows it.
    Close,
    /// Something is outstanding that will never be awaited.
    Abandon,
}

/// What asking the pool came to.
#[derive(Debug)]
pub(crate) enum Leased {
    /// A connection.
    Ready(Lease),
    /// The pooled one turned out dead before anything was sent.
    Dead,
}
