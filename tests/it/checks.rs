//! Expectations: what an answer must be, over every way it may come, and what is shown of one that is not.

use rustls::version::{TLS12, TLS13};

use crate::support::encoded::gzip;
use crate::support::frames::{self, DATA, END_HEADERS, END_STREAM, HEADERS, STATUS_200, frame};
use crate::support::program::Finished;
use crate::support::tls::Authority;
use crate::support::{OK, Report, Server, TargetProgram, bench, file, measured, on_driver};

const SECRET: &str = "hush-4711";

/// A whole answer.
pub(crate) fn answer(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Six requests on two connections.
#[track_caller]
fn run(url: &str, args: &[&str]) -> (Report, Finished) {
    measured(&[&["-n", "6", "-c", "2", "-t", "1", url], args].concat())
}

/// All answers are as expected.
#[track_caller]
fn met(url: &str, args: &[&str]) {
    let (report, finished) = run(url, args);
    report.assert_ok(6);
    finished.assert_code(0);
    assert!(report.list("check_samples").is_empty());
}

/// None is; returns what was expected and what came.
#[track_caller]
fn missed(url: &str, args: &[&str]) -> (String, String) {
    let (report, finished) = run(url, args);
    report.assert_failures("check", 6);
    finished.assert_code(1);
    assert_eq!((report.count("sent"), report.number("latency_us.response.count")), (6, 0));
    let samples = report.list("check_samples");
    assert_eq!(samples.len(), 6);
    let text = |name: &str| samples[0][name].as_str().expect("text").to_owned();
    (text("expected"), text("came"))
}

#[test]
fn statuses_headers_and_bodies_are_held_against_what_is_expected() {
    let server = Server::answering(answer("200 OK\r\nX-A: one\r\nx-a: two", "to be, or not to be"));
    let url = &server.url("/");
    let (_folder, same) = file("to be, or not to be");
    let (_other_folder, other) = file("to be, or not to be!");
    let (same, other) = (format!("@{same}"), format!("@{other}"));
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            met(
                url,
                &["--expect-status", "404,2xx", "--expect-header", "X-a: ^two$", "--expect-header=content-length"],
            );
            met(url, &["--expect-body", "^to be.*be$", "--expect-body", &same, "--max-body", "19"]);
            for (args, expected, came) in [
                (&["--expect-status=201,3xx", "--expect-status", "204"][..], "201,3xx,204", "to be, or not to be"),
                (&["--expect-header", "X-A: thr"], "--expect-header X-A: thr", "X-A: one"),
                (&["--expect-header", "ETag"], "--expect-header ETag", "no header ETag"),
                (&["--expect-body", "TO BE"], "--expect-body TO BE", "to be, or not to be"),
                (&["--expect-body", &other], &format!("--expect-body {other}"), "to be, or not to be"),
                (&["--max-body", "18"], "--max-body 18", "a body of 19 bytes or more"),
            ] {
                let (was_expected, has_come) = missed(url, args);
                assert!(was_expected.ends_with(expected) && has_come == came, "{was_expected}: {has_come}");
            }
        });
    }
}

#[test]
fn a_connection_survives_what_was_not_expected_and_not_what_is_too_large() {
    let server = Server::answering(answer("500 No", "busy"));
    let (report, _) = run(&server.url("/"), &["--expect-status", "200"]);
    report.assert_failures("check", 6);
    assert_eq!((server.accepted(), report.count("http_error")), (2, 0), "the answers were whole");
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let endless = [head, b"5\r\nhello\r\n".repeat(9)].concat();
    let server = Server::start(move |peer| while peer.request().is_some() && peer.send(&endless) {});
    let (_, came) = missed(&server.url("/"), &["--max-body", "20"]);
    assert!(came.starts_with("a body of 2") || came.starts_with("a body of 4"), "{came}");
    assert!(server.accepted() >= 6, "each is closed: {}", server.accepted());
}

#[test]
fn an_expected_status_of_400_or_above_is_still_an_error_and_no_failed_check() {
    let server = Server::answering(answer("404 Not Found", "gone"));
    let (report, finished) = run(&server.url("/"), &["--expect-status", "404", "--expect-body", "gone"]);
    assert_eq!((report.count("http_error"), report.failure("check")), (6, 0));
    finished.assert_code(1);
}

#[test]
fn some_failed_checks_are_enough_for_exit_1_and_all_is_still_counted_once() {
    let server = Server::start(|peer| {
        let mut number = 0;
        while peer.request().is_some() {
            number += 1;
            peer.send(if number % 3 == 0 { b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno" } else { OK });
        }
    });
    let (report, finished) = measured(&["-n", "300", "-c", "4", "--expect-body", "^ok$", &server.url("/")]);
    finished.assert_code(1);
    assert!(report.failure("check") >= 90 && report.count("ok") >= 190, "{}", report.at("counts"));
    assert_eq!(report.failure("check") + report.count("ok"), 300);
    assert_eq!(report.list("check_samples").len(), 10);
    assert!(
        report.at("failure_reasons.check").as_str().is_some_and(|reason| reason.ends_with("failed --expect-body ^ok$"))
    );
}

#[test]
fn answers_without_a_body_are_judged_by_what_they_have() {
    let head = Server::answering(*b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
    met(
        &head.url("/"),
        &["-X", "HEAD", "--expect-body", "x", "--max-body", "10", "--expect-header", "Content-Length: 5000"],
    );
    missed(&head.url("/"), &["-X", "HEAD", "--expect-status", "204"]);
    for status in ["204 No Content", "304 Not Modified"] {
        let server = Server::answering(format!("HTTP/1.1 {status}\r\n\r\n"));
        met(&server.url("/"), &["--expect-body", "^$", "--max-body", "0"]);
        assert_eq!(missed(&server.url("/"), &["--expect-body", "."]).1, "no body");
    }
}

#[test]
fn bodies_may_come_in_any_framing_and_coding_and_size() {
    let text = "to be, or not to be; ".repeat(20_000);
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    let (first, last) = text.as_bytes().split_at(70_000);
    let head = &b"HTTP/1.1 200 OK\r\n"[..];
    let chunked = [head, b"Transfer-Encoding: chunked\r\n\r\n", &chunk(first), &chunk(last), b"0\r\n\r\n"].concat();
    let until_close = [head, b"\r\n", text.as_bytes()].concat();
    let coded = gzip(text.as_bytes());
    let coding = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", coded.len());
    let coded = Server::answering([head, coding.as_bytes(), &coded].concat());
    let (_folder, path) = file(&text);
    let equal = format!("@{path}");
    let most = text.len().to_string();
    let whole = ["--expect-body", &equal, "--expect-body", "^(to be, or not to be; )*$", "--max-body", &most];
    for server in
        [Server::answering(answer("200 OK", &text)), Server::answering(chunked), Server::answering_once(until_close)]
    {
        met(&server.url("/"), &whole);
    }
    met(&coded.url("/"), &[&whole[..], &["--decode"]].concat());
    missed(&coded.url("/"), &["--expect-body", &equal]);
    let less = (text.len() - 1).to_string();
    missed(&coded.url("/"), &["--decode", "--max-body", &less]);
}

#[test]
fn expectations_hold_under_tls_in_pipelines_and_over_http_2() {
    let authority = Authority::new();
    let config = authority.server(&authority.issue(&["127.0.0.1"]), &[&TLS13, &TLS12], false);
    let body = answer("200 OK", &"hello ".repeat(10_000));
    let server = Server::encrypted(config, move |peer| while peer.request().is_some() && peer.send(&body) {});
    let (url, authority) = (format!("https://{}/", server.addr()), authority.file());
    met(&url, &["--cacert", &authority, "--expect-body", "^(hello )+$", "--expect-status", "200"]);
    missed(&url, &["--cacert", &authority, "--expect-body", "bye"]);
    let server = Server::answering(answer("200 OK", "hello"));
    met(&server.url("/"), &["--pipeline", "3", "--expect-body", "^hello$"]);
    missed(&server.url("/"), &["--pipeline", "3", "--expect-body", "bye"]);
    assert_eq!(server.accepted(), 4, "a pipeline survives");
    // `:status: 200` and, as a literal, `x-a: b`.
    let headers = [&[STATUS_200, 0, 3][..], b"x-a", &[1], b"b"].concat();
    let server = Server::start(frames::answering(move |_, stream| {
        let parts = [
            frame(HEADERS, END_HEADERS, stream, &headers),
            frame(DATA, 0, stream, b"hel"),
            frame(DATA, END_STREAM, stream, b"lo"),
        ];
        Some(parts.concat())
    }));
    let url = server.url("/");
    let h2 = ["--http", "2", "--streams", "3"];
    met(&url, &[&h2[..], &["--expect-header", "X-A: b", "--expect-body", "^hello$", "--max-body", "5"]].concat());
    assert_eq!(missed(&url, &[&h2[..], &["--expect-header", "X-A: c"]].concat()).1, "X-A: b");
    assert_eq!(missed(&url, &[&h2[..], &["--expect-body", "bye"]].concat()).1, "hello");
    let before = server.accepted();
    missed(&url, &[&h2[..], &["--max-body", "4"]].concat());
    assert_eq!(server.accepted() - before, 2, "only the streams are reset");
}

#[test]
fn the_embedded_target_is_checked_like_any_other() {
    let target = TargetProgram::start();
    met(&format!("{}/", target.url), &["--expect-body", "^hello world\n$"]);
    met(&format!("{}/chunked/100000", target.url), &["--max-body", "100000"]);
    missed(&format!("{}/chunked/100001", target.url), &["--max-body", "100000"]);
    missed(&format!("{}/bytes/1000000", target.url), &["--max-body", "999999"]);
    missed(&format!("{}/status/302", target.url), &["--expect-status", "200"]);
}

#[test]
fn what_came_is_escaped_bounded_and_without_secrets() {
    let long = format!("\u{1b}[31m{}\n", "x".repeat(5_000));
    let server = Server::answering(answer("503 Busy", &long));
    let args = ["-n", "20", "-c", "2", "-t", "1", "--expect-status", "200", &server.url("/")];
    let text = bench(&args).stdout;
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| *line == "Unexpected:   --expect-status 200: 503,").expect(&text);
    assert!(
        lines[at + 1].starts_with(r"              \u{1b}[31mxxx") && !lines[at + 2].contains("503"),
        "alike are told once: {text}"
    );
    assert!(lines.iter().all(|line| line.len() <= 80) && !text.contains('\u{1b}'), "{text}");
    let (report, _) = measured(&args);
    assert_eq!(report.list("check_samples").len(), 10);
    // It sends back whatever it was asked.
    let echo = Server::start(|peer| {
        while let Some(request) = peer.request() {
            let said = format!("{}\n{}", request.headers.join("\n"), String::from_utf8_lossy(&request.body));
            peer.send(&answer(&format!("500 No\r\nSet-Cookie: id={SECRET}"), &said[said.find("Auth").unwrap_or(0)..]));
        }
    });
    for asked in [
        &["-H", &format!("Authorization: {SECRET}")][..],
        &["-u", &format!("me:{SECRET}")],
        &["-b", &format!("Auth: {SECRET}")],
    ] {
        for expected in
            [&["--expect-status", "200"][..], &["--expect-body", "^$"], &["--expect-header", "Set-Cookie: no"]]
        {
            for format in ["text", "json"] {
                let finished =
                    bench(&[&["-n", "2", "-c", "1", "--format", format, &echo.url("/")], asked, expected].concat());
                finished.assert_code(1);
                let said = finished.stdout + &finished.stderr;
                assert!(said.contains("***") && !said.contains(SECRET), "{said}");
                assert!(!said.contains("bWU6aHVzaC00NzEx"), "{said}");
            }
        }
    }
}

#[test]
fn the_warm_up_is_judged_and_leaves_no_trace() {
    let server = Server::start(|peer| {
        let mut number = 0;
        while peer.request().is_some() {
            number += 1;
            peer.send(if number == 1 { b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno" } else { OK });
        }
    });
    let args = ["--warmup", "100ms", "-d", "100ms", "-c", "1", "--expect-body", "ok", &server.url("/")];
    let (report, finished) = measured(&args);
    finished.assert_code(0);
    assert_eq!((report.number("warmup.failed"), report.failure("check")), (1, 0));
    assert!(report.list("check_samples").is_empty() && report.at("failure_reasons").get("check").is_none());
}

#[test]
fn expectations_stand_in_plans_and_reports_as_typed_but_for_secrets() {
    let (folder, path) = file("hello");
    let server = Server::answering(answer(&format!("200 OK\r\nSet-Cookie: {SECRET}"), "hello"));
    let secret = format!("Set-Cookie: {SECRET}");
    let args =
        ["--expect-status", "200,3xx", "--expect-header", "ETag: x", "--expect-header", &secret, "--max-body=1MB"];
    let plain = ["--expect-body", &format!("@{path}"), &server.url("/")];
    let printed = bench(&[&args[..], &plain, &["--print-plan"]].concat());
    printed.assert_code(0);
    assert!(printed.stdout.contains("expect-header = [\"ETag: x\", \"Set-Cookie: ***\"]"), "{}", printed.stdout);
    assert!(printed.stdout.contains(&format!("expect-body = [\"@{path}\"]")) && !printed.stdout.contains(SECRET));
    let plan = folder.path().join("plan.toml");
    let plan_path = plan.to_str().expect("a path in UTF-8");
    std::fs::write(&plan, printed.stdout).expect("a file");
    bench(&["--plan", plan_path]).assert_code(2);
    let text = format!(
        "url = {:?}\nexpect-status = \"2xx\"\nexpect-body = [\"@file.txt\", \"^hell\"]\nrequests = 3",
        server.url("/")
    );
    std::fs::write(&plan, text).expect("a file");
    let (report, finished) = measured(&["--plan", plan_path]);
    finished.assert_code(0);
    assert_eq!(report.at("plan.expect.status.0").as_str(), Some("2xx"));
    assert_eq!(report.number("plan.expect.max_body_bytes"), 8 << 20);
    assert_eq!(report.at("plan.expect.bodies.1.pattern").as_str(), Some("^hell"));
    assert!(report.at("plan.expect.bodies.0.sha256").as_str().is_some_and(|digest| digest.starts_with("2cf24dba")));
    let (report, _) = measured(&[&args[..], &plain, &["-n", "2"]].concat());
    assert!(!report.at("argv").to_string().contains(SECRET) && !report.at("plan").to_string().contains(SECRET));
}

#[test]
fn expectations_that_make_no_sense_are_refused_before_anything_is_sent() {
    let server = Server::answering(OK);
    for (args, part) in [
        (["--expect-status", "20x"], "--expect-status 20x: is no status"),
        (["--expect-status", "1xx"], "--expect-status 1xx: ends no answer"),
        (["--expect-header", "a b: c"], "--expect-header: has no header name"),
        (["--expect-header", "A: ("], "--expect-header 'A': is no regular expression: unclosed group"),
        (["--expect-body", "[a"], "--expect-body: is no regular expression: unclosed character class"),
        (["--expect-body", "@/no/such/file"], "--expect-body @/no/such/file: cannot read it"),
        (["--max-body", "1M"], "--max-body: \"1M\" is no size"),
    ] {
        let finished = bench(&[&args[..], &["-n", "1", &server.url("/")]].concat());
        finished.assert_code(2);
        assert!(finished.stderr.contains(part) && finished.stdout.is_empty(), "{}", finished.stderr);
        assert_eq!(finished.stderr.lines().count(), 1, "{}", finished.stderr);
    }
    assert_eq!(server.accepted(), 0);
}
