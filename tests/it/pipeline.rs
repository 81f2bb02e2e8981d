//! HTTP/1.1 pipelining: answers go to the requests in whose order they come, and a connection that ends is no riddle.

use std::time::Duration;

use rustls::version::{TLS12, TLS13};

use crate::support::tls::Authority;
use crate::support::{OK, Peer, Report, Server, bench, measure, on_driver};

/// A run against a server that does as `script` says, four requests in flight on its one connection.
#[track_caller]
fn run(script: impl Fn(&mut Peer) + Send + Sync + 'static, args: &[&str]) -> (Report, Server) {
    let server = Server::start(script);
    let report = measure(&[&[server.url("/").as_str(), "-c", "1", "--pipeline", "4"], args].concat());
    (report, server)
}

/// Answers nothing before four requests are there, then all at once.
fn in_fours(peer: &mut Peer) {
    while (0..4).all(|_| peer.request().is_some()) {
        peer.send(&OK.repeat(4));
    }
}

#[test]
fn requests_go_out_before_the_answers_to_those_before_them_are_in() {
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            let (report, server) = run(in_fours, &["-n", "400"]);
            report.assert_ok(400);
            assert_eq!((server.accepted(), server.requests().len(), report.number("plan.pipeline")), (1, 400, 4));
            assert_eq!(report.number("bytes.in"), 400 * OK.len() as u64);
            assert_eq!(report.at("plan.http").as_str(), Some("1.1"));
        });
    }
}

#[test]
fn pipelines_run_under_tls() {
    let authority = Authority::new();
    let config = authority.server(&authority.issue(&["127.0.0.1"]), &[&TLS13, &TLS12], false);
    let server = Server::encrypted(config, in_fours);
    let url = format!("https://{}/", server.addr());
    measure(&[&url, "--cacert", &authority.file(), "-c", "1", "--pipeline", "4", "-n", "400"]).assert_ok(400);
}

#[test]
fn answers_may_come_in_any_pieces() {
    let script = |peer: &mut Peer| {
        let answers: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ];
        while (0..4).all(|_| peer.request().is_some()) {
            peer.trickle(&answers.concat(), Duration::from_micros(20));
        }
    };
    let (report, _) = run(script, &["-n", "40"]);
    let statuses = ["200", "204", "404"].map(|status| report.number(&format!("status.{status}")));
    assert_eq!((statuses, report.count("failed")), ([20, 10, 10], 0));
}

#[test]
fn those_behind_a_timed_out_one_are_closed_early() {
    let script = |peer: &mut Peer| {
        let all_are_there = (0..4).all(|_| peer.request().is_some());
        if all_are_there && peer.number == 0 {
            peer.send(OK);
        }
        peer.stall();
    };
    let (report, server) = run(script, &["-n", "4", "--timeout", "300ms"]);
    let kinds = ["timeout", "closed_early"].map(|kind| report.failure(kind));
    assert_eq!((report.count("ok"), kinds, server.accepted()), (1, [1, 2], 1));
}

#[test]
fn an_answer_that_breaks_a_rule_ends_the_connection_for_those_behind_it() {
    let script = |peer: &mut Peer| {
        (0..4).for_each(|_| assert!(peer.request().is_some()));
        peer.send(&[OK, b"garbage\r\n\r\n"].concat());
        peer.stall();
    };
    let (report, _) = run(script, &["-n", "4"]);
    let kinds = ["protocol", "closed_early"].map(|kind| report.failure(kind));
    assert_eq!((report.count("ok"), kinds), (1, [1, 2]));
}

#[test]
fn what_a_closing_server_had_not_come_to_is_sent_again_where_that_is_safe() {
    // Ten answers a connection, the last of them with a farewell.
    let script = |peer: &mut Peer| {
        for _ in 0..9 {
            if peer.request().is_none() || !peer.send(OK) {
                return;
            }
        }
        if peer.request().is_some() {
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            peer.close();
        }
    };
    let (report, server) = run(script, &["-n", "100"]);
    report.assert_ok(100);
    assert!(report.count("redials") >= 9 && server.accepted() >= 10, "{}", report.at("counts"));
    let (report, _) = run(script, &["-n", "100", "-X", "POST"]);
    assert!(report.failure("closed_early") >= 9 && report.count("redials") == 0, "{}", report.at("counts"));
}

#[test]
fn a_body_without_a_length_is_the_last_of_its_connection() {
    let script = |peer: &mut Peer| {
        if peer.request().is_some() {
            peer.send(b"HTTP/1.1 200 OK\r\n\r\nas long as it lasts");
            peer.close();
        }
    };
    let (report, server) = run(script, &["-n", "1"]);
    report.assert_ok(1);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn bytes_behind_the_last_awaited_answer_are_protocol() {
    let script = |peer: &mut Peer| while peer.request().is_some() && peer.send(&OK.repeat(2)) {};
    let (report, _) = run(script, &["-n", "1"]);
    report.assert_failures("protocol", 1);
}

#[test]
fn silence_is_not_what_others_are_answered_in() {
    let script = |peer: &mut Peer| {
        while peer.request().is_some() {
            peer.sleep(Duration::from_millis(60));
            peer.send(OK);
        }
    };
    let (report, server) = run(script, &["-n", "12", "--read-timeout", "150ms"]);
    report.assert_ok(12);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn what_is_unanswered_at_the_end_is_in_flight_in_all_of_a_pipeline() {
    let (report, _) = run(Peer::stall, &["-d", "300ms", "--drain", "100ms"]);
    assert_eq!((report.count("in_flight_at_end"), report.count("failed")), (4, 0), "{}", report.at("failures"));
}

#[test]
fn options_that_contradict_a_pipeline_are_refused() {
    for (args, part) in [
        (&["--pipeline", "0"][..], "at least 1"),
        (&["--pipeline", "4", "--http", "2"], "with HTTP/2, give --streams"),
        (&["--pipeline", "4", "--keep-alive", "false"], "--keep-alive false"),
        (&["--pipeline", "4", "--streams", "4"], "give one of them"),
    ] {
        let done = bench(&[&["https://h/"], args].concat());
        done.assert_code(2);
        assert!(done.stderr.contains(part), "{args:?}: {}", done.stderr);
    }
}
