//! Bodies that broke off, until their lines are asked for again: kept within bounds, and gone on with where the answer to
//! that is their rest.
//!
//! Owns the room for them. What is asked for, and what fits, is [`super::range`]'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::answer::{Answer, Intake, Spoilt};
use super::job::Error;
use super::line::Kind;
use super::range::{BEGINNING_BYTES_MIN, Misfit, Representation};
use super::retry::Decision;
use super::verdict::Verdict;
use super::work::{Retrieval, State};
use crate::clock;
use crate::engine::work::{Sink as _, Ticket};
use crate::record::Failure;
use crate::wire::decode::Head;

/// So many are kept by a core, and so many bytes of them in memory.
const BODIES_MAX: u64 = 64;
const MEMORY_BYTES_MAX: u64 = 64 << 20;

/// The status of a part (RFC 9110 section 15.3.7), and of none that there is (section 15.5.17).
const PARTIAL_CONTENT: u16 = 206;
pub(super) const RANGE_NOT_SATISFIABLE: u16 = 416;

/// What has come of a body that broke off.
#[derive(Debug)]
pub(crate) struct Begun {
    intake: Box<Intake>,
    representation: Representation,
    /// Of the answer that it began with.
    content_type: Option<Box<[u8]>>,
    _place: Place,
}

impl Begun {
    /// Where it broke off: so many bytes have come, as they are sent.
    pub(super) fn position(&self) -> u64 {
        self.intake.received()
    }

    /// The header lines that ask for the rest.
    pub(super) fn lines(&self) -> Vec<u8> {
        self.representation.lines(self.position())
    }
}

/// What one core keeps of bodies that broke off.
#[derive(Debug, Default)]
pub(super) struct Room(Arc<Taken>);

/// Counted by one thread alone; the lines that hold it go through types that may be sent.
#[derive(Debug, Default)]
struct Taken {
    bodies: AtomicU64,
    memory: AtomicU64,
}

/// One body's part of the room, given back when dropped.
#[derive(Debug)]
struct Place {
    taken: Arc<Taken>,
    memory: u64,
}

impl Room {
    /// Keeps what has come of a body, where one can go on with it, it is worth it, and there is room.
    pub(super) fn keep(&self, mut intake: Box<Intake>, content_type: Option<Box<[u8]>>) -> Option<Box<Begun>> {
        let representation = intake.break_off().filter(|_| intake.received() >= BEGINNING_BYTES_MIN)?;
        let place = self.take(intake.memory())?;
        Some(Box::new(Begun { intake, representation, content_type, _place: place }))
    }

    fn take(&self, memory: u64) -> Option<Place> {
        let Taken { bodies, memory: taken } = &*self.0;
        let is_full = bodies.load(Ordering::Relaxed) == BODIES_MAX
            || taken.load(Ordering::Relaxed).saturating_add(memory) > MEMORY_BYTES_MAX;
        if is_full {
            return None;
        }
        bodies.fetch_add(1, Ordering::Relaxed);
        taken.fetch_add(memory, Ordering::Relaxed);
        Some(Place { taken: Arc::clone(&self.0), memory })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.bodies.fetch_sub(1, Ordering::Relaxed);
        self.taken.memory.fetch_sub(self.memory, Ordering::Relaxed);
    }
}

impl Retrieval {
    /// Goes on with the body that the ticket's request asked for the rest of. None where it asked for no rest, or the answer
    /// is one like others: the whole, or a status.
    ///
    /// # Errors
    /// It is a part and not the rest. The line is asked for again from the beginning, where it may be.
    pub(super) fn go_on(&self, ticket: &Ticket, head: &Head<'_>) -> Option<Result<Box<Intake>, Spoilt>> {
        let State { flights, retries, fetched, .. } = &mut *self.state.borrow_mut();
        let flight = flights.at(ticket.line);
        flight.broken = None;
        let from = flight.asks_from?;
        let answered = |status| head.status == status;
        let begun = flight.job.begun.take_if(|_| answered(PARTIAL_CONTENT) || answered(RANGE_NOT_SATISFIABLE));
        if !answered(PARTIAL_CONTENT) {
            return None;
        }
        let begun = begun.filter(|begun| begun.position() == from);
        let fit = |mut begun: Box<Begun>| begun.representation.fit(from, head).map(|rest| (*begun, rest));
        match begun.ok_or(Misfit::Place).and_then(fit) {
            Ok((Begun { mut intake, representation, content_type, .. }, rest)) => {
                intake.go_on(representation, rest);
                fetched.continued += 1;
                // The line has the answer that its body began with.
                flight.answer = Some(Answer { status: 200, content_type, ..Answer::default() });
                flight.verdict = Verdict::Final;
                Some(Ok(intake))
            }
            Err(misfit) => {
                let (tried, idempotent) = (flight.job.tried.here, flight.template.idempotent);
                flight.answer = None;
                flight.verdict = match retries.once_more(self.elapsed(clock::now()), tried, idempotent) {
                    Decision::Retry(wait) => Verdict::Again(wait),
                    Decision::GiveUp(_) => Verdict::Final,
                };
                Some(Err(Spoilt::Answer(Error::new(Kind::Failure(Failure::Protocol), misfit.to_string()))))
            }
        }
    }

    /// The rest of a body has ended before the body has: what has come is there for the next attempt.
    pub(super) fn falls_short(&self, ticket: &Ticket, intake: Box<Intake>) -> Failure {
        self.explain(Failure::ClosedEarly, &"the server sent a part of what it was asked for");
        self.broken_off(ticket, intake);
        Failure::ClosedEarly
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_makes_room_when_it_goes() {
        let room = Room::default();
        let mut places: Vec<_> = (0..BODIES_MAX).map(|_| room.take(1).expect("room")).collect();
        assert!(room.take(0).is_none());
        places.pop();
        assert!(room.take(MEMORY_BYTES_MAX - BODIES_MAX + 2).is_none(), "too much memory");
        places.push(room.take(MEMORY_BYTES_MAX - BODIES_MAX + 1).expect("room"));
        places.pop();
        assert!(room.take(u64::MAX).is_none());
        assert!(room.take(1).is_some());
        drop(places);
        assert!(room.take(MEMORY_BYTES_MAX).is_some());
    }
}
