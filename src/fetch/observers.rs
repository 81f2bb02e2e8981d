//! Who watches a retrieval: the log and the metrics that its plan asks for, and whoever runs it.
//!
//! What they need is opened before the run; a file or an address that cannot be had keeps it from beginning.

use std::fmt;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};

use super::FetchError;
use super::log::Log;
use super::snapshot::Snapshot;
use crate::plan::fetch::Observation;

/// Those of one run.
pub struct Observers<'a> {
    pub(super) log: Option<Log>,
    pub(super) metrics: Option<TcpListener>,
    pub(super) show: &'a mut dyn FnMut(&Snapshot),
}

impl fmt::Debug for Observers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").field("log", &self.log).field("metrics", &self.metrics).finish_non_exhaustive()
    }
}

impl<'a> Observers<'a> {
    /// Those that were asked for, and `show`, which is called a few times a second on the thread that runs.
    ///
    /// # Errors
    /// The log cannot be opened, or the address of metrics is taken or not ours.
    pub fn new(asked: &Observation, show: &'a mut dyn FnMut(&Snapshot)) -> Result<Self, FetchError> {
        let log = asked.log.as_ref().map(|path| {
            let opened = File::options().append(true).create(true).open(path).and_then(Log::start);
            opened.map_err(|problem| FetchError::Log { path: path.display().to_string(), problem })
        });
        let metrics = asked
            .metrics
            .map(|address| TcpListener::bind(address).map_err(|problem| FetchError::Metrics { address, problem }));
        Ok(Self { log: log.transpose()?, metrics: metrics.transpose()?, show })
    }

    /// Where metrics can be had.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref()?.local_addr().ok()
    }
}
