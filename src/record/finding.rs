//! What the look at the machine before a run found: likely trouble, said before the run and in its report.

/// One likely trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub kind: FindingKind,
    /// Cause and remedy in one or two sentences; printable ASCII.
    pub text: String,
}

/// Every kind there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingKind {
    /// Local ports are taken by other connections to the same destinations.
    PortsTaken,
    /// Connections that are closed after each answer use up the local ports.
    PortChurn,
    /// Memory is barely enough.
    Memory,
    /// More threads than the cgroup's CPU quota lets run at once.
    CpuQuota,
}
