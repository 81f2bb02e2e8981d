//! What is said of a run: every number derived once, and one file for each format that says it. Text from data.

mod checks;
pub mod csv;
mod diagnosis;
mod echo;
mod environment;
pub mod escape;
mod fetched;
#[cfg(test)]
mod fixture;
mod heading;
pub mod health;
pub mod hgrm;
pub mod hlog;
pub mod inference;
mod intervals;
pub mod json;
mod network;
pub mod progress;
pub mod rerun;
mod shape;
pub mod summary;
pub mod terminal;
pub mod warning;

use std::io::{self, Write};
use std::path::Path;

pub use escape::escape;
pub use json::SCHEMA;
pub use summary::Summary;
pub use warning::Warning;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs; `schema_version` 1.
    Json,
    /// Percentiles of the response time, as HdrHistogram prints them.
    Hgrm,
    /// The seconds, for spreadsheets.
    Csv,
    /// Where and by what it was measured: a part of the JSON report.
    Environment,
}

impl Format {
    /// The format that a file's name asks for: `.json`, `.txt`, any case.
    pub fn of_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?;
        match extension.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Writes a report in one format, in many small pieces: `out` had better be buffered.
///
/// # Errors
/// Those of `out`.
pub fn write(format: Format, summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Text => terminal::write(summary, out),
        Format::Json => json::write(summary, out),
        Format::Hgrm => hgrm::write(summary, out),
        Format::Csv => csv::write(summary, out),
        Format::Environment => environment::write(summary, out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_chooses_its_format() {
        for (name, format) in [
            ("out/report.json", Some(Format::Json)),
            ("R.TXT", Some(Format::Text)),
            ("report", None),
            (".json", None),
            ("report.html", None),
        ] {
            assert_eq!(Format::of_path(Path::new(name)), format, "{name}");
        }
    }
}
