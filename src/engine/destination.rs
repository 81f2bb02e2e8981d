//! Where a run's connections go: the addresses of each origin and, for https ones, the names and a first look at TLS.
//!
//! All of it is found out on the main thread before the run; workers get it read-only.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use rustls::pki_types::ServerName;

use super::StartError;
use crate::net::connect::{Peer, Route};
use crate::net::resolve::resolve;
use crate::net::tls::{Client, Roots};
use crate::plan::network::{Dns, Place, Unfit};
use crate::plan::origin::Scheme;
use crate::plan::{Network, Plan};
use crate::record::{Reached, TlsSession};

/// https origins that are looked at before the run; more would delay it without telling more.
const PROBES_MAX: usize = 100;
/// Looks under way at once.
const PROBES_AT_ONCE: usize = 16;

/// Addresses of ours that are tried before the run, of each family; what is wrong with a later one its connections tell.
const SOURCES_TRIED: u128 = 1_024;

/// Where connections to an origin go.
#[derive(Clone, Debug, Default)]
pub(super) struct Destination {
    /// In the order of the resolver; empty where the name has no address.
    pub(super) peers: Vec<Peer>,
    /// What is looked up anew for each connection.
    pub(super) afresh: Option<Place>,
    /// The name that an https origin's certificate must be for.
    pub(super) name: Option<ServerName<'static>>,
    /// What a handshake of its own agreed on, before the run.
    pub(super) session: Option<TlsSession>,
}

/// Where all connections of a run go, by origin.
#[derive(Debug)]
pub(super) struct Destinations {
    pub(super) list: Vec<Destination>,
    /// Whom https origins are trusted by; `None` where there are none.
    roots: Option<Roots>,
}

impl Destinations {
    /// Finds the addresses of the plan's origins.
    ///
    /// # Errors
    /// No origin has an address, or one has none that a source can reach.
    pub(super) fn resolve(plan: &Plan) -> Result<Self, StartError> {
        let (origins, network) = (plan.urls.origins(), &plan.network);
        if let Some(socket) = &network.socket {
            let peers = vec![Peer::unix(socket)];
            return Ok(Self {
                list: vec![Destination { peers, ..Destination::default() }; origins.len()],
                roots: None,
            });
        }
        let places: Vec<Place> = origins.iter().map(|origin| network.place(origin)).collect();
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
        match first_error {
            Some(error) if list.iter().all(|destination| destination.peers.is_empty()) => Err(error),
            _ => Ok(Self { list, roots: None }),
        }
    }

    /// Finds out whether connections can begin and leave as the plan has it.
    ///
    /// # Errors
    /// An address or an interface of ours that cannot be used.
    pub(super) fn try_sources(&self, plan: &Plan) -> Result<(), StartError> {
        for v6 in [false, true] {
            let of_family = |peer: &&Peer| peer.address().is_some_and(|addr| addr.is_ipv6() == v6);
            let Some(to) = self.list.iter().flat_map(|destination| &destination.peers).find(of_family) else {
                continue;
            };
            let sources = to.address().map_or(0, |addr| plan.network.sources.count(addr.ip()));
            // One where the system chooses: there may be an interface to try.
            for turn in 0..sources.clamp(1, SOURCES_TRIED) as u64 {
                let tried = Route::new(&plan.network, to, turn).socket();
                tried.map_err(|error| StartError::Network(error.to_string()))?;
            }
        }
        Ok(())
    }

    /// All addresses of all origins.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.list.iter().flat_map(|destination| &destination.peers).filter_map(Peer::address)
    }

    /// Names the https origins and shakes hands once with the first of them.
    ///
    /// # Errors
    /// Certificates or a key that are of no use, a host that no certificate can be for.
    pub(super) fn look(&mut self, plan: &Plan) -> Result<(), StartError> {
        let origins = plan.urls.origins();
        if origins.iter().all(|origin| origin.scheme == Scheme::Http) {
            return Ok(());
        }
        let roots = Roots::load(&plan.tls.trust).map_err(StartError::Tls)?;
        let client = Client::new(&plan.tls, &roots).map_err(StartError::Tls)?;
        for (destination, origin) in self.list.iter_mut().zip(origins) {
            if origin.scheme == Scheme::Https {
                destination.name = Some(client.server_name(origin).map_err(StartError::Tls)?);
            }
        }
        probe(&mut self.list, &client, plan);
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

/// Looks at the first https destinations; one that cannot be had is left to the run, which counts its failures.
fn probe(list: &mut [Destination], client: &Client, plan: &Plan) {
    let limit = plan.timeouts.connect.to_std();
    let mut encrypted: Vec<_> =
        list.iter_mut().filter(|destination| destination.name.is_some()).take(PROBES_MAX).collect();
    let until = Instant::now() + limit;
    for some in encrypted.chunks_mut(PROBES_AT_ONCE) {
        // Servers that hang must not hold up the run for each of them.
        if Instant::now() >= until {
            return;
        }
        thread::scope(|scope| {
            for destination in some {
                scope.spawn(|| {
                    let (Some(to), Some(name)) = (destination.peers.first(), &destination.name) else { return };
                    let tcp = Route::new(&plan.network, to, 0).open_blocking(limit);
                    destination.session = tcp.ok().and_then(|tcp| client.probe(tcp, name.clone(), limit).ok());
                });
            }
        });
    }
}
