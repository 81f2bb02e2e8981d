//! Shapes of an open load: ramps, stages, recorded times; and what becomes of requests that nobody could take in time.

use std::time::Duration;

use rustix::process::Signal;

use crate::load::shard_counts;
use crate::support::{OK, Program, Report, Server, TargetProgram, bench, file, measure};

/// What fell due in each second of the window.
fn intended(report: &Report) -> Vec<u64> {
    let seconds = report.list("intervals").iter().filter(|interval| interval["drain"] == false);
    seconds.map(|interval| interval["intended"].as_u64().expect("a count")).collect()
}

#[track_caller]
fn refused(args: &[&str], parts: &[&str]) {
    let finished = bench(&[args, &["http://127.0.0.1:9/"]].concat());
    finished.assert_code(2);
    for part in parts {
        assert!(finished.stderr.contains(part), "{part:?} is missing in: {}", finished.stderr);
    }
}

#[test]
fn a_ramp_intends_what_its_rate_says_in_each_second() {
    let target = TargetProgram::start();
    for threads in shard_counts() {
        let args = ["-R", "0:200", "-d", "2s", "-c", "4", "-t", threads, "--drain", "5s", &target.url];
        let report = measure(&args);
        // 50 t² at 1 s and at 2 s.
        assert_eq!((report.count("intended"), intended(&report)), (200, vec![50, 150]));
        let load = report.at("plan.load");
        assert_eq!((&load["shape"], &load["rate"]), (&"ramp".into(), &serde_json::Value::Null));
        assert_eq!(load["stages"], serde_json::json!([{"from": 0.0, "to": 200.0, "duration_s": 2.0}]));
    }
}

#[test]
fn stages_follow_each_other_and_a_warm_up_has_the_first_rate() {
    let target = TargetProgram::start();
    let stages = ["--stages", "60@1s,0@1s,60:180@1s", "--warmup", "500ms"];
    let report = measure(&[&stages[..], &["-c", "4", "-t", "1", "--drain", "5s", &target.url]].concat());
    assert_eq!((report.float("window_s"), intended(&report)), (3.0, vec![60, 0, 120]));
    assert!(report.number("warmup.requests").abs_diff(30) <= 5, "{}", report.at("warmup"));
    let short = measure(&[&stages[..2], &["-d", "1s", "-c", "4", "-t", "1", &target.url]].concat());
    assert_eq!((short.float("window_s"), short.count("intended")), (1.0, 60));
    let few = measure(&[&stages[..2], &["-n", "70", "-c", "4", "-t", "1", &target.url]].concat());
    few.assert_ok(70);
}

#[test]
fn processes_share_stages_of_poisson_arrivals() {
    let target = TargetProgram::start();
    let of = |more: &[&str]| {
        let args = ["--stages", "0:400@1s,100@1s", "--arrivals", "poisson", "-c", "4", "-t", "1", "--drain", "5s"];
        intended(&measure(&[&args[..], more, &[&target.url]].concat()))
    };
    let parts = [of(&["--shard", "1/2"]), of(&["--shard", "2/2"])];
    let sum: Vec<u64> = parts[0].iter().zip(&parts[1]).map(|(a, b)| a + b).collect();
    // 200 and 100 on average: four standard deviations.
    assert!((144..257).contains(&sum[0]) && (60..141).contains(&sum[1]), "{parts:?}");
    assert_eq!(parts[0], of(&["--shard", "1/2"]), "a seed means the same arrivals again");
}

#[test]
fn a_trace_sends_each_line_once_at_its_time() {
    let server = Server::answering(OK);
    let lines = format!(
        "1700000000.5 {}\n# later\n1700000000.75\tPUT\t{}\n1700000002.5s GET {}\n",
        server.url("/1"),
        server.url("/2"),
        server.url("/3"),
    );
    let json = format!(
        "{{\"url\":{:?},\"time\":0}}\n{{\"url\":{:?},\"time\":\"250ms\",\"method\":\"PUT\"}}\n{{\"url\":{:?},\"time\":2}}\n",
        server.url("/1"),
        server.url("/2"),
        server.url("/3"),
    );
    for content in [lines, json] {
        let (_folder, urls) = file(content);
        let before = server.requests().len();
        let report = measure(&["-i", &urls, "--arrivals", "trace", "--speed", "2x", "-c", "1"]);
        report.assert_ok(3);
        let sent: Vec<String> = server.requests().into_iter().skip(before).map(|request| request.line).collect();
        assert_eq!(sent, ["GET /1 HTTP/1.1", "PUT /2 HTTP/1.1", "GET /3 HTTP/1.1"]);
        assert_eq!(intended(&report), [2, 1], "the third is due at 1 s");
        let load = report.at("plan.load");
        assert_eq!((&load["arrivals"], &load["speed"]), (&"trace".into(), &2.0.into()));
    }
}

#[test]
fn processes_share_a_trace() {
    let server = Server::answering(OK);
    let lines: String = (0..9).map(|line| format!("0.0{line} {}\n", server.url(&format!("/{line}")))).collect();
    let (_folder, urls) = file(lines);
    for (part, expected) in [("1/2", vec!["/0", "/2", "/4", "/6", "/8"]), ("2/2", vec!["/1", "/3", "/5", "/7"])] {
        let before = server.paths().len();
        measure(&["-i", &urls, "--arrivals", "trace", "--shard", part, "-c", "2", "-t", "1"]);
        assert_eq!(server.paths()[before..], expected);
    }
}

#[test]
fn a_printed_plan_replays_the_trace() {
    let server = Server::answering(OK);
    let (_folder, urls) = file(format!("0 {0}\n100ms {0}\n", server.url("/")));
    let args = ["-i", &urls, "--arrivals", "trace", "--speed", "0.5x", "-c", "1"];
    let printed = bench(&[&args[..], &["--print-plan"]].concat());
    let (_other, plan) = file(&printed.assert_code(0).stdout);
    let (flags, plan) = (measure(&args), measure(&["--plan", &plan]));
    assert_eq!(flags.at("config_digest"), plan.at("config_digest"), "{}", printed.stdout);
    assert!(flags.float("window_s") >= 0.2, "half as fast");
    flags.assert_ok(2);
}

/// A load of 200/s in which the target stands still for a second.
fn paused(catch_up: &str) -> Report {
    let target = TargetProgram::start();
    let load = ["bench", "--format", "json", "-R", "200", "-d", "3s", "-c", "8", "-t", "1", "--drain", "10s"];
    let program = Program::start(&[&load[..], &["--catch-up", catch_up, &target.url]].concat());
    std::thread::sleep(Duration::from_millis(800));
    target.signal(Signal::STOP);
    std::thread::sleep(Duration::from_secs(1));
    target.signal(Signal::CONT);
    Report::of(&program.finish())
}

#[test]
fn what_fell_due_while_all_were_busy_is_sent_late_or_skipped() {
    let all = paused("all");
    assert_eq!((all.count("intended"), all.count("unsent")), (600, 0));
    all.assert_ok(600);
    let skip = paused("skip");
    assert_eq!(skip.at("plan.load.catch_up"), "skip");
    // The pause's second less what the connections held and the newest; a busy machine may pause longer.
    let unsent = skip.count("unsent");
    assert!((150..400).contains(&unsent), "{}", skip.at("counts"));
    assert_eq!((skip.count("intended"), skip.count("ok")), (600, 600 - unsent));
    // They count with the time until they were skipped, which spreads evenly over the pause.
    let late = |report: &Report, ms| report.slower_than("response", Duration::from_millis(ms));
    assert!(late(&skip, 500) + 40 > unsent / 2, "{} of {unsent}", late(&skip, 500));
    assert_eq!(late(&skip, 20_000), 0);
    // After the pause nobody waits for the backlog any more.
    assert!(skip.float("latency_us.pool_lag.max") < all.float("latency_us.pool_lag.max"));
}

#[test]
fn one_busy_connection_skips_in_the_warm_up_too() {
    let target = TargetProgram::start();
    let url = format!("{}/delay/50", target.url);
    let load = ["-R", "200", "--catch-up", "skip", "--warmup", "500ms", "-d", "1s", "-c", "1", "-t", "1"];
    let report = measure(&[&load[..], &[&url]].concat());
    // One connection of 20 answers a second takes a tenth of 200/s, in the warm-up and after it.
    assert!((1..=11).contains(&report.number("warmup.requests")), "{}", report.at("warmup"));
    assert!((5..=21).contains(&report.count("sent")), "{}", report.at("counts"));
    assert!(report.float("latency_us.pool_lag.max") < 1_000_000.0, "no backlog is carried along");
}

#[test]
fn shapes_without_sense_are_refused_before_anything_is_sent() {
    refused(&["-R", "1:2"], &["-R", "-d TIME"]);
    refused(&["-R", "1:x", "-d", "1s"], &["-R", "no rate"]);
    refused(&["--stages", "100"], &["--stages", "RATE@TIME"]);
    refused(&["--stages", "100@1s", "-R", "5"], &["--stages", "-R"]);
    refused(&["--stages", "100@1s", "-d", "2s"], &["-d 2s", "longer than the stages"]);
    refused(&["--stages", "0@1s"], &["--stages", "sends nothing"]);
    refused(&["--stages", "0:9@1s", "--warmup", "1s"], &["--warmup", "0"]);
    refused(&["--arrivals", "trace"], &["URL", "has no time"]);
    refused(&["--speed", "2x"], &["--speed", "--arrivals trace"]);
    refused(&["--catch-up", "skip"], &["--catch-up", "-R"]);
    refused(&["-R", "5", "--catch-up", "none"], &["--catch-up"]);
}
