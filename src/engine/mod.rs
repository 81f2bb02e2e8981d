//! The engine: one pinned worker a core, started together, heard out, and joined into one record.
//!
//! The main thread only listens while a run lasts: it merges the pages that the workers deliver and keeps watch over
//! them. Nothing is shared per request.

pub mod control;
mod core;
mod destination;
mod dialler;
mod gateway;
mod heart;
pub mod load;
pub mod machine;
pub(crate) mod origins;
mod pacer;
mod pipe;
mod pool;
pub mod preflight;
pub(crate) mod rest;
mod slot;
mod strain;
mod watch;
mod watchdog;
pub mod work;
mod worker;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub use control::Control;
use control::{NEVER, Pulse};
use preflight::Cleared;
use strain::Meter;
use watchdog::Watchdog;
pub(crate) use worker::Seat;
use worker::{Assignment, Event};

use crate::clock;
use crate::net::precedence;
use crate::net::resolve::Resolver;
use crate::net::runtime::Driver;
use crate::plan::network::{Dns, Unfit};
use crate::plan::shard::Machine;
use crate::plan::{Plan, Rule, Shard};
use crate::record::classes::Second;
use crate::record::timeline::Timeline;
use crate::record::{Failure, Interval, Point, RunRecord, ShardRecord, Streaks, Tally, Vitals, merge};
use crate::units::Nanos;

/// From the last connection's opening to the first request: time for every worker to reach its timer.
const LEAD: Nanos = Nanos::from_millis(1);
/// How often the main thread looks after the workers.
const LOOK: Duration = Duration::from_millis(250);

/// Why a run could not start; the program exits with 2.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No origin has an address.
    #[error("resolve {name}: {reason}; check the spelling or give an address")]
    Resolve {
        /// The first origin's host.
        name: String,
        /// In the resolver's words.
        reason: String,
    },
    /// None of a name's addresses may be connected to.
    #[error("{name}: {unfit}")]
    Unfit {
        /// A host to connect to.
        name: String,
        /// Why.
        unfit: Unfit,
    },
    /// An address or an interface of ours that cannot be used.
    #[error("{0}")]
    Network(String),
    /// Not one connection could be opened.
    #[error("connect to {reason}; is the server up? (--start-anyway runs regardless)")]
    Connect {
        /// Address and the kernel's words.
        reason: String,
    },
    /// Not one connection could be encrypted.
    #[error("TLS with {reason} (--start-anyway runs regardless)")]
    Handshake {
        /// Address and what went wrong.
        reason: String,
    },
    /// Not one proxy led anywhere.
    #[error("{reason} (--start-anyway runs regardless)")]
    Proxy {
        /// Which proxy, and what it said.
        reason: String,
    },
    /// The driver was refused to a worker, though the machine has it.
    #[error("a worker cannot set up {}: {source}; lower -c or -t, {}", driver.name(), driver.remedy())]
    Driver {
        /// Which.
        driver: Driver,
        /// The system's reason.
        source: io::Error,
    },
    /// More connections than files may be open.
    #[error("-c {connections}: the hard limit of open files is {limit}; raise it with: ulimit -Hn {needed}")]
    OpenFiles {
        /// As planned.
        connections: u32,
        /// The hard limit.
        limit: u64,
        /// What it would take.
        needed: u64,
    },
    /// The certificates or the key that were given are of no use.
    #[error("{0}")]
    Tls(String),
    /// More connections than local ports lead to the target.
    #[error(
        "-c {connections}: the local ports suffice for {most} connections (net.ipv4.ip_local_port_range {} {} for each pair of \
         an address of ours and one of the target: {pairs}); {remedy}",
        range.0, range.1
    )]
    Ports {
        /// As planned.
        connections: u32,
        /// With every port of the range that is not reserved.
        most: u64,
        /// Addresses of ours that may be chosen, for each address and port of the origins.
        pairs: u64,
        /// First and last local port.
        range: (u16, u16),
        /// A command, or what else gives the connections their ports.
        remedy: String,
    },
    /// More memory than there is.
    #[error(
        "-c {connections}: the run takes about {needed_mib} MiB of memory and {available_mib} MiB are available; lower -c or \
         -t, or raise the container's limit (docker run --memory)"
    )]
    Memory {
        /// As planned.
        connections: u32,
        /// An estimate.
        needed_mib: u64,
        /// Of the machine or the cgroup, swap space left out.
        available_mib: u64,
    },
    /// A thread could not be started.
    #[error("cannot start a worker thread: {0}")]
    Thread(io::Error),
}

/// What the caller may watch while a run lasts.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The complete seconds so far.
    pub points: &'a [Point],
    /// Since T0; zero before it.
    pub elapsed: Nanos,
    /// Times by class, where the plan asks for them: of the seconds that have ended since the last look.
    pub seconds: &'a [Second],
}

/// Runs the plan's shards to their end and joins what they measured; the machine was looked at by [`preflight::check`].
///
/// `observe` is called a few times a second on the calling thread.
///
/// # Errors
/// [`StartError`], before anything was sent.
pub fn run(
    plan: &Arc<Plan>,
    shards: &[Shard],
    machine: &Machine,
    cleared: Cleared,
    control: &Arc<Control>,
    observe: &mut dyn FnMut(Progress<'_>),
) -> Result<RunRecord, StartError> {
    Team::run(plan, shards, machine, cleared, control, || worker::run, observe)
}

/// The same with other work than load: `new_work` gives for each shard, in order, what makes its work.
///
/// # Errors
/// [`StartError`], before anything was sent.
pub(crate) fn run_work<W, N>(
    plan: &Arc<Plan>,
    shards: &[Shard],
    machine: &Machine,
    cleared: Cleared,
    control: &Arc<Control>,
    mut new_work: impl FnMut() -> N,
    observe: &mut dyn FnMut(Progress<'_>),
) -> Result<RunRecord, StartError>
where
    W: work::Work,
    N: FnOnce(Seat) -> W + Send + 'static,
{
    let life = || {
        let new_work = new_work();
        |assignment| worker::run_work(assignment, new_work)
    };
    Team::run(plan, shards, machine, cleared, control, life, observe)
}

/// The workers, seen from the main thread.
struct Team {
    driver: Driver,
    events: mpsc::Receiver<Event>,
    members: Vec<Member>,
    timeline: Timeline,
    /// Of the rules that end the run early.
    streaks: Streaks,
    aborted: Option<Rule>,
    /// Of the machine.
    strain: Meter,
}

struct Member {
    shard: Shard,
    go: Option<mpsc::Sender<()>>,
    pages: mpsc::Sender<Box<Interval>>,
    watchdog: Watchdog,
    thread: Option<thread::JoinHandle<()>>,
    ended: Option<(Box<ShardRecord>, bool)>,
}

impl Team {
    /// The run of [`run`], with workers whose lives are those of `life`, each its own.
    fn run<L: FnOnce(Assignment) + Send + 'static>(
        plan: &Arc<Plan>,
        shards: &[Shard],
        machine: &Machine,
        cleared: Cleared,
        control: &Arc<Control>,
        life: impl FnMut() -> L,
        observe: &mut dyn FnMut(Progress<'_>),
    ) -> Result<RunRecord, StartError> {
        let mut team = Self::start(plan, shards, &cleared, control, life)?;
        // The workers have theirs; what this thread does can wait for them.
        precedence::give_up();
        team.await_connections(plan, control)?;
        team.strain = Meter::new(&plan.cores);
        let start = Nanos(clock::now().0 + LEAD.0);
        let t0 = Nanos(start.0.saturating_add(plan.warmup.0));
        let end = plan.end.duration.map_or(NEVER, |duration| Nanos(t0.0.saturating_add(duration.0)));
        // T0 may have passed already where this thread was kept from running.
        let t0_unix = Nanos(clock::unix_now().0 + t0.0 - clock::now().0);
        control.schedule(start, t0, end);
        team.go();
        team.listen(control, observe);
        let ended_unix = Nanos(t0_unix.0 + clock::now().0.saturating_sub(t0.0));
        let environment = machine::environment(machine, plan, &cleared.destinations);
        Ok(team.conclude(control, [t0_unix, ended_unix], environment, cleared))
    }

    fn start<L: FnOnce(Assignment) + Send + 'static>(
        plan: &Arc<Plan>,
        shards: &[Shard],
        cleared: &Cleared,
        control: &Arc<Control>,
        mut life: impl FnMut() -> L,
    ) -> Result<Self, StartError> {
        let (sender, events) = mpsc::channel();
        let mut members = Vec::with_capacity(shards.len());
        let list: Arc<Vec<_>> = Arc::new(cleared.destinations.list.iter().cloned().map(Arc::new).collect());
        let per_connection = plan.network.dns == Dns::PerConnection || plan.is_fetched();
        let resolver = per_connection.then(|| Resolver::start(plan.connections as usize)).transpose();
        let resolver = resolver.map_err(StartError::Thread)?;
        for &shard in shards {
            let (go, go_receiver) = mpsc::channel();
            let (pages, pages_receiver) = mpsc::channel();
            // With the page in use, one in reserve and one at the main thread: none is made when one is turned.
            (0..2).for_each(|_| drop(pages.send(Box::default())));
            let pulse = Arc::<Pulse>::default();
            let assignment = Assignment {
                plan: Arc::clone(plan),
                shard,
                driver: cleared.driver,
                destinations: Arc::clone(&list),
                resolver: resolver.clone(),
                tls: cleared.destinations.client(plan)?,
                gateway: cleared.destinations.gateway(plan, &shard, resolver.clone())?,
                control: Arc::clone(control),
                pulse: Arc::clone(&pulse),
                events: sender.clone(),
                go: go_receiver,
                pages: pages_receiver,
            };
            let name = format!("shard-{}", shard.index);
            let live = life();
            let thread = thread::Builder::new().name(name).spawn(move || live(assignment));
            let thread = Some(thread.map_err(StartError::Thread)?);
            members.push(Member { shard, go: Some(go), pages, watchdog: Watchdog::new(pulse), thread, ended: None });
        }
        let (timeline, streaks) = (Timeline::new(shards.len()), Streaks::new(&plan.abort_on));
        let strain = Meter::default();
        Ok(Self { driver: cleared.driver, events, members, timeline, streaks, aborted: None, strain })
    }

    /// Waits until every worker has opened what it could, or has ended.
    fn await_connections(&mut self, plan: &Plan, control: &Control) -> Result<(), StartError> {
        let mut opened_in_all = 0;
        let mut first_error = None;
        let mut awaited = self.members.len();
        while awaited > 0 {
            match self.events.recv() {
                Ok(Event::Opened { opened, error }) => {
                    opened_in_all += opened;
                    first_error = first_error.or(error);
                    awaited -= 1;
                }
                Ok(Event::NoRuntime { error: source }) => {
                    return Err(StartError::Driver { driver: self.driver, source });
                }
                Ok(Event::Interval { shard, interval }) => self.page(shard, interval),
                Ok(Event::Ended { shard, record, exhausted }) => {
                    self.end(shard, record, exhausted, control);
                    awaited -= 1;
                }
                Err(mpsc::RecvError) => break,
            }
        }
        match first_error {
            Some((failure, reason)) if opened_in_all == 0 && !plan.start_anyway => Err(match failure {
                Failure::Tls => StartError::Handshake { reason },
                Failure::Proxy => StartError::Proxy { reason },
                _ => StartError::Connect { reason },
            }),
            _ => Ok(()),
        }
    }

    fn go(&mut self) {
        for member in &mut self.members {
            if let Some(go) = member.go.take() {
                let _ = go.send(());
            }
        }
    }

    /// Hears the workers until all have ended or are given up.
    fn listen(&mut self, control: &Control, observe: &mut dyn FnMut(Progress<'_>)) {
        let mut next_look = Instant::now() + LOOK;
        while self.members.iter().any(|member| member.ended.is_none()) {
            let wait = next_look.saturating_duration_since(Instant::now());
            self.strain.look(control);
            match self.events.recv_timeout(wait) {
                Ok(Event::Interval { shard, interval }) => {
                    self.page(shard, interval);
                    self.judge(control);
                }
                Ok(Event::Ended { shard, record, exhausted }) => self.end(shard, record, exhausted, control),
                Ok(Event::Opened { .. } | Event::NoRuntime { .. }) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => self.give_up_the_silent(control),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.look_after(control);
                    self.judge(control);
                    next_look = Instant::now() + LOOK;
                    self.show(control, observe);
                }
            }
        }
        // The last seconds became complete with the last worker's end.
        self.show(control, observe);
    }

    fn show(&mut self, control: &Control, observe: &mut dyn FnMut(Progress<'_>)) {
        let elapsed = Nanos(clock::now().0.saturating_sub(control.t0().0));
        let seconds = self.timeline.take_seconds();
        observe(Progress { points: self.timeline.points(), elapsed, seconds: &seconds });
    }

    fn page(&mut self, shard: usize, mut interval: Box<Interval>) {
        if self.members[shard].ended.is_some() {
            // It was given up and has come back to life: its place in the series is closed.
            return;
        }
        self.timeline.add(shard, &interval);
        interval.reset(Default::default());
        // A worker that has ended takes no pages back.
        let _ = self.members[shard].pages.send(interval);
    }

    /// Ends the sending where a rule of the plan is broken; what has ended already is not aborted.
    fn judge(&mut self, control: &Control) {
        let now = clock::now();
        if self.aborted.is_some() || now >= control.end() {
            return;
        }
        let elapsed = Nanos(now.0.saturating_sub(control.t0().0));
        self.aborted = self.streaks.look(self.timeline.points(), elapsed);
        if self.aborted.is_some() {
            control.stop();
        }
    }

    fn end(&mut self, shard: usize, record: Box<ShardRecord>, exhausted: bool, control: &Control) {
        if self.members[shard].ended.is_some() {
            return;
        }
        self.timeline.end(shard);
        if record.lost.is_some() {
            // The others must not go on as if the load were still the planned one.
            control.stop();
        }
        let member = &mut self.members[shard];
        member.ended = Some((record, exhausted));
        if let Some(thread) = member.thread.take() {
            let _ = thread.join();
        }
    }

    /// Gives up workers whose loop stands still: their thread cannot be stopped and is left behind.
    fn look_after(&mut self, control: &Control) {
        let now = Instant::now();
        let stuck: Vec<usize> = (0..self.members.len())
            .filter(|&index| self.members[index].ended.is_none() && self.members[index].watchdog.is_stuck(now))
            .collect();
        for index in stuck {
            self.members[index].thread = None;
            self.lose(index, "its event loop made no progress for 5 s at full CPU", control);
        }
    }

    /// All threads are gone: who has not said how it ended died on the way.
    fn give_up_the_silent(&mut self, control: &Control) {
        for index in 0..self.members.len() {
            if self.members[index].ended.is_none() {
                self.lose(index, "its thread ended without a record", control);
            }
        }
    }

    fn lose(&mut self, index: usize, why: &str, control: &Control) {
        let (shard, tally, lost) = (self.members[index].shard, Tally::default(), Some(why.to_owned()));
        let (vitals, zero) = (Vitals::default(), Nanos::ZERO);
        let record = ShardRecord { shard, tally, last_done: zero, cpu: zero, vitals, ring_flags: &[], lost };
        self.end(index, Box::new(record), false, control);
    }

    fn conclude(
        self,
        control: &Control,
        [t0_unix, ended_unix]: [Nanos; 2],
        environment: crate::record::Environment,
        cleared: Cleared,
    ) -> RunRecord {
        let ended: Vec<_> = self.members.into_iter().filter_map(|member| member.ended).collect();
        let by_number = ended.iter().all(|(record, exhausted)| *exhausted && record.tally.counts.in_flight_at_end == 0);
        let shards: Vec<ShardRecord> = ended.into_iter().map(|(record, _)| *record).collect();
        let window = if by_number {
            shards.iter().map(|record| record.last_done).max().unwrap_or_default()
        } else {
            Nanos(control.end().0.saturating_sub(control.t0().0))
        };
        let (total, bugs) = merge(&shards);
        let (timeline, windows) = self.timeline.finish();
        RunRecord {
            total,
            bugs,
            shards,
            timeline,
            windows,
            window: window.max(Nanos(1)),
            interrupted: control.interrupted(),
            aborted: self.aborted,
            t0_unix,
            ended_unix,
            environment,
            strain: self.strain.finish(),
            driver: self.driver.name(),
            io_uring_refused: cleared.io_uring_refused,
            origins: cleared.destinations.reached(),
            findings: cleared.findings,
            fetched: None,
        }
    }
}
