//! One slot: a task with one request in flight at a time. Ticket → connection → exchange → record → give back.

use std::ops::Range;
use std::rc::Rc;

use self::limits::Limits;
use super::control::NEVER;
use super::core::Core;
use super::dialler::Refused;
use super::pool::{Carrier, GiveBack, Lease, Leased, Way};
use super::watch::{Expired, Watch};
use super::work::{Body, Moved, Next, Sink, Source, Ticket};
use crate::clock;
use crate::record::{Failure, Outcome, Stamps};
use crate::units::Nanos;
use crate::wire::decode::{Decoder, Event};

mod exchange;
mod limits;
mod pipeline;
pub(super) mod stream;

/// A slot's own state; allocated before the start. What a request needs lives here and not in the futures that work on
/// it: with a thousand connections, each cache line that a slot touches is a miss.
pub(crate) struct Slot<'a, W: Sink> {
    core: &'a Core<W>,
    watch: &'a Watch,
    id: usize,
    request: Rc<Vec<u8>>,
    /// The line whose request `request` holds, and in which form.
    rendered: Option<(u64, u32)>,
    ticket: Ticket,
    stamps: Stamps,
    moved: Moved,
    limits: Limits,
    answer: Answer,
    /// Of the answer whose head came last.
    body: Body<W::Intake>,
    /// What only requests over HTTP/2 need.
    message: Option<Rc<stream::Message>>,
}

/// Why an attempt did not bring an answer.
enum Broken {
    /// Some limit passed, or the drain ended.
    Expired,
    /// The connection was dead before a byte of an answer came.
    Dead {
        failure: Failure,
        anything_sent: bool,
    },
    /// The server did nothing about it, and says so; `gone`: it takes nothing more on this connection.
    Untouched {
        gone: bool,
    },
    Failed(Failure),
}

/// Which attempt at a ticket it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    /// The second, as the first one's connection had come to its end: on one that is opened from now on, for the others may
    /// be as old.
    Fresh,
    /// The second, as the server refused the first and nothing more.
    Again,
}

/// How far an answer has come.
#[derive(Clone, Copy, Default)]
struct Answer {
    /// 0 until its head has come.
    status: u16,
    keep_alive: bool,
    complete: bool,
    /// It is whole, and not what was expected.
    unexpected: bool,
    /// When its last byte so far was seen; the request's sending before any.
    last_byte: Nanos,
}

/// What a run of the decoder over received bytes came to.
enum Fed {
    /// All bytes are taken in, or all of the answer.
    All,
    /// A piece of the body that is wanted, by position; the rest is to be fed again.
    Piece(Range<usize>),
}

impl<'a, W: Source + Sink> Slot<'a, W> {
    pub(crate) fn new(core: &'a Core<W>, id: usize) -> Self {
        let nothing = Ticket {
            line: 0,
            origin: 0,
            head_request: false,
            idempotent: false,
            intended: Nanos::ZERO,
            warmup: false,
            large_body: false,
        };
        Self {
            core,
            watch: &core.watches[id],
            id,
            request: Rc::default(),
            rendered: None,
            ticket: nothing,
            stamps: Stamps::default(),
            moved: Moved::default(),
            limits: Limits { deadline: NEVER, request: NEVER, read: None },
            answer: Answer::default(),
            body: Body::Discard,
            message: None,
        }
    }

    /// Makes requests until the source ends.
    pub(crate) async fn run(&mut self) {
        let mut now = clock::now();
        loop {
            match self.core.work.next(now) {
                Next::Ticket(ticket) => {
                    self.core.take();
                    self.begin(ticket, now);
                    self.serve().await;
                    now = self.stamps.done;
                    self.core.finish(now);
                }
                Next::WaitUntil(_) => {
                    self.core.idle.wait(self.id).await;
                    now = clock::now();
                }
                Next::End => return,
            }
        }
    }

    fn begin(&mut self, ticket: Ticket, now: Nanos) {
        let timeouts = &self.core.plan.timeouts;
        let ready = ticket.intended.max(self.core.free_at());
        let stalled = Nanos(ready.0 - ticket.intended.0).min(self.core.owed());
        self.ticket = ticket;
        self.stamps = Stamps { intended: ticket.intended, ready, stalled, done: now, ..Stamps::default() };
        self.moved = Moved::default();
        let deadline = timeouts.deadline.map_or(NEVER, |deadline| Nanos(ticket.intended.0 + deadline.0));
        self.limits = Limits { deadline, request: NEVER, read: timeouts.read };
    }

    /// Makes one request, twice where the first attempt came to nothing that the server could have noticed.
    async fn serve(&mut self) {
        let mut concluded = self.attempt(Attempt::First).await;
        if let Err(attempt) = concluded {
            self.core.work.redialled(&self.ticket);
            concluded = self.attempt(attempt).await;
        }
        let Ok(outcome) = concluded else { unreachable!("the second attempt is the last") };
        self.core.work.done(&self.ticket, outcome, &self.stamps, self.moved);
    }

    /// One try at the ticket.
    ///
    /// # Errors
    /// Of the first: the other one, which may follow.
    async fn attempt(&mut self, attempt: Attempt) -> Result<Outcome, Attempt> {
        if self.stamps.done >= self.limits.deadline {
            return Ok(Outcome::Failed(Failure::Deadline));
        }
        let (pool, origin) = (&self.core.pool, self.ticket.origin);
        let idle = if attempt == Attempt::Fresh { None } else { pool.idle(origin, self.stamps.done) };
        let leased = match idle {
            Some(Ok(Leased::Dead)) if attempt == Attempt::First => return Err(Attempt::Fresh),
            None | Some(Ok(Leased::Dead)) => {
                // In a box: it is rare, and as large as all the rest of the slot's future.
                let fresh = attempt == Attempt::Fresh;
                Box::pin(pool.dial(origin, fresh, self.watch, self.limits.deadline)).await
            }
            Some(Ok(Leased::Ready(lease))) => Ok(lease),
            Some(Err(refused)) => Err(refused),
        };
        let mut lease = match leased {
            Ok(lease) => lease,
            Err(refused) => return Ok(self.refused(&refused)),
        };
        self.start(&lease);
        let result = match &mut lease.way {
            Way::Own(connection) => self.exchange(connection).await,
            Way::Shared(shared) => match &shared.carrier {
                Carrier::Session(session) => self.converse(session).await,
                Carrier::Pipe(pipe) => Box::pin(self.queue_up(pipe)).await,
            },
        };
        self.conclude(lease, result, attempt == Attempt::First)
    }

    fn refused(&mut self, refused: &Refused) -> Outcome {
        self.stamps.done = clock::now();
        match refused {
            Refused::Failed(failure, reason) => {
                self.core.work.explain(*failure, reason);
                Outcome::Failed(*failure)
            }
            Refused::Expired => self.limits.passed_at(self.stamps.done, self.stamps.done),
        }
    }

    /// Everything is there: the clock of the request itself starts.
    fn start(&mut self, lease: &Lease) {
        if let Some(arrival) = &lease.arrival {
            self.stamps.ready = self.stamps.ready.max(arrival.at);
            if let Some(dial) = &arrival.dial {
                self.core.work.connected(dial);
            }
        }
        let form = lease.form();
        if self.rendered != Some((self.ticket.line, form)) {
            self.core.work.render(&self.ticket, form, &mut self.request);
            self.rendered = Some((self.ticket.line, form));
        }
        let sent = clock::now();
        if self.stamps.sent.is_none() {
            self.core.work.sent(&self.ticket, sent);
        }
        (self.stamps.sent, self.stamps.submitted, self.stamps.first_byte) = (Some(sent), None, None);
        self.limits.request = Nanos(sent.0 + self.core.plan.timeouts.request.0);
        self.answer = Answer { last_byte: sent, ..Answer::default() };
    }

    /// Gives the connection back or closes it, and says what became of the ticket; `first`: another attempt may follow.
    fn conclude(&mut self, lease: Lease, result: Result<(), Broken>, first: bool) -> Result<Outcome, Attempt> {
        let pooled = lease.dial().is_none();
        if result.is_ok() && self.answer.status == 407 && lease.form() > 0 {
            return Ok(self.turned_away(lease));
        }
        let how = match (&lease.way, &result) {
            // A stream that failed says nothing about the others; a shared connection that is of no use says so itself.
            (Way::Shared(_), _) => GiveBack::Keep,
            (Way::Own(_), Ok(())) if self.answer.keep_alive => GiveBack::Keep,
            (Way::Own(_), Ok(())) => GiveBack::Close,
            (Way::Own(_), Err(_)) => GiveBack::Abandon,
        };
        if result.is_ok() {
            self.stamps.done = self.answer.last_byte;
        } else {
            self.stamps.done = clock::now();
            if let Body::Stream(intake) = std::mem::take(&mut self.body) {
                self.core.work.broken_off(&self.ticket, intake);
            }
        }
        self.core.pool.give_back(lease, how, self.stamps.done);
        let retry = |anything_sent: bool| first && pooled && (!anything_sent || self.ticket.idempotent);
        Ok(match result {
            // Time limits are swept once a millisecond: an answer may be whole and too late.
            Ok(()) => match self.limits.broken_at(self.stamps.done) {
                Some(failure) => Outcome::Failed(failure),
                None if self.answer.unexpected => Outcome::Failed(Failure::Check),
                None => Outcome::Answered(self.answer.status),
            },
            Err(Broken::Expired) => self.limits.passed_at(self.stamps.done, self.answer.last_byte),
            Err(Broken::Dead { anything_sent, .. }) if retry(anything_sent) => return Err(Attempt::Fresh),
            Err(Broken::Untouched { gone }) if first => return Err(if gone { Attempt::Fresh } else { Attempt::Again }),
            Err(Broken::Untouched { .. }) => Outcome::Failed(Failure::StreamReset),
            Err(Broken::Dead { failure, .. } | Broken::Failed(failure)) => Outcome::Failed(failure),
        })
    }

    /// The proxy that was to forward the request wants to know who we are.
    #[cold]
    fn turned_away(&mut self, lease: Lease) -> Outcome {
        self.stamps.done = clock::now();
        let reason = self.core.pool.turned_away(lease, self.stamps.done);
        self.core.work.explain(Failure::Proxy, &reason);
        Outcome::Failed(Failure::Proxy)
    }

    /// Runs the decoder over received bytes from `position` on, to the end of the answer at most, handing over what is wanted
    /// of the body; `last`: what comes behind that end belongs to nothing.
    async fn feed(
        &mut self,
        decoder: &mut Decoder,
        bytes: &[u8],
        position: &mut usize,
        last: bool,
    ) -> Result<(), Broken> {
        while let Fed::Piece(piece) = self.decode(decoder, bytes, position)? {
            self.hand_over(&bytes[piece]).await?;
        }
        if last { nothing_behind(*position, bytes.len()) } else { Ok(()) }
    }

    /// Gives a piece of the body to whoever wants it.
    async fn hand_over(&mut self, piece: &[u8]) -> Result<(), Broken> {
        match &mut self.body {
            Body::Stream(intake) => self.core.work.body(&self.ticket, intake, piece).await.map_err(Broken::Failed),
            Body::Discard => Ok(()),
        }
    }

    /// The answer is whole; so is a body that was handed over.
    fn end_body(&mut self) -> Result<(), Broken> {
        if matches!(self.body, Body::Discard) {
            return Ok(());
        }
        match std::mem::take(&mut self.body) {
            Body::Stream(intake) => match self.core.work.end(&self.ticket, intake) {
                // The connection is none the worse for it.
                Err(Failure::Check) => {
                    self.answer.unexpected = true;
                    Ok(())
                }
                ended => ended.map_err(Broken::Failed),
            },
            Body::Discard => Ok(()),
        }
    }

    /// Goes on from `position`, to the end of the answer at most.
    // For a small answer the call is a seventh of the decoding.
    #[inline(always)]
    fn decode(&mut self, decoder: &mut Decoder, bytes: &[u8], position: &mut usize) -> Result<Fed, Broken> {
        loop {
            let decoded = decoder.next(&bytes[*position..]);
            let (count, event) = decoded.map_err(|error| {
                self.core.work.explain(Failure::Protocol, &error);
                Broken::Failed(Failure::Protocol)
            })?;
            *position += count;
            match event {
                Event::NeedMore => return Ok(Fed::All),
                Event::Interim(_) => {}
                Event::Head(head) => {
                    self.answer.status = head.status;
                    self.answer.keep_alive = head.keep_alive;
                    if self.core.work.reads_heads() {
                        self.body = self.core.work.head(&self.ticket, &head).map_err(Broken::Failed)?;
                    }
                }
                Event::Body(piece) if matches!(self.body, Body::Stream(_)) => {
                    return Ok(Fed::Piece(*position - piece.len()..*position));
                }
                Event::Body(_) => {}
                Event::End => {
                    self.answer.complete = true;
                    return Ok(Fed::All);
                }
            }
        }
    }

    fn limit(&self) -> Nanos {
        self.limits.at(self.answer.last_byte)
    }
}

/// On a connection of its own, what comes behind the end of an answer belongs to nothing.
fn nothing_behind(position: usize, received: usize) -> Result<(), Broken> {
    if position < received { Err(Broken::Failed(Failure::Protocol)) } else { Ok(()) }
}

impl From<Expired> for Broken {
    fn from(Expired: Expired) -> Self {
        Self::Expired
    }
}
