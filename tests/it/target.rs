//! `ringload target`: what it prints, how it stops, and what it answers through the program's own client.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{TargetProgram, file, measure, ringload};

#[test]
fn it_says_first_where_it_listens_and_stops_at_a_signal() {
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
fn it_stops_while_requests_are_under_way() {
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
fn its_paths_answer_as_documented() {
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
