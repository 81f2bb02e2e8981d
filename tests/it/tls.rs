//! https: whom we trust, what is counted when a handshake fails, and that nothing else changes under TLS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::CertificateParams;
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ServerConfig};

use crate::support::tls::{Authority, Identity, expired, self_signed};
use crate::support::{OK, Peer, Server, bench, measure, on_driver};

const LOCAL: &[&str] = &["localhost", "127.0.0.1"];

/// A server that answers every request.
fn answering(config: Arc<ServerConfig>) -> Server {
    Server::encrypted(config, |peer| while peer.request().is_some() && peer.send(OK) {})
}

/// A server that shows `identity`.
fn showing(authority: &Authority, identity: &Identity) -> Server {
    answering(authority.server(identity, &[&TLS13, &TLS12], false))
}

fn good() -> (Authority, Server) {
    let authority = Authority::new();
    let server = showing(&authority, &authority.issue(LOCAL));
    (authority, server)
}

/// A server under TLS that does as `script` says.
fn scripted(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> (Authority, Server) {
    let authority = Authority::new();
    let config = authority.server(&authority.issue(LOCAL), &[&TLS13, &TLS12], false);
    (authority, Server::encrypted(config, script))
}

fn url(server: &Server) -> String {
    format!("https://{}/", server.addr())
}

/// What a run says that could not open a single connection.
#[track_caller]
fn refused(args: &[&str]) -> String {
    let done = bench(args);
    done.assert_code(2);
    assert_eq!(done.stdout, "");
    done.stderr
}

#[test]
fn a_given_authority_is_trusted_and_the_session_reported() {
    let (authority, server) = good();
    let report = measure(&[&url(&server), "--cacert", &authority.file(), "-n", "50", "-c", "5", "-t", "1"]);
    report.assert_ok(50);
    assert_eq!(report.number("latency_us.tls.count"), 5);
    let tls = report.at("origins.0.tls");
    assert_eq!((tls["version"].as_str(), tls["alpn"].as_str()), (Some("TLSv1_3"), Some("http/1.1")), "{tls}");
    assert!(tls["cipher"].as_str().is_some_and(|cipher| cipher.starts_with("TLS13_")), "{tls}");
}

#[test]
fn both_drivers_speak_tls() {
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            let (authority, server) = good();
            measure(&[&url(&server), "--cacert", &authority.file(), "-n", "200", "-c", "8"]).assert_ok(200);
        });
    }
}

#[test]
fn a_server_that_cannot_be_trusted_is_refused_with_the_reason_and_the_remedy() {
    let authority = Authority::new();
    let ca = authority.file();
    for (identity, args, reason) in [
        (authority.issue(LOCAL), &[][..], "issuer is unknown; give it, or the certificate itself, with --cacert"),
        (self_signed(LOCAL, |_| {}), &[], "issuer is unknown"),
        (self_signed(LOCAL, |_| {}), &["--cacert", &ca], "issuer is unknown"),
        (authority.issue_as(LOCAL, expired), &["--cacert", &ca], "has expired"),
        (authority.issue(&["elsewhere.example"]), &["--cacert", &ca], "not for 127.0.0.1; --sni NAME"),
    ] {
        let server = showing(&authority, &identity);
        let said = refused(&[&[url(&server).as_str(), "-n", "1"], args].concat());
        assert!(said.contains(reason) && !said.contains("is the server up"), "{said}");
        assert!(server.requests().is_empty());
        measure(&[&url(&server), "-k", "-n", "10"]).assert_ok(10);
    }
}

#[test]
fn a_self_signed_certificate_is_trusted_once_it_is_given_but_for_its_name_and_dates() {
    let authority = Authority::new();
    let run = |identity: &Identity, name: &str| {
        let file = authority.write(name, &identity.certificate);
        (showing(&authority, identity), file)
    };
    let (server, file) = run(&self_signed(LOCAL, |_| {}), "good.pem");
    measure(&[&url(&server), "--cacert", &file, "-n", "10"]).assert_ok(10);
    let (server, file) = run(&self_signed(&["elsewhere.example"], |_| {}), "name.pem");
    assert!(refused(&[&url(&server), "--cacert", &file, "-n", "1"]).contains("not for 127.0.0.1"));
    measure(&[&url(&server), "--cacert", &file, "--sni", "elsewhere.example", "-n", "10"]).assert_ok(10);
    let (server, file) = run(&self_signed(LOCAL, expired), "expired.pem");
    assert!(refused(&[&url(&server), "--cacert", &file, "-n", "1"]).contains("has expired"));
    let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    let (server, file) = run(&self_signed(LOCAL, early), "early.pem");
    assert!(refused(&[&url(&server), "--cacert", &file, "-n", "1"]).contains("not valid yet"));
}

#[test]
fn a_client_certificate_is_shown_to_servers_that_ask() {
    let authority = Authority::new();
    for version in [&TLS13, &TLS12] {
        let server = answering(authority.server(&authority.issue(LOCAL), &[version], true));
        let client = authority.issue(&["client.example"]);
        let (url, ca) = (url(&server), authority.file());
        let (cert, key) = (authority.write("c.pem", &client.certificate), authority.write("k.pem", &client.key));
        let both = authority.write("both.pem", &[client.certificate.as_str(), &client.key].concat());
        measure(&[&url, "--cacert", &ca, "--cert", &cert, "--key", &key, "-n", "10"]).assert_ok(10);
        measure(&[&url, "--cacert", &ca, "--cert", &both, "-n", "10"]).assert_ok(10);
        let other = authority.write("other.pem", &authority.issue(&["x.example"]).key);
        assert!(refused(&[&url, "--cacert", &ca, "--cert", &cert, "--key", &other]).contains("--cert, --key: "));
        // Under TLS 1.3 the server refuses only after the handshake: the connection opens and the request fails.
        let report = measure(&[&url, "--cacert", &ca, "-n", "5", "-c", "1", "--start-anyway"]);
        report.assert_failures("tls", 5);
    }
}

#[test]
fn the_lowest_version_is_kept() {
    let authority = Authority::new();
    let server = answering(authority.server(&authority.issue(LOCAL), &[&TLS12], false));
    let (url, ca) = (url(&server), authority.file());
    let report = measure(&[&url, "--cacert", &ca, "-n", "10"]);
    report.assert_ok(10);
    assert_eq!(report.at("origins.0.tls.version"), "TLSv1_2");
    let said = refused(&[&url, "--cacert", &ca, "--tls-min", "1.3", "-n", "1"]);
    assert!(said.contains("refused the handshake") || said.contains("version"), "{said}");
}

#[test]
fn sessions_are_resumed_unless_told_otherwise() {
    for (args, resumed) in [(&[][..], true), (&["--tls-session-reuse", "false"][..], false)] {
        let kinds = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&kinds);
        let (authority, server) = scripted(move |peer| {
            if peer.request().is_some() && peer.send(OK) {
                seen.lock().expect("no script panics with the lock").extend(peer.handshake());
                peer.stall();
            }
        });
        let (url, ca) = (url(&server), authority.file());
        let all = [&[&url, "--cacert", &ca, "-n", "20", "-c", "1", "--keep-alive", "false"], args].concat();
        let report = measure(&all);
        report.assert_ok(20);
        assert_eq!(report.number("latency_us.tls.count"), 20);
        let kinds = kinds.lock().expect("no script panics with the lock");
        let by_server = kinds.iter().filter(|&&kind| kind == HandshakeKind::Resumed).count() as u64;
        assert_eq!(report.number("counts.tls_resumed"), by_server, "{kinds:?}");
        assert_eq!(by_server > 15, resumed, "{kinds:?}");
    }
}

#[test]
fn bodies_of_all_framings_arrive_whole() {
    let large = "x".repeat(1 << 20);
    for answer in [
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{large}", large.len()),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{large}\r\n0\r\n\r\n", large.len()),
        format!("HTTP/1.1 200 OK\r\n\r\n{large}"),
    ] {
        let until_close = !answer.contains("ength") && !answer.contains("chunked");
        let size = answer.len() as u64;
        let (authority, server) = scripted(move |peer| {
            while peer.request().is_some() && peer.send(answer.as_bytes()) {
                if until_close {
                    return peer.close();
                }
            }
        });
        let report = measure(&[&url(&server), "--cacert", &authority.file(), "-n", "8", "-c", "2"]);
        report.assert_ok(8);
        assert_eq!(report.number("bytes.in"), 8 * size, "HTTP bytes, above TLS");
    }
}

#[test]
fn large_requests_arrive_whole() {
    let (authority, server) = good();
    let body = "b".repeat(300_000);
    let from_file = format!("@{}", authority.write("body.txt", &body));
    measure(&[&url(&server), "--cacert", &authority.file(), "-b", &from_file, "-n", "4", "-c", "2"]).assert_ok(4);
    assert!(server.requests().iter().all(|request| request.body == body.as_bytes()));
}

#[test]
fn an_end_without_farewell_is_no_end_of_a_body_without_length() {
    let (authority, server) = scripted(|peer| {
        if peer.request().is_some() && peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf a bo") {
            peer.hang_up();
        }
    });
    let report = measure(&[&url(&server), "--cacert", &authority.file(), "-n", "4", "-c", "1"]);
    report.assert_failures("closed_early", 4);
}

#[test]
fn a_connection_that_the_server_closed_is_dialled_again() {
    let (authority, server) = scripted(|peer| {
        if peer.request().is_some() && peer.send(OK) {
            peer.close();
        }
    });
    let report = measure(&[&url(&server), "--cacert", &authority.file(), "-n", "5", "-c", "1", "-R", "20"]);
    report.assert_ok(5);
    assert!(report.count("redials") > 0);
}

#[test]
fn a_server_that_stops_in_the_middle_of_a_handshake_costs_its_time_limit() {
    let server = Server::silent();
    let args = [&url(&server), "-n", "2", "-c", "2", "--connect-timeout", "200ms", "--start-anyway"];
    measure(&args).assert_failures("connect_timeout", 2);
}

#[test]
fn a_server_that_speaks_no_tls_is_told_from_one_that_closes() {
    let plain = Server::start(|peer| {
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        peer.close();
    });
    assert!(refused(&[&url(&plain), "-n", "1"]).contains("not TLS; is it an http:// port?"));
    let closing = Server::start(Peer::close);
    let said = refused(&[&url(&closing), "-n", "1"]);
    assert!(said.contains("closed during the handshake"), "{said}");
    let args = [&url(&closing), "-n", "3", "-c", "1", "--start-anyway"];
    measure(&args).assert_failures("tls", 3);
}

#[test]
fn garbage_after_the_handshake_is_a_failure_of_tls() {
    // Bytes that are no TLS record, past the server's own TLS.
    let (authority, server) = scripted(|peer| {
        if peer.request().is_some() {
            peer.send_raw(b"\x17\x03\x03\x00\x20garbage that no key has made.....");
            peer.sleep(Duration::from_millis(200));
        }
    });
    let report = measure(&[&url(&server), "--cacert", &authority.file(), "-n", "3", "-c", "1"]);
    report.assert_failures("tls", 3);
}

#[test]
fn cleartext_and_encrypted_origins_share_a_run() {
    let (authority, server) = good();
    let plain = Server::answering(OK);
    let args = [&url(&server), &plain.url("/"), "--cacert", &authority.file(), "--once", "-c", "2", "-t", "1"];
    let report = measure(&args);
    report.assert_ok(2);
    assert!(report.at("origins.0.tls").is_object() && report.at("origins.1.tls").is_null());
}
