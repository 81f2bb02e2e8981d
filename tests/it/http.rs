//! HTTP/1.1 over real sockets: where answers end, which connections live on, what goes out.

use std::time::Duration;

use crate::support::{OK, Peer, Program, Report, Server, TargetProgram, file, measure};

/// Four requests, one by one, to a server that gives the same answer each time and keeps its connections.
#[track_caller]
fn four(answer: impl Into<Vec<u8>>, options: &[&str]) -> (Report, Server) {
    let server = Server::answering(answer);
    (four_of(&server, options), server)
}

#[track_caller]
fn four_of(server: &Server, options: &[&str]) -> Report {
    let url = server.url("/");
    measure(&[&["-c", "1", "-t", "1", "-n", "4", "--timeout", "3s"], options, &[&url]].concat())
}

/// All four came on one connection: the end of each answer was found where it is.
#[track_caller]
fn four_on_one_connection(answer: impl Into<Vec<u8>>, options: &[&str]) -> Report {
    let (report, server) = four(answer, options);
    report.assert_ok(4);
    assert_eq!((server.accepted(), report.count("connections_opened")), (1, 1));
    report
}

/// All four are answered, each on a connection of its own.
#[track_caller]
fn four_connections(server: &Server) -> Report {
    let report = four_of(server, &[]);
    report.assert_ok(4);
    assert_eq!((report.count("connections_opened"), report.count("redials")), (4, 0), "{}", report.at("counts"));
    report
}

#[track_caller]
fn four_protocol_errors(answer: impl Into<Vec<u8>>) {
    four(answer, &[]).0.assert_failures("protocol", 4);
}

#[test]
fn the_answer_to_a_head_has_no_body_whatever_its_length_says() {
    let answer = *b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n";
    four_on_one_connection(answer, &["-X", "HEAD"]);
    four_on_one_connection(*b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &["-X", "HEAD"]);
}

#[test]
fn a_204_and_a_304_have_no_body_whatever_their_length_says() {
    let report = four_on_one_connection(*b"HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n", &[]);
    assert_eq!(report.number("status.204"), 4);
    four_on_one_connection(*b"HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n", &[]);
}

#[test]
pub(crate) fn interim_answers_are_not_the_answer() {
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let report = four_on_one_connection([interim, OK].concat(), &[]);
    assert_eq!(report.at("status").to_string(), r#"{"200":4}"#);
}

#[test]
fn endless_interim_answers_are_refused() {
    let server = Server::start(|peer| {
        peer.request();
        while peer.send(b"HTTP/1.1 100 Continue\r\n\r\n") {}
    });
    four_of(&server, &[]).assert_failures("protocol", 4);
}

#[test]
fn a_body_without_a_length_ends_with_the_connection() {
    let report = four_connections(&Server::answering_once(*b"HTTP/1.1 200 OK\r\n\r\nuntil the end"));
    assert_eq!(report.number("bytes.in"), 4 * 32);
    four_connections(&Server::answering_once(*b"HTTP/1.0 200 OK\r\n\r\nuntil the end"));
}

#[test]
fn connection_close_is_obeyed() {
    // The server does not close by itself: the client must not use the connection again.
    let server = Server::start(|peer| {
        peer.request();
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        peer.stall();
    });
    four_connections(&server);
}

#[test]
fn an_http_1_0_connection_lives_on_only_when_the_server_says_so() {
    let (closing, keeping) = ("", "Connection: keep-alive\r\n");
    for (header, connections) in [(closing, 4), (keeping, 1)] {
        let (report, _server) = four(format!("HTTP/1.0 200 OK\r\n{header}Content-Length: 2\r\n\r\nok"), &[]);
        report.assert_ok(4);
        assert_eq!(report.count("connections_opened"), connections, "{header}");
    }
}

#[test]
fn chunks_with_extensions_and_trailers_are_read_to_their_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in
        ["5;ext=\"a;b\"\r\nhello\r\n0\r\n\r\n", "005 \r\nhello\r\n0\r\nX-Trailer: a\r\nX-Other: b\r\n\r\n", "0\r\n\r\n"]
    {
        four_on_one_connection(format!("{head}{body}"), &[]);
    }
}

#[test]
fn malformed_chunks_are_refused() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for body in ["\r\n\r\n", "x\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "fffffffffffffffff\r\n", "-1\r\n"] {
        four_protocol_errors(format!("{head}{body}"));
    }
}

#[test]
fn a_head_with_bare_line_feeds_is_read() {
    four_on_one_connection(*b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", &[]);
}

#[test]
fn empty_lines_before_an_answer_are_skipped() {
    four_on_one_connection([b"\r\n\r\n", OK].concat(), &[]);
}

#[test]
fn up_to_128_headers_are_read_and_more_are_refused() {
    let answer = |n: usize| {
        let lines: String = (1..n).map(|i| format!("X-{i}: {i}\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok")
    };
    four_on_one_connection(answer(97), &[]);
    four_on_one_connection(answer(128), &[]);
    four_protocol_errors(answer(129));
}

#[test]
fn a_header_name_of_70_kilobytes_is_refused() {
    four_protocol_errors(format!("HTTP/1.1 200 OK\r\n{}: 1\r\nContent-Length: 2\r\n\r\nok", "n".repeat(70_000)));
}

#[test]
fn a_head_of_60_kilobytes_is_read() {
    let answer = format!("HTTP/1.1 200 OK\r\nX-Large: {}\r\nContent-Length: 2\r\n\r\nok", "v".repeat(60_000));
    four_on_one_connection(answer, &[]);
}

#[test]
pub(crate) fn an_endless_head_is_refused_and_costs_no_memory() {
    let server = Server::start(|peer| {
        peer.request();
        let line = format!("X-Endless: {}\r\n", "v".repeat(4_000));
        peer.send(b"HTTP/1.1 200 OK\r\n");
        while peer.send(line.as_bytes()) {}
    });
    let url = server.url("/");
    let args = ["bench", "--format", "json", "-c", "8", "-t", "1", "-d", "600ms", "--drain", "1s", &url];
    let program = Program::start(&args);
    server.wait_until(|server| server.accepted() > 40);
    let peak = program.peak_memory().expect("it still runs");
    let report = Report::of(program.finish().assert_code(1));
    assert!(report.failure("protocol") > 0);
    assert!(peak < 200 << 20, "{peak} bytes");
}

#[test]
fn switched_protocols_are_refused() {
    four_protocol_errors(*b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n");
}

#[test]
fn another_version_is_refused() {
    four_protocol_errors(*b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok");
    four_protocol_errors(*b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok");
}

#[test]
pub(crate) fn an_answer_that_comes_byte_by_byte_is_whole_at_its_last_byte() {
    let server = Server::start(|peer: &mut Peer| {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nX: y\r\n\r\n";
        while peer.request().is_some() && peer.trickle(answer, Duration::from_micros(300)) {}
    });
    let report = four_of(&server, &[]);
    report.assert_ok(4);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn the_bytes_of_every_answer_are_counted() {
    let report = four_on_one_connection(OK, &[]);
    assert_eq!(report.number("bytes.in"), 4 * OK.len() as u64);
}

#[test]
pub(crate) fn a_megabyte_of_known_length_is_counted_and_thrown_away() {
    let body = vec![b'x'; 1 << 20];
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let report = four_on_one_connection([head.as_bytes(), &body].concat(), &[]);
    assert_eq!(report.number("bytes.in"), 4 * (head.len() + body.len()) as u64);
}

#[test]
pub(crate) fn a_megabyte_in_chunks_is_counted_and_thrown_away() {
    for chunk in [1, 1000, 70_000] {
        let data = vec![b'x'; chunk];
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let total = if chunk == 1 { 50_000 } else { (1 << 20) / chunk };
        for _ in 0..total {
            answer.extend_from_slice(format!("{chunk:x}\r\n").as_bytes());
            answer.extend_from_slice(&data);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        let bytes = answer.len() as u64;
        let report = four_on_one_connection(answer, &[]);
        assert_eq!(report.number("bytes.in"), 4 * bytes, "chunks of {chunk}");
    }
}

#[test]
pub(crate) fn a_megabyte_until_close_is_counted_and_thrown_away() {
    let answer = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 1 << 20]].concat();
    let bytes = answer.len() as u64;
    let report = four_connections(&Server::answering_once(answer));
    assert_eq!(report.number("bytes.in"), 4 * bytes);
}

#[test]
pub(crate) fn a_large_body_is_sent_whole() {
    let target = TargetProgram::start();
    let (_folder, body) = file(vec![b'b'; 1 << 20]);
    let url = format!("{}/echo", target.url);
    let report = measure(&["-c", "2", "-t", "1", "-n", "20", "-b", &format!("@{body}"), &url]);
    report.assert_ok(20);
    assert!(report.number("bytes.out") >= 20 << 20 && report.number("bytes.in") >= 20 << 20);
}

#[test]
pub(crate) fn large_answers_of_the_target_are_counted_to_the_byte() {
    let target = TargetProgram::start();
    let url = format!("{}/bytes/1048576", target.url);
    let report = measure(&["-c", "4", "-t", "1", "-n", "50", &url]);
    report.assert_ok(50);
    let heads = report.number("bytes.in") - 50 * 1_048_576;
    assert!((50 * 60..50 * 400).contains(&heads), "{heads}");
}

#[test]
fn a_request_goes_out_as_it_was_typed() {
    let server = Server::answering(OK);
    let url = server.url("/a%20b?q=1#fragment");
    let headers = ["-H", "x-CASE: Kept", "-H", "Accept:", "-H", "X-Empty;", "-H", "User-Agent: me"];
    measure(&[&["-n", "1", "-X", "PATCH", "-b", "body"], &headers[..], &[&url]].concat()).assert_ok(1);
    let request = server.requests().remove(0);
    assert_eq!(request.line, "PATCH /a%20b?q=1 HTTP/1.1");
    assert_eq!(request.body, b"body");
    let host = format!("Host: {}", server.addr());
    assert_eq!(request.headers, [&host, "Content-Length: 4", "x-CASE: Kept", "X-Empty: ", "User-Agent: me"]);
}

#[test]
fn a_post_without_a_body_has_a_length_of_0_and_a_get_has_none() {
    let server = Server::answering(OK);
    measure(&["-n", "1", "-m", "POST", &server.url("/")]).assert_ok(1);
    measure(&["-n", "1", &server.url("/")]).assert_ok(1);
    let requests = server.requests();
    assert!(requests[0].headers.contains(&"Content-Length: 0".to_owned()));
    assert!(!requests[1].headers.iter().any(|header| header.starts_with("Content-Length")));
    let agent = format!("User-Agent: ringload/{}", env!("CARGO_PKG_VERSION"));
    assert!(requests[1].headers.contains(&agent) && requests[1].headers.contains(&"Accept: */*".to_owned()));
}

#[test]
fn a_body_is_posted_from_text_file_and_standard_input() {
    let server = Server::answering(OK);
    let url = server.url("/");
    let (_folder, path) = file("from a file");
    measure(&["-n", "1", "-b", "from text", &url]).assert_ok(1);
    measure(&["-n", "1", "-b", &format!("@{path}"), &url]).assert_ok(1);
    Program::start_with_input(&["bench", "-n", "1", "-b", "@-", &url], "from stdin").finish().assert_code(0);
    let bodies: Vec<_> = server.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, [&b"from text"[..], b"from a file", b"from stdin"]);
    assert!(server.requests().iter().all(|request| request.line == "POST / HTTP/1.1"));
}

#[test]
fn credentials_in_a_url_become_basic_authorization() {
    let server = Server::answering(OK);
    measure(&["-n", "1", &format!("http://me:p%40ss@{}/", server.addr())]).assert_ok(1);
    assert!(server.requests()[0].headers.contains(&"Authorization: Basic bWU6cEBzcw==".to_owned()));
}

#[test]
fn statuses_of_400_and_above_are_answers_and_no_success() {
    let report = four(*b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", &[]).0;
    assert_eq!((report.count("http_error"), report.count("ok"), report.count("failed")), (4, 0, 0));
    assert!(report.warns("http_errors") && report.warns("no_success"));
    let report = four(*b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", &[]).0;
    report.assert_ok(4);
    assert!(report.warns("redirects"));
}

#[test]
fn an_answer_may_come_before_the_request_was_read_whole() {
    let server = Server::start(|peer| {
        peer.send(OK);
        peer.stall();
    });
    let report = four_of(&server, &["--start-anyway"]);
    // Bytes that nobody asked for: the first may pass for an answer, none may hang.
    assert_eq!(report.count("ok") + report.count("failed"), 4);
}
