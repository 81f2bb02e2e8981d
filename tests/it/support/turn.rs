//! Who may load the machine: any number of ordinary tests, or one that measures alone.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard};

static RUNNING: Mutex<Running> = Mutex::new(Running { programs: 0, alone: false });
static CHANGED: Condvar = Condvar::new();

thread_local! {
    /// This thread's test measures alone: its programs wait for nobody.
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

struct Running {
    /// Of ordinary tests.
    programs: usize,
    alone: bool,
}

/// Held by a program of an ordinary test as long as it runs.
pub(crate) struct Turn {
    counted: bool,
}

/// Held by a test that measures alone; its thread must start all of its programs.
pub(crate) struct Alone(());

impl Turn {
    /// Waits until nobody measures alone.
    pub(crate) fn take() -> Self {
        if ALONE.get() {
            return Self { counted: false };
        }
        wait_while(|running| running.alone).programs += 1;
        Self { counted: true }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.counted {
            lock().programs -= 1;
            CHANGED.notify_all();
        }
    }
}

impl Alone {
    /// Waits until no program of another test runs; none starts while this is held.
    pub(crate) fn take() -> Self {
        wait_while(|running| running.alone || running.programs > 0).alone = true;
        ALONE.set(true);
        Self(())
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        ALONE.set(false);
        lock().alone = false;
        CHANGED.notify_all();
    }
}

/// A test that failed with the lock left the counts as they should be.
fn lock() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn wait_while(mut condition: impl FnMut(&Running) -> bool) -> MutexGuard<'static, Running> {
    CHANGED.wait_while(lock(), |running| condition(running)).unwrap_or_else(std::sync::PoisonError::into_inner)
}
