//! What a run *is*: the only place that applies defaults and rejects nonsense.
//!
//! Pure: files, clocks and the machine's properties are arguments.

pub mod error;
pub mod limit;
pub mod origin;
pub mod raw;
pub mod request;
pub mod schedule;
pub mod shard;
pub mod urlset;
pub mod validate;

use bytes::Bytes;

pub use error::PlanError;
pub use limit::Rule;
pub use origin::Origin;
pub use raw::RawPlan;
pub use schedule::{Arrivals, Schedule};
pub use shard::{Shard, shards};
pub use urlset::UrlSet;
pub use validate::validate;

use crate::units::{Nanos, Rate, Share};

/// A run, immutable: every default resolved, every limit checked. Shared read-only by all shards.
#[derive(Debug)]
pub struct Plan {
    /// What is asked for, at least one line.
    pub urls: UrlSet,
    /// `-H` and what else all templates share; for the report.
    pub common: request::Common,
    /// Sent with every request.
    pub body: Option<Bytes>,
    /// When requests start.
    pub load: Load,
    /// When sending stops.
    pub end: End,
    /// Open connections in total, 1 or more; never above [`End::requests`].
    pub connections: u32,
    /// The CPU of each shard; its length is the number of shards, at most `connections`.
    pub cores: Vec<usize>,
    /// Seed of every random choice.
    pub seed: u64,
    /// Load before the measured window.
    pub warmup: Nanos,
    /// How long answers are awaited after time or a signal ended the sending.
    pub drain: Nanos,
    /// Limits on single requests.
    pub timeouts: Timeouts,
    /// The largest share of intended requests that may end as http_error or failed for a run to count as passed.
    pub max_error_rate: Option<Share>,
    /// What ends the run early.
    pub abort_on: Vec<Rule>,
    /// False closes every connection after its answer.
    pub keep_alive: bool,
    /// Start even when no connection can be opened.
    pub start_anyway: bool,
    /// The command line, secrets masked; for the report.
    pub argv: Vec<String>,
    /// The target was started by this very process and shares the machine.
    pub embedded_target: bool,
}

/// When requests start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// As fast as answers come, one request in flight a connection.
    Closed,
    /// At times that do not depend on answers.
    Open {
        /// In total, over all shards.
        rate: Rate,
        /// Their spacing.
        arrivals: Arrivals,
    },
}

/// When sending stops: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Length of the measured window.
    pub duration: Option<Nanos>,
    /// Number of requests, 1 to 2^53.
    pub requests: Option<u64>,
    /// Each line of the URL set exactly once: `requests` is their number.
    pub once: bool,
}

/// Limits on single requests (contract section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From sent to done.
    pub request: Nanos,
    /// One connect.
    pub connect: Nanos,
    /// Silence between bytes.
    pub read: Option<Nanos>,
    /// From the intended start, queued or in flight.
    pub deadline: Option<Nanos>,
}

impl Load {
    /// `closed` or `open`, as reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
        }
    }
}
