//! Where a run's connections go: the addresses of each origin and, for https ones, the names and a first look at TLS.
//!
//! All of it is found out on the main thread before the run; workers get it read-only.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use rustls::pki_types::ServerName;

use super::StartError;
use crate::net::resolve::resolve;
use crate::net::tls::{Client, Roots};
use crate::plan::Plan;
use crate::plan::origin::Scheme;
use crate::record::{Reached, TlsSession};

/// https origins that are looked at before the run; more would delay it without telling more.
const PROBES_MAX: usize = 100;
/// Looks under way at once.
const PROBES_AT_ONCE: usize = 16;

/// Where connections to an origin go.
#[derive(Clone, Debug, Default)]
pub(super) struct Destination {
    /// In the order of the resolver; empty where the name has none.
    pub(super) addresses: Vec<SocketAddr>,
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
    /// No origin has an address.
    pub(super) fn resolve(plan: &Plan) -> Result<Self, StartError> {
        let origins = plan.urls.origins();
        let found = resolve(origins, plan.timeouts.connect);
        if found.iter().all(Result::is_err) {
            let reason = found.iter().find_map(|result| result.as_ref().err()).cloned().unwrap_or_default();
            return Err(StartError::Resolve { name: origins[0].host.to_string(), reason });
        }
        let destination = |addresses: Result<_, _>| Destination {
            addresses: addresses.unwrap_or_default(),
            ..Destination::default()
        };
        Ok(Self { list: found.into_iter().map(destination).collect(), roots: None })
    }

    /// All addresses of all origins.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.list.iter().flat_map(|destination| &destination.addresses).copied()
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
        self.list.into_iter().map(|to| Reached { addresses: to.addresses, tls: to.session }).collect()
    }
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
                    let (Some(&addr), Some(name)) = (destination.addresses.first(), &destination.name) else { return };
                    destination.session = client.probe(addr, name.clone(), limit).ok();
                });
            }
        });
    }
}
