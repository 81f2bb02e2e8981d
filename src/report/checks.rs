//! What answers were expected to be, and what came instead: as the plan's echo, in JSON and in text.

use serde::Serialize;

use super::escape::escape;
use crate::plan::Expect;
use crate::plan::expect::ExpectedBody;
use crate::record::Tally;

/// So much of a text is shown to people; with the paragraph's label and a comma it fits into 80 columns.
const COLUMNS_SHOWN: usize = 64;

/// What every answer was held against, as typed; nothing was expected where a list is empty.
#[derive(Serialize)]
pub(super) struct ExpectEcho {
    status: Vec<String>,
    /// With `***` for secrets.
    headers: Vec<String>,
    bodies: Vec<BodyEcho>,
    max_body_bytes: Option<u64>,
}

/// Either is null.
#[derive(Serialize)]
struct BodyEcho {
    pattern: Option<String>,
    /// SHA-256 in hex of the file's content.
    sha256: Option<String>,
}

/// One answer that fell short.
#[derive(Serialize)]
pub(super) struct CheckSample<'a> {
    expected: &'a str,
    status: u16,
    came: String,
}

impl ExpectEcho {
    /// What reports show of `expect`.
    pub(super) fn new(expect: &Expect) -> Self {
        Self {
            status: expect.statuses.iter().map(ToString::to_string).collect(),
            headers: expect.headers.iter().map(ToString::to_string).collect(),
            bodies: expect.bodies.iter().map(BodyEcho::new).collect(),
            max_body_bytes: expect.max_body,
        }
    }
}

impl BodyEcho {
    fn new(body: &ExpectedBody) -> Self {
        let sha256 = body.sha256();
        Self { pattern: sha256.is_none().then(|| body.to_string()), sha256 }
    }
}

/// The samples, what the server sent escaped.
pub(super) fn samples(tally: &Tally) -> Vec<CheckSample<'_>> {
    let samples = tally.check_samples.iter();
    samples.map(|of| CheckSample { expected: &of.expected, status: of.status, came: escape(&of.came) }).collect()
}

/// A paragraph for each different sample, for the text report.
pub(super) fn lines(tally: &Tally) -> Vec<String> {
    let mut lines = Vec::new();
    for of in &tally.check_samples {
        let line = format!("{}: {}, {}", cut(&of.expected), of.status, cut(&of.came));
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

/// `text` escaped, and cut so that it fits into a line of its own.
fn cut(text: &str) -> String {
    let escaped = escape(text);
    if escaped.len() <= COLUMNS_SHOWN { escaped } else { format!("{}...", &escaped[..COLUMNS_SHOWN - 3]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::CheckSample;

    #[test]
    fn alike_samples_are_told_once_and_in_printable_ascii_of_bounded_length() {
        let sample = |status| CheckSample {
            expected: "--expect-body \u{fc}".into(),
            status,
            came: "\u{1b}[2J".repeat(30).into(),
        };
        let tally = Tally { check_samples: vec![sample(200), sample(200), sample(500)], ..Tally::default() };
        let lines = lines(&tally);
        assert_eq!(lines.len(), 2);
        assert!(
            lines[1].starts_with(r"--expect-body \u{fc}: 500, \u{1b}[2J") && lines[1].ends_with("..."),
            "{}",
            lines[1]
        );
        assert!(lines.iter().all(|line| line.len() < 140 && line.bytes().all(|byte| (32..127).contains(&byte))));
    }
}
