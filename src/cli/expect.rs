//! The options about answers that are expected, and the files they name.

use std::fs::File;
use std::io::Read as _;

use bytes::Bytes;

use crate::plan::PlanError;
use crate::plan::raw::{RawExpect, RawExpectedBody};

/// A larger file is no body that answers are compared with.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What answers must be, however they were asked for.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Checks")]
pub(super) struct ExpectArgs {
    /// Statuses that answers may have: 200,2xx,301-303; any other is a failure (check). One of 400 or above that is
    /// expected is still an http_error of bench, which exits with 1 after any failed check; fetch takes it for ok, and
    /// does not retry it. May be given again
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    expect_status: Vec<String>,
    /// A header that answers must have: 'Name', or 'Name: REGEX' to find in one of its values; may be given again
    #[arg(long, value_name = "HEADER", allow_hyphen_values = true)]
    expect_header: Vec<String>,
    /// What must be found in bodies, as received or, with --decode, decoded; @FILE: they must be its content. Answers to
    /// HEAD are not asked; may be given again
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    expect_body: Vec<String>,
}

/// What answers to a load must be.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Checks")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    expect: ExpectArgs,
    /// A larger body (64KiB, 10MB) is a failure (check), and its connection is closed [default: 8MiB with a REGEX, which
    /// keeps bodies in memory; else none]
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    max_body: Option<String>,
}

impl ExpectArgs {
    /// What was said, with every file read.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn gather(self) -> Result<RawExpect, PlanError> {
        Ok(RawExpect {
            status: self.expect_status,
            header: self.expect_header,
            body: self.expect_body.into_iter().map(body).collect::<Result<_, _>>()?,
            max_body: None,
        })
    }
}

impl CheckArgs {
    /// The same, with the bound on bodies.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn gather(self) -> Result<RawExpect, PlanError> {
        Ok(RawExpect { max_body: self.max_body, ..self.expect.gather()? })
    }
}

fn body(typed: String) -> Result<RawExpectedBody, PlanError> {
    let Some(path) = typed.strip_prefix('@') else { return Ok(RawExpectedBody::Pattern(typed)) };
    let refused = |problem: String| PlanError::new(format!("--expect-body @{path}"), problem);
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content))
        .map_err(|error| refused(format!("cannot read it: {error}; begin a REGEX with [@] for an @ in it")))?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(refused("is over 1 GiB; is it the right file?".into()));
    }
    Ok(RawExpectedBody::File { name: path.to_owned(), content: Bytes::from(content) })
}
