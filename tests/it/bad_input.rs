//! Bad input: one message that names the option or the line, exit 2, an empty stdout, and nothing sent.

use crate::support::{Server, bench, dead_port, file, ringload};

/// Refused before the server, whose URL is the last argument, sees a connection.
#[track_caller]
fn refused(args: &[&str], parts: &[&str]) {
    let server = Server::answering(crate::support::OK);
    let url = server.url("/");
    refused_as_typed(&[args, &[&url]].concat(), parts);
    assert_eq!(server.accepted(), 0, "nothing is sent");
}

#[track_caller]
fn refused_as_typed(args: &[&str], parts: &[&str]) {
    let finished = bench(args);
    finished.assert_code(2);
    assert_eq!(finished.stdout, "", "stdout carries the report only");
    for part in parts {
        assert!(finished.stderr.contains(part), "{part:?} is missing in: {}", finished.stderr);
    }
    assert!(finished.stderr.lines().count() <= 10, "one clear message: {}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
}

/// A URL that is refused although another one is good.
#[track_caller]
fn refused_url(url: &str, part: &str) {
    refused(&[url], &["URL", part]);
}

#[track_caller]
fn refused_input(content: impl AsRef<[u8]>, part: &str) {
    let (_folder, path) = file(content);
    refused(&["-i", &path], &[&path, part]);
}

#[test]
fn an_unknown_scheme_is_refused() {
    refused_url("ftp://127.0.0.1/", "unknown scheme");
    refused_url("127.0.0.1:8080", "http://");
}

#[test]
fn a_url_without_a_host_is_refused() {
    refused_url("http:///path", "no host");
    refused_url("http://:8080/", "no host");
}

#[test]
fn a_bad_port_is_refused() {
    for url in ["http://127.0.0.1:99999/", "http://127.0.0.1:0/", "http://127.0.0.1:8o/", "http://127.0.0.1:/"] {
        refused_url(url, "bad port");
    }
}

#[test]
fn a_url_with_a_space_or_a_control_character_is_refused() {
    refused_url("http://127.0.0.1/a b", "percent-encode");
    refused_url("http://127.0.0.1/a\tb", "percent-encode");
    refused_url("http://127.0.0.1/a\r\nX: y", "percent-encode");
    refused_url("http://127.0.0.1/\u{7f}", "percent-encode");
}

#[test]
fn a_header_without_a_colon_is_refused() {
    refused(&["-H", "no colon"], &["-H", "colon"]);
}

#[test]
fn a_header_with_a_line_end_is_refused() {
    refused(&["-H", "X-A: b\r\nX-C: d"], &["-H"]);
    refused(&["-H", "X-A: b\nX-C: d"], &["-H"]);
}

#[test]
fn a_header_file_that_is_missing_is_refused() {
    refused(&["-H", "@/nonexistent/headers"], &["-H @/nonexistent/headers", "cannot read"]);
}

#[test]
fn a_method_that_is_no_token_is_refused() {
    refused(&["-X", "GE T"], &["-X", "no method"]);
    refused(&["-X", ""], &["-X", "no method"]);
    refused(&["-X", "CONNECT"], &["-X CONNECT"]);
}

#[test]
fn an_unreadable_input_file_is_refused() {
    refused(&["-i", "/nonexistent/urls.txt"], &["-i /nonexistent/urls.txt", "cannot read"]);
    refused(&["-i", "/"], &["-i /", "cannot read"]);
}

#[test]
fn an_input_file_without_a_url_is_refused() {
    refused_input("", "holds no URL");
    refused_input("\n\n# only a comment\r\n", "holds no URL");
}

#[test]
fn a_binary_input_file_is_refused() {
    refused_input(b"\x7fELF\x02\x01\xff\xfe\x00\n", "line 1");
    refused_input(b"http://127.0.0.1/\n\x00\x01\x02\n", "line 2");
}

#[test]
fn a_line_that_is_no_url_is_refused_by_its_number() {
    refused_input("http://127.0.0.1/\n# comment\n\nnonsense\n", "line 4");
    refused_input("http://127.0.0.1/\r\nGET ftp://127.0.0.1/\r\n", "line 2");
    refused_input("GE{T http://127.0.0.1/\n", "line 1");
    refused_input("CONNECT http://127.0.0.1/\n", "line 1");
}

#[test]
fn a_rate_of_nothing_or_less_is_refused() {
    for rate in ["0", "-5", "0/m", "fast", "1e3", "10kk", ""] {
        refused(&["-R", rate], &["-R"]);
    }
}

#[test]
fn a_rate_beyond_the_clock_s_resolution_is_refused() {
    refused(&["-R", "2000000k"], &["-R"]);
    refused(&["-R", "9007199254740992"], &["-R"]);
}

#[test]
fn a_duration_of_nothing_or_without_sense_is_refused() {
    for duration in ["0", "0s", "-1s", "ten", "10", "10x", "", "9999999999h"] {
        refused(&["-d", duration], &["-d"]);
    }
}

#[test]
fn a_limit_of_nothing_is_refused() {
    for option in ["--timeout", "--connect-timeout", "--read-timeout", "--deadline"] {
        refused(&[option, "0s"], &[option]);
        refused(&[option, "soon"], &[option]);
    }
    refused(&["--drain", "soon"], &["--drain"]);
    refused(&["--warmup", "-1s"], &["--warmup"]);
}

#[test]
fn a_share_of_errors_that_is_none_is_refused() {
    for share in ["1", "101%", "-1%", "some", "", "1.00001%"] {
        refused(&["--max-error-rate", share], &["--max-error-rate"]);
    }
}

#[test]
fn a_rule_that_cannot_be_read_is_refused() {
    refused(&["--abort-on", "errors"], &["--abort-on 'errors'", "is no rule"]);
    refused(&["--abort-on", "errors>50"], &["--abort-on 'errors>50'", "write 50%"]);
    refused(&["--abort-on", "p99>1s", "--abort-on", "p42>1s"], &["--abort-on 'p42>1s'", "errors, p50, p99 or max"]);
    refused(&["--abort-on", "p99>1s for 1500ms"], &["--abort-on", "whole seconds"]);
}

#[test]
fn no_connections_are_refused() {
    refused(&["-c", "0"], &["-c 0"]);
    refused(&["-c", "many"], &["-c"]);
    refused(&["-c", "1M"], &["-c 1000000"]);
}

#[test]
fn more_threads_than_cores_are_refused() {
    refused(&["-t", "10000", "-c", "20000"], &["-t 10000", "allowed cores"]);
    refused(&["-t", "0"], &["-t 0"]);
}

#[test]
fn more_threads_than_connections_are_refused() {
    refused(&["-t", "2", "-c", "1"], &["-t 2", "-c 1"]);
}

#[test]
fn threads_given_as_a_time_are_taken_for_a_slip() {
    refused(&["-t", "30s"], &["-t is threads; did you mean -d?"]);
}

#[test]
fn cores_outside_the_allowed_set_are_refused() {
    refused(&["--cores", "60000"], &["--cores", "outside the allowed set"]);
    refused(&["--cores", "0-"], &["--cores"]);
    refused(&["--cores", "0,0"], &["--cores", "twice"]);
}

#[test]
fn a_count_beyond_what_json_carries_is_refused() {
    refused(&["-n", "9007199254740993"], &["-n", "2^53"]);
    refused(&["-n", "0"], &["-n 0"]);
    refused(&["-n", "99999999999999999999999999999M"], &["-n"]);
}

#[test]
fn an_unresolvable_host_ends_the_run() {
    refused_as_typed(
        &["--connect-timeout", "5s", "http://no-such-host.invalid/"],
        &["resolve no-such-host.invalid", "check the spelling"],
    );
}

#[test]
fn a_dead_port_ends_the_run() {
    let port = dead_port();
    let address = format!("connect to 127.0.0.1:{port}: refused; is the server up?");
    refused_as_typed(&[&format!("http://127.0.0.1:{port}/")], &[&address]);
}

#[test]
fn a_missing_output_folder_is_refused() {
    refused(&["-o", "/nonexistent/report.json"], &["-o /nonexistent/report.json", "mkdir -p /nonexistent"]);
    refused(&["-o", "/"], &["-o /"]);
}

#[test]
fn an_unknown_option_is_refused() {
    refused(&["--conections", "5"], &["--conections"]);
    refused(&["--format", "xml"], &["--format"]);
    refused(&["--arrivals", "random"], &["--arrivals"]);
    refused(&["--keep-alive", "perhaps"], &["--keep-alive"]);
    refused(&["--seed", "-1"], &["--seed"]);
    let finished = ringload(&["bnech"]);
    assert_eq!((finished.code(), finished.stdout.as_str()), (Some(2), ""));
}

#[test]
fn an_option_of_another_tool_is_refused_with_what_to_write_here() {
    refused(&["-t2", "-c64", "--latency"], &["--latency: all percentiles are always printed"]);
    refused(&["-s", "script.lua"], &["-s: there are no scripts"]);
    refused(&["-q", "100"], &["-q 100", "a rate is -R 100"]);
    refused(&["-d", "{\"a\":1}"], &["-d", "a body is -b"]);
    refused(&["-o", "seconds.csv"], &["-o seconds.csv", "--csv seconds.csv"]);
    let finished = ringload(&["fetch", "-n", "10", "http://127.0.0.1/"]);
    assert!(finished.assert_code(2).stderr.starts_with("ringload: -n: a list ends"), "{}", finished.stderr);
    let unknown = bench(&["-Z", "http://127.0.0.1/"]);
    assert!(!unknown.assert_code(2).stderr.contains("-- -Z"), "it is no URL: {}", unknown.stderr);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    refused(&["--once", "-n", "5"], &["--once", "-n"]);
    refused(&["--once", "--warmup", "1s"], &["--warmup", "--once"]);
    refused(&["--arrivals", "poisson"], &["--arrivals", "-R"]);
    refused(&["-i", "-", "-b", "@-"], &["-b @-"]);
}

#[test]
fn an_option_given_twice_is_refused_by_its_name() {
    refused(&["-n", "5", "-n", "6"], &["--requests"]);
}

#[test]
fn a_closed_standard_input_holds_no_url() {
    refused(&["-i", "-"], &["standard input", "holds no URL"]);
}
