//! Limits that a run is held against: `--max-error-rate` and `--abort-on`.

use crate::support::{Report, TargetProgram, bench, measured};

/// A measurement with this exit code, and its report.
#[track_caller]
fn measured_with(code: i32, args: &[&str]) -> Report {
    let (report, finished) = measured(args);
    finished.assert_code(code);
    report
}

#[test]
fn more_errors_than_allowed_are_an_exit_of_one() {
    let target = TargetProgram::start();
    let (good, bad) = (format!("{}/", target.url), format!("{}/status/500", target.url));
    let urls = [good.as_str(), &good, &good, &bad];
    let run = |limit| [&["-n", "100", "-c", "1", "--max-error-rate", limit][..], &urls].concat();
    let report = measured_with(1, &run("24.9%"));
    assert_eq!((report.count("ok"), report.count("http_error")), (75, 25));
    assert!(report.warns("error_rate"));
    assert_eq!(report.float("plan.max_error_rate"), 0.249);
    let report = measured_with(0, &run("25%"));
    assert!(!report.warns("error_rate"), "the limit itself is allowed");
}

#[test]
fn failures_count_as_errors() {
    let target = TargetProgram::start();
    let (good, slow) = (format!("{}/", target.url), format!("{}/delay/5000", target.url));
    let report =
        measured_with(1, &["-n", "4", "-c", "1", "--timeout", "200ms", "--max-error-rate", "0%", &good, &slow]);
    assert_eq!((report.count("failed"), report.count("ok")), (2, 2));
    assert!(report.warns("error_rate"));
}

#[test]
fn errors_beyond_a_rule_end_the_run() {
    let target = TargetProgram::start();
    let url = format!("{}/status/500", target.url);
    let report = measured_with(1, &["-d", "60s", "-R", "100", "-c", "4", "--abort-on", "errors>50% for 2s", &url]);
    assert_eq!(report.at("aborted"), "errors>50% for 2s");
    assert_eq!(report.at("interrupted"), false);
    assert!(report.warns("aborted") && !report.warns("interrupted"));
    assert!((2.0..60.0).contains(&report.float("window_s")), "{}", report.at("window_s"));
    let (intended, window) = (report.count("intended") as f64, report.float("window_s"));
    assert!((intended - 100.0 * window).abs() <= 2.0, "{intended} in {window} s");
}

#[test]
fn slow_answers_beyond_a_rule_end_the_run_and_are_awaited() {
    let target = TargetProgram::start();
    let url = format!("{}/delay/300", target.url);
    let rules = ["--abort-on", "errors>0%", "--abort-on", "p99>250ms"];
    let report = measured_with(1, &[&["-d", "60s", "-c", "4"], &rules[..], &[&url]].concat());
    assert_eq!(report.at("aborted"), "p99>250ms for 1s");
    assert_eq!(report.count("in_flight_at_end"), 0, "they had the drain");
    assert!(report.count("ok") >= 4 && report.count("failed") == 0);
}

#[test]
fn a_number_of_requests_is_aborted_too() {
    let target = TargetProgram::start();
    let url = format!("{}/status/503", target.url);
    let report = measured_with(1, &["-n", "9000M", "-c", "2", "--abort-on", "errors>1%", &url]);
    assert_eq!(report.at("aborted"), "errors>1% for 1s");
    assert_eq!(report.count("unsent"), 0, "what was not due is not missing");
}

#[test]
fn a_run_within_its_rules_goes_on_to_its_end() {
    let target = TargetProgram::start();
    let url = format!("{}/delay/1", target.url);
    let rules = ["--abort-on", "errors>0%", "--abort-on", "p99>9s", "--max-error-rate", "0%"];
    let report = measured_with(0, &[&["-d", "2500ms", "-R", "50"], &rules[..], &[&url]].concat());
    assert!(report.at("aborted").is_null() && !report.warns("aborted"));
    assert_eq!(report.count("intended"), 125);
    assert_eq!(report.list("plan.abort_on").len(), 2);
}

#[test]
fn the_text_names_the_rule() {
    let target = TargetProgram::start();
    let finished = bench(&["-d", "60s", "-R", "50", "--abort-on", "errors>5%", &format!("{}/status/404", target.url)]);
    finished.assert_code(1);
    let text = finished.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("Warning: [aborted] --abort-on 'errors>5% for 1s' ended the run after"), "{text}");
}
