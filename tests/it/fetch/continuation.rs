//! Bodies that break off, and what comes of them.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::servers::nginx;
use super::{fetch, only, records, start};
use crate::support::dice::Dice;
use crate::support::encoded::gzip;
use crate::support::faults::{Fault, Faults};
use crate::support::server::Request;
use crate::support::{OK, Server, dead_port, file};

/// After so many bytes of a body the scripted servers break off.
const CUT: usize = 20_000;
const WHOLE: usize = 100_000;
/// The validator of bodies.
const ETAG: &str = "ETag: \"v1\"\r\n";

/// Bytes of which no two places look alike.
fn body(length: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed, 0);
    (0..length).map(|_| dice.number() as u8).collect()
}

fn digest(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An answer with these header lines.
fn answer(status: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The same without what follows the first `kept` bytes of the body.
fn cut(mut answer: Vec<u8>, kept: usize) -> Vec<u8> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    answer.truncate(head + kept);
    answer
}

/// The part of `body` from `first` on to `end`, as an answer.
fn part(body: &[u8], first: usize, end: usize) -> Vec<u8> {
    let lines = format!("{ETAG}Content-Range: bytes {first}-{}/{}\r\n", end - 1, body.len());
    answer("206 Partial Content", &lines, &body[first..end])
}

/// An answer with these header lines whose length its head does not say, in one chunk.
fn chunked(status: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{lines}Transfer-Encoding: chunked\r\n\r\n{:05x}\r\n", body.len());
    [head.as_bytes(), body, b"\r\n0\r\n\r\n"].concat()
}

/// Gives these answers one after the other, the last of them again and again, and closes after each.
fn server(answers: Vec<Vec<u8>>) -> Server {
    let given = AtomicUsize::new(0);
    Server::start(move |peer| {
        if peer.request().is_some() {
            let number = given.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            if peer.send(&answers[number]) {
                peer.close();
            }
        }
    })
}

/// What a request asks for a part of and under which condition.
fn asked(request: &Request) -> Vec<&str> {
    let is_one = |header: &&String| header.starts_with("Range: ") || header.starts_with("If-Range: ");
    request.headers.iter().filter(is_one).map(String::as_str).collect()
}

/// How many bodies are there that are not whole.
fn parts_in(folder: &Path) -> usize {
    let all = fs::read_dir(folder).expect("the folder").flatten();
    all.filter(|entry| entry.file_name().to_string_lossy().ends_with(".part")).count()
}

/// The record of one line with its body saved, by a run with these arguments, and the body.
fn saved(url: &str, args: &[&str]) -> (Value, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let bodies = folder.path().to_str().expect("a path in UTF-8");
    let finished = fetch(&[&[url, "--save", bodies, "--sha256", "--backoff", "1ms"], args].concat());
    let record = only(&finished);
    let bytes = record["file"].as_str().map(|name| fs::read(Path::new(bodies).join(name)).expect("a file"));
    assert_eq!(parts_in(folder.path()), 0, "parts that are left");
    (record, bytes.unwrap_or_default())
}

/// A whole body: its record, its file and its digest say the same.
#[track_caller]
fn assert_whole((record, bytes): &(Value, Vec<u8>), expected: &[u8], attempts: u64) {
    assert_eq!((&record["status"], &record["ok"], &record["error"]), (&200.into(), &true.into(), &Value::Null));
    assert_eq!((&record["bytes"], &record["attempts"]), (&expected.len().into(), &attempts.into()));
    assert_eq!(record["sha256"], digest(expected));
    assert!(bytes == expected, "{} bytes are not those expected", bytes.len());
}

#[test]
fn nginx_sends_the_rest_of_a_body_and_no_byte_twice() {
    let page = body(400_000, 1);
    for http in ["1.1", "2"] {
        let h2_port = Cell::new(0);
        let (nginx, port) = nginx(|folder| {
            fs::write(folder.join("large"), &page).expect("a file");
            h2_port.set(dead_port());
            let (port, folder) = (h2_port.get(), folder.display());
            format!("listen 127.0.0.1:{port} http2; root {folder}; access_log {folder}/access.log ranges;")
        });
        let addr = ([127, 0, 0, 1], if http == "2" { h2_port.get() } else { port }).into();
        let faults = Faults::listed(addr, &[Fault::Truncate(100_000), Fault::Reset(150_000)]);
        let report = nginx.folder.path().join("report.json");
        let report = report.to_str().expect("a path in UTF-8");
        let came = saved(&faults.url("/large"), &["--http", http, "--report", report]);
        assert_whole(&came, &page, 3);
        let report: Value = serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
        assert_eq!((&report["fetch"]["retries"], &report["fetch"]["continued"]), (&2.into(), &2.into()));
        // A request that was cut short may be logged after the next one.
        let mut log = nginx.logged();
        log.sort_unstable();
        assert!(log.len() == 3 && log[0] == "200 - -", "{log:?}");
        let starts: Vec<u64> = log[1..].iter().map(|line| start_of(line)).collect();
        // What the fault let through but for the head and, with HTTP/2, a frame that was not whole.
        assert!(starts.iter().any(|start| (90_000..100_000).contains(start)), "{log:?}");
    }
}

/// Where the part begins that a line of nginx's log is about; it has an entity tag, too.
fn start_of(line: &str) -> u64 {
    let rest = line.strip_prefix("206 bytes=").unwrap_or_else(|| panic!("{line}"));
    let (start, etag) = rest.split_once("- ").expect("a range that is open");
    assert!(etag.len() > 2, "{line}");
    start.parse().expect("a number")
}

#[test]
fn wherever_bodies_break_off_all_come_whole() {
    const FILES: u64 = 40;
    let mut dice = Dice::new(12, 0);
    let pages: Vec<Vec<u8>> = (0..FILES).map(|n| body(20_000 + dice.below(200_000) as usize, n)).collect();
    let mut fault = || match (dice.below(3), 1 + dice.below(150_000) as usize) {
        (0, place) => Fault::Truncate(place),
        (1, place) => Fault::Reset(place),
        _ => Fault::None,
    };
    let faults: Vec<Fault> = (0..2 * FILES).map(|_| fault()).collect();
    let (nginx, port) = nginx(|folder| {
        pages.iter().enumerate().for_each(|(n, page)| fs::write(folder.join(n.to_string()), page).expect("a file"));
        // A fault strikes at some place of a connection: there are to be many.
        format!("root {}; keepalive_requests 2;", folder.display())
    });
    let faults = Faults::listed(([127, 0, 0, 1], port).into(), &faults);
    let (_folder, lines) = file((0..FILES).map(|n| format!("{}\n", faults.url(&format!("/{n}")))).collect::<String>());
    let bodies = nginx.folder.path().join("bodies");
    let report = nginx.folder.path().join("report.json");
    let [bodies_text, report_text] = [&bodies, &report].map(|path| path.to_str().expect("a path in UTF-8"));
    let options = ["--save", bodies_text, "--report", report_text, "--sha256", "--retries", "20", "--backoff", "1ms"];
    let finished = fetch(&[&["-i", &lines, "-t", "2"][..], &options].concat());
    let all = records(&finished.assert_code(0).stdout);
    for (line, page) in (1..).zip(&pages) {
        let record = &all[&line];
        let name = record["file"].as_str().unwrap_or_else(|| panic!("{record}"));
        assert!(record["sha256"] == digest(page) && fs::read(bodies.join(name)).expect("a file") == *page, "{record}");
    }
    let report: Value = serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
    assert!(report["fetch"]["continued"].as_u64() >= Some(10), "{}", report["fetch"]);
}

#[test]
fn a_file_that_changes_in_between_is_fetched_anew() {
    let (old, new) = (body(400_000, 1), body(300_000, 2));
    let (nginx, port) = nginx(|folder| {
        fs::write(folder.join("large"), &old).expect("a file");
        let folder = folder.display();
        format!("root {folder}; access_log {folder}/access.log ranges;")
    });
    let faults = Faults::listed(([127, 0, 0, 1], port).into(), &[Fault::Stall(200_000)]);
    let came = thread::scope(|scope| {
        let came = scope.spawn(|| saved(&faults.url("/large"), &["--read-timeout", "1s"]));
        while faults.handed_on() < 200_000 && !came.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        let (next, large) = (nginx.folder.path().join("next"), nginx.folder.path().join("large"));
        fs::write(&next, &new).and_then(|()| fs::rename(next, large)).expect("another file");
        came.join().expect("a record")
    });
    assert_whole(&came, &new, 2);
    let log = nginx.logged();
    assert!(log.len() == 2 && log.iter().any(|line| line.starts_with("200 bytes=")), "{log:?}");
}

#[test]
fn what_is_not_the_rest_is_not_taken_for_it() {
    let page = body(WHOLE, 3);
    let whole = answer("200 OK", ETAG, &page);
    let with = |lines: &str| answer("206 Partial Content", lines, &page[CUT..]);
    let range = format!("Content-Range: bytes {CUT}-{}/{WHOLE}\r\n", WHOLE - 1);
    let misfits = [
        part(&page, CUT + 1, WHOLE),
        part(&page, 0, WHOLE),
        with(&format!("{ETAG}Content-Range: bytes {CUT}-{WHOLE}/{}\r\n", WHOLE + 1)),
        with(&format!("ETag: \"v2\"\r\n{range}")),
        with(&format!("{ETAG}{range}Content-Encoding: gzip\r\n")),
        with(&format!("{ETAG}{range}Content-Type: multipart/byteranges; boundary=x\r\n")),
        with(ETAG),
        answer("416 Range Not Satisfiable", &format!("Content-Range: bytes */{CUT}\r\n"), b""),
    ];
    for misfit in misfits {
        let shown = String::from_utf8_lossy(&misfit[..misfit.len().min(120)]).into_owned();
        let server = server(vec![cut(whole.clone(), CUT), misfit, whole.clone()]);
        assert_whole(&saved(&server.url("/"), &[]), &page, 3);
        let requests = server.requests();
        let expected = [format!("Range: bytes={CUT}-"), "If-Range: \"v1\"".to_owned()];
        assert_eq!(asked(&requests[1]), expected, "{shown}");
        assert!(asked(&requests[0]).is_empty() && asked(&requests[2]).is_empty(), "{shown}");
    }
    let server = server(vec![cut(whole.clone(), CUT), whole]);
    assert_whole(&saved(&server.url("/"), &[]), &page, 2);
    assert_eq!(asked(&server.requests()[1]).len(), 2, "a server that knows no ranges");
}

#[test]
fn what_does_not_fit_is_an_error_where_no_retry_is_left() {
    let page = body(WHOLE, 3);
    let server = server(vec![cut(answer("200 OK", ETAG, &page), CUT), part(&page, CUT + 1, WHOLE)]);
    let (record, _) = saved(&server.url("/"), &["--retries", "1"]);
    assert_eq!((&record["error"]["kind"], &record["attempts"]), (&"protocol".into(), &2.into()), "{record}");
    assert_eq!((&record["status"], &record["file"]), (&Value::Null, &Value::Null));
    assert!(record["error"]["detail"].as_str().is_some_and(|detail| detail.contains("another part")), "{record}");
}

#[test]
fn a_status_on_the_way_and_parts_of_the_rest_lose_nothing() {
    let page = body(WHOLE, 4);
    let busy = answer("503 Service Unavailable", "", b"busy");
    let whole = cut(answer("200 OK", &format!("{ETAG}Content-Type: text/x\r\n"), &page), CUT);
    let answers =
        vec![whole, busy, part(&page, CUT, 60_000), cut(part(&page, 60_000, WHOLE), 1), part(&page, 60_001, WHOLE)];
    let server = server(answers);
    let came = saved(&server.url("/"), &["--retries", "4"]);
    assert_whole(&came, &page, 5);
    assert_eq!(came.0["content_type"], "text/x");
    let ranges: Vec<_> = server.requests()[1..].iter().map(|request| asked(request)[0].to_owned()).collect();
    assert_eq!(
        ranges,
        ["bytes=20000-", "bytes=20000-", "bytes=60000-", "bytes=60001-"].map(|range| format!("Range: {range}"))
    );
}

#[test]
fn a_server_that_never_comes_to_the_end_is_left_after_its_retries() {
    let page = body(WHOLE, 5);
    let nothing = cut(part(&page, CUT, WHOLE), 0);
    let server = server(vec![cut(answer("200 OK", ETAG, &page), CUT), nothing]);
    let (record, _) = saved(&server.url("/"), &[]);
    assert_eq!((&record["error"]["kind"], &record["attempts"]), (&"closed_early".into(), &4.into()), "{record}");
    assert_eq!((&record["file"], server.requests().len()), (&Value::Null, 4));
}

#[test]
fn a_body_of_unknown_length_is_as_long_as_its_parts_say() {
    let page = body(WHOLE, 11);
    let beginning = cut(chunked("200 OK", ETAG, &page), "186a0\r\n".len() + CUT);
    let rest = |end: usize| {
        let lines = format!("{ETAG}Content-Range: bytes {CUT}-{}/{WHOLE}\r\n", end - 1);
        chunked("206 Partial Content", &lines, &page[CUT..])
    };
    let whole = server(vec![beginning.clone(), rest(WHOLE)]);
    assert_whole(&saved(&whole.url("/"), &[]), &page, 2);
    let (record, _) = saved(&server(vec![beginning, rest(WHOLE - 1)]).url("/"), &[]);
    assert_eq!((&record["error"]["kind"], &record["attempts"]), (&"protocol".into(), &2.into()), "{record}");
    assert!(record["error"]["detail"].as_str().is_some_and(|detail| detail.contains("more than it said")), "{record}");
}

#[test]
fn a_coded_body_is_decoded_across_the_break() {
    let page = body(WHOLE, 6);
    let coded = gzip(&page);
    let lines = format!("{ETAG}Content-Encoding: gzip\r\n");
    let rest = part(&coded, CUT, coded.len());
    let server = server(vec![cut(answer("200 OK", &lines, &coded), CUT), rest]);
    let came = saved(&server.url("/"), &["--decode", "--body-in-json", "base64"]);
    assert_whole(&came, &page, 2);
    let in_json = came.0["body"].as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
    assert!(in_json.is_some_and(|body| body == page), "in the record, too");
    assert_eq!(asked(&server.requests()[1])[0], format!("Range: bytes={CUT}-"));
}

#[test]
fn the_rest_is_asked_for_only_where_it_is_known_to_be_the_same() {
    let page = body(WHOLE, 7);
    let dates = "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let cases: [(&str, usize, &[&str], &[&str]); 7] = [
        (dates, CUT, &[], &["Range: bytes=20000-", "If-Range: Sun, 06 Nov 1994 08:49:37 GMT"]),
        (ETAG, 16_383, &[], &[]),
        ("ETag: W/\"v1\"\r\n", CUT, &[], &[]),
        ("", CUT, &[], &[]),
        ("ETag: \"v1\"\r\nAccept-Ranges: none\r\n", CUT, &[], &[]),
        (ETAG, CUT, &["-H", "Range: bytes=0-"], &["Range: bytes=0-"]),
        (ETAG, CUT, &["-X", "POST", "--retry-all-methods"], &[]),
    ];
    for (lines, kept, args, expected) in cases {
        let whole = answer("200 OK", lines, &page);
        let server = server(vec![cut(whole.clone(), kept), whole]);
        assert_whole(&saved(&server.url("/"), args), &page, 2);
        assert_eq!(asked(&server.requests()[1]), expected, "{lines} {args:?}");
    }
}

#[test]
fn the_rest_is_asked_for_where_the_body_broke_off_and_nowhere_else() {
    let page = body(WHOLE, 8);
    let to = |path: &str| answer("302 Found", &format!("Location: {path}\r\n"), b"");
    let whole = answer("200 OK", ETAG, &page);
    let server = server(vec![to("/b"), cut(whole.clone(), CUT), to("/c"), whole]);
    let came = saved(&server.url("/a"), &[]);
    assert_whole(&came, &page, 2);
    assert_eq!(
        (server.paths(), &came.0["final_url"]),
        (["/a", "/b", "/b", "/c"].map(str::to_owned).to_vec(), &server.url("/c").into())
    );
    let asked: Vec<_> = server.requests().iter().map(|request| asked(request).len()).collect();
    assert_eq!(asked, [0, 0, 2, 0]);
}

#[test]
fn a_part_that_nobody_asked_for_is_an_answer_like_others() {
    let page = body(WHOLE, 9);
    let server = server(vec![part(&page, CUT, WHOLE)]);
    let (record, bytes) = saved(&server.url("/"), &[]);
    assert_eq!((&record["status"], &record["bytes"]), (&206.into(), &(WHOLE - CUT).into()));
    assert!(bytes == page[CUT..]);
}

#[test]
fn what_is_kept_for_retries_is_bounded_and_gone_when_the_run_is_ended() {
    let page = body(WHOLE, 10);
    // Once it has answered, it is asked for many lines at once.
    let server = server(vec![OK.to_vec(), cut(answer("200 OK", ETAG, &page), CUT)]);
    let folder = tempfile::tempdir().expect("a folder");
    let bodies = folder.path().to_str().expect("a path in UTF-8");
    let urls: Vec<String> = (0..101).map(|n| server.url(&format!("/{n}"))).collect();
    let options = ["-t", "1", "-c", "128", "--connections-per-host", "128", "--backoff", "60s", "--save", bodies];
    let program = start(&urls.iter().map(String::as_str).chain(options).collect::<Vec<_>>());
    let parts = || parts_in(folder.path());
    server.wait_until(|server| server.requests().len() >= 101 && parts() == 64);
    program.interrupt();
    program.finish().assert_code(130);
    assert_eq!(parts(), 0);
}
