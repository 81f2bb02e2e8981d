//! What the threads of a run share: when it starts and when it ends, and a heartbeat a core. Single writers, no locks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::clock;
use crate::units::Nanos;

/// No instant that comes.
pub const NEVER: Nanos = Nanos(u64::MAX);

/// An interruption becomes the end of sending this much later, so that no core can have passed it unseen.
const NOTICE: Nanos = Nanos::from_millis(1);

/// The common timeline of a run; written by the main thread, read by all.
#[derive(Debug)]
pub struct Control {
    start: AtomicU64,
    t0: AtomicU64,
    end: AtomicU64,
    interrupted: AtomicBool,
}

impl Default for Control {
    fn default() -> Self {
        let never = || AtomicU64::new(NEVER.0);
        Self { start: never(), t0: never(), end: never(), interrupted: AtomicBool::new(false) }
    }
}

impl Control {
    /// Sets the timeline: sending starts at `start`, the measured window at `t0`, and ends at `end` or [`NEVER`].
    pub fn schedule(&self, start: Nanos, t0: Nanos, end: Nanos) {
        self.start.store(start.0, Ordering::Relaxed);
        self.t0.store(t0.0, Ordering::Relaxed);
        self.end.fetch_min(end.0, Ordering::Release);
    }

    /// Ends the sending now; the drain follows. Safe to call from any thread, at any time, more than once.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
        self.stop();
    }

    /// Ends the sending now, on the program's own account.
    pub fn stop(&self) {
        self.end.fetch_min(clock::now().0 + NOTICE.0, Ordering::Release);
    }

    /// When sending starts.
    pub fn start(&self) -> Nanos {
        Nanos(self.start.load(Ordering::Relaxed))
    }

    /// When the measured window starts.
    pub fn t0(&self) -> Nanos {
        Nanos(self.t0.load(Ordering::Relaxed))
    }

    /// When sending ends; [`NEVER`] while only a number of requests ends it.
    #[inline]
    pub fn end(&self) -> Nanos {
        Nanos(self.end.load(Ordering::Acquire))
    }

    /// Whether a signal ended the run.
    pub fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

/// Signs of life of one worker, for the watchdog; written by the worker alone.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: AtomicU64,
    thread: AtomicU64,
}

impl Pulse {
    /// The worker's loop came round.
    #[inline]
    pub fn beat(&self) {
        // One writer: a plain load and store, no locked instruction.
        self.beats.store(self.beats.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// How often the loop came round.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Says which thread the worker is, by the kernel's number.
    pub fn enter(&self) {
        self.thread.store(rustix::thread::gettid().as_raw_nonzero().get() as u64, Ordering::Relaxed);
    }

    /// The kernel's number of the worker's thread; 0 before it started.
    pub fn thread(&self) -> u64 {
        self.thread.load(Ordering::Relaxed)
    }
}
