//! Answers that were not what was expected: the first few of them, for people to see.

/// So many are kept.
pub const SAMPLES_MAX: usize = 10;

/// One answer that fell short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckSample {
    /// The expectation as it was typed, secrets masked.
    pub expected: Box<str>,
    /// The answer's status.
    pub status: u16,
    /// What came instead: the beginning of the body, or the header. The server's own text, and not escaped.
    pub came: Box<str>,
}
