//! What the user said: every field optional, as typed, nothing resolved.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;

/// An input, with the name by which its errors call it. It is read line by line when the plan is made: of millions of
/// lines, the text is never there twice.
#[derive(Clone)]
pub struct Input {
    /// `urls.txt`, or `standard input`.
    pub name: String,
    /// It can be read once only.
    pub once: bool,
    open: Arc<dyn Fn() -> io::Result<Box<dyn Read>> + Send + Sync>,
}

impl Input {
    /// An input that `open` gives from its beginning.
    pub fn new(name: String, open: impl Fn() -> io::Result<Box<dyn Read>> + Send + Sync + 'static) -> Self {
        Self { name, once: false, open: Arc::new(open) }
    }

    /// The program's standard input.
    pub fn standard() -> Self {
        Self::new("standard input".to_owned(), || Ok(Box::new(io::stdin().lock()))).read_once()
    }

    /// The same, of which nothing is left once it was read: a pipe.
    #[must_use]
    pub fn read_once(self) -> Self {
        Self { once: true, ..self }
    }

    /// An input that is in memory already.
    pub fn of_bytes(name: impl Into<String>, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self::new(name.into(), move || Ok(Box::new(io::Cursor::new(content.clone()))))
    }

    /// Its content, from the beginning.
    ///
    /// # Errors
    /// The system's.
    pub fn open(&self) -> io::Result<Box<dyn Read>> {
        (self.open)()
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A `-H` argument, or a line of the file that `-H @FILE` named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawHeader {
    /// `Name: value`, `Name:`, or `Name;`.
    pub text: String,
    /// From a file: its value is never shown.
    pub secret: bool,
}

/// A file of certificates or keys, read already.
#[derive(Clone, PartialEq, Eq)]
pub struct PemFile {
    /// Its path, by which its errors call it.
    pub name: String,
    /// May be a secret.
    pub content: Vec<u8>,
}

impl fmt::Debug for PemFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Credentials that were given, wherever they were read; secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RawAuth {
    /// `-u`, as `user:password`.
    pub user: Option<String>,
    /// `--bearer`.
    pub bearer: Option<String>,
}

impl fmt::Debug for RawAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAuth").finish_non_exhaustive()
    }
}

/// What was said of TLS.
#[derive(Clone, Debug, Default)]
pub struct RawTls {
    /// `--insecure`.
    pub insecure: bool,
    /// `--cacert`.
    pub cacert: Option<PemFile>,
    /// `--cert`.
    pub cert: Option<PemFile>,
    /// `--key`; a secret.
    pub key: Option<PemFile>,
    /// `--sni`.
    pub sni: Option<String>,
    /// `--alpn`.
    pub alpn: Option<String>,
    /// `--tls-min`.
    pub least_version: Option<super::tls::TlsVersion>,
    /// `--tls-session-reuse`.
    pub session_reuse: Option<bool>,
}

/// What was said of when requests start.
#[derive(Clone, Debug, Default)]
pub struct RawShape {
    /// `-R`.
    pub rate: Option<String>,
    /// `--stages`.
    pub stages: Option<String>,
    /// `--arrivals`.
    pub arrivals: Option<super::Arrivals>,
    /// `--speed`.
    pub speed: Option<String>,
    /// `--catch-up`.
    pub catch_up: Option<super::CatchUp>,
}

/// What was said of HTTP.
#[derive(Clone, Debug, Default)]
pub struct RawHttp {
    /// `--http`.
    pub version: Option<super::http::HttpVersion>,
    /// `--streams`.
    pub streams: Option<String>,
    /// `--pipeline`.
    pub pipeline: Option<String>,
}

/// What was said of the way of connections.
#[derive(Clone, Debug, Default)]
pub struct RawNetwork {
    /// `--unix-socket`.
    pub unix_socket: Option<String>,
    /// `--source`, in order.
    pub source: Vec<String>,
    /// `--interface`.
    pub interface: Option<String>,
    /// `--ipv4`.
    pub ipv4: bool,
    /// `--ipv6`.
    pub ipv6: bool,
    /// `--resolve`, in order.
    pub resolve: Vec<String>,
    /// `--connect-to`, in order.
    pub connect_to: Vec<String>,
    /// `--dns`.
    pub dns: Option<super::network::Dns>,
}

/// A proxy's URL, and what its errors call it.
#[derive(Clone, PartialEq, Eq)]
pub struct RawProxy {
    /// `--proxy`, `--proxy @FILE` or the variable's name.
    pub subject: String,
    /// May hold credentials.
    pub url: String,
}

impl fmt::Debug for RawProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawProxy").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// The environment's proxies, by the scheme of what is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawEnvironment {
    /// `http_proxy`, or else `all_proxy`.
    pub http: Option<RawProxy>,
    /// `https_proxy`, or else `all_proxy`.
    pub https: Option<RawProxy>,
    /// `no_proxy`.
    pub no_proxy: Option<String>,
}

/// What was said of proxies.
#[derive(Clone, Debug, Default)]
pub struct RawProxies {
    /// `--proxy`, in order.
    pub list: Vec<RawProxy>,
    /// `--noproxy`.
    pub no_proxy: Option<String>,
    /// `--proxy-from-env`.
    pub from_environment: Option<RawEnvironment>,
}

/// A body that is expected.
#[derive(Clone, Debug)]
pub enum RawExpectedBody {
    /// A regular expression.
    Pattern(String),
    /// `@FILE`, read already.
    File {
        /// Its path.
        name: String,
        /// All of it.
        content: Bytes,
    },
}

/// What was said of the answers that are expected.
#[derive(Clone, Debug, Default)]
pub struct RawExpect {
    /// `--expect-status`, in order.
    pub status: Vec<String>,
    /// `--expect-header`, in order.
    pub header: Vec<String>,
    /// `--expect-body`, in order.
    pub body: Vec<RawExpectedBody>,
    /// `--max-body`.
    pub max_body: Option<String>,
}

/// The options of one load run, unchecked; files are read already, or handed over to be, so that the rest is pure.
#[derive(Clone, Debug, Default)]
pub struct RawPlan {
    /// Positional URLs.
    pub urls: Vec<String>,
    /// `-i`.
    pub input: Option<Input>,
    /// `--order`.
    pub order: Option<super::Order>,
    /// `--shard`.
    pub shard: Option<String>,
    /// `--once`.
    pub once: bool,
    /// `-c`.
    pub connections: Option<String>,
    /// `-t`.
    pub threads: Option<String>,
    /// `--cores`.
    pub cores: Option<String>,
    /// `-d`.
    pub duration: Option<String>,
    /// `-n`.
    pub requests: Option<String>,
    /// All that is said of when requests start.
    pub shape: RawShape,
    /// `-X`.
    pub method: Option<String>,
    /// `-H`, in order.
    pub headers: Vec<RawHeader>,
    /// `-b`.
    pub body: Option<Vec<u8>>,
    /// `--seed`.
    pub seed: Option<u64>,
    /// `--warmup`.
    pub warmup: Option<String>,
    /// `--drain`.
    pub drain: Option<String>,
    /// `--timeout`.
    pub timeout: Option<String>,
    /// `--connect-timeout`.
    pub connect_timeout: Option<String>,
    /// `--read-timeout`.
    pub read_timeout: Option<String>,
    /// `--deadline`.
    pub deadline: Option<String>,
    /// `--max-error-rate`.
    pub max_error_rate: Option<String>,
    /// `--strict`: an invalid quantile is no answer.
    pub strict: bool,
    /// `--abort-on`, in order.
    pub abort_on: Vec<String>,
    /// All that is said of HTTP.
    pub http: RawHttp,
    /// All that is said of TLS.
    pub tls: RawTls,
    /// All that is said of the way of connections.
    pub network: RawNetwork,
    /// `-u` and `--bearer`.
    pub auth: RawAuth,
    /// `--compressed`.
    pub compressed: bool,
    /// `--decode`.
    pub decode: bool,
    /// All that is said of the answers that are expected.
    pub expect: RawExpect,
    /// All that is said of proxies.
    pub proxies: RawProxies,
    /// `--keep-alive`.
    pub keep_alive: Option<bool>,
    /// `--requests-per-connection`.
    pub requests_per_connection: Option<String>,
    /// `--start-anyway`.
    pub start_anyway: bool,
    /// `--driver`.
    pub driver: super::DriverChoice,
    /// The command line, secrets masked; for the report.
    pub argv: Vec<String>,
    /// What `--describe` names.
    pub described: Option<String>,
    /// `--hlog` or `--bundle` is there.
    pub by_class: bool,
    /// The target was started by this very process.
    pub embedded_target: bool,
}
