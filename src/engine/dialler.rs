//! Opens one connection to an origin: its addresses in rotation, a way there or the proxies to it, and TLS over that.
//!
//! Knows nothing of who asks, of rests after failures or of what becomes of the connection.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::Rc;

use rustls::pki_types::ServerName;

use super::destination::Destination;
use super::gateway::{Gateway, Stage};
use super::origins::{Known, Origins};
use super::watch::{Expired, Watch};
use super::work::{Dial, Handshake};
use crate::clock;
use crate::net::connect::{Peer, Route};
use crate::net::h2::{self, Session};
use crate::net::outbox::{self, Inbox, Outbox};
use crate::net::resolve::Resolver;
use crate::net::running::Running;
use crate::net::stream::Stream;
use crate::net::tls::Client;
use crate::plan::http::{H2, HttpVersion};
use crate::plan::network::Place;
use crate::plan::{Http, Network, Plan, Shard};
use crate::record::Failure;
use crate::units::Nanos;
use crate::wire::proxy::AUTHENTICATION_REQUIRED;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It cannot be had.
    Failed(Failure, String),
    /// The caller's own limit passed first.
    Expired,
}

/// A connection that has just been opened.
#[derive(Debug)]
pub(crate) enum Opened {
    /// HTTP/1.1: one request after the other.
    Stream(Stream),
    /// HTTP/2.
    Session(Session),
    /// HTTP/1.1, several requests at a time.
    Pipe(Inbox, Outbox),
}

/// One core's way to all origins.
#[derive(Debug)]
pub(crate) struct Dialler {
    origins: Rc<Origins>,
    /// For https origins; `None` where there are none.
    tls: Option<Client>,
    http: Http,
    /// For origins that are reached through proxies; `None` where there are none.
    gateway: Option<Gateway>,
    /// For names that are looked up anew for each connection.
    resolver: Option<Resolver>,
    network: Network,
    /// For one connection, whatever it goes through.
    timeout: Nanos,
    /// Which address of each origin is the first, another one for each core.
    first: usize,
    /// Sources are dealt to the cores of this process in turn: one takes `place`, `place + cores`, …
    place: usize,
    cores: usize,
    /// The tasks of HTTP/2 connections.
    running: Rc<Running>,
}

impl Dialler {
    /// The dialler of one shard.
    pub(crate) fn new(
        plan: &Plan,
        shard: &Shard,
        origins: Rc<Origins>,
        resolver: Option<Resolver>,
        tls: Option<Client>,
        gateway: Option<Gateway>,
    ) -> Self {
        Self {
            origins,
            tls,
            http: plan.http,
            gateway,
            resolver,
            network: plan.network.clone(),
            timeout: plan.timeouts.connect,
            first: shard.index as usize,
            place: shard.place,
            cores: plan.cores.len(),
            running: Rc::default(),
        }
    }

    /// The tasks of the connections that were opened, as far as they have any.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    /// All origins that there are.
    pub(crate) fn origins(&self) -> &Rc<Origins> {
        &self.origins
    }

    /// The proxies that the origin is reached through, if any.
    fn gateway(&self, origin: u32) -> Option<(&Gateway, Rc<Known>)> {
        let gateway = self.gateway.as_ref()?;
        let known = self.origins.at(origin);
        (!known.to.proxies.is_empty()).then_some((gateway, known))
    }

    /// Whether the origin's name, or that of a proxy to it, has been found to have one, or will be sought again.
    pub(crate) fn has_address(&self, origin: u32) -> bool {
        match self.gateway(origin) {
            None => self.origins.at(origin).to.can_be_sought(),
            Some((gateway, known)) => gateway.leads(&known.to),
        }
    }

    /// Until when all proxies to the origin rest, and how the last attempt failed.
    pub(crate) fn rest(&self, origin: u32, now: Nanos) -> Option<(Nanos, Failure)> {
        let (gateway, known) = self.gateway(origin)?;
        gateway.rest(origin, &known.to, now)
    }

    /// What is remembered of an origin is of no use any more.
    pub(crate) fn forget(&self, origin: u32) {
        self.gateway.iter().for_each(|gateway| gateway.forget(origin));
    }

    /// The first failure of a proxy that another one made good.
    pub(crate) fn passed_over(&self) -> Option<(Failure, String)> {
        self.gateway.as_ref()?.passed_over()
    }

    /// The proxy that was to forward requests of this `form` does not do so for us; says why.
    pub(crate) fn turned_away(&self, form: u32, origin: u32, now: Nanos) -> String {
        let (gateway, known) = self.gateway(origin).expect("only a proxy's requests have a form of their own");
        gateway.failed(form - 1, origin, (Stage::Proxy, Failure::Proxy), now, now);
        gateway.explain(form - 1, (origin, &known.to), Stage::Proxy, AUTHENTICATION_REQUIRED)
    }

    /// Tries each peer of the origin once, in rotation, within one connect timeout that began at `started`.
    pub(crate) async fn dial(
        &self,
        origin: u32,
        started: Nanos,
        watch: &Watch,
        limit: Nanos,
    ) -> Result<(Opened, Dial), Refused> {
        if let Some((gateway, known)) = self.gateway(origin) {
            // In a box: it is rare, and much larger than all the rest.
            return Box::pin(self.dial_through(gateway, origin, &known.to, started, watch, limit)).await;
        }
        let known = self.origins.at(origin);
        let destination = &known.to;
        let timeout = Nanos(started.0 + self.timeout.0);
        let found;
        let peers = match (&self.resolver, &destination.afresh, known.found.get()) {
            (_, _, Some(found)) => found,
            (Some(resolver), Some(place), None) => {
                found = self.look_up(resolver, place, watch, timeout, limit).await?;
                if self.origins.keeps_addresses() { known.found.get_or_init(|| found) } else { &found }
            }
            _ => &destination.peers,
        };
        let mut last = Refused::Failed(Failure::Resolve, "the name has no address".to_owned());
        let turns = &known.turn;
        for _ in peers {
            let turn = turns.replace(turns.get() + 1);
            let peer = &peers[(self.first + turn) % peers.len()];
            let route = Route::new(&self.network, peer, self.source_turn(origin, turn, peers.len()));
            match watch.until(timeout.min(limit), pin!(self.open(route, destination.name.as_ref()))).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err((failure, reason))) => last = Refused::Failed(failure, format!("{peer}: {reason}")),
                Err(Expired) if clock::now() >= timeout => {
                    let text = format!("{peer}: no connection within {}", self.timeout);
                    return Err(Refused::Failed(Failure::ConnectTimeout, text));
                }
                Err(Expired) => return Err(Refused::Expired),
            }
        }
        Err(last)
    }

    /// The source moves on when all of an origin's addresses have been tried from it: only so do all pairs of them get
    /// their turn. Origins begin with different ones.
    fn source_turn(&self, origin: u32, turn: usize, peers: usize) -> u64 {
        ((turn / peers) * self.cores + self.place) as u64 + u64::from(origin)
    }

    /// What the name has for addresses now.
    async fn look_up(
        &self,
        resolver: &Resolver,
        place: &Place,
        watch: &Watch,
        timeout: Nanos,
        limit: Nanos,
    ) -> Result<Vec<Peer>, Refused> {
        let failed = |reason: &dyn fmt::Display| Refused::Failed(Failure::Resolve, format!("{}: {reason}", place.host));
        match watch.until(timeout.min(limit), pin!(resolver.find(place))).await {
            Ok(Ok(addresses)) => match self.network.admitted(addresses) {
                Ok(addresses) => Ok(addresses.into_iter().map(Peer::Tcp).collect()),
                Err(unfit) => Err(failed(&unfit)),
            },
            Ok(Err(reason)) => Err(failed(&reason)),
            Err(Expired) if clock::now() >= timeout => Err(failed(&format_args!("no answer within {}", self.timeout))),
            Err(Expired) => Err(Refused::Expired),
        }
    }

    /// Tries each proxy to the origin once that does not rest, in rotation, within one connect timeout. What the origin
    /// itself does wrong another proxy would not mend.
    async fn dial_through(
        &self,
        gateway: &Gateway,
        origin: u32,
        to: &Destination,
        started: Nanos,
        watch: &Watch,
        limit: Nanos,
    ) -> Result<(Opened, Dial), Refused> {
        let timeout = Nanos(started.0 + self.timeout.0);
        let mut last = None;
        for _ in to.proxies.clone() {
            let began = clock::now();
            let Some(index) = gateway.next(origin, to, began) else { break };
            let stage = Cell::new(Stage::Proxy);
            let opening = async {
                let (stream, form) = gateway.open(index, origin, to, &stage).await?;
                self.finish(stream, began, form, to.name.as_ref()).await
            };
            let result = watch.until(timeout.min(limit), pin!(opening)).await;
            let ended = clock::now();
            let (failure, reason) = match result {
                Ok(Ok(opened)) => {
                    gateway.succeeded(index, origin, opened.1.form);
                    last.into_iter().for_each(|broken| gateway.pass_over(broken));
                    return Ok(opened);
                }
                Ok(Err(broken)) => broken,
                Err(Expired) if ended >= timeout => {
                    (Failure::ConnectTimeout, format!("no connection within {}", self.timeout))
                }
                Err(Expired) => {
                    gateway.given_up(index, origin);
                    return Err(Refused::Expired);
                }
            };
            gateway.failed(index, origin, (stage.get(), failure), began, ended);
            last = Some((failure, gateway.explain(index, (origin, to), stage.get(), &reason)));
            if matches!(stage.get(), Stage::Name | Stage::Origin) || ended >= timeout {
                break;
            }
        }
        let (failure, reason) =
            last.unwrap_or_else(|| (Failure::Proxy, "every proxy rests after a failure".to_owned()));
        Err(Refused::Failed(failure, reason))
    }

    /// Opens one connection, ready for requests.
    async fn open(
        &self,
        route: Route<'_>,
        name: Option<&ServerName<'static>>,
    ) -> Result<(Opened, Dial), (Failure, String)> {
        let started = clock::now();
        let stream = Stream::connect(route).await.map_err(|error| (Failure::Connect, reason(&error)))?;
        self.finish(stream, started, 0, name).await
    }

    /// Makes what leads to the origin and was begun at `started` ready for requests of this `form`: encrypted where there is
    /// a name to verify, and with HTTP/2 begun.
    async fn finish(
        &self,
        stream: Stream,
        started: Nanos,
        form: u32,
        name: Option<&ServerName<'static>>,
    ) -> Result<(Opened, Dial), (Failure, String)> {
        let connected = clock::now();
        let mut dial = Dial { opened: connected, connect: Nanos(connected.0 - started.0), form, tls: None };
        let stream = match (&self.tls, name) {
            (Some(client), Some(name)) => {
                let encrypted = stream.encrypt(client, name.clone()).await;
                let (stream, resumed) = encrypted.map_err(|reason| (Failure::Tls, reason))?;
                dial.opened = clock::now();
                dial.tls = Some(Handshake { took: Nanos(dial.opened.0 - connected.0), resumed });
                stream
            }
            // What a proxy agreed to is not the origin's.
            _ if form > 0 => return Ok((Opened::Stream(stream), dial)),
            _ => stream,
        };
        let opened = self.speak(stream).await?;
        if matches!(opened, Opened::Session(_)) {
            dial.opened = clock::now();
        }
        Ok((opened, dial))
    }

    /// Begins HTTP/2 where that was agreed on, or is known beforehand.
    async fn speak(&self, stream: Stream) -> Result<Opened, (Failure, String)> {
        let agreed = stream.protocol();
        match self.http.version {
            HttpVersion::Http2 if stream.is_encrypted() && agreed.as_deref() != Some(H2.as_bytes()) => {
                let problem = "the server does not agree to HTTP/2 (ALPN); --http auto takes what it has";
                return Err((Failure::Tls, problem.to_owned()));
            }
            HttpVersion::Http2 => {}
            _ if agreed.as_deref() == Some(H2.as_bytes()) => {}
            _ if self.http.pipeline > 1 => {
                let (inbox, outbox) = outbox::split(stream, Rc::clone(&self.running));
                return Ok(Opened::Pipe(inbox, outbox));
            }
            _ => return Ok(Opened::Stream(stream)),
        }
        let session = Session::open(stream, Rc::clone(&self.running)).await;
        session.map(Opened::Session).map_err(|broken| no_session(&broken))
    }
}

/// Why HTTP/2 did not come about on a connection.
fn no_session(broken: &h2::Broken) -> (Failure, String) {
    match broken {
        h2::Broken::Closed | h2::Broken::Died => {
            (Failure::ClosedEarly, "the server closed the connection instead of speaking HTTP/2".to_owned())
        }
        h2::Broken::Tls(reason) => (Failure::Tls, reason.clone()),
        h2::Broken::Refused(reason)
        | h2::Broken::GoneAway(reason)
        | h2::Broken::Reset(reason)
        | h2::Broken::Malformed(reason) => {
            (Failure::Protocol, format!("the server speaks no HTTP/2 here ({reason}); --http 1.1 asks for none"))
        }
    }
}

/// An error of connecting in the words of the field.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no local port is free (EADDRNOTAVAIL)".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr, TcpListener};
    use std::sync::Arc;

    use super::super::control::NEVER;
    use super::super::pool::{GiveBack, Pool};
    use super::*;
    use crate::net::runtime::{self, Decision};
    use crate::plan::raw::RawNetwork;
    use crate::plan::shard::{Cpu, Machine};
    use crate::plan::{self, DriverChoice, RawPlan};

    /// A pool of one origin with these addresses, after dialling it so many times; the results in order.
    fn dial(addresses: &[SocketAddr], times: usize) -> Vec<Result<(), String>> {
        dial_by(RawNetwork::default(), addresses, times)
    }

    /// The same by what is said of the network.
    fn dial_by(network: RawNetwork, addresses: &[SocketAddr], times: usize) -> Vec<Result<(), String>> {
        let decision = Decision::of(DriverChoice::Auto).expect("auto takes either");
        let mut runtime = runtime::build(decision.driver, 256).expect("a runtime");
        let peers = addresses.iter().copied().map(Peer::Tcp).collect();
        let destination = Destination { peers, ..Destination::default() };
        let machine = Machine { cpus: vec![Cpu { id: 0, core: 0 }], quota: None };
        let raw = RawPlan { urls: vec!["http://host/".into()], network, ..RawPlan::default() };
        let plan = Arc::new(plan::validate(&raw, &machine).expect("a plan"));
        let shard = plan::shards(&plan)[0];
        let origins = Rc::new(Origins::new(Arc::clone(&plan), None, &[Arc::new(destination)]));
        let dialler = Dialler::new(&plan, &shard, origins, None, None, None);
        let pool = Pool::new(dialler, 8, 1, u64::MAX);
        let watch = Watch::default();
        runtime.block_on(async {
            let mut results = Vec::new();
            for _ in 0..times {
                results.push(match pool.dial(0, false, &watch, NEVER).await {
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

    /// Where each connection came from.
    fn sources(listener: &TcpListener) -> Vec<IpAddr> {
        std::iter::from_fn(|| listener.accept().ok()).map(|(_, from)| from.ip()).collect()
    }

    fn accepted(listener: &TcpListener) -> usize {
        sources(listener).len()
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

    #[test]
    fn every_pair_of_a_source_and_an_address_gets_its_turn() {
        let (first, first_addr) = listen("127.0.0.1:0");
        let (second, second_addr) = listen("127.0.0.2:0");
        let network = RawNetwork { source: vec!["127.0.0.8-127.0.0.9".into()], ..RawNetwork::default() };
        assert_eq!(dial_by(network, &[first_addr, second_addr], 8), vec![Ok(()); 8]);
        let expected: Vec<IpAddr> =
            ["127.0.0.8", "127.0.0.9", "127.0.0.8", "127.0.0.9"].map(|ip| ip.parse().expect("an address")).to_vec();
        assert_eq!((sources(&first), sources(&second)), (expected.clone(), expected));
    }
}
