//! One slot: a task with one request in flight at a time. Ticket → connection → exchange → record → give back.

use std::io;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;

use bytes::Buf as _;
use monoio::buf::IoBuf as _;

use self::limits::Limits;
use super::control::NEVER;
use super::core::Core;
use super::dialler::Refused;
use super::pool::{Carrier, Connection, GiveBack, Lease, Leased, Way};
use super::watch::{Expired, Watch};
use super::work::{Body, Moved, Next, Sink, Source, Ticket};
use crate::clock;
use crate::net::stream::Now;
use crate::net::tls;
use crate::record::{Failure, Outcome, Stamps};
use crate::units::Nanos;
use crate::wire::decode::{Decoder, Event};

mod limits;
mod pipeline;
mod stream;

/// From this much on, the rest of a body is thrown away inside the kernel instead of being copied out.
const DISCARD_FROM: u64 = 16 * 1024;
/// Receives without going through the ring, before other slots get their turn.
const RECEIVES_IN_A_ROW: u32 = 8;

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
    message: Option<Box<stream::Message>>,
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
        self.ticket = ticket;
        self.stamps = Stamps { intended: ticket.intended, ready, done: now, ..Stamps::default() };
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
                Carrier::Session(session) => Box::pin(self.converse(session)).await,
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
        if let Some(dial) = lease.dialled {
            self.stamps.ready = self.stamps.ready.max(dial.opened);
            self.core.work.connected(&dial);
        }
        if let Some(since) = lease.since {
            self.stamps.ready = self.stamps.ready.max(since);
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
        let pooled = lease.dialled.is_none();
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
            self.body = Body::Discard;
        }
        self.core.pool.give_back(lease, how, self.stamps.done);
        let retry = |anything_sent: bool| first && pooled && (!anything_sent || self.ticket.idempotent);
        Ok(match result {
            // Time limits are swept once a millisecond: an answer may be whole and too late.
            Ok(()) => {
                self.limits.broken_at(self.stamps.done).map_or(Outcome::Answered(self.answer.status), Outcome::Failed)
            }
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

    async fn exchange(&mut self, connection: &mut Connection) -> Result<(), Broken> {
        let write = connection.stream.write(Rc::clone(&self.request));
        let (result, _) = self.watch.until(self.limit(), pin!(write)).await?;
        let count = result.map_err(|error| write_failed(&error, false))?;
        self.stamps.submitted = Some(clock::now());
        self.moved.sent += count as u64;
        let mut cut_short = false;
        if count < self.request.len() || self.ticket.large_body {
            let sent = self.send_rest(connection, count).await;
            // A server may answer and close before it has taken in the whole body (RFC 9112 section 9.6).
            cut_short = sent.is_err() && matches!(connection.stream.peek(), Ok(Now::Bytes(_)));
            if !cut_short {
                sent?;
            }
        }
        connection.decoder.start(self.ticket.head_request);
        while self.answer.status == 0 {
            let buffer = std::mem::take(&mut connection.buffer);
            let read = connection.stream.read(buffer);
            let (result, buffer) = self.watch.until(self.limit(), pin!(read)).await?;
            self.answer.last_byte = clock::now();
            let count = result.map_err(|error| self.read_failed(connection, &error))?;
            if count == 0 {
                return Err(dead(connection, Failure::ClosedEarly));
            }
            self.stamps.first_byte.get_or_insert(self.answer.last_byte);
            self.moved.received += count as u64;
            self.feed(connection, &buffer[..count]).await?;
            connection.buffer = buffer;
        }
        if !self.answer.complete && connection.stream.is_encrypted() {
            self.read_body(connection).await?;
        } else if !self.answer.complete {
            self.receive_body(connection).await?;
        }
        self.answer.keep_alive &= !cut_short;
        self.end_body()
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
            Body::Stream(intake) => self.core.work.end(&self.ticket, intake).map_err(Broken::Failed),
            Body::Discard => Ok(()),
        }
    }

    /// Sends what the first write left over, and a body that is too large to go out with the head.
    async fn send_rest(&mut self, connection: &mut Connection, mut written: usize) -> Result<(), Broken> {
        while written < self.request.len() {
            let write = connection.stream.write(Rc::clone(&self.request).slice(written..));
            let (result, _) = self.watch.until(self.limit(), pin!(write)).await?;
            let count = result.map_err(|error| write_failed(&error, true))?;
            written += count;
            self.moved.sent += count as u64;
        }
        if !self.ticket.large_body {
            return Ok(());
        }
        let mut rest = self.core.work.large_body(&self.ticket);
        while !rest.is_empty() {
            let write = connection.stream.write(rest.clone());
            let (result, _) = self.watch.until(self.limit(), pin!(write)).await?;
            let count = result.map_err(|error| write_failed(&error, true))?;
            rest.advance(count);
            self.moved.sent += count as u64;
        }
        Ok(())
    }

    /// Takes in the rest of a body piece by piece, as TLS gives it.
    async fn read_body(&mut self, connection: &mut Connection) -> Result<(), Broken> {
        while !self.answer.complete {
            let buffer = std::mem::take(&mut connection.buffer);
            let read = connection.stream.read(buffer);
            let (result, buffer) = self.watch.until(self.limit(), pin!(read)).await?;
            self.answer.last_byte = clock::now();
            let count = result.map_err(|error| self.read_failed(connection, &error))?;
            if count == 0 {
                connection.decoder.finish().map_err(|_| Broken::Failed(Failure::ClosedEarly))?;
                (self.answer.complete, self.answer.keep_alive) = (true, false);
            }
            self.moved.received += count as u64;
            self.feed(connection, &buffer[..count]).await?;
            connection.buffer = buffer;
        }
        Ok(())
    }

    /// Takes in the rest of a body: what is there at once and in large pieces, otherwise as the ring says it comes.
    async fn receive_body(&mut self, connection: &mut Connection) -> Result<(), Broken> {
        let mut in_a_row = 0;
        // A peer that sends without end and without pause never lets a wait expire: something is always there.
        let mut late = false;
        while !self.answer.complete {
            match self.receive_now(connection).await? {
                Now::Bytes(count) => {
                    self.moved.received += count as u64;
                    self.answer.last_byte = clock::now();
                    in_a_row += 1;
                    if self.answer.complete || in_a_row < RECEIVES_IN_A_ROW {
                        continue;
                    }
                }
                Now::Closed => {
                    connection.decoder.finish().map_err(|_| Broken::Failed(Failure::ClosedEarly))?;
                    self.answer.last_byte = clock::now();
                    (self.answer.complete, self.answer.keep_alive) = (true, false);
                    return Ok(());
                }
                Now::Nothing => {}
            }
            if late {
                return Err(Broken::Expired);
            }
            in_a_row = 0;
            let readable = self.watch.until(self.limit(), pin!(connection.stream.readable())).await?;
            readable.map_err(|_| Broken::Failed(Failure::Reset))?;
            late = self.watch.passed();
        }
        Ok(())
    }

    /// Discards in the kernel what may be discarded, receives and feeds what may not.
    async fn receive_now(&mut self, connection: &mut Connection) -> Result<Now, Broken> {
        let reset = |_: io::Error| Broken::Failed(Failure::Reset);
        let discardable = connection.decoder.discardable();
        if matches!(self.body, Body::Discard) && discardable >= DISCARD_FROM {
            let mut scratch = self.core.scratch.borrow_mut();
            let found = connection.stream.discard_now(discardable, &mut scratch).map_err(reset)?;
            if let Now::Bytes(count) = found {
                self.answer.complete = connection.decoder.discard(count as u64);
            }
            return Ok(found);
        }
        let mut buffer = self.core.body_buffer();
        let found = connection.stream.receive_now(&mut buffer);
        let mut fed = Ok(());
        if let Ok(Now::Bytes(count)) = found {
            fed = self.feed(connection, &buffer[..count]).await;
        }
        self.core.body_buffer.replace(buffer);
        fed?;
        found.map_err(reset)
    }

    /// Runs the decoder over received bytes, handing over what is wanted of the body.
    async fn feed(&mut self, connection: &mut Connection, bytes: &[u8]) -> Result<(), Broken> {
        let mut position = 0;
        while let Fed::Piece(piece) = self.decode(&mut connection.decoder, bytes, &mut position)? {
            self.hand_over(&bytes[piece]).await?;
        }
        // Bytes beyond the end of the answer belong to nothing.
        if position < bytes.len() { Err(Broken::Failed(Failure::Protocol)) } else { Ok(()) }
    }

    /// Goes on from `position`, to the end of the answer at most.
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
                    self.body = self.core.work.head(&self.ticket, &head).map_err(Broken::Failed)?;
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

    /// A read that failed: under TLS the peer may have broken its rules, refused us, or gone without a farewell.
    fn read_failed(&self, connection: &mut Connection, error: &io::Error) -> Broken {
        match error.kind() {
            io::ErrorKind::InvalidData => {
                self.core.work.explain(Failure::Tls, &tls::io_reason(error));
                Broken::Failed(Failure::Tls)
            }
            io::ErrorKind::UnexpectedEof => dead(connection, Failure::ClosedEarly),
            _ => dead(connection, Failure::Reset),
        }
    }

    fn limit(&self) -> Nanos {
        self.limits.at(self.answer.last_byte)
    }
}

impl From<Expired> for Broken {
    fn from(Expired: Expired) -> Self {
        Self::Expired
    }
}

/// The peer closed or reset where an answer was due.
fn dead(connection: &mut Connection, failure: Failure) -> Broken {
    if connection.decoder.started() { Broken::Failed(failure) } else { Broken::Dead { failure, anything_sent: true } }
}

fn write_failed(error: &io::Error, anything_sent: bool) -> Broken {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            Broken::Dead { failure: Failure::Write, anything_sent }
        }
        _ => Broken::Failed(Failure::Write),
    }
}
