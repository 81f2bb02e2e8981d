//! Where the report of a retrieval goes, and what is said meanwhile.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::super::{note, outputs, progress, signals, stdout};
use crate::engine::Control;
use crate::files;
use crate::plan::{Plan, PlanError};
use crate::report::{self, Format, Summary};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub(super) struct OutputArgs {
    /// Also write the report to FILE (.json, .txt choose the format); may be given again. In words it goes to standard
    /// output, or to standard error where the records have that
    #[arg(long, value_name = "FILE")]
    pub(super) report: Vec<PathBuf>,
    /// No progress line
    #[arg(long)]
    no_progress: bool,
    /// No progress line, no notes and no report in words: only errors, and the records
    #[arg(short = 'q', long)]
    quiet: bool,
}

/// Where the report goes; checked before the run.
pub(super) struct Reports {
    files: Vec<(PathBuf, Format)>,
    /// In words: to standard output, else standard error.
    to_stdout: bool,
    progress: bool,
    notes: bool,
}

impl OutputArgs {
    pub(super) fn check(self, to_stdout: bool) -> Result<Reports, PlanError> {
        let mut files = Vec::with_capacity(self.report.len());
        for path in self.report {
            outputs::writable("--report", &path)?;
            let format = Format::of_path(&path).unwrap_or(Format::Text);
            files.push((path, format));
        }
        // Records on a terminal are what is looked at.
        let progress = !self.no_progress && !self.quiet && (to_stdout || !io::stdout().is_terminal());
        Ok(Reports { files, to_stdout, progress, notes: !self.quiet })
    }
}

impl Reports {
    pub(super) fn note(&self, text: &str) {
        if self.notes {
            note(text);
        }
    }

    /// From now on a signal ends the run, and a second one the program; returns the progress line.
    pub(super) fn watch(&self, plan: &Plan, control: &Arc<Control>) -> io::Result<progress::Line> {
        signals::end(control, plan, self.notes)?;
        Ok(progress::Line::new(self.progress))
    }

    pub(super) fn write(&self, summary: &Summary<'_>) -> Result<(), String> {
        for (path, format) in &self.files {
            let saved = files::save(path, |out| report::write(*format, summary, out));
            saved.map_err(|error| format!("--report {}: {error}", path.display()))?;
        }
        if !self.notes {
            return Ok(());
        }
        let mut text = Vec::new();
        let written = report::write(Format::Text, summary, &mut text);
        let written = written.and_then(|()| if self.to_stdout { stdout(&text) } else { io::stderr().write_all(&text) });
        written.map_err(|error| format!("the report: {error}"))
    }
}
