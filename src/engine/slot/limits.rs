//! The instants by which a request must have come to something, and what it means that one has passed.

use crate::engine::control::NEVER;
use crate::record::{Failure, Outcome};
use crate::units::Nanos;

/// When a request must have come to something.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) deadline: Nanos,
    pub(super) request: Nanos,
    pub(super) read: Option<Nanos>,
}

impl Limits {
    /// The next limit that applies after a byte at `last_byte`.
    pub(super) fn at(&self, last_byte: Nanos) -> Nanos {
        let read = self.read.map_or(NEVER, |read| Nanos(last_byte.0 + read.0));
        self.deadline.min(self.request).min(read)
    }

    /// Which limit on the whole answer had passed at `now`.
    pub(super) fn broken_at(&self, now: Nanos) -> Option<Failure> {
        match now {
            _ if now >= self.deadline => Some(Failure::Deadline),
            _ if now >= self.request => Some(Failure::Timeout),
            _ => None,
        }
    }

    /// What it means that waiting was given up at `now`: the limit that had passed, or else the end of the drain.
    pub(super) fn passed_at(&self, now: Nanos, last_byte: Nanos) -> Outcome {
        match self.broken_at(now) {
            Some(failure) => Outcome::Failed(failure),
            None if now >= self.at(last_byte) => Outcome::Failed(Failure::ReadTimeout),
            None => Outcome::InFlightAtEnd,
        }
    }
}
