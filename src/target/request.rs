//! Request heads from bytes (RFC 9112), under fixed limits and with nothing allocated. Pure but for the trait's error type.
//!
//! The reader that feeds this is monoio-http's; its own head decoder panics on long header names and is not used.
//! Bodies are `body.rs`'s.

use std::io;
use std::mem::MaybeUninit;

use bytes::{Buf, BytesMut};
use memchr::memchr_iter;
use monoio_codec::{Decoded, Decoder};

use super::body::BodyDecoder;
use super::decimal;
use super::route::Route;

/// The longest request head in bytes, from the method to the empty line.
pub const HEAD_MAX: usize = 64 * 1024;

/// The most header lines in a head.
pub const HEADERS_MAX: usize = 128;

/// What the server needs to know of a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What the path asks for.
    pub route: Route,
    /// HEAD: the answer has no body.
    pub head_only: bool,
    /// The version is HTTP/1.0, so that keeping the connection must be said.
    pub http_1_0: bool,
    /// The client will send another request on this connection.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// How the body ends.
    pub body: BodyLength,
}

/// How a body ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// After so many bytes; 0 is no body.
    Sized(u64),
    /// With the last chunk and the trailers.
    Chunked,
}

/// Why a request cannot be served; but for [`RequestError::Io`], each is a status and the end of the connection.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection broke; nobody is left to answer.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// 400: not HTTP/1, or ambiguous about where the request ends.
    #[error("bad request: {0}")]
    Malformed(&'static str),
    /// 413: `/echo` keeps no more than its limit.
    #[error("the body is longer than /echo takes")]
    BodyTooLarge,
    /// 431: [`HEAD_MAX`] or [`HEADERS_MAX`] is exceeded.
    #[error("the head is longer than 64 KiB or has more than 128 headers")]
    HeadTooLarge,
    /// 501: a transfer coding other than `chunked`.
    #[error("only the transfer coding \"chunked\" is supported")]
    Coding,
}

impl RequestError {
    /// The status that tells the client, unless the connection is gone.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Io(_) => None,
            Self::Malformed(_) => Some(400),
            Self::BodyTooLarge => Some(413),
            Self::HeadTooLarge => Some(431),
            Self::Coding => Some(501),
        }
    }
}

/// Takes one request head off the front of the buffer.
#[derive(Debug, Default)]
pub struct HeadDecoder {
    /// Set while a head is incomplete: the search for its end goes on from here, so that a head that comes byte by byte
    /// is not parsed at every byte.
    resume_at: Option<usize>,
}

impl Decoder for HeadDecoder {
    type Item = Request;
    type Error = RequestError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Decoded<Request>, RequestError> {
        skip_empty_lines(src);
        let ended = match self.resume_at {
            Some(from) => match head_ends(src, from) {
                false => return self.incomplete(src),
                true => true,
            },
            None => false,
        };
        match parse(src)? {
            Some((_, len)) if len > HEAD_MAX => Err(RequestError::HeadTooLarge),
            Some((request, len)) => {
                src.advance(len);
                self.resume_at = None;
                Ok(Decoded::Some(request))
            }
            None if ended => Err(RequestError::Malformed("the head ends too early")),
            None => self.incomplete(src),
        }
    }
}

impl HeadDecoder {
    fn incomplete(&mut self, src: &BytesMut) -> Result<Decoded<Request>, RequestError> {
        if src.len() > HEAD_MAX {
            return Err(RequestError::HeadTooLarge);
        }
        // The line feed that ends the last header may be followed by a carriage return already.
        self.resume_at = Some(src.len().saturating_sub(2));
        Ok(Decoded::Insufficient)
    }
}

/// Empty lines before a request are ignored (RFC 9112 section 2.2), and take no memory.
fn skip_empty_lines(src: &mut BytesMut) {
    loop {
        match src.as_ref() {
            [b'\r', b'\n', ..] => src.advance(2),
            [b'\n', ..] => src.advance(1),
            _ => return,
        }
    }
}

/// Whether an empty line ends the head in `src`; no line feed before `from` is followed by one.
fn head_ends(src: &[u8], from: usize) -> bool {
    memchr_iter(b'\n', &src[from.min(src.len())..])
        .any(|at| matches!(src[from + at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

/// The request at the front of `src` and the length of its head; `None` while that is incomplete.
fn parse(src: &[u8]) -> Result<Option<(Request, usize)>, RequestError> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut []);
    let len = match head.parse_with_uninit_headers(src, &mut headers) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(RequestError::HeadTooLarge),
        Err(httparse::Error::Version) => return Err(RequestError::Malformed("only HTTP/1.0 and HTTP/1.1 are spoken")),
        Err(_) => return Err(RequestError::Malformed("not an HTTP/1 request")),
    };
    let mut fields = Fields::default();
    for header in &*head.headers {
        fields.take(header.name, header.value)?;
    }
    let http_1_0 = head.version == Some(0);
    if !http_1_0 && fields.hosts != 1 {
        return Err(RequestError::Malformed("an HTTP/1.1 request has exactly one Host header"));
    }
    let request = Request {
        route: Route::parse(head.path.unwrap_or_default().as_bytes()),
        head_only: head.method == Some("HEAD"),
        http_1_0,
        keep_alive: !fields.close && (!http_1_0 || fields.keep_alive),
        expects_continue: fields.expects_continue && !http_1_0,
        body: fields.body_length(http_1_0)?,
    };
    Ok(Some((request, len)))
}

/// The header fields that decide how the connection goes on.
#[derive(Default)]
struct Fields {
    hosts: usize,
    content_length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Fields {
    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), RequestError> {
        // The length of the name rules out nearly every header at the cost of one comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.hosts += 1,
            6 if name.eq_ignore_ascii_case("expect") => {
                self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in value.split(|&byte| byte == b',') {
                    let option = option.trim_ascii();
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                let length = decimal::parse(value).ok_or(RequestError::Malformed("Content-Length is no number"))?;
                if self.content_length.replace(length).is_some_and(|before| before != length) {
                    return Err(RequestError::Malformed("two different values of Content-Length"));
                }
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(RequestError::Coding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn body_length(&self, http_1_0: bool) -> Result<BodyLength, RequestError> {
        match (self.chunked, self.content_length) {
            (true, _) if http_1_0 => Err(RequestError::Malformed("HTTP/1.0 has no transfer codings")),
            (true, Some(_)) => Err(RequestError::Malformed("both Content-Length and Transfer-Encoding")),
            (true, None) => Ok(BodyLength::Chunked),
            (false, length) => Ok(BodyLength::Sized(length.unwrap_or(0))),
        }
    }
}

/// Decodes `bytes` as a client's whole stream, in pieces whose lengths the first byte picks, and checks that the decoders
/// take no more than they were given and keep no more than their limits.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_request(bytes: &[u8]) {
    let Some((&first, stream)) = bytes.split_first() else {
        return;
    };
    let piece = usize::from(first).max(1);
    let mut src = BytesMut::new();
    let mut heads = HeadDecoder::default();
    let mut body: Option<BodyDecoder> = None;
    for part in stream.chunks(piece) {
        src.extend_from_slice(part);
        while !src.is_empty() {
            let before = src.len();
            let done = match &mut body {
                None => match heads.decode(&mut src) {
                    Ok(Decoded::Some(request)) => {
                        body = BodyDecoder::of(&request);
                        true
                    }
                    Ok(_) => false,
                    Err(_) => return,
                },
                Some(decoder) => match decoder.decode(&mut src) {
                    Ok(Decoded::Some(())) => {
                        body = None;
                        true
                    }
                    Ok(_) => false,
                    Err(_) => return,
                },
            };
            assert!(src.len() <= before, "a decoder added to its input");
            assert!(src.len() <= HEAD_MAX + piece, "more is kept than any limit allows");
            if !done {
                break;
            }
            assert!(src.len() < before, "an item came from nothing");
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
