//! Who is believed to be the server: rustls's rules, with two exceptions that testing asks for.
//!
//! A certificate that `--cacert` names itself is trusted as it stands, as curl does, even one marked as an authority's,
//! which webpki refuses as a server's own (name and dates are still checked); `--insecure` believes anyone who holds
//! the key of what is shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::plan::tls::Trust;

/// Judges each certificate that a full handshake shows, and counts them.
#[derive(Debug)]
pub(super) struct Judge {
    /// `None` believes anyone.
    rules: Option<Arc<WebPkiServerVerifier>>,
    /// Trusted as they stand.
    given: Vec<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    judged: Arc<AtomicU64>,
}

impl Judge {
    pub(super) fn new(
        trust: &Trust,
        roots: Arc<RootCertStore>,
        provider: &Arc<CryptoProvider>,
        judged: Arc<AtomicU64>,
    ) -> Result<Self, String> {
        let rules = match trust {
            Trust::Anyone => None,
            Trust::System | Trust::Only(_) => {
                let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
                Some(built.map_err(|error| format!("no trusted roots: {error}"))?)
            }
        };
        let given = match trust {
            Trust::Only(certificates) => certificates.clone(),
            Trust::System | Trust::Anyone => Vec::new(),
        };
        Ok(Self { rules, given, algorithms: provider.signature_verification_algorithms, judged })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judged.fetch_add(1, Ordering::Relaxed);
        let Some(rules) = &self.rules else { return Ok(ServerCertVerified::assertion()) };
        if self.given.iter().any(|given| given == end_entity) {
            check_dates(end_entity, now)?;
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        rules.verify_server_cert(end_entity, intermediates, name, ocsp_response, now).map_err(|error| match error {
            // What webpki says of a self-signed certificate that is marked as an authority's helps nobody.
            Error::InvalidCertificate(CertificateError::Other(_)) if vouches_for_itself(end_entity) => {
                CertificateError::UnknownIssuer.into()
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn vouches_for_itself(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.issuer() == parsed.subject())
}

/// Whether `now` lies between the certificate's two dates (RFC 5280 section 4.1.2.5).
fn check_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let now = i64::try_from(now.as_secs()).map_err(|_| CertificateError::Expired)?;
    let validity = parsed.validity();
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}
