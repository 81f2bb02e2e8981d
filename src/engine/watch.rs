//! Time limits of requests in flight: one watch a slot, swept by the core's heartbeat.
//!
//! A limit costs two stores a ring operation and no timer: the sweep reads all watches of the core about once a
//! millisecond, in turns where there are more than two thousand. A watch that fires wakes its slot, whose operation is dropped; its connection must then be closed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Poll, Waker};

use super::control::NEVER;
use crate::units::Nanos;

/// The limit of whatever one task is waiting for.
#[derive(Debug)]
pub(crate) struct Watch {
    limit: Cell<Nanos>,
    fired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self { limit: Cell::new(NEVER), fired: Cell::new(false), waker: RefCell::new(None) }
    }
}

/// The limit passed first; the operation was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired;

impl Watch {
    /// Awaits `operation` until `limit`, which holds from now on. The caller pins it: passed by value it would be stored
    /// twice in the future.
    pub(crate) fn until<T>(
        &self,
        limit: Nanos,
        mut operation: Pin<&mut impl Future<Output = T>>,
    ) -> impl Future<Output = Result<T, Expired>> {
        self.limit.set(limit);
        self.fired.set(false);
        poll_fn(move |cx| {
            if let Poll::Ready(value) = operation.as_mut().poll(cx) {
                self.limit.set(NEVER);
                return Poll::Ready(Ok(value));
            }
            if self.fired.get() {
                return Poll::Ready(Err(Expired));
            }
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Whether the limit passed while the operation last awaited came to its end.
    pub(crate) fn passed(&self) -> bool {
        self.fired.get()
    }

    /// Waits for `limit` itself.
    pub(crate) async fn sleep(&self, limit: Nanos) {
        let never = self.until(limit, pin!(std::future::pending::<()>())).await;
        debug_assert_eq!(never, Err(Expired));
    }

    /// Fires if the limit, or `give_up_at`, has passed.
    #[inline]
    pub(crate) fn sweep(&self, now: Nanos, give_up_at: Nanos) {
        let limit = self.limit.get();
        if limit == NEVER || (now < limit && now < give_up_at) {
            return;
        }
        self.limit.set(NEVER);
        self.fired.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}
