//! `ringload target`: what it prints, how it stops, and what it answers through the program's own client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{TargetProgram, file, measure, ringload};

#[test]
pub(crate) fn it_says_first_where_it_listens_and_stops_at_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let target = TargetProgram::start();
        assert!(target.url.starts_with("http://127.0.0.1:"), "{}", target.url);
        measure(&["-n", "3", "-c", "1", &target.url]).assert_ok(3);
        target.signal(signal);
        let finished = target.finish();
        finished.assert_code(0);
        assert!(finished.stderr.contains("served 3 requests on 1 connections"), "{}", finished.stderr);
    }
}

#[test]
fn it_stops_after_its_time() {
    let target = TargetProgram::start_with(&["--for", "200ms"]);
    target.finish().assert_code(0);
}

#[test]
pub(crate) fn it_stops_while_requests_are_under_way() {
    let target = TargetProgram::start();
    let url = format!("{}/delay/60000", target.url);
    let client = std::thread::spawn(move || measure(&["-n", "2", "-c", "2", "-X", "POST", &url]));
    std::thread::sleep(Duration::from_millis(300));
    target.signal(Signal::TERM);
    target.finish().assert_code(0);
    let report = client.join().expect("a report");
    assert_eq!(report.count("failed"), 2, "{}", report.at("counts"));
}

#[test]
pub(crate) fn its_paths_answer_as_documented() {
    let target = TargetProgram::start();
    let get = |path: &str| measure(&["-n", "2", "-c", "1", &format!("{}{path}", target.url)]);
    get("/").assert_ok(2);
    get("/stats").assert_ok(2);
    get("/bytes/0").assert_ok(2);
    assert!(get("/bytes/100000").number("bytes.in") > 200_000);
    assert_eq!(get("/status/204").number("status.204"), 2);
    assert_eq!(get("/status/503").number("status.503"), 2);
    assert_eq!(get("/status/nonsense").count("http_error"), 2);
    assert_eq!(get("/nowhere").number("status.404"), 2);
    assert!(get("/delay/25").float("latency_us.service.min") >= 25_000.0);
    let (_folder, body) = file(vec![b'e'; 100_000]);
    let echo = measure(&["-n", "2", "-c", "1", "-b", &format!("@{body}"), &format!("{}/echo", target.url)]);
    assert!(echo.number("bytes.in") > 200_000);
}

#[test]
pub(crate) fn its_fault_paths_each_make_their_own_failure_move() {
    let target = TargetProgram::start();
    for (path, kind) in
        [("/reset", "reset"), ("/truncate", "closed_early"), ("/garbage", "protocol"), ("/close", "closed_early")]
    {
        // POST, because a GET may be sent again on a fresh connection.
        let url = format!("{}{path}", target.url);
        measure(&["-n", "5", "-c", "2", "-t", "1", "-X", "POST", &url]).assert_failures(kind, 5);
        assert_eq!(served(&target, &format!("paths.{path}")), 5, "{path}");
    }
}

#[test]
pub(crate) fn its_chunked_and_slow_bodies_are_whole_to_the_byte() {
    for (path, body, least_us) in [
        ("/chunked/0", 5, 0.0),
        // Chunks of two bytes and one at the end.
        ("/chunked/9", 4 * 7 + 6 + 5, 0.0),
        // Eight bytes of coding around each of the 62 chunks, of which the last has 576 bytes and a byte less of it.
        ("/chunked/1000000", 1_000_000 + 61 * 8 + 7 + 5, 0.0),
        ("/slow/1000/30", 1_000, 30_000.0),
        ("/slow/200001/20", 200_001, 20_000.0),
    ] {
        let target = TargetProgram::start();
        let report = measure(&["-n", "6", "-c", "2", "-t", "1", &format!("{}{path}", target.url)]);
        report.assert_ok(6);
        let read = report.number("bytes.in");
        assert_eq!(read, served(&target, "bytes_out"), "{path}: what came is what was sent");
        let heads = read - 6 * body;
        assert!(heads > 6 * 50 && heads < 6 * 200, "{path}: {heads} bytes of heads");
        assert!(report.float("latency_us.service.min") >= least_us, "{path}");
    }
}

#[test]
pub(crate) fn its_stall_is_charged_to_all_that_arrive_in_it() {
    let target = TargetProgram::start();
    // Half of the time is a stall of 200 ms, and the requests come through all of two periods.
    let url = format!("{}/stall?every=400ms&for=200ms", target.url);
    let report = measure(&["-R", "100", "-n", "80", "-c", "40", "-t", "1", &url]);
    report.assert_ok(80);
    let slow = report.slower_than("response", Duration::from_millis(100));
    assert!(slow >= 15, "{slow} of 80 requests waited for longer than half of a stall");
}

/// A number of the target's own `/stats`, asked for on a connection of its own.
fn served(target: &TargetProgram, path: &str) -> u64 {
    let mut stream = TcpStream::connect(target.url.trim_start_matches("http://")).expect("it listens");
    stream.write_all(b"GET /stats HTTP/1.0\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in text");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let stats: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let value = path.split('.').fold(&stats, |value, name| &value[name]);
    value.as_u64().unwrap_or_else(|| panic!("no {path} in {stats}"))
}

#[test]
fn bad_options_are_refused() {
    for (args, part) in [
        (&["target", "-t", "0"][..], "-t 0"),
        (&["target", "-t", "100000"], "-t 100000"),
        (&["target", "--for", "soon"], "--for"),
        (&["target", "--listen", "nowhere"], "--listen"),
        (&["target", "--listen", "192.0.2.1:0"], "cannot listen on 192.0.2.1:0"),
    ] {
        let finished = ringload(args);
        finished.assert_code(2);
        assert_eq!(finished.stdout, "");
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
}

#[test]
fn a_taken_port_is_refused() {
    let target = TargetProgram::start();
    let addr = target.url.trim_start_matches("http://").to_owned();
    let finished = ringload(&["target", "--listen", &addr, "--for", "1s"]);
    finished.assert_code(2);
    assert!(finished.stderr.contains("cannot listen"), "{}", finished.stderr);
}
