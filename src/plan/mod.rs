//! What a run *is*: the only place that applies defaults and rejects nonsense.
//!
//! Pure: files, clocks and the machine's properties are arguments.

pub mod alias;
pub mod auth;
pub mod error;
pub mod expect;
pub mod fetch;
pub mod http;
mod jsonlines;
pub mod limit;
pub mod load;
pub mod network;
pub mod order;
pub mod origin;
pub mod proxy;
pub mod raw;
mod redact;
pub mod request;
pub mod schedule;
pub mod shard;
pub mod source;
pub mod tags;
pub mod tls;
pub mod urlset;
pub mod validate;

use bytes::Bytes;

pub use error::PlanError;
pub use expect::Expect;
pub use fetch::Fetch;
pub use http::Http;
pub use jsonlines::fuzz_json_line;
pub use limit::Rule;
pub use load::{CatchUp, Load};
pub use network::Network;
pub use order::{Order, Walk};
pub use origin::Origin;
pub use proxy::Proxies;
pub use raw::RawPlan;
pub use schedule::{Arrivals, Schedule, Shape, Stages};
pub use shard::{Shard, shards};
pub use tls::Tls;
pub use urlset::UrlSet;
pub use validate::validate;

use crate::units::{Nanos, Share};

/// A run, immutable: every default resolved, every limit checked. Shared read-only by all shards.
#[derive(Debug)]
pub struct Plan {
    /// What is asked for, at least one line.
    pub urls: UrlSet,
    /// `-H` and what else all templates share; for the report.
    pub common: request::Common,
    /// In which order lines are asked for.
    pub order: Order,
    /// Sent with every request whose line has no body of its own.
    pub body: Option<Bytes>,
    /// When requests start.
    pub load: Load,
    /// When sending stops.
    pub end: End,
    /// This process's part of a load that several processes make together.
    pub part: Part,
    /// Open connections of this process, 1 or more; never above [`End::requests`].
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
    /// A run with a quantile that is printed and invalid has no answer.
    pub strict: bool,
    /// What ends the run early.
    pub abort_on: Vec<Rule>,
    /// Which HTTP is spoken.
    pub http: Http,
    /// How https origins are spoken to.
    pub tls: Tls,
    /// Where connections go and from where.
    pub network: Network,
    /// What connections go through.
    pub proxies: Proxies,
    /// Content codings of answers are undone, and the bytes that come of it counted.
    pub decode: bool,
    /// What answers are held against.
    pub expect: Expect,
    /// False closes every connection after its answer, as each request announces.
    pub keep_alive: bool,
    /// A connection is closed after so many requests, unannounced; `None` keeps it.
    pub requests_per_connection: Option<u64>,
    /// Start even when no connection can be opened.
    pub start_anyway: bool,
    /// What carries the bytes, as asked for.
    pub driver: DriverChoice,
    /// The command line, secrets masked; for the report.
    pub argv: Vec<String>,
    /// What the user says of the target, for the report; nobody has verified it.
    pub described: Option<String>,
    /// Times are recorded by what became of each request too, second by second.
    pub by_class: bool,
    /// The target was started by this very process and shares the machine.
    pub embedded_target: bool,
    /// The work is to fetch what comes in as the run goes on, and not load; `urls` is empty then.
    pub fetch: Option<Box<Fetch>>,
}

/// What is to carry the bytes (`--driver`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring, or epoll where that is refused.
    #[default]
    Auto,
    /// Nothing but io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

/// Which part of a load this process makes (`--shard`). What is counted here is of all processes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// 0 to `count - 1`.
    pub index: u64,
    /// Number of processes, 1 or more.
    pub count: u64,
    /// Open connections of all.
    pub connections: u32,
    /// Requests of all, where their number is limited.
    pub requests: Option<u64>,
}

/// When sending stops: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Length of the measured window.
    pub duration: Option<Nanos>,
    /// Number of requests of this process, 1 to 2^53.
    pub requests: Option<u64>,
    /// Each line of the URL set exactly once, by one of the processes: `requests` is this one's part of their number.
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

impl Plan {
    /// The body that goes out with `line`: its own, or else the plan's.
    pub fn body_of(&self, line: u64) -> Option<&[u8]> {
        self.urls.body(line).or(self.body.as_deref())
    }

    /// The same, sharing its bytes instead of borrowing them; allocates nothing.
    pub fn shared_body_of(&self, line: u64) -> Option<Bytes> {
        self.urls.shared_body(line).or_else(|| self.body.clone())
    }

    /// Whether lines are fetched as they come in: its origins are not known beforehand.
    pub fn is_fetched(&self) -> bool {
        self.fetch.is_some()
    }

    /// The most requests that one connection carries, 1 or more.
    pub fn requests_per_connection_max(&self) -> u64 {
        if self.keep_alive { self.requests_per_connection.unwrap_or(u64::MAX) } else { 1 }
    }

    /// The length of the longest body.
    pub fn longest_body(&self) -> usize {
        self.urls.bodies().chain(self.body.as_deref()).map(<[u8]>::len).max().unwrap_or(0)
    }
}

impl DriverChoice {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}
