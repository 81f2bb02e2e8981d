//! How runs begin and end: signals, exit codes, where reports go, the embedded target.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::program::command;
use crate::support::{OK, Program, Report, Server, TargetProgram, bench, dead_port, file, measure, measured, ringload};

/// A run that does not end by itself, interrupted once the server has seen requests.
fn interrupted(signal: Signal, args: &[&str], server: &Server) -> Report {
    let url = server.url("/");
    let all = [&["bench", "--format", "json", "-c", "4", "-t", "1"], args, &[&url]].concat();
    let program = Program::start(&all);
    server.wait_until(|server| server.requests().len() >= 8);
    program.signal(signal);
    let finished = program.finish();
    finished.assert_code(130);
    assert!(finished.stderr.contains("interrupted"), "{}", finished.stderr);
    let report = Report::of(&finished);
    assert_eq!(report.at("interrupted"), true);
    assert!(report.warns("interrupted"));
    report
}

#[test]
pub(crate) fn an_interrupted_run_reports_what_it_measured() {
    let server = Server::answering(OK);
    let report = interrupted(Signal::INT, &["-d", "60s"], &server);
    assert!(report.count("ok") >= 8 && report.float("window_s") < 60.0);
    let server = Server::answering(OK);
    let report = interrupted(Signal::TERM, &["-n", "9000M"], &server);
    assert!(report.count("ok") >= 8);
    assert_eq!(report.count("unsent"), 0, "what was not due is not missing");
}

#[test]
fn an_interrupted_open_load_counts_what_was_due() {
    let server = Server::answering(OK);
    let report = interrupted(Signal::INT, &["-R", "200", "-d", "60s"], &server);
    let (intended, window) = (report.count("intended") as f64, report.float("window_s"));
    assert!((intended - 200.0 * window).abs() <= 2.0, "{intended} in {window} s");
}

#[test]
fn an_interrupted_number_of_requests_has_a_window_up_to_the_signal() {
    let server = Server::start(|peer| {
        peer.request();
        peer.stall();
    });
    let url = server.url("/");
    let program = Program::start(&["bench", "--format", "json", "-n", "4", "-c", "4", "--drain", "0s", &url]);
    server.wait_until(|server| server.requests().len() == 4);
    std::thread::sleep(Duration::from_millis(50));
    program.interrupt();
    let report = Report::of(program.finish().assert_code(130));
    assert_eq!(report.count("in_flight_at_end"), 4);
    assert!(report.float("window_s") >= 0.05, "{}", report.at("window_s"));
    assert!(report.float("rate_per_s.sent") <= 80.0, "{}", report.at("rate_per_s"));
}

#[test]
fn an_interruption_in_the_warm_up_ends_the_run_with_nothing_measured() {
    let server = Server::answering(OK);
    let report = interrupted(Signal::INT, &["--warmup", "60s", "-d", "60s"], &server);
    assert_eq!(report.count("intended"), 0);
    assert!(report.number("warmup.requests") >= 8);
    assert!(report.at("latency_us.response.p50").is_null(), "not measured is null");
}

#[test]
pub(crate) fn an_interruption_while_connecting_ends_the_run() {
    let backlog = crate::failures::FullBacklog::new();
    let url = format!("http://{}/", backlog.addr);
    let args = ["bench", "--format", "json", "-c", "2", "-t", "1", "--drain", "0s", "--connect-timeout", "50s"];
    let program = Program::start(&[&args[..], &[&url]].concat());
    // Its handlers are up long before that.
    std::thread::sleep(Duration::from_millis(400));
    program.interrupt();
    let finished = program.finish();
    finished.assert_code(130);
    assert_eq!(Report::of(&finished).count("intended"), 0);
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let server = Server::start(|peer| {
        peer.request();
        peer.stall();
    });
    let url = server.url("/");
    let mut program = Program::start(&["bench", "-n", "4", "-c", "4", "--drain", "1h", "--timeout", "1h", &url]);
    server.wait_until(|server| server.requests().len() == 4);
    program.interrupt();
    std::thread::sleep(Duration::from_millis(100));
    assert!(!program.has_ended(), "it drains");
    program.interrupt();
    let finished = program.finish();
    finished.assert_code(130);
    assert_eq!(finished.stdout, "", "no partial report");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let target = TargetProgram::start();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let program = Program::spawn(command(&["bench", "-n", "5", "--format", "json", &target.url]).stdout(writer));
    drop(reader);
    program.finish().assert_code(0);
}

#[test]
fn a_full_device_is_an_error() {
    let target = TargetProgram::start();
    for format in ["text", "json"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
        let args = ["bench", "-n", "5", "--format", format, &target.url];
        let finished = Program::spawn(command(&args).stdout(Stdio::from(full))).finish();
        finished.assert_code(2);
        assert!(finished.stderr.contains("standard output"), "{}", finished.stderr);
    }
    let finished = bench(&["-n", "5", "-o", "/dev/full", &target.url]);
    finished.assert_code(2);
    assert!(finished.stderr.contains("-o /dev/full"), "{}", finished.stderr);
    assert!(finished.stdout.contains("Requests/sec"), "the other places have theirs all the same");
}

#[test]
fn reports_go_to_several_files_in_the_formats_of_their_names() {
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (json, text, other) = (path("a.json"), path("b.txt"), path("c.out"));
    std::fs::write(&json, "old").expect("a file");
    let args = ["-n", "5", "-o", &json, "-o", &text, "-o", &other, "--format", "json", &target.url];
    let finished = bench(&args);
    finished.assert_code(0);
    let read = |path: &str| std::fs::read_to_string(path).expect("a report");
    Report::parse(&read(&json)).assert_ok(5);
    Report::parse(&read(&other)).assert_ok(5);
    assert_eq!(read(&text), finished.stdout, "the text besides the files is on stdout");
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 3, "no temporary file is left");
}

#[test]
fn a_report_is_not_written_where_nothing_could_be_reached() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.json");
    let url = format!("http://127.0.0.1:{}/", dead_port());
    let finished = bench(&["-n", "1", "-o", path.to_str().expect("UTF-8"), &url]);
    finished.assert_code(2);
    assert_eq!((finished.stdout.as_str(), path.exists()), ("", false));
}

#[test]
fn start_anyway_measures_a_server_that_is_not_up() {
    let url = format!("http://127.0.0.1:{}/", dead_port());
    let (report, finished) = measured(&["--start-anyway", "-n", "3", "-c", "1", &url]);
    finished.assert_code(1);
    report.assert_failures("connect", 3);
    assert!(report.warns("no_success"));
}

#[test]
fn nothing_that_succeeded_is_the_answer_no() {
    let server = Server::answering(*b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n");
    bench(&["-n", "3", &server.url("/")]).assert_code(1);
}

#[test]
pub(crate) fn without_a_url_the_embedded_target_is_measured() {
    let (report, finished) = measured(&["-d", "300ms"]);
    finished.assert_code(0);
    assert!(report.count("ok") > 0 && report.warns("shared_machine"));
    assert_eq!(report.at("plan.embedded_target"), true);
    assert!(finished.stderr.contains("embedded target"), "{}", finished.stderr);
    let quiet = bench(&["-d", "100ms", "-q"]);
    quiet.assert_code(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn alone_it_measures_the_embedded_target_too() {
    let program = Program::start::<&str>(&[]);
    std::thread::sleep(Duration::from_millis(700));
    program.interrupt();
    let finished = program.finish();
    finished.assert_code(130);
    assert!(finished.stdout.contains("Requests/sec"), "{}", finished.stdout);
    assert!(finished.stderr.contains("embedded target"), "{}", finished.stderr);
}

#[test]
fn help_and_version_go_to_stdout_and_succeed() {
    let help = ringload(&["bench", "--help"]);
    help.assert_code(0);
    for part in ["--connections", "--rate", "Load:", "Requests:", "Limits:", "Output:"] {
        assert!(help.stdout.contains(part), "{part}");
    }
    for hidden in ["--qps", "--rps"] {
        assert!(!help.stdout.contains(hidden), "{hidden}");
    }
    let version = ringload(&["--version"]);
    version.assert_code(0);
    assert_eq!(version.stdout, format!("ringload {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_text_report_fits_a_screen_and_stdout_holds_nothing_else() {
    let target = TargetProgram::start();
    let finished = bench(&["-n", "50", "-c", "4", &target.url]);
    finished.assert_code(0);
    assert!(finished.stdout.starts_with("ringload:"), "{}", finished.stdout);
    assert!(finished.stdout.lines().count() <= 50);
    assert!(finished.stdout.is_ascii() && finished.stdout.lines().all(|line| line.len() <= 100));
    assert_eq!(finished.stderr, "");
}

#[test]
fn the_seed_and_the_rest_of_the_plan_are_echoed() {
    let server = Server::answering(OK);
    let args =
        ["-n", "2", "-c", "2", "-t", "1", "--seed", "42", "--timeout", "7s", "--drain", "1s", "--warmup", "10ms"];
    let report = measure(&[&args[..], &["--no-progress", "--cores", &first_core(), &server.url("/")]].concat());
    assert_eq!((report.number("plan.seed"), report.number("plan.connections")), (42, 2));
    assert_eq!(report.at("plan.cores.0").to_string(), first_core());
    assert_eq!((report.float("plan.timeouts.request_s"), report.float("plan.drain_s")), (7.0, 1.0));
    assert_eq!(report.float("plan.warmup_s"), 0.01);
}

/// The first CPU that this process may run on.
fn first_core() -> String {
    let cores = core_affinity::get_core_ids().expect("the allowed set");
    cores.iter().map(|core| core.id).min().expect("at least one").to_string()
}

#[test]
fn a_header_file_and_an_input_file_are_read_before_the_run() {
    let server = Server::answering(OK);
    let (_folder, headers) = file("X-One: 1\r\n# comment\n\nX-Two: 2\n");
    measure(&["-n", "1", "-H", &format!("@{headers}"), &server.url("/")]).assert_ok(1);
    let request = server.requests().remove(0);
    assert!(request.headers.ends_with(&["X-One: 1".to_owned(), "X-Two: 2".to_owned()]), "{request:?}");
}

#[test]
fn open_files_that_were_inherited_count_against_the_limit() {
    let script = "ulimit -n 80; for ((i = 10; i < 74; i++)); do eval \"exec $i</dev/null\"; done; exec \"$0\" \"$@\"";
    let mut command = std::process::Command::new("bash");
    command.args([
        "-c",
        script,
        env!("CARGO_BIN_EXE_ringload"),
        "bench",
        "-c",
        "12",
        "-n",
        "100",
        "http://127.0.0.1:9/",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let finished = Program::spawn(&mut command).finish();
    finished.assert_code(2);
    assert!(finished.stderr.contains("-c 12") && finished.stderr.contains("ulimit -Hn"), "{}", finished.stderr);
}
