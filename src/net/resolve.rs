//! Names to addresses, before a run, on plain threads: getaddrinfo blocks and must never do so on a worker's core.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use url::Host;

use crate::plan::Origin;
use crate::units::Nanos;

/// Look-ups under way at once.
const LOOKUPS_AT_ONCE: usize = 32;

/// All addresses of each origin, or why it has none; each look-up may take `limit`.
///
/// A look-up over its limit counts as failed; its thread cannot be stopped and is left behind.
pub fn resolve(origins: &[Origin], limit: Nanos) -> Vec<Result<Vec<SocketAddr>, String>> {
    let mut found: Vec<Option<Result<Vec<SocketAddr>, String>>> = origins.iter().map(literal).collect();
    let mut waiting = (0..origins.len()).rev().filter(|&index| found[index].is_none()).collect::<Vec<_>>();
    let mut under_way: HashMap<usize, Instant> = HashMap::new();
    let (sender, receiver) = mpsc::channel();
    while !waiting.is_empty() || !under_way.is_empty() {
        while under_way.len() < LOOKUPS_AT_ONCE {
            let Some(index) = waiting.pop() else { break };
            under_way.insert(index, Instant::now() + limit.to_std());
            look_up(origins[index].clone(), index, sender.clone());
        }
        let earliest = under_way.values().min().copied().unwrap_or_else(Instant::now);
        match receiver.recv_timeout(earliest.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))) {
            // An answer after its limit is dropped: its place was given away.
            Ok((index, result)) if under_way.remove(&index).is_some() => found[index] = Some(result),
            _ => {}
        }
        under_way.retain(|&index, &mut until| {
            let in_time = until > Instant::now();
            if !in_time {
                found[index] = Some(Err(format!("no answer within {limit}")));
            }
            in_time
        });
    }
    found.into_iter().map(|result| result.expect("every origin was looked up")).collect()
}

/// An address needs no look-up.
fn literal(origin: &Origin) -> Option<Result<Vec<SocketAddr>, String>> {
    match origin.host {
        Host::Ipv4(ip) => Some(Ok(vec![(ip, origin.port).into()])),
        Host::Ipv6(ip) => Some(Ok(vec![(ip, origin.port).into()])),
        Host::Domain(_) => None,
    }
}

type Found = (usize, Result<Vec<SocketAddr>, String>);

fn look_up(origin: Origin, index: usize, sender: mpsc::Sender<Found>) {
    let search = move || {
        let addresses = (origin.host.to_string().as_str(), origin.port).to_socket_addrs();
        let result = addresses.map_err(|error| reason(&error)).and_then(|addresses| {
            let mut unique: Vec<SocketAddr> = Vec::new();
            addresses.for_each(|addr| {
                if !unique.contains(&addr) {
                    unique.push(addr)
                }
            });
            if unique.is_empty() { Err("the name has no address".to_owned()) } else { Ok(unique) }
        });
        // The receiver is gone when the run was given up.
        let _ = sender.send((index, result));
    };
    if let Err(error) = std::thread::Builder::new().name("resolve".to_owned()).spawn(search) {
        // The closure, and with it the sender, is gone: the look-up fails by its limit.
        let _ = error;
    }
}

fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::origin::parse_site;

    #[test]
    fn addresses_need_no_look_up_and_names_get_theirs() {
        let origins =
            ["http://127.0.0.1:81", "http://[::1]:82", "http://localhost:83", "http://no-such-host.invalid:84"]
                .map(|site| parse_site(site).expect("a site").origin);
        let found = resolve(&origins, Nanos::from_secs(20));
        assert_eq!(found[0], Ok(vec!["127.0.0.1:81".parse().expect("an address")]));
        assert_eq!(found[1], Ok(vec!["[::1]:82".parse().expect("an address")]));
        assert!(
            found[2].as_ref().is_ok_and(|addresses| addresses.iter().all(|a| a.ip().is_loopback() && a.port() == 83))
        );
        assert!(found[3].is_err());
    }
}
