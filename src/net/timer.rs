//! A timer of nanosecond resolution, waited on through the driver.
//!
//! monoio's own timers tick once a millisecond and fire late: right for nothing that is measured. A timerfd costs one
//! poll request a wake and needs no read: arming it again clears the old expiry, and [`super::ready`] the driver's memory
//! of it.

use std::io;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::ready::Pollable;
use crate::units::{NANOS_PER_S, Nanos};

/// One timerfd on CLOCK_MONOTONIC, for one waiter.
pub struct Timer(Pollable);

impl Timer {
    /// A disarmed timer; must be made on the thread whose runtime waits for it.
    ///
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(Pollable::new(fd)?))
    }

    /// Waits until `at` on CLOCK_MONOTONIC; returns after a turn of the driver when that has passed.
    ///
    /// # Errors
    /// The system's; none is expected of a valid timer.
    pub async fn wait_until(&self, at: Nanos) -> io::Result<()> {
        // An expiry of zero would disarm the timer.
        let at = at.0.max(1);
        let expiry = Timespec { tv_sec: (at / NANOS_PER_S) as i64, tv_nsec: (at % NANOS_PER_S) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: expiry };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &once)?;
        self.0.readable().await
    }
}
