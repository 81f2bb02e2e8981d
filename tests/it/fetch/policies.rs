//! robots.txt, cookies, what is taken out of bodies, and what is left out.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{fetch, only, records, start};
use crate::support::{OK, Server, TargetProgram, dead_port, file, ringload};

/// Answers `/robots.txt` with this, and all else with 200.
fn with_robots(answer: &'static str) -> Server {
    Server::start(move |peer| {
        while let Some(request) = peer.request() {
            let sent =
                if request.line.starts_with("GET /robots.txt ") { peer.send(answer.as_bytes()) } else { peer.send(OK) };
            if !sent {
                return;
            }
        }
    })
}

fn asks_once_for_robots(server: &Server) -> bool {
    let paths = server.paths();
    paths.first().is_some_and(|path| path == "/robots.txt")
        && paths.iter().filter(|path| *path == "/robots.txt").count() == 1
}

#[test]
fn robots_txt_is_asked_for_once_and_obeyed() {
    let rules = "User-agent: *\nDisallow: /\n\nUser-agent: ringload\nDisallow: /private\n";
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{rules}", rules.len());
    let server = with_robots(answer.leak());
    let lines: String = (0..40).map(|n| format!("{}\n", server.url(&format!("/{n}")))).collect();
    let (_folder, path) = file(format!("{lines}{}\n", server.url("/private/x")));
    let finished = ringload(&["fetch", "-q", "-t", "2", "-i", &path]);
    let all = records(&finished.assert_code(0).stdout);
    assert_eq!(all.values().filter(|record| record["ok"] == true).count(), 40);
    assert_eq!((&all[&41]["error"]["kind"], &all[&41]["attempts"]), (&"robots".into(), &0.into()));
    assert!(asks_once_for_robots(&server), "{:?}", server.paths());
    assert!(!server.paths().contains(&"/private/x".to_owned()));
}

#[test]
fn a_crawl_delay_is_kept() {
    let rules = "User-agent: *\nCrawl-delay: 0.2\n";
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{rules}", rules.len());
    let server = with_robots(answer.leak());
    let lines: String = (0..5).map(|n| format!("{}\n", server.url(&format!("/{n}")))).collect();
    let (_folder, path) = file(lines);
    let began = Instant::now();
    ringload(&["fetch", "-q", "-i", &path]).assert_code(0);
    assert!(began.elapsed() >= Duration::from_millis(780), "{:?}", began.elapsed());
}

#[test]
fn of_a_robots_txt_without_end_the_beginning_counts() {
    let server = Server::start(|peer| {
        while let Some(request) = peer.request() {
            if !request.line.starts_with("GET /robots.txt ") {
                peer.send(OK);
                continue;
            }
            let rules = b"User-agent: *\nDisallow: /private\n";
            let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", rules.len());
            let more = format!("\r\n10000\r\n{}", "#\n".repeat(32 * 1024));
            peer.send(&[head.as_bytes(), rules].concat());
            while peer.send(more.as_bytes()) {}
        }
    });
    let args = ["fetch", "-q", "--retries", "0", &server.url("/private"), &server.url("/x")];
    let all = records(&ringload(&args).assert_code(0).stdout);
    assert_eq!((&all[&1]["error"]["kind"], &all[&2]["ok"]), (&"robots".into(), &true.into()));
    assert!(asks_once_for_robots(&server), "{:?}", server.paths());
}

#[test]
fn where_robots_txt_cannot_be_had_nothing_is_asked_for() {
    let server = with_robots("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    let args = ["fetch", "-q", "--backoff", "1ms", &server.url("/1"), &server.url("/2")];
    let all = records(&ringload(&args).assert_code(1).stdout);
    let says_why = |record: &serde_json::Value, why: &str| {
        assert_eq!(record["error"]["kind"], "robots_unreachable");
        assert!(record["error"]["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{record}");
    };
    all.values().for_each(|record| says_why(record, "(status 500)"));
    assert!(server.paths().iter().all(|path| path == "/robots.txt"), "{:?}", server.paths());
    let dead = format!("http://127.0.0.1:{}/", dead_port());
    let all = records(&ringload(&["fetch", "-q", "--retries", "0", &dead]).assert_code(1).stdout);
    all.values().for_each(|record| says_why(record, "connect: 127.0.0.1:"));
    let none = with_robots("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    ringload(&["fetch", "-q", &none.url("/1")]).assert_code(0);
    assert_eq!(none.paths(), ["/robots.txt", "/1"]);
}

#[test]
fn cookies_come_back_to_who_set_them_and_outlive_the_run_in_a_jar() {
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            peer.send(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Max-Age=600\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let cookies = |server: &Server| -> Vec<Option<String>> {
        let of = |headers: &Vec<String>| headers.iter().find(|header| header.starts_with("Cookie: ")).cloned();
        server.requests().iter().map(|request| of(&request.headers)).collect()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let jar = folder.path().join("jar").to_str().expect("a path in UTF-8").to_owned();
    let urls = [server.url("/1"), server.url("/2")];
    let args = ["--connections-per-host", "1", "--cookie", "b=2", "--cookie-jar", &jar, &urls[0], &urls[1]];
    let finished = fetch(&args);
    assert!(!finished.assert_code(0).stdout.contains("b=2"));
    assert_eq!(cookies(&server), [Some("Cookie: b=2".to_owned()), Some("Cookie: b=2; a=1".to_owned())]);
    assert!(fs::read_to_string(&jar).expect("the jar").contains("\ta\t1"));
    fetch(&["--cookie-jar", &jar, &server.url("/3")]).assert_code(0);
    assert_eq!(cookies(&server)[2], Some("Cookie: a=1".to_owned()));
}

#[test]
fn what_is_looked_for_in_bodies_is_in_the_record_and_what_must_be_there_is_checked() {
    let target = TargetProgram::start();
    let line = |body: &str| {
        let body = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, body);
        format!("{{\"url\":\"{}/echo\",\"method\":\"POST\",\"body\":\"{body}\"}}\n", target.url)
    };
    let lines = [r#"{"id":7,"state":"ok"}"#, r#"{"id":8,"state":"late"}"#, "nothing"].map(line).concat();
    let (_folder, path) = file(lines);
    let finished = fetch(&["-i", &path, "--extract", "/id", "--json-check", "/state=ok"]);
    let all = records(&finished.assert_code(0).stdout);
    assert_eq!((&all[&1]["extracted"], &all[&1]["ok"]), (&7.into(), &true.into()));
    assert_eq!((&all[&2]["error"]["kind"], &all[&2]["status"]), (&"check".into(), &200.into()));
    assert_eq!(all[&3]["error"]["kind"], "json");
    let finished = fetch(&["--extract", "w(.*)d", "--fields", "extracted,ok", &target.url]);
    assert_eq!(finished.assert_code(0).stdout, "{\"line\":1,\"ok\":true,\"extracted\":\"orl\"}\n");
}

#[test]
fn what_was_asked_for_before_is_left_out_where_that_is_wanted() {
    let target = TargetProgram::start();
    let (_folder, path) = file(format!("{0}/a\n{0}/b\n{0}/a#x\nHEAD {0}/a\n", target.url));
    let all = records(&fetch(&["-i", &path, "--unique"]).assert_code(1).stdout);
    let mut lines: Vec<_> = all.keys().copied().collect();
    lines.sort_unstable();
    assert_eq!(lines, [1, 2, 4]);
}

#[test]
fn bodies_have_the_names_that_are_asked_for() {
    let target = TargetProgram::start();
    for (way, expected) in [("host-path", "/bytes/7@"), ("line", "000000/000000001"), ("hash", "/")] {
        let folder = tempfile::tempdir().expect("a folder");
        let bodies = folder.path().to_str().expect("a path in UTF-8");
        let url = format!("{}/bytes/7", target.url);
        let record = only(fetch(&[&url, "--save", bodies, "--save-as", way]).assert_code(0));
        let name = record["file"].as_str().expect("a name");
        assert!(name.contains(expected), "{name}");
        assert_eq!(fs::read(folder.path().join(name)).expect("the file").len(), 7);
    }
}

#[test]
fn secrets_are_in_no_record_report_or_sidecar() {
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let inside = |name: &str| folder.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    let (records, report) = (inside("out.jsonl"), inside("report.json"));
    let url = format!("{}/", target.url.replace("http://", "http://me:hush-1@"));
    let (_list, path) = file(format!("{}/echo\n", target.url));
    let finished = ringload(&[
        "fetch",
        "--no-progress",
        "--no-robots",
        "-o",
        &records,
        "--report",
        &report,
        "-u",
        "me:hush-2",
        "--cookie",
        "a=hush-3",
        "-H",
        "X-Api-Key: hush-4",
        "-b",
        "hush-5",
        "-i",
        &path,
        &url,
    ]);
    finished.assert_code(0);
    let files = [&report, &format!("{records}.run")].map(|path| fs::read_to_string(path).expect("a file"));
    for text in files.iter().chain([&finished.stdout, &finished.stderr]) {
        assert!(!text.contains("hush"), "{text}");
    }
    // The URL alone stands in its record as it was typed.
    let written = fs::read_to_string(&records).expect("the records");
    assert_eq!(written.matches("hush").count(), 1, "{written}");
}

#[test]
fn a_run_can_be_watched_by_prometheus_and_leaves_a_log() {
    let (target, port) = (TargetProgram::start(), dead_port());
    let lines: String = (0..150).map(|n| format!("{}/?{n}\n", target.url)).collect();
    let (folder, path) = file(lines);
    let log = folder.path().join("log").to_str().expect("a path in UTF-8").to_owned();
    let metrics = port.to_string();
    let program = start(&["-i", &path, "--rate", "50", "--metrics", &metrics, "--log", &log]);
    let ok = || -> Option<u64> {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
        connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: me\r\n\r\n").ok()?;
        let mut text = String::new();
        connection.read_to_string(&mut text).ok()?;
        let line = text.lines().find(|line| line.starts_with("ringload_fetch_lines_total{outcome=\"ok\"}"))?;
        line.rsplit(' ').next()?.parse().ok()
    };
    let began = Instant::now();
    while ok().is_none_or(|lines| lines < 10) {
        assert!(began.elapsed() < Duration::from_secs(20), "nothing is seen of it");
        std::thread::sleep(Duration::from_millis(20));
    }
    program.finish().assert_code(0);
    let log = fs::read_to_string(log).expect("the log");
    assert_eq!(log.lines().filter(|line| line.contains("\"message\":\"line ended\"")).count(), 150);
}
