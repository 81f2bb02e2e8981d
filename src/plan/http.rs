//! Which HTTP is spoken, and how many requests a connection carries at a time.
//!
//! HTTP/2 is RFC 9113; over TLS it is agreed on by ALPN (RFC 7301), in cleartext it is known beforehand.

use super::UrlSet;
use super::error::PlanError;
use super::origin::Scheme;
use super::raw::RawHttp;
use crate::units::parse_count;

/// The ALPN name of HTTP/2.
pub const H2: &str = "h2";
/// The ALPN name of HTTP/1.1.
pub const HTTP_1_1: &str = "http/1.1";
/// More in flight on one connection than any server allows by far.
const DEPTH_MAX: u64 = 10_000;

/// Which HTTP is spoken (`--http`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/2 where TLS agrees on it, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 alone.
    Http1,
    /// HTTP/2 alone, in cleartext by prior knowledge.
    Http2,
}

/// How requests share connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// As asked for.
    pub version: HttpVersion,
    /// The most streams of an HTTP/2 connection at a time, 1 or more; above 1 only where HTTP/2 may be spoken.
    pub streams: u32,
    /// The most requests of an HTTP/1.1 connection at a time (RFC 9112 section 9.3.2), 1 or more; above 1 no HTTP/2 is spoken.
    pub pipeline: u32,
}

impl Default for Http {
    fn default() -> Self {
        Self { version: HttpVersion::Auto, streams: 1, pipeline: 1 }
    }
}

impl HttpVersion {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Http1 => "1.1",
            Self::Http2 => "2",
        }
    }

    /// What is offered by ALPN, the preferred first.
    pub fn protocols(self) -> &'static [&'static str] {
        match self {
            Self::Auto => &[H2, HTTP_1_1],
            Self::Http1 => &[HTTP_1_1],
            Self::Http2 => &[H2],
        }
    }
}

impl Http {
    /// Reads and checks what was said; `keep_alive`: a connection carries more than one request.
    ///
    /// # Errors
    /// The option that makes no sense, with the remedy.
    pub fn new(raw: &RawHttp, urls: &UrlSet, keep_alive: bool) -> Result<Self, PlanError> {
        let version = raw.version.unwrap_or_default();
        let depth = |text: &Option<String>, option| text.as_deref().map_or(Ok(1), |text| depth(text, option));
        let (streams, pipeline) = (depth(&raw.streams, "--streams")?, depth(&raw.pipeline, "--pipeline")?);
        let refuse = |option: &str, number: u32, problem: &str| {
            let alone = "does not go with one request a connection; leave --keep-alive false out";
            let problem = if keep_alive { problem } else { alone };
            Err(PlanError::new(format!("{option} {number}"), problem))
        };
        // Of lines that come in later anything may be https.
        let cleartext = || !urls.is_empty() && urls.origins().iter().all(|origin| origin.scheme == Scheme::Http);
        match version {
            _ if streams == 1 => {}
            _ if pipeline > 1 || !keep_alive => {
                return refuse("--streams", streams, "is of HTTP/2, and --pipeline of HTTP/1.1; give one of them");
            }
            HttpVersion::Http1 => return refuse("--streams", streams, "needs HTTP/2; leave --http 1.1 out"),
            HttpVersion::Auto if cleartext() => {
                let problem = "needs HTTP/2, which http:// URLs speak only where it is asked for; add --http 2";
                return refuse("--streams", streams, problem);
            }
            HttpVersion::Auto | HttpVersion::Http2 => {}
        }
        match version {
            _ if pipeline == 1 => Ok(Self { version, streams, pipeline }),
            _ if !keep_alive => refuse("--pipeline", pipeline, ""),
            HttpVersion::Http2 => refuse("--pipeline", pipeline, "is of HTTP/1.1; with HTTP/2, give --streams"),
            HttpVersion::Auto | HttpVersion::Http1 => Ok(Self { version: HttpVersion::Http1, streams, pipeline }),
        }
    }

    /// Reads and checks `--requests-per-connection`.
    ///
    /// # Errors
    /// No number, or one that leaves connections without a use.
    pub fn requests_per_connection(&self, typed: &Option<String>, keep_alive: bool) -> Result<Option<u64>, PlanError> {
        let option = "--requests-per-connection";
        let Some(text) = typed else { return Ok(None) };
        let requests = parse_count(text).map_err(|problem| PlanError::new(option, problem))?;
        let problem = match requests {
            0 => "must be at least 1",
            _ if !keep_alive => "does not go with --keep-alive false, which closes after each request; leave one out",
            _ if requests < u64::from(self.depth()) => "is less than each connection carries at a time; raise it",
            _ => return Ok(Some(requests)),
        };
        Err(PlanError::new(format!("{option} {requests}"), problem))
    }

    /// The most requests in flight on one connection.
    pub fn depth(&self) -> u32 {
        self.streams.max(self.pipeline)
    }
}

fn depth(text: &str, option: &str) -> Result<u32, PlanError> {
    let bad = |problem: String| PlanError::new(format!("{option} {}", text.escape_debug()), problem);
    match parse_count(text).map_err(bad)? {
        0 => Err(bad("a connection must carry at least 1".into())),
        depth if depth > DEPTH_MAX => Err(bad(format!("is more than a server allows; the limit is {DEPTH_MAX}"))),
        depth => Ok(depth as u32),
    }
}
