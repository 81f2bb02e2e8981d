//! What load means: how many requests, when, over which connections, to whom; and what is counted where.

use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{OK, Peer, Server, TargetProgram, file, measure, note};

/// How many cores the tests may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// One shard, and two where there are two cores.
pub(crate) fn shard_counts() -> &'static [&'static str] {
    if cores() > 1 { &["1", "2"] } else { &["1"] }
}

#[test]
pub(crate) fn exactly_n_requests_are_sent_on_any_number_of_threads() {
    let server = Server::answering(OK);
    let mut expected = 0;
    for threads in shard_counts() {
        for n in [1, 7, 501] {
            let report = measure(&["-t", threads, "-c", "8", "-n", &n.to_string(), &server.url("/")]);
            report.assert_ok(n);
            expected += n;
            assert_eq!(server.requests().len() as u64, expected);
            assert!(report.count("connections_opened") <= n.min(8));
        }
    }
}

#[test]
fn one_request_opens_one_connection_whatever_else_was_asked_for() {
    let server = Server::answering(OK);
    let threads = shard_counts().last().expect("at least one");
    let report = measure(&["-n", "1", "-c", "64", "-t", threads, &server.url("/")]);
    report.assert_ok(1);
    assert_eq!((server.accepted(), report.list("shards").len()), (1, 1));
}

#[test]
pub(crate) fn a_duration_ends_the_sending() {
    let target = TargetProgram::start();
    let report = measure(&["-d", "300ms", "-c", "4", "-t", "1", &target.url]);
    assert_eq!(report.float("window_s"), 0.3);
    assert!(report.count("ok") > 10 && report.count("intended") == report.count("ok"));
}

#[test]
fn whichever_of_number_and_duration_comes_first_ends_the_run() {
    let target = TargetProgram::start();
    let report = measure(&["-d", "50s", "-n", "40", "-c", "4", "-t", "1", &target.url]);
    report.assert_ok(40);
    let report = measure(&["-d", "200ms", "-n", "9000M", "-R", "100", "-c", "4", "-t", "1", &target.url]);
    assert_eq!((report.count("intended"), report.float("window_s")), (20, 0.2));
}

#[test]
pub(crate) fn an_open_load_intends_exactly_its_rate() {
    let target = TargetProgram::start();
    for threads in shard_counts() {
        let report = measure(&["-R", "150", "-d", "1s", "-c", "4", "-t", threads, &target.url]);
        assert_eq!(report.count("intended"), 150);
        assert_eq!(report.count("ok") + report.count("unsent") + report.count("in_flight_at_end"), 150);
        assert_eq!(report.at("plan.load.model"), "open");
    }
}

#[test]
fn the_aliases_of_rate_and_duration_are_understood() {
    let target = TargetProgram::start();
    for rate in ["--qps", "--rps", "--rate"] {
        let report = measure(&[rate, "3000/m", "-z", "200ms", "-c", "2", "-t", "1", &target.url]);
        assert_eq!(report.count("intended"), 10);
    }
}

#[test]
pub(crate) fn each_line_is_sent_exactly_once() {
    for threads in shard_counts() {
        for lines in [1, 5, 200] {
            let server = Server::answering(OK);
            let urls: String = (0..lines).map(|i| format!("{}\n", server.url(&format!("/{i}")))).collect();
            let (_folder, urls) = file(urls);
            let report = measure(&["-i", &urls, "--once", "-c", "8", "-t", threads]);
            report.assert_ok(lines);
            let paths = server.paths();
            assert_eq!(paths.len() as u64, lines);
            assert_eq!(paths.iter().collect::<HashSet<_>>().len() as u64, lines, "{paths:?}");
        }
    }
}

#[test]
fn lines_are_sent_in_their_order_and_over_again() {
    let server = Server::answering(OK);
    let lines = format!(
        "\u{feff}{}\r\n# comment\r\n\r\nHEAD {}\r\n  DELETE \t {}\r\n",
        server.url("/a"),
        server.url("/b"),
        server.url("/c")
    );
    let (_folder, urls) = file(lines);
    measure(&["-i", &urls, "-n", "7", "-c", "1", "-t", "1", &server.url("/first")]);
    let lines: Vec<String> = server.requests().into_iter().map(|request| request.line).collect();
    let expected = ["GET /first", "GET /a", "HEAD /b", "DELETE /c", "GET /first", "GET /a", "HEAD /b"];
    assert_eq!(lines, expected.map(|line| format!("{line} HTTP/1.1")));
}

#[test]
fn lines_come_from_standard_input_too() {
    use crate::support::{Program, Report};
    let server = Server::answering(OK);
    let input = format!("{}\n{}\n", server.url("/x"), server.url("/y"));
    let args = ["bench", "--format", "json", "-i", "-", "--once", "-c", "1"];
    let finished = Program::start_with_input(&args, &input).finish();
    Report::of(finished.assert_code(0)).assert_ok(2);
    assert_eq!(server.paths(), ["/x", "/y"]);
}

#[test]
fn every_line_has_its_turn_on_every_shard() {
    let server = Server::answering(OK);
    let urls: String = (0..10).map(|i| format!("{}\n", server.url(&format!("/{i}")))).collect();
    let (_folder, urls) = file(urls);
    let threads = shard_counts().last().expect("at least one");
    measure(&["-i", &urls, "-n", "100", "-c", "4", "-t", threads]).assert_ok(100);
    let paths = server.paths();
    for i in 0..10 {
        let path = format!("/{i}");
        assert_eq!(paths.iter().filter(|other| **other == path).count(), 10, "{path}");
    }
}

/// Answers the first request of each connection; closes on the second, without an answer, once it has read it.
fn answers_once_then_drops(peer: &mut Peer) {
    peer.request();
    peer.send(OK);
    if peer.request().is_some() {
        peer.close();
    }
}

#[test]
pub(crate) fn an_idempotent_request_on_a_dead_connection_is_tried_once_more() {
    let server = Server::start(answers_once_then_drops);
    let report = measure(&["-n", "4", "-c", "1", "-t", "1", &server.url("/")]);
    report.assert_ok(4);
    assert_eq!((report.count("redials"), report.count("connections_opened")), (3, 4));
    assert_eq!(report.count("sent"), 4, "a redial is no new ticket");
    assert_eq!(report.number("bytes.out"), 7 * report.number("bytes.out") / 7, "both tries are counted");
    assert!(report.warns("churn"));
}

#[test]
pub(crate) fn a_post_that_was_sent_is_not_tried_again() {
    let server = Server::start(answers_once_then_drops);
    let report = measure(&["-n", "4", "-c", "1", "-t", "1", "-X", "POST", &server.url("/")]);
    assert_eq!((report.count("ok"), report.failure("closed_early"), report.count("redials")), (2, 2, 0));
    assert_eq!(server.requests().len(), 4);
}

#[test]
pub(crate) fn a_connection_that_the_server_closed_while_idle_is_replaced_before_anything_is_sent() {
    let server = Server::start(|peer| {
        peer.request();
        peer.send(OK);
        peer.close();
    });
    let report = measure(&["-R", "20", "-n", "4", "-c", "1", "-t", "1", "-X", "POST", &server.url("/")]);
    report.assert_ok(4);
    assert_eq!((report.count("redials"), report.count("connections_opened")), (3, 4));
}

#[test]
pub(crate) fn a_connection_that_was_reset_while_idle_is_replaced_too() {
    let server = Server::start(|peer| {
        peer.request();
        peer.send(OK);
        peer.sleep(Duration::from_millis(10));
        peer.reset();
    });
    let report = measure(&["-R", "20", "-n", "4", "-c", "1", "-t", "1", &server.url("/")]);
    report.assert_ok(4);
    assert_eq!(report.count("redials"), 3);
}

#[test]
pub(crate) fn without_keep_alive_each_request_has_its_own_connection() {
    let server = Server::answering(OK);
    let report = measure(&["-n", "6", "-c", "2", "-t", "1", "--keep-alive", "false", &server.url("/")]);
    report.assert_ok(6);
    assert_eq!((server.accepted(), report.count("connections_opened"), report.count("redials")), (6, 6, 0));
    assert!(server.requests().iter().all(|request| request.headers.contains(&"Connection: close".to_owned())));
    assert!(!report.warns("churn"), "it was asked for");
}

#[test]
fn the_warm_up_is_counted_apart() {
    let server = Server::answering(OK);
    let report = measure(&["--warmup", "200ms", "-n", "10", "-R", "100", "-c", "2", "-t", "1", &server.url("/")]);
    report.assert_ok(10);
    // What falls due at the very end of a warm-up may not be taken up any more.
    let warmup = report.number("warmup.requests");
    assert!((15..=20).contains(&warmup) && report.number("warmup.failed") == 0, "{}", report.at("warmup"));
    assert_eq!(server.requests().len() as u64, 10 + warmup);
    assert_eq!(report.number("latency_us.response.count"), 10);
}

#[test]
fn failures_of_the_warm_up_are_counted_apart_too() {
    let failed = Arc::new(AtomicU64::new(0));
    let of_server = Arc::clone(&failed);
    let server = Server::start(move |peer| {
        while peer.request().is_some() {
            // Garbage for the first five requests, whichever connection they come on.
            if of_server.fetch_add(1, Ordering::SeqCst) < 5 {
                peer.send(b"garbage\r\n\r\n");
                return peer.close();
            }
            peer.send(OK);
        }
    });
    let report = measure(&["--warmup", "200ms", "-n", "10", "-R", "100", "-c", "1", "-t", "1", &server.url("/")]);
    report.assert_ok(10);
    assert_eq!(report.number("warmup.failed"), 5);
}

#[test]
pub(crate) fn the_drain_awaits_what_is_in_flight() {
    let target = TargetProgram::start();
    let url = format!("{}/delay/300", target.url);
    let report = measure(&["-d", "100ms", "-c", "4", "-t", "1", "--drain", "5s", &url]);
    report.assert_ok(4);
    assert_eq!(report.float("rate_per_s.completed"), 0.0, "nothing was answered inside the window");
    assert!(report.list("intervals").iter().any(|interval| interval["drain"] == true && interval["ok"] == 4));
}

#[test]
pub(crate) fn what_the_drain_does_not_see_the_end_of_is_in_flight_at_end() {
    let server = Server::silent();
    for drain in ["0s", "100ms"] {
        let report = measure(&["-d", "100ms", "-c", "4", "-t", "1", "--drain", drain, &server.url("/")]);
        assert_eq!((report.count("in_flight_at_end"), report.count("intended"), report.count("sent")), (4, 4, 4));
        assert_eq!(report.number("latency_us.response.count"), 4, "their waiting is in the response times");
    }
}

#[test]
fn a_number_of_requests_awaits_the_last_whatever_the_drain() {
    let target = TargetProgram::start();
    let url = format!("{}/delay/250", target.url);
    measure(&["-n", "4", "-c", "4", "-t", "1", "--drain", "0s", &url]).assert_ok(4);
}

#[test]
pub(crate) fn what_is_due_and_not_sent_at_the_end_is_unsent() {
    let server = Server::silent();
    let args = ["-R", "1000", "-d", "200ms", "-c", "2", "-t", "1", "--drain", "0s"];
    let report = measure(&[&args[..], &[&server.url("/")]].concat());
    assert_eq!((report.count("intended"), report.count("unsent"), report.count("in_flight_at_end")), (200, 198, 2));
    assert!(report.warns("unsent") && report.warns("rate_missed"));
    // The request due at 0 ms is one of those in flight; the first unsent one, due at 2 ms, has waited 198 ms.
    let max = report.float("latency_us.response.max");
    assert!(max >= 199_000.0, "{max}");
    assert_eq!(report.float("latency_us.response.censored_from_q"), 0.0);
}

#[test]
pub(crate) fn a_stalled_server_is_charged_from_the_intended_time() {
    let stall = Arc::new(AtomicU64::new(0));
    let server = Server::start(move |peer| {
        while peer.request().is_some() {
            if stall.fetch_add(1, Ordering::SeqCst) == 10 {
                peer.sleep(Duration::from_millis(400));
            }
            peer.send(OK);
        }
    });
    let report = measure(&["-R", "100", "-n", "100", "-c", "1", "-t", "1", &server.url("/")]);
    report.assert_ok(100);
    // About 40 requests fell due during the stall; one of them alone saw it as service time.
    assert!(report.float("latency_us.response.p75") > 50_000.0, "{}", report.at("latency_us.response"));
    assert!(report.float("latency_us.service.p95") < 200_000.0, "{}", report.at("latency_us.service"));
    assert!(report.float("latency_us.pool_lag.p75") > 50_000.0);
}

#[test]
fn an_ipv6_address_is_a_host() {
    let Ok(server) = Server::try_on("[::1]:0", |peer| while peer.request().is_some() && peer.send(OK) {}) else {
        return note("SKIPPED an_ipv6_address_is_a_host: no IPv6 loopback here");
    };
    measure(&["-n", "5", &server.url("/")]).assert_ok(5);
    let host = format!("Host: [::1]:{}", server.addr().port());
    assert!(server.requests().iter().all(|request| request.headers.contains(&host)));
}

#[test]
fn several_origins_share_the_connections() {
    let open = Arc::new(Mutex::new((0usize, 0usize)));
    let servers: Vec<Server> = (0..6)
        .map(|_| {
            let open = Arc::clone(&open);
            Server::start(move |peer| {
                let count = |by: isize| {
                    let mut open = open.lock().expect("no panic with the lock");
                    open.0 = open.0.saturating_add_signed(by);
                    open.1 = open.1.max(open.0);
                };
                count(1);
                while peer.request().is_some() && peer.send(OK) {}
                count(-1);
            })
        })
        .collect();
    let urls: String = servers.iter().map(|server| format!("{}\n", server.url("/"))).collect();
    let (_folder, urls) = file(urls);
    // Slow enough for a server to see a close before the next connection.
    let report = measure(&["-i", &urls, "-R", "100", "-n", "60", "-c", "3", "-t", "1"]);
    report.assert_ok(60);
    assert!(servers.iter().all(|server| server.requests().len() == 10));
    assert_eq!(report.list("origins").len(), 6);
    let most = open.lock().expect("no panic with the lock").1;
    assert!(most <= 5, "{most} connections at once with -c 3");
}

#[test]
fn a_seed_means_the_same_poisson_arrivals_again() {
    let server = Server::answering(OK);
    let intended = |seed: &str, threads: &str| {
        let args = ["-R", "500", "--arrivals", "poisson", "-d", "400ms", "-c", "8", "--drain", "5s", "--seed", seed];
        let report = measure(&[&args[..], &["-t", threads, &server.url("/")]].concat());
        let of_shards: Vec<u64> =
            report.list("shards").iter().map(|shard| shard["counts"]["intended"].as_u64().expect("a count")).collect();
        of_shards
    };
    for threads in shard_counts() {
        let seeds = ["1", "2", "3", "4"].map(|seed| intended(seed, threads));
        assert_eq!(seeds[0], intended("1", threads));
        assert!(seeds.iter().any(|other| *other != seeds[0]), "{seeds:?}");
        assert!(seeds.iter().all(|counts| (100..300).contains(&counts.iter().sum::<u64>())), "{seeds:?}");
    }
}

#[test]
pub(crate) fn a_server_that_refuses_from_the_start_sees_no_storm() {
    // Nobody accepts: a listener with a closed backlog cannot count, so the client's own counts are taken.
    let port = crate::support::dead_port();
    let url = format!("http://127.0.0.1:{port}/");
    let report = measure(&["--start-anyway", "-d", "1s", "-c", "16", "-t", "1", "--drain", "0s", &url]);
    // Rests of 10, 20, 40, … ms: at most 7 attempts in a second, each of which fails all that waited for it.
    let failed = report.failure("connect");
    assert!((1..=7 * 16).contains(&failed), "{failed}");
    assert!(report.float("client.cpu_s") < 0.5, "waiting costs nothing");
}

#[test]
fn a_server_that_refuses_after_the_start_sees_no_storm() {
    let served = Arc::new(AtomicU64::new(0));
    let of_server = Arc::clone(&served);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("its address");
    let accepting = std::thread::spawn(move || {
        // Four connections, then the port is dead.
        let streams: Vec<_> = listener.incoming().take(4).collect();
        drop(listener);
        std::thread::sleep(Duration::from_millis(200));
        of_server.fetch_add(streams.len() as u64, Ordering::SeqCst);
    });
    let url = format!("http://{addr}/");
    let started = Instant::now();
    let report = measure(&["-d", "1200ms", "-c", "4", "-t", "1", "--drain", "0s", &url]);
    accepting.join().expect("it accepts");
    assert_eq!(served.load(Ordering::SeqCst), 4);
    assert!(started.elapsed() < Duration::from_secs(30));
    let failed = report.count("failed");
    assert!((4..=4 * 8).contains(&failed), "{}", report.at("failures"));
}

#[test]
pub(crate) fn a_server_that_comes_back_is_found_again() {
    let first = Server::start(|peer| {
        peer.request();
        peer.send(OK);
        peer.close();
    });
    let addr = first.addr().to_string();
    let url = first.url("/");
    let swap = std::thread::spawn(move || {
        first.wait_until(|server| server.requests().len() >= 3);
        first.stop();
        std::thread::sleep(Duration::from_millis(150));
        (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(2));
            Server::try_on(&addr, |peer| while peer.request().is_some() && peer.send(OK) {}).ok()
        })
    });
    let report = measure(&["-R", "100", "-d", "1500ms", "-c", "2", "-t", "1", &url]);
    let second = swap.join().expect("it swaps").expect("the port can be had again");
    assert!(second.requests().len() > 10, "{} {}", report.at("counts"), report.at("failures"));
    assert!(report.count("ok") > 20, "{}", report.at("counts"));
}
