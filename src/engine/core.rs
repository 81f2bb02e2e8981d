//! What the tasks of one core share: the work, the pool, the watches, buffers. Lives on one thread, so cells suffice.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::dialler::Dialler;
use super::heart::Heart;
use super::pacer::{self, Idle};
use super::pool::Pool;
use super::slot::stream::Message;
use super::watch::Watch;
use super::work::{Sink, Source, Waits};
use crate::net::stream::Scratch;
use crate::plan::{Plan, Shard};
use crate::units::Nanos;

/// Bodies are received in pieces of up to this size where their bytes are needed.
const BODY_BUFFER_BYTES: usize = 64 * 1024;

/// The bytes of a request, and what they are over HTTP/2.
type Translated = (Rc<Vec<u8>>, Rc<Message>);

/// Everything of one core that its tasks share; lives on one thread.
pub(crate) struct Core<W> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) work: W,
    pub(crate) pool: Pool,
    pub(crate) idle: Idle,
    pub(crate) watches: Vec<Watch>,
    pub(crate) scratch: RefCell<Scratch>,
    pub(crate) body_buffer: RefCell<Vec<u8>>,
    /// The last head of an answer over HTTP/2, as text.
    pub(crate) head_text: RefCell<Vec<u8>>,
    /// A request whose bytes slots share, and the same as HTTP/2 takes it.
    pub(super) translated: RefCell<Option<Translated>>,
    busy: Cell<usize>,
    free_at: Cell<Nanos>,
    /// Stalls of the core since nothing was due last: what of the backlog is its own doing.
    owed: Cell<Nanos>,
    alive: Cell<usize>,
}

impl<W: Source + Sink> Core<W> {
    pub(crate) fn new(plan: Arc<Plan>, shard: &Shard, dialler: Dialler, work: W) -> Self {
        let slots = shard.slots as usize;
        let pool = Pool::new(dialler, shard.connections, plan.http.depth(), plan.requests_per_connection_max());
        Self {
            plan,
            work,
            pool,
            idle: Idle::new(slots),
            watches: (0..slots).map(|_| Watch::default()).collect(),
            scratch: RefCell::default(),
            body_buffer: RefCell::default(),
            head_text: RefCell::default(),
            translated: RefCell::default(),
            busy: Cell::new(0),
            free_at: Cell::new(Nanos::ZERO),
            owed: Cell::new(Nanos::ZERO),
            alive: Cell::new(0),
        }
    }

    /// A slot takes a ticket.
    pub(crate) fn take(&self) {
        self.busy.set(self.busy.get() + 1);
    }

    /// A slot is done with its ticket.
    pub(crate) fn finish(&self, now: Nanos) {
        if self.busy.get() == self.watches.len() {
            self.free_at.set(now);
            self.work.nobody_was_free(self.waits());
        }
        self.busy.set(self.busy.get() - 1);
    }

    /// When a slot was last found free after all were busy: no ticket was ready before that.
    pub(crate) fn free_at(&self) -> Nanos {
        self.free_at.get()
    }

    /// Whose fault it is that what is due is not taken up.
    pub(crate) fn waits(&self) -> Waits {
        Waits { free_at: self.free_at.get(), owed: self.owed.get() }
    }

    /// The core stalled for so long, perhaps not at all; `backlog`: requests are due.
    pub(crate) fn stalled(&self, length: Nanos, backlog: bool) {
        self.owed.set(if backlog { Nanos(self.owed.get().0 + length.0) } else { Nanos::ZERO });
    }

    /// How much of the wait for a free slot is the core's own fault: as long as a backlog lasts, the stalls before and
    /// within it; without them, all would have been taken so much earlier.
    pub(crate) fn owed(&self) -> Nanos {
        self.owed.get()
    }

    /// Whether a task has not come to its end.
    pub(crate) fn any_alive(&self) -> bool {
        self.alive.get() > 0
    }

    /// The core's buffer for bodies; whoever takes it puts it back.
    pub(crate) fn body_buffer(&self) -> Vec<u8> {
        let mut buffer = self.body_buffer.take();
        buffer.resize(BODY_BUFFER_BYTES, 0);
        buffer
    }

    /// Runs `tasks` with the pacer until all have ended.
    pub(crate) async fn run_tasks<T>(self: &Rc<Self>, heart: &Heart, tasks: impl Iterator<Item = T>)
    where
        W: 'static,
        T: AsyncFnOnce(Rc<Self>) + 'static,
    {
        for task in tasks {
            let core = Rc::clone(self);
            self.alive.set(self.alive.get() + 1);
            monoio::spawn(async move {
                task(Rc::clone(&core)).await;
                core.alive.set(core.alive.get() - 1);
            });
        }
        let paced = pacer::run(self, heart).await;
        paced.expect("a timer of the worker's own can be armed and waited for");
    }
}
