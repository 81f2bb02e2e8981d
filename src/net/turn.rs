//! Turns: what keeps one task from having its core for itself on epoll.
//!
//! A ring's operation is never complete before the driver has had its turn. On epoll it is a system call that may succeed
//! at once: a task whose peer is always ready would never let go of the core, and no time limit would be looked at. So
//! after a number of such operations in a row the next one waits for a turn. A task that wakes itself is no way to wait:
//! monoio puts it in front of its queue, before all others. It lines up here instead, and a task that does nothing else
//! wakes those who have lined up: from then on they stand behind whatever else was to be done.
//!
//! On the ring nothing ever lines up, and an operation costs the look at one counter.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

/// Operations of one core that may complete at once in a row.
const AT_ONCE_MAX: u32 = 32;

thread_local! {
    /// Operations that were complete at once since the last turn.
    static AT_ONCE: Cell<u32> = const { Cell::new(0) };
    static LINE: Line = const { Line { keeper: RefCell::new(None), waiting: RefCell::new(Vec::new()) } };
}

/// Who waits for a turn, and the task that gives it to them; none on the ring.
struct Line {
    keeper: RefCell<Option<Waker>>,
    waiting: RefCell<Vec<Waker>>,
}

/// Gives turns to those who line up, for ever: a task of its own beside all others.
pub(super) async fn keep() {
    poll_fn(|context| {
        LINE.with(|line| {
            *line.keeper.borrow_mut() = Some(context.waker().clone());
            line.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        });
        Poll::Pending
    })
    .await
}

/// Forgets the keeper of a runtime that has ended, and who still waits there.
pub(super) fn close() {
    let (keeper, waiting) = LINE.with(|line| (line.keeper.take(), line.waiting.take()));
    drop((keeper, waiting));
}

/// Waits for a turn; on the ring there is nothing to wait for.
pub(super) async fn pass() {
    let mut lined_up = false;
    poll_fn(|context| {
        lined_up = !lined_up && line_up(context);
        if lined_up { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

/// Whether the caller has to wait; it will be woken.
fn line_up(context: &Context<'_>) -> bool {
    AT_ONCE.set(0);
    LINE.with(|line| {
        let keeper = line.keeper.borrow();
        let Some(keeper) = &*keeper else { return false };
        line.waiting.borrow_mut().push(context.waker().clone());
        keeper.wake_by_ref();
        true
    })
}

/// Awaits `operation`, after a turn where too many before it were complete at once.
pub fn fair<F: Future>(operation: F) -> Fair<F> {
    Fair { operation, stage: Stage::New }
}

pin_project! {
    /// See [`fair`].
    #[derive(Debug)]
    pub struct Fair<F> {
        #[pin]
        operation: F,
        stage: Stage,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    /// Its turn is awaited, or has come.
    LinedUp,
    Begun,
}

impl<F: Future> Future for Fair<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let first = *this.stage != Stage::Begun;
        if *this.stage == Stage::New && AT_ONCE.get() >= AT_ONCE_MAX && line_up(context) {
            *this.stage = Stage::LinedUp;
            return Poll::Pending;
        }
        *this.stage = Stage::Begun;
        let polled = this.operation.poll(context);
        if first && polled.is_ready() {
            AT_ONCE.set(AT_ONCE.get() + 1);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::OnceCell;
    use std::future::ready;
    use std::rc::Rc;

    use super::*;
    use crate::clock;
    use crate::net::runtime::{self, Driver};
    use crate::net::timer::Timer;
    use crate::units::Nanos;

    /// Waits for a timer beside a task that does `more` for as long as the timer takes; without turns it would never fire.
    fn wait_beside(more: impl AsyncFn() + 'static) {
        let mut runtime = runtime::build(Driver::Epoll, 256).expect("a runtime");
        runtime.block_on(async {
            let over = Rc::new(Cell::new(false));
            let of_task = Rc::clone(&over);
            let busy = monoio::spawn(async move {
                while !of_task.get() {
                    more().await;
                }
            });
            let timer = Timer::new().expect("a timer");
            timer.wait_until(Nanos(clock::now().0 + Nanos::from_millis(5).0)).await.expect("it fires");
            over.set(true);
            busy.await;
        });
        assert!(LINE.with(|line| line.keeper.borrow().is_none()), "the next runtime has a keeper of its own");
    }

    #[test]
    fn a_task_whose_operations_are_always_complete_lets_all_else_have_its_turn() {
        wait_beside(|| fair(ready(())));
    }

    #[test]
    fn a_task_that_does_nothing_but_pass_lets_all_else_have_its_turn() {
        wait_beside(pass);
    }

    #[test]
    fn a_timer_that_has_always_fired_lets_all_else_have_its_turn() {
        let timer = Rc::new(OnceCell::new());
        wait_beside(move || {
            let timer = Rc::clone(&timer);
            async move {
                let timer: &Timer = timer.get_or_init(|| Timer::new().expect("a timer"));
                timer.wait_until(Nanos(1)).await.expect("it fires");
            }
        });
    }

    #[test]
    fn without_a_keeper_nobody_waits() {
        assert!(!line_up(&Context::from_waker(Waker::noop())));
    }
}
