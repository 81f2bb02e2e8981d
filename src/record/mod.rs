//! What was measured: plain data, added up and not derived; and in `statistics` what may be inferred of it. Pure: instants are
//! arguments.

pub mod blame;
pub mod check;
pub mod classes;
pub mod environment;
pub mod fetched;
pub mod finding;
pub mod flow;
pub mod histogram;
pub mod latency;
pub mod merge;
pub mod outcome;
pub mod sparse;
pub mod statistics;
pub mod streaks;
pub mod tags;
pub mod tally;
pub mod timeline;
pub mod vitals;

pub use blame::{Blame, Shares};
pub use check::CheckSample;
pub use classes::{ByClass, Class};
pub use environment::Environment;
pub use fetched::Fetched;
pub use finding::{Finding, FindingKind};
pub use flow::Flow;
pub use histogram::Histogram;
pub use latency::{Latency, PerLatency};
pub use merge::merge;
pub use outcome::{Failure, Outcome, Stamps};
pub use sparse::SparseHistogram;
pub use streaks::Streaks;
pub use tags::TagTally;
pub use tally::{Tally, reason};
pub use timeline::{Interval, Point, Window};
pub use vitals::{Strain, Vitals};

use crate::plan::{Rule, Shard};
use crate::units::Nanos;

/// What one shard hands over when it ends.
#[derive(Clone, Debug)]
pub struct ShardRecord {
    /// Which one.
    pub shard: Shard,
    /// Its counts and histograms.
    pub tally: Tally,
    /// Its last completion, since T0.
    pub last_done: Nanos,
    /// CPU time of its thread from T0 to its end.
    pub cpu: Nanos,
    /// How it fared while it measured.
    pub vitals: Vitals,
    /// Ring set-up flags in use; empty without a ring.
    pub ring_flags: &'static [&'static str],
    /// Why its worker died before the end; its counts are what it had recorded until then.
    pub lost: Option<String>,
}

/// What was found out of an origin before the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Empty where the name has none.
    pub addresses: Vec<std::net::SocketAddr>,
    /// Of an https origin that could be reached.
    pub tls: Option<TlsSession>,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// As rustls spells it: `TLSv1_3`.
    pub version: String,
    /// The cipher suite's name in IANA's registry, as rustls spells it.
    pub cipher: String,
    /// The protocol that the server chose, where it chose one.
    pub alpn: Option<String>,
}

/// A finished run, merged.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Sums over all shards.
    pub total: Tally,
    /// The shards, by index.
    pub shards: Vec<ShardRecord>,
    /// Second by second.
    pub timeline: Vec<Point>,
    /// Half second by half second; sums to the same.
    pub windows: Vec<Window>,
    /// T0 to the end of sending; to the last completion where a number of requests ended it. Above 0.
    pub window: Nanos,
    /// Equalities that must hold and do not, in words: bugs of this program.
    pub bugs: Vec<String>,
    /// A signal ended it.
    pub interrupted: bool,
    /// The rule of the plan that ended it early.
    pub aborted: Option<Rule>,
    /// T0 since the Unix epoch.
    pub t0_unix: Nanos,
    /// When the last worker had ended, since the Unix epoch.
    pub ended_unix: Nanos,
    /// Where it was measured.
    pub environment: Environment,
    /// How that machine fared meanwhile.
    pub strain: Strain,
    /// `io_uring` or `epoll`, the same for all shards.
    pub driver: &'static str,
    /// Why io_uring was refused, where epoll stood in for it.
    pub io_uring_refused: Option<String>,
    /// What was found out of each origin before the run.
    pub origins: Vec<Reached>,
    /// What was likely to go wrong, found before the run.
    pub findings: Vec<Finding>,
    /// What became of the lines, where they were fetched.
    pub fetched: Option<Fetched>,
}
