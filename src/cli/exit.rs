//! Exit codes; a contract (section 4).

use crate::record::RunRecord;
use crate::report::Summary;

/// It ran and the answer is no.
pub const NO: u8 = 1;
/// It could not run: usage, environment, input, nothing reachable.
pub const COULD_NOT_RUN: u8 = 2;
/// It ran and no answer can be given: a worker died, or `--strict` takes no invalid quantile.
pub const NO_ANSWER: u8 = 3;
/// A bug of ours was caught; what was measured is written.
pub const BUG: u8 = 101;
/// Ended by SIGINT or SIGTERM.
pub const INTERRUPTED: u8 = 130;

/// What a finished retrieval exits with: 0 where every line has its record and one at least is ok; `strict`: where all are.
pub fn of_fetch(record: &RunRecord, strict: bool) -> u8 {
    let lines = record.fetched.clone().unwrap_or_default();
    let ok = lines.ok + lines.skipped_ok;
    match record {
        record if !record.bugs.is_empty() => BUG,
        record if record.shards.iter().any(|shard| shard.lost.is_some()) => NO_ANSWER,
        record if record.interrupted => INTERRUPTED,
        _ if ok == 0 || (strict && ok < lines.lines + lines.skipped) => NO,
        _ => 0,
    }
}

/// What a finished run exits with; the gravest finding counts.
pub fn of(summary: &Summary<'_>) -> u8 {
    match summary.record {
        record if !record.bugs.is_empty() => BUG,
        _ if summary.workers_lost > 0 => NO_ANSWER,
        record if record.interrupted => INTERRUPTED,
        _ if summary.plan.strict && summary.health.any_invalid() => NO_ANSWER,
        record if record.aborted.is_some() || summary.too_many_errors => NO,
        _ if summary.expectation_failed || summary.nothing_succeeded => NO,
        _ => 0,
    }
}
