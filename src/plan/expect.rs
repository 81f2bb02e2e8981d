//! What answers are expected to be: statuses, headers, bodies, sizes. Read and checked here, held against answers elsewhere.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use regex::bytes::Regex;
use sha2::{Digest as _, Sha256};

use super::error::PlanError;
use super::raw::{RawExpect, RawExpectedBody};
use super::request::{is_secret_header, is_token};
use crate::units::{hex, parse_bytes};

/// So many bytes of a body are kept to look for a pattern in, without `--max-body`.
const KEPT_BYTES: u64 = 8 << 20;
/// The largest body that may be kept.
const KEPT_BYTES_MAX: u64 = 1 << 30;
/// A status that ends an answer (RFC 9110 section 15), as far as it can be read.
const STATUSES: RangeInclusive<u16> = 200..=999;
/// Stands for what must not be shown.
const SECRET: &str = "***";

/// What every answer is held against. A clone looks for its patterns by itself: each shard has its own.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// The answer's status is in one of them; empty: any.
    pub statuses: Vec<Statuses>,
    /// All of these headers are there.
    pub headers: Vec<ExpectedHeader>,
    /// The body is all of these.
    pub bodies: Vec<ExpectedBody>,
    /// The largest body, in bytes, its codings undone where `--decode` undoes them.
    pub max_body: Option<u64>,
}

/// Statuses next to each other: `200`, `2xx`, `301-303`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses {
    range: RangeInclusive<u16>,
    typed: String,
}

/// A header that must be there.
#[derive(Clone, Debug)]
pub struct ExpectedHeader {
    /// A token, in any case.
    pub name: String,
    /// Found somewhere in one of its values; `None`: any will do.
    pub value: Option<Regex>,
}

/// What a body must be.
#[derive(Clone, Debug)]
pub enum ExpectedBody {
    /// This is found in it.
    Matches(Regex),
    /// It is the file's content.
    Equals {
        /// The file's name.
        name: String,
        /// All of it.
        content: Bytes,
    },
}

impl Expect {
    /// Reads and checks what was said.
    ///
    /// # Errors
    /// The option that makes no sense, with the remedy.
    pub fn new(raw: &RawExpect) -> Result<Self, PlanError> {
        let items = raw.status.iter().flat_map(|list| list.split(','));
        let bodies: Vec<_> = raw.body.iter().map(ExpectedBody::new).collect::<Result<_, _>>()?;
        let looks_for = bodies.iter().any(|body| matches!(body, ExpectedBody::Matches(_)));
        let max_body = match &raw.max_body {
            Some(text) => Some(max_body(text, looks_for)?),
            None => looks_for.then_some(KEPT_BYTES),
        };
        Ok(Self {
            statuses: items.map(Statuses::parse).collect::<Result<_, _>>()?,
            headers: raw.header.iter().map(|text| ExpectedHeader::parse(text)).collect::<Result<_, _>>()?,
            bodies,
            max_body,
        })
    }

    /// Whether any answer will do.
    pub fn is_empty(&self) -> bool {
        self.statuses.is_empty() && self.headers.is_empty() && self.bodies.is_empty() && self.max_body.is_none()
    }

    /// Whether an answer may have this status.
    pub fn allows(&self, status: u16) -> bool {
        self.statuses.is_empty() || self.statuses.iter().any(|statuses| statuses.range.contains(&status))
    }

    /// Whether this status was named, so that it is wanted even where it is 400 or above.
    pub fn names(&self, status: u16) -> bool {
        !self.statuses.is_empty() && self.allows(status)
    }

    /// Whether a whole body must be kept until its end.
    pub fn keeps_bodies(&self) -> bool {
        self.bodies.iter().any(|body| matches!(body, ExpectedBody::Matches(_)))
    }
}

impl Expect {
    /// All but the size as text, a line each: without secrets, a file by its content. Empty where any answer will do.
    pub fn shown(&self) -> String {
        let statuses = self.statuses.iter().map(|statuses| format!("status {statuses}\n"));
        let headers = self.headers.iter().map(|header| format!("header {:?}\n", header.to_string()));
        let bodies = self.bodies.iter().map(|body| match body.sha256() {
            Some(digest) => format!("body {digest}\n"),
            None => format!("body {:?}\n", body.to_string()),
        });
        statuses.chain(headers).chain(bodies).collect()
    }
}

impl Statuses {
    fn parse(typed: &str) -> Result<Self, PlanError> {
        let typed = typed.trim();
        let bad = |problem: &str| PlanError::new(format!("--expect-status {}", typed.escape_debug()), problem);
        let status = |text: &str| {
            let is_number = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse::<u16>().ok()).flatten()
        };
        let class = typed.to_ascii_lowercase().strip_suffix("xx").and_then(|digit| status(&format!("{digit}00")));
        let range = match (class, typed.split_once('-')) {
            (Some(first), _) => Some((first, first + 99)),
            (None, Some((first, last))) => status(first.trim()).zip(status(last.trim())),
            (None, None) => status(typed).map(|one| (one, one)),
        };
        match range {
            None => Err(bad("is no status; write e.g. 200, 2xx or 301-303, with commas between them")),
            Some((first, last)) if first > last => Err(bad("ends before it begins; write the lower status first")),
            Some((first, last)) if !STATUSES.contains(&first) || !STATUSES.contains(&last) => {
                Err(bad("ends no answer; a final status is 200 to 999"))
            }
            Some((first, last)) => Ok(Self { range: first..=last, typed: typed.to_owned() }),
        }
    }
}

impl fmt::Display for Statuses {
    /// As typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

impl ExpectedHeader {
    fn parse(typed: &str) -> Result<Self, PlanError> {
        let (name, pattern) = match typed.split_once(':') {
            Some((name, pattern)) => (name, Some(pattern.trim())),
            None => (typed.trim(), None),
        };
        // What is typed may be a secret: only a name is repeated.
        if !is_token(name) {
            return Err(PlanError::new("--expect-header", "has no header name; write 'Name' or 'Name: REGEX'"));
        }
        let subject = || format!("--expect-header '{name}'");
        let value = match pattern {
            Some("") => {
                let problem = "has no value; write 'Name' for any value, 'Name: ^$' for an empty one";
                return Err(PlanError::new(subject(), problem));
            }
            Some(pattern) => Some(regex(pattern).map_err(|problem| PlanError::new(subject(), problem))?),
            None => None,
        };
        Ok(Self { name: name.to_owned(), value })
    }

    /// Whether its values must not be shown.
    pub fn is_secret(&self) -> bool {
        is_secret_header(&self.name)
    }
}

impl fmt::Display for ExpectedHeader {
    /// As typed, but for a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            None => f.write_str(&self.name),
            Some(_) if self.is_secret() => write!(f, "{}: {SECRET}", self.name),
            Some(pattern) => write!(f, "{}: {pattern}", self.name),
        }
    }
}

impl ExpectedBody {
    fn new(raw: &RawExpectedBody) -> Result<Self, PlanError> {
        match raw {
            RawExpectedBody::File { name, content } => {
                Ok(Self::Equals { name: name.clone(), content: content.clone() })
            }
            RawExpectedBody::Pattern(pattern) => {
                let refused = |problem: String| PlanError::new("--expect-body", problem);
                if pattern.is_empty() {
                    return Err(refused("is found in every body; write what to look for, ^$ for an empty body".into()));
                }
                regex(pattern).map(Self::Matches).map_err(refused)
            }
        }
    }

    /// The digest of the content that it must be, in hex; `None` for a pattern.
    pub fn sha256(&self) -> Option<String> {
        match self {
            Self::Matches(_) => None,
            Self::Equals { content, .. } => Some(hex(&Sha256::digest(content))),
        }
    }
}

impl fmt::Display for ExpectedBody {
    /// As typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Matches(pattern) => write!(f, "{pattern}"),
            Self::Equals { name, .. } => write!(f, "@{name}"),
        }
    }
}

/// A pattern whose search takes time in proportion to what is searched, whatever it is.
fn regex(pattern: &str) -> Result<Regex, String> {
    Regex::new(pattern).map_err(|error| regex_problem(&error))
}

/// What is wrong with a regular expression, in a line.
pub fn regex_problem(error: &regex::Error) -> String {
    if let regex::Error::CompiledTooBig(_) = error {
        return "is too large a regular expression; write a shorter one".to_owned();
    }
    // Its Display draws the pattern over several lines; the last says what is wrong.
    let text = error.to_string();
    let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("is no regular expression: {reason}; a \\ before a character takes it as it is")
}

fn max_body(text: &str, kept: bool) -> Result<u64, PlanError> {
    let bytes = parse_bytes(text).map_err(|problem| PlanError::new("--max-body", problem))?;
    if kept && bytes > KEPT_BYTES_MAX {
        let problem = "is more than is kept to look for a pattern in; the limit is 1GiB";
        return Err(PlanError::new(format!("--max-body {text}"), problem));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(status: &str, header: &str, body: &str) -> Result<Expect, PlanError> {
        let some = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
        let body = some(body).into_iter().map(RawExpectedBody::Pattern).collect();
        Expect::new(&RawExpect { status: some(status), header: some(header), body, max_body: None })
    }

    #[test]
    fn statuses_are_numbers_classes_and_ranges() {
        let expect = typed("200, 3XX,404-410", "", "").expect("statuses");
        let allowed: Vec<u16> =
            [199, 200, 201, 299, 300, 399, 400, 403, 404, 410, 411].into_iter().filter(|&s| expect.allows(s)).collect();
        assert_eq!(allowed, [200, 300, 399, 404, 410]);
        assert!(Expect::default().allows(500) && Expect::default().is_empty() && !expect.is_empty());
        assert!(expect.names(404) && !expect.names(500) && !Expect::default().names(200));
        for (text, part) in [
            ("20", "no status"),
            ("2x", "no status"),
            ("200,,201", "no status"),
            ("+20", "no status"),
            ("0xx", "200 to 999"),
            ("100", "200 to 999"),
            ("1xx", "200 to 999"),
            ("303-301", "lower status first"),
            ("200-2xx", "no status"),
        ] {
            let error = typed(text, "", "").expect_err(text);
            assert!(error.subject.starts_with("--expect-status") && error.problem.contains(part), "{error}");
        }
    }

    #[test]
    fn headers_have_a_name_and_perhaps_a_pattern() {
        let expect = typed("", "Content-Type:  ^text/", "").expect("a header");
        assert_eq!(expect.headers[0].to_string(), "Content-Type: ^text/");
        assert_eq!(typed("", "ETag", "").expect("a name").headers[0].to_string(), "ETag");
        assert_eq!(typed("", "Set-Cookie: hush", "").expect("a header").headers[0].to_string(), "Set-Cookie: ***");
        for (text, part) in
            [("a b", "no header name"), (": x", "no header name"), ("A:", "no value"), ("A: (hush", "unclosed group")]
        {
            let error = typed("", text, "").expect_err(text);
            assert!(error.subject.starts_with("--expect-header") && error.problem.contains(part), "{error}");
            assert!(!error.to_string().contains("hush"), "{error}");
        }
    }

    #[test]
    fn what_is_shown_has_no_secrets_and_knows_files_by_their_content() {
        let file = |content: &'static str| {
            let body = RawExpectedBody::File { name: "f".into(), content: content.into() };
            Expect::new(&RawExpect { body: vec![body], ..RawExpect::default() }).expect("a file").shown()
        };
        assert!(file("a") != file("b") && file("a").len() == "body \n".len() + 64);
        let shown = typed("200,3xx", "Set-Cookie: hush", "a\nb").expect("expectations").shown();
        assert_eq!(shown, "status 200\nstatus 3xx\nheader \"Set-Cookie: ***\"\nbody \"a\\nb\"\n");
        assert_eq!(Expect::default().shown(), "");
    }

    #[test]
    fn a_pattern_keeps_bodies_up_to_a_limit() {
        let expect = typed("", "", "ok$").expect("a pattern");
        assert!(expect.keeps_bodies() && expect.max_body == Some(8 << 20));
        for (text, part) in [("(", "unclosed group"), ("\\", "no regular expression"), ("a{9999}{999}", "too large")] {
            let error = typed("", "", text).expect_err(text);
            assert!(error.subject == "--expect-body" && error.problem.contains(part), "{error}");
            assert!(!error.problem.contains('\n'), "{error}");
        }
        let file = RawExpectedBody::File { name: "f".into(), content: Bytes::from_static(b"x") };
        let raw = RawExpect { body: vec![file], ..RawExpect::default() };
        let expect = Expect::new(&raw).expect("a file");
        assert!(!expect.keeps_bodies() && expect.max_body.is_none() && expect.bodies[0].to_string() == "@f");
        let raw = RawExpect { max_body: Some("2GiB".into()), ..raw };
        assert_eq!(Expect::new(&raw).expect("nothing is kept").max_body, Some(2 << 30));
        let raw = RawExpect { body: vec![RawExpectedBody::Pattern("x".into())], ..raw };
        assert!(Expect::new(&raw).expect_err("too much").problem.contains("1GiB"));
    }
}
