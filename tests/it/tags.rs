//! Tags of lines: figures by tag, which add up to the figures of the run.

use serde_json::Value;

use crate::support::{Report, Server, TargetProgram, bench, file, measure, measured};

/// Lines of JSON: path and tag.
fn lines(url: &str, of: &[(&str, Option<&str>)]) -> String {
    let line = |(path, tag): &(&str, Option<&str>)| {
        let tag = tag.map(|tag| format!(",\"tag\":{}", Value::from(tag))).unwrap_or_default();
        format!("{{\"url\":\"{url}{path}\"{tag}}}\n")
    };
    of.iter().map(line).collect()
}

fn tag<'a>(report: &'a Report, name: Option<&str>) -> &'a Value {
    report.list("tags").iter().find(|tag| tag["tag"].as_str() == name).unwrap_or_else(|| panic!("no tag {name:?}"))
}

#[test]
fn each_tag_has_its_counts_and_its_times_on_any_number_of_cores() {
    let target = TargetProgram::start();
    let set = [("/", Some("fast")), ("/delay/30", Some("slow")), ("/status/503", Some("fast")), ("/", None)];
    let (_folder, path) = file(lines(&target.url, &set));
    for threads in ["1", "2"] {
        let report = measure(&["-i", &path, "-n", "80", "-c", "4", "-t", threads]);
        let (fast, slow, none) = (tag(&report, Some("fast")), tag(&report, Some("slow")), tag(&report, None));
        assert_eq!(report.list("tags").len(), 3);
        let counts = |tag: &Value| ["sent", "ok", "http_error", "failed"].map(|name| tag["counts"][name].as_u64());
        assert_eq!(counts(fast), [40, 20, 20, 0].map(Some));
        assert_eq!(counts(slow), [20, 20, 0, 0].map(Some));
        assert_eq!(counts(none), [20, 20, 0, 0].map(Some));
        let p50 = |tag: &Value| tag["latency_us"]["response"]["p50"].as_f64().expect("a median");
        assert!(p50(slow) >= 30_000.0 && p50(fast) < p50(slow), "{} {}", p50(slow), p50(fast));
    }
}

#[test]
fn failures_and_requests_without_an_end_have_their_tags() {
    let server = Server::start(|peer| {
        while let Some(request) = peer.request() {
            match request.line.split(' ').nth(1) {
                Some("/ok") => drop(peer.send(crate::support::OK)),
                Some("/close") => return,
                _ => peer.stall(),
            }
        }
    });
    let set = [("/ok", Some("good")), ("/close", Some("closed")), ("/never", Some("silent"))];
    let (_folder, path) = file(lines(&server.url(""), &set));
    let args = ["-i", &path, "-R", "300", "-d", "500ms", "-c", "20", "--timeout", "200ms", "--drain", "50ms"];
    let (report, _) = measured(&args);
    let of = |name: &str, kind: &str| tag(&report, Some(name))["failures"][kind].as_u64().expect("a count");
    assert!(of("closed", "closed_early") > 0 && of("silent", "timeout") > 0);
    assert_eq!((of("good", "closed_early"), of("good", "timeout"), of("closed", "timeout")), (0, 0, 0));
    assert!(tag(&report, Some("silent"))["counts"]["in_flight_at_end"].as_u64() > Some(0));
    assert!(tag(&report, Some("silent"))["latency_us"]["response"]["censored_from_q"] == 0.0);
    assert!(tag(&report, Some("good"))["latency_us"]["response"]["censored_from_q"].is_null());
}

#[test]
fn drawn_and_shuffled_lines_keep_their_tags() {
    let server = Server::answering(crate::support::OK);
    let (_folder, path) = file(lines(&server.url(""), &[("/a", Some("a")), ("/b", Some("b")), ("/c", Some("a"))]));
    for order in ["random", "shuffle"] {
        let before = server.requests().len();
        let report = measure(&["-i", &path, "-n", "200", "-c", "3", "--order", order]);
        let asked = server.paths().iter().skip(before).filter(|path| *path == "/b").count() as u64;
        assert_eq!(tag(&report, Some("b"))["counts"]["ok"].as_u64(), Some(asked), "{order}");
    }
}

#[test]
fn the_text_report_has_a_table_of_tags_that_fills_no_screen() {
    let server = Server::answering(crate::support::OK);
    let names: Vec<String> = (0..30).map(|number| format!("\u{1b}[2J a long tag, number {number}")).collect();
    let set: Vec<_> = names.iter().map(|name| ("/", Some(name.as_str()))).collect();
    let (_folder, path) = file(lines(&server.url(""), &set));
    let finished = bench(&["-i", &path, "-n", "60", "-c", "2"]);
    finished.assert_code(0);
    let table = finished.stdout.split("\n\n").find(|part| part.starts_with("Tag ")).expect("a table");
    assert_eq!(table.lines().count(), 12, "{table}");
    assert!(table.contains(r"\u{1b}[2J a lo...") && table.contains("the 10 that sent most of 30"), "{table}");
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    let plain = bench(&["-n", "4", "-c", "2", &server.url("/")]);
    assert!(!plain.stdout.contains("\nTag "), "no table without tags");
}

#[test]
fn a_hundred_tags_are_the_limit() {
    let server = Server::answering(crate::support::OK);
    let names: Vec<String> = (0..101).map(|number| format!("t{number}")).collect();
    let set: Vec<_> = names.iter().map(|name| ("/", Some(name.as_str()))).collect();
    let (_folder, path) = file(lines(&server.url(""), &set));
    let finished = bench(&["-i", &path, "-n", "1"]);
    finished.assert_code(2);
    assert!(finished.stderr.contains("line 101: has one tag too many"), "{}", finished.stderr);
    assert_eq!(server.accepted(), 0);
    let (_folder, path) = file(lines(&server.url(""), &set[..100]));
    assert_eq!(measure(&["-i", &path, "--once", "-c", "2"]).list("tags").len(), 100);
}
