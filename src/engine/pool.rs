//! The core's connections: leased by value, given back or closed, opened again with care.
//!
//! A lease owns its connection, so one whose answer never came cannot return to the pool by accident: dropping closes.
//! Knows origins by index and nothing of requests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::destination::Destination;
use super::watch::{Expired, Watch};
use super::work::{Dial, Handshake};
use crate::clock;
use crate::net::stream::{Now, Stream};
use crate::net::tls::Client;
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

/// Why there is no lease.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The connection cannot be had.
    Failed(Failure, String),
    /// The caller's own limit passed first.
    Expired,
}

/// One core's connections to all origins.
#[derive(Debug)]
pub(crate) struct Pool {
    destinations: Arc<Vec<Destination>>,
    /// For https origins; `None` where there are none.
    tls: Option<Client>,
    connect_timeout: Nanos,
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
    /// Which address is next.
    turn: usize,
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
    pub(crate) fn new(
        destinations: Arc<Vec<Destination>>,
        tls: Option<Client>,
        connect_timeout: Nanos,
        capacity: u32,
        turn: usize,
    ) -> Self {
        let origin = || Origin { turn, ..Origin::default() };
        let origins = RefCell::new(destinations.iter().map(|_| origin()).collect());
        Self {
            destinations,
            tls,
            connect_timeout,
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
        let result = self.connect(origin, started, watch, limit).await;
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
        if self.destinations[origin as usize].addresses.is_empty() {
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

    /// Tries each address of the origin once, in rotation, within one connect timeout.
    async fn connect(
        &self,
        origin: u32,
        started: Nanos,
        watch: &Watch,
        limit: Nanos,
    ) -> Result<(Stream, Dial), Refused> {
        let destination = &self.destinations[origin as usize];
        let addresses = &destination.addresses;
        let timeout = Nanos(started.0 + self.connect_timeout.0);
        let mut last = Refused::Failed(Failure::Resolve, "the name has no address".to_owned());
        for _ in addresses {
            let addr = {
                let state = &mut self.origins.borrow_mut()[origin as usize];
                state.turn += 1;
                addresses[(state.turn - 1) % addresses.len()]
            };
            match watch.until(timeout.min(limit), pin!(self.open(addr, destination.name.as_ref()))).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err((failure, reason))) => last = Refused::Failed(failure, format!("{addr}: {reason}")),
                Err(Expired) if clock::now() >= timeout => {
                    let text = format!("{addr}: no connection within {}", self.connect_timeout);
                    return Err(Refused::Failed(Failure::ConnectTimeout, text));
                }
                Err(Expired) => return Err(Refused::Expired),
            }
        }
        Err(last)
    }

    /// Opens one connection, encrypted where there is a name to verify.
    async fn open(
        &self,
        addr: SocketAddr,
        name: Option<&ServerName<'static>>,
    ) -> Result<(Stream, Dial), (Failure, String)> {
        let started = clock::now();
        let stream = Stream::connect(addr).await.map_err(|error| (Failure::Connect, reason(&error)))?;
        let connected = clock::now();
        let mut dial = Dial { opened: connected, connect: Nanos(connected.0 - started.0), tls: None };
        let (Some(client), Some(name)) = (&self.tls, name) else { return Ok((stream, dial)) };
        let (stream, resumed) = stream.encrypt(client, name.clone()).await.map_err(|reason| (Failure::Tls, reason))?;
        dial.opened = clock::now();
        dial.tls = Some(Handshake { took: Nanos(dial.opened.0 - connected.0), resumed });
        Ok((stream, dial))
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

/// An error of connecting in the words of the field.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no local port is free (EADDRNOTAVAIL)".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::control::NEVER;
    use super::*;
    use crate::net::runtime::{self, Decision};
    use crate::plan::DriverChoice;

    /// A pool of one origin with these addresses, after dialling it so many times; the results in order.
    fn dial(addresses: &[SocketAddr], times: usize) -> Vec<Result<(), String>> {
        let decision = Decision::of(DriverChoice::Auto).expect("auto takes either");
        let mut runtime = runtime::build(decision.driver, 256).expect("a runtime");
        let destination = Destination { addresses: addresses.to_vec(), ..Destination::default() };
        let pool = Pool::new(Arc::new(vec![destination]), None, Nanos::from_secs(5), 8, 0);
        let watch = Watch::default();
        runtime.block_on(async {
            let mut results = Vec::new();
            for _ in 0..times {
                results.push(match pool.dial(0, &watch, NEVER).await {
                    Ok(lease) => {
                        pool.give_back(lease, GiveBack::Close, clock::now());
                        Ok(())
                    }
                    Err(Refused::Failed(failure, text)) => Err(format!("{}: {text}", failure.name())),
                    Err(Refused::Expired) => Err("expired".to_owned()),
                });
            }
            results
        })
    }

    fn listen(addr: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind(addr).expect("a free port");
        listener.set_nonblocking(true).expect("a listener can be polled");
        let addr = listener.local_addr().expect("its address");
        (listener, addr)
    }

    fn accepted(listener: &TcpListener) -> usize {
        std::iter::from_fn(|| listener.accept().ok()).count()
    }

    #[test]
    fn every_address_of_a_name_is_used_in_turn() {
        let (first, first_addr) = listen("127.0.0.1:0");
        let (second, second_addr) = listen("127.0.0.2:0");
        assert_eq!(dial(&[first_addr, second_addr], 6), vec![Ok(()); 6]);
        assert_eq!((accepted(&first), accepted(&second)), (3, 3));
    }

    #[test]
    fn a_dead_address_of_a_name_is_passed_over() {
        let (alive, alive_addr) = listen("127.0.0.1:0");
        let (dead, dead_addr) = listen("127.0.0.2:0");
        drop(dead);
        assert_eq!(dial(&[dead_addr, alive_addr], 4), vec![Ok(()); 4]);
        assert_eq!(accepted(&alive), 4);
        let refused = dial(&[dead_addr], 1);
        assert!(refused[0].as_ref().is_err_and(|error| error.starts_with("connect: ") && error.ends_with("refused")));
    }
}
