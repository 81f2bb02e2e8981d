//! What is made of answers: bodies, redirects, retries.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{fetch, only, records, start};
use crate::support::{OK, Server, TargetProgram, file};

/// What a server says on each path; anything else is 404.
fn pages(pages: &'static [(&'static str, &'static str)]) -> Server {
    Server::start(move |peer| {
        while let Some(request) = peer.request() {
            let path = request.line.split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = pages.iter().find(|(page, _)| *page == path).map_or("404 Not Found", |(_, answer)| answer);
            if !peer.send(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes()) {
                return;
            }
        }
    })
}

#[test]
fn what_nobody_wants_of_an_answer_is_not_read_without_end() {
    let server = Server::start(|peer| {
        let Some(request) = peer.request() else { return };
        let head = match request.line.split(' ').nth(1) {
            Some("/moved") => "302 Found\r\nLocation: /new",
            Some("/busy") => "503 Busy",
            _ => {
                peer.send(OK);
                return;
            }
        };
        peer.send(format!("HTTP/1.1 {head}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes());
        let more = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        while peer.send(more.as_bytes()) {}
    });
    let args = ["--max-body", "1M", "--retries", "1", "--backoff", "1ms", "--timeout", "30s"];
    let urls = [server.url("/moved"), server.url("/busy")];
    let all = records(&fetch(&[&args[..], &[&urls[0], &urls[1]]].concat()).assert_code(0).stdout);
    assert_eq!((&all[&1]["status"], &all[&1]["ok"]), (&200.into(), &true.into()));
    assert_eq!((&all[&2]["error"]["kind"], &all[&2]["attempts"]), (&"too_large".into(), &2.into()));
    let took = |line: u64| all[&line]["response_ms"].as_f64().expect("a time");
    assert!(took(1) < 15_000.0 && took(2) < 15_000.0, "{all:?}");
}

#[test]
fn a_large_body_goes_to_its_file_in_bounded_memory() {
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let bodies = folder.path().to_str().expect("a path in UTF-8");
    let size = 192 << 20;
    let url = format!("{}/bytes/{size}", target.url);
    let mut program = start(&[&url, "--save", bodies, "-t", "1", "-c", "8"]);
    let mut peak = 0;
    while !program.has_ended() {
        peak = peak.max(program.peak_memory().unwrap_or_default());
        std::thread::sleep(Duration::from_millis(5));
    }
    let record = only(program.finish().assert_code(0));
    assert_eq!(record["bytes"], size);
    let saved = Path::new(bodies).join(record["file"].as_str().expect("a name"));
    assert_eq!(fs::metadata(saved).expect("a file").len(), size);
    assert!(peak > 0 && peak < 64 << 20, "{peak} bytes");
}

#[test]
fn a_body_that_is_too_large_is_an_error_of_its_line_and_leaves_no_file() {
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let bodies = folder.path().to_str().expect("a path in UTF-8");
    let finished = fetch(&[&format!("{}/bytes/100000", target.url), "--save", bodies, "--max-body", "99999"]);
    let record = only(finished.assert_code(1));
    assert_eq!((&record["error"]["kind"], &record["file"]), (&"too_large".into(), &().into()));
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn redirects_are_followed_to_their_end_and_not_in_a_circle() {
    let server = pages(&[
        ("/1", "302 Found\r\nLocation: /2?x"),
        ("/2?x", "308 Permanent Redirect\r\nLocation: 3"),
        ("/3", "200 OK"),
        ("/a", "301 Moved Permanently\r\nLocation: /b"),
        ("/b", "301 Moved Permanently\r\nLocation: /a"),
        ("/mail", "302 Found\r\nLocation: mailto:me@a.example"),
    ]);
    let urls = ["/1", "/a", "/mail", "/none"].map(|path| server.url(path));
    let all = records(&fetch(&urls).assert_code(0).stdout);
    assert_eq!((&all[&1]["status"], &all[&1]["final_url"]), (&200.into(), &server.url("/3").into()));
    assert_eq!((&all[&1]["url"], &all[&1]["attempts"]), (&server.url("/1").into(), &1.into()));
    for line in [2, 3] {
        assert_eq!((&all[&line]["error"]["kind"], &all[&line]["ok"]), (&"redirect".into(), &false.into()));
    }
    let none = only(fetch(&[&server.url("/1"), "--max-redirects", "0"]).assert_code(0));
    assert_eq!((&none["status"], &none["error"]), (&302.into(), &().into()));
}

#[test]
fn credentials_do_not_follow_to_another_origin_and_a_post_becomes_a_get() {
    let there = Server::answering(OK);
    let location = there.url("/there");
    let here = Server::start(move |peer| {
        while peer.request().is_some() {
            peer.send(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
    });
    let line = format!(r#"{{"url":"{}","method":"POST","body":"aGk=","header":{{"Cookie":["a=b"]}}}}"#, here.url("/"));
    let (_folder, path) = file(line);
    fetch(&["-i", &path, "-u", "me:hush", "-H", "X-Api-Key: hush", "-H", "X-Plain: 1"]).assert_code(0);
    let names = |header: &String| header.split(':').next().unwrap_or_default().to_lowercase();
    let sent = &here.requests()[0];
    let headers: Vec<_> = sent.headers.iter().map(names).collect();
    assert!(["authorization", "x-api-key", "cookie"].iter().all(|name| headers.contains(&(*name).to_owned())));
    let followed = &there.requests()[0];
    assert_eq!((followed.line.as_str(), followed.body.as_slice()), ("GET /there HTTP/1.1", &b""[..]));
    let headers: Vec<_> = followed.headers.iter().map(names).collect();
    assert_eq!(headers, ["host", "user-agent", "accept", "x-plain"]);
}

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    let server = Server::start(move |peer| {
        while let Some(request) = peer.request() {
            let is_flaky = request.line.contains("/flaky");
            let answer = match is_flaky && counter.fetch_add(1, Ordering::SeqCst) < 2 {
                true => &b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"[..],
                false if is_flaky => OK,
                false => b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            };
            peer.send(answer);
        }
    });
    let urls = [server.url("/flaky"), server.url("/broken")];
    let (_folder, path) = file(format!("{}\n{}\nPOST {}\n", urls[0], urls[1], server.url("/post")));
    let finished = fetch(&["-i", &path, "--backoff", "10ms", "--retries", "2"]);
    let all = records(&finished.assert_code(0).stdout);
    assert_eq!((&all[&1]["status"], &all[&1]["attempts"]), (&200.into(), &3.into()));
    assert_eq!((&all[&2]["status"], &all[&2]["attempts"], &all[&2]["ok"]), (&500.into(), &3.into(), &false.into()));
    assert_eq!((&all[&3]["status"], &all[&3]["attempts"]), (&500.into(), &1.into()));
}

#[test]
fn a_host_that_asks_to_be_left_alone_is_and_others_are_not_kept_waiting() {
    let asked = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&asked);
    let limited = Server::start(move |peer| {
        while peer.request().is_some() {
            let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
            let limit = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
            peer.send(if first { limit } else { OK });
        }
    });
    let free = Server::answering(OK);
    let urls = [limited.url("/1"), limited.url("/2"), free.url("/3")];
    let all = records(&fetch(&[&urls[..], &["--backoff".into(), "1ms".into()]].concat()).assert_code(0).stdout);
    let ms = |line: u64| all[&line]["response_ms"].as_f64().expect("a time");
    assert!(ms(1) >= 990.0 && ms(3) < 900.0, "{} and {}", ms(1), ms(3));
    assert_eq!((&all[&1]["attempts"], &all[&1]["status"]), (&2.into(), &200.into()));
}
