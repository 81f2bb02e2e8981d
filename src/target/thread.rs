//! One thread of the target: its runtime, its listener, and what its tasks share.

use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::delay::Delays;
use super::route::DELAY_MAX;
use super::stats::{Counters, Stats};
use super::stop::Stop;
use super::{TargetError, serve};
use crate::clock;
use crate::net::ready::Pollable;
use crate::net::runtime::{self, Driver};
use crate::net::stream;
use crate::units::Nanos;

/// Queued operations before a submission is forced.
const ENTRIES: u32 = 4096;

/// Connections taken in a row before others get their turn.
const ACCEPT_BATCH: usize = 64;

/// Pause when the system refuses to accept, as when descriptors are used up.
const ACCEPT_PAUSE: Nanos = Nanos::from_millis(10);

/// How often, and how many times, a stopping thread looks whether its tasks and their operations have ended.
const DRAIN_STEP: Nanos = Nanos::from_millis(1);
const DRAIN_STEPS: usize = 500;

/// Turns of the driver that cancelled operations need to complete and their sockets to close.
const CLOSE_STEPS: usize = 5;

/// What a thread starts with.
pub(super) struct Seed {
    /// The CPU it is pinned to.
    pub(super) core: usize,
    pub(super) driver: Driver,
    /// Listening, and not blocking.
    pub(super) listener: TcpListener,
    /// Readable once the target stops.
    pub(super) stop: OwnedFd,
    /// The counts of all threads; this one writes those at `index`.
    pub(super) counters: Arc<[Counters]>,
    pub(super) index: usize,
}

/// What the tasks of one thread share.
pub(super) struct Core {
    all: Arc<[Counters]>,
    index: usize,
    delays: Delays,
    /// When the last of those in `/queue` will have been served.
    queue: Cell<Nanos>,
}

impl Core {
    /// This thread's counts.
    #[inline]
    pub(super) fn counters(&self) -> &Counters {
        &self.all[self.index]
    }

    /// This thread's delays.
    pub(super) fn delays(&self) -> &Delays {
        &self.delays
    }

    /// Puts a request that arrived at `arrived` and takes `service` into this thread's queue; when it will have been
    /// served, `None` where that is too far off.
    pub(super) fn enqueue(&self, arrived: Nanos, service: Nanos) -> Option<Nanos> {
        let done = Nanos(arrived.0.max(self.queue.get().0) + service.0);
        if done.0 - arrived.0 > DELAY_MAX.0 {
            return None;
        }
        self.queue.set(done);
        Some(done)
    }

    /// The counts of all threads.
    pub(super) fn stats(&self) -> Stats {
        Stats::sum(&self.all)
    }
}

/// Serves until the stop; says on `ready` whether it could start.
pub(super) fn run(seed: Seed, ready: &Sender<Result<(), TargetError>>) {
    // A core number beyond the mask's size makes core_affinity panic.
    let pinned = seed.core < 1024 && core_affinity::set_for_current(core_affinity::CoreId { id: seed.core });
    if !pinned {
        let _ = ready.send(Err(TargetError::Pin { core: seed.core }));
        return;
    }
    let driver = seed.driver;
    let mut runtime = match runtime::build(driver, ENTRIES) {
        Ok(built) => built,
        Err(source) => {
            let _ = ready.send(Err(TargetError::Driver { driver, source }));
            return;
        }
    };
    // What the future returns holds descriptors: it is dropped outside of the runtime, where closing is a plain system
    // call and does not queue behind an end that never comes.
    let kept = runtime.block_on(async {
        match Parts::new(seed) {
            Ok((parts, listener)) => {
                let _ = ready.send(Ok(()));
                parts.serve(listener).await;
                Some(parts)
            }
            Err(source) => {
                let _ = ready.send(Err(TargetError::Driver { driver, source }));
                None
            }
        }
    });
    drop(kept);
}

/// What lives as long as the thread serves.
struct Parts {
    core: Rc<Core>,
    tasks: Rc<Stop>,
    /// Readable once the target stops.
    stop: Pollable,
}

/// A listening socket, and the same as monoio can poll it.
struct Listener {
    socket: TcpListener,
    pollable: Pollable,
}

impl Parts {
    fn new(seed: Seed) -> io::Result<(Self, Listener)> {
        let core =
            Rc::new(Core { all: seed.counters, index: seed.index, delays: Delays::new()?, queue: Cell::default() });
        let parts = Self { core, tasks: Rc::default(), stop: Pollable::new(seed.stop)? };
        let listener = Listener { pollable: Pollable::new(seed.listener.try_clone()?.into())?, socket: seed.listener };
        Ok((parts, listener))
    }

    async fn serve(&self, listener: Listener) {
        let keeper = Rc::clone(&self.core);
        monoio::spawn(self.tasks.guard(async move { keeper.delays.keep().await }));
        monoio::spawn(self.tasks.guard(accept(listener, Rc::clone(&self.core), Rc::clone(&self.tasks))));
        // An error of the poll is as good a reason to stop.
        let _ = self.stop.readable().await;
        self.tasks.ask();
        self.drain().await;
    }

    /// Waits, for half a second at most, until the tasks have ended and their sockets are closed.
    async fn drain(&self) {
        self.core.delays.clear();
        let mut after_last = 0;
        for _ in 0..DRAIN_STEPS {
            if self.tasks.running() == 0 {
                after_last += 1;
            }
            if after_last > CLOSE_STEPS {
                break;
            }
            if self.core.delays.pause(Nanos(clock::now().0 + DRAIN_STEP.0)).await.is_err() {
                break;
            }
        }
    }
}

/// Accepts connections and starts their tasks, until the stop.
async fn accept(listener: Listener, core: Rc<Core>, tasks: Rc<Stop>) {
    loop {
        let waited = listener.pollable.readable().await;
        if waited.is_err() || !accept_batch(&listener.socket, &core, &tasks) {
            core.delays.until(Nanos(clock::now().0 + ACCEPT_PAUSE.0)).await;
        }
    }
}

/// Takes the connections that wait; false when the system refuses.
fn accept_batch(listener: &TcpListener, core: &Rc<Core>, tasks: &Rc<Stop>) -> bool {
    for _ in 0..ACCEPT_BATCH {
        match listener.accept() {
            Ok((stream, _)) => start(stream, core, tasks),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => return true,
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                _ => return false,
            },
        }
    }
    true
}

fn start(stream: std::net::TcpStream, core: &Rc<Core>, tasks: &Rc<Stop>) {
    // A client that has reset the connection meanwhile makes this fail; the first read will tell.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = stream::accepted(stream) else {
        return;
    };
    core.counters().opened.add(1);
    let (core, served) = (Rc::clone(core), Rc::clone(core));
    let task = tasks.guard(async move { serve::connection(stream, &served).await });
    monoio::spawn(async move {
        task.await;
        core.counters().closed.add(1);
    });
}
