//! The local ports that are left, by the kernel's settings and its tables of sockets.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::preflight::{Ports, Taken};
use super::read;
use crate::plan::source::Sources;

/// Of a table of sockets no more is read: about 100,000 lines, 0.1 s.
const TABLE_BYTES: u64 = 16 << 20;
/// How the tables write a listening socket, and one in TIME_WAIT.
const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

/// The local ports from which `destinations` can be reached from `sources`. What is taken of them is found out only where `needed` more
/// may be too many: the tables of sockets take 12 ms to read even when they are empty.
pub(in crate::engine) fn ports(destinations: &HashSet<SocketAddr>, sources: &Sources, needed: u64) -> Option<Ports> {
    let setting = |name: &str| read(format!("/proc/sys/net/ipv4/{name}"));
    let number = |name: &str| setting(name)?.parse::<u64>().ok();
    let mut ports = Ports {
        range: port_range()?,
        reserved: setting("ip_local_reserved_ports").map(|text| port_list(&text)).unwrap_or_default(),
        reuse: number("tcp_tw_reuse").unwrap_or(0) as u8,
        timestamps: number("tcp_timestamps").is_none_or(|value| value > 0),
        waiting_max: number("tcp_max_tw_buckets").unwrap_or(u64::MAX),
        taken: Taken::default(),
    };
    if needed.saturating_add(sockets()) > ports.usable(ports.range) {
        ports.taken = taken(destinations, sources, ports.range);
    }
    Some(ports)
}

/// TCP sockets of this network namespace, those in TIME_WAIT included; cheap.
fn sockets() -> u64 {
    let of = |path: &str| {
        let text = read(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("TCP")).unwrap_or_default().to_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        let pairs = words.windows(2).filter(|pair| matches!(pair[0], "inuse" | "tw"));
        pairs.filter_map(|pair| pair[1].parse::<u64>().ok()).sum::<u64>()
    };
    of("/proc/self/net/sockstat") + of("/proc/self/net/sockstat6")
}

fn taken(destinations: &HashSet<SocketAddr>, sources: &Sources, range: (u16, u16)) -> Taken {
    let mut taken = Taken::default();
    let mut listening = HashSet::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let Ok(file) = File::open(table) else { continue };
        for line in BufReader::new(file.take(TABLE_BYTES)).lines().map_while(Result::ok) {
            let Some((local, remote, state)) = socket(&line) else { continue };
            match state {
                _ if !(range.0..=range.1).contains(&local.port()) => {}
                LISTEN => _ = listening.insert(local.port()),
                _ if !destinations.contains(&remote) || !sources.contains(local.ip()) => {}
                TIME_WAIT => taken.waiting += 1,
                _ => taken.open += 1,
            }
        }
    }
    taken.listening = listening.len() as u64;
    taken
}

/// Both addresses of a line of `/proc/net/tcp` or `tcp6`, and its state as written there.
fn socket(line: &str) -> Option<(SocketAddr, SocketAddr, &str)> {
    let mut words = line.split_whitespace().skip(1);
    Some((socket_address(words.next()?)?, socket_address(words.next()?)?, words.next()?))
}

/// Reads `0100007F:1F90`: words of 32 bits in the machine's byte order, and the port.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_flattened()).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some((ip, port).into())
}

pub(super) fn port_range() -> Option<(u16, u16)> {
    let text = read("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut ports = text.split_whitespace().map(str::parse::<u16>);
    Some((ports.next()?.ok()?, ports.next()?.ok()?))
}

/// Reads `8080,9000-9010`, as the kernel writes it.
fn port_list(text: &str) -> Vec<(u16, u16)> {
    let run = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    text.split(',').filter_map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tables_of_sockets_is_read() {
        // As a little-endian machine writes them.
        if cfg!(target_endian = "big") {
            return;
        }
        let line = "   2: 0100007F:1F90 0200000A:0050 06 00000000:00000000 03:000017A6 00000000 0 0 0 3 0";
        let addresses = |line| socket(line).map(|(local, remote, state)| format!("{local} {remote} {state}"));
        assert_eq!(addresses(line).as_deref(), Some("127.0.0.1:8080 10.0.0.2:80 06"));
        let mapped = "0: 0000000000000000FFFF00000100007F:C350 00000000000000000000000001000000:0050 01";
        assert_eq!(addresses(mapped).as_deref(), Some("127.0.0.1:50000 [::1]:80 01"));
        assert_eq!(addresses("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(addresses("0: 0100"), None);
    }

    #[test]
    fn connections_of_this_process_are_found_in_the_tables() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let _connections = [(); 3].map(|()| std::net::TcpStream::connect(address).expect("it listens"));
        let from = |source: &[&str]| {
            let texts: Vec<String> = source.iter().map(|&text| text.to_owned()).collect();
            let sources = Sources::parse(&texts).expect("sources");
            taken(&HashSet::from([address]), &sources, (1024, 65_535))
        };
        assert_eq!((from(&["127.0.0.1"]).open, from(&["127.0.0.2"]).open), (3, 0));
        let taken = from(&[]);
        assert_eq!((taken.open, taken.waiting), (3, 0));
        assert!(taken.listening >= 1 && sockets() >= 7);
    }

    #[test]
    fn reserved_ports_are_read_as_the_kernel_writes_them() {
        assert_eq!(port_list(""), []);
        assert_eq!(port_list("8080,9000-9010\n"), [(8080, 8080), (9000, 9010)]);
    }
}
