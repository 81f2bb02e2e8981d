//! The way of connections as reports tell it: for programs in the plan's echo, for people in the heading.

use serde::Serialize;

use super::escape::escape;
use super::terminal::COLUMNS;
use crate::plan::network::{Dns, Network};

/// Redirects and given addresses that the heading lists.
const LISTED: usize = 3;

/// Where connections went and from where; the system's choice where null or empty.
#[derive(Serialize)]
pub(super) struct NetworkEcho {
    /// Its path, or `@` and an abstract name.
    unix_socket: Option<String>,
    /// Addresses and ranges.
    pub(super) source: Vec<String>,
    pub(super) interface: Option<String>,
    /// `IPv4` or `IPv6` where it was the only one.
    family: Option<&'static str>,
    resolve: Vec<String>,
    connect_to: Vec<String>,
    dns: &'static str,
}

impl NetworkEcho {
    pub(super) fn new(network: &Network) -> Self {
        Self {
            unix_socket: network.socket.as_ref().map(ToString::to_string),
            source: network.sources.texts().collect(),
            interface: network.interface.clone(),
            family: network.family.map(|family| family.name()),
            resolve: network.known.iter().map(ToString::to_string).collect(),
            connect_to: network.redirects.iter().map(ToString::to_string).collect(),
            dns: network.dns.name(),
        }
    }
}

/// What is not the system's choice, a thing a line.
pub(super) fn heading(network: &Network) -> impl Iterator<Item = String> {
    let echo = NetworkEcho::new(network);
    let sources = (!echo.source.is_empty()).then(|| format!("  from {}", listed(&echo.source)));
    let lines = [
        echo.unix_socket.map(|path| format!("  to the unix socket {path}, whatever the URL's host")),
        sources,
        echo.interface.map(|name| format!("  through the interface {name}")),
        echo.family.map(|name| format!("  to {name} addresses alone")),
        (!echo.connect_to.is_empty()).then(|| format!("  connected to elsewhere: {}", listed(&echo.connect_to))),
        (!echo.resolve.is_empty()).then(|| format!("  with given addresses: {}", listed(&echo.resolve))),
        (network.dns == Dns::PerConnection).then(|| "  names looked up for each connection".to_owned()),
    ];
    lines.into_iter().flatten().map(|text| line(&text))
}

fn listed(texts: &[String]) -> String {
    let first = texts.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(LISTED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Printable ASCII of the width of a report.
fn line(text: &str) -> String {
    let mut line = escape(text);
    if line.len() > COLUMNS {
        line.truncate(COLUMNS - 3);
        line.push_str("...");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::raw::RawNetwork;

    #[test]
    fn the_heading_tells_what_was_chosen_and_nothing_else() {
        let lines = |raw| heading(&Network::new(&raw, false).expect("a network")).collect::<Vec<_>>();
        assert_eq!(lines(RawNetwork::default()), [""; 0]);
        let socket = RawNetwork { unix_socket: Some("/run/\u{1b}x".into()), ..RawNetwork::default() };
        assert_eq!(lines(socket), [r"  to the unix socket /run/\u{1b}x, whatever the URL's host"]);
        let raw = RawNetwork {
            source: ["127.0.0.0/30", "127.0.0.9", "::1", "fd00::/127"].map(str::to_owned).to_vec(),
            interface: Some("lo".into()),
            resolve: vec!["*:80:::1".into()],
            connect_to: vec!["::localhost:".into()],
            ipv6: true,
            dns: Some(Dns::PerConnection),
            ..RawNetwork::default()
        };
        let expected = [
            "  from 127.0.0.0/30, 127.0.0.9, ::1 and 1 more",
            "  through the interface lo",
            "  to IPv6 addresses alone",
            "  connected to elsewhere: ::localhost:",
            "  with given addresses: *:80:[::1]",
            "  names looked up for each connection",
        ];
        assert_eq!(lines(raw), expected);
        let long = lines(RawNetwork { unix_socket: Some("x".repeat(100)), ..RawNetwork::default() });
        assert!(long[0].len() == 80 && long[0].ends_with("xxx..."), "{long:?}");
    }
}
