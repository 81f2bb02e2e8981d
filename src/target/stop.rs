//! Ending tasks from outside: a guarded task is dropped, with all it owns, at the next turn after the stop is asked for.
//!
//! monoio cannot drop a runtime that has operations in flight without leaking its ring and sockets; dropping the tasks
//! first cancels their operations.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// The guarded tasks of one thread.
#[derive(Default)]
pub(super) struct Stop {
    asked: Cell<bool>,
    running: Cell<usize>,
    /// By seat; a free seat holds none.
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

impl Stop {
    /// Runs `task` to its end or to the stop, whichever comes first; counted as running from this call on.
    pub(super) fn guard<T: Future<Output = ()>>(self: &Rc<Self>, task: T) -> impl Future<Output = ()> + use<T> {
        let stop = Rc::clone(self);
        stop.running.set(stop.running.get() + 1);
        async move {
            let mut seat = None;
            {
                let mut task = pin!(task);
                poll_fn(|context| {
                    if stop.asked.get() {
                        return Poll::Ready(());
                    }
                    // A task keeps its waker for life.
                    if seat.is_none() {
                        seat = Some(stop.sit(context.waker().clone()));
                    }
                    task.as_mut().poll(context)
                })
                .await;
            }
            if let Some(seat) = seat {
                stop.leave(seat);
            }
            stop.running.set(stop.running.get() - 1);
        }
    }

    /// Ends every guarded task at its next turn, which is now.
    pub(super) fn ask(&self) {
        self.asked.set(true);
        for waker in self.wakers.borrow().iter().flatten() {
            waker.wake_by_ref();
        }
    }

    /// Guarded tasks that have not ended.
    pub(super) fn running(&self) -> usize {
        self.running.get()
    }

    fn sit(&self, waker: Waker) -> usize {
        let mut wakers = self.wakers.borrow_mut();
        if let Some(seat) = self.free.borrow_mut().pop() {
            wakers[seat] = Some(waker);
            return seat;
        }
        wakers.push(Some(waker));
        wakers.len() - 1
    }

    fn leave(&self, seat: usize) {
        self.wakers.borrow_mut()[seat] = None;
        self.free.borrow_mut().push(seat);
    }
}
