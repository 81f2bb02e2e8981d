//! What answers were expected to be, and what came instead: as the plan's echo, in JSON and in text.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::escape::escape;
use super::summary::Summary;
use crate::plan::Expect;
use crate::plan::expect::ExpectedBody;
use crate::record::Tally;

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
        match body {
            ExpectedBody::Matches(pattern) => Self { pattern: Some(pattern.to_string()), sha256: None },
            ExpectedBody::Equals { content, .. } => {
                Self { pattern: None, sha256: Some(super::echo::hex(&Sha256::digest(content))) }
            }
        }
    }
}

/// The samples, what the server sent escaped.
pub(super) fn samples(tally: &Tally) -> Vec<CheckSample<'_>> {
    let samples = tally.check_samples.iter();
    samples.map(|of| CheckSample { expected: &of.expected, status: of.status, came: escape(&of.came) }).collect()
}

/// A paragraph a sample, for the text report.
pub(super) fn lines(summary: &Summary<'_>) -> impl Iterator<Item = String> {
    let samples = summary.record.total.check_samples.iter();
    samples.map(|of| format!("{}: {}, {}", escape(&of.expected), of.status, escape(&of.came)))
}
