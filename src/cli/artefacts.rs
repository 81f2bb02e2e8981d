//! The options about what a run leaves behind beside its report, and what is said of the target.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::mask;
use crate::plan::PlanError;

/// A description is text for people; what is longer is data, and belongs elsewhere.
const DESCRIPTION_BYTES_MAX: u64 = 64 * 1024;

/// Files for other programs, and for the day when somebody asks.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Artefacts")]
pub(super) struct ArtefactArgs {
    /// Also write the response time's percentiles to FILE, as HdrHistogram prints them (.hgrm, in ms): always the same
    /// percentiles, so that files can be plotted over each other
    #[arg(long, value_name = "FILE")]
    pub(super) hgrm: Option<PathBuf>,
    /// Also write a histogram log to FILE (.hlog 1.3): response and service time and the lags of each second, by class
    /// of outcome, such as response.2xx
    #[arg(long, value_name = "FILE")]
    pub(super) hlog: Option<PathBuf>,
    /// Also write the seconds of the run to FILE as CSV, with the fields of the JSON report's intervals
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Also write all there is to say into a folder, new or empty: both reports, these three files, the environment, the
    /// plan (secrets left out) and the command that runs it again
    #[arg(long, value_name = "DIR")]
    pub(super) bundle: Option<PathBuf>,
    /// Store the text of FILE in the report as a description of the target: declared, not verified (UTF-8, at most 64 KiB)
    #[arg(long, value_name = "FILE")]
    describe: Option<PathBuf>,
}

impl ArtefactArgs {
    /// Whether times are to be recorded by class.
    pub(super) fn want_classes(&self) -> bool {
        self.hlog.is_some() || self.bundle.is_some()
    }

    /// The description of the target, without the credentials of URLs in it.
    ///
    /// # Errors
    /// A file that cannot be read, is too long, or is no text.
    pub(super) fn description(&self) -> Result<Option<String>, PlanError> {
        let Some(path) = &self.describe else { return Ok(None) };
        let text = read(path).map_err(|problem| PlanError::new(format!("--describe {}", path.display()), problem))?;
        Ok(Some(mask::message(&text)))
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut content = Vec::new();
    let file = File::open(path).and_then(|file| file.take(DESCRIPTION_BYTES_MAX + 1).read_to_end(&mut content));
    file.map_err(|error| format!("cannot read it: {error}"))?;
    if content.len() as u64 > DESCRIPTION_BYTES_MAX {
        return Err("is over 64 KiB; describe the target in fewer words".into());
    }
    String::from_utf8(content).map_err(|_| "is not text (UTF-8); describe the target in words".into())
}
