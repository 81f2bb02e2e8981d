//! Answers as events: bytes in, in whatever pieces they come; heads, pieces of body and ends out.
//!
//! Owns the reading of one connection's answers, one after the other: where a head ends, what it means for the body
//! and for the connection, which of the two sides broke a rule. Knows nothing of sockets, time, redials or retries.
//! The events of an answer do not depend on how its bytes were cut into pieces, and no input makes it panic, hold more
//! than [`HEAD_BYTES_MAX`], or do more work than in proportion to its length.

use std::cell::RefCell;
use std::rc::Rc;

pub use super::body::{BodyLength, CHUNK_LINE_BYTES_MAX};
use super::body::{Chunked, Piece};

mod fuzz;
mod head;
#[cfg(test)]
mod tests;

pub use fuzz::fuzz_decode;
pub use head::Familiar;
use head::{HeadStep, PartialHead, Verdict};

/// The largest head, and the largest trailer section, in bytes.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The most header lines of a head, and the most lines of a trailer section.
pub const HEADERS_MAX: usize = 128;

/// The most interim (1xx) heads before a final one.
pub const INTERIM_MAX: u8 = 32;

/// The most empty lines that are skipped before a status line; some servers send one after a body (RFC 9112 section
/// 2.2 asks this of servers, and clients meet the same).
pub const EMPTY_LINES_MAX: u8 = 4;

/// Reads the answers of one connection. Reused for every answer; allocates only while a head arrives in pieces, and
/// keeps what it allocated.
///
/// ```
/// use ringload::wire::decode::{Decoder, Event};
///
/// let received = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
/// let (mut decoder, mut at) = (Decoder::new(), 0);
/// decoder.start(false);
/// loop {
///     let (length, event) = decoder.next(&received[at..])?;
///     at += length;
///     match event {
///         Event::Interim(_) => {}
///         Event::Head(head) => assert_eq!(head.status, 200),
///         Event::Body(bytes) => assert_eq!(bytes, b"hello"),
///         Event::End => break,
///         Event::NeedMore => unreachable!("read from the peer, then go on; at its end, `finish`"),
///     }
/// }
/// # Ok::<(), ringload::wire::decode::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    state: State,
    head: PartialHead,
    /// The answer is one to a HEAD.
    head_request: bool,
    /// A byte of the current answer has been seen.
    started: bool,
    /// Interim heads of the current answer, at most [`INTERIM_MAX`].
    interims: u8,
}

/// Where in an answer the decoder stands.
#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    /// So many bytes of a body of known length are to come; above 0.
    Known(u64),
    Chunked(Chunked),
    UntilClose,
    Done,
    /// The answer broke a rule; nothing after it can be trusted.
    Failed(DecodeError),
}

/// What a prefix of the input was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// All of the input was consumed and says no more than that; more must come.
    NeedMore,
    /// An interim head (1xx but 101) with this status was skipped; another head follows.
    Interim(u16),
    /// The final head.
    Head(Head<'a>),
    /// The next bytes of the body without their framing; never empty.
    Body(&'a [u8]),
    /// The answer is complete. Input after the returned length is no part of it.
    End,
}

/// The final head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// 200 to 999.
    pub status: u16,
    /// Once this answer has ended, the connection may carry another request (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// How the end of the body is known.
    pub body: BodyLength,
    /// The head as received, from the status line to the empty line; at most [`HEAD_BYTES_MAX`].
    pub raw: &'a [u8],
}

impl<'a> Head<'a> {
    /// Names and values of the header lines, in their order, without the white space around values.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.raw.split(|&byte| byte == b'\n').skip(1).filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }

    /// The value of the first header with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

/// Why an answer cannot be read; always the peer's doing, and always the end of the connection.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// The head does not end within [`HEAD_BYTES_MAX`].
    #[error("the head of the answer is larger than 64 KiB")]
    HeadTooLarge,
    /// The head has more lines than [`HEADERS_MAX`].
    #[error("the answer has more than 128 headers")]
    TooManyHeaders,
    /// The first bytes are not those of an HTTP/1 status line, or a header line is malformed (folded lines and a space
    /// before the colon included).
    #[error("the head of the answer is not HTTP/1.0 or HTTP/1.1")]
    BadHead,
    /// The status line has no status from 100 to 999, or its reason has control characters.
    #[error("the status line of the answer is malformed, or its status is not from 100 to 999")]
    BadStatus,
    /// 101, for which no request of ours asks.
    #[error("the answer is 101 Switching Protocols, which was not asked for")]
    SwitchedProtocols,
    /// More interim heads than [`INTERIM_MAX`].
    #[error("more than 32 interim (1xx) answers came in a row")]
    TooManyInterim,
    /// Two values of Content-Length differ, or it stands beside Transfer-Encoding.
    #[error("the answer gives two lengths: differing Content-Length, or Content-Length with Transfer-Encoding")]
    ConflictingLengths,
    /// Content-Length is no whole number below 2^64.
    #[error("the Content-Length of the answer is not a number below 2^64")]
    BadLength,
    /// Transfer-Encoding is no list of codings, or has chunked twice or with parameters.
    #[error("the Transfer-Encoding of the answer is malformed")]
    BadTransferCoding,
    /// A chunk does not begin with its size, or does not end with CRLF.
    #[error("a chunk of the answer is malformed")]
    BadChunk,
    /// A chunk-size line is longer than [`CHUNK_LINE_BYTES_MAX`].
    #[error("a chunk-size line of the answer is longer than 4 KiB")]
    ChunkLineTooLong,
    /// The trailer section is larger than [`HEAD_BYTES_MAX`] or has more lines than [`HEADERS_MAX`].
    #[error("the trailers of the answer are larger than 64 KiB or more than 128 lines")]
    TrailersTooLarge,
    /// The peer closed before the end of the answer. The one cause that [`Decoder::finish`] adds.
    #[error("the peer closed {}", if *.started { "in the middle of an answer" } else { "before any byte of an answer" })]
    Closed {
        /// A byte of the answer had come.
        started: bool,
    },
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder that awaits the first answer, to anything but a HEAD.
    pub fn new() -> Self {
        Self::sharing(Rc::default())
    }

    /// The same, with a memory that the decoders of many connections share.
    pub fn sharing(familiar: Rc<RefCell<Familiar>>) -> Self {
        let head = PartialHead::sharing(familiar);
        Self { state: State::Head, head, head_request: false, started: false, interims: 0 }
    }

    /// Prepares for the answer to a request; `head_request`: the request was a HEAD. What was under way is forgotten.
    pub fn start(&mut self, head_request: bool) {
        self.state = State::Head;
        self.head.clear();
        self.head_request = head_request;
        self.started = false;
        self.interims = 0;
    }

    /// Consumes a prefix of `input`; gives its length and what it was. To be called again with the rest, even an empty
    /// one, until it says [`Event::NeedMore`] (all was consumed) or [`Event::End`], which it then repeats until
    /// [`Decoder::start`]. Unless `input` is empty, every other event consumes something.
    ///
    /// A head is judged when its empty line has come, except that the first bytes must be those of a status line.
    ///
    /// # Errors
    /// The rule that the answer broke, again and again until [`Decoder::start`].
    // The compiler calls it where it has several users, at 6 % more instructions for a small answer as a whole.
    #[inline(always)]
    pub fn next<'a>(&'a mut self, input: &'a [u8]) -> Result<(usize, Event<'a>), DecodeError> {
        self.started |= !input.is_empty();
        let (length, step) = match self.step(input) {
            Ok(done) => done,
            Err(error) => {
                self.state = State::Failed(error);
                return Err(error);
            }
        };
        let event = match step {
            Step::NeedMore => Event::NeedMore,
            Step::Interim(status) => Event::Interim(status),
            Step::Head { verdict: Verdict { status, keep_alive, body }, start } => {
                let raw = start.map_or(self.head.bytes.as_slice(), |start| &input[start..length]);
                Event::Head(Head { status, keep_alive, body, raw })
            }
            Step::Body(size) => Event::Body(&input[length - size..length]),
            Step::End => Event::End,
        };
        Ok((length, event))
    }

    /// The peer closed. Fine after the last byte of an answer, and the proper end of a body without a length.
    ///
    /// # Errors
    /// [`DecodeError::Closed`], or the rule that the answer had broken before.
    pub fn finish(&mut self) -> Result<(), DecodeError> {
        match self.state {
            State::UntilClose | State::Done => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            State::Head | State::Known(_) | State::Chunked(_) => Err(DecodeError::Closed { started: self.started }),
        }
    }

    /// Whether any byte of the current answer has been seen.
    pub fn started(&self) -> bool {
        self.started
    }

    /// So many of the bytes to come are body and may be thrown away unseen: the rest of Content-Length or of the current
    /// chunk, [`u64::MAX`] for a body that ends with the connection, else 0.
    pub fn discardable(&self) -> u64 {
        match &self.state {
            State::Known(left) => *left,
            State::Chunked(chunked) => chunked.discardable(),
            State::UntilClose => u64::MAX,
            State::Head | State::Done | State::Failed(_) => 0,
        }
    }

    /// Takes `n` bytes of body, at most [`Decoder::discardable`], as read elsewhere. True when that completes the
    /// answer, which only a body of known length can.
    ///
    /// # Panics
    /// When `n` is more: what follows would be misread.
    pub fn discard(&mut self, n: u64) -> bool {
        assert!(n <= self.discardable(), "{n} bytes discarded of {}", self.discardable());
        match &mut self.state {
            State::Known(left) if *left > n => *left -= n,
            State::Known(_) => self.state = State::Done,
            State::Chunked(chunked) if n > 0 => chunked.discard(n),
            _ => {}
        }
        matches!(self.state, State::Done)
    }

    #[inline(always)]
    fn step(&mut self, input: &[u8]) -> Result<(usize, Step), DecodeError> {
        match &mut self.state {
            State::Head => self.step_head(input),
            State::Known(_) | State::UntilClose if input.is_empty() => Ok((0, Step::NeedMore)),
            State::Known(left) => {
                let length = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                self.discard(length as u64);
                Ok((length, Step::Body(length)))
            }
            State::UntilClose => Ok((input.len(), Step::Body(input.len()))),
            State::Chunked(chunked) => match chunked.next(input)? {
                (length, Piece::NeedMore) => Ok((length, Step::NeedMore)),
                (length, Piece::Data(size)) => Ok((length, Step::Body(size))),
                (length, Piece::End) => {
                    self.state = State::Done;
                    Ok((length, Step::End))
                }
            },
            State::Done => Ok((0, Step::End)),
            State::Failed(error) => Err(*error),
        }
    }

    #[inline(always)]
    fn step_head(&mut self, input: &[u8]) -> Result<(usize, Step), DecodeError> {
        let (length, start, verdict) = match self.head.next(input, self.head_request)? {
            HeadStep::NeedMore => return Ok((input.len(), Step::NeedMore)),
            HeadStep::InPlace { start, end, verdict } => (end, Some(start), verdict),
            HeadStep::Collected { end, verdict } => (end, None, verdict),
        };
        if verdict.status < 200 {
            self.interims += 1;
            if self.interims > INTERIM_MAX {
                return Err(DecodeError::TooManyInterim);
            }
            self.head.clear();
            return Ok((length, Step::Interim(verdict.status)));
        }
        self.state = match verdict.body {
            BodyLength::None | BodyLength::Known(0) => State::Done,
            BodyLength::Known(length) => State::Known(length),
            BodyLength::Chunked => State::Chunked(Chunked::new()),
            BodyLength::UntilClose => State::UntilClose,
        };
        Ok((length, Step::Head { verdict, start }))
    }
}

/// An [`Event`] that borrows nothing yet.
enum Step {
    NeedMore,
    Interim(u16),
    /// The head begins at `start` of the input, or has been collected.
    Head {
        verdict: Verdict,
        start: Option<usize>,
    },
    /// The last so many of the consumed bytes.
    Body(usize),
    End,
}
