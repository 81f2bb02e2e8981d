//! The report as a whole: what a reader is warned of, and that nothing a server sends can do harm in it.

use crate::support::{OK, Server, TargetProgram, bench, measure};

#[test]
fn control_characters_of_a_server_never_reach_the_terminal() {
    for answer in [
        &b"HTTP/1.1 200 \x1b[31mred\x1b[0m\r\nContent-Length: 2\r\nX: \x1b]0;title\x07\r\n\r\nok"[..],
        b"\x1b[2J\x1b[H garbage",
        b"HTTP/1.1 999 \x07\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\x1b[2",
    ] {
        let server = Server::answering(answer);
        for format in ["text", "json"] {
            let finished = bench(&["-n", "2", "-c", "1", "--format", format, &server.url("/")]);
            let all = format!("{}{}", finished.stdout, finished.stderr);
            assert!(!all.contains('\u{1b}') && !all.contains('\u{7}'), "{all}");
        }
    }
}

#[test]
fn control_characters_of_the_command_line_never_reach_the_terminal() {
    let server = Server::answering(OK);
    let finished = bench(&["-n", "1", "-H", "X-Steer: \u{1b}[31m\u{9b}2J", &server.url("/")]);
    assert!(!finished.stdout.contains(['\u{1b}', '\u{9b}']), "{}", finished.stdout);
    let finished = bench(&["-n", "1", "-X", "\u{1b}[31m", &server.url("/")]);
    assert!(!finished.stderr.contains('\u{1b}'), "{}", finished.stderr);
}

#[test]
fn a_url_with_control_characters_is_refused_without_echoing_them() {
    let finished = bench(&["-n", "1", "http://127.0.0.1/\u{1b}[31m"]);
    finished.assert_code(2);
    assert!(!finished.stderr.contains('\u{1b}'), "{}", finished.stderr);
}

#[test]
fn a_target_on_this_machine_is_said_to_be_one() {
    let server = Server::answering(OK);
    assert!(measure(&["-n", "2", &server.url("/")]).warns("loopback"));
}

#[test]
fn too_few_samples_for_a_p99_are_said_to_be_too_few() {
    let server = Server::answering(OK);
    let report = measure(&["-n", "20", &server.url("/")]);
    assert!(report.warns("few_samples"));
    assert!(report.at("latency_us.response.p99").is_null() && report.at("latency_us.response.p95").is_number());
}

#[test]
fn equal_questions_have_equal_digests_and_different_runs_different_ids() {
    let server = Server::answering(OK);
    let ask = |n: &str| measure(&["-n", n, "-c", "1", &server.url("/")]);
    let (one, same, other) = (ask("3"), ask("3"), ask("4"));
    assert_eq!(one.at("config_digest"), same.at("config_digest"));
    assert_ne!(one.at("config_digest"), other.at("config_digest"));
    assert_ne!(one.at("run.id"), same.at("run.id"));
}

#[test]
fn the_text_has_the_figures_of_the_json() {
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("r.json");
    let url = format!("{}/status/404", target.url);
    let finished = bench(&["-n", "30", "-c", "2", "-o", path.to_str().expect("UTF-8"), &url]);
    finished.assert_code(1);
    let report = crate::support::Report::parse(&std::fs::read_to_string(&path).expect("a report"));
    assert_eq!(report.count("http_error"), 30);
    for part in ["30 intended", "0 ok + 30 http_error + 0 failed", "404: 30", "[no_success]"] {
        assert!(finished.stdout.contains(part), "{part}: {}", finished.stdout);
    }
}

#[test]
fn seconds_of_the_window_and_of_the_drain_are_in_order() {
    let target = TargetProgram::start();
    let url = format!("{}/delay/400", target.url);
    let report = measure(&["-d", "2500ms", "-R", "20", "-c", "40", "-t", "1", &url]);
    let seconds: Vec<(bool, f64)> = report
        .list("intervals")
        .iter()
        .map(|interval| (interval["drain"] == true, interval["t_s"].as_f64().expect("a number")))
        .collect();
    assert!(seconds.is_sorted_by(|a, b| a.1 <= b.1), "{seconds:?}");
    let starts: Vec<f64> = seconds.iter().filter(|(drain, _)| !drain).map(|&(_, at)| at).collect();
    assert_eq!(starts, [0.0, 1.0, 2.0]);
    assert_eq!(report.count("intended"), 50);
    let intended: Vec<u64> = report.list("intervals").iter().filter_map(|i| i["intended"].as_u64()).collect();
    assert_eq!(intended[..3], [20, 20, 10]);
}
