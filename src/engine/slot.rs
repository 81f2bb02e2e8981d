//! One slot: a task with one request in flight at a time. Ticket → connection → exchange → record → give back.

use std::io;

use bytes::Buf as _;
use monoio::buf::IoBuf as _;

use super::control::NEVER;
use super::pool::{Connection, GiveBack, Lease, Leased, Refused};
use super::watch::{Expired, Watch};
use super::work::{Body, Moved, Next, Sink, Source, Ticket};
use super::worker::Core;
use crate::clock;
use crate::net::stream::Now;
use crate::record::{Failure, Outcome, Stamps};
use crate::units::Nanos;
use crate::wire::decode::{DecodeError, Event};

/// From this much on, the rest of a body is thrown away inside the kernel instead of being copied out.
const DISCARD_FROM: u64 = 16 * 1024;
/// Receives without going through the ring, before other slots get their turn.
const RECEIVES_IN_A_ROW: u32 = 8;

/// A slot's own state; allocated before the start.
pub(crate) struct Slot<'a, W> {
    core: &'a Core<W>,
    watch: &'a Watch,
    id: usize,
    request: Vec<u8>,
    /// The line whose request `request` holds.
    rendered: Option<u64>,
}

/// When a request must have come to something.
#[derive(Clone, Copy)]
struct Limits {
    deadline: Nanos,
    request: Nanos,
    read: Option<Nanos>,
}

/// Why an attempt did not bring an answer.
enum Broken {
    /// Some limit passed, or the drain ended.
    Expired {
        last_byte: Nanos,
    },
    /// The connection was dead before a byte of an answer came.
    Dead {
        failure: Failure,
        anything_sent: bool,
    },
    Failed(Failure),
}

/// A whole answer.
struct Answer {
    status: u16,
    reusable: bool,
}

/// How far an answer has come.
#[derive(Default)]
struct Progress {
    status: Option<u16>,
    keep_alive: bool,
    stream: bool,
    complete: bool,
}

impl<'a, W: Source + Sink> Slot<'a, W> {
    pub(crate) fn new(core: &'a Core<W>, id: usize) -> Self {
        Self { core, watch: &core.watches[id], id, request: Vec::new(), rendered: None }
    }

    /// Makes requests until the source ends.
    pub(crate) async fn run(mut self) {
        let mut now = clock::now();
        loop {
            match self.core.work.next(now) {
                Next::Ticket(ticket) => {
                    self.core.take();
                    now = self.serve(&ticket, now).await;
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

    /// Makes one request, twice where the pooled connection was dead; returns when it was done.
    async fn serve(&mut self, ticket: &Ticket, now: Nanos) -> Nanos {
        let ready = ticket.intended.max(self.core.free_at());
        let mut stamps =
            Stamps { intended: ticket.intended, ready, sent: None, submitted: None, first_byte: None, done: now };
        let mut moved = Moved::default();
        let mut outcome = self.attempt(ticket, false, &mut stamps, &mut moved).await;
        if outcome.is_none() {
            self.core.work.redialled(ticket);
            outcome = self.attempt(ticket, true, &mut stamps, &mut moved).await;
        }
        let outcome = outcome.expect("a fresh connection is never redialled");
        self.core.work.done(ticket, outcome, &stamps, moved);
        stamps.done
    }

    /// One try; `None` where the connection came from the pool, was dead, and the ticket may be tried again.
    async fn attempt(
        &mut self,
        ticket: &Ticket,
        fresh: bool,
        stamps: &mut Stamps,
        moved: &mut Moved,
    ) -> Option<Outcome> {
        let timeouts = &self.core.plan.timeouts;
        let deadline = timeouts.deadline.map_or(NEVER, |deadline| Nanos(ticket.intended.0 + deadline.0));
        let mut limits = Limits { deadline, request: NEVER, read: None };
        if stamps.done >= deadline {
            return Some(Outcome::Failed(Failure::Deadline));
        }
        let mut lease = match self.lease(ticket, fresh, deadline, stamps.done).await {
            Ok(Leased::Ready(lease)) => lease,
            Ok(Leased::Dead) => return None,
            Err(refused) => {
                stamps.done = clock::now();
                return Some(match refused {
                    Refused::Failed(failure, _) => Outcome::Failed(failure),
                    Refused::Expired => limits.passed_at(stamps.done, stamps.done),
                });
            }
        };
        stamps.ready = stamps.ready.max(lease.dialled.map_or(Nanos::ZERO, |dial| dial.opened));
        self.render(ticket);
        let sent = clock::now();
        if stamps.sent.is_none() {
            self.core.work.sent(ticket, sent);
        }
        (stamps.sent, stamps.submitted, stamps.first_byte) = (Some(sent), None, None);
        limits.request = Nanos(sent.0 + timeouts.request.0);
        limits.read = timeouts.read;
        let result = self.exchange(ticket, &mut lease.connection, &limits, stamps, moved).await;
        self.conclude(ticket, lease, &limits, stamps, result)
    }

    async fn lease(&self, ticket: &Ticket, fresh: bool, limit: Nanos, now: Nanos) -> Result<Leased, Refused> {
        let leased = if fresh {
            self.core.pool.dial(ticket.origin, self.watch, limit).await.map(Leased::Ready)
        } else {
            self.core.pool.lease(ticket.origin, self.watch, limit, now).await
        };
        if let Ok(Leased::Ready(Lease { dialled: Some(dial), .. })) = &leased {
            self.core.work.connected(dial.took);
        }
        leased
    }

    /// Gives the connection back or closes it, and says what became of the ticket.
    fn conclude(
        &self,
        ticket: &Ticket,
        lease: Lease,
        limits: &Limits,
        stamps: &mut Stamps,
        result: Result<Answer, Broken>,
    ) -> Option<Outcome> {
        let pooled = lease.dialled.is_none();
        let how = match &result {
            Ok(answer) if answer.reusable && self.core.plan.keep_alive => GiveBack::Keep,
            _ => GiveBack::Close,
        };
        if result.is_err() {
            stamps.done = clock::now();
        }
        self.core.pool.give_back(lease, how, stamps.done);
        Some(match result {
            // Time limits are swept once a millisecond: an answer may be whole and too late.
            Ok(answer) => limits.broken_at(stamps.done).map_or(Outcome::Answered(answer.status), Outcome::Failed),
            Err(Broken::Expired { last_byte }) => limits.passed_at(stamps.done, last_byte),
            Err(Broken::Dead { anything_sent, .. }) if pooled && (!anything_sent || ticket.idempotent) => return None,
            Err(Broken::Dead { failure, .. } | Broken::Failed(failure)) => Outcome::Failed(failure),
        })
    }

    fn render(&mut self, ticket: &Ticket) {
        if self.rendered != Some(ticket.line) {
            self.core.work.render(ticket, &mut self.request);
            self.rendered = Some(ticket.line);
        }
    }

    async fn exchange(
        &mut self,
        ticket: &Ticket,
        connection: &mut Connection,
        limits: &Limits,
        stamps: &mut Stamps,
        moved: &mut Moved,
    ) -> Result<Answer, Broken> {
        self.send(connection, limits, stamps, moved).await?;
        connection.decoder.start(ticket.head_request);
        let mut progress = Progress::default();
        let mut last_byte = stamps.sent.unwrap_or_default();
        while !progress.complete {
            if progress.status.is_some() {
                last_byte = self.receive_body(ticket, connection, limits, &mut progress, moved, last_byte).await?;
                break;
            }
            let buffer = std::mem::take(&mut connection.buffer);
            let read = self.watch.until(limits.at(last_byte), connection.stream.read(buffer)).await;
            let (result, buffer) = read.map_err(|Expired| Broken::Expired { last_byte })?;
            last_byte = clock::now();
            let count = result.map_err(|_| dead(connection, Failure::Reset))?;
            if count == 0 {
                return Err(dead(connection, Failure::ClosedEarly));
            }
            stamps.first_byte.get_or_insert(last_byte);
            moved.received += count as u64;
            self.feed(ticket, connection, &buffer[..count], &mut progress).await?;
            connection.buffer = buffer;
        }
        stamps.done = last_byte;
        let status = progress.status.expect("a complete answer has a status");
        Ok(Answer { status, reusable: progress.keep_alive })
    }

    /// Writes the request; the completion of its first write is when the ring had taken it.
    async fn send(
        &mut self,
        connection: &mut Connection,
        limits: &Limits,
        stamps: &mut Stamps,
        moved: &mut Moved,
    ) -> Result<(), Broken> {
        let started = stamps.sent.unwrap_or_default();
        let sent_before = moved.sent;
        let mut request = std::mem::take(&mut self.request);
        let rendered = self.rendered.take();
        let mut written = 0;
        while written < request.len() {
            let write = connection.stream.write(request.slice(written..));
            let (result, slice) = self
                .watch
                .until(limits.at(started), write)
                .await
                .map_err(|Expired| Broken::Expired { last_byte: started })?;
            request = slice.into_inner();
            let count = result.map_err(|error| write_failed(&error, written > 0))?;
            stamps.submitted.get_or_insert_with(clock::now);
            written += count;
            moved.sent = sent_before + written as u64;
        }
        (self.request, self.rendered) = (request, rendered);
        let Some(body) = self.core.work.large_body() else { return Ok(()) };
        let mut rest = body;
        while !rest.is_empty() {
            let write = connection.stream.write(rest.clone());
            let (result, _) = self
                .watch
                .until(limits.at(started), write)
                .await
                .map_err(|Expired| Broken::Expired { last_byte: started })?;
            let count = result.map_err(|error| write_failed(&error, true))?;
            moved.sent += count as u64;
            rest.advance(count);
        }
        Ok(())
    }

    /// Takes in the rest of a body: what is there at once and in large pieces, otherwise as the ring says it comes.
    async fn receive_body(
        &self,
        ticket: &Ticket,
        connection: &mut Connection,
        limits: &Limits,
        progress: &mut Progress,
        moved: &mut Moved,
        mut last_byte: Nanos,
    ) -> Result<Nanos, Broken> {
        let mut in_a_row = 0;
        // A peer that sends without end and without pause never lets a wait expire: something is always there.
        let mut late = false;
        while !progress.complete {
            let (found, piece) = self.receive_now(connection, progress);
            match found.map_err(|_| Broken::Failed(Failure::Reset))? {
                Now::Bytes(count) => {
                    moved.received += count as u64;
                    match piece {
                        Some(buffer) => {
                            let fed = self.feed(ticket, connection, &buffer[..count], progress).await;
                            *self.core.body_buffer.borrow_mut() = buffer;
                            fed?;
                        }
                        None => progress.complete = connection.decoder.discard(count as u64),
                    }
                    last_byte = clock::now();
                    in_a_row += 1;
                    if progress.complete || in_a_row < RECEIVES_IN_A_ROW {
                        continue;
                    }
                }
                Now::Closed => {
                    connection.decoder.finish().map_err(|_| Broken::Failed(Failure::ClosedEarly))?;
                    progress.keep_alive = false;
                    return Ok(clock::now());
                }
                Now::Nothing => {}
            }
            if late {
                return Err(Broken::Expired { last_byte });
            }
            in_a_row = 0;
            let readable = self.watch.until(limits.at(last_byte), connection.stream.readable()).await;
            let readable = readable.map_err(|Expired| Broken::Expired { last_byte })?;
            readable.map_err(|_| Broken::Failed(Failure::Reset))?;
            late = self.watch.passed();
        }
        Ok(last_byte)
    }

    /// Receives or discards what has arrived; received bytes are in the core's buffer, which comes along.
    fn receive_now(&self, connection: &Connection, progress: &Progress) -> (io::Result<Now>, Option<Vec<u8>>) {
        let discardable = connection.decoder.discardable();
        if !progress.stream && discardable >= DISCARD_FROM {
            return (connection.stream.discard_now(discardable, &mut self.core.scratch.borrow_mut()), None);
        }
        let mut buffer = self.core.body_buffer();
        let found = connection.stream.receive_now(&mut buffer);
        if matches!(found, Ok(Now::Bytes(_))) {
            return (found, Some(buffer));
        }
        *self.core.body_buffer.borrow_mut() = buffer;
        (found, None)
    }

    /// Runs the decoder over received bytes. Bytes beyond the end of the answer belong to nothing: `protocol`.
    async fn feed(
        &self,
        ticket: &Ticket,
        connection: &mut Connection,
        bytes: &[u8],
        progress: &mut Progress,
    ) -> Result<(), Broken> {
        let protocol = |_: DecodeError| Broken::Failed(Failure::Protocol);
        let mut position = 0;
        loop {
            let (count, event) = connection.decoder.next(&bytes[position..]).map_err(protocol)?;
            position += count;
            match event {
                Event::NeedMore => return Ok(()),
                Event::Interim(_) => {}
                Event::Head(head) => {
                    progress.status = Some(head.status);
                    progress.keep_alive = head.keep_alive;
                    progress.stream = self.core.work.head(ticket, &head) == Body::Stream;
                }
                Event::Body(piece) => {
                    if progress.stream {
                        self.core.work.body(ticket, piece).await;
                    }
                }
                Event::End if position < bytes.len() => return Err(Broken::Failed(Failure::Protocol)),
                Event::End => {
                    progress.complete = true;
                    return Ok(());
                }
            }
        }
    }
}

impl Limits {
    /// The next limit that applies after a byte at `last_byte`.
    fn at(&self, last_byte: Nanos) -> Nanos {
        let read = self.read.map_or(NEVER, |read| Nanos(last_byte.0 + read.0));
        self.deadline.min(self.request).min(read)
    }

    /// Which limit on the whole answer had passed at `now`.
    fn broken_at(&self, now: Nanos) -> Option<Failure> {
        match now {
            _ if now >= self.deadline => Some(Failure::Deadline),
            _ if now >= self.request => Some(Failure::Timeout),
            _ => None,
        }
    }

    /// What it means that waiting was given up at `now`: the limit that had passed, or else the end of the drain.
    fn passed_at(&self, now: Nanos, last_byte: Nanos) -> Outcome {
        match self.broken_at(now) {
            Some(failure) => Outcome::Failed(failure),
            None if now >= self.at(last_byte) => Outcome::Failed(Failure::ReadTimeout),
            None => Outcome::InFlightAtEnd,
        }
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
