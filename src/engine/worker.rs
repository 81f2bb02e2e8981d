//! One core's worker: a pinned thread with its own runtime, pool, slots and recorder.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use super::control::{Control, NEVER, Pulse};
use super::core::Core;
use super::destination::Destination;
use super::dialler::{Dialler, Refused};
use super::gateway::Gateway;
use super::heart::Heart;
use super::load::{Load, TurnPage};
use super::origins::Origins;
use super::pool::GiveBack;
use super::slot::Slot;
use super::work::{Finished, Work};
use crate::clock;
use crate::net::resolve::Resolver;
use crate::net::runtime::{self, Driver};
use crate::net::tls::Client;
use crate::plan::{Plan, Shard};
use crate::record::{Failure, Interval, ShardRecord};

/// Connections that one core opens at the same time before T0: no more than a modest listen backlog takes.
const OPENING_AT_ONCE: usize = 128;
/// The most ring entries the kernel grants.
const ENTRIES_MAX: u32 = 32_768;

/// Entries enough where connections are many and mostly idle: a ring's memory counts against `ulimit -l`.
const ENTRIES_OF_FETCH: u32 = 512;

/// What a worker tells the main thread.
pub(crate) enum Event {
    /// Connections are open; the worker waits for the go.
    Opened { opened: u64, error: Option<(Failure, String)> },
    /// A page is full: half a second is over.
    Interval { shard: usize, interval: Box<Interval> },
    /// The worker has ended.
    Ended { shard: usize, record: Box<ShardRecord>, exhausted: bool },
    /// The worker could not start.
    NoRuntime { error: std::io::Error },
}

/// What a worker is given.
pub(crate) struct Assignment {
    pub(crate) plan: Arc<Plan>,
    pub(crate) shard: Shard,
    pub(crate) driver: Driver,
    pub(crate) destinations: Arc<Vec<Arc<Destination>>>,
    /// For names that are looked up anew for each connection.
    pub(crate) resolver: Option<Resolver>,
    /// For https origins.
    pub(crate) tls: Option<Client>,
    /// For origins that are reached through proxies.
    pub(crate) gateway: Option<Gateway>,
    pub(crate) control: Arc<Control>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) events: mpsc::Sender<Event>,
    /// One message: the timeline is set.
    pub(crate) go: mpsc::Receiver<()>,
    /// Emptied pages come back here.
    pub(crate) pages: mpsc::Receiver<Box<Interval>>,
}

/// What the work of a core is made from.
pub(crate) struct Seat {
    pub(crate) plan: Arc<Plan>,
    pub(crate) shard: Shard,
    pub(crate) control: Arc<Control>,
    pub(crate) turn_page: TurnPage,
    /// Of the core; work may add to them.
    pub(crate) origins: Rc<Origins>,
}

/// A load worker's whole life, on its own thread.
pub(crate) fn run(assignment: Assignment) {
    run_work(assignment, Seat::load);
}

impl Seat {
    /// The load of the plan's shard.
    pub(crate) fn load(self) -> Load {
        Load::new(self.plan, self.shard, self.control, self.turn_page)
    }
}

/// A worker's whole life, whatever its work.
pub(crate) fn run_work<W: Work>(assignment: Assignment, new_work: impl FnOnce(Seat) -> W) {
    let Assignment { plan, shard, driver, destinations, resolver, tls, gateway, control, pulse, events, go, pages } =
        assignment;
    let index = shard.place;
    let heart = Heart::new(pulse, Arc::clone(&control));
    core_affinity::set_for_current(core_affinity::CoreId { id: shard.cpu });
    // A read, a write, a cancellation and a close can be queued for each connection.
    // Of those to many hosts most rest; where the queue is full, it is handed over early.
    let most = if plan.is_fetched() { ENTRIES_OF_FETCH } else { ENTRIES_MAX };
    let entries = (shard.connections.saturating_mul(4)).next_power_of_two().min(most);
    let mut runtime = match runtime::build(driver, entries) {
        Ok(built) => built,
        Err(error) => {
            let _ = events.send(Event::NoRuntime { error });
            return;
        }
    };
    let to_main = events.clone();
    let turn_page = move |page: &mut Box<Interval>| {
        // The main thread gives pages back empty; one more is made only where it has fallen seconds behind.
        let interval = std::mem::replace(page, pages.try_recv().unwrap_or_default());
        let _ = to_main.send(Event::Interval { shard: index, interval });
    };
    let origins = Rc::new(Origins::new(Arc::clone(&plan), tls.clone(), &destinations));
    let dialler = Dialler::new(&plan, &shard, Rc::clone(&origins), resolver, tls, gateway);
    let work = new_work(Seat { plan: Arc::clone(&plan), shard, control, turn_page: Box::new(turn_page), origins });
    let core = Rc::new(Core::new(plan, &shard, dialler, work));
    let result = catch_unwind(AssertUnwindSafe(|| runtime.block_on(live(&core, &heart, &events, &go))));
    let lost = result.err().map(|panic| panic_text(&*panic));
    let cpu = heart.cpu();
    let Finished { tally, last_done, exhausted } = core.work.finish(lost.is_some(), core.waits());
    let (ring_flags, vitals) = (runtime.ring_flags(), heart.finish());
    let record = Box::new(ShardRecord { shard, tally, last_done, cpu, vitals, ring_flags, lost });
    let _ = events.send(Event::Ended { shard: index, record, exhausted });
}

async fn live<W: Work>(core: &Rc<Core<W>>, heart: &Heart, events: &mpsc::Sender<Event>, go: &mpsc::Receiver<()>) {
    let (opened, error) = open_connections(core, heart).await;
    let _ = events.send(Event::Opened { opened, error });
    // Nothing is in flight on this runtime: the thread itself may wait.
    if go.recv().is_ok() {
        let slots = 0..core.watches.len();
        core.run_tasks(heart, slots.map(|id| async move |core: Rc<Core<W>>| Slot::new(&core, id).run().await)).await;
    }
    core.pool.passed_over().into_iter().for_each(|(failure, reason)| core.work.explain(failure, &reason));
    core.pool.close_idle().await;
}

/// Opens the core's connections, as its first requests will need them; an origin that refuses is not asked again.
async fn open_connections<W: Work>(core: &Rc<Core<W>>, heart: &Heart) -> (u64, Option<(Failure, String)>) {
    struct Opening {
        next: Cell<u64>,
        opened: Cell<u64>,
        refused: RefCell<HashSet<u32>>,
        error: RefCell<Option<(Failure, String)>>,
    }
    let connections = u64::from(core.pool.capacity());
    let opening = Rc::new(Opening {
        next: Cell::new(0),
        opened: Cell::new(0),
        refused: RefCell::default(),
        error: RefCell::default(),
    });
    let openers = (0..OPENING_AT_ONCE.min(connections as usize)).map(|id| {
        let opening = Rc::clone(&opening);
        async move |core: Rc<Core<W>>| {
            while opening.next.get() < connections {
                let k = opening.next.replace(opening.next.get() + 1);
                let Some(origin) = core.work.origin_of(k) else { return };
                if opening.refused.borrow().contains(&origin) {
                    continue;
                }
                match core.pool.dial(origin, false, &core.watches[id], NEVER).await {
                    Ok(lease) => {
                        opening.opened.set(opening.opened.get() + 1);
                        core.work.connected(lease.dial().expect("it was dialled just now"));
                        core.pool.give_back(lease, GiveBack::Unused, clock::now());
                    }
                    Err(Refused::Failed(failure, text)) => {
                        core.work.explain(failure, &text);
                        opening.refused.borrow_mut().insert(origin);
                        opening.error.borrow_mut().get_or_insert((failure, text));
                    }
                    Err(Refused::Expired) => return,
                }
            }
        }
    });
    core.run_tasks(heart, openers).await;
    let error = opening.error.take();
    (opening.opened.get(), error)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("unknown panic").to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use std::net::SocketAddr;

    use super::*;
    use crate::engine::work::{Body, Dial, Due, Moved, Next, Sink, Source, Ticket, Waits};
    use crate::engine::{Progress, Team, machine, preflight};
    use crate::net::runtime::Decision;
    use crate::plan::{self, DriverChoice, RawPlan};
    use crate::record::{Outcome, RunRecord, Stamps};
    use crate::target::{Options, Target};
    use crate::units::Nanos;
    use crate::wire::decode::Head;

    /// A load whose source has a bug: it panics when asked for the hundredth time.
    struct Faulty {
        load: Load,
        taken: Cell<u32>,
    }

    impl Source for Faulty {
        fn next(&self, now: Nanos) -> Next {
            self.taken.set(self.taken.get() + 1);
            assert!(self.taken.get() < 100, "the hundredth time");
            self.load.next(now)
        }

        fn due(&self, now: Nanos) -> Due {
            self.load.due(now)
        }

        fn nobody_was_free(&self, waits: Waits) {
            self.load.nobody_was_free(waits);
        }

        fn give_up_at(&self) -> Nanos {
            self.load.give_up_at()
        }

        fn render(&self, ticket: &Ticket, form: u32, request: &mut Rc<Vec<u8>>) {
            self.load.render(ticket, form, request);
        }

        fn large_body(&self, ticket: &Ticket) -> Bytes {
            self.load.large_body(ticket)
        }
    }

    impl Sink for Faulty {
        type Intake = <Load as Sink>::Intake;

        fn beat(&self, now: Nanos) {
            self.load.beat(now);
        }

        fn connected(&self, dial: &Dial) {
            self.load.connected(dial);
        }

        fn explain(&self, failure: Failure, reason: &dyn std::fmt::Display) {
            self.load.explain(failure, reason);
        }

        fn redialled(&self, ticket: &Ticket) {
            self.load.redialled(ticket);
        }

        fn sent(&self, ticket: &Ticket, now: Nanos) {
            self.load.sent(ticket, now);
        }

        fn reads_heads(&self) -> bool {
            self.load.reads_heads()
        }

        fn head(&self, ticket: &Ticket, head: &Head<'_>) -> Result<Body<Self::Intake>, Failure> {
            self.load.head(ticket, head)
        }

        async fn body(&self, ticket: &Ticket, intake: &mut Self::Intake, piece: &[u8]) -> Result<(), Failure> {
            self.load.body(ticket, intake, piece).await
        }

        fn end(&self, ticket: &Ticket, intake: Self::Intake) -> Result<(), Failure> {
            self.load.end(ticket, intake)
        }

        fn done(&self, ticket: &Ticket, outcome: Outcome, stamps: &Stamps, moved: Moved) {
            self.load.done(ticket, outcome, stamps, moved);
        }
    }

    impl Work for Faulty {
        fn origin_of(&self, k: u64) -> Option<u32> {
            self.load.origin_of(k)
        }

        fn finish(&self, abandoned: bool, waits: Waits) -> Finished {
            self.load.finish(abandoned, waits)
        }
    }

    fn run_faulty(assignment: Assignment) {
        run_work(assignment, |seat| Faulty { load: seat.load(), taken: Cell::new(0) });
    }

    #[test]
    fn a_worker_that_panics_ends_the_run_with_what_it_had_counted() {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let decision = Decision::of(DriverChoice::Auto).expect("auto takes either");
        let target = Target::start(&Options { listen, cores: vec![0], driver: decision.driver }).expect("a target");
        let machine = machine::machine();
        let raw = RawPlan {
            urls: vec![format!("http://{}/", target.addr())],
            connections: Some("4".into()),
            threads: Some("1".into()),
            duration: Some("1m".into()),
            ..RawPlan::default()
        };
        let plan = Arc::new(plan::validate(&raw, &machine).expect("a plan"));
        let cleared = preflight::check(&plan, &machine, &decision).expect("a machine that can run it");
        let control = Arc::default();
        let shards = plan::shards(&plan);
        let record: RunRecord =
            Team::run(&plan, &shards, &machine, cleared, &control, || run_faulty, &mut |_: Progress<'_>| {})
                .expect("it starts");
        let lost = record.shards[0].lost.as_deref().expect("the worker is lost");
        assert!(lost.contains("the hundredth time"), "{lost}");
        let counts = &record.total.counts;
        assert!((1..100).contains(&counts.ok) && (1..=4).contains(&counts.in_flight_at_end), "{counts:?}");
        assert_eq!(record.bugs, [""; 0]);
    }
}
