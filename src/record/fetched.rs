//! What became of the lines of a retrieval. Requests, retries included, are counted in the tally.

use crate::units::Nanos;

/// Lines by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Lines that asked for something and have their record; those that an earlier run had fetched are not among them.
    pub lines: u64,
    /// Those of them that were answered below 400, or with a status that was expected, and passed all checks.
    pub ok: u64,
    /// Those of them without an answer of use, by the kind of their error; sums to less than `lines`.
    pub errors: Vec<(&'static str, u64)>,
    /// Lines that were begun and have no record, as the run was ended first: a resumed run fetches them.
    pub unfinished: u64,
    /// Lines that an earlier run had fetched.
    pub skipped: u64,
    /// Those of them that were ok.
    pub skipped_ok: u64,
    /// Lines that asked for the same as one before them, and were left out (`--unique`).
    pub repeated: u64,
    /// Requests made again for a line.
    pub retries: u64,
    /// Those of them that went on with a body where it had broken off.
    pub continued: u64,
    /// The response times of all lines, one after the other.
    pub waits: Nanos,
}

impl Fetched {
    /// Counts an error of this kind.
    pub fn count_error(&mut self, kind: &'static str, n: u64) {
        match self.errors.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += n,
            None => self.errors.push((kind, n)),
        }
    }

    /// Adds what another core did.
    pub fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.ok += other.ok;
        other.errors.iter().for_each(|&(kind, n)| self.count_error(kind, n));
        self.unfinished += other.unfinished;
        self.skipped += other.skipped;
        self.skipped_ok += other.skipped_ok;
        self.repeated += other.repeated;
        self.retries += other.retries;
        self.continued += other.continued;
        self.waits.0 += other.waits.0;
    }
}
