//! One core's worker: a pinned thread with its own ring, pool, slots and recorder.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use bytes::Bytes;

use super::control::{Control, NEVER, Pulse};
use super::load::{Finished, Load};
use super::pacer::{self, Idle};
use super::pool::{GiveBack, Pool, Refused};
use super::slot::Slot;
use super::watch::Watch;
use super::work::{Sink, Source};
use crate::clock;
use crate::net::runtime;
use crate::net::stream::Scratch;
use crate::plan::{Plan, Shard};
use crate::record::{Interval, ShardRecord};
use crate::units::Nanos;

/// Connections that one core opens at the same time before T0: no more than a modest listen backlog takes.
const OPENING_AT_ONCE: usize = 128;
/// Bodies are received in pieces of up to this size where their bytes are needed.
const BODY_BUFFER_BYTES: usize = 64 * 1024;
/// The most ring entries the kernel grants.
const ENTRIES_MAX: u32 = 32_768;

/// What a worker tells the main thread.
pub(crate) enum Event {
    /// Connections are open; the worker waits for the go.
    Opened { opened: u64, error: Option<String> },
    /// A second is over.
    Interval { shard: usize, interval: Box<Interval> },
    /// The worker has ended.
    Ended { shard: usize, record: Box<ShardRecord>, exhausted: bool },
    /// The worker could not start.
    NoRing { error: std::io::Error },
}

/// What a worker is given.
pub(crate) struct Assignment {
    pub(crate) plan: Arc<Plan>,
    pub(crate) shard: Shard,
    pub(crate) addresses: Arc<Vec<Vec<SocketAddr>>>,
    pub(crate) control: Arc<Control>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) events: mpsc::Sender<Event>,
    /// One message: the timeline is set.
    pub(crate) go: mpsc::Receiver<()>,
    /// Emptied pages come back here.
    pub(crate) pages: mpsc::Receiver<Box<Interval>>,
}

/// Everything of one core that its tasks share; lives on one thread.
pub(crate) struct Core<W> {
    pub(crate) plan: Arc<Plan>,
    pub(crate) work: W,
    pub(crate) pool: Pool,
    pub(crate) idle: Idle,
    pub(crate) watches: Vec<Watch>,
    pub(crate) scratch: RefCell<Scratch>,
    pub(crate) body_buffer: RefCell<Vec<u8>>,
    /// What goes out after a request's own bytes.
    pub(crate) large_body: Option<Bytes>,
    busy: Cell<usize>,
    free_at: Cell<Nanos>,
    alive: Cell<usize>,
}

impl<W: Source + Sink> Core<W> {
    pub(crate) fn new(plan: Arc<Plan>, shard: &Shard, addresses: Arc<Vec<Vec<SocketAddr>>>, work: W) -> Self {
        let slots = shard.connections as usize;
        let large_body = work.large_body();
        let pool = Pool::new(addresses, plan.timeouts.connect, shard.connections, shard.index as usize);
        Self {
            plan,
            work,
            pool,
            idle: Idle::new(slots),
            watches: (0..slots).map(|_| Watch::default()).collect(),
            scratch: RefCell::default(),
            body_buffer: RefCell::default(),
            large_body,
            busy: Cell::new(0),
            free_at: Cell::new(Nanos::ZERO),
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
        }
        self.busy.set(self.busy.get() - 1);
    }

    /// When a slot was last found free after all were busy: no ticket was ready before that.
    pub(crate) fn free_at(&self) -> Nanos {
        self.free_at.get()
    }

    /// The core's buffer for bodies; whoever takes it puts it back.
    pub(crate) fn body_buffer(&self) -> Vec<u8> {
        let mut buffer = self.body_buffer.take();
        buffer.resize(BODY_BUFFER_BYTES, 0);
        buffer
    }

    /// Runs `tasks` with the pacer until all have ended.
    pub(crate) async fn run_tasks<T>(self: &Rc<Self>, pulse: &Pulse, tasks: impl Iterator<Item = T>)
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
        let paced = pacer::run(&self.work, &self.idle, &self.watches, &self.alive, pulse).await;
        paced.expect("a timer of the worker's own can be armed and waited for");
    }
}

/// A worker's whole life, on its own thread.
pub(crate) fn run(assignment: Assignment) {
    let Assignment { plan, shard, addresses, control, pulse, events, go, pages } = assignment;
    let index = shard.index as usize;
    pulse.enter();
    core_affinity::set_for_current(core_affinity::CoreId { id: shard.cpu });
    // A read, a write, a cancellation and a close can be queued for each connection.
    let entries = (shard.connections.saturating_mul(4)).next_power_of_two().min(ENTRIES_MAX);
    let (mut ring, flags) = match runtime::build(entries) {
        Ok(built) => built,
        Err(error) => {
            let _ = events.send(Event::NoRing { error });
            return;
        }
    };
    let to_main = events.clone();
    let turn_page = move |interval: Box<Interval>| {
        let _ = to_main.send(Event::Interval { shard: index, interval });
        // The main thread gives pages back; one more is made only where it has fallen seconds behind.
        pages.try_recv().unwrap_or_default()
    };
    let load = Load::new(Arc::clone(&plan), shard, Arc::clone(&control), Box::new(turn_page));
    let core = Rc::new(Core::new(plan, &shard, addresses, load));
    let result = catch_unwind(AssertUnwindSafe(|| ring.block_on(live(&core, &pulse, &events, &go))));
    let lost = result.err().map(|panic| panic_text(&*panic));
    let Finished { tally, last_done, cpu, exhausted } = core.work.finish(lost.is_some());
    let ring_flags = flags.names();
    let record = Box::new(ShardRecord { shard, tally, last_done, cpu, ring_flags, lost });
    let _ = events.send(Event::Ended { shard: index, record, exhausted });
}

async fn live(core: &Rc<Core<Load>>, pulse: &Pulse, events: &mpsc::Sender<Event>, go: &mpsc::Receiver<()>) {
    let (opened, error) = open_connections(core, pulse).await;
    let _ = events.send(Event::Opened { opened, error });
    // Nothing is in flight on this ring: the thread itself may wait.
    if go.recv().is_ok() {
        let slots = 0..core.watches.len();
        core.run_tasks(pulse, slots.map(|id| async move |core: Rc<Core<Load>>| Slot::new(&core, id).run().await)).await;
    }
    core.pool.close_idle();
}

/// Opens the core's connections, as its first requests will need them; an origin that refuses is not asked again.
async fn open_connections(core: &Rc<Core<Load>>, pulse: &Pulse) -> (u64, Option<String>) {
    struct Opening {
        next: Cell<u64>,
        opened: Cell<u64>,
        refused: RefCell<Vec<u32>>,
        error: RefCell<Option<String>>,
    }
    let connections = core.watches.len();
    let opening = Rc::new(Opening {
        next: Cell::new(0),
        opened: Cell::new(0),
        refused: RefCell::default(),
        error: RefCell::default(),
    });
    let openers = (0..connections.min(OPENING_AT_ONCE)).map(|id| {
        let opening = Rc::clone(&opening);
        async move |core: Rc<Core<Load>>| {
            while opening.next.get() < core.watches.len() as u64 {
                let k = opening.next.replace(opening.next.get() + 1);
                let origin = core.work.origin_of(k);
                if opening.refused.borrow().contains(&origin) {
                    continue;
                }
                match core.pool.dial(origin, &core.watches[id], NEVER).await {
                    Ok(lease) => {
                        opening.opened.set(opening.opened.get() + 1);
                        core.work.connected(lease.dialled.map_or(Nanos::ZERO, |dial| dial.took));
                        core.pool.give_back(lease, GiveBack::Keep, clock::now());
                    }
                    Err(Refused::Failed(_, text)) => {
                        opening.refused.borrow_mut().push(origin);
                        opening.error.borrow_mut().get_or_insert(text);
                    }
                    Err(Refused::Expired) => return,
                }
            }
        }
    });
    core.run_tasks(pulse, openers).await;
    let error = opening.error.take();
    (opening.opened.get(), error)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("unknown panic").to_owned()
}
