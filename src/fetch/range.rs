//! Going on with a body that broke off (RFC 9110 sections 13.1.5 and 14): what is asked for, and whether what comes fits
//! what is there.
//!
//! Knows heads and positions, and neither bodies nor attempts. An answer is the server's: only what certainly is the rest
//! of the same representation (section 15.3.7.3) is taken for it.

use std::time::{Duration, SystemTime};

use crate::wire::decode::{BodyLength, Head};

/// A shorter beginning of a body is not worth keeping, in bytes; a body that is no longer comes with its head.
pub const BEGINNING_BYTES_MIN: u64 = 16 * 1024;

/// Nothing longer is taken for a validator.
const VALIDATOR_BYTES_MAX: usize = 256;

/// What an answer of 200 said of a representation whose parts can be put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    validator: Validator,
    /// Its `Content-Encoding`, empty without one.
    coding: Box<[u8]>,
    /// In bytes as they are sent; none where that is not known yet.
    length: Option<u64>,
}

/// By which a representation is known again to the byte (RFC 9110 section 8.8.1).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Validator {
    /// A strong one, quotes included.
    Etag(Box<[u8]>),
    /// A `Last-Modified` that is strong (section 8.8.2.2).
    Date(Box<[u8]>),
}

/// The part of a representation that an answer of 206 brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The position behind its last byte.
    pub end: u64,
    /// The length of the whole; at least `end`.
    pub complete: u64,
}

/// Why an answer of 206 is not the rest that was asked for.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// As for several ranges.
    #[error("asked for the rest of a body, the server sent multipart/byteranges")]
    Multipart,
    /// None, or more than one.
    #[error("asked for the rest of a body, the server sent a part without a Content-Range that can be read")]
    Range,
    /// It begins elsewhere.
    #[error("asked for the rest of a body, the server sent another part of it")]
    Place,
    /// The whole has another length than before, or none that is known, or the part another than it says.
    #[error("asked for the rest of a body, the server sent a part of another length")]
    Length,
    /// It is encoded in another way.
    #[error("asked for the rest of a body, the server sent a part in another Content-Encoding")]
    Coding,
    /// Its validator is another one.
    #[error("asked for the rest of a body, the server sent a part of another version")]
    Version,
}

impl Representation {
    /// What this head tells; none where its body could not be gone on with: it is short, has no strong validator, or is
    /// that of a server that refuses ranges.
    pub fn of(head: &Head<'_>) -> Option<Self> {
        let length = length(head);
        if head.status != 200
            || head.body == BodyLength::None
            || length.is_some_and(|bytes| bytes <= BEGINNING_BYTES_MIN)
        {
            return None;
        }
        if head.header("accept-ranges").is_some_and(|ranges| ranges.eq_ignore_ascii_case(b"none")) {
            return None;
        }
        let coding = head.header("content-encoding").unwrap_or_default();
        Some(Self { validator: Validator::of(head)?, coding: coding.into(), length })
    }

    /// The header lines that ask for what follows the first `from` bytes, or for the whole where it is not the same any
    /// more.
    pub fn lines(&self, from: u64) -> Vec<u8> {
        let mut lines = format!("Range: bytes={from}-\r\nIf-Range: ").into_bytes();
        lines.extend_from_slice(self.validator.value());
        lines.extend_from_slice(b"\r\n");
        lines
    }

    /// Whether the answer of this head, a 206, goes on behind the first `from` bytes. What it says of the length of the
    /// whole holds from now on.
    ///
    /// # Errors
    /// Why it does not.
    pub fn fit(&mut self, from: u64, head: &Head<'_>) -> Result<Part, Misfit> {
        if head.header("content-type").is_some_and(is_multipart) {
            return Err(Misfit::Multipart);
        }
        let mut told = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"content-range"));
        let (Some((_, value)), None) = (told.next(), told.next()) else { return Err(Misfit::Range) };
        let range = ContentRange::parse(value).ok_or(Misfit::Range)?;
        if range.first != from {
            return Err(Misfit::Place);
        }
        let complete = match (self.length, range.complete) {
            (Some(before), Some(now)) if before != now => return Err(Misfit::Length),
            (before, now) => before.or(now).ok_or(Misfit::Length)?,
        };
        if range.last >= complete || length(head).is_some_and(|bytes| bytes != range.last - range.first + 1) {
            return Err(Misfit::Length);
        }
        // After If-Range a server may leave out what it has said before (section 15.3.7).
        if head.header("content-encoding").is_some_and(|coding| *coding != *self.coding) {
            return Err(Misfit::Coding);
        }
        if !self.validator.is_of(head) {
            return Err(Misfit::Version);
        }
        self.length = Some(complete);
        Ok(Part { end: range.last + 1, complete })
    }
}

impl Validator {
    /// The one to ask with: a date only where there is no entity tag at all (RFC 9110 section 13.1.5).
    fn of(head: &Head<'_>) -> Option<Self> {
        if let Some(etag) = head.header("etag") {
            return is_strong(etag).then(|| Self::Etag(etag.into()));
        }
        let modified = head.header("last-modified")?;
        // A change within the second of the answer would not show.
        let age = date(head.header("date")?)?.duration_since(date(modified)?).ok()?;
        (age >= Duration::from_secs(1)).then(|| Self::Date(modified.into()))
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Etag(value) | Self::Date(value) => value,
        }
    }

    /// Whether a part under this head is of the same representation. Its entity tag must be there again (RFC 9110 section
    /// 15.3.7), its date need not be.
    fn is_of(&self, head: &Head<'_>) -> bool {
        match self {
            Self::Etag(etag) => head.header("etag") == Some(etag),
            Self::Date(modified) => {
                head.header("etag").is_none() && head.header("last-modified").is_none_or(|now| *now == **modified)
            }
        }
    }
}

/// The value of a `Content-Range` (RFC 9110 section 14.4) that names a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    /// At least `first`.
    last: u64,
    /// Above `last`, where it is known.
    complete: Option<u64>,
}

impl ContentRange {
    fn parse(value: &[u8]) -> Option<Self> {
        let (unit, rest) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        let (range, complete) = rest.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let complete = if complete == "*" { None } else { Some(number(complete)?) };
        let range = Self { first: number(first)?, last: number(last)?, complete };
        let is_sound = range.first <= range.last && complete.is_none_or(|complete| range.last < complete);
        (unit.eq_ignore_ascii_case("bytes") && is_sound).then_some(range)
    }
}

fn is_multipart(content_type: &[u8]) -> bool {
    const MULTIPART: &[u8] = b"multipart/byteranges";
    content_type.get(..MULTIPART.len()).is_some_and(|start| start.eq_ignore_ascii_case(MULTIPART))
}

/// Whether it is an entity tag without `W/` (RFC 9110 section 8.8.3), in ASCII and not empty, and not too long to be kept.
fn is_strong(etag: &[u8]) -> bool {
    let tag = etag.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let is_plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'"';
    etag.len() <= VALIDATOR_BYTES_MAX && tag.is_some_and(|tag| !tag.is_empty() && tag.iter().all(is_plain))
}

/// A date in any of the three forms of HTTP.
fn date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// How long a body is, where its head says so.
fn length(head: &Head<'_>) -> Option<u64> {
    match head.body {
        BodyLength::Known(bytes) => Some(bytes),
        // Over HTTP/2, whose frames tell the end.
        BodyLength::UntilClose => number(std::str::from_utf8(head.header("content-length")?).ok()?),
        BodyLength::None | BodyLength::Chunked => None,
    }
}

/// Digits alone.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Checks what must hold for every answer to a request for the rest of a body: what is taken for it begins where the
/// beginning ended, has an end within the whole, and is taken for it again; what is asked breaks no line of a request.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_range(bytes: &[u8]) {
    const ANSWERED: &[u8] = b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\nLast-Modified: ";
    fn head(status: u16, raw: &[u8]) -> Head<'_> {
        Head { status, keep_alive: true, body: BodyLength::Chunked, raw }
    }
    let text = |before: &[u8]| [b"HTTP/1.1 200 OK\r\n", before, bytes, b"\r\n\r\n"].concat();
    for raw in [text(b"ETag: "), text(ANSWERED)] {
        let Some(representation) = Representation::of(&head(200, &raw)) else { continue };
        let asked = String::from_utf8(representation.lines(7)).expect("ASCII");
        let validator = asked.strip_prefix("Range: bytes=7-\r\nIf-Range: ").and_then(|rest| rest.strip_suffix("\r\n"));
        assert!(validator.is_some_and(|value| !value.is_empty() && !value.contains(char::is_control)), "{asked:?}");
    }
    let raw = text(b"ETag: \"v\"\r\nContent-Range: ");
    for length in [None, Some(100_000)] {
        let validator = Validator::Etag(b"\"v\"".as_slice().into());
        let mut representation = Representation { validator, coding: Box::default(), length };
        for from in [0, 99, 20_000, u64::MAX] {
            let Ok(part) = representation.fit(from, &head(206, &raw)) else { continue };
            assert!(from < part.end && part.end <= part.complete, "{part:?} from {from}");
            assert!(length.is_none_or(|length| part.complete == length), "{part:?}");
            assert_eq!(representation.fit(from, &head(206, &raw)), Ok(part), "a second time");
            let shown = format!("bytes {from}-{}/{}", part.end - 1, part.complete);
            let range = ContentRange { first: from, last: part.end - 1, complete: Some(part.complete) };
            assert_eq!(ContentRange::parse(shown.as_bytes()), Some(range));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of these lines, of a body of this length.
    fn head(status: u16, body: BodyLength, lines: &str) -> Head<'static> {
        let raw = format!("HTTP/1.1 {status} X\r\n{}\r\n", lines.replace('\n', "\r\n"));
        Head { status, keep_alive: true, body, raw: raw.leak().as_bytes() }
    }

    fn lines(answer: &str) -> Option<String> {
        let representation = Representation::of(&head(200, BodyLength::Known(100_000), answer))?;
        Some(String::from_utf8(representation.lines(20_000)).expect("ASCII"))
    }

    const DATES: &str = "Date: Sun, 06 Nov 1994 08:49:38 GMT\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n";

    #[test]
    fn what_has_a_strong_validator_is_asked_for_with_it() {
        let asked = |validator: &str| Some(format!("Range: bytes=20000-\r\nIf-Range: {validator}\r\n"));
        assert_eq!(lines("ETag: \"a-1\"\n"), asked("\"a-1\""));
        assert_eq!(lines(&format!("{DATES}ETag: \"a-1\"\nAccept-Ranges: bytes\n")), asked("\"a-1\""));
        assert_eq!(lines(DATES), asked("Sun, 06 Nov 1994 08:49:37 GMT"));
        let weak = [
            "",
            "ETag: W/\"a\"\n",
            "ETag: a\n",
            "ETag: \"\"\n",
            "ETag: \"a\"b\"\n",
            "ETag: \"a b\"\n",
            "ETag: \"\u{fc}\"\n",
            "ETag: \"\n",
            "ETag: \"a\"\nAccept-Ranges: None\n",
            "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n",
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n",
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\nLast-Modified: Sun, 06 Nov 1994 08:49:38 GMT\n",
            "Date: now\nLast-Modified: then\n",
        ];
        for answer in weak {
            assert_eq!(lines(answer), None, "{answer:?}");
        }
        assert_eq!(lines(&format!("{DATES}ETag: W/\"a\"\n")), None, "no date where there is an entity tag");
        let long = "x".repeat(VALIDATOR_BYTES_MAX - 2);
        assert!(lines(&format!("ETag: \"{long}\"\n")).is_some() && lines(&format!("ETag: \"{long}x\"\n")).is_none());
    }

    #[test]
    fn only_what_is_worth_it_is_kept() {
        let of = |status, body, lines: &str| Representation::of(&head(status, body, lines)).is_some();
        assert!(of(200, BodyLength::Known(BEGINNING_BYTES_MIN + 1), DATES));
        assert!(!of(200, BodyLength::Known(BEGINNING_BYTES_MIN), DATES));
        assert!(of(200, BodyLength::Chunked, DATES) && of(200, BodyLength::UntilClose, DATES));
        assert!(!of(200, BodyLength::None, DATES) && !of(206, BodyLength::Known(100_000), DATES));
        assert!(!of(200, BodyLength::UntilClose, &format!("{DATES}Content-Length: 99\n")), "over HTTP/2");
    }

    /// What an answer of 206 with these lines is to a representation of `length` bytes, of which 20,000 are there.
    fn fit(length: Option<u64>, body: BodyLength, lines: &str) -> Result<Part, Misfit> {
        let validator = Validator::Etag(b"\"a\"".as_slice().into());
        let mut representation = Representation { validator, coding: b"gzip".as_slice().into(), length };
        let part = representation.fit(20_000, &head(206, body, lines))?;
        assert_eq!(representation.length, Some(part.complete));
        Ok(part)
    }

    #[test]
    fn what_begins_where_the_beginning_ended_fits() {
        let whole = Ok(Part { end: 100_000, complete: 100_000 });
        let known = BodyLength::Known(80_000);
        for (length, body, range, expected) in [
            (Some(100_000), known, "bytes 20000-99999/100000", whole),
            (Some(100_000), known, "Bytes 20000-99999/*", whole),
            (Some(100_000), BodyLength::Chunked, "bytes 20000-99999/100000", whole),
            (None, known, "bytes 20000-99999/100000", whole),
            (None, BodyLength::Known(1), "bytes 20000-20000/100000", Ok(Part { end: 20_001, complete: 100_000 })),
            (None, known, "bytes 20000-99999/*", Err(Misfit::Length)),
            (Some(100_000), known, "bytes 20000-99999/100001", Err(Misfit::Length)),
            (Some(90_000), known, "bytes 20000-99999/*", Err(Misfit::Length)),
            (Some(100_000), BodyLength::Known(0), "bytes 20000-99999/100000", Err(Misfit::Length)),
            (Some(100_000), known, "bytes 0-99999/100000", Err(Misfit::Place)),
            (Some(100_000), known, "bytes 20001-99999/100000", Err(Misfit::Place)),
            (Some(100_000), known, "bytes 20000-99999/99999", Err(Misfit::Range)),
            (Some(100_000), known, "bytes 20000-19999/100000", Err(Misfit::Range)),
            (Some(100_000), known, "bytes */100000", Err(Misfit::Range)),
            (Some(100_000), known, "lines 20000-99999/100000", Err(Misfit::Range)),
            (Some(100_000), known, "bytes +20000-99999/100000", Err(Misfit::Range)),
            (Some(100_000), known, "bytes 20000-99999", Err(Misfit::Range)),
            (None, known, "bytes 20000-18446744073709551615/18446744073709551616", Err(Misfit::Range)),
        ] {
            let lines = format!("ETag: \"a\"\nContent-Range: {range}\n");
            assert_eq!(fit(length, body, &lines), expected, "{range} of {length:?}");
        }
    }

    #[test]
    fn what_is_of_another_version_or_form_does_not_fit() {
        const RANGE: &str = "Content-Range: bytes 20000-99999/100000\n";
        let fit = |lines: &str| fit(Some(100_000), BodyLength::Known(80_000), &format!("{lines}{RANGE}")).err();
        assert_eq!(fit("ETag: \"a\"\nContent-Encoding: gzip\nContent-Type: text/plain\n"), None);
        assert_eq!(fit("ETag: \"b\"\n"), Some(Misfit::Version));
        assert_eq!(fit("ETag: W/\"a\"\n"), Some(Misfit::Version));
        assert_eq!(fit(""), Some(Misfit::Version));
        assert_eq!(fit("ETag: \"a\"\nContent-Encoding: br\n"), Some(Misfit::Coding));
        assert_eq!(fit("ETag: \"a\"\nContent-Type: Multipart/ByteRanges; boundary=x\n"), Some(Misfit::Multipart));
        assert_eq!(fit(&format!("ETag: \"a\"\n{RANGE}")), Some(Misfit::Range), "twice");
        let mut dated = Representation::of(&head(200, BodyLength::Chunked, DATES)).expect("a strong date");
        for (lines, expected) in [
            ("", None),
            (DATES, None),
            ("Last-Modified: Sun, 06 Nov 1994 08:49:36 GMT\n", Some(Misfit::Version)),
            ("ETag: \"new\"\n", Some(Misfit::Version)),
        ] {
            let head = head(206, BodyLength::Chunked, &format!("{lines}{RANGE}"));
            assert_eq!(dated.fit(20_000, &head).err(), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_heads() {
        let corpus: [&[u8]; 8] = [
            b"bytes 20000-99999/100000",
            b"bytes 99-18446744073709551614/*",
            b"bytes 0-0/18446744073709551615",
            b"bytes */100000",
            b"\"a-1\"",
            b"W/\"a\"",
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"bytes 20000-99999/100000\r\nContent-Encoding: gzip\r\nContent-Type: multipart/byteranges",
        ];
        let telling: [&[u8]; 9] = [b"9", b"0", b"-", b"/", b"*", b" ", b"\"", b"\xff", b"\r\n"];
        crate::mutation::run("ranges", &corpus, &telling, 20_000, fuzz_range);
    }
}
