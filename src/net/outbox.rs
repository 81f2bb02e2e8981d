//! Bytes on their way out of a connection that several requests share: gathered in one turn, written in one.
//!
//! Knows nothing of what the bytes mean. Who gathers them never waits for the network.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _, OwnedReadHalf, OwnedWriteHalf, Splitable as _};

use super::running::Running;
use super::stream::Stream;

/// From this much on that the server has not taken, nothing more should be gathered.
const BYTES_MAX: usize = 256 * 1024;

/// Bytes that wait to be written; whoever polls the writing does so again after adding to them.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    bytes: RefCell<Vec<u8>>,
    /// Somebody waits for room.
    blocked: Cell<bool>,
    /// There is room again for whoever waited.
    unblocked: Cell<bool>,
    sent: Cell<u64>,
}

impl Gathered {
    pub(super) fn push(&self, bytes: &[u8]) {
        self.bytes.borrow_mut().extend_from_slice(bytes);
    }

    /// Whether no more should be gathered for now; it is remembered that somebody asked.
    pub(super) fn is_full(&self) -> bool {
        let full = self.bytes.borrow().len() >= BYTES_MAX;
        self.blocked.set(full);
        full
    }

    /// Whether somebody waits for room.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Whether who waited has room now.
    pub(super) fn take_unblocked(&self) -> bool {
        self.unblocked.take()
    }

    /// Bytes written since the last call.
    pub(super) fn take_sent(&self) -> u64 {
        self.sent.take()
    }

    /// Writes what is gathered, again and again, until that fails.
    pub(super) async fn write_to(&self, stream: &mut OwnedWriteHalf<Stream>) -> io::Error {
        let mut batch = Vec::new();
        loop {
            batch = poll_fn(|_| {
                let gathered = &mut *self.bytes.borrow_mut();
                if gathered.is_empty() {
                    return Poll::Pending;
                }
                Poll::Ready(std::mem::replace(gathered, std::mem::take(&mut batch)))
            })
            .await;
            self.unblocked.set(self.blocked.take());
            let (result, written) = stream.write_all(batch).await;
            match result {
                Ok(bytes) => self.sent.set(self.sent.get() + bytes as u64),
                Err(error) => return error,
            }
            batch = written;
            batch.clear();
        }
    }
}

/// The writing side of a connection, with a task of its own that ends when this is dropped.
#[derive(Debug)]
pub struct Outbox(Rc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    gathered: Gathered,
    ended: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

/// The reading side of a connection.
#[derive(Debug)]
pub struct Inbox(OwnedReadHalf<Stream>);

/// Takes a connection apart; `running` counts the task that this leaves.
pub fn split(stream: Stream, running: Rc<Running>) -> (Inbox, Outbox) {
    let (inbox, mut write_half) = stream.into_split();
    let shared = Rc::<Shared>::default();
    let outbox = Outbox(Rc::clone(&shared));
    running.begin();
    monoio::spawn(async move {
        {
            let mut writing = pin!(shared.gathered.write_to(&mut write_half));
            poll_fn(|cx| {
                shared.task.replace(Some(cx.waker().clone()));
                if shared.ended.get() || writing.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
        shared.ended.set(true);
        running.end();
    });
    (Inbox(inbox), outbox)
}

impl Outbox {
    /// Sends `bytes` with whatever else is sent in this turn.
    pub fn push(&self, bytes: &[u8]) {
        self.0.gathered.push(bytes);
        self.wake();
    }

    /// Whether writing has failed.
    pub fn is_broken(&self) -> bool {
        self.0.ended.get()
    }

    fn wake(&self) {
        if let Some(task) = &*self.0.task.borrow() {
            task.wake_by_ref();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.0.ended.set(true);
        self.wake();
    }
}

impl Inbox {
    /// Reads into `buffer`; it comes back with the number of bytes, 0 when the peer closed.
    pub fn read(&mut self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<usize>, Vec<u8>)> {
        self.0.read(buffer)
    }
}
