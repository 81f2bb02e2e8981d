//! How https origins are spoken to: whom to trust, who we are, which names, versions and protocols are offered.
//!
//! Holds parsed certificates and keys; knows nothing of handshakes. PEM is RFC 7468, ALPN RFC 7301, SNI RFC 6066.

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::error::PlanError;
use super::http::{H2, HTTP_1_1, HttpVersion};
use super::raw::{PemFile, RawTls};

/// The longest protocol name that ALPN can carry, in bytes.
const ALPN_BYTES_MAX: usize = 255;

/// What a TLS client needs to know, checked.
#[derive(Debug)]
pub struct Tls {
    /// How the server's certificate is judged.
    pub trust: Trust,
    /// Shown to servers that ask for one.
    pub identity: Option<Identity>,
    /// The name asked for and verified, instead of the URL's host.
    pub name: Option<ServerName<'static>>,
    /// Protocols offered, the preferred first; not empty.
    pub alpn: Vec<String>,
    /// The lowest version accepted.
    pub least_version: TlsVersion,
    /// Sessions are resumed where the server allows.
    pub session_reuse: bool,
}

/// How a server's certificate is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// By the system's roots.
    System,
    /// By these certificates alone (`--cacert`), at least one; a server may also show one of them itself.
    Only(Vec<CertificateDer<'static>>),
    /// Not at all (`--insecure`).
    Anyone,
}

/// A certificate chain, own certificate first, and its key; the key is a secret.
#[derive(Debug)]
pub struct Identity {
    /// At least one.
    pub chain: Vec<CertificateDer<'static>>,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: PrivateKeyDer<'static>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// As `--tls-min` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

impl Trust {
    /// As reports say it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Only(_) => "cacert",
            Self::Anyone => "insecure",
        }
    }
}

impl Tls {
    /// Reads and checks what was said of TLS; `version` of HTTP is what it is to carry.
    ///
    /// # Errors
    /// The option that makes no sense, with the remedy; a file without the PEM sections it should have.
    pub fn new(raw: &RawTls, version: HttpVersion) -> Result<Self, PlanError> {
        Ok(Self {
            trust: trust(raw)?,
            identity: identity(raw)?,
            name: raw.sni.as_deref().map(server_name).transpose()?,
            alpn: match &raw.alpn {
                Some(text) => protocols(text, version)?,
                None => version.protocols().iter().map(|&name| name.to_owned()).collect(),
            },
            least_version: raw.least_version.unwrap_or_default(),
            session_reuse: raw.session_reuse.unwrap_or(true),
        })
    }
}

impl Tls {
    /// The same towards a proxy: whom to trust, but not who we are to an origin, nor its name.
    pub fn for_proxies(&self) -> Self {
        Self {
            trust: self.trust.clone(),
            identity: None,
            name: None,
            alpn: vec![HTTP_1_1.to_owned()],
            least_version: self.least_version,
            session_reuse: self.session_reuse,
        }
    }
}

fn trust(raw: &RawTls) -> Result<Trust, PlanError> {
    match &raw.cacert {
        Some(_) if raw.insecure => {
            let problem = "does not go with --cacert: certificates are either verified or not; leave one of them out";
            Err(PlanError::new("--insecure", problem))
        }
        Some(input) => Ok(Trust::Only(certificates("--cacert", input)?)),
        None if raw.insecure => Ok(Trust::Anyone),
        None => Ok(Trust::System),
    }
}

fn identity(raw: &RawTls) -> Result<Option<Identity>, PlanError> {
    let (cert, key) = match (&raw.cert, &raw.key) {
        (None, None) => return Ok(None),
        // curl's habit: one file may hold both.
        (Some(cert), key) => (cert, key.as_ref().unwrap_or(cert)),
        (None, Some(_)) => {
            return Err(PlanError::new("--key", "needs the certificate it belongs to; give --cert FILE"));
        }
    };
    let chain = certificates("--cert", cert)?;
    let option = if raw.key.is_some() { "--key" } else { "--cert" };
    let key = PrivateKeyDer::from_pem_slice(&key.content).map_err(|error| {
        let problem = match error {
            pem::Error::NoItemsFound if raw.key.is_some() => "has no private key in PEM form".to_owned(),
            pem::Error::NoItemsFound => "has no private key; give it with --key FILE".to_owned(),
            error => format!("cannot be read as PEM: {error}"),
        };
        PlanError::new(format!("{option} {}", key.name), problem)
    })?;
    Ok(Some(Identity { chain, key }))
}

fn certificates(option: &str, input: &PemFile) -> Result<Vec<CertificateDer<'static>>, PlanError> {
    let bad = |problem: String| PlanError::new(format!("{option} {}", input.name), problem);
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&input.content).collect();
    let certificates = read.map_err(|error| bad(format!("cannot be read as PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(bad("has no certificate in PEM form (-----BEGIN CERTIFICATE-----)".into()));
    }
    Ok(certificates)
}

fn server_name(text: &str) -> Result<ServerName<'static>, PlanError> {
    ServerName::try_from(text.to_owned())
        .map_err(|_| PlanError::new(format!("--sni {text:?}"), "is no host name; write it without scheme and port"))
}

fn protocols(text: &str, version: HttpVersion) -> Result<Vec<String>, PlanError> {
    let bad = |problem: &str| PlanError::new(format!("--alpn {text:?}"), problem);
    let protocols: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if protocols.iter().any(|name| name.is_empty() || name.len() > ALPN_BYTES_MAX) {
        return Err(bad("is no list of protocols; write names with commas between, e.g. http/1.1"));
    }
    match (version, protocols.iter().any(|name| name == H2)) {
        (HttpVersion::Http1, true) => Err(bad("offers HTTP/2, which --http 1.1 rules out; leave one of them out")),
        (HttpVersion::Http2, false) => {
            Err(bad("does not offer h2, which --http 2 needs; add it, or leave one of them out"))
        }
        _ => Ok(protocols),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &RawTls) -> Result<Tls, PlanError> {
        Tls::new(raw, HttpVersion::Auto)
    }

    fn input(content: &str) -> Option<PemFile> {
        Some(PemFile { name: "file.pem".into(), content: content.into() })
    }

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";

    #[test]
    fn servers_are_verified_by_the_system_unless_said_otherwise() {
        let tls = read(&RawTls::default()).expect("defaults");
        assert_eq!((tls.trust, tls.alpn.as_slice()), (Trust::System, &["h2".to_owned(), "http/1.1".to_owned()][..]));
        assert!(tls.session_reuse && tls.least_version == TlsVersion::V1_2);
    }

    #[test]
    fn certificate_and_key_may_share_a_file() {
        let both = RawTls { cert: input(&[CERTIFICATE, CERTIFICATE, KEY].concat()), ..RawTls::default() };
        let identity = read(&both).expect("both are there").identity.expect("an identity");
        assert_eq!(identity.chain.len(), 2);
        let apart = RawTls { cert: input(CERTIFICATE), key: input(KEY), ..RawTls::default() };
        assert!(read(&apart).is_ok_and(|tls| tls.identity.is_some()));
    }

    #[test]
    fn a_private_key_is_not_shown() {
        let raw = RawTls { cert: input(&[CERTIFICATE, KEY].concat()), ..RawTls::default() };
        let shown = format!("{:?}", read(&raw).expect("a plan").identity.expect("an identity").key);
        assert!(shown.contains("elided"), "{shown}");
    }

    #[test]
    fn nonsense_is_refused_by_option_and_file() {
        for (raw, part) in [
            (RawTls { insecure: true, cacert: input(CERTIFICATE), ..RawTls::default() }, "--insecure"),
            (RawTls { cacert: input("hello"), ..RawTls::default() }, "--cacert file.pem: has no certificate"),
            (RawTls { cacert: input("-----BEGIN CERTIFICATE-----\n%%%\n"), ..RawTls::default() }, "PEM"),
            (RawTls { cert: input(KEY), ..RawTls::default() }, "--cert file.pem: has no certificate"),
            (RawTls { cert: input(CERTIFICATE), ..RawTls::default() }, "give it with --key"),
            (
                RawTls { cert: input(CERTIFICATE), key: input("x"), ..RawTls::default() },
                "--key file.pem: has no private",
            ),
            (RawTls { key: input(KEY), ..RawTls::default() }, "give --cert"),
            (RawTls { sni: Some("http://x/".into()), ..RawTls::default() }, "no host name"),
            (RawTls { alpn: Some("http/1.1,".into()), ..RawTls::default() }, "no list of protocols"),
        ] {
            let error = read(&raw).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_is_offered_goes_with_the_http_that_is_asked_for() {
        let offer = |alpn: &str, version| {
            let raw = RawTls { alpn: Some(alpn.into()), ..RawTls::default() };
            Tls::new(&raw, version).map(|tls| tls.alpn.join(" ")).map_err(|error| error.to_string())
        };
        assert_eq!(offer("http/1.1, h2", HttpVersion::Auto), Ok("http/1.1 h2".into()));
        assert_eq!(offer("h2,x", HttpVersion::Http2), Ok("h2 x".into()));
        assert!(offer("h2", HttpVersion::Http1).is_err_and(|error| error.contains("--http 1.1 rules out")));
        assert!(offer("x", HttpVersion::Http2).is_err_and(|error| error.contains("--http 2 needs")));
    }
}
