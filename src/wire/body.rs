//! Where a message ends: the length rules of RFC 9112 section 6, and the chunked coding of section 7.1.
//!
//! Owns framing alone: it counts bytes and finds boundaries, and neither keeps nor copies any. Knows nothing of status
//! lines or of who reads the body.

use memchr::memchr;

use super::decode::{DecodeError, HEAD_BYTES_MAX, HEADERS_MAX};
use crate::plan::request::is_token;

/// The longest chunk-size line, extensions and CRLF included, in bytes.
pub const CHUNK_LINE_BYTES_MAX: usize = 4 * 1024;

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body, whatever the headers say: the answer to a HEAD, a 204 or a 304.
    None,
    /// Content-Length, in bytes; may be 0.
    Known(u64),
    /// The chunked coding says when.
    Chunked,
    /// The body ends when the peer closes.
    UntilClose,
}

/// What the header lines say about the connection and the length of the body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    /// `Connection` has the token `close`.
    pub(super) close: bool,
    /// `Connection` has the token `keep-alive`.
    pub(super) keep_alive: bool,
    /// The one value of every Content-Length.
    length: Option<u64>,
    /// The last transfer coding, `Some(true)` when it is chunked.
    last_is_chunked: Option<bool>,
    /// Chunked is among the codings; it may be applied once only.
    chunked: bool,
}

impl Fields {
    /// Reads the lines that matter. With `bodiless`, lengths and codings are not even looked at: they describe a body
    /// that was not sent.
    ///
    /// # Errors
    /// [`DecodeError::BadLength`], [`DecodeError::BadTransferCoding`] or [`DecodeError::ConflictingLengths`].
    pub(super) fn read(headers: &[httparse::Header<'_>], bodiless: bool) -> Result<Self, DecodeError> {
        let mut fields = Self::default();
        for header in headers {
            // The length of the name rules out nearly every header before a character is compared.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => fields.add_connection(header.value),
                14 if !bodiless && header.name.eq_ignore_ascii_case("content-length") => {
                    fields.add_length(header.value)?;
                }
                17 if !bodiless && header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    fields.add_codings(header.value)?;
                }
                _ => {}
            }
        }
        Ok(fields)
    }

    /// The length of the body, for an answer that may have one.
    ///
    /// # Errors
    /// [`DecodeError::ConflictingLengths`] for Transfer-Encoding beside Content-Length: whoever stands between may have
    /// believed the other one.
    pub(super) fn body_length(&self) -> Result<BodyLength, DecodeError> {
        match (self.last_is_chunked, self.length) {
            (Some(_), Some(_)) => Err(DecodeError::ConflictingLengths),
            (Some(true), None) => Ok(BodyLength::Chunked),
            (None, Some(length)) => Ok(BodyLength::Known(length)),
            (Some(false) | None, None) => Ok(BodyLength::UntilClose),
        }
    }

    /// Whether any Transfer-Encoding was there; HTTP/1.0 has none, so its framing is then in doubt.
    pub(super) fn has_transfer_coding(&self) -> bool {
        self.last_is_chunked.is_some()
    }

    fn add_connection(&mut self, value: &[u8]) {
        for token in list(value) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn add_length(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        for element in list(value) {
            let length = parse_decimal(element).ok_or(DecodeError::BadLength)?;
            if self.length.is_some_and(|other| other != length) {
                return Err(DecodeError::ConflictingLengths);
            }
            self.length = Some(length);
        }
        Ok(())
    }

    fn add_codings(&mut self, value: &[u8]) -> Result<(), DecodeError> {
        for element in list(value) {
            let name_end = memchr(b';', element).unwrap_or(element.len());
            let name = element[..name_end].trim_ascii_end();
            let is_chunked = name.eq_ignore_ascii_case(b"chunked");
            // Chunked takes no parameter, and twice chunked is how two readers come to disagree (section 7).
            let bad_chunked = is_chunked && (self.chunked || name_end < element.len());
            if bad_chunked || !is_token(name) {
                return Err(DecodeError::BadTransferCoding);
            }
            self.chunked |= is_chunked;
            self.last_is_chunked = Some(is_chunked);
        }
        Ok(())
    }
}

/// The elements of a comma-separated list, without the white space around them. Commas in quoted strings are not
/// respected; pieces of such a string are no tokens and no numbers, so where it matters they are refused.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Digits and nothing else, below 2^64.
fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Finds the empty line that ends a block of lines which arrive in pieces. Looks at each byte once; a bare LF ends a
/// line as CRLF does (RFC 9112 section 2.2).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BlankLine {
    line: Line,
    /// Lines ended so far, the empty one excluded.
    lines: usize,
}

/// What the line under way holds so far.
#[derive(Clone, Copy, Debug, Default)]
enum Line {
    #[default]
    Nothing,
    OneCr,
    Something,
}

impl BlankLine {
    /// Where in `input` the block ends, its empty line included; `None` when it goes on.
    pub(super) fn find(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(length) = memchr(b'\n', &input[at..]) {
            self.extend(&input[at..at + length]);
            at += length + 1;
            if !matches!(self.line, Line::Something) {
                return Some(at);
            }
            self.line = Line::Nothing;
            self.lines += 1;
        }
        self.extend(&input[at..]);
        None
    }

    /// Adds bytes to the line under way.
    fn extend(&mut self, bytes: &[u8]) {
        self.line = match (self.line, bytes) {
            (line, []) => line,
            (Line::Nothing, [b'\r']) => Line::OneCr,
            _ => Line::Something,
        };
    }
}

/// What a piece of chunked input was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// All of it was framing, and more must come.
    NeedMore,
    /// The last so many of the consumed bytes are body; above 0.
    Data(usize),
    /// The last chunk and its trailers are through.
    End,
}

/// A chunked body under way. Line ends must be CRLF here, except in the trailers: unlike a head's, a chunk line's bare
/// LF is read differently by different recipients, which lets a body pose as an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked(Phase);

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// In the line with the size of the next chunk.
    Size(SizeLine),
    /// So many bytes of the chunk are to come; above 0.
    Data(u64),
    /// The chunk is through, CR must follow.
    Cr,
    /// Then LF.
    Lf,
    /// After the chunk of size 0. So many bytes of trailers have been seen, at most [`HEAD_BYTES_MAX`].
    Trailers(BlankLine, usize),
}

impl Chunked {
    pub(super) fn new() -> Self {
        Self(Phase::Size(SizeLine::default()))
    }

    /// Consumes a prefix of `input`: its length, and what it was. Progress is certain unless `input` is empty.
    ///
    /// # Errors
    /// [`DecodeError::BadChunk`], [`DecodeError::ChunkLineTooLong`] or [`DecodeError::TrailersTooLarge`].
    pub(super) fn next(&mut self, input: &[u8]) -> Result<(usize, Piece), DecodeError> {
        let mut at = 0;
        while at < input.len() {
            let rest = &input[at..];
            match &mut self.0 {
                Phase::Size(line) => {
                    let (length, size) = line.next(rest)?;
                    at += length;
                    match size {
                        None => {}
                        Some(0) => self.0 = Phase::Trailers(BlankLine::default(), 0),
                        Some(size) => self.0 = Phase::Data(size),
                    }
                }
                Phase::Data(left) => {
                    let length = rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    self.discard(length as u64);
                    return Ok((at + length, Piece::Data(length)));
                }
                Phase::Cr if rest[0] == b'\r' => (self.0, at) = (Phase::Lf, at + 1),
                Phase::Lf if rest[0] == b'\n' => (self.0, at) = (Phase::Size(SizeLine::default()), at + 1),
                Phase::Cr | Phase::Lf => return Err(DecodeError::BadChunk),
                Phase::Trailers(blank, seen) => {
                    let (length, end) = trailers(blank, seen, rest)?;
                    at += length;
                    if end {
                        return Ok((at, Piece::End));
                    }
                }
            }
        }
        Ok((at, Piece::NeedMore))
    }

    /// What is left of the current chunk, in bytes.
    pub(super) fn discardable(&self) -> u64 {
        if let Phase::Data(left) = self.0 { left } else { 0 }
    }

    /// Takes `n` bytes of the current chunk as read, at most [`Chunked::discardable`].
    pub(super) fn discard(&mut self, n: u64) {
        match &mut self.0 {
            Phase::Data(left) if *left > n => *left -= n,
            Phase::Data(_) => self.0 = Phase::Cr,
            _ => {}
        }
    }
}

/// Consumes a prefix of the trailer section: its length, and whether the section ends there.
fn trailers(blank: &mut BlankLine, seen: &mut usize, input: &[u8]) -> Result<(usize, bool), DecodeError> {
    let room = HEAD_BYTES_MAX - *seen;
    let input = &input[..input.len().min(room)];
    let end = blank.find(input);
    let length = end.unwrap_or(input.len());
    *seen += length;
    if blank.lines > HEADERS_MAX || (end.is_none() && *seen == HEAD_BYTES_MAX) {
        return Err(DecodeError::TrailersTooLarge);
    }
    Ok((length, end.is_some()))
}

/// A chunk-size line under way: `size [white space] [; extensions] CRLF`. Extensions are skipped.
#[derive(Clone, Copy, Debug, Default)]
struct SizeLine {
    size: u64,
    /// Bytes of the line so far, below [`CHUNK_LINE_BYTES_MAX`].
    length: usize,
    part: SizePart,
}

#[derive(Clone, Copy, Debug, Default)]
enum SizePart {
    /// Before the first digit.
    #[default]
    Start,
    Digits,
    Space,
    Extension,
    /// CR was seen.
    Cr,
}

impl SizeLine {
    /// Consumes a prefix of `input`: its length, and the size when the line ends there.
    fn next(&mut self, input: &[u8]) -> Result<(usize, Option<u64>), DecodeError> {
        for (at, &byte) in input.iter().enumerate() {
            self.part = match (self.part, byte) {
                (SizePart::Cr, b'\n') => return Ok((at + 1, Some(self.size))),
                (SizePart::Start | SizePart::Digits, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                    self.push_digit(byte)?;
                    SizePart::Digits
                }
                (SizePart::Digits | SizePart::Space, b' ' | b'\t') => SizePart::Space,
                (SizePart::Digits | SizePart::Space, b';') => SizePart::Extension,
                (SizePart::Digits | SizePart::Space | SizePart::Extension, b'\r') => SizePart::Cr,
                (SizePart::Extension, other) if other != b'\n' => SizePart::Extension,
                _ => return Err(DecodeError::BadChunk),
            };
            self.length += 1;
            if self.length == CHUNK_LINE_BYTES_MAX {
                return Err(DecodeError::ChunkLineTooLong);
            }
        }
        Ok((input.len(), None))
    }

    fn push_digit(&mut self, digit: u8) -> Result<(), DecodeError> {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit | 0x20) - b'a' + 10,
        };
        let shifted = self.size.checked_mul(16).ok_or(DecodeError::BadChunk)?;
        self.size = shifted | u64::from(value);
        Ok(())
    }
}
