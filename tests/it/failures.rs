//! Every kind of failure that can happen today makes its own counter move, and no other.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{self, AddressFamily, SocketType};

use crate::support::{OK, Peer, Server, bench, dead_port, file, measure};

/// One connection, one thread, so many requests.
fn one_by_one(n: &'static str) -> [&'static str; 6] {
    ["-c", "1", "-t", "1", "-n", n]
}

#[test]
fn a_name_without_an_address_fails_as_resolve_where_others_have_one() {
    let server = Server::answering(OK);
    let (_folder, urls) = file(format!("{}\nhttp://no-such-host.invalid/\n", server.url("/")));
    let report = measure(&["-i", &urls, "--once", "-c", "2", "-t", "1"]);
    report.assert_failures("resolve", 1);
    assert_eq!((report.count("ok"), report.count("sent")), (1, 1), "a ticket without a connection is not sent");
    assert_eq!(report.list("origins.1.addresses").len(), 0);
}

#[test]
pub(crate) fn a_dead_port_fails_as_connect_where_another_origin_answers() {
    let server = Server::answering(OK);
    let (_folder, urls) = file(format!("{}\nhttp://127.0.0.1:{}/\n", server.url("/"), dead_port()));
    let report = measure(&["-i", &urls, "-n", "6", "-c", "2", "-t", "1"]);
    report.assert_failures("connect", 3);
    assert_eq!((report.count("ok"), report.count("sent")), (3, 3));
}

#[test]
pub(crate) fn a_full_backlog_fails_as_connect_timeout() {
    let backlog = FullBacklog::new();
    let url = format!("http://{}/", backlog.addr);
    let limit = ["--connect-timeout", "150ms"];
    let finished = bench(&[&limit[..], &one_by_one("2"), &[&url]].concat());
    finished.assert_code(2);
    assert!(finished.stderr.contains("no connection within 150ms"), "{}", finished.stderr);
    let report = measure(&[&limit[..], &one_by_one("2"), &["--start-anyway", &url]].concat());
    report.assert_failures("connect_timeout", 2);
    assert_eq!(report.count("sent"), 0);
}

#[test]
pub(crate) fn an_answer_that_comes_before_the_body_was_taken_in_is_an_answer() {
    let server = Server::start(|peer| {
        // Closing with unread bytes resets the connection, behind the answer.
        peer.sleep(Duration::from_millis(100));
        peer.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
        peer.sleep(Duration::from_millis(100));
    });
    let (_folder, path) = file(vec![b'x'; 32 << 20]);
    let body = format!("@{path}");
    let report = measure(&[&server.url("/"), "-b", &body, "-n", "3", "-c", "1", "-t", "1"]);
    assert_eq!((report.count("http_error"), report.count("redials")), (3, 0));
    assert_eq!(report.number("status.413"), 3);
}

#[test]
pub(crate) fn a_reset_while_a_body_is_being_sent_fails_as_write() {
    let server = Server::start(|peer| {
        peer.sleep(Duration::from_millis(200));
        peer.reset();
    });
    let (_folder, body) = file(vec![b'x'; 32 << 20]);
    let url = server.url("/");
    let report = measure(&[&one_by_one("1")[..], &["-b", &format!("@{body}"), &url]].concat());
    report.assert_failures("write", 1);
    assert!(report.number("bytes.out") < 32 << 20);
}

#[test]
pub(crate) fn silence_in_the_middle_of_an_answer_fails_as_read_timeout() {
    let server = Server::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
        peer.stall();
    });
    let url = server.url("/");
    let report = measure(&[&one_by_one("2")[..], &["--read-timeout", "80ms", &url]].concat());
    report.assert_failures("read_timeout", 2);
    assert!(report.float("latency_us.response.min") >= 80_000.0);
    assert_eq!(report.float("latency_us.response.censored_from_q"), 0.0);
    assert_eq!(server.accepted(), 2, "a connection that timed out is closed");
}

#[test]
pub(crate) fn silence_before_an_answer_fails_as_read_timeout_too() {
    let server = Server::silent();
    let report = measure(&[&one_by_one("1")[..], &["--read-timeout", "80ms", &server.url("/")]].concat());
    report.assert_failures("read_timeout", 1);
}

#[test]
pub(crate) fn bytes_that_keep_coming_are_no_silence_and_fail_as_timeout() {
    let server = Server::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        peer.trickle(&[b'x'; 10_000], Duration::from_millis(5));
    });
    let url = server.url("/");
    let limits = ["--read-timeout", "5s", "--timeout", "150ms"];
    let report = measure(&[&one_by_one("1")[..], &limits, &[&url]].concat());
    report.assert_failures("timeout", 1);
}

#[test]
pub(crate) fn no_answer_fails_as_timeout() {
    let server = Server::silent();
    let report = measure(&["-c", "2", "-t", "1", "-n", "4", "--timeout", "80ms", &server.url("/")]);
    report.assert_failures("timeout", 4);
    assert_eq!((report.count("sent"), server.accepted()), (4, 4));
    assert!(report.float("latency_us.response.min") >= 80_000.0);
}

#[test]
pub(crate) fn a_request_in_flight_past_its_deadline_fails_as_deadline() {
    let server = Server::silent();
    let report = measure(&[&one_by_one("2")[..], &["--deadline", "80ms", &server.url("/")]].concat());
    report.assert_failures("deadline", 2);
    assert_eq!(report.count("sent"), 2);
}

#[test]
fn a_request_queued_past_its_deadline_fails_as_deadline_and_is_not_sent() {
    let server = Server::silent();
    let url = server.url("/");
    let report = measure(&[&one_by_one("200")[..], &["-R", "2000", "--deadline", "60ms", &url]].concat());
    report.assert_failures("deadline", 200);
    assert!(report.count("sent") < 150, "{}", report.at("counts"));
}

#[test]
pub(crate) fn a_reset_instead_of_an_answer_fails_as_reset() {
    let server = Server::start(|peer| {
        peer.request();
        peer.reset();
    });
    let report = measure(&[&one_by_one("3")[..], &["-X", "POST", &server.url("/")]].concat());
    report.assert_failures("reset", 3);
}

#[test]
pub(crate) fn a_reset_in_the_middle_of_a_body_fails_as_reset() {
    let server = Server::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\npart");
        peer.sleep(Duration::from_millis(50));
        peer.reset();
    });
    let report = measure(&[&one_by_one("3")[..], &[&server.url("/")]].concat());
    report.assert_failures("reset", 3);
}

#[test]
pub(crate) fn a_close_instead_of_an_answer_fails_as_closed_early() {
    let server = Server::start(|peer| {
        peer.request();
        peer.close();
    });
    let report = measure(&[&one_by_one("3")[..], &["-X", "POST", &server.url("/")]].concat());
    report.assert_failures("closed_early", 3);
}

#[test]
pub(crate) fn a_body_shorter_than_its_length_fails_as_closed_early() {
    let server = Server::answering_once(*b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\npart");
    let report = measure(&[&one_by_one("3")[..], &[&server.url("/")]].concat());
    report.assert_failures("closed_early", 3);
}

#[test]
pub(crate) fn a_chunked_body_without_its_end_fails_as_closed_early() {
    let server = Server::answering_once(*b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    let report = measure(&[&one_by_one("2")[..], &[&server.url("/")]].concat());
    report.assert_failures("closed_early", 2);
}

#[test]
pub(crate) fn garbage_fails_as_protocol() {
    let server = Server::answering(*b"SSH-2.0-OpenSSH_9.6\r\n");
    let report = measure(&[&one_by_one("3")[..], &[&server.url("/")]].concat());
    report.assert_failures("protocol", 3);
    assert_eq!(server.accepted(), 3, "a connection that broke HTTP is closed");
}

#[test]
fn conflicting_lengths_fail_as_protocol() {
    for head in [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Content-Length: -2",
        "Content-Length: 99999999999999999999",
    ] {
        let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\nok").into_bytes());
        let report = measure(&[&one_by_one("2")[..], &[&server.url("/")]].concat());
        report.assert_failures("protocol", 2);
    }
}

#[test]
pub(crate) fn bytes_with_nothing_outstanding_fail_as_protocol() {
    let server = Server::start(|peer| {
        while peer.request().is_some() && peer.send(OK) {
            peer.sleep(Duration::from_millis(30));
            peer.send(OK);
        }
    });
    let url = server.url("/");
    let report = measure(&[&one_by_one("4")[..], &["-R", "5", &url]].concat());
    assert_eq!((report.count("ok"), report.failure("protocol")), (2, 2), "{}", report.at("failures"));
    assert_eq!(report.count("sent"), 2, "the failed ones were not sent");
}

#[test]
fn bytes_behind_the_end_of_an_answer_fail_as_protocol() {
    let server = Server::answering([OK, b"x"].concat());
    let report = measure(&[&one_by_one("2")[..], &[&server.url("/")]].concat());
    report.assert_failures("protocol", 2);
}

#[test]
fn a_server_that_goes_away_in_mid_run_fails_as_connect() {
    // The second origin keeps the run alive; the first answers one request and is gone with its listener.
    let first = Server::start(|peer| {
        peer.request();
        peer.send(OK);
        peer.close();
    });
    let second = Server::answering(OK);
    let (_folder, urls) = file(format!("{}\n{}\n", first.url("/"), second.url("/")));
    let waiter = std::thread::spawn(move || {
        first.wait_until(|server| server.requests().len() >= 2);
        first.stop();
    });
    let report = measure(&["-i", &urls, "-R", "50", "-n", "60", "-c", "2", "-t", "1", "--timeout", "2s"]);
    waiter.join().expect("the waiter does not panic");
    assert!(report.failure("connect") > 0, "{}", report.at("failures"));
    assert!(report.count("ok") >= 30, "{}", report.at("counts"));
}

/// A listener whose backlog is full: the kernel drops what else wants to connect.
pub(crate) struct FullBacklog {
    pub(crate) addr: SocketAddr,
    _listener: OwnedFd,
    _waiting: Vec<TcpStream>,
}

impl FullBacklog {
    pub(crate) fn new() -> Self {
        let listener = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        net::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        net::listen(&listener, 0).expect("it listens");
        let addr = net::getsockname(&listener).expect("its address");
        let addr = SocketAddr::try_from(addr).expect("an internet address");
        let mut waiting = Vec::new();
        loop {
            match TcpStream::connect_timeout(&addr, Duration::from_millis(200)) {
                Ok(stream) => waiting.push(stream),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => panic!("{error}"),
            }
            assert!(waiting.len() < 16, "a backlog of 0 holds few");
        }
        Self { addr, _listener: listener, _waiting: waiting }
    }
}

#[test]
fn an_answer_that_comes_byte_by_byte_is_no_failure() {
    let server = Server::start(
        |peer: &mut Peer| {
            while peer.request().is_some() && peer.trickle(OK, Duration::from_millis(1)) {}
        },
    );
    measure(&[&one_by_one("2")[..], &["--read-timeout", "2s", &server.url("/")]].concat()).assert_ok(2);
}
