//! Waiting for a connection while all of them are taken: first come, first served, those of the same origin first.
//!
//! What becomes free is handed over. Left lying for whoever comes, it would go to the slot that has just set it free, again
//! and again, and those in line would starve.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::Way;
use crate::engine::watch::{Expired, Watch};
use crate::units::Nanos;

/// Who waits for room in a pool.
#[derive(Debug, Default)]
pub(super) struct Room {
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

#[derive(Debug)]
struct Waiter {
    origin: u32,
    /// A connection opened before that is of no use to it.
    after: Nanos,
    state: RefCell<State>,
}

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    /// `None` once it was taken.
    Called(Option<Handed>),
}

/// What who waited is handed.
#[derive(Debug)]
pub(super) enum Handed {
    /// A connection, or a part of one.
    Way(Way),
    /// The right to open a connection, which counts as open already.
    Place,
    /// Nothing, but something has changed that is worth a look.
    Look,
}

impl Room {
    /// Waits for a way to `origin` that was opened at `after` or later, or for the place to open one.
    ///
    /// # Errors
    /// `limit` passed first.
    pub(super) async fn wait(&self, origin: u32, after: Nanos, watch: &Watch, limit: Nanos) -> Result<Handed, Expired> {
        let waiter = Rc::new(Waiter { origin, after, state: RefCell::new(State::Waiting(None)) });
        self.waiting.borrow_mut().push_back(Rc::clone(&waiter));
        let called = poll_fn(|cx| match &mut *waiter.state.borrow_mut() {
            State::Called(handed) => Poll::Ready(handed.take().expect("it is polled until it is ready")),
            State::Waiting(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        });
        let waited = watch.until(limit, pin!(called)).await;
        if waited.is_err() {
            self.waiting.borrow_mut().retain(|other| !Rc::ptr_eq(other, &waiter));
        }
        waited
    }

    /// Hands a way to `origin`, opened at `opened`, to the first in line for it; gives it back where nobody waits for that.
    pub(super) fn hand_over(&self, origin: u32, opened: Nanos, way: Way) -> Result<(), Way> {
        match self.next(|waiter| waiter.origin == origin && waiter.after <= opened) {
            None => Err(way),
            Some(waiter) => {
                waiter.call(Handed::Way(way));
                Ok(())
            }
        }
    }

    /// Whether anybody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Hands the place of a connection that is gone to the first in line; false where nobody waits.
    pub(super) fn hand_place(&self) -> bool {
        let first = self.next(|_| true);
        first.inspect(|waiter| waiter.call(Handed::Place)).is_some()
    }

    /// A connection is idle that may make room for another origin's: the first in line may look.
    pub(super) fn call_one(&self) {
        if let Some(waiter) = self.next(|_| true) {
            waiter.call(Handed::Look);
        }
    }

    /// Everything about `origin` is to be looked at again.
    pub(super) fn call_all(&self, origin: u32) {
        while let Some(waiter) = self.next(|waiter| waiter.origin == origin) {
            waiter.call(Handed::Look);
        }
    }

    fn next(&self, is_meant: impl Fn(&Waiter) -> bool) -> Option<Rc<Waiter>> {
        let waiting = &mut *self.waiting.borrow_mut();
        let at = waiting.iter().position(|waiter| is_meant(waiter))?;
        waiting.remove(at)
    }
}

impl Waiter {
    fn call(&self, handed: Handed) {
        if let State::Waiting(Some(waker)) = self.state.replace(State::Called(Some(handed))) {
            waker.wake();
        }
    }
}
