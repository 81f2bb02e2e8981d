//! How hosts are spared, and that one that is slow or gone keeps no other waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{fetch, records, start};
use crate::support::{OK, Server, TargetProgram, file};

#[test]
fn a_host_has_one_connection_until_its_first_answer_and_its_number_after_that() {
    let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |peer| {
        while peer.request().is_some() {
            peak.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            peer.sleep(Duration::from_millis(20));
            counted.fetch_sub(1, Ordering::SeqCst);
            peer.send(OK);
        }
    });
    let lines: String = (0..120).map(|n| format!("{}\n", server.url(&format!("/{n}")))).collect();
    let (_folder, path) = file(lines);
    fetch(&["-i", &path, "-t", "2", "--connections-per-host", "3"]).assert_code(0);
    assert_eq!((most.load(Ordering::SeqCst), server.requests().len()), (3, 120));
}

#[test]
fn all_cores_together_keep_no_more_connections_to_a_host_than_it_may_have() {
    let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (open, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |peer| {
        peak.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        while peer.request().is_some() {
            peer.sleep(Duration::from_millis(3));
            peer.send(OK);
        }
        open.fetch_sub(1, Ordering::SeqCst);
    });
    let lines: String = (0..1_000).map(|n| format!("{}\n", server.url(&format!("/{n}")))).collect();
    let ((_folder, path), (_other, report)) = (file(lines), file(""));
    let report = report.replace("file.txt", "report.json");
    let args = ["-i", &path, "-t", "2", "--connections-per-host", "4", "--report", &report, "-o", "/dev/null"];
    fetch(&args).assert_code(0);
    assert_eq!(server.requests().len(), 1_000);
    // A thread of the server may notice late that its connection was closed before another was opened.
    let most = most.load(Ordering::SeqCst);
    assert!((4..=5).contains(&most), "{most} connections at a time");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("a report in JSON");
    let sent = |shard: usize| report["shards"][shard]["counts"]["sent"].as_u64().expect("a count");
    assert!(sent(0) > 200 && sent(1) > 200, "both have their share: {} and {}", sent(0), sent(1));
}

#[test]
fn a_rate_is_of_all_cores_together_and_never_exceeded() {
    let target = TargetProgram::start();
    for option in ["--rate", "--rate-per-host"] {
        let lines: String = (0..300).map(|n| format!("{}/?{n}\n", target.url)).collect();
        let (_folder, path) = file(lines);
        let began = Instant::now();
        let finished = fetch(&["-i", &path, "-t", "2", option, "200"]);
        let elapsed = began.elapsed();
        assert_eq!(records(&finished.assert_code(0).stdout).len(), 300);
        // The first goes at once; what was late by up to 20 ms may be made up for.
        let least = Duration::from_millis(299 * 5 - 25);
        assert!(elapsed >= least, "{option}: {elapsed:?}");
    }
}

#[test]
fn hosts_that_hang_keep_no_others_waiting() {
    let (hung, alive) = (Server::silent(), TargetProgram::start());
    let mut lines = String::new();
    for n in 0..20 {
        lines += &format!("{}\n", hung.url(&format!("/{n}")));
    }
    for n in 0..500 {
        lines += &format!("{}/?{n}\n", alive.url);
    }
    let (_folder, path) = file(lines);
    let finished = fetch(&["-i", &path, "-t", "1", "--retries", "0", "--timeout", "200ms"]);
    let all = records(&finished.assert_code(0).stdout);
    assert_eq!(all.len(), 520);
    let kinds = |line: u64| all[&line]["error"]["kind"].as_str().map(str::to_owned);
    assert!((1..=20).all(|line| matches!(kinds(line).as_deref(), Some("timeout" | "host_down"))));
    assert!((21..=520).all(|line| all[&line]["ok"] == true));
}

#[test]
fn no_line_fails_for_a_host_that_is_back() {
    let gone = Arc::new(AtomicBool::new(false));
    let is_gone = Arc::clone(&gone);
    let server = Server::start(move |peer| {
        while peer.request().is_some() {
            peer.sleep(Duration::from_millis(10));
            if is_gone.load(Ordering::SeqCst) || !peer.send(OK) {
                return;
            }
        }
    });
    let address = server.addr().to_string();
    let lines: String = (0..200).map(|n| format!("http://{address}/{n}\n")).collect();
    let (_folder, path) = file(lines);
    let program = start(&["-i", &path, "-t", "1", "--retries", "0"]);
    server.wait_until(|server| server.requests().len() >= 30);
    gone.store(true, Ordering::SeqCst);
    server.stop();
    std::thread::sleep(Duration::from_millis(150));
    let _again = Server::on(&address, |peer| while peer.request().is_some() && peer.send(OK) {});
    let all = records(&program.finish().assert_code(0).stdout);
    assert_eq!(all.len(), 200);
    let untried = |record: &&serde_json::Value| {
        record["error"]["detail"].as_str().is_some_and(|detail| detail.contains("so soon after a failure"))
    };
    // Those that were in flight when it went away may have met its absence one after the other.
    let count = all.values().filter(untried).count();
    assert!(count <= 6, "{count} lines failed untried");
}

#[test]
fn a_host_that_stays_away_is_given_up() {
    let port = crate::support::dead_port();
    let lines: String = (0..100).map(|n| format!("http://127.0.0.1:{port}/{n}\n")).collect();
    let (_folder, path) = file(lines);
    let all = records(&fetch(&["-i", &path, "--retries", "0"]).assert_code(1).stdout);
    let down = all.values().filter(|record| record["error"]["kind"] == "host_down").count();
    assert_eq!((all.len(), down), (100, 87));
    assert!(all.values().filter(|record| record["error"]["kind"] == "host_down").all(|record| record["attempts"] == 0));
}
