//! How long connections live: until their last request, and how they end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustls::version::{TLS12, TLS13};

use crate::support::tls::Authority;
use crate::support::{OK, Peer, Server, bench, measure, on_driver};

/// Answers all requests; says of each connection that ends whether that was in good order.
fn listening(ends: &Arc<Mutex<Vec<bool>>>) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    let ends = Arc::clone(ends);
    move |peer| {
        // The end shows to the request that does not come.
        while peer.request().is_some() && peer.send(OK) {}
        ends.lock().expect("no script panics with the lock").push(peer.hears_the_end());
    }
}

#[test]
fn a_connection_makes_as_many_requests_as_it_may_and_says_nothing_of_its_end() {
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            for (limit, opened) in [("1", 30), ("7", 5), ("10", 3), ("30", 1), ("100", 1)] {
                let server = Server::answering(OK);
                let args = ["-n", "30", "-c", "1", "--requests-per-connection", limit, &server.url("/")];
                let report = measure(&args);
                report.assert_ok(30);
                assert_eq!(report.count("connections_opened"), opened, "{limit}");
                assert_eq!((server.accepted(), report.count("redials")), (opened, 0), "{limit}");
                let most: u64 = limit.parse().expect("a number");
                let requests = server.requests();
                for connection in 0..opened {
                    let of_it = requests.iter().filter(|request| request.connection == connection).count() as u64;
                    assert!(of_it == most || connection == opened - 1, "{of_it} on {connection}");
                }
                let announced = |header: &String| header.to_lowercase().starts_with("connection");
                assert!(!requests.iter().any(|request| request.headers.iter().any(announced)));
            }
        });
    }
}

#[test]
fn a_last_request_is_counted_by_connection_and_not_by_origin_or_slot() {
    let (first, second) = (Server::answering(OK), Server::answering(OK));
    let args = ["-n", "40", "-c", "4", "-t", "1", "--requests-per-connection", "5", &first.url("/"), &second.url("/")];
    let report = measure(&args);
    report.assert_ok(40);
    for server in [&first, &second] {
        let requests = server.requests();
        assert_eq!(requests.len(), 20);
        for connection in 0..server.accepted() {
            assert!(requests.iter().filter(|request| request.connection == connection).count() <= 5);
        }
    }
}

#[test]
fn a_limit_beside_no_keep_alive_is_refused() {
    let done = bench(&["--keep-alive", "false", "--requests-per-connection", "5", "http://127.0.0.1/"]);
    done.assert_code(2);
    assert!(
        done.stderr.contains("--requests-per-connection 5: does not go with --keep-alive false"),
        "{}",
        done.stderr
    );
    let done = bench(&["--requests-per-connection", "0", "http://127.0.0.1/"]);
    done.assert_code(2);
    assert!(done.stderr.contains("--requests-per-connection 0: must be at least 1"), "{}", done.stderr);
}

#[test]
fn connections_under_tls_end_with_a_farewell_however_they_come_to_their_end() {
    let authority = Authority::new();
    let ca = authority.file();
    for version in [&TLS13, &TLS12] {
        for (options, opened) in [
            (&["--keep-alive", "false"][..], 12),
            (&["--requests-per-connection", "4"], 3),
            // Idle ones, when the run is over.
            (&[], 1),
        ] {
            let ends = Arc::default();
            let config = authority.server(&authority.issue(&["127.0.0.1"]), &[version], false);
            let server = Server::encrypted(config, listening(&ends));
            let url = format!("https://{}/", server.addr());
            let report = measure(&[&["-n", "12", "-c", "1", "--cacert", &ca, &url], options].concat());
            report.assert_ok(12);
            assert_eq!(report.count("connections_opened"), opened);
            let heard = |ends: &Mutex<Vec<bool>>| ends.lock().expect("no script panics with the lock").len() as u64;
            // One more looked at the server before the run.
            server.wait_until(|_| heard(&ends) == opened + 1);
            let ends = ends.lock().expect("no script panics with the lock");
            assert!(ends.iter().all(|&in_order| in_order), "{options:?}: {ends:?}");
        }
    }
}

#[test]
fn a_request_that_is_given_up_closes_its_connection_whatever_it_had_left() {
    let answered = AtomicU64::new(0);
    let server = Server::start(move |peer| {
        while peer.request().is_some() {
            if answered.fetch_add(1, Ordering::SeqCst) == 2 {
                return peer.stall();
            }
            peer.send(OK);
        }
    });
    let args = ["-n", "6", "-c", "1", "--requests-per-connection", "100", "--timeout", "100ms", &server.url("/")];
    let report = measure(&args);
    assert_eq!((report.failure("timeout"), report.count("ok")), (1, 5), "{}", report.at("failures"));
    assert_eq!(server.accepted(), 2);
}
