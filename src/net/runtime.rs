//! One monoio runtime on one ring, with the cheapest ring flags that the kernel grants.
//!
//! The flags are tried from the best set downwards: COOP_TASKRUN (Linux 5.19) and SINGLE_ISSUER with DEFER_TASKRUN (6.1)
//! save a fifth of the CPU; an older kernel answers EINVAL and gets the next set. Never SQPOLL: monoio panics on a full
//! queue. Without monoio's timers, which would read the clock every turn: limits and pacing have a timerfd
//! ([`super::timer`]).

use std::io;

use monoio::{IoUringDriver, Runtime, RuntimeBuilder};

/// The runtime that every worker and every thread of the target runs on.
pub type Ring = Runtime<IoUringDriver>;

/// Ring set-up flags in use, from the richest set to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFlags {
    /// COOP_TASKRUN, SINGLE_ISSUER and DEFER_TASKRUN.
    CoopSingleDefer,
    /// COOP_TASKRUN and SINGLE_ISSUER.
    CoopSingle,
    /// COOP_TASKRUN alone.
    Coop,
    /// None: a kernel before 5.19.
    None,
}

impl RingFlags {
    const BEST_FIRST: [Self; 4] = [Self::CoopSingleDefer, Self::CoopSingle, Self::Coop, Self::None];

    /// The flags' names as io_uring_setup(2) spells them.
    pub fn names(self) -> &'static [&'static str] {
        const ALL: [&str; 3] = ["COOP_TASKRUN", "SINGLE_ISSUER", "DEFER_TASKRUN"];
        match self {
            Self::CoopSingleDefer => &ALL,
            Self::CoopSingle => &ALL[..2],
            Self::Coop => &ALL[..1],
            Self::None => &[],
        }
    }

    fn builder(self) -> io_uring::Builder {
        let mut builder = io_uring::IoUring::builder();
        if self != Self::None {
            builder.setup_coop_taskrun();
        }
        if matches!(self, Self::CoopSingle | Self::CoopSingleDefer) {
            builder.setup_single_issuer();
        }
        if self == Self::CoopSingleDefer {
            builder.setup_defer_taskrun();
        }
        builder
    }
}

/// Builds the calling thread's runtime with room for `entries` queued operations (256 at least).
///
/// # Errors
/// The kernel's refusal of the plainest ring: EPERM where a seccomp profile or `kernel.io_uring_disabled` forbids
/// io_uring, ENOSYS on a kernel without it, ENOMEM where memory may not be locked.
pub fn build(entries: u32) -> io::Result<(Ring, RingFlags)> {
    for flags in RingFlags::BEST_FIRST {
        let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(flags.builder());
        match builder.build() {
            Ok(runtime) => return Ok((runtime, flags)),
            Err(error) if flags != RingFlags::None && error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last set of flags returns")
}
