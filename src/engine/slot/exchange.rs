//! A slot's exchange on a connection of its own: HTTP/1.1, one request after the other.

use std::io;
use std::pin::pin;
use std::rc::Rc;

use bytes::Buf as _;
use monoio::buf::IoBuf as _;

use super::{Body, Broken, Fed, Sink, Slot, Source, nothing_behind};
use crate::clock;
use crate::engine::pool::Connection;
use crate::net::stream::Now;
use crate::net::tls;
use crate::record::Failure;

/// From this much on, the rest of a body is thrown away inside the kernel instead of being copied out.
const DISCARD_FROM: u64 = 16 * 1024;
/// Receives without going through the ring, before other slots get their turn.
const RECEIVES_IN_A_ROW: u32 = 8;

impl<W: Source + Sink> Slot<'_, W> {
    /// Makes the ticket's request.
    pub(super) async fn exchange(&mut self, connection: &mut Connection) -> Result<(), Broken> {
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
            // As [`Slot::feed`], without its future: a small answer is whole by now.
            let mut position = 0;
            while let Fed::Piece(piece) = self.decode(&mut connection.decoder, &buffer[..count], &mut position)? {
                self.hand_over(&buffer[piece]).await?;
            }
            nothing_behind(position, count)?;
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
            self.feed(&mut connection.decoder, &buffer[..count], &mut 0, true).await?;
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
            fed = self.feed(&mut connection.decoder, &buffer[..count], &mut 0, true).await;
        }
        self.core.body_buffer.replace(buffer);
        fed?;
        found.map_err(reset)
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
