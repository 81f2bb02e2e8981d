//! A thousand hosts, some of which stall, reset or die.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::{fetch, records};
use crate::support::{OK, Peer, Server, file};

const HOSTS: usize = 1_000;
const EACH: usize = 3;

/// How a host is, by its number.
fn nature(host: usize) -> &'static str {
    match host % 20 {
        3 => "stalls",
        7 => "resets",
        11 => "dies",
        _ => "answers",
    }
}

/// An address of loopback for each.
fn address(host: usize) -> String {
    format!("127.7.{}.{}", host / 250, host % 250 + 1)
}

fn number(host: &str) -> Option<usize> {
    let address = host.strip_prefix("Host: 127.7.")?.split(':').next()?;
    let (high, low) = address.split_once('.')?;
    Some(high.parse::<usize>().ok()? * 250 + low.parse::<usize>().ok()? - 1)
}

fn play(peer: &mut Peer) {
    while let Some(request) = peer.request() {
        let host = request.headers.iter().find_map(|header| number(header)).expect("one of the hosts");
        match nature(host) {
            "stalls" => return peer.stall(),
            "resets" => return peer.reset(),
            "dies" => {
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal");
                return peer.close();
            }
            _ => {
                peer.send(OK);
            }
        }
    }
}

#[test]
fn of_a_thousand_hosts_those_that_stall_reset_or_die_cost_the_others_nothing() {
    let server = Server::on("0.0.0.0:0", play);
    let port = server.addr().port();
    let lines: String =
        (0..HOSTS * EACH).map(|line| format!("http://{}:{port}/{}\n", address(line % HOSTS), line / HOSTS)).collect();
    let (_folder, path) = file(lines);
    let began = Instant::now();
    let finished = fetch(&["-i", &path, "-t", "2", "--retries", "0", "--timeout", "3s"]);
    let elapsed = began.elapsed();
    let all = records(&finished.assert_code(0).stdout);
    assert_eq!(all.len(), HOSTS * EACH);
    let mut ends: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for (line, record) in &all {
        let host = usize::try_from(line - 1).expect("a line") % HOSTS;
        let kind = record["error"]["kind"].as_str().unwrap_or("ok");
        *ends.entry((nature(host), kind.to_owned())).or_default() += 1;
    }
    let expected = [
        (("answers", "ok".to_owned()), 850 * EACH),
        (("dies", "closed_early".to_owned()), 50 * EACH),
        (("resets", "reset".to_owned()), 50 * EACH),
        (("stalls", "timeout".to_owned()), 50 * EACH),
    ];
    assert_eq!(ends, BTreeMap::from(expected));
    // A host that never answered has one connection: its lines one after the other, and nobody else's.
    assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    let late = all.values().filter(|record| record["ok"] == true && record["service_ms"].as_f64() >= Some(3000.0));
    assert_eq!(late.count(), 0);
}
