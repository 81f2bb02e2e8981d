//! Compressed answers: what is asked for, what is counted, and what becomes of bodies that are not what they say.

use crate::support::encoded::{brotli, gzip, zstd};
use crate::support::tls::Authority;
use crate::support::{OK, Report, Server, measure, on_driver};

const TEXT: &[u8] = b"to be, or not to be, that is to be the question";

/// A whole answer with this Content-Encoding.
fn answer(coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn decode(server: &Server, more: &[&str]) -> Report {
    measure(&[&["-n", "6", "-c", "2", "--decode"], more, &[&server.url("/")]].concat())
}

#[test]
fn compressed_answers_are_asked_for_where_wanted_and_no_header_says_otherwise() {
    let asked = |options: &[&str]| {
        let server = Server::answering(OK);
        measure(&[&["-n", "1"], options, &[&server.url("/")]].concat()).assert_ok(1);
        let headers = server.requests()[0].headers.clone();
        headers.into_iter().filter(|header| header.to_lowercase().starts_with("accept-encoding")).collect::<Vec<_>>()
    };
    assert_eq!(asked(&[]), [""; 0]);
    assert_eq!(asked(&["--decode"]), [""; 0]);
    assert_eq!(asked(&["--compressed"]), ["Accept-Encoding: gzip, br, zstd"]);
    assert_eq!(asked(&["--compressed", "-H", "accept-encoding: br"]), ["accept-encoding: br"]);
}

#[test]
fn bodies_of_all_codings_and_framings_are_decoded_on_both_drivers() {
    let long = TEXT.repeat(20_000);
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            for (coding, body) in [
                ("gzip", gzip(&long)),
                ("x-gzip", gzip(&long)),
                ("br", brotli(&long)),
                ("zstd", zstd(&long)),
                ("gzip, br", brotli(&gzip(&long))),
                ("identity", long.clone()),
            ] {
                let server = Server::answering(answer(coding, &body));
                let report = decode(&server, &[]);
                report.assert_ok(6);
                assert_eq!(report.number("bytes.decoded"), 6 * long.len() as u64, "{coding}");
                assert_eq!(report.number("bytes.in"), 6 * answer(coding, &body).len() as u64, "{coding}");
            }
        });
    }
    let body = gzip(&long);
    let (first, last) = body.split_at(body.len() / 2);
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n".to_vec();
    let chunked =
        [&head[..], b"Transfer-Encoding: chunked\r\n\r\n", &chunk(first), &chunk(last), b"0\r\n\r\n"].concat();
    let until_close = [&head[..], b"\r\n", &body].concat();
    for server in [Server::answering(chunked), Server::answering_once(until_close)] {
        let report = decode(&server, &[]);
        report.assert_ok(6);
        assert_eq!(report.number("bytes.decoded"), 6 * long.len() as u64);
    }
}

#[test]
fn answers_without_a_body_may_name_any_coding() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5000\r\n\r\n";
    let report = decode(&Server::answering(*head), &["-X", "HEAD"]);
    report.assert_ok(6);
    assert_eq!(report.number("bytes.decoded"), 0);
    for head in ["204 No Content\r\nContent-Encoding: br", "200 OK\r\nContent-Encoding: zstd\r\nContent-Length: 0"] {
        decode(&Server::answering(format!("HTTP/1.1 {head}\r\n\r\n")), &[]).assert_ok(6);
    }
}

#[test]
fn a_body_that_is_not_what_its_head_says_fails_its_request_with_the_reason() {
    let mut cut = gzip(TEXT);
    cut.pop();
    for (coding, body, reason) in [
        ("gzip", TEXT.to_vec(), "the gzip body of the answer is malformed"),
        ("gzip", cut, "the gzip body of the answer is cut short"),
        ("br", [brotli(TEXT), b"more".to_vec()].concat(), "bytes follow the end of the br body"),
        ("compress", TEXT.to_vec(), "not made up of gzip, deflate, br and zstd"),
        ("gzip,gzip,gzip,gzip,gzip", TEXT.to_vec(), "more than 4 content codings"),
        ("zstd", zstd(&vec![0; 64 << 20]), "expands more than 1,000 times"),
    ] {
        let server = Server::answering(answer(coding, &body));
        let report = decode(&server, &[]);
        report.assert_failures("protocol", 6);
        let given = report.at("failure_reasons.protocol").as_str().expect("a reason");
        assert!(given.contains(reason), "{given}");
        assert!(report.number("bytes.decoded") <= 6 * ((1 << 20) + 1_000 * body.len() as u64 + 65_536));
        // Nobody who does not decode is troubled.
        measure(&["-n", "6", "-c", "2", "--compressed", &server.url("/")]).assert_ok(6);
    }
}

#[test]
fn after_a_broken_body_the_next_request_has_a_connection_of_its_own_and_a_fresh_decoder() {
    let good = answer("gzip", &gzip(TEXT));
    let bad = answer("gzip", &gzip(TEXT)[..20]);
    let server = Server::start(move |peer| {
        let answer = if peer.number % 2 == 0 { &bad } else { &good };
        while peer.request().is_some() && peer.send(answer) {}
    });
    let report = measure(&["-n", "10", "-c", "1", "--decode", &server.url("/")]);
    // The first connection brings a failure, the second all the rest.
    assert_eq!((report.failure("protocol"), report.count("ok")), (1, 9), "{}", report.at("failures"));
}

#[test]
fn the_warm_up_decodes_and_counts_nothing() {
    let authority = Authority::new();
    let config = authority.server(&authority.issue(&["127.0.0.1"]), rustls::DEFAULT_VERSIONS, false);
    let body = answer("br", &brotli(TEXT));
    let server = Server::encrypted(config, move |peer| while peer.request().is_some() && peer.send(&body) {});
    let url = format!("https://{}/", server.addr());
    let args = ["--warmup", "100ms", "-d", "200ms", "-c", "2", "--decode", "--cacert", &authority.file(), &url];
    let report = measure(&args);
    assert!(report.number("warmup.requests") > 0 && report.count("ok") > 0);
    assert_eq!(report.number("bytes.decoded"), report.count("ok") * TEXT.len() as u64);
}
