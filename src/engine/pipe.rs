//! A pipelined HTTP/1.1 connection (RFC 9112 section 9.3.2): requests go out as they come, and those who sent them take
//! turns, in the same order, at reading their answers.
//!
//! Knows turns and ends; the slot whose turn it is reads and decodes.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::net::outbox::{Inbox, Outbox};
use crate::units::Nanos;
use crate::wire::decode::Decoder;

/// Several small answers come in one read.
const BUFFER_BYTES: usize = 16 * 1024;

/// One connection, shared by all that have a request on it.
#[derive(Debug)]
pub(crate) struct Pipe {
    outbox: Outbox,
    /// With whoever reads, else here.
    reading: RefCell<Option<Box<Reading>>>,
    /// Requests sent.
    sent: Cell<u64>,
    /// Answers taken in: whose number this is, is next.
    turn: Cell<u64>,
    /// Who waits for a turn, the next first.
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    end: Cell<Option<End>>,
}

/// The reading side.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) inbox: Inbox,
    pub(crate) decoder: Decoder,
    /// What was received; from `position` on it belongs to answers that are still to be taken in.
    pub(crate) buffer: Vec<u8>,
    pub(crate) position: usize,
    /// When that was.
    pub(crate) received_at: Nanos,
}

impl Reading {
    /// Something was received beyond what was taken in.
    pub(crate) fn has_rest(&self) -> bool {
        self.position < self.buffer.len()
    }
}

/// How a pipe ended for those who had no answer yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server closed, or said that it would, before it came to them.
    Closed,
    /// An answer before theirs never came, or broke a rule: the connection had to be closed.
    Abandoned,
}

impl Pipe {
    pub(crate) fn new(inbox: Inbox, outbox: Outbox, decoder: Decoder) -> Self {
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        let reading = Reading { inbox, decoder, buffer, position: 0, received_at: Nanos::ZERO };
        Self {
            outbox,
            reading: RefCell::new(Some(Box::new(reading))),
            sent: Cell::new(0),
            turn: Cell::new(0),
            waiting: RefCell::default(),
            end: Cell::new(None),
        }
    }

    /// Whether more may be sent.
    pub(crate) fn is_usable(&self) -> bool {
        self.end.get().is_none() && !self.outbox.is_broken()
    }

    /// Sends a request; gives its number.
    pub(crate) fn send(&self, request: &[u8]) -> u64 {
        self.outbox.push(request);
        self.sent.replace(self.sent.get() + 1)
    }

    /// Whether nothing was sent after request `number`.
    pub(crate) fn is_last(&self, number: u64) -> bool {
        self.sent.get() == number + 1
    }

    /// Waits until all answers before that of request `number` are in.
    ///
    /// # Errors
    /// It will not come to that.
    pub(crate) async fn turn(&self, number: u64) -> Result<Box<Reading>, End> {
        poll_fn(|cx| {
            if let Some(end) = self.end.get() {
                return Poll::Ready(Err(end));
            }
            if self.turn.get() == number {
                let reading = self.reading.take().expect("who had the turn before has given it back");
                return Poll::Ready(Ok(reading));
            }
            let waiting = &mut *self.waiting.borrow_mut();
            match waiting.iter_mut().find(|(other, _)| *other == number) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => waiting.push_back((number, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await
    }

    /// The answer is taken in: the next one may be read.
    pub(crate) fn pass(&self, reading: Box<Reading>) {
        self.reading.replace(Some(reading));
        self.turn.set(self.turn.get() + 1);
        let next = self.turn.get();
        let waiting = &mut *self.waiting.borrow_mut();
        if waiting.front().is_some_and(|&(number, _)| number == next)
            && let Some((_, waker)) = waiting.pop_front()
        {
            waker.wake();
        }
    }

    /// No more answers are read: all that wait for one are told.
    pub(crate) fn end(&self, end: End) {
        self.end.set(self.end.get().or(Some(end)));
        self.waiting.borrow_mut().drain(..).for_each(|(_, waker)| waker.wake());
    }
}
