//! The core's connections: leased by value, given back or closed, opened again with care.
//!
//! A lease owns its connection, so one whose answer never came cannot return to the pool by accident: dropping closes.
//! Knows origins by index and nothing of requests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::dialler::{Dialler, Refused};
use super::watch::Watch;
use super::work::Dial;
use crate::clock;
use crate::net::stream::{Now, Stream};
use crate::record::Failure;
use crate::units::Nanos;
use crate::wire::decode::{Decoder, Familiar};

/// A connection idle for longer is looked at before it is used: the peer may have closed it, or have spoken unasked.
const LOOK_AFTER: Nanos = Nanos::from_millis(5);
/// Rest after the first failed connect of an origin; doubles up to [`REST_MAX`].
const REST_MIN: Nanos = Nanos::from_millis(10);
const REST_MAX: Nanos = Nanos::from_secs(1);
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
    origin: u32,
    /// Position in the order of use; identifies an idle connection.
    used: u64,
    idle_since: Nanos,
}

/// The right to make one request on a connection.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) connection: Box<Connection>,
    /// How it was opened, where that was for this lease; `None` for one from the pool.
    pub(crate) dialled: Option<Dial>,
}

/// What becomes of a leased connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GiveBack {
    Keep,
    Close,
}

/// One core's connections to all origins.
#[derive(Debug)]
pub(crate) struct Pool {
    dialler: Dialler,
    /// Most connections open at once.
    capacity: u32,
    buffer_bytes: usize,
    /// Shared by the decoders of all connections.
    familiar: Rc<RefCell<Familiar>>,
    open: Cell<u32>,
    uses: Cell<u64>,
    origins: RefCell<Vec<Origin>>,
    /// Idle connections by last use, oldest first, where there are several origins; entries of leased ones are stale.
    order: RefCell<VecDeque<(u32, u64)>>,
}

/// What the core remembers of an origin.
#[derive(Debug, Default)]
struct Origin {
    /// Most recently used last.
    #[allow(clippy::vec_box, reason = "leases move the box between slots, not 200 bytes of connection")]
    idle: Vec<Box<Connection>>,
    /// Length of the current rest; zero while connecting works.
    rest: Nanos,
    rest_until: Nanos,
    /// After a rest: someone is trying for all.
    probed: bool,
    /// The last failed attempt: when it ended, and how.
    failed: Option<(Nanos, Failure)>,
}

impl Origin {
    /// The origin rests, twice as long as the time before, once for all attempts of one period.
    fn fail(&mut self, failure: Failure, started: Nanos, ended: Nanos) {
        self.failed = Some((ended, failure));
        if started >= self.rest_until {
            self.rest = Nanos((self.rest.0 * 2).clamp(REST_MIN.0, REST_MAX.0));
            self.rest_until = Nanos(ended.0 + self.rest.0);
        }
    }
}

impl Pool {
    pub(crate) fn new(dialler: Dialler, capacity: u32) -> Self {
        let origins = RefCell::new((0..dialler.origins()).map(|_| Origin::default()).collect());
        Self {
            dialler,
            capacity,
            // Measured: with many connections a small head buffer saves memory and some CPU, with few a larger one
            // takes a typical answer whole.
            buffer_bytes: if capacity > 512 { 1024 } else { 4096 },
            familiar: Rc::default(),
            open: Cell::new(0),
            uses: Cell::new(0),
            origins,
            order: RefCell::default(),
        }
    }

    /// The connection to `origin` that was used last, if one is idle.
    pub(crate) fn idle(&self, origin: u32, now: Nanos) -> Option<Result<Leased, Refused>> {
        let connection = self.origins.borrow_mut()[origin as usize].idle.pop()?;
        if now.0 - connection.idle_since.0 < LOOK_AFTER.0 {
            return Some(Ok(Leased::Ready(Lease { connection, dialled: None })));
        }
        Some(match connection.stream.peek() {
            Ok(Now::Nothing) => Ok(Leased::Ready(Lease { connection, dialled: None })),
            Ok(Now::Bytes(_)) => {
                self.close(connection);
                Err(Refused::Failed(
                    Failure::Protocol,
                    "bytes came on a connection with nothing outstanding".to_owned(),
                ))
            }
            Ok(Now::Closed) | Err(_) => {
                self.close(connection);
                Ok(Leased::Dead)
            }
        })
    }

    /// Opens a connection to `origin`; the least recently used idle one of another origin makes room.
    ///
    /// No storms: where the last attempt failed, the origin rests first, and then one caller tries for all that wait.
    pub(crate) async fn dial(&self, origin: u32, watch: &Watch, limit: Nanos) -> Result<Lease, Refused> {
        self.turn_to_dial(origin, watch, limit).await?;
        if self.open.get() >= self.capacity {
            self.evict();
        }
        self.open.set(self.open.get() + 1);
        let started = clock::now();
        let result = self.dialler.dial(origin, started, watch, limit).await;
        let ended = clock::now();
        let state = &mut self.origins.borrow_mut()[origin as usize];
        state.probed = false;
        match result {
            Ok((stream, dial)) => {
                (state.rest, state.rest_until) = (Nanos::ZERO, Nanos::ZERO);
                Ok(Lease { connection: Box::new(self.connection(stream, origin, ended)), dialled: Some(dial) })
            }
            Err(refused) => {
                self.open.set(self.open.get() - 1);
                if let Refused::Failed(failure, _) = refused {
                    state.fail(failure, started, ended);
                }
                Err(refused)
            }
        }
    }

    /// Waits while the origin rests, and while another caller finds out for all whether it has come back; where there are
    /// other origins to serve, a rest is no time to wait but a failure.
    async fn turn_to_dial(&self, origin: u32, watch: &Watch, limit: Nanos) -> Result<(), Refused> {
        let asked = clock::now();
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
                let several = origins.len() > 1;
                let state = &mut origins[origin as usize];
                match state.failed {
                    Some((at, failure)) if at > asked => {
                        return Err(Refused::Failed(failure, "another attempt failed meanwhile".to_owned()));
                    }
                    Some((_, failure)) if several && (now < state.rest_until || state.probed) => Wait::Fail(failure),
                    _ if now < state.rest_until => Wait::Until(state.rest_until),
                    _ if state.probed => Wait::Until(Nanos(now.0 + PROBE_LOOK.0)),
                    _ => {
                        state.probed = state.rest > Nanos::ZERO;
                        return Ok(());
                    }
                }
            };
            let until = match wait {
                Wait::Until(until) => until,
                Wait::Fail(_) => Nanos(now.0 + MOMENT.0),
            };
            watch.sleep(until.min(limit)).await;
            match wait {
                _ if clock::now() < until => return Err(Refused::Expired),
                Wait::Fail(failure) => return Err(Refused::Failed(failure, "the origin rests".to_owned())),
                Wait::Until(_) => {}
            }
        }
    }

    fn connection(&self, stream: Stream, origin: u32, now: Nanos) -> Connection {
        let buffer = Vec::with_capacity(self.buffer_bytes);
        let decoder = Decoder::sharing(Rc::clone(&self.familiar));
        Connection { stream, decoder, buffer, origin, used: 0, idle_since: now }
    }

    /// Ends a lease.
    pub(crate) fn give_back(&self, lease: Lease, how: GiveBack, now: Nanos) {
        let mut connection = lease.connection;
        if how == GiveBack::Close {
            return self.close(connection);
        }
        let mut origins = self.origins.borrow_mut();
        connection.idle_since = now;
        if origins.len() > 1 {
            self.uses.set(self.uses.get() + 1);
            connection.used = self.uses.get();
            self.remember(connection.origin, connection.used, &origins);
        }
        origins[connection.origin as usize].idle.push(connection);
    }

    /// Closes every idle connection.
    pub(crate) fn close_idle(&self) {
        let idle: Vec<_> = self.origins.borrow_mut().iter_mut().flat_map(|origin| origin.idle.drain(..)).collect();
        idle.into_iter().for_each(|connection| self.close(connection));
    }

    fn close(&self, connection: Box<Connection>) {
        self.open.set(self.open.get() - 1);
        drop(connection);
    }

    /// Closes the idle connection that was used least recently.
    fn evict(&self) {
        while let Some((origin, used)) = self.order.borrow_mut().pop_front() {
            let mut origins = self.origins.borrow_mut();
            let idle = &mut origins[origin as usize].idle;
            if let Ok(position) = idle.binary_search_by_key(&used, |connection| connection.used) {
                let connection = idle.remove(position);
                drop(origins);
                return self.close(connection);
            }
        }
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

/// What asking the pool came to.
#[derive(Debug)]
pub(crate) enum Leased {
    /// A connection.
    Ready(Lease),
    /// The pooled one turned out dead before anything was sent.
    Dead,
}
