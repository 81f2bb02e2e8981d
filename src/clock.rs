//! The one clock of the program: CLOCK_MONOTONIC in nanoseconds, the same number in every process of the machine.
//!
//! A leaf that pure modules must not import: time reaches them as an argument.

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use crate::units::{NANOS_PER_S, Nanos};

/// Now on CLOCK_MONOTONIC; a vDSO call of about 25 ns, no system call.
#[inline]
pub fn now() -> Nanos {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Wall-clock time since the Unix epoch, for the report's time stamps only.
pub fn unix_now() -> Nanos {
    nanos(clock_gettime(ClockId::Realtime))
}

/// The smallest step that [`now`] can make.
pub fn resolution() -> Nanos {
    nanos(clock_getres(ClockId::Monotonic))
}

/// CPU time of the calling thread; a real system call of about half a microsecond.
pub fn thread_cpu() -> Nanos {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

#[inline]
fn nanos(time: Timespec) -> Nanos {
    Nanos(time.tv_sec as u64 * NANOS_PER_S + time.tv_nsec as u64)
}
