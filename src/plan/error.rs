//! What a user can get wrong: one sentence that names the option or the line, and how to mend it.

use std::fmt;

/// A refused plan. Nothing has been sent when one exists; the program exits with 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PlanError {
    /// Where it was said: an option as typed (`--rate 0`) or a line (`urls.txt line 3`).
    pub subject: String,
    /// What is wrong and how to mend it.
    pub problem: String,
}

impl PlanError {
    /// An error about `subject`.
    pub fn new(subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { subject: subject.into(), problem: problem.into() }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.problem)
    }
}
