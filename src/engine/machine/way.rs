//! The ways out of this machine: which interface an address is reached through, and what that is.
//!
//! Nothing is sent for it: the kernel chooses a way when a UDP socket is told whom it will talk to.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use super::read;
use crate::plan::Network;
use crate::record::environment::Way;

/// So many are looked up; with more addresses the rest mostly go the same ways.
const WAYS_MAX: usize = 16;

/// The ways to the addresses that connections were opened to, each address once.
pub(super) fn ways(network: &Network, to: impl Iterator<Item = SocketAddr>) -> Vec<Way> {
    let addresses: BTreeSet<IpAddr> = to.map(|to| to.ip()).collect();
    let ours = interfaces();
    addresses.into_iter().take(WAYS_MAX).map(|to| way(network, to, &ours)).collect()
}

fn way(network: &Network, to: IpAddr, ours: &[(IpAddr, String)]) -> Way {
    let from = chosen(network, to).ok();
    let name = |ip: IpAddr| ours.iter().find(|(address, _)| *address == ip).map(|(_, name)| name.clone());
    // What is sent to an address of our own never gets to its interface.
    let loopback = to.is_loopback() || name(to).is_some();
    let loopback = loopback.then(|| name(Ipv4Addr::LOCALHOST.into()).or_else(|| name(Ipv6Addr::LOCALHOST.into())));
    let interface = network.interface.clone().or_else(|| loopback.unwrap_or_else(|| from.and_then(name)));
    let of = |what: &str| interface.as_ref().map(|name| format!("/sys/class/net/{name}/{what}"));
    let number = |what: &str| read(of(what)?)?.parse::<i64>().ok();
    Way {
        to,
        from,
        driver: of("device/driver").and_then(|path| {
            let driver = fs::read_link(path).ok()?;
            Some(driver.file_name()?.to_string_lossy().into_owned())
        }),
        // Where it is not known, the kernel says -1 or nothing at all.
        speed_mbit: number("speed").and_then(|speed| u64::try_from(speed).ok()).filter(|&speed| speed > 0),
        mtu: number("mtu").and_then(|mtu| u64::try_from(mtu).ok()),
        interface,
    }
}

/// Our end of a way to `to`: the first source of the plan, or what the kernel chooses.
fn chosen(network: &Network, to: IpAddr) -> std::io::Result<IpAddr> {
    if let Some(source) = network.sources.turn(to, 0) {
        return Ok(source);
    }
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    // The port does not matter; 9 is "discard".
    socket.connect((to, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// The addresses of this machine with the names of their interfaces.
fn interfaces() -> Vec<(IpAddr, String)> {
    let entries = getifaddrs().into_iter().flatten();
    entries.filter_map(|entry| Some((ip(&entry.address?)?, entry.interface_name))).collect()
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(addresses: &[&str]) -> Vec<Way> {
        let addresses = addresses.iter().map(|text| text.parse::<SocketAddr>().expect("an address"));
        ways(&Network::default(), addresses)
    }

    #[test]
    fn loopback_is_reached_through_its_interface_which_has_no_speed() {
        let ways = to(&["127.0.0.1:80", "127.0.0.1:81", "127.0.0.2:80"]);
        assert_eq!(ways.len(), 2, "an address is listed once: {ways:?}");
        for way in ways {
            assert_eq!((way.interface.as_deref(), way.speed_mbit, way.driver), (Some("lo"), None, None));
            assert!(way.from.is_some_and(|from| from.is_loopback()) && way.mtu.is_some_and(|mtu| mtu > 1_000));
        }
    }

    #[test]
    fn an_address_of_our_own_is_reached_through_loopback() {
        for (address, _) in interfaces().into_iter().filter(|(address, _)| address.is_ipv4()) {
            let ways = ways(&Network::default(), [SocketAddr::from((address, 80))].into_iter());
            assert_eq!(ways[0].interface.as_deref(), Some("lo"), "{address}");
        }
    }

    #[test]
    fn no_more_ways_are_looked_up_than_are_worth_it() {
        let many: Vec<String> = (1..100).map(|n| format!("127.0.1.{n}:80")).collect();
        assert_eq!(to(&many.iter().map(String::as_str).collect::<Vec<_>>()).len(), WAYS_MAX);
    }
}
