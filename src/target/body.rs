//! Request bodies, taken off the buffer as they come (RFC 9112 sections 6 and 7.1): counted away, or kept for `/echo`.

use bytes::{Buf, BytesMut};
use memchr::memchr;
use monoio_codec::{Decoded, Decoder};

use super::request::{BodyLength, HEAD_MAX, Request, RequestError};
use super::route::Route;

/// The longest body that `/echo` keeps: 8 MiB.
pub(super) const ECHO_MAX: usize = 8 << 20;

/// The longest chunk-size line, extensions included.
const SIZE_LINE_MAX: usize = 4 * 1024;

/// Buffer space for bodies that are longer than this.
const READ_AHEAD: usize = 64 * 1024;

/// Takes one body off the front of the buffer; its item is the body's end.
#[derive(Debug)]
pub(super) struct BodyDecoder {
    state: State,
    chunked: bool,
    /// The body so far, up to [`ECHO_MAX`], where it is wanted.
    kept: Option<Vec<u8>>,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum State {
    /// So many bytes of the body or of the chunk.
    Data(u64),
    /// The line that gives the next chunk's size.
    Size,
    /// The line end behind a chunk's data.
    DataEnd,
    /// Trailer lines, of so many bytes at most, up to an empty one.
    Trailers(usize),
}

impl BodyDecoder {
    /// The decoder for the body of `request`, if that has one.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let (state, chunked) = match request.body {
            BodyLength::Sized(0) => return None,
            BodyLength::Sized(left) => (State::Data(left), false),
            BodyLength::Chunked => (State::Size, true),
        };
        Some(Self { state, chunked, kept: (request.route == Route::Echo).then(Vec::new) })
    }

    /// The body that was kept; empty unless it was wanted.
    pub(super) fn into_kept(self) -> Vec<u8> {
        self.kept.unwrap_or_default()
    }

    fn take(&mut self, src: &mut BytesMut, left: u64) -> Result<u64, RequestError> {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(src.len());
        if let Some(kept) = &mut self.kept {
            if kept.len() + len > ECHO_MAX {
                return Err(RequestError::BodyTooLarge);
            }
            kept.extend_from_slice(&src[..len]);
        }
        src.advance(len);
        let left = left - len as u64;
        if left > READ_AHEAD as u64 {
            src.reserve(READ_AHEAD);
        }
        Ok(left)
    }
}

impl Decoder for BodyDecoder {
    type Item = ();
    type Error = RequestError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Decoded<()>, RequestError> {
        loop {
            self.state = match self.state {
                State::Data(left) => match self.take(src, left)? {
                    0 if !self.chunked => return Ok(Decoded::Some(())),
                    0 => State::DataEnd,
                    left => {
                        self.state = State::Data(left);
                        return Ok(Decoded::Insufficient);
                    }
                },
                State::Size => match line(src, SIZE_LINE_MAX)? {
                    None => return Ok(Decoded::Insufficient),
                    Some(len) => {
                        let size = chunk_size(&src[..len])?;
                        src.advance(len);
                        if size == 0 { State::Trailers(HEAD_MAX) } else { State::Data(size) }
                    }
                },
                State::DataEnd => match src.as_ref() {
                    [b'\r', b'\n', ..] => {
                        src.advance(2);
                        State::Size
                    }
                    [] | [b'\r'] => return Ok(Decoded::Insufficient),
                    _ => return Err(RequestError::Malformed("a chunk is longer than its size")),
                },
                State::Trailers(allowed) => match line(src, allowed)? {
                    None => return Ok(Decoded::Insufficient),
                    Some(len) => {
                        let last = matches!(&src[..len], b"\r\n" | b"\n");
                        src.advance(len);
                        if last {
                            return Ok(Decoded::Some(()));
                        }
                        State::Trailers(allowed - len)
                    }
                },
            }
        }
    }
}

/// The length of the line at the front of `src`, with its end; `None` while that is incomplete.
fn line(src: &[u8], max: usize) -> Result<Option<usize>, RequestError> {
    match memchr(b'\n', src) {
        Some(at) if at < max => Ok(Some(at + 1)),
        None if src.len() <= max => Ok(None),
        _ => Err(RequestError::Malformed("a line of the chunked body is too long")),
    }
}

/// The hexadecimal size at the front of a chunk-size line; extensions are ignored.
fn chunk_size(line: &[u8]) -> Result<u64, RequestError> {
    const BAD: RequestError = RequestError::Malformed("a chunk size is no hexadecimal number");
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    // Fifteen digits are a petabyte, and cannot overflow.
    if end == 0 || end > 15 {
        return Err(BAD);
    }
    let rest = line[end..].trim_ascii_start();
    if !rest.is_empty() && rest[0] != b';' {
        return Err(BAD);
    }
    let digit = |byte: u8| u64::from((byte as char).to_digit(16).unwrap_or(0));
    Ok(line[..end].iter().fold(0, |size, &byte| size << 4 | digit(byte)))
}
