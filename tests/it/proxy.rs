//! Scripted proxies: who is asked for what, in which turn, and what becomes of those that misbehave.

use std::time::Duration;

use crate::support::{OK, Peer, Server, bench, dead_port, file, measure, ringload};

/// A proxy that answers every forwarded request itself.
fn forwarding() -> Server {
    Server::answering(OK)
}

/// A SOCKS proxy without a password that leads everywhere to `to`; what it was told of targets is among its requests.
fn socks(to: &Server) -> Server {
    let to = to.addr();
    Server::start(move |peer| {
        if greeted(peer).is_some() {
            peer.relay(to);
        }
    })
}

fn greeted(peer: &mut Peer) -> Option<()> {
    peer.take(3)?;
    peer.send(&[5, 0]).then_some(())?;
    let head = peer.take(5)?;
    let more = if head[3] == 3 { usize::from(head[4]) + 2 } else { 3 + 2 };
    let rest = peer.take(more)?;
    peer.told(&[&head[3..], &rest].concat());
    peer.send(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]).then_some(())
}

/// A proxy that says this to whatever it is asked, and then what `after` does.
fn saying(answer: impl Into<Vec<u8>>, after: impl Fn(&mut Peer) + Send + Sync + 'static) -> Server {
    let answer = answer.into();
    Server::start(move |peer| {
        if peer.request().is_some() && peer.send(&answer) {
            after(peer);
        }
    })
}

fn proxy(server: &Server) -> String {
    format!("http://{}", server.addr())
}

#[test]
fn a_forwarded_request_has_the_whole_url_and_the_credentials_of_its_proxy() {
    let (one, two) = (forwarding(), forwarding());
    let with = |user: &str, server: &Server| format!("http://{user}@{}", server.addr());
    let (first, second) = (with("a:b", &one), with("c:d", &two));
    for urls in [&["http://origin.test:81/x?y"][..], &["http://origin.test:81/x?y", "http://origin.test:81/x?y"]] {
        let args = [urls, &["-x", &first, "-x", &second, "-n", "40", "-c", "4", "-t", "1"]].concat();
        let report = measure(&args);
        report.assert_ok(40);
        assert_eq!(report.at("plan.proxies.list.0.url"), &format!("http://***@{}", one.addr()));
    }
    for (server, code) in [(&one, "YTpi"), (&two, "Yzpk")] {
        let requests = server.requests();
        assert!(requests.len() > 1);
        for request in requests {
            assert_eq!(request.line, "GET http://origin.test:81/x?y HTTP/1.1");
            assert!(request.headers.contains(&"Host: origin.test:81".to_owned()), "{request:?}");
            assert_eq!(request.headers.last(), Some(&format!("Proxy-Authorization: Basic {code}")), "{request:?}");
        }
    }
}

#[test]
fn connections_take_proxies_in_turn_forwarding_or_not() {
    let origin = Server::answering(OK);
    let (forward, tunnel) = (forwarding(), socks(&origin));
    let url = origin.url("/x");
    let (first, second) = (proxy(&forward), format!("socks5://{}", tunnel.addr()));
    let args = [&url, "-x", &first, "-x", &second, "-n", "60", "-c", "6", "-t", "1"];
    measure(&args).assert_ok(60);
    assert_eq!((forward.accepted(), tunnel.accepted()), (3, 3));
    assert!(forward.requests().iter().all(|request| request.line.starts_with(&format!("GET {url} "))));
    assert!(origin.requests().iter().all(|request| request.line == "GET /x HTTP/1.1"));
    assert_eq!(forward.requests().len() + origin.requests().len(), 60);
}

#[test]
fn socks_is_told_addresses_or_names() {
    let origin = Server::answering(OK);
    let port = origin.addr().port().to_be_bytes();
    for (scheme, host, told) in [
        ("socks5", "127.0.0.1", [&[1, 127, 0, 0, 1][..], &port].concat()),
        ("socks5", "localhost", [&[1, 127, 0, 0, 1][..], &port].concat()),
        ("socks5h", "known.test", [&[3, 10][..], b"known.test", &port].concat()),
        ("socks5h", "127.0.0.1", [&[1, 127, 0, 0, 1][..], &port].concat()),
    ] {
        let socks = socks(&origin);
        let url = format!("http://{host}:{}/", origin.addr().port());
        let through = format!("{scheme}://{}", socks.addr());
        measure(&[&url, "-x", &through, "-n", "4", "-c", "2"]).assert_ok(4);
        let all = socks.requests();
        assert!(all.iter().all(|request| request.body == told), "{scheme} {host}: {all:?}");
    }
}

#[test]
fn a_socks_proxy_is_told_the_next_address_where_one_is_refused() {
    let origin = Server::answering(OK);
    let (to, port) = (origin.addr(), origin.addr().port());
    let socks = Server::start(move |peer| {
        peer.take(3);
        peer.send(&[5, 0]);
        let told = peer.take(10).unwrap_or_default();
        peer.told(&told);
        if told.get(4..8) == Some(&[127, 0, 0, 9]) {
            peer.send(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
            return peer.close();
        }
        peer.send(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 80]);
        peer.relay(to);
    });
    let url = format!("http://two.test:{port}/");
    let given = format!("two.test:{port}:127.0.0.9,127.0.0.1");
    let proxy = format!("socks5://{}", socks.addr());
    let args = [&url, "-x", &proxy, "--resolve", &given, "-n", "20", "-c", "2", "--keep-alive", "false"];
    measure(&args).assert_ok(20);
    let told = |last: u8| socks.requests().iter().filter(|request| request.body[7] == last).count();
    assert!(told(9) >= 10 && told(1) >= 20, "{} {}", told(9), told(1));
}

#[test]
fn a_tunnel_leads_elsewhere_and_begins_where_it_is_told() {
    let origin = Server::answering(OK);
    let socks = socks(&origin);
    let elsewhere = "known.test:80:127.0.0.7:8080";
    let proxy = format!("socks5h://proxy.test:{}", socks.addr().port());
    let given = format!("proxy.test:{}:127.0.0.1", socks.addr().port());
    let args = ["http://known.test/", "-x", &proxy, "--connect-to", elsewhere, "--resolve", &given];
    for dns in ["once", "per-connection"] {
        let more = ["--source", "127.0.0.5", "--dns", dns, "-n", "4", "-c", "2"];
        measure(&[&args[..], &more].concat()).assert_ok(4);
    }
    let told = [&[1, 127, 0, 0, 7][..], &8080u16.to_be_bytes()].concat();
    assert!(socks.requests().iter().all(|request| request.body == told), "{:?}", socks.requests());
    assert!(origin.requests().iter().all(|request| request.headers.contains(&"Host: known.test".to_owned())));
    let local = format!("socks5://localhost:{}", socks.addr().port());
    let url = format!("http://localhost:{}/", origin.addr().port());
    measure(&[&url, "-4", "-x", &local, "--dns", "per-connection", "-n", "8", "-c", "2"]).assert_ok(8);
}

#[test]
fn who_is_spared_is_reached_without() {
    let (origin, through) = (Server::answering(OK), forwarding());
    let (url, proxy) = (origin.url("/"), proxy(&through));
    for spared in ["127.0.0.1", "*", "10.0.0.1, 127.0.0.0/8"] {
        let report = measure(&[&url, "-x", &proxy, "--noproxy", spared, "-n", "4"]);
        report.assert_ok(4);
        assert_eq!(report.at("origins.0.proxied"), false);
    }
    assert_eq!((origin.requests().len(), through.accepted()), (12, 0));
    measure(&[&url, "-x", &proxy, "--noproxy", "10.0.0.0/8,localhost", "-n", "4"]).assert_ok(4);
    assert_eq!((origin.requests().len(), through.requests().len()), (12, 4));
}

#[test]
fn the_environment_counts_only_where_it_is_asked_for() {
    let (origin, through) = (Server::answering(OK), forwarding());
    let (url, proxy) = (origin.url("/"), proxy(&through));
    let run = |args: &[&str], variables: &[(&str, &str)]| {
        let all = [&["bench", &url, "-n", "4"], args].concat();
        let mut command = crate::support::program::command(&all);
        command.envs(variables.iter().copied());
        let finished = crate::support::Program::spawn(&mut command).finish();
        finished.assert_code(0);
    };
    run(&[], &[("http_proxy", &proxy), ("ALL_PROXY", &proxy)]);
    run(&["--proxy-from-env"], &[("HTTP_PROXY", &proxy), ("https_proxy", &proxy)]);
    run(&["--proxy-from-env"], &[("http_proxy", &proxy), ("no_proxy", "127.0.0.1")]);
    assert_eq!((origin.requests().len(), through.accepted()), (12, 0));
    run(&["--proxy-from-env"], &[("http_proxy", &proxy)]);
    run(&["--proxy-from-env", "--noproxy", "other.test"], &[("ALL_PROXY", &proxy), ("no_proxy", "*")]);
    run(&["-x", "env:MINE"], &[("MINE", &proxy)]);
    assert_eq!((origin.requests().len(), through.requests().len()), (12, 12));
}

#[test]
fn a_proxy_that_is_down_is_no_failure_while_another_is_up() {
    let up = forwarding();
    let (down, proxy) = (format!("http://127.0.0.1:{}", dead_port()), proxy(&up));
    let args = ["http://origin.test/", "-x", &down, "-x", &proxy, "-n", "200", "-c", "8", "--keep-alive", "false"];
    let report = measure(&args);
    report.assert_ok(200);
    let said = report.at("failure_reasons.connect").as_str().unwrap_or_default();
    assert_eq!(said, format!("proxy {down}: refused"), "no request felt it, and it is told");
    let done = bench(&["http://origin.test/", "-x", &down, "-n", "4"]);
    done.assert_code(2);
    assert!(done.stderr.contains(&format!("connect to proxy {down}: refused; is the server up?")), "{}", done.stderr);
    let report = measure(&["http://origin.test/", "-x", &down, "-n", "4", "-c", "2", "--start-anyway"]);
    report.assert_failures("connect", 4);
}

#[test]
fn one_that_turns_everyone_away_rests() {
    let (bad, good) = (Server::answering(*b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), forwarding());
    let (first, second) = (proxy(&bad), proxy(&good));
    let alone = measure(&["http://origin.test/", "-x", &first, "-d", "1s", "-c", "1", "-t", "1"]);
    let turned_away = alone.failure("proxy");
    // Rests of 10, 20, 40, … ms: seven of them in a second.
    assert!((2..30).contains(&turned_away), "{turned_away}");
    let report = measure(&["http://origin.test/", "-x", &first, "-x", &second, "-n", "2000", "-c", "4", "-t", "1"]);
    assert!(report.count("ok") > 1_900, "{}", report.at("counts"));
    assert_eq!(report.count("failed"), report.failure("proxy"));
}

#[test]
fn answers_of_407_are_failures_only_where_a_proxy_was_asked_to_forward() {
    let origin = Server::answering(*b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    let direct = measure(&[&origin.url("/"), "-n", "4"]);
    let socks = socks(&origin);
    let through = measure(&[&origin.url("/"), "-x", &format!("socks5://{}", socks.addr()), "-n", "4"]);
    for report in [direct, through] {
        assert_eq!((report.count("http_error"), report.count("failed")), (4, 0));
    }
}

#[test]
fn a_proxy_that_misbehaves_is_a_counted_failure_in_its_time() {
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 100_000]].concat();
    let none = Server::start(Peer::close);
    let silent = Server::silent();
    let slow = Server::start(|peer| {
        peer.request();
        peer.trickle(&[b'H'; 1_000], Duration::from_millis(20));
    });
    for (server, kind, reason) in [
        (&saying("HTTP/1.1 502 Bad\r\n\r\n", Peer::close), "proxy", "refused the tunnel with status 502"),
        (&saying("HTTP/1.1 407 \x1b[2J\r\nProxy-Authenticate: Digest x\r\n\r\n", Peer::close), "proxy", "CONNECT"),
        (&saying("HTTP/1.1 407 No\r\nProxy-Authenticate: Digest x\r\n\r\n", Peer::close), "proxy", "wants Digest"),
        (&saying("\x1b[2Jgarbage\r\n\r\n", Peer::close), "proxy", "not HTTP/1"),
        (&saying(endless, Peer::stall), "proxy", "larger than 16 KiB"),
        (&saying("HTTP/1.1 200 OK\r\n", Peer::close), "proxy", "closed before its answer was whole"),
        (&saying("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Peer::stall), "proxy", "unasked"),
        (&none, "proxy", "closed before its answer was whole"),
        (&silent, "connect_timeout", "no connection within 300ms"),
        (&slow, "proxy", "not HTTP/1"),
        (&saying("HTTP/1.1 200 OK\r\n\r\n", Peer::close), "tls", "closed during the handshake"),
        (&saying("HTTP/1.1 200 OK\r\n\r\n", Peer::stall), "connect_timeout", "no connection within 300ms"),
    ] {
        let proxy = proxy(server);
        let args = ["https://origin.test/", "-x", &proxy, "-n", "2", "-c", "1", "--connect-timeout", "300ms"];
        let report = measure(&[&args[..], &["--start-anyway"]].concat());
        report.assert_failures(kind, 2);
        let said = report.at("failure_reasons").get(kind).and_then(|said| said.as_str()).unwrap_or_default();
        assert!(said.contains(reason) && said.contains(&proxy), "{said:?} instead of {reason:?}");
        assert!(!said.contains(char::is_control), "{said}");
    }
}

#[test]
fn a_socks_proxy_that_misbehaves_is_a_counted_failure_in_its_time() {
    for (answer, kind, reason) in [
        (&b"HTTP/1.1 400 Bad\r\n\r\n"[..], "proxy", "not SOCKS 5"),
        (b"\x05\xff", "proxy", "nobody without credentials"),
        (b"\x05\x02", "proxy", "not offered"),
        (b"\x05\x00\x05\x02", "proxy", "not allowed by its rules"),
        (b"\x05\x00\x05\x00\x00\x03\xff", "proxy", "closed before its answer was whole"),
        (b"\x05", "proxy", "closed before its answer was whole"),
    ] {
        let server = Server::start(move |peer| {
            peer.send(answer);
            peer.close();
        });
        let proxy = format!("socks5h://{}", server.addr());
        let args = ["http://origin.test/", "-x", &proxy, "-n", "2", "-c", "1", "--start-anyway"];
        let report = measure(&args);
        report.assert_failures(kind, 2);
        let said = report.at("failure_reasons.proxy").as_str().unwrap_or_default();
        assert!(said.contains(reason), "{said:?} instead of {reason:?}");
    }
}

#[test]
fn names_are_looked_up_here_only_where_a_proxy_is_told_addresses() {
    let through = forwarding();
    let report = measure(&["http://no-such-host.invalid/", "-x", &proxy(&through), "-n", "4"]);
    report.assert_ok(4);
    let done = bench(&["http://no-such-host.invalid/", "-x", "socks5://127.0.0.1:1", "-n", "4"]);
    done.assert_code(2);
    assert!(done.stderr.contains("resolve no-such-host.invalid"), "{}", done.stderr);
    let done = bench(&["http://127.0.0.1/", "-x", "http://no-such-proxy.invalid", "-n", "4"]);
    done.assert_code(2);
    assert!(done.stderr.contains("resolve no-such-proxy.invalid"), "{}", done.stderr);
}

#[test]
fn a_plan_file_has_proxies_as_the_command_line_has() {
    let through = forwarding();
    let (_kept, secret) = file(format!("http://me:pw@{}\n", through.addr()));
    let (_folder, plan) = file(format!(
        "url = \"http://origin.test/\"\nrequests = 4\nproxy = [\"@{secret}\"]\nnoproxy = \"other.test\"\n"
    ));
    measure(&["--plan", &plan]).assert_ok(4);
    let printed = ringload(&["bench", "--plan", &plan, "--print-plan"]);
    printed.assert_code(0);
    assert!(printed.stdout.contains(&format!("proxy = [\"@{secret}\"]")), "{}", printed.stdout);
    assert!(printed.stdout.contains("proxy-from-env = false") && printed.stdout.contains("noproxy = \"other.test\""));
    let text = bench(&["--plan", &plan]).stdout;
    assert!(text.contains(&format!("  through proxy http://{}\n", through.addr())), "{text}");
}
