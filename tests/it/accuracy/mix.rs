//! Errors of every kind among good answers (method T20): each is counted where it belongs, exactly, and the report has
//! response times with and without them.

use crate::support::{TargetProgram, file, measure};

/// 1 % are answered with 500, 0.5 % are reset, 0.1 % are cut off.
const BAD: [(&str, u64); 3] = [("/status/500", 10), ("/reset", 5), ("/truncate", 1)];

#[test]
fn each_error_of_a_mix_is_counted_where_it_belongs() {
    let target = TargetProgram::start();
    let mut lines: Vec<String> = Vec::new();
    for (path, count) in BAD {
        lines.extend((0..count).map(|_| format!("{}{path}", target.url)));
    }
    lines.resize(1_000, format!("{}/", target.url));
    let (_folder, urls) = file(lines.join("\n"));
    let report = measure(&["-i", &urls, "--order", "shuffle", "-n", "10000", "-c", "16", "-t", "1"]);
    assert_eq!((report.count("ok"), report.count("http_error"), report.count("failed")), (9_840, 100, 60));
    assert_eq!((report.failure("reset"), report.failure("closed_early")), (50, 10));
    assert_eq!(report.at("status"), &serde_json::json!({"200": 9_840, "500": 100}));
    // What failed fast would flatter, and is in neither.
    assert_eq!(report.number("latency_us.response.count"), 9_940);
    assert_eq!(report.number("latency_us.response_ok.count"), 9_840);
    assert_eq!(report.number("latency_us.service.count"), 9_940);
}
