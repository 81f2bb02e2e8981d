//! Figures by the tags of lines, as a table.

use std::io::{self, Write};

use super::cell;
use crate::report::escape::escape;
use crate::report::summary::{Summary, TagSummary, lower_bound};

/// More tags than this are not all listed.
const TAGS_LISTED: usize = 10;
/// So much of a tag is shown.
const NAME_COLUMNS: usize = 18;

/// One row a tag; of many those with most requests.
pub(super) fn write_tags(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    if summary.tags.is_empty() {
        return Ok(());
    }
    let mut rows: Vec<_> = summary.tags.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.tally.sent));
    rows.truncate(TAGS_LISTED);
    writeln!(
        out,
        "{:<NAME_COLUMNS$}{:>11}{:>11}{:>10}{:>8}{:>11}{:>11}",
        "Tag", "sent", "ok", "http_err", "failed", "resp. p50", "resp. p99"
    )?;
    for row in rows {
        write_row(row, out)?;
    }
    if summary.tags.len() > TAGS_LISTED {
        writeln!(out, "  ... the {TAGS_LISTED} that sent most of {}; the JSON report has all", summary.tags.len())?;
    }
    writeln!(out)
}

fn write_row(row: &TagSummary<'_>, out: &mut impl Write) -> io::Result<()> {
    let (tally, response) = (row.tally, &row.response);
    writeln!(
        out,
        "{:<NAME_COLUMNS$}{:>11}{:>11}{:>10}{:>8}{:>11}{:>11}",
        row.tag.map_or_else(|| "(none)".to_owned(), short),
        tally.sent,
        tally.ok,
        tally.http_error,
        tally.failed(),
        cell(response.p50_us(), lower_bound(row.censored_from_q, 0.5)),
        cell(response.p99_us(), lower_bound(row.censored_from_q, 0.99))
    )
}

fn short(name: &str) -> String {
    let escaped = escape(name);
    if escaped.len() < NAME_COLUMNS { escaped } else { format!("{}...", &escaped[..NAME_COLUMNS - 4]) }
}
