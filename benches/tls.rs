//! What TLS 1.3 costs a client: handshakes, full and resumed, and records; with `--features aws-lc-rs`, by that provider
//! of cryptography too, and with servers that have an RSA key, which ring does not make.
//!
//! In memory, without sockets; CPU time of the client's part alone, the server's (by the same provider throughout) is
//! not counted. A full handshake verifies a chain of one certificate and the server's signature, and takes in the
//! server's two tickets. Rounds alternate between the providers; printed, not asserted.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod common {
    pub(crate) mod rounds;
}

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use common::rounds;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SignatureAlgorithm};
use ringload::clock;
use ringload::units::Nanos;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection, version,
};

const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];
/// Bytes of plain text in a record: an answer's head or a small answer, and the most that fits.
const RECORDS: [usize; 2] = [200, 16 * 1024];

/// A server's certificate, its key, and whom to trust for it.
struct Identity {
    name: &'static str,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

impl Identity {
    fn new(name: &'static str, algorithm: &'static SignatureAlgorithm) -> Self {
        let key = || KeyPair::generate_for(algorithm).expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = key();
        let root = params.self_signed(&root_key).expect("a root");
        let own_key = key();
        let own = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let leaf = own.signed_by(&own_key, &Issuer::new(params, root_key)).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).expect("a root");
        let key = PrivateKeyDer::try_from(own_key.serialize_der()).expect("PKCS#8");
        Self { name, chain: vec![leaf.der().clone()], key, roots: Arc::new(roots) }
    }

    fn server(&self, suite: CipherSuite) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(only(ring::default_provider(), suite));
        let builder = builder.with_protocol_versions(&[&version::TLS13]).expect("a suite of TLS 1.3");
        let config = builder.with_no_client_auth().with_single_cert(self.chain.clone(), self.key.clone_key());
        let mut config = config.expect("a key that belongs to its certificate");
        // As nginx does: sessions are the client's to keep.
        config.ticketer = ring::Ticketer::new().expect("a ticketer");
        Arc::new(config)
    }

    fn client(&self, provider: &CryptoProvider, suite: CipherSuite, resumption: Resumption) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(only(provider.clone(), suite));
        let builder = builder.with_protocol_versions(&[&version::TLS13]).expect("a suite of TLS 1.3");
        let mut config = builder.with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.resumption = resumption;
        Arc::new(config)
    }
}

/// The provider, with no other suite.
fn only(mut provider: CryptoProvider, suite: CipherSuite) -> Arc<CryptoProvider> {
    provider.cipher_suites.retain(|one| one.suite() == suite);
    Arc::new(provider)
}

/// Both ends of a connection, and what the client's part has taken so far.
struct Connection {
    client: ClientConnection,
    server: ServerConnection,
    client_cpu: Nanos,
}

impl Connection {
    /// A connection after its handshake.
    fn open(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Self {
        let mut server = ServerConnection::new(Arc::clone(server)).expect("a server");
        let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
        let name = ServerName::try_from("localhost").expect("a name");
        let started = clock::thread_cpu();
        let mut client = ClientConnection::new(Arc::clone(client), name).expect("a client");
        let mut client_cpu = since(started);
        loop {
            let started = clock::thread_cpu();
            feed(&to_client, |bytes| {
                client.read_tls(bytes).expect("room");
                client.process_new_packets().expect("a sound server");
            });
            while client.wants_write() {
                client.write_tls(&mut to_server).expect("memory can be written");
            }
            client_cpu.0 += since(started).0;
            if to_server.is_empty() {
                assert!(!client.is_handshaking() && !server.is_handshaking());
                return Self { client, server, client_cpu };
            }
            feed(&to_server, |bytes| {
                server.read_tls(bytes).expect("room");
                server.process_new_packets().expect("a sound client");
            });
            to_server.clear();
            to_client.clear();
            while server.wants_write() {
                server.write_tls(&mut to_client).expect("memory can be written");
            }
        }
    }

    /// The client writes `count` records of `text`; what they took.
    fn write(&mut self, text: &[u8], count: usize, wire: &mut Vec<u8>) -> Nanos {
        let started = clock::thread_cpu();
        for _ in 0..count {
            wire.clear();
            self.client.writer().write_all(text).expect("memory can be written");
            self.client.write_tls(wire).expect("memory can be written");
            black_box(&wire);
        }
        since(started)
    }

    /// The client reads `count` records like `text`; what they took.
    fn read(&mut self, text: &[u8], count: usize, wire: &mut Vec<u8>) -> Nanos {
        wire.clear();
        for _ in 0..count {
            self.server.writer().write_all(text).expect("memory can be written");
            self.server.write_tls(wire).expect("memory can be written");
        }
        let mut plain = vec![0; text.len()];
        let record = wire.len() / count;
        let started = clock::thread_cpu();
        for bytes in wire.chunks(record) {
            feed(bytes, |bytes| {
                self.client.read_tls(bytes).expect("room");
                self.client.process_new_packets().expect("a sound record");
            });
            self.client.reader().read_exact(&mut plain).expect("the whole record");
            black_box(&plain);
        }
        since(started)
    }
}

/// Gives all of `bytes` to `take`, which takes as much as it likes at a time.
fn feed(mut bytes: &[u8], mut take: impl FnMut(&mut &[u8])) {
    while !bytes.is_empty() {
        take(&mut bytes);
    }
}

fn since(started: Nanos) -> Nanos {
    Nanos(clock::thread_cpu().0 - started.0)
}

/// How many rounds, and how many operations in each.
struct Rounds {
    rounds: usize,
    handshakes: usize,
    records: usize,
}

fn main() {
    // Small, where `cargo test` asks.
    let full = rounds::in_full();
    let rounds = Rounds {
        // Many and short, so that what else the machine does meets both of a round.
        rounds: if full { 101 } else { 1 },
        handshakes: if full { 40 } else { 1 },
        records: if full { 4_000 } else { 2 },
    };
    let ecdsa = Identity::new("ecdsa_p256", &rcgen::PKCS_ECDSA_P256_SHA256);
    rounds.handshakes(&ecdsa);
    #[cfg(feature = "aws-lc-rs")]
    rounds.handshakes(&Identity::new("rsa_2048", &rcgen::PKCS_RSA_SHA256));
    for suite in SUITES {
        rounds.records(&ecdsa, suite);
    }
}

/// The one the program uses first.
fn providers() -> Vec<Provider> {
    vec![
        Provider { name: "ring", crypto: ring::default_provider() },
        #[cfg(feature = "aws-lc-rs")]
        Provider { name: "aws-lc-rs", crypto: rustls::crypto::aws_lc_rs::default_provider() },
    ]
}

struct Provider {
    name: &'static str,
    crypto: CryptoProvider,
}

impl Rounds {
    fn handshakes(&self, identity: &Identity) {
        let suite = SUITES[0];
        let server = identity.server(suite);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let clients: Vec<_> = providers()
                .iter()
                .map(|provider| {
                    let resumption = match kind {
                        HandshakeKind::Resumed => Resumption::in_memory_sessions(8),
                        _ => Resumption::disabled(),
                    };
                    let client = identity.client(&provider.crypto, suite, resumption);
                    // The session to resume.
                    Connection::open(&client, &server);
                    client
                })
                .collect();
            let name = format!("handshake/{kind:?}_{}", identity.name).to_lowercase();
            self.compare(&name, self.handshakes, |provider| {
                let handshakes = (0..self.handshakes).map(|_| {
                    let opened = Connection::open(&clients[provider], &server);
                    assert_eq!(opened.client.handshake_kind(), Some(kind));
                    opened.client_cpu.0
                });
                Nanos(handshakes.sum())
            });
        }
    }

    fn records(&self, identity: &Identity, suite: CipherSuite) {
        let server = identity.server(suite);
        let client = |provider: &Provider| identity.client(&provider.crypto, suite, Resumption::disabled());
        let mut connections: Vec<_> =
            providers().iter().map(|provider| Connection::open(&client(provider), &server)).collect();
        let suite = format!("{suite:?}").replace("TLS13_", "").to_lowercase();
        let mut wire = Vec::new();
        for (length, count) in RECORDS.into_iter().zip([self.records, (self.records / 10).max(1)]) {
            let text = vec![b'x'; length];
            self.compare(&format!("write/{length}_{suite}"), count, |provider| {
                connections[provider].write(&text, count, &mut wire)
            });
            self.compare(&format!("read/{length}_{suite}"), count, |provider| {
                connections[provider].read(&text, count, &mut wire)
            });
        }
    }

    /// Rounds of all providers in turn; `run` does `count` operations of the provider by number.
    fn compare(&self, name: &str, count: usize, mut run: impl FnMut(usize) -> Nanos) {
        let providers = providers();
        let mut ns = vec![Vec::new(); providers.len()];
        for round in 0..self.rounds {
            for turn in 0..providers.len() {
                let provider = (round + turn) % providers.len();
                ns[provider].push(run(provider).0 as f64 / count as f64);
            }
        }
        for (provider, own) in providers.iter().zip(&ns) {
            println!("{name}: {} {} ns", provider.name, rounds::spread(&mut own.clone(), 0));
        }
        for (provider, own) in providers.iter().zip(&ns).skip(1) {
            let mut ratios: Vec<_> = own.iter().zip(&ns[0]).map(|(own, first)| own / first).collect();
            println!("{name}: {} to {} {}", provider.name, providers[0].name, rounds::spread(&mut ratios, 3));
        }
    }
}
