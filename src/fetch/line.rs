//! The output line of one input line: which fields it has, their order, and their JSON; and what is read back of it when a
//! run is resumed.
//!
//! The names are a contract. Knows no files; whoever writes adds nothing but the line end that is already there.

#[cfg(test)]
mod tests;

use std::io;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::ser::{SerializeMap as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::record::outcome::Failure;
use crate::units::{Nanos, hex};

/// Why a line has no answer, or none of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The last attempt failed.
    Failure(Failure),
    /// Redirects led nowhere.
    Redirect,
    /// robots.txt disallows it.
    Robots,
    /// robots.txt could not be had, so that nothing is allowed.
    RobotsUnreachable,
    /// The host was given up before its turn came.
    HostDown,
    /// The body is no JSON where JSON was asked for.
    Json,
    /// The body could not be decoded.
    Decode,
    /// The body is larger than `--max-body`, or expands too much.
    TooLarge,
    /// The run ended before it did.
    Interrupted,
    /// The line of input asks for nothing that can be had.
    Input,
}

impl Kind {
    /// All kinds, in the order of reports.
    pub fn all() -> impl Iterator<Item = Self> {
        let own = [
            Self::Redirect,
            Self::Robots,
            Self::RobotsUnreachable,
            Self::HostDown,
            Self::Json,
            Self::Decode,
            Self::TooLarge,
            Self::Interrupted,
            Self::Input,
        ];
        Failure::ALL.into_iter().map(Self::Failure).chain(own)
    }

    /// The name in lines, reports and metrics; a contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failure(failure) => failure.name(),
            Self::Redirect => "redirect",
            Self::Robots => "robots",
            Self::RobotsUnreachable => "robots_unreachable",
            Self::HostDown => "host_down",
            Self::Json => "json",
            Self::Decode => "decode",
            Self::TooLarge => "too_large",
            Self::Interrupted => "interrupted",
            Self::Input => "input",
        }
    }
}

/// A field of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The number of the input line, from 1; always there, always first.
    Line,
    /// The URL as it was typed.
    Url,
    /// The URL of the answer, after redirects.
    FinalUrl,
    /// The status of the answer; of a body that was gone on with, of the one that it began with.
    Status,
    /// Whether it is what was wanted.
    Ok,
    /// Why there is none.
    Error,
    /// Attempts made; redirects are none.
    Attempts,
    /// What the last `Retry-After` asked for.
    RetryAfterS,
    /// When the line was admitted.
    StartedAt,
    /// From then to the end, with retries and holds.
    ResponseMs,
    /// Of the last attempt, from its first byte sent.
    ServiceMs,
    /// Of the last attempt, to the first byte of its answer.
    FirstByteMs,
    /// Of the body, as it is kept.
    Bytes,
    /// As the server says.
    ContentType,
    /// Where the body is, below `--save`.
    File,
    /// Of the input line.
    Tag,
    /// Of the body.
    Sha256,
    /// What `--extract` found.
    Extracted,
    /// The body itself.
    Body,
}

impl Field {
    /// All fields, in the order of a line.
    pub const ALL: [Self; 19] = [
        Self::Line,
        Self::Url,
        Self::FinalUrl,
        Self::Status,
        Self::Ok,
        Self::Error,
        Self::Attempts,
        Self::RetryAfterS,
        Self::StartedAt,
        Self::ResponseMs,
        Self::ServiceMs,
        Self::FirstByteMs,
        Self::Bytes,
        Self::ContentType,
        Self::File,
        Self::Tag,
        Self::Sha256,
        Self::Extracted,
        Self::Body,
    ];

    /// The key in the line; a contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Url => "url",
            Self::FinalUrl => "final_url",
            Self::Status => "status",
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Attempts => "attempts",
            Self::RetryAfterS => "retry_after_s",
            Self::StartedAt => "started_at",
            Self::ResponseMs => "response_ms",
            Self::ServiceMs => "service_ms",
            Self::FirstByteMs => "first_byte_ms",
            Self::Bytes => "bytes",
            Self::ContentType => "content_type",
            Self::File => "file",
            Self::Tag => "tag",
            Self::Sha256 => "sha256",
            Self::Extracted => "extracted",
            Self::Body => "body",
        }
    }
}

/// Which fields a line has (`--fields`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fields(u32);

impl Fields {
    /// What is in every line: all but `sha256`, `extracted` and `body`, which are there when they are asked for.
    pub fn standard() -> Self {
        let extra = [Field::Sha256, Field::Extracted, Field::Body];
        let fields = Field::ALL.into_iter().filter(|field| !extra.contains(field));
        fields.fold(Self(0), Self::with)
    }

    /// These, and one more.
    pub fn with(self, field: Field) -> Self {
        Self(self.0 | 1 << field as u32)
    }

    /// Whether lines have this one.
    pub fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u32 != 0
    }

    /// Reads `url,status,bytes`; `line` is always there.
    ///
    /// # Errors
    /// The field that does not exist, and all that do.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut fields = Self(0).with(Field::Line);
        for name in text.split(',').map(str::trim) {
            let Some(field) = Field::ALL.into_iter().find(|field| field.name() == name) else {
                let all = Field::ALL.map(Field::name).join(", ");
                return Err(format!("there is no field \"{}\"; there are {all}", name.escape_debug()));
            };
            fields = fields.with(field);
        }
        Ok(fields)
    }
}

/// How a body stands in a line (`--body-in-json`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// As UTF-8; what is none becomes U+FFFD.
    Text(&'a [u8]),
    /// RFC 4648 section 4.
    Base64(&'a [u8]),
}

/// What is known of a line at its end. What does not apply is none, and null in the line.
#[derive(Clone, Debug, Default)]
pub struct Line<'a> {
    /// From 1.
    pub line: u64,
    /// As typed.
    pub url: &'a str,
    /// Of the last request made.
    pub final_url: Option<&'a str>,
    /// Of the last answer.
    pub status: Option<u16>,
    /// Status below 400 and all checks passed.
    pub ok: bool,
    /// Kind, and a sentence without secrets.
    pub error: Option<(Kind, &'a str)>,
    /// Attempts made.
    pub attempts: u32,
    /// What the last `Retry-After` asked for, capped.
    pub retry_after: Option<Nanos>,
    /// When it was admitted, since the Unix epoch; none where it never was.
    pub started_unix: Option<Nanos>,
    /// From admission to the end.
    pub response: Option<Nanos>,
    /// Of the last attempt.
    pub service: Option<Nanos>,
    /// Of the last attempt.
    pub first_byte: Option<Nanos>,
    /// Of the body as it is kept: decoded with `--decode`.
    pub bytes: Option<u64>,
    /// The value of `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// Relative to `--save`.
    pub file: Option<&'a str>,
    /// Of the input line.
    pub tag: Option<&'a str>,
    /// Of the body as it is kept.
    pub sha256: Option<[u8; 32]>,
    /// JSON of one line, as `--extract` made it.
    pub extracted: Option<&'a RawValue>,
    /// The body itself.
    pub body: Option<Body<'a>>,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    kind: &'static str,
    detail: &'a str,
}

impl Line<'_> {
    /// Appends these fields as one line of JSON with its line end. Of foreign text, all that could steer a terminal is
    /// escaped.
    pub fn write(&self, fields: Fields, out: &mut Vec<u8>) {
        let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Escaping);
        self.fields(fields, &mut serializer).expect("memory takes it, and keys are text");
        out.push(b'\n');
    }

    fn fields<S: Serializer>(&self, fields: Fields, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in Field::ALL.into_iter().filter(|&field| fields.has(field)) {
            let key = field.name();
            match field {
                Field::Line => map.serialize_entry(key, &self.line)?,
                Field::Url => map.serialize_entry(key, self.url)?,
                Field::FinalUrl => map.serialize_entry(key, &self.final_url)?,
                Field::Status => map.serialize_entry(key, &self.status)?,
                Field::Ok => map.serialize_entry(key, &self.ok)?,
                Field::Error => {
                    let error = self.error.map(|(kind, detail)| ErrorJson { kind: kind.name(), detail });
                    map.serialize_entry(key, &error)?;
                }
                Field::Attempts => map.serialize_entry(key, &self.attempts)?,
                Field::RetryAfterS => map.serialize_entry(key, &self.retry_after.map(Nanos::as_secs_f64))?,
                Field::StartedAt => map.serialize_entry(key, &self.started_unix.map(rfc3339))?,
                Field::ResponseMs => map.serialize_entry(key, &self.response.map(millis))?,
                Field::ServiceMs => map.serialize_entry(key, &self.service.map(millis))?,
                Field::FirstByteMs => map.serialize_entry(key, &self.first_byte.map(millis))?,
                Field::Bytes => map.serialize_entry(key, &self.bytes)?,
                Field::ContentType => map.serialize_entry(key, &self.content_type.map(String::from_utf8_lossy))?,
                Field::File => map.serialize_entry(key, &self.file)?,
                Field::Tag => map.serialize_entry(key, &self.tag)?,
                Field::Sha256 => map.serialize_entry(key, &self.sha256.map(|digest| hex(&digest)))?,
                Field::Extracted => map.serialize_entry(key, &self.extracted)?,
                Field::Body => match self.body {
                    Some(Body::Text(bytes)) => map.serialize_entry(key, &String::from_utf8_lossy(bytes))?,
                    Some(Body::Base64(bytes)) => map.serialize_entry(key, &BASE64_STANDARD.encode(bytes))?,
                    None => map.serialize_entry(key, &None::<()>)?,
                },
            }
        }
        map.end()
    }
}

/// Milliseconds, to the microsecond.
fn millis(time: Nanos) -> f64 {
    (time.0 / 1_000) as f64 / 1_000.0
}

fn rfc3339(unix: Nanos) -> String {
    humantime::format_rfc3339_millis(std::time::UNIX_EPOCH + unix.to_std()).to_string()
}

/// JSON as serde_json writes it, with all controls and all that reorders text as `\u…`.
struct Escaping;

impl serde_json::ser::Formatter for Escaping {
    /// JSON that was foreign text: what is not ASCII stands in its strings.
    fn write_raw_fragment<W: io::Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        self.write_string_fragment(out, fragment)
    }

    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return out.write_all(fragment.as_bytes());
        }
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|&(_, c)| steers(c)) {
            out.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        out.write_all(&fragment.as_bytes()[plain..])
    }
}

/// DEL, the controls of Latin-1, and what ends lines or changes the direction of text.
fn steers(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// What a resumed run has to know of a line that is written already.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Written {
    /// From 1.
    pub line: u64,
    /// Whether it was ok; none where that field was not asked for.
    #[serde(default)]
    pub ok: Option<bool>,
    /// The name its body has.
    #[serde(default)]
    pub file: Option<String>,
}

/// Reads one line of an earlier output, without its line end; none where it is none of ours.
pub fn read(line: &[u8]) -> Option<Written> {
    let object = Some(line).filter(|line| line.trim_ascii_start().starts_with(b"{"))?;
    serde_json::from_slice(object).ok().filter(|written: &Written| written.line > 0)
}

/// Checks what must hold for every answer and every earlier output: a written line is one line, shows no control character
/// and reads back; reading takes no more than there is.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_line(bytes: &[u8]) {
    let _ = read(bytes);
    let text = String::from_utf8_lossy(bytes);
    let number = 1 + bytes.len() as u64;
    let line = Line {
        line: number,
        url: &text,
        final_url: Some(&text),
        error: Some((Kind::Redirect, &text)),
        content_type: Some(bytes),
        file: Some(&text),
        tag: Some(&text),
        body: Some(Body::Text(bytes)),
        ..Line::default()
    };
    let mut out = Vec::new();
    line.write(Fields::standard().with(Field::Body), &mut out);
    let written = out.strip_suffix(b"\n").expect("a line end");
    let shown = std::str::from_utf8(written).expect("JSON is UTF-8");
    assert!(!shown.contains(|c: char| c.is_control() || steers(c)), "{shown:?}");
    assert_eq!(read(written), Some(Written { line: number, ok: Some(false), file: Some(text.clone().into_owned()) }));
    let value: serde_json::Value = serde_json::from_slice(written).expect("JSON");
    assert_eq!(value["body"].as_str(), Some(&*text));
}
