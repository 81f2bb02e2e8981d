//! The core's connections: leased by value, given back or closed, opened again with care.
//!
//! A lease owns its connection, so one whose answer never came cannot return to the pool by accident: dropping closes. An
//! HTTP/2 connection is shared by as many leases as it has streams. Knows origins by index and nothing of requests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

pub(crate) use self::lease::{GiveBack, Lease, Leased, Way};
use self::room::{Handed, Room};
pub(crate) use self::streams::Carrier;
use self::streams::{Shared, Streams};
use super::control::NEVER;
use super::dialler::{Dialler, Opened, Refused};
use super::origins::Origins;
use super::pipe::Pipe;
use super::rest::Rest;
use super::watch::{Expired, Watch};
use crate::clock;
use crate::net::stream::{Now, Stream};
use crate::record::Failure;
use crate::units::Nanos;
use crate::wire::decode::{Decoder, Familiar};

mod lease;
mod room;
mod streams;

/// A connection idle for longer is looked at before it is used: the peer may have closed it, or have spoken unasked.
const LOOK_AFTER: Nanos = Nanos::from_millis(5);
/// How often those who wait look whether the one who tries for them has come to anything.
const PROBE_LOOK: Nanos = Nanos::from_millis(10);
/// What a request waits for an origin that is known not to be had, before it fails.
const MOMENT: Nanos = Nanos::from_millis(1);

/// An open connection with what belongs to it alone.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) decoder: Decoder,
    /// Reads of heads are posted with this one; its capacity is its size.
    pub(crate) buffer: Vec<u8>,
    /// The number of the form in which requests on it are addressed.
    pub(crate) form: u32,
    origin: u32,
    /// Position in the order of use; identifies an idle connection.
    used: u64,
    idle_since: Nanos,
    /// So many more requests may be made on it, one under way included; at least 1.
    left: u64,
}

/// One core's connections to all origins.
#[derive(Debug)]
pub(crate) struct Pool {
    dialler: Dialler,
    /// Most connections open at once.
    capacity: u32,
    /// There are several origins, or may be.
    several: bool,
    /// Most requests of one connection.
    requests_max: u64,
    buffer_bytes: usize,
    /// Shared by the decoders of all connections.
    familiar: Rc<RefCell<Familiar>>,
    open: Cell<u32>,
    uses: Cell<u64>,
    origins: RefCell<Vec<Origin>>,
    /// Idle connections by last use, oldest first, where there are several origins; entries of leased ones are stale.
    order: RefCell<VecDeque<(u32, u64)>>,
    /// Most streams lent of one HTTP/2 connection.
    streams: u32,
    /// Who waits for a connection while all are taken.
    room: Room,
}

/// What the core remembers of an origin.
#[derive(Debug, Default)]
struct Origin {
    /// Most recently used last.
    #[allow(clippy::vec_box, reason = "leases move the box between slots, not 200 bytes of connection")]
    idle: Vec<Box<Connection>>,
    /// HTTP/2 connections that may have a stream to lend.
    streams: Streams,
    rest: Rest,
    /// After a rest: someone is trying for all.
    probed: bool,
    /// The last failed attempt: when it ended, and how.
    failed: Option<(Nanos, Failure)>,
}

impl Pool {
    /// At most `capacity` connections, of each at most `streams` at a time where it is HTTP/2, and on each at most
    /// `requests_max` requests.
    pub(crate) fn new(dialler: Dialler, capacity: u32, streams: u32, requests_max: u64) -> Self {
        let origins = RefCell::new((0..dialler.origins().len()).map(|_| Origin::default()).collect());
        Self {
            several: dialler.origins().several(),
            dialler,
            capacity,
            requests_max,
            // Measured: with many connections a small head buffer saves memory and some CPU, with few a larger one
            // takes a typical answer whole.
            buffer_bytes: if capacity > 512 { 1024 } else { 4096 },
            familiar: Rc::default(),
            open: Cell::new(0),
            uses: Cell::new(0),
            origins,
            order: RefCell::default(),
            streams,
            room: Room::default(),
        }
    }

    /// Most connections open at once.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The connection to `origin` that was used last, if one is idle; else a stream of one that has one to lend.
    pub(crate) fn idle(&self, origin: u32, now: Nanos) -> Option<Result<Leased, Refused>> {
        let pooled = |way| Leased::Ready(Lease { way, arrival: None });
        let Some(connection) = self.pop_idle(origin) else {
            return self.lend_stream(origin, Nanos::ZERO).map(|stream| Ok(pooled(Way::Shared(stream))));
        };
        if now.0 - connection.idle_since.0 < LOOK_AFTER.0 {
            return Some(Ok(pooled(Way::Own(connection))));
        }
        Some(match connection.stream.peek() {
            Ok(Now::Nothing) => Ok(pooled(Way::Own(connection))),
            Ok(Now::Bytes(_)) => {
                self.close(connection);
                Err(Refused::Failed(
                    Failure::Protocol,
                    "bytes came on a connection with nothing outstanding".to_owned(),
                ))
            }
            Ok(Now::Closed) | Err(_) => {
                self.abandon(connection);
                Ok(Leased::Dead)
            }
        })
    }

    fn pop_idle(&self, origin: u32) -> Option<Box<Connection>> {
        let origins = &mut *self.origins.borrow_mut();
        match origins.get_mut(origin as usize) {
            Some(origin) => origin.idle.pop(),
            None => {
                // It came up during the run.
                origins.resize_with(origin as usize + 1, Origin::default);
                None
            }
        }
    }

    fn lend_stream(&self, origin: u32, after: Nanos) -> Option<Rc<Shared>> {
        let used = self.next_use();
        let (lent, closed) = self.origins.borrow_mut()[origin as usize].streams.lend(after, self.streams, used);
        (0..closed).for_each(|_| self.free_place());
        lent
    }

    fn next_use(&self) -> u64 {
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }

    /// Opens a connection to `origin`; the least recently used idle one of another origin makes room. While all are taken
    /// (those of HTTP/2 by others' streams, or of HTTP/1.1 where HTTP/2 was hoped for), one of them is waited for; `fresh`:
    /// not one that is open already.
    ///
    /// No storms: where the last attempt failed, the origin rests first, and then one caller tries for all that wait.
    pub(crate) async fn dial(&self, origin: u32, fresh: bool, watch: &Watch, limit: Nanos) -> Result<Lease, Refused> {
        self.close_forgotten();
        let asked = clock::now();
        let after = if fresh { asked } else { Nanos::ZERO };
        self.turn_to_dial(origin, asked, watch, limit).await?;
        while !self.take_place() {
            // Whoever waits here tries nothing for others.
            self.origins.borrow_mut()[origin as usize].probed = false;
            let handed = self.room.wait(origin, after, watch, limit).await.map_err(|Expired| Refused::Expired)?;
            match handed {
                Handed::Way(way) => return Ok(Lease::waited_for(way, clock::now(), None)),
                Handed::Place => {
                    let turn = self.turn_to_dial(origin, asked, watch, limit).await;
                    turn.inspect_err(|_| self.free_place())?;
                    break;
                }
                Handed::Look => {
                    if let Some(stream) = self.lend_stream(origin, after) {
                        return Ok(Lease::waited_for(Way::Shared(stream), clock::now(), None));
                    }
                    self.turn_to_dial(origin, asked, watch, limit).await?;
                }
            }
        }
        self.open_new(origin, watch, limit).await
    }

    /// Closes what whoever chooses the requests has no use for any more; called at every beat.
    #[inline]
    pub(crate) fn trim(&self) {
        while let Some(index) = self.dialler.origins().next_spared() {
            let mut origins = self.origins.borrow_mut();
            // The one that was used least recently.
            let idle = origins.get_mut(index as usize).map(|origin| &mut origin.idle).filter(|idle| !idle.is_empty());
            let Some(connection) = idle.map(|idle| idle.remove(0)) else { continue };
            drop(origins);
            self.close(connection);
        }
    }

    /// Closes connections to origins that nobody needs any more.
    fn close_forgotten(&self) {
        while let Some(index) = self.dialler.origins().next_forgotten() {
            self.dialler.forget(index);
            let Some(mut origin) = self.origins.borrow_mut().get_mut(index as usize).map(std::mem::take) else {
                continue;
            };
            let closed = origin.idle.drain(..).map(|connection| connection.stream.close()).count() as u32;
            let closed = closed + origin.streams.close_all();
            (0..closed).for_each(|_| self.free_place());
        }
    }

    /// Counts one more connection as open, where there may be one more.
    fn take_place(&self) -> bool {
        let free = self.open.get() < self.capacity || self.evict();
        if free {
            self.open.set(self.open.get() + 1);
        }
        free
    }

    /// A connection is gone: its place is that of the first in line, or free.
    fn free_place(&self) {
        if !self.room.hand_place() {
            self.open.set(self.open.get() - 1);
        }
    }

    /// Opens a connection in a place that was taken for it.
    async fn open_new(&self, origin: u32, watch: &Watch, limit: Nanos) -> Result<Lease, Refused> {
        let started = clock::now();
        let result = self.dialler.dial(origin, started, watch, limit).await;
        let ended = clock::now();
        let state = &mut self.origins.borrow_mut()[origin as usize];
        state.probed = false;
        match result {
            Ok((opened, dial)) => {
                state.rest = Rest::default();
                let limits = (self.streams, self.requests_max);
                let way = match opened {
                    Opened::Stream(stream) => Way::Own(Box::new(self.connection(stream, origin, dial.form, ended))),
                    Opened::Session(session) => {
                        Way::Shared(state.streams.add(Carrier::Session(session), origin, ended, limits))
                    }
                    Opened::Pipe(inbox, outbox) => {
                        let pipe = Pipe::new(inbox, outbox, Decoder::sharing(Rc::clone(&self.familiar)));
                        Way::Shared(state.streams.add(Carrier::Pipe(pipe), origin, ended, limits))
                    }
                };
                if let Way::Shared(shared) = &way {
                    self.serve_waiting(shared);
                }
                Ok(Lease::waited_for(way, dial.opened, Some(dial)))
            }
            Err(refused) => {
                if let Refused::Failed(failure, _) = refused {
                    state.failed = Some((ended, failure));
                    state.rest.fail(started, ended);
                }
                // The failure is that of all who wait for this origin; the place may be of use to another one.
                self.room.call_all(origin);
                self.free_place();
                Err(refused)
            }
        }
    }

    /// Waits while the origin rests, and while another caller finds out for all whether it has come back; where there are
    /// other origins to serve, a rest is no time to wait but a failure.
    async fn turn_to_dial(&self, origin: u32, asked: Nanos, watch: &Watch, limit: Nanos) -> Result<(), Refused> {
        if !self.dialler.has_address(origin) {
            // Waiting changes nothing; a moment keeps a closed load of such names from spinning.
            watch.sleep(Nanos(asked.0 + MOMENT.0).min(limit)).await;
            return Err(Refused::Failed(Failure::Resolve, "the name has no address".to_owned()));
        }
        loop {
            let now = clock::now();
            let wait = {
                let origins = &mut *self.origins.borrow_mut();
                // A slot that waits here is one less for the other origins.
                let several = self.several;
                let state = &mut origins[origin as usize];
                match state.failed {
                    Some((at, failure)) if at > asked => {
                        return Err(Refused::Failed(failure, "another attempt failed meanwhile".to_owned()));
                    }
                    Some((_, failure)) if several && (now < state.rest.until || state.probed) => Wait::Fail(failure),
                    _ if now < state.rest.until => Wait::Until(state.rest.until),
                    _ if state.probed => Wait::Until(Nanos(now.0 + PROBE_LOOK.0)),
                    _ => match self.dialler.rest(origin, now) {
                        Some((_, failure)) if several => Wait::Fail(failure),
                        Some((until, _)) => Wait::Until(until),
                        None => {
                            state.probed = state.rest.length > Nanos::ZERO;
                            return Ok(());
                        }
                    },
                }
            };
            let until = match wait {
                Wait::Until(until) => until,
                Wait::Fail(_) => Nanos(now.0 + MOMENT.0),
            };
            watch.sleep(until.min(limit)).await;
            match wait {
                _ if clock::now() < until => return Err(Refused::Expired),
                Wait::Fail(failure) => {
                    return Err(Refused::Failed(failure, "nobody is asked so soon after a failure".to_owned()));
                }
                Wait::Until(_) => {}
            }
        }
    }

    fn connection(&self, stream: Stream, origin: u32, form: u32, now: Nanos) -> Connection {
        let buffer = Vec::with_capacity(self.buffer_bytes);
        let decoder = Decoder::sharing(Rc::clone(&self.familiar));
        Connection { stream, decoder, buffer, form, origin, used: 0, idle_since: now, left: self.requests_max }
    }

    /// Ends a lease.
    #[inline]
    pub(crate) fn give_back(&self, lease: Lease, how: GiveBack, now: Nanos) {
        let mut connection = match lease.way {
            Way::Own(connection) => connection,
            Way::Shared(shared) => return self.give_stream_back(shared, how),
        };
        match how {
            GiveBack::Unused => {}
            GiveBack::Keep if connection.left > 1 => connection.left -= 1,
            GiveBack::Keep | GiveBack::Close => return self.close(connection),
            GiveBack::Abandon => return self.abandon(connection),
        }
        if !self.room.is_empty() {
            match self.hand_over(connection) {
                None => return,
                Some(unwanted) => connection = unwanted,
            }
        }
        let mut origins = self.origins.borrow_mut();
        connection.idle_since = now;
        if self.several {
            self.uses.set(self.uses.get() + 1);
            connection.used = self.uses.get();
            self.remember(connection.origin, connection.used, &origins);
        }
        origins[connection.origin as usize].idle.push(connection);
    }

    /// Ends a lease on which the proxy answered that it does not forward for us; says why.
    pub(crate) fn turned_away(&self, lease: Lease, now: Nanos) -> String {
        let Way::Own(connection) = lease.way else { unreachable!("what is forwarded is neither shared nor pipelined") };
        let reason = self.dialler.turned_away(connection.form, connection.origin, now);
        self.close(connection);
        reason
    }

    /// Hands a connection to whoever waits for it; gives it back where nobody does.
    #[cold]
    fn hand_over(&self, connection: Box<Connection>) -> Option<Box<Connection>> {
        let origin = connection.origin;
        let unwanted = match self.room.hand_over(origin, NEVER, Way::Own(connection)) {
            Ok(()) => return None,
            Err(Way::Own(unwanted)) => unwanted,
            Err(Way::Shared(_)) => unreachable!("what comes back is what was offered"),
        };
        // It is idle in a moment, and its room for the taking.
        self.room.call_one();
        Some(unwanted)
    }

    /// The origins that there are connections to.
    pub(crate) fn origins(&self) -> &Origins {
        self.dialler.origins()
    }

    /// The first failure of a connection that another one made good.
    pub(crate) fn passed_over(&self) -> Option<(Failure, String)> {
        self.dialler.passed_over()
    }

    fn give_stream_back(&self, shared: Rc<Shared>, how: GiveBack) {
        let (closed, is_idle) = {
            let streams = &mut self.origins.borrow_mut()[shared.origin() as usize].streams;
            streams.give_back(&shared, how, self.streams)
        };
        (0..closed).for_each(|_| self.free_place());
        self.serve_waiting(&shared);
        if is_idle && shared.is_idle() {
            self.room.call_one();
        }
    }

    /// Lends streams of a connection to those who wait for one, as many as it has: there may be more than was given back, as
    /// a server may allow more than before.
    fn serve_waiting(&self, shared: &Rc<Shared>) {
        while !self.room.is_empty() && shared.try_lend(self.streams, self.next_use()) {
            if self.room.hand_over(shared.origin(), shared.opened(), Way::Shared(Rc::clone(shared))).is_err() {
                return shared.unlend();
            }
        }
    }

    /// Closes every idle connection, and waits until no task of one runs any more.
    pub(crate) async fn close_idle(&self) {
        for origin in &mut *self.origins.borrow_mut() {
            let closed = origin.idle.drain(..).map(|connection| connection.stream.close()).count() as u32;
            let closed = closed + origin.streams.close_all();
            self.open.set(self.open.get() - closed);
        }
        self.dialler.running().ended().await;
    }

    /// Ends a connection in good order.
    fn close(&self, connection: Box<Connection>) {
        connection.stream.close();
        self.free_place();
    }

    /// Ends a connection without a word.
    fn abandon(&self, connection: Box<Connection>) {
        drop(connection);
        self.free_place();
    }

    /// Closes the connection that was used least recently among the idle ones; false where none is idle.
    fn evict(&self) -> bool {
        while let Some((origin, used)) = self.order.borrow_mut().pop_front() {
            let mut origins = self.origins.borrow_mut();
            let idle = &mut origins[origin as usize].idle;
            if let Ok(position) = idle.binary_search_by_key(&used, |connection| connection.used) {
                idle.remove(position).stream.close();
                self.open.set(self.open.get() - 1);
                return true;
            }
        }
        self.evict_session()
    }

    fn evict_session(&self) -> bool {
        let origins = &mut *self.origins.borrow_mut();
        let idle = |origin: &Origin| origin.streams.idle_since();
        let least = (0..origins.len()).filter_map(|index| Some((idle(&origins[index])?, index))).min();
        let Some((_, index)) = least else { return false };
        origins[index].streams.evict();
        self.open.set(self.open.get() - 1);
        true
    }

    fn remember(&self, origin: u32, used: u64, origins: &[Origin]) {
        let mut order = self.order.borrow_mut();
        if order.len() >= 4 * self.capacity as usize + 64 {
            let idle = |&(origin, used): &(u32, u64)| {
                let idle: &[Box<Connection>] = &origins[origin as usize].idle;
                idle.binary_search_by_key(&used, |connection| connection.used).is_ok()
            };
            order.retain(idle);
        }
        order.push_back((origin, used));
    }
}

/// How to wait for an origin that cannot be dialled now.
#[derive(Clone, Copy)]
enum Wait {
    Until(Nanos),
    /// For a moment only, and then fail as its last attempt did.
    Fail(Failure),
}
