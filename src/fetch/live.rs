//! What a run is watched by while it lasts: counts of each core, shown by it a few times a second, and the events of its
//! log.
//!
//! Nothing is locked and nothing is logged per request, unless there is a log. Knows what came of requests and lines, and
//! decides nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tracing::dispatcher::DefaultGuard;

use super::answer::Answer;
use super::flight::{Flight, Flights};
use super::host::Host;
use super::job::{Error, Job};
use super::line::Kind;
use super::log::{self, Events};
use super::queues::Queues;
use super::rest::Admission;
use super::snapshot::{SlowHost, Snapshot, add_to};
use crate::record::Outcome;
use crate::units::{NANOS_PER_S, Nanos};

/// How often a core shows its counts, and how often it looks for slow hosts.
const SHOWN: Nanos = Nanos::from_millis(200);
const LOOKED: Nanos = Nanos::from_secs(1);
/// A request is slow when it has taken so long.
const SLOW: Nanos = Nanos::from_secs(1);
/// So many hosts are named by each core.
const HOSTS_MAX: usize = 8;
/// The status that says there were too many requests (RFC 6585 section 4).
const TOO_MANY_REQUESTS: u16 = 429;

/// What all threads of a run show.
#[derive(Debug)]
pub(super) struct Live {
    /// A core each, written by it alone.
    cores: Box<[Mutex<Snapshot>]>,
    /// Lines that ask for nothing that can be had: no core sees them.
    refused: AtomicU64,
    events: Option<Events>,
}

impl Live {
    pub(super) fn new(cores: usize, events: Option<Events>) -> Self {
        let cores = (0..cores).map(|_| Mutex::default()).collect();
        Self { cores, refused: AtomicU64::new(0), events }
    }

    /// What the core of this place counts on the calling thread, whose events are logged from now on.
    pub(super) fn counts(&self, place: usize) -> Counts {
        let log = self.enter();
        Counts { place, so_far: Snapshot::default(), shown: Nanos::ZERO, looked: Nanos::ZERO, log }
    }

    /// Events of the calling thread are logged, where there is a log, as long as what this gives lives.
    pub(super) fn enter(&self) -> Option<DefaultGuard> {
        self.events.as_ref().map(Events::enter)
    }

    /// A line asks for nothing that can be had.
    pub(super) fn refuse(&self, line: u64, error: &Error) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if self.events.is_some() {
            log::line_ended(line, None, None, Some(error.kind), 0, Nanos::ZERO);
        }
    }

    /// The sum of what cores have shown, and of what they have not seen.
    pub(super) fn sum(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        (0..self.cores.len()).for_each(|place| sum.add(&self.of_core(place)));
        let refused = self.refused.load(Ordering::Relaxed);
        if refused > 0 {
            sum.read = refused;
            sum.ended += refused;
            add_to(&mut sum.errors, Kind::Input, refused);
        }
        sum
    }

    fn of_core(&self, place: usize) -> MutexGuard<'_, Snapshot> {
        self.cores[place].lock().expect("nothing panics with the lock")
    }
}

/// What one core has counted so far.
pub(super) struct Counts {
    place: usize,
    so_far: Snapshot,
    /// When it was shown last.
    shown: Nanos,
    /// When slow hosts were looked for last.
    looked: Nanos,
    /// Where there is a log.
    log: Option<DefaultGuard>,
}

impl Counts {
    /// A request is made, for the first time or again.
    pub(super) fn begun(&mut self, again: bool) {
        self.so_far.requests += 1;
        self.so_far.retries += u64::from(again);
        self.so_far.in_flight += 1;
    }

    /// So many bytes of a body have come.
    pub(super) fn received(&mut self, bytes: usize) {
        self.so_far.bytes += bytes as u64;
    }

    /// A request has ended; `begins` is what its host does from now on.
    pub(super) fn landed(&mut self, flight: &Flight, outcome: Outcome, begins: Option<Admission>, now: Nanos) {
        self.so_far.in_flight -= 1;
        if let Outcome::Answered(status) = outcome {
            add_to(&mut self.so_far.statuses, status, 1);
            self.so_far.rate_limited += u64::from(flight.asked_for_time.is_some() || status == TOO_MANY_REQUESTS);
        }
        if self.log.is_none() {
            return;
        }
        let host = || flight.job.host.origin.authority();
        if let (Some(time), Outcome::Answered(status)) = (flight.asked_for_time, outcome) {
            log::host_held(&host(), status, time);
        }
        match begins {
            Some(Admission::From(at)) => log::host_rests(&host(), Nanos(at.0.saturating_sub(now.0))),
            Some(Admission::Down) => log::host_down(&host()),
            Some(Admission::Now) | None => {}
        }
    }

    /// A line is asked for again, `wait` from now.
    pub(super) fn retried(&mut self, job: &Job, answer: Option<&Answer>, error: Option<&Error>, wait: Nanos) {
        if self.log.is_some() {
            let status = answer.map(|answer| answer.status);
            log::retry(job.line, &job.final_url(), status, error.map(|error| error.kind), job.tried.attempts, wait);
        }
    }

    /// A line has come to its end.
    pub(super) fn concluded(
        &mut self,
        job: &Job,
        status: Option<u16>,
        error: Option<&Error>,
        ok: bool,
        response: Option<Nanos>,
    ) {
        let (so_far, kind) = (&mut self.so_far, error.map(|error| error.kind));
        so_far.ended += 1;
        so_far.ok += u64::from(ok);
        so_far.http_errors += u64::from(!ok && kind.is_none());
        kind.into_iter().for_each(|kind| add_to(&mut so_far.errors, kind, 1));
        response.into_iter().for_each(|time| so_far.latencies.record(time));
        if self.log.is_some() {
            let url = job.final_url();
            log::line_ended(job.line, Some(&url), status, kind, job.tried.attempts, response.unwrap_or_default());
        }
    }

    /// Shows what was counted, where it was not shown lately.
    pub(super) fn show(&mut self, live: &Live, queues: &Queues, flights: &Flights, now: Nanos) {
        if now.0.saturating_sub(self.shown.0) < SHOWN.0 {
            return;
        }
        self.shown = now;
        self.so_far.waiting = queues.waiting();
        if now.0.saturating_sub(self.looked.0) >= LOOKED.0 {
            self.looked = now;
            self.so_far.slowest = slowest(queues, flights, now);
        }
        self.show_at_last(live);
    }

    /// Shows all that was counted.
    pub(super) fn show_at_last(&self, live: &Live) {
        live.of_core(self.place).clone_from(&self.so_far);
    }
}

/// The hosts that hold one core up, the slowest first; a few.
fn slowest(queues: &Queues, flights: &Flights, now: Nanos) -> Vec<SlowHost> {
    let mut delays: HashMap<u64, (&Host, Nanos, Option<Nanos>)> = HashMap::new();
    for Flight { job, .. } in flights.under_way() {
        let age = Nanos(now.0.saturating_sub(job.tried.asked.0));
        if age >= SLOW {
            let (_, oldest, _) = delays.entry(job.host.number).or_insert((&job.host, age, None));
            *oldest = age.max(*oldest);
        }
    }
    for (host, rest) in queues.resting(now) {
        delays.entry(host.number).or_insert((host, Nanos::ZERO, None)).2 = Some(rest);
    }
    let mut delays: Vec<_> = delays.into_values().collect();
    delays
        .sort_by_key(|&(host, oldest, rests)| (std::cmp::Reverse(oldest.max(rests.unwrap_or_default())), host.number));
    delays.truncate(HOSTS_MAX);
    let named = |(host, oldest, rests): (&Host, Nanos, Option<Nanos>)| SlowHost {
        host: host.origin.authority(),
        lines: queues.lines_of(host.number),
        oldest,
        rests,
    };
    delays.into_iter().map(named).collect()
}

/// How many lines ended in the last second, from looks at how many ended so far.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// When it began, in whole seconds.
    second: u64,
    ended: u64,
    latest: u64,
}

impl Recent {
    /// Lines a second at `elapsed`, when so many have `ended`.
    pub(super) fn look(&mut self, elapsed: Nanos, ended: u64) -> u64 {
        let second = elapsed.0 / NANOS_PER_S;
        if second > self.second {
            self.latest = ended.saturating_sub(self.ended) / (second - self.second);
            (self.second, self.ended) = (second, ended);
        }
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_second_s_lines_are_told_from_looks_at_odd_times() {
        let mut recent = Recent::default();
        let looks = [(100, 5, 0), (999, 90, 0), (1_001, 100, 100), (1_900, 500, 100), (4_000, 700, 200)];
        for (ms, ended, latest) in looks {
            assert_eq!(recent.look(Nanos::from_millis(ms), ended), latest, "{ms}");
        }
    }

    #[test]
    fn lines_that_no_core_saw_are_in_the_sum() {
        let live = Live::new(2, None);
        let mut counts = live.counts(1);
        (0..3).for_each(|n| counts.begun(n == 2));
        counts.received(10);
        counts.show_at_last(&live);
        live.refuse(7, &Error::new(Kind::Input, "no URL"));
        let sum = live.sum();
        assert_eq!((sum.requests, sum.retries, sum.in_flight, sum.bytes), (3, 1, 3, 10));
        assert_eq!((sum.read, sum.ended, sum.errors), (1, 1, vec![(Kind::Input, 1)]));
    }
}
