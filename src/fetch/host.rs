//! What all cores know of one host together: how many requests it has, and whether it may have another.
//!
//! Any core may ask any host. The state of a host is behind a lock of its own, held for some nanoseconds two or three
//! times a request and contended only where several cores fetch from one host: limits are exact, whoever asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::bucket::{Bucket, Pace};
use super::parts::{Parts, WANTED};
use super::rest::{self, HostRest, is_absence};
use crate::engine::rest::Rest;
use crate::plan::Origin;
use crate::record::{Failure, Outcome};
use crate::units::{Nanos, Rate};

/// Hosts that are remembered though no line needs them at the moment.
const REMEMBERED: usize = 65_536;
/// Requests that a rate would have allowed up to so long ago are made up for: cores may be late, most of all where others
/// want them too.
pub(super) const SLACK: Nanos = Nanos::from_millis(100);

/// One scheme, host and port.
#[derive(Debug)]
pub(crate) struct Host {
    /// No other one of the run has it.
    pub(crate) number: u64,
    pub(crate) origin: Origin,
    /// That origin as URLs begin with it.
    pub(crate) url: Box<str>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// By core.
    parts: Parts,
    /// It has answered something since a connect failed last.
    answered: bool,
    rest: HostRest,
    /// After failed connects, as the pool has it: nobody is to wait there.
    connecting: Rest,
    pace: Pace,
}

/// Whether a host may have one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Now; it counts as in flight.
    Go,
    /// Once another one of it has ended, or another core has closed a connection.
    Full,
    /// Not before this instant.
    From(Nanos),
    /// Not any more.
    Down,
}

impl Host {
    fn new(number: u64, origin: Origin, rate: Option<Rate>, now: Nanos) -> Self {
        let pace = Pace::new(rate.map(|rate| Bucket::at_rate(rate, SLACK, now)));
        let (rest, connecting) = (HostRest::default(), Rest::default());
        let url = origin.to_string().into();
        Self {
            number,
            origin,
            url,
            state: Mutex::new(State { parts: Parts::default(), answered: false, rest, connecting, pace }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no policy panics with the lock")
    }

    /// A core asks for one more request at `now`, of at most so many in flight. It leaves it to those that want one, too,
    /// and have fewer.
    pub(crate) fn admit(&self, core: usize, now: Nanos, most: u32) -> Admission {
        let state = &mut *self.state();
        match state.rest.admission(now) {
            rest::Admission::Down => return Admission::Down,
            rest::Admission::From(at) => return Admission::From(at),
            rest::Admission::Now if now < state.connecting.until => return Admission::From(state.connecting.until),
            rest::Admission::Now => {}
        }
        let is_full = state.parts.in_flight() >= if state.answered { most } else { 1 };
        if is_full || state.parts.leaves_it(core, now) {
            state.parts.refuse(core, now);
            return Admission::Full;
        }
        if now < state.pace.due() {
            return Admission::From(state.pace.due());
        }
        if !state.parts.has_connection(core, most) {
            state.parts.refuse(core, now);
            return Admission::Full;
        }
        state.pace.take(now).expect("it is due");
        state.parts.begin(core);
        Admission::Go
    }

    /// Whether a core, which has lines for it or none, is to close an idle connection to it, as another one lacks it.
    pub(crate) fn takes_connection(&self, core: usize, has_lines: bool, now: Nanos) -> bool {
        self.state().parts.gives_one_up(core, has_lines, now)
    }

    /// A core has closed the connection that it was to close.
    pub(crate) fn took_connection(&self, core: usize) {
        self.state().parts.gave_one_up(core);
    }

    /// A core closes all of its connections.
    pub(crate) fn leave(&self, core: usize) {
        self.state().parts.leave(core);
    }

    /// A request of a core that was begun at `started` has ended at `now`; says what begins with that: a rest, or being
    /// down.
    pub(crate) fn ended(&self, core: usize, outcome: Outcome, started: Nanos, now: Nanos) -> Option<rest::Admission> {
        let state = &mut *self.state();
        state.parts.end(core);
        match outcome {
            Outcome::Answered(_) => {
                state.answered = true;
                state.connecting = Rest::default();
                state.rest.answered();
                None
            }
            Outcome::Failed(failure) => {
                if matches!(failure, Failure::Connect | Failure::ConnectTimeout) {
                    state.connecting.fail(started, now);
                    // One tries for all whether it has come back; the pool would let the others fail untried.
                    state.answered = false;
                }
                if is_absence(failure) { state.rest.failed(started, now) } else { None }
            }
            Outcome::InFlightAtEnd => None,
        }
    }

    /// Its requests are to be at least so far apart.
    pub(crate) fn space(&self, gap: Nanos, now: Nanos) {
        self.state().pace.space(gap, now);
    }

    /// How long it is to be left alone, counted from `now`; none where it may be asked.
    pub(crate) fn rests(&self, now: Nanos) -> Option<Nanos> {
        match self.state().rest.admission(now) {
            rest::Admission::From(at) => Some(Nanos(at.0.saturating_sub(now.0))),
            rest::Admission::Now | rest::Admission::Down => None,
        }
    }

    /// It asked to be left alone for so long after `now`.
    pub(crate) fn hold(&self, now: Nanos, time: Nanos) {
        self.state().rest.hold(now, time);
    }
}

/// All hosts of a run.
#[derive(Debug)]
pub(crate) struct Hosts {
    known: Mutex<Known>,
    rate: Option<Rate>,
    /// Of which some core wants more, by number, and when it last said so.
    wanted: Mutex<HashMap<u64, Nanos>>,
}

#[derive(Debug, Default)]
struct Known {
    by_origin: HashMap<Origin, Arc<Host>>,
    next: u64,
}

impl Hosts {
    /// None yet; each may be asked at `rate`.
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self { known: Mutex::default(), rate, wanted: Mutex::default() }
    }

    /// Tells all cores of hosts of which one wants more, and hears of those that were told of lately.
    pub(crate) fn tell_wanted(&self, hosts: Vec<u64>, now: Nanos) -> Vec<u64> {
        let wanted = &mut *self.wanted.lock().expect("nothing in here panics");
        wanted.extend(hosts.into_iter().map(|host| (host, now)));
        wanted.retain(|_, told| now.0.saturating_sub(told.0) < WANTED.0);
        wanted.keys().copied().collect()
    }

    /// The host of this origin, the same one for everybody.
    pub(crate) fn of(&self, origin: &Origin, now: Nanos) -> Arc<Host> {
        let known = &mut *self.known.lock().expect("nothing in here panics");
        if let Some(host) = known.by_origin.get(origin) {
            return Arc::clone(host);
        }
        if known.by_origin.len() >= REMEMBERED {
            // What nobody holds has neither requests nor lines.
            known.by_origin.retain(|_, host| Arc::strong_count(host) > 1);
        }
        let host = Arc::new(Host::new(known.next, origin.clone(), self.rate, now));
        known.next += 1;
        known.by_origin.insert(origin.clone(), Arc::clone(&host));
        host
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::origin::parse_site;

    fn host(rate: Option<&str>) -> Arc<Host> {
        let rate = rate.map(|text| Rate::parse(text).expect("a rate"));
        let origin = parse_site("http://a").expect("a site").origin;
        Hosts::new(rate).of(&origin, Nanos::ZERO)
    }

    const OK: Outcome = Outcome::Answered(200);
    const REFUSED: Outcome = Outcome::Failed(Failure::Connect);

    fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[test]
    fn a_host_has_one_request_until_its_first_answer_and_its_number_after_that() {
        let host = host(None);
        let admitted = || (0..10).filter(|_| host.admit(0, ms(1), 6) == Admission::Go).count();
        assert_eq!((admitted(), host.admit(0, ms(1), 6)), (1, Admission::Full));
        host.ended(0, OK, ms(0), ms(1));
        assert_eq!((admitted(), host.admit(0, ms(1), 6)), (6, Admission::Full));
    }

    #[test]
    fn cores_that_want_a_host_have_equal_parts_of_it_and_one_alone_has_all() {
        let host = host(None);
        host.admit(0, ms(1), 6);
        host.ended(0, OK, ms(0), ms(1));
        assert_eq!((0..7).filter(|_| host.admit(0, ms(1), 6) == Admission::Go).count(), 6);
        assert_eq!(host.admit(1, ms(2), 6), Admission::Full);
        let gives_up = |core: usize, has_lines: bool, now: Nanos| {
            let gives = host.takes_connection(core, has_lines, now);
            if gives {
                host.took_connection(core);
            }
            gives
        };
        let asked = |core: usize, of: usize| {
            host.ended(of, OK, ms(1), ms(3));
            gives_up(of, true, ms(3));
            host.admit(core, ms(3), 6) == Admission::Go
        };
        assert!(!asked(0, 0), "it is left to the other core");
        assert_eq!((host.admit(1, ms(3), 6), host.admit(1, ms(3), 6)), (Admission::Go, Admission::Full));
        assert!(asked(1, 0) && asked(1, 0), "up to its part");
        assert!(asked(0, 0) && asked(1, 1), "which each keeps");
        host.ended(1, OK, ms(3), ms(9));
        assert_eq!(host.admit(0, ms(9), 6), Admission::Full, "the other core still has its connection");
        assert!(!gives_up(1, true, ms(9)) && gives_up(1, false, ms(9)), "and needs it no more");
        assert_eq!(host.admit(0, ms(9), 6), Admission::Go);
    }

    #[test]
    fn after_a_failed_connect_one_request_finds_out_whether_it_is_back() {
        let host = host(None);
        let admitted = |now| (0..10).filter(|_| host.admit(0, now, 6) == Admission::Go).count();
        assert_eq!(admitted(ms(1)), 1);
        host.ended(0, OK, ms(1), ms(2));
        assert_eq!(admitted(ms(2)), 6);
        assert!((0..6).all(|_| host.ended(0, REFUSED, ms(2), ms(3)).is_none()));
        assert_eq!(admitted(ms(3)), 0, "it rests");
        assert_eq!((admitted(ms(13)), host.admit(0, ms(13), 6)), (1, Admission::Full));
        host.ended(0, OK, ms(13), ms(14));
        assert_eq!(admitted(ms(14)), 6);
    }

    #[test]
    fn failed_connects_in_a_row_make_it_rest_and_then_end_it() {
        let host = host(None);
        let (mut now, mut tries, mut longest) = (Nanos::ZERO, 0, Nanos::ZERO);
        loop {
            match host.admit(0, now, 6) {
                Admission::Go => {
                    tries += 1;
                    host.ended(0, REFUSED, now, now);
                }
                Admission::From(at) => {
                    longest = longest.max(Nanos(at.0 - now.0));
                    now = at;
                }
                Admission::Full => unreachable!("it ends at once"),
                Admission::Down => break,
            }
        }
        assert_eq!((tries, longest), (13, Nanos::from_secs(4)));
    }

    #[test]
    fn its_rate_is_kept_and_what_it_asks_for_too() {
        let host = host(Some("10"));
        host.admit(0, ms(0), 6);
        host.ended(0, OK, ms(0), ms(0));
        assert_eq!(host.admit(0, ms(1), 6), Admission::From(ms(100)));
        host.hold(ms(1), Nanos::from_secs(3));
        assert_eq!(host.admit(0, ms(100), 6), Admission::From(ms(3_001)));
    }

    #[test]
    fn an_origin_is_one_host() {
        let hosts = Hosts::new(None);
        let of = |site: &str| hosts.of(&parse_site(site).expect("a site").origin, Nanos::ZERO);
        assert!(Arc::ptr_eq(&of("http://a"), &of("http://me@A:80")) && !Arc::ptr_eq(&of("http://a"), &of("https://a")));
    }
}
