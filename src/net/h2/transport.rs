//! What carries an HTTP/2 connection's frames: reads go to the stream, writes are gathered and go out in one.
//!
//! The crate above hands over many small buffers in one turn. Taking them into memory at once costs a copy of some bytes
//! and saves a system call, under TLS a record, for each. Nothing here waits with a waker of its own: the connection's task
//! polls both sides in every turn.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt as _, OwnedReadHalf, OwnedWriteHalf};

use crate::net::stream::Stream;

/// From this much on that the server has not taken, nothing more is taken from the crate, and nothing more is read: what
/// would be answered by frames of ours (SETTINGS, PING) cannot fill our memory.
const GATHERED_BYTES_MAX: usize = 256 * 1024;

/// Bytes on their way to the server.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    bytes: RefCell<Vec<u8>>,
    /// A write of the crate waits for room.
    blocked: Cell<bool>,
    /// There is room again for a write that waited.
    unblocked: Cell<bool>,
    sent: Cell<u64>,
    received: Cell<u64>,
}

impl Gathered {
    /// Bytes sent and received since the last call.
    pub(super) fn take_moved(&self) -> (u64, u64) {
        (self.sent.take(), self.received.take())
    }

    /// Whether a write that waited has room now; the connection is to be polled again.
    pub(super) fn take_unblocked(&self) -> bool {
        self.unblocked.take()
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

/// A connection as the crate sees it.
#[derive(Debug)]
pub(super) struct Transport {
    stream: OwnedReadHalf<Stream>,
    gathered: Rc<Gathered>,
}

impl Transport {
    pub(super) fn new(stream: OwnedReadHalf<Stream>, gathered: Rc<Gathered>) -> Self {
        Self { stream, gathered }
    }

    /// Waits while the server does not take what is to be said.
    async fn unblocked(&self) {
        poll_fn(|_| if self.gathered.blocked.get() { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

impl AsyncReadRent for Transport {
    async fn read<T: IoBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        self.unblocked().await;
        let (result, buf) = self.stream.read(buf).await;
        if let Ok(bytes) = result {
            self.gathered.received.set(self.gathered.received.get() + bytes as u64);
        }
        (result, buf)
    }

    async fn readv<T: IoVecBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        self.unblocked().await;
        self.stream.readv(buf).await
    }
}

impl AsyncWriteRent for Transport {
    #[allow(unsafe_code, reason = "monoio's buffers show their bytes only as a pointer and a length")]
    async fn write<T: IoBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        poll_fn(|_| {
            let full = self.gathered.bytes.borrow().len() >= GATHERED_BYTES_MAX;
            self.gathered.blocked.set(full);
            if full { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        // SAFETY: `IoBuf` promises that so many bytes behind the pointer are initialised, and `buf` outlives the borrow.
        let bytes = unsafe { std::slice::from_raw_parts(buf.read_ptr(), buf.bytes_init()) };
        self.gathered.bytes.borrow_mut().extend_from_slice(bytes);
        (Ok(bytes.len()), buf)
    }

    async fn writev<T: IoVecBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        // Nothing writes to a session this way.
        (Err(io::ErrorKind::Unsupported.into()), buf)
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}
