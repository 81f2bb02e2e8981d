//! The tasks that connections leave on a core's runtime: it must not end before them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// How many connections' tasks run on this core.
#[derive(Debug, Default)]
pub struct Running {
    tasks: Cell<usize>,
    waiting: RefCell<Option<Waker>>,
}

impl Running {
    pub(super) fn begin(&self) {
        self.tasks.set(self.tasks.get() + 1);
    }

    pub(super) fn end(&self) {
        self.tasks.set(self.tasks.get() - 1);
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    /// Waits until none runs.
    pub async fn ended(&self) {
        poll_fn(|cx| {
            if self.tasks.get() == 0 {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}
