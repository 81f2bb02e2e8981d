//! Proxies that others wrote: squid, tinyproxy and microsocks, each with user and password.

use std::fs;
use std::process::Command;
use std::sync::Arc;

use rustls::version::TLS13;

use crate::support::daemon::Daemon;
use crate::support::tls::Authority;
use crate::support::{OK, Server, bench, dead_port, frames, measure, on_driver};

pub(crate) const USER: &str = "me:hush-4711";
/// Of that password, as `openssl passwd -1` makes it.
const SQUID_USER: &str = "me:$1$ringload$Sm4antOnIPcJSKtBtRs8s0\n";
/// A name that squid alone can look up.
const KNOWN_TO_SQUID: &str = "known-to-the-proxy.test";

/// What a client says of a proxy.
pub(crate) fn through(proxy: &Daemon, scheme: &str, user: &str) -> String {
    let at = if user.is_empty() { "" } else { "@" };
    format!("{scheme}://{user}{at}127.0.0.1:{}", proxy.port)
}

/// squid; its port speaks TLS where there is an authority for its certificate.
pub(crate) fn squid(authority: Option<&Authority>) -> Daemon {
    Daemon::start(|folder, port| {
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("a file");
        let path = folder.display();
        let listen = match authority {
            Some(authority) => {
                let identity = authority.issue(&["127.0.0.1"]);
                write("squid.pem", &[identity.certificate, identity.key].concat());
                format!("https_port 127.0.0.1:{port} tls-cert={path}/squid.pem")
            }
            None => format!("http_port 127.0.0.1:{port}"),
        };
        write("users", SQUID_USER);
        write("hosts", &format!("127.0.0.1 localhost {KNOWN_TO_SQUID}\n"));
        let config = format!(
            "{listen}\n\
             auth_param basic program /usr/lib/squid/basic_ncsa_auth {path}/users\n\
             auth_param basic children 1\n\
             acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n\
             cache deny all\ncache_mem 8 MB\nhosts_file {path}/hosts\npid_filename {path}/pid\n\
             cache_log {path}/cache.log\naccess_log stdio:{path}/access.log\n\
             pinger_enable off\nshutdown_lifetime 0 seconds\nvisible_hostname ringload.test\n"
        );
        write("squid.conf", &config);
        let mut command = Command::new("squid");
        command.arg("-N").arg("-f").arg(folder.join("squid.conf"));
        command
    })
}

pub(crate) fn tinyproxy() -> Daemon {
    Daemon::start(|folder, port| {
        let config = format!(
            "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 100\nBasicAuth me hush-4711\nPidFile \"{}/pid\"\n",
            folder.display()
        );
        fs::write(folder.join("tinyproxy.conf"), config).expect("a file");
        let mut command = Command::new("tinyproxy");
        command.arg("-d").arg("-c").arg(folder.join("tinyproxy.conf"));
        command
    })
}

pub(crate) fn microsocks() -> Daemon {
    Daemon::start(|_, port| {
        let mut command = Command::new("microsocks");
        command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "me", "-P", "hush-4711"]);
        command
    })
}

/// An https origin on loopback, with whom to trust.
fn encrypted() -> (Authority, Server) {
    let authority = Authority::new();
    let names = &["localhost", "127.0.0.1", KNOWN_TO_SQUID];
    let config = authority.server(&authority.issue(names), &[&TLS13], false);
    (authority, Server::encrypted(config, |peer| while peer.request().is_some() && peer.send(OK) {}))
}

fn https(host: &str, server: &Server) -> String {
    format!("https://{host}:{}/", server.addr().port())
}

/// Measures 40 requests on 4 connections to both an http and an https origin through this proxy; all must succeed.
#[track_caller]
fn carries(proxy: &str) {
    let plain = Server::answering(OK);
    measure(&[&plain.url("/a?b"), "-x", proxy, "-n", "40", "-c", "4"]).assert_ok(40);
    let (authority, server) = encrypted();
    let args = [&https("localhost", &server), "-x", proxy, "--cacert", &authority.file(), "-n", "40", "-c", "4"];
    let report = measure(&args);
    report.assert_ok(40);
    assert!(report.number("latency_us.tls.count") >= 4 && report.number("latency_us.connect.count") >= 4);
    let paths = plain.paths();
    assert!(paths.len() == 40 && paths.iter().all(|path| path == "/a?b"), "{paths:?}");
    // Neither origin is told who we are to the proxy.
    let requests = [plain.requests(), server.requests()].concat();
    let told = |header: &String| header.to_ascii_lowercase().starts_with("proxy-authorization");
    assert!(!requests.iter().any(|request| request.headers.iter().any(told)), "{requests:?}");
}

/// The run fails with `proxy` and this reason where the tunnel is refused before the run, and while it lasts.
#[track_caller]
fn refuses(args: &[&str], reason: &str) {
    let done = bench(&[args, &["-n", "4", "-c", "1"]].concat());
    done.assert_code(2);
    assert!(done.stderr.contains(reason), "{}", done.stderr);
    let report = measure(&[args, &["-n", "4", "-c", "1", "--start-anyway"]].concat());
    report.assert_failures("proxy", 4);
    let said = report.at("failure_reasons.proxy").as_str().unwrap_or_default();
    assert!(said.contains(reason), "{said}");
}

#[test]
fn squid_forwards_and_tunnels_with_a_password_on_both_drivers() {
    let squid = squid(None);
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || carries(&through(&squid, "http", USER)));
    }
    let log = fs::read_to_string(squid.folder.path().join("access.log")).expect("an access log");
    let count = |what: &str| log.lines().filter(|line| line.contains(what) && line.contains(" me ")).count();
    // Two runs of four connections, each with a look before it.
    assert_eq!((count("GET http://127.0.0.1:"), count("CONNECT localhost:")), (80, 10), "{log}");
}

#[test]
fn squid_looks_up_the_names_that_only_it_knows() {
    let (squid, plain) = (squid(None), Server::answering(OK));
    let url = format!("http://{KNOWN_TO_SQUID}:{}/", plain.addr().port());
    measure(&[&url, "-x", &through(&squid, "http", USER), "-n", "10", "-c", "2"]).assert_ok(10);
    let (authority, server) = encrypted();
    let args = [&https(KNOWN_TO_SQUID, &server), "-x", &through(&squid, "http", USER), "--cacert", &authority.file()];
    let report = measure(&[&args[..], &["-n", "10", "-c", "2"]].concat());
    report.assert_ok(10);
    assert_eq!(report.at("origins.0.addresses").as_array().map(Vec::len), Some(0));
    assert_eq!(report.at("origins.0.proxied"), true);
    assert_eq!(report.at("origins.0.tls.version"), "TLSv1_3", "the first look goes through the proxy too");
}

#[test]
fn squid_is_spoken_to_under_tls_and_carries_tls_in_it() {
    let authority = Authority::new();
    let squid = squid(Some(&authority));
    let proxy = through(&squid, "https", USER);
    let large = [b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".as_slice(), &[b'x'; 100_000]].concat();
    let plain = Server::answering(large);
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            let args = [&plain.url("/"), "-x", &proxy, "--cacert", &authority.file(), "-n", "40", "-c", "4"];
            let report = measure(&args);
            report.assert_ok(40);
            assert_eq!(report.number("latency_us.tls.count"), 0, "no handshake with an origin");
            let config = authority.server(&authority.issue(&["localhost"]), &[&TLS13], false);
            let server = Server::encrypted(config, |peer| while peer.request().is_some() && peer.send(OK) {});
            let url = https("localhost", &server);
            let report = measure(&[&url, "-x", &proxy, "--cacert", &authority.file(), "-n", "40", "-c", "4"]);
            report.assert_ok(40);
            assert!(report.number("latency_us.tls.count") >= 4 && report.at("origins.0.tls").is_null());
        });
    }
    let done = bench(&[&plain.url("/"), "-x", &proxy, "-n", "1"]);
    done.assert_code(2);
    assert!(
        done.stderr.contains(&format!("TLS with proxy https://127.0.0.1:{}: the certificate's issuer", squid.port))
    );
}

#[test]
fn squid_and_microsocks_carry_http_2_and_pipelines() {
    let authority = Authority::new();
    let (cleartext, encrypted, microsocks) = (squid(None), squid(Some(&authority)), microsocks());
    let mut config = (*authority.server(&authority.issue(&["localhost"]), &[&TLS13], false)).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let server = Server::encrypted(Arc::new(config), frames::answering(|_, stream| Some(frames::ok(stream))));
    let (url, ca) = (https("localhost", &server), authority.file());
    let proxies =
        [through(&cleartext, "http", USER), through(&encrypted, "https", USER), through(&microsocks, "socks5h", USER)];
    for proxy in &proxies {
        for driver in ["io_uring", "epoll"] {
            on_driver(driver, || {
                let args = [&url, "-x", proxy, "--cacert", &ca, "-n", "200", "-c", "2", "--streams", "8"];
                measure(&args).assert_ok(200);
            });
        }
    }
    // By prior knowledge in a tunnel; where requests are forwarded there is none.
    let server = Server::start(frames::answering(|_, stream| Some(frames::ok(stream))));
    measure(&[&server.url("/"), "-x", &proxies[2], "--http", "2", "-n", "20", "-c", "2"]).assert_ok(20);
    let plain = Server::answering(OK);
    measure(&[&plain.url("/"), "-x", &proxies[2], "--pipeline", "4", "-n", "40", "-c", "2"]).assert_ok(40);
    let refused = bench(&[&server.url("/"), "-x", &proxies[0], "--http", "2", "-n", "20"]);
    refused.assert_code(2);
    assert!(refused.stderr.contains("what a proxy forwards is HTTP/1.1 by turns"), "{}", refused.stderr);
}

#[test]
fn squid_refuses_who_has_no_password_and_what_it_cannot_reach() {
    let squid = squid(None);
    let (_, server) = encrypted();
    let url = https("localhost", &server);
    for user in ["", "me:wrong"] {
        refuses(
            &[&url, "-x", &through(&squid, "http", user)],
            "407 Proxy Authentication Required: check user and password",
        );
        // A proxy that forwards is asked with each request, and refuses each.
        let plain = Server::answering(OK);
        let report = measure(&[&plain.url("/"), "-x", &through(&squid, "http", user), "-n", "4", "-c", "1"]);
        report.assert_failures("proxy", 4);
        assert!(report.at("failure_reasons.proxy").as_str().is_some_and(|said| said.contains(": 407 Proxy")));
        assert_eq!(plain.accepted(), 0);
    }
    let nobody = format!("https://127.0.0.1:{}/", dead_port());
    refuses(&[&nobody, "-x", &through(&squid, "http", USER)], "it refused the tunnel with status 503");
}

#[test]
fn tinyproxy_forwards_and_tunnels_with_a_password() {
    let tinyproxy = tinyproxy();
    carries(&through(&tinyproxy, "http", USER));
    let (_, server) = encrypted();
    refuses(
        &[&https("localhost", &server), "-x", &through(&tinyproxy, "http", "me:wrong")],
        "refused the tunnel with status",
    );
}

#[test]
fn microsocks_takes_names_and_addresses_with_a_password() {
    let microsocks = microsocks();
    for scheme in ["socks5", "socks5h"] {
        carries(&through(&microsocks, scheme, USER));
    }
    let plain = Server::answering(OK);
    refuses(&[&plain.url("/"), "-x", &through(&microsocks, "socks5", "")], "it takes nobody without credentials");
    refuses(&[&plain.url("/"), "-x", &through(&microsocks, "socks5", "me:wrong")], "it refused user and password");
    let nobody = format!("http://127.0.0.1:{}/", dead_port());
    refuses(&[&nobody, "-x", &through(&microsocks, "socks5h", USER)], "connection refused (SOCKS reply 5)");
}
