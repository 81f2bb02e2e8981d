//! The lines that one core has still to ask for, by host, and when each may go: hosts take turns, and those that may have
//! nothing now keep no others waiting.
//!
//! Pure but for the locks of hosts: time is an argument.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::bucket::Bucket;
use super::host::{Admission, Host};
use super::job::Job;
use crate::plan::request::Template;
use crate::units::Nanos;

/// How soon a host is looked at again whose requests are other cores'.
const LOOK: Nanos = Nanos::from_millis(1);

/// Under a rate, no more slots are released at once than may find something to do.
const PACED_AT_ONCE: u64 = 4;

/// One core's lines.
#[derive(Debug, Default)]
pub(super) struct Queues {
    hosts: HashMap<u64, Local>,
    /// Hosts that have lines and may have a request, as far as is known.
    ready: VecDeque<u64>,
    timers: BTreeMap<(Nanos, u64), Timer>,
    /// Tells timers of one instant apart.
    timers_set: u64,
    /// Until when the rate of the whole run allows nothing.
    paced: Nanos,
    /// Several cores share the hosts.
    shared: bool,
}

/// What limits lines beside their hosts' own states.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    /// Requests of one host in flight.
    pub(super) per_host: u32,
    /// Of the whole run.
    pub(super) rate: Option<&'a Mutex<Bucket>>,
}

/// A line whose time has come.
#[derive(Debug)]
pub(super) enum Line {
    /// It counts as in flight from now on.
    Go(Box<Job>),
    /// Its host is down.
    Down(Box<Job>),
}

/// A host as one core sees it.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) host: Arc<Host>,
    /// Its index among the core's origins, once there is one.
    pub(super) origin: Option<u32>,
    /// Of lines without headers of their own, by method and credentials.
    pub(super) templates: Vec<(Arc<str>, Option<String>, Rc<Template>)>,
    lines: VecDeque<Box<Job>>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Without lines.
    Idle,
    /// Among the ready ones.
    Ready,
    /// Until a request of its own ends.
    Full,
    /// Until an instant.
    Held,
}

#[derive(Debug)]
enum Timer {
    Host(u64),
    Line(Box<Job>),
}

impl Queues {
    pub(super) fn new(shared: bool) -> Self {
        Self { shared, ..Self::default() }
    }

    /// Takes a line in that may go as soon as its host may have it.
    pub(super) fn push(&mut self, job: Box<Job>) {
        let number = job.host.number;
        let local = self.hosts.entry(number).or_insert_with(|| Local::new(Arc::clone(&job.host)));
        local.lines.push_back(job);
        if local.standing == Standing::Idle {
            local.standing = Standing::Ready;
            self.ready.push_back(number);
        }
    }

    /// Takes a line in that must wait until `at`.
    pub(super) fn push_at(&mut self, at: Nanos, job: Box<Job>) {
        self.set(at, Timer::Line(job));
    }

    /// The next line whose time has come.
    pub(super) fn next(&mut self, now: Nanos, limits: Limits<'_>) -> Option<Line> {
        self.fire(now);
        let mut rate = limits.rate.map(|rate| rate.lock().expect("no bucket panics"));
        if let Some(rate) = &rate {
            self.paced = rate.due();
            if now < self.paced {
                return None;
            }
        }
        while let Some(number) = self.ready.pop_front() {
            let local = self.hosts.get_mut(&number).expect("ready hosts are known");
            if local.lines.is_empty() {
                local.standing = Standing::Idle;
                continue;
            }
            match local.host.admit(now, limits.per_host) {
                Admission::Go => {
                    let job = local.lines.pop_front();
                    self.ready.push_back(number);
                    if let Some(rate) = &mut rate {
                        rate.take(now).expect("it was due a moment ago");
                    }
                    return job.map(Line::Go);
                }
                Admission::Down => {
                    let job = local.lines.pop_front();
                    self.ready.push_back(number);
                    return job.map(Line::Down);
                }
                Admission::Full => {
                    local.standing = Standing::Full;
                    if self.shared {
                        self.set(Nanos(now.0 + LOOK.0), Timer::Host(number));
                    }
                }
                Admission::From(at) => {
                    local.standing = Standing::Held;
                    self.set(at, Timer::Host(number));
                }
            }
        }
        None
    }

    /// A request of this host has ended.
    pub(super) fn ended(&mut self, number: u64) {
        let Some(local) = self.hosts.get_mut(&number) else { return };
        if local.standing == Standing::Full {
            local.standing = Standing::Ready;
            self.ready.push_back(number);
        }
    }

    /// How many lines could be taken at `now`, at most, and when there may be more.
    pub(super) fn due(&mut self, now: Nanos, limits: Limits<'_>) -> (u64, Option<Nanos>) {
        self.fire(now);
        if now < self.paced {
            return (0, Some(self.paced));
        }
        let most = if limits.rate.is_some() { PACED_AT_ONCE } else { u64::MAX };
        let lines = (self.ready.len() as u64 * u64::from(limits.per_host)).min(most);
        (lines, self.timers.keys().next().map(|&(at, _)| at))
    }

    /// What this core knows of a host.
    pub(super) fn local(&mut self, host: &Arc<Host>) -> &mut Local {
        self.hosts.entry(host.number).or_insert_with(|| Local::new(Arc::clone(host)))
    }

    fn set(&mut self, at: Nanos, timer: Timer) {
        self.timers_set += 1;
        self.timers.insert((at, self.timers_set), timer);
    }

    fn fire(&mut self, now: Nanos) {
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                Timer::Line(job) => self.push(job),
                Timer::Host(number) => {
                    let Some(local) = self.hosts.get_mut(&number) else { continue };
                    if matches!(local.standing, Standing::Full | Standing::Held) {
                        local.standing = Standing::Ready;
                        self.ready.push_back(number);
                    }
                }
            }
        }
    }
}

impl Local {
    fn new(host: Arc<Host>) -> Self {
        Self { host, origin: None, templates: Vec::new(), lines: VecDeque::new(), standing: Standing::Idle }
    }
}
