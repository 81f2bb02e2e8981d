//! One connection's socket with the answers that wait to be written.
//!
//! Answers are written when the reader is about to wait for more input, so those to a pipelined batch leave in one write;
//! the time of sending is read once for them all, just before that write.

use std::io;

use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::TcpStream;

use super::answer::{self, Head};
use super::pattern;
use super::stats::Counters;
use crate::clock;
use crate::net::stream;
use crate::net::turn::fair;
use crate::units::Nanos;

/// Waiting answers are written at the latest when they have grown to this.
const WAITING_MAX: usize = 64 * 1024;

/// Bodies up to this are copied behind their head; longer ones are sent from where they lie.
const COPY_MAX: usize = 16 * 1024;

/// A connection's socket, its waiting answers and the instant of its last read.
pub(super) struct Socket<'core> {
    stream: TcpStream,
    counters: &'core Counters,
    /// Answers that wait to be written.
    waiting: Vec<u8>,
    /// Where in `waiting` the time of sending goes.
    stamps: Vec<usize>,
    /// When the last read returned.
    read_at: Nanos,
}

impl<'core> Socket<'core> {
    pub(super) fn new(stream: TcpStream, counters: &'core Counters) -> Self {
        Self { stream, counters, waiting: Vec::new(), stamps: Vec::new(), read_at: clock::now() }
    }

    /// When the last read returned.
    pub(super) fn read_at(&self) -> Nanos {
        self.read_at
    }

    /// Lets the interim answer to `Expect: 100-continue` wait; it carries no times.
    pub(super) fn push_continue(&mut self) {
        self.waiting.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    /// Lets a head wait.
    pub(super) fn push_head(&mut self, head: &Head) {
        let at = head.append(&mut self.waiting);
        self.stamps.push(at);
    }

    /// Lets a body wait behind its head, or sends it at once when it is long.
    pub(super) async fn push_body(&mut self, body: Vec<u8>) -> io::Result<()> {
        if body.len() > COPY_MAX {
            self.flush().await?;
            return self.send(body).await;
        }
        self.push_short(&body).await
    }

    /// Lets a body of at most a few kilobytes wait behind its head.
    #[inline]
    pub(super) async fn push_short(&mut self, body: &[u8]) -> io::Result<()> {
        self.waiting.extend_from_slice(body);
        if self.waiting.len() >= WAITING_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// Sends the bytes of the pattern from `from` up to `until`, the first of them together with what waits.
    pub(super) async fn push_pattern(&mut self, from: u64, until: u64) -> io::Result<()> {
        let copied = (until - from).min(COPY_MAX as u64);
        self.push_short(pattern::slice(from, copied)).await?;
        let mut at = from + copied;
        if at < until {
            self.flush().await?;
        }
        while at < until {
            let piece = pattern::slice(at, until - at);
            self.send(piece).await?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Sends `len` bytes of the pattern in the chunked coding.
    pub(super) async fn push_chunked(&mut self, len: u64) -> io::Result<()> {
        let mut left = len;
        if left >= pattern::BLOCK {
            self.flush().await?;
        }
        while left >= pattern::BLOCK {
            self.send(pattern::coded_block()).await?;
            left -= pattern::BLOCK;
        }
        self.push_body(pattern::coded_end(left, pattern::chunk_len(len))).await
    }

    /// Writes what waits.
    #[inline]
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let sent = clock::now();
        for at in self.stamps.drain(..) {
            answer::stamp(&mut self.waiting, at, sent);
        }
        let (written, waiting) = fair(self.stream.write_all(std::mem::take(&mut self.waiting))).await;
        self.waiting = waiting;
        self.waiting.clear();
        self.counters.bytes_out.add(written? as u64);
        Ok(())
    }

    /// Makes closing send a RST; what was written and not yet sent is lost.
    pub(super) fn reset_on_close(&self) -> io::Result<()> {
        stream::reset_on_close(&self.stream)
    }

    /// Says that nothing more will be sent.
    pub(super) async fn end_writing(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    async fn send<T: IoBuf + 'static>(&mut self, bytes: T) -> io::Result<()> {
        let (written, _) = fair(self.stream.write_all(bytes)).await;
        self.counters.bytes_out.add(written? as u64);
        Ok(())
    }

    #[inline]
    fn note_read(&mut self, read: &io::Result<usize>) {
        self.read_at = clock::now();
        if let Ok(len) = read {
            self.counters.bytes_in.add(*len as u64);
        }
    }
}

impl AsyncReadRent for Socket<'_> {
    #[inline]
    async fn read<T: IoBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        if let Err(error) = self.flush().await {
            return (Err(error), buf);
        }
        let (read, buf) = fair(self.stream.read(buf)).await;
        self.note_read(&read);
        (read, buf)
    }

    async fn readv<T: IoVecBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        if let Err(error) = self.flush().await {
            return (Err(error), buf);
        }
        let (read, buf) = fair(self.stream.readv(buf)).await;
        self.note_read(&read);
        (read, buf)
    }
}
