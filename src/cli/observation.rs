//! The options by which a retrieval is watched.

use std::path::{Path, PathBuf};

use super::outputs;
use crate::plan::PlanError;
use crate::plan::fetch::RawObservation;

/// As typed.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Observation")]
pub(super) struct ObservationArgs {
    /// Append what happens to lines and hosts to FILE, an event a line of JSON: ends, retries, hosts that rest
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Serve metrics to Prometheus at http://ADDR/metrics; ADDR is a port of the loopback interface (9464), or an address
    /// and a port (192.0.2.1:9464)
    #[arg(long, value_name = "ADDR", allow_hyphen_values = true)]
    metrics: Option<String>,
}

impl ObservationArgs {
    /// Where the log goes.
    pub(super) fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    /// What was said.
    ///
    /// # Errors
    /// A log that cannot be written.
    pub(super) fn gather(self) -> Result<RawObservation, PlanError> {
        self.log.iter().try_for_each(|path| outputs::writable("--log", path))?;
        Ok(RawObservation { log: self.log, metrics: self.metrics })
    }
}
