//! The core's heartbeat: one timer that releases due requests, sweeps time limits and lets the recorder turn its page.
//!
//! Armed for the next due request or a millisecond ahead, whichever is first; never more often than [`QUANTUM`], which
//! costs nothing in precision above 20,000 requests a second and saves a fifth of the CPU.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};

use super::core::Core;
use super::heart::Heart;
use super::watch::Watch;
use super::work::{Sink, Source};
use crate::clock;
use crate::net::timer::Timer;
use crate::units::Nanos;

const BEAT: Nanos = Nanos::from_millis(1);
const QUANTUM: Nanos = Nanos(30_000);
/// Watches swept in one beat; more are swept in turns, so that a sweep stays under a percent of the core.
const WATCHES_A_BEAT: usize = 2_048;

/// The idle slots of a core, most recently used last, and what they wait with.
#[derive(Debug)]
pub(crate) struct Idle {
    stack: RefCell<Vec<usize>>,
    seats: Vec<Seat>,
}

#[derive(Debug, Default)]
struct Seat {
    waiting: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Idle {
    /// Room for `slots` slots, none of them idle.
    pub(crate) fn new(slots: usize) -> Self {
        Self { stack: RefCell::new(Vec::with_capacity(slots)), seats: (0..slots).map(|_| Seat::default()).collect() }
    }

    /// Waits until the pacer releases the slot.
    pub(crate) async fn wait(&self, slot: usize) {
        let seat = &self.seats[slot];
        seat.waiting.set(true);
        self.stack.borrow_mut().push(slot);
        poll_fn(|cx| {
            if !seat.waiting.get() {
                return Poll::Ready(());
            }
            let mut waker = seat.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Releases up to `most` slots, the most recently used first: their caches are warm.
    fn release(&self, most: u64) {
        for _ in 0..most {
            let Some(slot) = self.stack.borrow_mut().pop() else { return };
            self.seats[slot].waiting.set(false);
            if let Some(waker) = &*self.seats[slot].waker.borrow() {
                waker.wake_by_ref();
            }
        }
    }
}

/// Beats until none of the core's tasks is alive any more.
///
/// # Errors
/// The timer's; none is expected.
pub(crate) async fn run<W: Source + Sink>(core: &Core<W>, heart: &Heart) -> io::Result<()> {
    let (work, watches) = (&core.work, &core.watches);
    let timer = Timer::new()?;
    let mut swept = 0;
    let mut next_sweep = Nanos::ZERO;
    let mut expected = clock::now();
    while core.any_alive() {
        let now = clock::now();
        let stalled = heart.beat(expected, now);
        work.beat(now);
        core.pool.trim();
        let due = work.due(now);
        core.stalled(stalled, due.tickets > 0);
        core.idle.release(due.tickets);
        if now >= next_sweep {
            swept = sweep(watches, swept, now, work.give_up_at());
            next_sweep = Nanos(now.0 + BEAT.0);
        }
        let soonest = now.0 + QUANTUM.0;
        expected = Nanos(due.next.0.clamp(soonest, now.0 + BEAT.0));
        timer.wait_until(expected).await?;
    }
    Ok(())
}

/// Sweeps the next part of the watches; returns where the one after it starts.
fn sweep(watches: &[Watch], from: usize, now: Nanos, give_up_at: Nanos) -> usize {
    let to = watches.len().min(from + WATCHES_A_BEAT);
    watches[from..to].iter().for_each(|watch| watch.sweep(now, give_up_at));
    if to == watches.len() { 0 } else { to }
}
