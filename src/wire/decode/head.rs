//! The head of an answer: where it ends in bytes that come in pieces, and what it means.
//!
//! Owns the search for the empty line, the call to httparse and the rules of RFC 9112 for body and connection. Knows
//! nothing of what follows a head.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::rc::Rc;

use super::super::body::{BlankLine, Fields};
use super::{BodyLength, DecodeError, EMPTY_LINES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};

/// A longer head is not remembered: it would push more useful bytes out of the cache.
const FAMILIAR_BYTES_MAX: usize = 1024;

/// Every status line that is read here begins so.
const VERSION_PREFIX: &[u8] = b"HTTP/1.";

/// What a head means.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) status: u16,
    pub(super) keep_alive: bool,
    pub(super) body: BodyLength,
}

/// The head that was parsed last, shared by the decoders of a core. Servers repeat themselves: within a second most send
/// the same bytes again, and the same bytes mean the same.
#[derive(Debug, Default)]
pub struct Familiar {
    /// A whole head with its empty line, at most [`FAMILIAR_BYTES_MAX`]; so no head begins with it but itself.
    bytes: Vec<u8>,
    head_request: bool,
    verdict: Option<Verdict>,
}

impl Familiar {
    fn recall(&self, input: &[u8], head_request: bool) -> Option<(usize, Verdict)> {
        let verdict = self.verdict.filter(|_| head_request == self.head_request && input.starts_with(&self.bytes))?;
        Some((self.bytes.len(), verdict))
    }

    fn learn(&mut self, head: &[u8], head_request: bool, verdict: Verdict) {
        if head.len() <= FAMILIAR_BYTES_MAX {
            self.bytes.clear();
            self.bytes.extend_from_slice(head);
            (self.head_request, self.verdict) = (head_request, Some(verdict));
        }
    }
}

/// A head that has not ended yet.
#[derive(Debug, Default)]
pub(super) struct PartialHead {
    familiar: Rc<RefCell<Familiar>>,
    /// What has come of it; empty as long as heads come whole. At most [`HEAD_BYTES_MAX`].
    pub(super) bytes: Vec<u8>,
    /// The search for its end, which has seen exactly `bytes`.
    end: BlankLine,
    /// Empty lines skipped before it, at most [`EMPTY_LINES_MAX`].
    empty_lines: u8,
    /// CR of an empty line was seen. False once `bytes` holds anything.
    cr: bool,
    /// Bytes looked at, in any pass.
    #[cfg(test)]
    pub(super) work: usize,
}

/// What a prefix of the input was to a head.
pub(super) enum HeadStep {
    NeedMore,
    /// The head is `input[start..end]`.
    InPlace {
        start: usize,
        end: usize,
        verdict: Verdict,
    },
    /// The head is `PartialHead::bytes` and ended at `end` of the input.
    Collected {
        end: usize,
        verdict: Verdict,
    },
}

impl PartialHead {
    pub(super) fn sharing(familiar: Rc<RefCell<Familiar>>) -> Self {
        Self { familiar, ..Self::default() }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.end = BlankLine::default();
        self.empty_lines = 0;
        self.cr = false;
    }

    pub(super) fn next(&mut self, input: &[u8], head_request: bool) -> Result<HeadStep, DecodeError> {
        let start = if self.bytes.is_empty() { self.skip_empty_lines(input)? } else { 0 };
        let rest = &input[start..];
        if rest.is_empty() {
            return Ok(HeadStep::NeedMore);
        }
        if self.bytes.is_empty() {
            let candidate = &rest[..rest.len().min(HEAD_BYTES_MAX)];
            self.count_work(candidate.len());
            if let Some((length, verdict)) = self.familiar.borrow().recall(candidate, head_request) {
                return Ok(HeadStep::InPlace { start, end: start + length, verdict });
            }
            // What fails here is judged again once its end is known: the verdict must not depend on how it was cut.
            if let Ok(Some((length, verdict))) = parse_head(candidate, head_request) {
                self.familiar.borrow_mut().learn(&candidate[..length], head_request, verdict);
                return Ok(HeadStep::InPlace { start, end: start + length, verdict });
            }
        }
        let Some(length) = self.collect(rest)? else {
            return Ok(HeadStep::NeedMore);
        };
        self.count_work(self.bytes.len());
        match parse_head(&self.bytes, head_request)? {
            Some((parsed, verdict)) if parsed == self.bytes.len() => {
                Ok(HeadStep::Collected { end: start + length, verdict })
            }
            _ => Err(DecodeError::BadHead),
        }
    }

    /// How many bytes of `input` belong to empty lines before the status line.
    fn skip_empty_lines(&mut self, input: &[u8]) -> Result<usize, DecodeError> {
        for (at, &byte) in input.iter().enumerate() {
            match byte {
                b'\n' if self.empty_lines < EMPTY_LINES_MAX => {
                    self.empty_lines += 1;
                    self.cr = false;
                }
                b'\r' if !self.cr => self.cr = true,
                b'\n' | b'\r' => return Err(DecodeError::BadHead),
                _ if self.cr => return Err(DecodeError::BadHead),
                _ => return Ok(at),
            }
        }
        Ok(input.len())
    }

    /// Takes over what belongs to the head; the length of that when the head ends there.
    fn collect(&mut self, input: &[u8]) -> Result<Option<usize>, DecodeError> {
        let input = &input[..input.len().min(HEAD_BYTES_MAX - self.bytes.len())];
        let end = self.end.find(input);
        let length = end.unwrap_or(input.len());
        self.count_work(length);
        self.bytes.extend_from_slice(&input[..length]);
        let known = self.bytes.len().min(VERSION_PREFIX.len());
        if self.bytes[..known] != VERSION_PREFIX[..known] {
            return Err(DecodeError::BadHead);
        }
        if end.is_none() && self.bytes.len() == HEAD_BYTES_MAX {
            return Err(DecodeError::HeadTooLarge);
        }
        Ok(end)
    }

    #[cfg(test)]
    fn count_work(&mut self, bytes: usize) {
        self.work += bytes;
    }

    #[cfg(not(test))]
    fn count_work(&self, _bytes: usize) {}
}

/// Parses the head at the start of `input`: its length and what it means, `None` when it goes on.
fn parse_head(input: &[u8], head_request: bool) -> Result<Option<(usize, Verdict)>, DecodeError> {
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, input, &mut headers);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(DecodeError::TooManyHeaders),
        Err(httparse::Error::Status) => return Err(DecodeError::BadStatus),
        Err(_) => return Err(DecodeError::BadHead),
    };
    let (Some(minor), Some(status)) = (response.version, response.code) else {
        return Err(DecodeError::BadHead);
    };
    let verdict = judge(minor, status, response.headers, head_request)?;
    Ok(Some((length, verdict)))
}

/// What a head means for the body (RFC 9112 section 6.3) and for the connection (section 9.3). For an interim head only
/// the status counts.
fn judge(minor: u8, status: u16, headers: &[httparse::Header<'_>], head_request: bool) -> Result<Verdict, DecodeError> {
    match status {
        0..100 => return Err(DecodeError::BadStatus),
        101 => return Err(DecodeError::SwitchedProtocols),
        100..200 => return Ok(Verdict { status, keep_alive: true, body: BodyLength::None }),
        _ => {}
    }
    let bodiless = head_request || matches!(status, 204 | 304);
    let fields = Fields::read(headers, bodiless)?;
    let body = if bodiless { BodyLength::None } else { fields.body_length()? };
    let persistent = match minor {
        // HTTP/1.0 knows no transfer coding: read it as it stands, then trust nothing after it (section 6.1).
        0 => fields.keep_alive && !fields.has_transfer_coding(),
        _ => true,
    };
    let keep_alive = persistent && !fields.close && body != BodyLength::UntilClose;
    Ok(Verdict { status, keep_alive, body })
}
