//! What all cores know of one host together: how many requests it has, and whether it may have another.
//!
//! Any core may ask any host. The state of a host is behind a lock of its own, held for some nanoseconds two or three
//! times a request and contended only where several cores fetch from one host: limits are exact, whoever asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::bucket::{Bucket, Pace};
use super::rest::{self, HostRest, is_absence};
use crate::engine::rest::Rest;
use crate::plan::Origin;
use crate::record::{Failure, Outcome};
use crate::units::{Nanos, Rate};

/// Hosts that are remembered though no line needs them at the moment.
const REMEMBERED: usize = 65_536;
/// Requests that a rate would have allowed up to so long ago are made up for: cores may be late, most of all where others want them too.
pub(super) const SLACK: Nanos = Nanos::from_millis(100);

/// A core that was refused a request is thought to want one for so long; it asks again sooner.
const WANTED: Nanos = Nanos::from_millis(5);

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
    in_flight: u32,
    /// By core.
    parts: Vec<Part>,
    /// It has answered something since a connect failed last.
    answered: bool,
    rest: HostRest,
    /// After failed connects, as the pool has it: nobody is to wait there.
    connecting: Rest,
    pace: Pace,
}

/// A core's part of a host.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    in_flight: u32,
    /// When it last wanted a request and could have none.
    refused: Nanos,
}

/// Whether a host may have one more request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Now; it counts as in flight.
    Go,
    /// Once another one of it has ended.
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
            state: Mutex::new(State { in_flight: 0, parts: Vec::new(), answered: false, rest, connecting, pace }),
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
        if state.in_flight >= if state.answered { most } else { 1 } || state.leaves_it(core, now) {
            state.part(core).refused = now;
            return Admission::Full;
        }
        if let Err(at) = state.pace.take(now) {
            return Admission::From(at);
        }
        state.in_flight += 1;
        state.part(core).in_flight += 1;
        Admission::Go
    }

    /// A request of a core that was begun at `started` has ended at `now`; says what begins with that: a rest, or being down.
    pub(crate) fn ended(&self, core: usize, outcome: Outcome, started: Nanos, now: Nanos) -> Option<rest::Admission> {
        let state = &mut *self.state();
        state.in_flight -= 1;
        state.part(core).in_flight -= 1;
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

impl State {
    fn part(&mut self, core: usize) -> &mut Part {
        if self.parts.len() <= core {
            self.parts.resize(core + 1, Part::default());
        }
        &mut self.parts[core]
    }

    /// Another core wants a request, too, and has fewer of them.
    fn leaves_it(&mut self, core: usize, now: Nanos) -> bool {
        let own = self.part(core).in_flight;
        let wants = |part: &Part| part.refused > Nanos::ZERO && now.0 < part.refused.0 + WANTED.0;
        self.parts.iter().enumerate().any(|(other, part)| other != core && part.in_flight < own && wants(part))
    }
}

/// All hosts of a run.
#[derive(Debug)]
pub(crate) struct Hosts {
    known: Mutex<Known>,
    rate: Option<Rate>,
}

#[derive(Debug, Default)]
struct Known {
    by_origin: HashMap<Origin, Arc<Host>>,
    next: u64,
}

impl Hosts {
    /// None yet; each may be asked at `rate`.
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self { known: Mutex::default(), rate }
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
        let asked = |core: usize, of: usize| {
            host.ended(of, OK, ms(1), ms(3));
            host.admit(core, ms(3), 6) == Admission::Go
        };
        assert!(!asked(0, 0), "it is left to the other core");
        assert_eq!((host.admit(1, ms(3), 6), host.admit(1, ms(3), 6)), (Admission::Go, Admission::Full));
        assert!(asked(1, 0) && asked(1, 0), "up to its part");
        assert!(asked(0, 0) && asked(1, 1), "which each keeps");
        host.ended(1, OK, ms(3), ms(9));
        assert_eq!(host.admit(0, ms(9), 6), Admission::Go, "nobody has wanted it for a while");
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
