//! Expectations of answers: of each line the last one is held against them.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use super::{fetch, only, records};
use crate::checks::answer;
use crate::support::encoded::gzip;
use crate::support::{OK, Server, file, ringload};

const SECRET: &str = "hush-4711";

/// Path, head and body of what a server says; anything else is 404, `gone`.
type Page = (&'static str, &'static str, &'static str);

fn pages(pages: &'static [Page]) -> Server {
    Server::start(move |peer| {
        while let Some(request) = peer.request() {
            let path = request.line.split(' ').nth(1).unwrap_or_default();
            let found = pages.iter().find(|(page, ..)| *page == path);
            let (head, body) = found.map_or(("404 Not Found", "gone"), |&(_, head, body)| (head, body));
            let mut sent = answer(head, body);
            if request.line.starts_with("HEAD ") {
                sent.truncate(sent.len() - body.len());
            }
            if !peer.send(&sent) {
                return;
            }
        }
    })
}

/// It fell short: its answer, of this status, is in the record all the same.
#[track_caller]
fn assert_short(record: &Value, status: u16, detail: &str) {
    assert_eq!((&record["error"]["kind"], &record["ok"]), (&"check".into(), &false.into()), "{record}");
    assert_eq!((&record["status"], &record["error"]["detail"]), (&status.into(), &detail.into()));
}

#[track_caller]
fn assert_ok(record: &Value, status: u16) {
    assert_eq!((&record["status"], &record["error"], &record["ok"]), (&status.into(), &().into(), &true.into()));
}

#[test]
fn a_status_that_is_expected_is_ok_whatever_it_is_and_no_other_is() {
    let server = pages(&[("/", "200 OK", "fine")]);
    let urls = [server.url("/"), server.url("/none")];
    let run = |more: &[&str]| fetch(&[&[urls[0].as_str(), &urls[1]][..], more].concat());
    let all = records(&run(&["--expect-status", "404,5xx"]).assert_code(0).stdout);
    assert_short(&all[&1], 200, "--expect-status 404,5xx: 200, fine");
    assert_ok(&all[&2], 404);
    assert_eq!((&all[&1]["bytes"], &all[&2]["bytes"]), (&4.into(), &4.into()));
    run(&["--expect-status", "404", "--fail-on-error"]).assert_code(1);
    run(&["--expect-status", "404,200", "--fail-on-error"]).assert_code(0);
    run(&["--expect-status", "500"]).assert_code(1);
    let all = records(&run(&["--expect-body", "fine|gone"]).assert_code(0).stdout);
    assert_ok(&all[&1], 200);
    assert_eq!((&all[&2]["error"], &all[&2]["ok"]), (&().into(), &false.into()), "its status was not named");
}

#[test]
fn headers_are_held_against_what_is_expected() {
    let server = pages(&[("/", "200 OK\r\nX-A: one\r\nx-a: two\r\nSet-Cookie: hush-4711", "fine")]);
    let url = server.url("/");
    assert_ok(&only(fetch(&[&url, "--expect-header", "X-a: ^two$"]).assert_code(0)), 200);
    for (expected, detail) in [
        ("ETag", "--expect-header ETag: 200, no header ETag"),
        ("X-A: three", "--expect-header X-A: three: 200, X-A: one"),
        ("Set-Cookie: hush-no", "--expect-header Set-Cookie: ***: 200, Set-Cookie: ***"),
    ] {
        assert_short(&only(fetch(&[&url, "--expect-header", expected]).assert_code(1)), 200, detail);
    }
}

#[test]
fn bodies_are_held_against_what_is_expected() {
    let server = pages(&[("/", "200 OK", "to be, or \u{1b}[2Jnot\n")]);
    let (_folder, same) = file("to be, or \u{1b}[2Jnot\n");
    let (url, same) = (server.url("/"), format!("@{same}"));
    assert_ok(&only(fetch(&[&url, "--expect-body", "^to be", "--expect-body", &same]).assert_code(0)), 200);
    let finished = fetch(&[&url, "--expect-body", "TO BE"]);
    assert_short(&only(finished.assert_code(1)), 200, "--expect-body TO BE: 200, to be, or \u{1b}[2Jnot\n");
    assert!(finished.stdout.contains(r"\u001b[2Jnot\n") && !finished.stdout.contains('\u{1b}'), "{}", finished.stdout);
    let long = "x".repeat(5_000);
    let server = Server::answering(answer("200 OK", &long));
    let record = only(fetch(&[&server.url("/"), "--expect-body", &same]).assert_code(1));
    assert_short(&record, 200, &format!("--expect-body {same}: 200, {}", &long[..100]));
    let record = only(fetch(&[&server.url("/"), "--expect-body", "x", "--max-body", "4999"]).assert_code(1));
    assert_eq!(record["error"]["kind"], "too_large");
}

#[test]
fn redirects_are_followed_first_even_where_they_are_expected() {
    let server = pages(&[("/1", "302 Found\r\nLocation: /2", "not here"), ("/2", "200 OK\r\nX-End: 1", "here")]);
    let url = server.url("/1");
    for expected in [&["--expect-status", "2xx"][..], &["--expect-status", "302,200", "--expect-header", "X-End"]] {
        let record = only(fetch(&[&[url.as_str()][..], expected].concat()).assert_code(0));
        assert_ok(&record, 200);
        assert_eq!(record["final_url"], server.url("/2"));
    }
    let record = only(fetch(&[&url, "--max-redirects", "0", "--expect-body", "^here"]).assert_code(1));
    assert_short(&record, 302, "--expect-body ^here: 302, not here");
}

#[test]
fn what_may_pass_is_tried_again_unless_it_is_expected() {
    let asked = AtomicU64::new(0);
    let server = Server::start(move |peer| {
        while let Some(request) = peer.request() {
            let passes = request.line.contains("/flaky") && asked.fetch_add(1, Ordering::SeqCst) % 3 == 2;
            let sent = if passes { OK.to_vec() } else { answer("503 Busy", "busy") };
            peer.send(&sent);
        }
    });
    let urls = [server.url("/flaky"), server.url("/broken")];
    let run = |expected: &str| {
        let args = [&urls[0], &urls[1], "--backoff", "1ms", "--retries", "2", "--expect-status", expected];
        records(&fetch(&args).assert_code(0).stdout)
    };
    let all = run("200");
    assert_ok(&all[&1], 200);
    assert_short(&all[&2], 503, "--expect-status 200: 503, busy");
    assert_eq!((&all[&1]["attempts"], &all[&2]["attempts"]), (&3.into(), &3.into()));
    let all = run("200,503");
    assert_ok(&all[&2], 503);
    assert_eq!((&all[&1]["attempts"], &all[&2]["attempts"]), (&1.into(), &1.into()));
}

#[test]
fn an_answer_without_a_body_is_held_against_what_it_has() {
    let server = pages(&[("/", "200 OK\r\nETag: \"1\"", "fine")]);
    let (_folder, path) = file(format!("HEAD {}\n", server.url("/")));
    let run =
        |code: i32, expected: &[&str]| only(fetch(&[&["-i", path.as_str()][..], expected].concat()).assert_code(code));
    assert_ok(&run(0, &["--expect-header", "ETag", "--expect-body", "something else"]), 200);
    assert_short(&run(1, &["--expect-header", "ETag: 2"]), 200, "--expect-header ETag: 2: 200, ETag: \"1\"");
    let nothing = Server::answering(*b"HTTP/1.1 204 No Content\r\n\r\n");
    assert_ok(&only(fetch(&[&nothing.url("/"), "--expect-body", "^$"]).assert_code(0)), 204);
    let record = only(fetch(&[&nothing.url("/"), "--expect-body", "."]).assert_code(1));
    assert_short(&record, 204, "--expect-body .: 204, no body");
}

#[test]
fn a_body_is_judged_as_it_is_decoded() {
    let text = "to be, or not to be; ".repeat(20_000);
    let coded = gzip(text.as_bytes());
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", coded.len());
    let server = Server::answering([head.as_bytes(), &coded].concat());
    let (_folder, path) = file(&text);
    let (url, equal) = (server.url("/"), format!("@{path}"));
    let whole = [url.as_str(), "--expect-body", "^(to be, or not to be; )*$", "--expect-body", &equal];
    assert_ok(&only(fetch(&[&whole[..], &["--decode"]].concat()).assert_code(0)), 200);
    let record = only(fetch(&whole).assert_code(1));
    assert_eq!((&record["error"]["kind"], &record["bytes"]), (&"check".into(), &coded.len().into()));
}

#[test]
fn what_falls_short_is_not_saved_and_what_is_expected_is() {
    let server = pages(&[("/", "200 OK", "fine")]);
    let folder = tempfile::tempdir().expect("a folder");
    let bodies = folder.path().to_str().expect("a path in UTF-8");
    let urls = [server.url("/"), server.url("/none")];
    let args = ["--save", bodies, "--save-as", "line", &urls[0], &urls[1]];
    fetch(&[&args[..], &["--expect-body", "^gone"]].concat()).assert_code(1);
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
    let all = records(&fetch(&[&args[..], &["--expect-status", "404"]].concat()).assert_code(0).stdout);
    assert!(all[&1]["file"].is_null() && all[&2]["file"] == "000000/000000002", "{all:?}");
    assert_eq!(fs::read(folder.path().join("000000/000000002")).expect("the body"), b"gone");
}

#[test]
fn robots_txt_is_never_judged() {
    let server = pages(&[("/", "200 OK\r\nX-A: 1", "fine")]);
    let expected = ["--expect-status", "200", "--expect-header", "X-A", "--expect-body", "fine"];
    let finished = ringload(&[&["fetch", "-q", server.url("/").as_str()][..], &expected].concat());
    assert_ok(&only(finished.assert_code(0)), 200);
    assert_eq!(server.paths(), ["/robots.txt", "/"]);
}

#[test]
fn a_run_is_gone_on_with_under_the_same_expectations_alone() {
    let server = pages(&[("/", "200 OK", "fine")]);
    let (folder, expected) = file("fine");
    let journal = folder.path().join("out.jsonl").to_str().expect("a path in UTF-8").to_owned();
    let url = server.url("/");
    let run = |more: &[&str]| fetch(&[&[url.as_str(), "-o", &journal, "--resume"][..], more].concat());
    let body = format!("@{expected}");
    run(&["--expect-body", &body]).assert_code(0);
    let elsewhere = format!("{expected}.copy");
    fs::copy(&expected, &elsewhere).expect("our own file");
    run(&["--expect-body", &format!("@{elsewhere}")]).assert_code(0);
    fs::write(&expected, "other").expect("our own file");
    for more in [&["--expect-body", &body][..], &[], &["--expect-body", "fine"], &["--expect-status", "200"]] {
        let finished = run(more);
        assert!(finished.assert_code(2).stderr.contains("other options"), "{more:?}: {}", finished.stderr);
    }
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_came_is_shown_without_secrets() {
    // It sends back whatever it was asked.
    let echo = Server::start(|peer| {
        while let Some(request) = peer.request() {
            let said = format!("{}\n{}", request.headers.join("\n"), String::from_utf8_lossy(&request.body));
            let secret_at = ["Auth", "Cookie"].into_iter().find_map(|name| said.find(name));
            peer.send(&answer("500 No", &said[secret_at.unwrap_or(0)..]));
        }
    });
    let login = format!("me:{SECRET}");
    for asked in [["-u", &login], ["--cookie", &format!("id={SECRET}; a=1")], ["-b", &format!("Auth: {SECRET}")]] {
        let finished = fetch(&[&echo.url("/"), "--retries", "0", "--expect-status", "200", asked[0], asked[1]]);
        finished.assert_code(1);
        assert!(finished.stdout.contains("***") && !finished.stdout.contains(SECRET), "{}", finished.stdout);
        assert!(!finished.stdout.contains("bWU6aHVzaC00NzEx"), "{}", finished.stdout);
    }
}

#[test]
fn expectations_that_make_no_sense_are_refused() {
    for (args, part) in [
        (&["--expect-status", "20"][..], "--expect-status 20"),
        (&["--expect-header", "a b"], "no header name"),
        (&["--expect-body", "("], "unclosed group"),
        (&["--expect-body", "@/no/such/file"], "cannot read it"),
        (&["--expect-body", "x", "--max-body", "1G"], "held whole"),
    ] {
        let finished = fetch(&[&["http://127.0.0.1/"][..], args].concat());
        assert!(finished.assert_code(2).stderr.contains(part), "{}", finished.stderr);
    }
}
