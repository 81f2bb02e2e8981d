//! Where a run's connections go: the addresses of each origin and, for https ones, the names and a first look at TLS.
//!
//! All of it is found out on the main thread before the run; workers get it read-only.

use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;

use super::StartError;
use super::gateway::Gateway;
use crate::net::connect::{Peer, Route};
use crate::net::resolve::{Resolver, resolve};
use crate::net::tls::{Client, Roots};
use crate::net::tunnel;
use crate::plan::network::{Dns, Place, Unfit};
use crate::plan::origin::Scheme;
use crate::plan::{Network, Origin, Plan, Shard};
use crate::record::{Reached, TlsSession};
use crate::wire::proxy::Tunnel;

/// https origins that are looked at before the run; more would delay it without telling more.
const PROBES_MAX: usize = 100;
/// Looks under way at once.
const PROBES_AT_ONCE: usize = 16;

/// Addresses of ours that are tried before the run, of each family; what is wrong with a later one its connections tell.
const SOURCES_TRIED: u128 = 1_024;

/// Where connections to an origin go.
#[derive(Clone, Debug, Default)]
pub(super) struct Destination {
    /// In the order of the resolver; empty where the name has no address, or a proxy is to look for one.
    pub(super) peers: Vec<Peer>,
    /// What is looked up anew for each connection.
    pub(super) afresh: Option<Place>,
    /// The name that an https origin's certificate must be for.
    pub(super) name: Option<ServerName<'static>>,
    /// What a handshake of its own agreed on, before the run.
    pub(super) session: Option<TlsSession>,
    /// The plan's proxies that connections go through in turn; none: straight to the peers.
    pub(super) proxies: Range<u32>,
    /// The origin itself, where the plan does not name it.
    pub(super) later: Option<Box<Origin>>,
}

impl Destination {
    /// Where connections to an origin go that came up during the run; names are looked up when they are opened.
    ///
    /// # Errors
    /// A host that no certificate can name.
    pub(super) fn later(plan: &Plan, origin: Origin, tls: Option<&Client>) -> Result<Self, String> {
        let (network, proxies) = (&plan.network, plan.proxies.of(&origin));
        let mut to = Self { proxies, ..Self::default() };
        if let Some(client) = tls.filter(|_| origin.scheme == Scheme::Https) {
            to.name = Some(client.server_name(&origin)?);
        }
        let place = network.place(&origin);
        if let Some(socket) = &network.socket {
            to.peers = vec![Peer::unix(socket)];
        } else if to.proxies.is_empty() || plan.proxies.want_addresses(&to.proxies) {
            match network.known(&place) {
                Some(addresses) => {
                    let admitted = network.admitted(addresses).map_err(|unfit| unfit.to_string())?;
                    to.peers = admitted.into_iter().map(Peer::Tcp).collect();
                }
                None => to.afresh = Some(place),
            }
        }
        to.later = Some(Box::new(origin));
        Ok(to)
    }

    /// Whether its name has an address, or may have one when it is looked up anew.
    pub(super) fn can_be_sought(&self) -> bool {
        !self.peers.is_empty() || self.afresh.is_some()
    }
}

/// Where all connections of a run go, by origin.
#[derive(Debug)]
pub(super) struct Destinations {
    pub(super) list: Vec<Destination>,
    /// Those of the plan's proxies.
    proxies: Arc<Vec<Destination>>,
    /// Whom https origins are trusted by; `None` where there are none.
    roots: Option<Roots>,
}

impl Destinations {
    /// Finds the addresses of the plan's proxies and origins, but for names that proxies look up.
    ///
    /// # Errors
    /// No origin can be reached, or there is an address that none of our sources can reach.
    pub(super) fn resolve(plan: &Plan) -> Result<Self, StartError> {
        let (origins, network, proxies) = (plan.urls.origins(), &plan.network, &plan.proxies);
        if let Some(socket) = &network.socket {
            let to = Destination { peers: vec![Peer::unix(socket)], ..Destination::default() };
            return Ok(Self { list: vec![to; origins.len()], proxies: Arc::default(), roots: None });
        }
        let ways: Vec<_> = origins.iter().map(|origin| proxies.of(origin)).collect();
        let is_ours = |way: &Range<u32>| way.is_empty() || proxies.want_addresses(way);
        let ours = origins.iter().zip(&ways).filter(|(_, way)| is_ours(way)).map(|(origin, _)| network.place(origin));
        let places = ours.chain(proxies.list.iter().map(|proxy| Place::of(&proxy.at)));
        let (mut found, first_error) = find(plan, places.collect())?;
        let of_proxies = found.split_off(found.len() - proxies.list.len());
        let mut found = found.into_iter();
        let list = ways.into_iter().map(|way| {
            let to = if is_ours(&way) { found.next() } else { None };
            Destination { proxies: way, ..to.unwrap_or_default() }
        });
        let this = Self { list: list.collect(), proxies: Arc::new(of_proxies), roots: None };
        match first_error {
            Some(error) if !this.list.iter().any(|to| this.can_be_had(plan, to)) => Err(error),
            _ => Ok(this),
        }
    }

    /// Whether there is an address to connect to that may lead there.
    fn can_be_had(&self, plan: &Plan, to: &Destination) -> bool {
        let leads = |index: u32| {
            let told = !plan.proxies.want_addresses(&(index..index + 1)) || !to.peers.is_empty();
            told && !self.proxies[index as usize].peers.is_empty()
        };
        if to.proxies.is_empty() { !to.peers.is_empty() } else { to.proxies.clone().any(leads) }
    }

    /// Finds out whether connections can begin and leave as the plan has it.
    ///
    /// # Errors
    /// An address or an interface of ours that cannot be used.
    pub(super) fn try_sources(&self, plan: &Plan) -> Result<(), StartError> {
        for v6 in [false, true] {
            let of_family = |peer: &&Peer| peer.address().is_some_and(|addr| addr.is_ipv6() == v6);
            let Some(to) = self.peers().find(of_family) else { continue };
            let sources = to.address().map_or(0, |addr| plan.network.sources.count(addr.ip()));
            // One where the system chooses: there may be an interface to try.
            for turn in 0..sources.clamp(1, SOURCES_TRIED) as u64 {
                let tried = Route::new(&plan.network, to, turn).socket();
                tried.map_err(|error| StartError::Network(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// All addresses that connections are opened to.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.peers().filter_map(Peer::address)
    }

    /// What connections are opened to: all proxies, and all origins that are reached without.
    fn peers(&self) -> impl Iterator<Item = &Peer> {
        let direct = self.list.iter().filter(|destination| destination.proxies.is_empty());
        direct.chain(self.proxies.iter()).flat_map(|destination| &destination.peers)
    }

    /// Names the https origins and proxies, and shakes hands once with the first of the origins.
    ///
    /// # Errors
    /// Certificates or a key that are of no use, a host that no certificate can be for.
    pub(super) fn look(&mut self, plan: &Plan) -> Result<(), StartError> {
        let origins = plan.urls.origins();
        let proxies = plan.proxies.list.iter().map(|proxy| &proxy.at);
        // Of what comes up during the run anything may be https.
        if !plan.is_fetched() && origins.iter().chain(proxies.clone()).all(|at| at.scheme == Scheme::Http) {
            return Ok(());
        }
        let roots = Roots::load(&plan.tls.trust).map_err(StartError::Tls)?;
        let client = Client::new(&plan.tls, &roots).map_err(StartError::Tls)?;
        name(&mut self.list, origins, &client)?;
        let of_proxies = Arc::get_mut(&mut self.proxies).expect("no worker has it yet");
        name(of_proxies, proxies, &Client::new(&plan.tls.for_proxies(), &roots).map_err(StartError::Tls)?)?;
        probe(&mut self.list, &self.proxies, &client, plan);
        self.roots = Some(roots);
        Ok(())
    }

    /// A worker's own TLS client, sharing nothing with those of others but the roots.
    ///
    /// # Errors
    /// As [`Destinations::look`], which has made one already.
    pub(super) fn client(&self, plan: &Plan) -> Result<Option<Client>, StartError> {
        self.roots.as_ref().map(|roots| Client::new(&plan.tls, roots)).transpose().map_err(StartError::Tls)
    }

    /// A worker's own way through the plan's proxies, if there are any.
    ///
    /// # Errors
    /// As [`Destinations::look`], which has made a TLS client for them already.
    pub(super) fn gateway(
        &self,
        plan: &Arc<Plan>,
        shard: &Shard,
        resolver: Option<Resolver>,
    ) -> Result<Option<Gateway>, StartError> {
        if self.proxies.is_empty() {
            return Ok(None);
        }
        let client = |roots| Client::new(&plan.tls.for_proxies(), roots).map_err(StartError::Tls);
        let client = self.roots.as_ref().map(client).transpose()?;
        Ok(Some(Gateway::new(Arc::clone(plan), shard, Arc::clone(&self.proxies), resolver, client)))
    }

    /// What was found out, for the report.
    pub(super) fn reached(self) -> Vec<Reached> {
        let reached = |to: Destination| Reached {
            addresses: to.peers.iter().filter_map(Peer::address).collect(),
            tls: to.session,
        };
        self.list.into_iter().map(reached).collect()
    }
}

/// Those of a place's addresses that may be connected to.
fn peers(
    network: &Network,
    place: &Place,
    addresses: Result<Vec<SocketAddr>, String>,
) -> Result<Vec<Peer>, StartError> {
    let name = || place.host.to_string();
    let addresses = addresses.map_err(|reason| StartError::Resolve { name: name(), reason })?;
    let admitted = network.admitted(addresses).map_err(|unfit| StartError::Unfit { name: name(), unfit })?;
    Ok(admitted.into_iter().map(Peer::Tcp).collect())
}

/// Finds the addresses of `places`, and the first reason why one has none.
///
/// # Errors
/// There is a place that none of our sources can reach.
fn find(plan: &Plan, places: Vec<Place>) -> Result<(Vec<Destination>, Option<StartError>), StartError> {
    let network = &plan.network;
    let names: Vec<Place> = places.iter().filter(|place| network.known(place).is_none()).cloned().collect();
    let mut found = resolve(&names, plan.timeouts.connect).into_iter();
    let mut list = Vec::with_capacity(places.len());
    let mut first_error = None;
    for place in places {
        let known = network.known(&place);
        let afresh = (known.is_none() && network.dns == Dns::PerConnection).then(|| place.clone());
        let addresses = known.map(Ok).or_else(|| found.next()).expect("what is not known was looked up");
        let peers = match peers(network, &place, addresses) {
            Ok(peers) => peers,
            Err(error @ StartError::Unfit { unfit: Unfit::Source(_), .. }) => return Err(error),
            Err(error) => {
                first_error.get_or_insert(error);
                Vec::new()
            }
        };
        list.push(Destination { peers, afresh, ..Destination::default() });
    }
    Ok((list, first_error))
}

/// Gives the https ones among `at` the names that their certificates must be for.
fn name<'a>(
    list: &mut [Destination],
    at: impl IntoIterator<Item = &'a Origin>,
    client: &Client,
) -> Result<(), StartError> {
    for (destination, at) in list.iter_mut().zip(at) {
        if at.scheme == Scheme::Https {
            destination.name = Some(client.server_name(at).map_err(StartError::Tls)?);
        }
    }
    Ok(())
}

/// Looks at the first https destinations; one that cannot be had is left to the run, which counts its failures.
fn probe(list: &mut [Destination], proxies: &[Destination], client: &Client, plan: &Plan) {
    let limit = plan.timeouts.connect.to_std();
    let named = list.iter_mut().zip(plan.urls.origins()).filter(|(destination, _)| destination.name.is_some());
    let mut encrypted: Vec<_> = named.take(PROBES_MAX).collect();
    let until = Instant::now() + limit;
    for some in encrypted.chunks_mut(PROBES_AT_ONCE) {
        // Servers that hang must not hold up the run for each of them.
        if Instant::now() >= until {
            return;
        }
        thread::scope(|scope| {
            for (destination, origin) in some {
                scope.spawn(|| {
                    let Some(name) = &destination.name else { return };
                    let tcp = open(plan, origin, destination, proxies, limit);
                    destination.session = tcp.and_then(|tcp| client.probe(tcp, name.clone(), limit).ok());
                });
            }
        });
    }
}

/// A connection for a first look, on the calling thread; none through a proxy that is spoken to under TLS.
fn open(plan: &Plan, origin: &Origin, to: &Destination, proxies: &[Destination], limit: Duration) -> Option<TcpStream> {
    let connect = |peer: &Peer| Route::new(&plan.network, peer, 0).open_blocking(limit).ok();
    if to.proxies.is_empty() {
        return connect(to.peers.first()?);
    }
    let index = to.proxies.start as usize;
    let (proxy, at) = (&plan.proxies.list[index], &proxies[index]);
    if at.name.is_some() {
        return None;
    }
    let mut tcp = connect(at.peers.first()?)?;
    let told = to.peers.first().and_then(Peer::address);
    let tunnel = Tunnel::through(proxy, &plan.network.place(origin), told).ok()?;
    tunnel::open_blocking(&mut tcp, tunnel, limit).ok()?;
    Some(tcp)
}
