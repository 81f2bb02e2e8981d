//! The closed list of warnings: their order and their names.

use super::Warning;
use crate::record::FindingKind;

/// Every warning there is, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// The accounting does not add up.
    Bug,
    /// A worker died before the end.
    WorkerLost,
    /// A signal ended the run.
    Interrupted,
    /// A rule of `--abort-on` ended the run.
    Aborted,
    /// Not one request was answered below 400.
    NoSuccess,
    /// More errors than `--max-error-rate` allows.
    ErrorRate,
    /// Requests ended without a whole answer.
    Failures,
    /// Answers of 400 and above.
    HttpErrors,
    /// More than half of the answers were 3xx.
    Redirects,
    /// A quantile that is printed is only a lower bound.
    LowerBounds,
    /// Open load: more than one request in a thousand fell due and was never sent.
    Unsent,
    /// Open load: fewer than 99 % of the intended requests were sent.
    RateMissed,
    /// Open load: requests waited for free connections.
    ConnectionLimited,
    /// Workers were busy nearly all the time.
    ClientSaturated,
    /// Requests had no end when the drain was over.
    InFlightAtEnd,
    /// Connections were opened again and again though keep-alive is on.
    Churn,
    /// Times above the histograms' range.
    Clamped,
    /// Too few values for a p99.
    FewSamples,
    /// The start of the run was unlike the rest.
    WarmupTooShort,
    /// The response time rose or fell over the run.
    Drift,
    /// A second was much slower than the others.
    OutlierSecond,
    /// The response time has more than one mode.
    Bimodal,
    /// Found before the run: local ports taken by other connections.
    PortsTaken,
    /// Found before the run: local ports that closed connections may use up.
    PortChurn,
    /// Found before the run: memory that is barely enough.
    Memory,
    /// Found before the run: more threads than the CPU quota lets run at once.
    CpuQuota,
    /// The kernel refused io_uring, and epoll stood in for it.
    EpollDriver,
    /// The kernel refused the cheapest ring.
    RingFlags,
    /// The target was started by this very process.
    SharedMachine,
    /// The target has a loopback address.
    Loopback,
}

impl Code {
    /// All codes, in order.
    pub const ALL: [Self; 30] = [
        Self::Bug,
        Self::WorkerLost,
        Self::Interrupted,
        Self::Aborted,
        Self::NoSuccess,
        Self::ErrorRate,
        Self::Failures,
        Self::HttpErrors,
        Self::Redirects,
        Self::LowerBounds,
        Self::Unsent,
        Self::RateMissed,
        Self::ConnectionLimited,
        Self::ClientSaturated,
        Self::InFlightAtEnd,
        Self::Churn,
        Self::Clamped,
        Self::FewSamples,
        Self::WarmupTooShort,
        Self::Drift,
        Self::OutlierSecond,
        Self::Bimodal,
        Self::PortsTaken,
        Self::PortChurn,
        Self::Memory,
        Self::CpuQuota,
        Self::EpollDriver,
        Self::RingFlags,
        Self::SharedMachine,
        Self::Loopback,
    ];

    /// The name in reports; a contract. Names are added, never changed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bug => "bug",
            Self::WorkerLost => "worker_lost",
            Self::Interrupted => "interrupted",
            Self::Aborted => "aborted",
            Self::NoSuccess => "no_success",
            Self::ErrorRate => "error_rate",
            Self::Failures => "failures",
            Self::HttpErrors => "http_errors",
            Self::Redirects => "redirects",
            Self::LowerBounds => "lower_bounds",
            Self::Unsent => "unsent",
            Self::RateMissed => "rate_missed",
            Self::ConnectionLimited => "connection_limited",
            Self::ClientSaturated => "client_saturated",
            Self::InFlightAtEnd => "in_flight_at_end",
            Self::Churn => "churn",
            Self::Clamped => "clamped",
            Self::FewSamples => "few_samples",
            Self::WarmupTooShort => "warmup_too_short",
            Self::Drift => "drift",
            Self::OutlierSecond => "outlier_second",
            Self::Bimodal => "bimodal",
            Self::PortsTaken => "ports_taken",
            Self::PortChurn => "port_churn",
            Self::Memory => "memory",
            Self::CpuQuota => "cpu_quota",
            Self::EpollDriver => "epoll_driver",
            Self::RingFlags => "ring_flags",
            Self::SharedMachine => "shared_machine",
            Self::Loopback => "loopback",
        }
    }

    pub(super) fn of(kind: FindingKind) -> Self {
        match kind {
            FindingKind::PortsTaken => Self::PortsTaken,
            FindingKind::PortChurn => Self::PortChurn,
            FindingKind::Memory => Self::Memory,
            FindingKind::CpuQuota => Self::CpuQuota,
        }
    }

    /// Whether it is worth saying where lines are fetched, and nothing is measured.
    pub(super) fn is_of_fetch(self) -> bool {
        use Code::{Bug, CpuQuota, EpollDriver, Failures, Interrupted, Memory, PortsTaken, WorkerLost};
        [Bug, WorkerLost, Interrupted, Failures, PortsTaken, Memory, CpuQuota, EpollDriver].contains(&self)
    }

    pub(super) fn because(self, text: impl Into<String>) -> Warning {
        Warning { code: self, text: text.into() }
    }
}
