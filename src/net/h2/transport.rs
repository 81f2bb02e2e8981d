//! What carries an HTTP/2 connection's frames: reads go to the stream, writes are gathered and go out in one.
//!
//! The crate above awaits each of its writes, and writes the head and the payload of a larger DATA frame apart. Taking all
//! of a turn into memory costs a copy and lets one write carry it, while reading goes on. Nothing here waits with a waker of
//! its own: the connection's task polls both sides in every turn. While the server does not take what is gathered, nothing
//! is read either: what would be answered by frames of ours (SETTINGS, PING) cannot fill our memory.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;

use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, OwnedReadHalf};

use crate::net::outbox::Gathered;
use crate::net::stream::Stream;

/// A connection as the crate sees it.
pub(super) struct Transport {
    stream: OwnedReadHalf<Stream>,
    gathered: Rc<Gathered>,
    received: Rc<Cell<u64>>,
}

impl Transport {
    /// Counts what it reads in `received`.
    pub(super) fn new(stream: OwnedReadHalf<Stream>, gathered: Rc<Gathered>, received: Rc<Cell<u64>>) -> Self {
        Self { stream, gathered, received }
    }

    async fn unblocked(&self) {
        poll_fn(|_| if self.gathered.is_blocked() { Poll::Pending } else { Poll::Ready(()) }).await;
    }
}

impl AsyncReadRent for Transport {
    async fn read<T: IoBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        self.unblocked().await;
        let (result, buf) = self.stream.read(buf).await;
        if let Ok(bytes) = result {
            self.received.set(self.received.get() + bytes as u64);
        }
        (result, buf)
    }

    async fn readv<T: IoVecBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        // Nothing reads from a session this way.
        (Err(io::ErrorKind::Unsupported.into()), buf)
    }
}

impl AsyncWriteRent for Transport {
    #[allow(unsafe_code, reason = "monoio's buffers show their bytes only as a pointer and a length")]
    async fn write<T: IoBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        poll_fn(|_| if self.gathered.is_full() { Poll::Pending } else { Poll::Ready(()) }).await;
        // SAFETY: `IoBuf` promises that so many bytes behind the pointer are initialised, and `buf` outlives the borrow.
        let bytes = unsafe { std::slice::from_raw_parts(buf.read_ptr(), buf.bytes_init()) };
        self.gathered.push(bytes);
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
