//! TLS under a connection: one client configuration a core, the handshake, and what went wrong with it in words.
//!
//! Knows nothing of HTTP, pools or time limits. The provider of cryptography is named here and nowhere else.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::TcpStream as StdTcpStream;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;
use monoio_rustls::{ClientTlsStream, TlsConnector, TlsError};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{IpAddr, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, RootCertStore};
use url::Host;

use self::judge::Judge;
use crate::plan::tls::{TlsVersion, Trust};
use crate::plan::{Origin, Tls};
use crate::record::TlsSession;

mod judge;

/// Sessions that one core remembers, at most: as many origins can be resumed.
const SESSIONS: usize = 1_024;

/// An encrypted connection.
pub(super) type Encrypted = ClientTlsStream<TcpStream>;
/// One that goes through a proxy which is spoken to under TLS itself.
pub(super) type Nested = ClientTlsStream<Encrypted>;

/// Whom a run trusts: read once, shared by all its cores.
#[derive(Clone, Debug)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// The roots that `trust` asks for: the system's, or Mozilla's where the system has none, or those given.
    ///
    /// # Errors
    /// A given certificate that is none.
    pub fn load(trust: &Trust) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match trust {
            Trust::Anyone => {}
            Trust::Only(certificates) => {
                for (number, certificate) in (1..).zip(certificates) {
                    let added = roots.add(certificate.clone());
                    added.map_err(|error| format!("--cacert: certificate {number} cannot be read: {error}"))?;
                }
            }
            Trust::System => {
                // Certificates that cannot be parsed are left out, as other programs do with a system's folder.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
                }
            }
        }
        Ok(Self(Arc::new(roots)))
    }
}

/// One core's way of opening encrypted connections; its sessions are its own.
#[derive(Clone)]
pub struct Client {
    connector: TlsConnector,
    config: Arc<ClientConfig>,
    /// Certificates judged so far: a resumed handshake has none.
    judged: Arc<AtomicU64>,
    /// Asked for instead of the origin's host.
    name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for `tls` that trusts `roots`.
    ///
    /// # Errors
    /// A client certificate and key that do not belong together, or a key of a kind that is not supported.
    pub fn new(tls: &Tls, roots: &Roots) -> Result<Self, String> {
        let judged = Arc::<AtomicU64>::default();
        let config = Arc::new(config(tls, roots, &judged)?);
        Ok(Self { connector: TlsConnector::from(Arc::clone(&config)), config, judged, name: tls.name.clone() })
    }

    /// The name that connections to `origin` ask for and verify.
    ///
    /// # Errors
    /// A host that no certificate can name.
    pub fn server_name(&self, origin: &Origin) -> Result<ServerName<'static>, String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        match &origin.host {
            Host::Ipv4(ip) => Ok(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V4(*ip)))),
            Host::Ipv6(ip) => Ok(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V6(*ip)))),
            Host::Domain(name) => ServerName::try_from(name.clone())
                .map_err(|_| format!("{name} is no name that a certificate can have; give one with --sni")),
        }
    }

    /// Encrypts what goes through `io`; true where an earlier session was resumed.
    ///
    /// # Errors
    /// What went wrong and, where there is one, the remedy.
    pub(super) async fn handshake<IO: AsyncReadRent + AsyncWriteRent>(
        &self,
        io: IO,
        name: ServerName<'static>,
    ) -> Result<(ClientTlsStream<IO>, bool), String> {
        let mut handshake = pin!(self.connector.connect(name, io));
        let judged = Cell::new(false);
        let result = poll_fn(|cx| {
            // A poll runs through without a break, so a certificate judged meanwhile was this handshake's.
            let before = self.judged.load(Ordering::Relaxed);
            let polled = handshake.as_mut().poll(cx);
            judged.set(judged.get() || self.judged.load(Ordering::Relaxed) != before);
            polled
        })
        .await;
        match result {
            Ok(stream) => Ok((stream, !judged.get())),
            Err(TlsError::Rustls(error)) => Err(reason(&error)),
            Err(TlsError::Io(error)) => Err(io_reason(&error)),
        }
    }

    /// One handshake on `tcp`, a fresh connection for it alone, on the calling thread: what the ring's streams do not tell.
    ///
    /// # Errors
    /// What went wrong.
    pub fn probe(
        &self,
        mut tcp: StdTcpStream,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Result<TlsSession, String> {
        let failed = |error: io::Error| io_reason(&error);
        let mut session = ClientConnection::new(Arc::clone(&self.config), name).map_err(|error| reason(&error))?;
        let until = Instant::now() + limit;
        while session.is_handshaking() {
            // Of the whole handshake: a server that sends a byte now and then must not hold up the run.
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("no handshake within {limit:?}"));
            }
            tcp.set_read_timeout(Some(left)).and_then(|()| tcp.set_write_timeout(Some(left))).map_err(failed)?;
            if session.wants_write() {
                session.write_tls(&mut tcp).map_err(failed)?;
            } else if session.read_tls(&mut tcp).map_err(failed)? == 0 {
                return Err(failed(io::ErrorKind::UnexpectedEof.into()));
            }
            session.process_new_packets().map_err(|error| reason(&error))?;
        }
        // What was to be learnt is known; a server that takes no farewell changes nothing.
        session.send_close_notify();
        while session.wants_write() && session.write_tls(&mut tcp).is_ok() {}
        let suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        Ok(TlsSession {
            version: session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default(),
            cipher: suite.unwrap_or_default(),
            alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        })
    }
}

/// What is still to be sent of a session that ends: a close_notify at the end, in a record of its own.
pub(super) fn farewell(mut session: ClientConnection) -> Vec<u8> {
    session.send_close_notify();
    let mut records = Vec::new();
    while session.wants_write() && session.write_tls(&mut records).is_ok() {}
    records
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn config(tls: &Tls, roots: &Roots, judged: &Arc<AtomicU64>) -> Result<ClientConfig, String> {
    let provider = provider();
    let versions: &[_] = match tls.least_version {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let judge = Judge::new(&tls.trust, Arc::clone(&roots.0), &provider, Arc::clone(judged))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has suites for both versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(judge));
    let mut config = match &tls.identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(|error| format!("--cert, --key: {}", reason(&error)))?,
    };
    config.alpn_protocols = tls.alpn.iter().map(|name| name.clone().into_bytes()).collect();
    config.resumption =
        if tls.session_reuse { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() };
    Ok(config)
}

/// Why a handshake, or a read after it, failed.
pub fn io_reason(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => reason(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "the server closed during the handshake".to_owned(),
        None => error.to_string(),
    }
}

/// What went wrong in the user's words, with a remedy where there is one.
fn reason(error: &rustls::Error) -> String {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => "the certificate has expired".to_owned(),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => "the certificate is not valid yet".to_owned(),
            Bad::UnknownIssuer => {
                "the certificate's issuer is unknown; give it, or the certificate itself, with --cacert FILE (-k verifies \
                 nothing)"
                    .to_owned()
            }
            Bad::NotValidForName => "the certificate is not for this name; --sni NAME asks for another".to_owned(),
            Bad::NotValidForNameContext { expected, presented } => format!(
                "the certificate is for {}, not for {}; --sni NAME asks for another name",
                names(presented),
                expected.to_str()
            ),
            bad => format!("the certificate is not acceptable: {bad:?}"),
        },
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server agrees to none of the protocols offered (ALPN); --http 1.1, or --alpn LIST, offers others".to_owned()
        }
        rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server speaks no version of TLS that is accepted here; see --tls-min".to_owned()
        }
        rustls::Error::InconsistentKeys(_) => "the certificate and the key do not belong together".to_owned(),
        rustls::Error::AlertReceived(alert) => format!("the server refused the handshake: alert {alert:?}"),
        rustls::Error::InvalidMessage(_) => "the server's answer is not TLS; is it an http:// port?".to_owned(),
        error => error.to_string(),
    }
}

/// The names of a certificate as people write them, from the form in which rustls shows them: `DnsName("host")`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
        inner.trim_matches('"').escape_debug().to_string()
    };
    presented.iter().map(bare).collect::<Vec<_>>().join(", ")
}
