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
    /// What was said; `records` is where the records go.
    ///
    /// # Errors
    /// A log that cannot be written, or would be written into the records.
    pub(super) fn gather(self, records: Option<&Path>) -> Result<RawObservation, PlanError> {
        if let Some(path) = &self.log {
            outputs::writable("--log", path)?;
            if records == Some(path) {
                let option = format!("--log {}", path.display());
                return Err(PlanError::new(option, "is where the records go; give it a file of its own"));
            }
        }
        Ok(RawObservation { log: self.log, metrics: self.metrics })
    }
}
