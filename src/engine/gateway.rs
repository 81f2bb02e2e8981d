//! The way through proxies as one core knows it: whose turn it is, which of them rest, and how a tunnel is asked for.
//!
//! A proxy that fails rests for all origins; one that works and does not lead to an origin rests for that one alone. Knows
//! nothing of requests, or of who waits for a connection.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use super::destination::Destination;
use super::dialler::reason;
use super::origins;
use super::rest::Rest;
use crate::net::connect::{Peer, Route};
use crate::net::resolve::Resolver;
use crate::net::stream::Stream;
use crate::net::tls::Client;
use crate::net::tunnel;
use crate::plan::origin::Scheme;
use crate::plan::proxy::{Protocol, Proxy};
use crate::plan::{Plan, Shard};
use crate::record::Failure;
use crate::units::Nanos;
use crate::wire::proxy::{Refusal, Tunnel};

/// How often those who wait look whether the one who tries a proxy that had failed has come to anything.
const PROBE_LOOK: Nanos = Nanos::from_millis(10);

/// One core's way through the plan's proxies.
pub(crate) struct Gateway {
    plan: Arc<Plan>,
    /// Of each proxy, its addresses and the name that its certificate must be for.
    proxies: Arc<Vec<Destination>>,
    /// For names that are looked up anew for each connection.
    resolver: Option<Resolver>,
    /// For proxies that are spoken to under TLS.
    tls: Option<Client>,
    /// Which proxy is next; each core begins with another one.
    turn: Cell<usize>,
    /// Which address that SOCKS is told is next.
    told: Cell<usize>,
    /// How many addresses of each proxy have been tried.
    tried: Vec<Cell<usize>>,
    shard: Shard,
    troubles: RefCell<HashMap<Key, Trouble>>,
    /// The first failure that another proxy made good.
    passed_over: RefCell<Option<Broken>>,
}

/// A proxy by its index: for all origins, or for that of an index.
type Key = (u32, Option<u32>);

/// What is remembered of a failure until there is a success.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    rest: Rest,
    /// After a rest: someone tries for all.
    probed: bool,
    failure: Failure,
}

/// How far the opening of a connection has come: whose fault it is when it goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The origin's name is looked up here.
    Name,
    /// The proxy is to answer.
    Proxy,
    /// The proxy is to reach the origin.
    Tunnel,
    /// The origin is to answer.
    Origin,
}

/// Why a connection through a proxy was not opened.
pub(super) type Broken = (Failure, String);

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("proxies", &self.proxies)
            .field("troubles", &self.troubles)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// The way of one shard; `proxies` are the plan's.
    pub(crate) fn new(
        plan: Arc<Plan>,
        shard: &Shard,
        proxies: Arc<Vec<Destination>>,
        resolver: Option<Resolver>,
        tls: Option<Client>,
    ) -> Self {
        let turn = || Cell::new(shard.index as usize);
        let tried = proxies.iter().map(|_| Cell::new(0)).collect();
        let (troubles, passed_over) = (RefCell::default(), RefCell::default());
        Self { plan, proxies, resolver, tls, turn: turn(), told: turn(), tried, shard: *shard, troubles, passed_over }
    }

    fn proxy(&self, index: u32) -> &Proxy {
        &self.plan.proxies.list[index as usize]
    }

    /// Whether one of the proxies to `to` has an address, and so has `to` what that one is to be told.
    pub(super) fn leads(&self, to: &Destination) -> bool {
        to.proxies.clone().any(|index| self.can_be_asked(index, to))
    }

    fn can_be_asked(&self, index: u32, to: &Destination) -> bool {
        let known = !self.proxy(index).wants_addresses() || to.can_be_sought();
        known && self.proxies[index as usize].can_be_sought()
    }

    /// Until when nobody is to try for `origin`, and how the last attempt failed; `None` where a proxy to it can be tried
    /// at `now`.
    pub(super) fn rest(&self, origin: u32, to: &Destination, now: Nanos) -> Option<(Nanos, Failure)> {
        let troubles = self.troubles.borrow();
        if troubles.is_empty() {
            return None;
        }
        let mut first: Option<(Nanos, Failure)> = None;
        for index in to.proxies.clone().filter(|&index| self.can_be_asked(index, to)) {
            let rest = latest(&troubles, index, origin, now)?;
            first = Some(first.filter(|first| first.0 <= rest.0).unwrap_or(rest));
        }
        first
    }

    /// The next proxy to `origin` that does not rest; it is tried by the caller alone where it had failed before.
    pub(super) fn next(&self, origin: u32, to: &Destination, now: Nanos) -> Option<u32> {
        let proxies = &to.proxies;
        let troubles = &mut *self.troubles.borrow_mut();
        for _ in proxies.clone() {
            let index = proxies.start + (self.turn.get() % proxies.len()) as u32;
            self.turn.set(self.turn.get().wrapping_add(1));
            if self.can_be_asked(index, to) && latest(troubles, index, origin, now).is_none() {
                for key in keys(index, origin) {
                    troubles.entry(key).and_modify(|trouble| trouble.probed = true);
                }
                return Some(index);
            }
        }
        None
    }

    /// The proxy led to the origin, or at least took a connection whose requests have this `form`.
    pub(super) fn succeeded(&self, index: u32, origin: u32, form: u32) {
        self.given_up(index, origin);
        // A proxy that forwards says only in its answers whether it does so for us.
        let is_over = |trouble: &Trouble| form == 0 || trouble.failure != Failure::Proxy;
        let troubles = &mut *self.troubles.borrow_mut();
        for key in keys(index, origin) {
            if troubles.get(&key).is_some_and(is_over) {
                troubles.remove(&key);
            }
        }
    }

    /// An attempt from `started` to `ended` came no further than `stage`.
    pub(super) fn failed(
        &self,
        index: u32,
        origin: u32,
        (stage, failure): (Stage, Failure),
        started: Nanos,
        ended: Nanos,
    ) {
        self.given_up(index, origin);
        let key = match stage {
            Stage::Proxy => (index, None),
            Stage::Tunnel => (index, Some(origin)),
            // The proxy has done its part.
            Stage::Origin => return self.succeeded(index, origin, 0),
            // Nobody has asked it yet.
            Stage::Name => return,
        };
        let new = Trouble { rest: Rest::default(), probed: false, failure };
        let mut troubles = self.troubles.borrow_mut();
        let trouble = troubles.entry(key).or_insert(new);
        trouble.rest.fail(started, ended);
        trouble.failure = failure;
    }

    /// The index of this origin will be another one's.
    pub(super) fn forget(&self, origin: u32) {
        self.troubles.borrow_mut().retain(|(_, of), _| *of != Some(origin));
    }

    /// A proxy failed so, and another one led to the origin instead.
    pub(super) fn pass_over(&self, broken: Broken) {
        self.passed_over.borrow_mut().get_or_insert(broken);
    }

    /// The first failure that no request has felt.
    pub(super) fn passed_over(&self) -> Option<Broken> {
        self.passed_over.take()
    }

    /// The caller tries no longer, and knows nothing more.
    pub(super) fn given_up(&self, index: u32, origin: u32) {
        let troubles = &mut *self.troubles.borrow_mut();
        for key in keys(index, origin) {
            troubles.entry(key).and_modify(|trouble| trouble.probed = false);
        }
    }

    /// Opens a connection through a proxy to `origin`, which is found at `to`; gives the number of the form of requests on
    /// it.
    ///
    /// # Errors
    /// What went wrong; `stage` is then where.
    pub(super) async fn open(
        &self,
        index: u32,
        origin: u32,
        to: &Destination,
        stage: &Cell<Stage>,
    ) -> Result<(Stream, u32), Broken> {
        let (proxy, target) = (self.proxy(index), origins::origin(&self.plan, origin, to));
        if proxy.protocol == Protocol::Http && target.scheme == Scheme::Http {
            return Ok((self.connect(index).await?, index + 1));
        }
        let place = self.plan.network.place(target);
        stage.set(Stage::Name);
        let told = if proxy.wants_addresses() { self.peers(to).await? } else { Vec::new() };
        // Of an origin's addresses the first may be dead, which only the proxy finds out.
        let mut left = told.len();
        loop {
            let address = match told.len() {
                0 => None,
                all => told[self.told.replace(self.told.get().wrapping_add(1)) % all].address(),
            };
            stage.set(Stage::Proxy);
            let mut stream = self.connect(index).await?;
            stage.set(Stage::Tunnel);
            let refusal = match Tunnel::through(proxy, &place, address) {
                Ok(tunnel) => tunnel::open(&mut stream, tunnel).await.err(),
                Err(refusal) => Some(refusal),
            };
            left = left.saturating_sub(1);
            match refusal {
                None => {
                    stage.set(Stage::Origin);
                    return Ok((stream, 0));
                }
                Some(Refusal { of_target: true, .. }) if left > 0 => {}
                Some(Refusal { of_target, reason }) => {
                    stage.set(if of_target { Stage::Tunnel } else { Stage::Proxy });
                    return Err((Failure::Proxy, reason));
                }
            }
        }
    }

    /// A connection to the proxy itself: each of its addresses is tried once, in rotation.
    async fn connect(&self, index: u32) -> Result<Stream, Broken> {
        let to = &self.proxies[index as usize];
        let peers = self.peers(to).await?;
        let tried = &self.tried[index as usize];
        let mut result = Err((Failure::Resolve, "its name has no address".to_owned()));
        for _ in &peers {
            let turn = tried.replace(tried.get() + 1);
            let peer = &peers[(self.shard.index as usize + turn) % peers.len()];
            // As for origins: the source moves on when all addresses have been tried from it.
            let source = (turn / peers.len()) * self.plan.cores.len() + self.shard.place;
            let route = Route::new(&self.plan.network, peer, source as u64 + u64::from(index));
            result = Stream::connect(route).await.map_err(|error| (Failure::Connect, reason(&error)));
            if result.is_ok() {
                break;
            }
        }
        let stream = result?;
        let (Some(client), Some(name)) = (&self.tls, &to.name) else { return Ok(stream) };
        let encrypted = stream.encrypt(client, name.clone()).await;
        encrypted.map(|(stream, _)| stream).map_err(|reason| (Failure::Tls, reason))
    }

    /// The addresses of a proxy or an origin, looked up anew where that is asked for.
    async fn peers(&self, of: &Destination) -> Result<Vec<Peer>, Broken> {
        let (Some(resolver), Some(place)) = (&self.resolver, &of.afresh) else { return Ok(of.peers.clone()) };
        let failed = |reason: String| (Failure::Resolve, format!("{}: {reason}", place.host));
        let addresses = resolver.find(place).await.map_err(failed)?;
        let admitted = self.plan.network.admitted(addresses).map_err(|unfit| failed(unfit.to_string()))?;
        Ok(admitted.into_iter().map(Peer::Tcp).collect())
    }

    /// What a failure at `stage` is called, on the way to `origin`, which is found at `to`.
    pub(super) fn explain(&self, index: u32, (origin, to): (u32, &Destination), stage: Stage, reason: &str) -> String {
        let proxy = self.proxy(index);
        let target = origins::origin(&self.plan, origin, to);
        match stage {
            Stage::Name => reason.to_owned(),
            Stage::Proxy => format!("proxy {proxy}: {reason}"),
            Stage::Tunnel => format!("proxy {proxy}, asked for {target}: {reason}"),
            Stage::Origin => format!("{target} through proxy {proxy}: {reason}"),
        }
    }
}

/// Under which a proxy's troubles are kept that concern an origin.
fn keys(index: u32, origin: u32) -> [Key; 2] {
    [(index, None), (index, Some(origin))]
}

/// Until when the proxy rests, for all or for this origin.
fn latest(troubles: &HashMap<Key, Trouble>, index: u32, origin: u32, now: Nanos) -> Option<(Nanos, Failure)> {
    let rests = keys(index, origin).into_iter().filter_map(|key| {
        let trouble = troubles.get(&key)?;
        let until =
            if trouble.probed { trouble.rest.until.max(Nanos(now.0 + PROBE_LOOK.0)) } else { trouble.rest.until };
        (now < until).then_some((until, trouble.failure))
    });
    rests.max_by_key(|(until, _)| *until)
}

#[cfg(test)]
mod tests;
