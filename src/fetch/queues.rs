//! The lines that one core has still to ask for, by host, and when each may go: hosts take turns, and those that may have
//! nothing now keep no others waiting.
//!
//! Pure but for the locks of hosts: time is an argument.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use super::bucket::Bucket;
use super::host::{Admission, Host, Hosts};
use super::job::Job;
use super::line::Kind;
use super::robots::{Robots, Verdict};
use crate::plan::request::Template;
use crate::units::Nanos;

/// Hosts that a core knows though they have no lines.
const HOSTS_MAX: usize = 8_192;
/// How soon a host is looked at again whose requests are other cores'.
const LOOK: Nanos = Nanos::from_millis(1);

/// How soon a host is looked at again whose robots.txt another core asks for.
const ROBOTS_LOOK: Nanos = Nanos::from_millis(20);
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
    /// Lines among them.
    waiting: u64,
    /// With more hosts than this, those without lines are forgotten.
    forget_above: usize,
    /// Until when the rate of the whole run allows nothing.
    paced: Nanos,
    /// Whose lines these are, and of how many cores: they share the hosts.
    core: usize,
    cores: usize,
    /// Hosts, by number, of which other cores have what this one wants.
    wanted: Vec<u64>,
    /// Those to which this core closes an idle connection for another: not yet told to the pool, and told.
    leaving: Vec<u64>,
    left: Vec<u64>,
}

/// What limits lines beside their hosts' own states.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    /// Requests of one host in flight.
    pub(super) per_host: u32,
    /// Of the whole run.
    pub(super) rate: Option<&'a Mutex<Bucket>>,
    /// What may be asked for, where robots.txt is obeyed.
    pub(super) robots: Option<&'a Mutex<Robots>>,
}

/// A line whose time has come.
#[derive(Debug)]
pub(super) enum Line {
    /// It counts as in flight from now on.
    Go(Box<Job>),
    /// It is not to be asked for, or not any more.
    Barred(Box<Job>, Kind),
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
    /// Requests of this core.
    in_flight: u32,
    /// Idle connections of this core that are about to be closed.
    leaving: u32,
    standing: Standing,
    /// It is looked at again soon, as its requests may be other cores'.
    looked_at: bool,
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
    /// None yet, of the core of this number among so many.
    pub(super) fn new(core: usize, cores: usize) -> Self {
        Self { core, cores, forget_above: HOSTS_MAX, ..Self::default() }
    }

    /// Takes a line in that may go as soon as its host may have it.
    pub(super) fn push(&mut self, job: Box<Job>) {
        let number = job.host.number;
        let local = self.hosts.entry(number).or_insert_with(|| Local::new(Arc::clone(&job.host)));
        // Lines wait for robots.txt, and not the other way round.
        let is_first = job.robots_of.is_some();
        if is_first {
            local.lines.push_front(job);
        } else {
            local.lines.push_back(job);
        }
        if local.standing == Standing::Idle || (is_first && local.standing == Standing::Held) {
            local.standing = Standing::Ready;
            self.ready.push_back(number);
        }
    }

    /// Takes a line in that must wait until `at`.
    pub(super) fn push_at(&mut self, at: Nanos, job: Box<Job>) {
        self.waiting += 1;
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
            match local.permission(now, limits.robots) {
                Permission::Granted => {}
                Permission::Refused(kind) => {
                    let job = local.lines.pop_front();
                    self.ready.push_back(number);
                    return job.map(|job| Line::Barred(job, kind));
                }
                Permission::Awaited => {
                    local.standing = Standing::Held;
                    self.set(Nanos(now.0 + ROBOTS_LOOK.0), Timer::Host(number));
                    continue;
                }
            }
            match local.host.admit(self.core, now, limits.per_host) {
                Admission::Go => {
                    let job = local.lines.pop_front();
                    local.in_flight += 1;
                    self.ready.push_back(number);
                    if let Some(rate) = &mut rate {
                        rate.take(now).expect("it was due a moment ago");
                    }
                    return job.map(Line::Go);
                }
                Admission::Down => {
                    let job = local.lines.pop_front();
                    self.ready.push_back(number);
                    return job.map(|job| Line::Barred(job, Kind::HostDown));
                }
                Admission::Full => {
                    local.standing = Standing::Full;
                    if self.cores > 1 && !std::mem::replace(&mut local.looked_at, true) {
                        self.wanted.push(number);
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

    /// What a host waited for has come.
    pub(super) fn wake(&mut self, number: u64) {
        let Some(local) = self.hosts.get_mut(&number) else { return };
        if local.standing == Standing::Held {
            local.standing = Standing::Ready;
            self.ready.push_back(number);
        }
    }

    /// A request of this host has ended.
    pub(super) fn ended(&mut self, number: u64, now: Nanos) {
        let Some(local) = self.hosts.get_mut(&number) else { return };
        local.in_flight -= 1;
        if local.standing == Standing::Full {
            local.standing = Standing::Ready;
            self.ready.push_back(number);
        }
        self.spare(number, now);
    }

    /// Leaves an idle connection to a host to another core that lacks one, where this one can do without.
    fn spare(&mut self, number: u64, now: Nanos) {
        let Some(local) = self.hosts.get_mut(&number).filter(|_| self.cores > 1) else { return };
        if local.host.takes_connection(self.core, !local.lines.is_empty(), now) {
            local.leaving += 1;
            self.leaving.push(number);
        }
    }

    /// Shares connections with other cores; to be called at every beat. Gives the indexes of origins that are to lose an
    /// idle connection each before it is called again.
    pub(super) fn share(&mut self, hosts: &Hosts, now: Nanos) -> Vec<u32> {
        if self.cores == 1 {
            return Vec::new();
        }
        for number in std::mem::take(&mut self.left) {
            if let Some(local) = self.hosts.get_mut(&number) {
                local.leaving -= 1;
                local.host.took_connection(self.core);
            }
        }
        let wanted = hosts.tell_wanted(std::mem::take(&mut self.wanted), now);
        wanted.into_iter().for_each(|number| self.spare(number, now));
        self.left = std::mem::take(&mut self.leaving);
        self.left.iter().filter_map(|number| self.hosts.get(number)?.origin).collect()
    }

    /// Lets all lines go; gives those that had been begun: they waited for their next request.
    pub(super) fn give_up(&mut self) -> impl Iterator<Item = Box<Job>> {
        self.waiting = 0;
        let timers = std::mem::take(&mut self.timers).into_values();
        let waiting = timers.filter_map(|timer| match timer {
            Timer::Line(job) => Some(job),
            Timer::Host(_) => None,
        });
        let queued = self.hosts.values_mut().flat_map(|local| local.lines.drain(..));
        waiting.chain(queued).filter(|job| job.is_begun())
    }

    /// Forgets hosts without lines and requests where there are too many; gives what indexes they had.
    pub(super) fn forget_idle(&mut self) -> Vec<u32> {
        if self.hosts.len() <= self.forget_above {
            return Vec::new();
        }
        let is_idle = |local: &Local| local.standing == Standing::Idle && local.is_unused() && local.lines.is_empty();
        let idle = self.hosts.extract_if(|_, local| is_idle(local));
        let forgotten = idle.filter_map(|(_, local)| {
            local.host.leave(self.core);
            local.origin
        });
        let forgotten = forgotten.collect();
        self.forget_above = HOSTS_MAX.max(2 * self.hosts.len());
        forgotten
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

    /// Lines that wait for their next attempt.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Hosts with lines that are to be left alone, and how long from `now` on.
    pub(super) fn resting(&self, now: Nanos) -> impl Iterator<Item = (&Host, Nanos)> {
        let held = self.hosts.values().filter(|local| local.standing == Standing::Held && !local.lines.is_empty());
        held.filter_map(move |local| Some((&*local.host, local.host.rests(now)?)))
    }

    /// Lines of a host that are in flight or wait for their turn.
    pub(super) fn lines_of(&self, number: u64) -> u64 {
        self.hosts.get(&number).map_or(0, |local| local.lines.len() as u64 + u64::from(local.in_flight))
    }

    fn set(&mut self, at: Nanos, timer: Timer) {
        self.timers_set += 1;
        self.timers.insert((at, self.timers_set), timer);
    }

    fn fire(&mut self, now: Nanos) {
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
            match first.remove() {
                Timer::Line(job) => {
                    self.waiting -= 1;
                    self.push(job);
                }
                Timer::Host(number) => {
                    let Some(local) = self.hosts.get_mut(&number) else { continue };
                    local.looked_at = false;
                    if matches!(local.standing, Standing::Full | Standing::Held) {
                        local.standing = Standing::Ready;
                        self.ready.push_back(number);
                    }
                }
            }
        }
    }
}

/// Whether robots.txt lets the first line of a host be asked for.
enum Permission {
    Granted,
    Refused(Kind),
    /// It is being asked for.
    Awaited,
}

impl Local {
    /// Puts the request for robots.txt before the first line, where nobody has made it.
    fn permission(&mut self, now: Nanos, robots: Option<&Mutex<Robots>>) -> Permission {
        let (Some(robots), Some(first)) = (robots, self.lines.front_mut()) else { return Permission::Granted };
        if first.tried.is_allowed {
            return Permission::Granted;
        }
        match robots.lock().expect("no rules panic").verdict(&self.host.origin, first.target(), now) {
            Verdict::Allowed => first.tried.is_allowed = true,
            Verdict::Fetch => {
                let request = Box::new(first.of_robots());
                self.lines.push_front(request);
            }
            Verdict::Wait => return Permission::Awaited,
            Verdict::Disallowed => return Permission::Refused(Kind::Robots),
            Verdict::Unreachable => return Permission::Refused(Kind::RobotsUnreachable),
        }
        Permission::Granted
    }

    fn is_unused(&self) -> bool {
        self.in_flight == 0 && self.leaving == 0
    }

    fn new(host: Arc<Host>) -> Self {
        Self {
            host,
            origin: None,
            templates: Vec::new(),
            lines: VecDeque::new(),
            in_flight: 0,
            leaving: 0,
            standing: Standing::Idle,
            looked_at: false,
        }
    }
}
