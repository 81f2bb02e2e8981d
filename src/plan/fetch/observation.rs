//! How a retrieval is watched: a log of events and metrics over HTTP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::super::error::PlanError;

/// What was said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawObservation {
    /// `--log`.
    pub log: Option<PathBuf>,
    /// `--metrics`.
    pub metrics: Option<String>,
}

/// How a retrieval is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Events are appended to this file.
    pub log: Option<PathBuf>,
    /// Metrics can be had here; port 0 is any that is free.
    pub metrics: Option<SocketAddr>,
}

/// # Errors
/// An address that is none, with the remedy.
pub(super) fn observation(raw: &RawObservation) -> Result<Observation, PlanError> {
    let address = |text: &String| {
        let refused = |problem| PlanError::new(format!("--metrics {}", text.escape_debug()), problem);
        parse_address(text).map_err(refused)
    };
    Ok(Observation { log: raw.log.clone(), metrics: raw.metrics.as_ref().map(address).transpose()? })
}

/// Reads `9464`, `:9464` or `192.0.2.1:9464`; without an address it is loopback.
///
/// # Errors
/// What is wrong and the remedy.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let port = text.strip_prefix(':').unwrap_or(text).parse();
    port.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).map_err(|_| {
        "is no address; write a port (9464) for loopback, or an address and a port (192.0.2.1:9464)".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_address_it_is_loopback() {
        for (text, address) in [
            ("9464", "127.0.0.1:9464"),
            (":9464", "127.0.0.1:9464"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            assert_eq!(parse_address(text).map(|address| address.to_string()).as_deref(), Ok(address));
        }
        for text in ["", "localhost", "x:1", "70000", ":"] {
            let raw = RawObservation { metrics: Some(text.to_owned()), log: None };
            let refused = observation(&raw).expect_err(text);
            assert!(refused.subject == format!("--metrics {text}") && refused.problem.contains("write a port"));
        }
    }
}
