//! Delays: everything that waits on one thread waits on one timerfd, released in the order of the instants.
//!
//! A connection that delays its answers costs no descriptor, and a wake releases all that is due.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Poll, Waker};

use crate::clock;
use crate::net::timer::Timer;
use crate::units::Nanos;

/// No instant: nothing waits.
const NEVER: Nanos = Nanos(u64::MAX);

/// The delays of one thread.
pub(super) struct Delays {
    timer: Timer,
    waiting: RefCell<BinaryHeap<Reverse<Waiting>>>,
    /// The task inside [`Delays::keep`].
    keeper: RefCell<Option<Waker>>,
    /// What the timer is set to; an earlier arrival wakes the keeper.
    armed: Cell<Nanos>,
}

/// One task that waits.
struct Waiting {
    until: Nanos,
    waker: Waker,
}

impl Delays {
    /// An empty queue; must be made on the thread whose runtime waits for it.
    ///
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub(super) fn new() -> io::Result<Self> {
        let timer = Timer::new()?;
        Ok(Self { timer, waiting: RefCell::default(), keeper: RefCell::default(), armed: Cell::new(NEVER) })
    }

    /// Waits until `at` has passed; never returns early. Needs [`Delays::keep`] to run.
    pub(super) async fn until(&self, at: Nanos) {
        let mut queued = false;
        poll_fn(|context| {
            if clock::now() >= at {
                return Poll::Ready(());
            }
            if !queued {
                queued = true;
                self.waiting.borrow_mut().push(Reverse(Waiting { until: at, waker: context.waker().clone() }));
                if at < self.armed.get()
                    && let Some(keeper) = &*self.keeper.borrow()
                {
                    keeper.wake_by_ref();
                }
            }
            Poll::Pending
        })
        .await;
    }

    /// Releases what is due, for ever.
    pub(super) async fn keep(&self) {
        loop {
            self.release(clock::now());
            let next = self.earliest();
            self.armed.set(next);
            let mut expiry = pin!(self.timer.wait_until(next));
            poll_fn(|context| {
                *self.keeper.borrow_mut() = Some(context.waker().clone());
                if self.earliest() < next {
                    return Poll::Ready(());
                }
                if next == NEVER {
                    return Poll::Pending;
                }
                expiry.as_mut().poll(context).map(|armed| armed.expect("a valid timer can be armed and polled"))
            })
            .await;
        }
    }

    /// Waits on the timer itself, for the end of a thread: [`Delays::keep`] must not run any more.
    ///
    /// # Errors
    /// The timer's; none is expected.
    pub(super) async fn pause(&self, until: Nanos) -> io::Result<()> {
        self.timer.wait_until(until).await
    }

    /// Forgets all that waits; nobody is woken.
    pub(super) fn clear(&self) {
        self.waiting.borrow_mut().clear();
        *self.keeper.borrow_mut() = None;
    }

    fn release(&self, now: Nanos) {
        let mut waiting = self.waiting.borrow_mut();
        while waiting.peek().is_some_and(|Reverse(first)| first.until <= now) {
            if let Some(Reverse(due)) = waiting.pop() {
                due.waker.wake();
            }
        }
    }

    fn earliest(&self) -> Nanos {
        self.waiting.borrow().peek().map_or(NEVER, |Reverse(first)| first.until)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.until.cmp(&other.until)
    }
}
