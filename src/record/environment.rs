//! What is known of the machine that a run was measured on; read elsewhere, `None` where it could not be read.

/// The client's machine and its limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Kernel release.
    pub kernel: Option<String>,
    /// CPU model name.
    pub cpu_model: Option<String>,
    /// CPUs of the affinity mask.
    pub cores_allowed: Vec<usize>,
    /// CPUs that workers were pinned to.
    pub cores_used: Vec<usize>,
    /// Frequency governor of the first used core.
    pub governor: Option<String>,
    /// Physical memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Soft limit of open files.
    pub nofile: Option<u64>,
    /// Ephemeral ports, first and last.
    pub port_range: Option<(u16, u16)>,
    /// The kernel's clock source.
    pub clocksource: Option<String>,
}
