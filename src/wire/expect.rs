//! One answer held against what is expected of it, as its head and the pieces of its body come.
//!
//! Owns the verdict and what is shown of an answer that fell short. Knows nothing of framing, of content codings or of who
//! counts. An answer's bytes are hostile: what is kept of them is bounded by the plan's limit.

use std::fmt::Write as _;

use super::decode::{BodyLength, Head};
use crate::plan::Expect;
use crate::plan::expect::{ExpectedBody, ExpectedHeader};

mod fuzz;
#[cfg(test)]
mod tests;

pub use fuzz::fuzz_expect;

/// So much of a body, or of a header's value, is kept for people to see what came instead.
const SHOWN_BYTES: usize = 1024;
/// So many characters of it are shown.
const SHOWN_CHARS: usize = 100;
/// Room for bodies is kept from one answer to the next up to here.
const ROOM_BYTES: usize = 1 << 20;

/// Judges one answer after the other; allocates nothing once its buffers have grown to what bodies take.
#[derive(Debug, Default)]
pub struct Judge {
    status: u16,
    missed: Option<Missed>,
    /// Bodies are judged: the answer is none to a HEAD.
    has_body: bool,
    /// Bytes of the body so far.
    length: u64,
    /// The first of them: all where a pattern is looked for, else at most [`SHOWN_BYTES`].
    kept: Vec<u8>,
    /// The value of the header that was missed, where it was there at all; at most [`SHOWN_BYTES`].
    value: Option<Vec<u8>>,
}

/// Which expectation was not met, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// That of the status.
    Status,
    /// One of headers.
    Header(usize),
    /// One of bodies.
    Body(usize),
    /// That of the size: the rest of the body need not be read.
    TooLarge,
}

impl Judge {
    /// Turns to the next answer: judges its head, and its body's length where that is known and `decoded` does not say that
    /// another is meant.
    pub fn begin(&mut self, expect: &Expect, head: &Head<'_>, head_request: bool, decoded: bool) {
        (self.status, self.has_body, self.length, self.value) = (head.status, !head_request, 0, None);
        if self.kept.capacity() > ROOM_BYTES {
            self.kept = Vec::new();
        }
        self.kept.clear();
        self.missed = if expect.allows(head.status) { None } else { Some(Missed::Status) };
        self.missed = self.missed.or_else(|| self.headers(expect, head));
        if let BodyLength::Known(length) = head.body
            && !decoded
            && expect.max_body.is_some_and(|most| length > most)
        {
            (self.missed, self.length) = (Some(Missed::TooLarge), length);
        }
    }

    fn headers(&mut self, expect: &Expect, head: &Head<'_>) -> Option<Missed> {
        let (index, missed) = expect.headers.iter().enumerate().find(|(_, expected)| !has(head, expected))?;
        self.value = head.header(&missed.name).map(|value| value[..value.len().min(SHOWN_BYTES)].to_vec());
        Some(Missed::Header(index))
    }

    /// Whether there is anything more to be learned of the body than that it came.
    pub fn wants_body(&self, expect: &Expect, length: BodyLength) -> bool {
        let counts = expect.max_body.is_some() && !matches!(length, BodyLength::Known(_) | BodyLength::None);
        self.missed.is_some() || counts || (self.has_body && !expect.bodies.is_empty())
    }

    /// Takes in the next bytes of the body.
    pub fn feed(&mut self, expect: &Expect, piece: &[u8]) {
        let before = self.length;
        self.length += piece.len() as u64;
        if expect.max_body.is_some_and(|most| self.length > most) {
            self.missed = Some(Missed::TooLarge);
        }
        let room = if self.missed.is_none() && expect.keeps_bodies() { usize::MAX } else { SHOWN_BYTES };
        let keep = room.saturating_sub(self.kept.len()).min(piece.len());
        self.kept.extend_from_slice(&piece[..keep]);
        if self.missed.is_some() || !self.has_body {
            return;
        }
        let differs = |body: &ExpectedBody| match body {
            ExpectedBody::Equals { content, .. } => {
                let rest = usize::try_from(before).ok().and_then(|before| content.get(before..));
                !rest.is_some_and(|rest| rest.starts_with(piece))
            }
            ExpectedBody::Matches(_) => false,
        };
        self.missed = expect.bodies.iter().position(differs).map(Missed::Body);
    }

    /// Whether it is known already that the answer falls short.
    pub fn has_missed(&self) -> bool {
        self.missed.is_some()
    }

    /// What it keeps of the body, in bytes of memory.
    pub fn memory(&self) -> usize {
        self.kept.capacity()
    }

    /// Whether the body has become larger than it may be: there is no use in the rest.
    pub fn is_too_large(&self) -> bool {
        self.missed == Some(Missed::TooLarge)
    }

    /// The answer is whole.
    ///
    /// # Errors
    /// What it fell short of.
    pub fn finish(&mut self, expect: &Expect) -> Result<(), Missed> {
        if self.missed.is_none() && self.has_body {
            let falls_short = |body: &ExpectedBody| match body {
                // What came is the beginning of it.
                ExpectedBody::Equals { content, .. } => content.len() as u64 != self.length,
                ExpectedBody::Matches(pattern) => !pattern.is_match(&self.kept),
            };
            self.missed = expect.bodies.iter().position(falls_short).map(Missed::Body);
        }
        self.missed.map_or(Ok(()), Err)
    }

    /// The answer's status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// What came instead, for people: bytes of the server's, in which `redact` covers what must not be shown, as text of
    /// bounded length that still has to be escaped. Empty where nothing was missed.
    pub fn came(&self, expect: &Expect, redact: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let shown =
            |bytes: &[u8]| -> String { String::from_utf8_lossy(&redact(bytes)).chars().take(SHOWN_CHARS).collect() };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match (self.missed, &self.value) {
            (None, _) => Ok(()),
            (Some(Missed::Header(index)), Some(value)) => {
                let expected = &expect.headers[index];
                let value = if expected.is_secret() { "***".to_owned() } else { shown(value) };
                write!(text, "{}: {value}", expected.name)
            }
            (Some(Missed::Header(index)), None) => write!(text, "no header {}", expect.headers[index].name),
            (Some(Missed::TooLarge), _) => write!(text, "a body of {} bytes or more", self.length),
            (Some(Missed::Status | Missed::Body(_)), _) if self.length == 0 => write!(text, "no body"),
            (Some(Missed::Status | Missed::Body(_)), _) => write!(text, "{}", shown(self.start())),
        };
        text
    }

    fn start(&self) -> &[u8] {
        &self.kept[..self.kept.len().min(SHOWN_BYTES)]
    }
}

impl Missed {
    /// The expectation as it was typed, but for secrets.
    pub fn expected(self, expect: &Expect) -> String {
        match self {
            Self::Status => {
                let list: Vec<String> = expect.statuses.iter().map(ToString::to_string).collect();
                format!("--expect-status {}", list.join(","))
            }
            Self::Header(index) => format!("--expect-header {}", expect.headers[index]),
            Self::Body(index) => format!("--expect-body {}", expect.bodies[index]),
            Self::TooLarge => format!("--max-body {}", expect.max_body.unwrap_or_default()),
        }
    }
}

fn has(head: &Head<'_>, expected: &ExpectedHeader) -> bool {
    let mut values = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(expected.name.as_bytes()));
    values.any(|(_, value)| expected.value.as_ref().is_none_or(|pattern| pattern.is_match(value)))
}
