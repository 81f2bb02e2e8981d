//! The tasks that connections leave on a core's runtime: it must not end before them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::timer::Timer;
use crate::clock;
use crate::units::Nanos;

/// How many connections' tasks run on this core.
#[derive(Debug, Default)]
pub struct Running {
    tasks: Cell<usize>,
    /// Some have begun.
    any: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Running {
    pub(super) fn begin(&self) {
        self.tasks.set(self.tasks.get() + 1);
        self.any.set(true);
    }

    pub(super) fn end(&self) {
        self.tasks.set(self.tasks.get() - 1);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// Waits until none runs, and until the driver has let go of what they had under way.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            if self.tasks.get() == 0 {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        if self.any.get()
            && let Ok(timer) = Timer::new()
        {
            // Cancelled operations end at the driver's next turn; a runtime that ends before it keeps their sockets open.
            let _ = timer.wait_until(Nanos(clock::now().0 + 1_000_000)).await;
        }
    }
}
