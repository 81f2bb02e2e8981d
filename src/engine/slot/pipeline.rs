//! A slot's exchange in a pipeline: its request goes out at once, its answer is read when it is its turn.

use std::pin::pin;

use super::{Broken, Sink, Slot, Source};
use crate::clock;
use crate::engine::pipe::{End, Pipe, Reading};
use crate::engine::watch::Expired;
use crate::record::Failure;

impl<W: Source + Sink> Slot<'_, W> {
    /// Makes the ticket's request in `pipe`. Whatever keeps its answer from being read whole ends the pipe: those behind it
    /// have nothing to wait for.
    pub(super) async fn queue_up(&mut self, pipe: &Pipe) -> Result<(), Broken> {
        let number = pipe.send(&self.request);
        self.moved.sent += self.request.len() as u64;
        // Silence is for the one to judge who reads.
        let limit = self.limits.deadline.min(self.limits.request);
        let result = match self.watch.until(limit, pin!(pipe.turn(number))).await {
            // Whoever is before it has been waiting for longer, and times out in this very sweep if it has not yet.
            Err(Expired) if self.limits.broken_at(clock::now()) == Some(Failure::Timeout) => {
                Err(Broken::Failed(Failure::ClosedEarly))
            }
            // Given up at the end of the drain, it may be together with those before it.
            Ok(Err(End::Abandoned)) if self.watch.passed() && self.limits.broken_at(clock::now()).is_none() => {
                self.answer.last_byte = clock::now();
                return Err(Broken::Expired);
            }
            Err(Expired) => {
                self.answer.last_byte = clock::now();
                Err(Broken::Expired)
            }
            Ok(Err(End::Abandoned)) => return Err(Broken::Failed(Failure::ClosedEarly)),
            Ok(Err(End::Closed)) => {
                return Err(Broken::Dead { failure: Failure::ClosedEarly, anything_sent: true });
            }
            Ok(Ok(mut reading)) => match self.read_in_turn(&mut reading).await {
                // Bytes behind the last answer that is awaited belong to nothing.
                Ok(()) if pipe.is_last(number) && reading.has_rest() => Err(Broken::Failed(Failure::Protocol)),
                result => result.map(|()| reading),
            },
        };
        match result {
            Ok(reading) if self.answer.keep_alive => pipe.pass(reading),
            Ok(_) => pipe.end(End::Closed),
            Err(broken) => {
                let closed = matches!(broken, Broken::Dead { .. });
                pipe.end(if closed { End::Closed } else { End::Abandoned });
                return Err(broken);
            }
        }
        Ok(())
    }

    async fn read_in_turn(&mut self, reading: &mut Reading) -> Result<(), Broken> {
        reading.decoder.start(self.ticket.head_request);
        // Until now others were answered: that was no silence.
        self.answer.last_byte = self.answer.last_byte.max(reading.received_at);
        loop {
            if reading.position < reading.buffer.len() {
                // It may have come with the answers before it, even while others still waited to be taken in.
                self.answer.last_byte = self.answer.last_byte.max(reading.received_at);
                self.stamps.first_byte.get_or_insert(self.answer.last_byte);
                let before = reading.position;
                let Reading { decoder, buffer, position, .. } = reading;
                let fed = self.feed(decoder, buffer, position, false).await;
                self.moved.received += (reading.position - before) as u64;
                fed?;
            }
            if self.answer.complete {
                return self.end_body();
            }
            let buffer = std::mem::take(&mut reading.buffer);
            let (result, buffer) = self.watch.until(self.limit(), pin!(reading.inbox.read(buffer))).await?;
            (reading.buffer, reading.position, reading.received_at) = (buffer, 0, clock::now());
            let started = reading.decoder.started();
            match result {
                Ok(0) if reading.decoder.finish().is_ok() => {
                    (self.answer.complete, self.answer.keep_alive) = (true, false);
                    self.answer.last_byte = reading.received_at;
                }
                Ok(0) if started => return Err(Broken::Failed(Failure::ClosedEarly)),
                Ok(0) => return Err(Broken::Dead { failure: Failure::ClosedEarly, anything_sent: true }),
                Ok(_) => {}
                Err(_) if started => return Err(Broken::Failed(Failure::Reset)),
                Err(_) => return Err(Broken::Dead { failure: Failure::Reset, anything_sent: true }),
            }
        }
    }
}
