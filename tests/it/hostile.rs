//! Servers that mean harm, and options at their limits: every run ends, adds up, and stays within its means.

use std::time::{Duration, Instant};

use crate::support::{OK, Peer, Program, Report, Server, TargetProgram, bench, measure, measured};

/// Sends `piece` for ever after `head`, as fast as it is taken.
fn endless(head: &'static str, piece: Vec<u8>) -> Server {
    Server::start(move |peer: &mut Peer| {
        if peer.request().is_some() && peer.send(head.as_bytes()) {
            while peer.send(&piece) {}
        }
    })
}

/// A request to a server that never ends its answer ends by the time limit.
#[track_caller]
fn ends_by_its_timeout(server: &Server) {
    let url = server.url("/");
    let args = ["bench", "--format", "json", "-n", "2", "-c", "2", "-t", "1", "--timeout", "300ms", &url];
    let program = Program::start(&args);
    server.wait_until(|server| server.accepted() >= 2);
    std::thread::sleep(Duration::from_millis(100));
    let peak = program.peak_memory().unwrap_or(0);
    let report = Report::of(program.finish().assert_code(1));
    report.assert_failures("timeout", 2);
    assert!(peak < 200 << 20, "{peak} bytes");
    assert!(report.float("latency_us.response.max") < 20e6, "{}", report.at("latency_us.response"));
}

#[test]
pub(crate) fn an_endless_body_until_close_ends_by_its_timeout() {
    ends_by_its_timeout(&endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 1 << 20]));
}

#[test]
pub(crate) fn an_endless_body_in_small_chunks_ends_by_its_timeout() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    ends_by_its_timeout(&endless(head, b"1\r\nx\r\n".repeat(20_000)));
}

#[test]
pub(crate) fn a_body_of_nearly_2_to_the_64_ends_by_its_timeout() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n";
    ends_by_its_timeout(&endless(head, vec![b'x'; 1 << 20]));
}

#[test]
pub(crate) fn an_endless_body_is_in_flight_when_the_drain_ends() {
    let server = endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 1 << 20]);
    let report = measure(&["-d", "200ms", "-c", "2", "-t", "1", "--drain", "100ms", &server.url("/")]);
    assert_eq!(report.count("in_flight_at_end"), 2);
}

#[test]
pub(crate) fn an_endless_body_is_given_up_at_an_interruption() {
    let server = endless("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 1 << 20]);
    let url = server.url("/");
    let program = Program::start(&["bench", "--format", "json", "-n", "2", "-c", "2", "--drain", "0s", &url]);
    server.wait_until(|server| server.requests().len() >= 2);
    program.interrupt();
    let report = Report::of(program.finish().assert_code(130));
    assert_eq!(report.count("in_flight_at_end"), 2);
}

#[test]
pub(crate) fn every_way_to_answer_badly_adds_up() {
    let server = Server::start(|peer: &mut Peer| {
        let mut turn = peer.number;
        while peer.request().is_some() {
            turn += 1;
            match turn % 9 {
                0 => return peer.reset(),
                1 => return peer.close(),
                2 => drop(peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")),
                3 => drop(peer.send(b"\0\0\0\0")),
                4 => drop(peer.send(&[OK, OK].concat())),
                5 => drop(peer.send(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")),
                6 => peer.sleep(Duration::from_millis(120)),
                _ => drop(peer.send(OK)),
            }
        }
    });
    for load in [&["-c", "16"][..], &["-c", "16", "-R", "2000"], &["-c", "7", "-R", "300", "--arrivals", "poisson"]] {
        for method in ["GET", "POST"] {
            let limits = ["--timeout", "60ms", "--deadline", "200ms", "--drain", "50ms", "-d", "700ms"];
            let report = measured(&[load, &limits, &["-X", method, &server.url("/")]].concat()).0;
            for kind in ["reset", "closed_early", "protocol", "timeout"] {
                assert!(report.failure(kind) > 0, "{kind}: {}", report.at("failures"));
            }
            assert!(report.count("ok") > 0 && report.count("http_error") > 0);
        }
    }
}

#[test]
pub(crate) fn a_rate_that_no_machine_sends_ends_in_time_and_adds_up() {
    let target = TargetProgram::start();
    let started = Instant::now();
    for (rate, intended) in [("50M", 10_000_000u64), ("1G", 200_000_000)] {
        let report = measure(&["-R", rate, "-d", "200ms", "-c", "8", "-t", "1", &target.url]);
        assert_eq!(report.count("intended"), intended);
        assert!(report.count("unsent") > intended / 2 && report.warns("rate_missed"));
    }
    let report = measured(&["-R", "50M", "-d", "200ms", "-c", "8", "-t", "1", "--deadline", "1ms", &target.url]).0;
    assert_eq!(report.count("intended"), 10_000_000);
    let poisson = ["-R", "5M", "--arrivals", "poisson", "-d", "200ms", "-c", "8", "-t", "1"];
    let intended = measure(&[&poisson[..], &[&target.url]].concat()).count("intended");
    assert!((990_000..1_010_000).contains(&intended), "{intended}");
    assert!(started.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_rate_of_one_an_hour_sends_one() {
    let server = Server::answering(OK);
    for rate in ["1/h", "0.0001", "0.001/h"] {
        let report = measure(&["-R", rate, "-d", "150ms", "-c", "3", &server.url("/")]);
        report.assert_ok(1);
    }
}

#[test]
fn the_shortest_run_is_a_run() {
    let target = TargetProgram::start();
    for duration in ["1ms", "1us", "1ns"] {
        let (report, finished) = measured(&["-d", duration, "-c", "4", "--drain", "1s", &target.url]);
        assert!(matches!(finished.code(), Some(0 | 1)), "{finished:?}");
        assert_eq!(report.count("failed") + report.count("in_flight_at_end"), 0);
    }
}

#[test]
fn a_warm_up_may_be_longer_than_the_run() {
    let target = TargetProgram::start();
    let report = measure(&["--warmup", "300ms", "-d", "50ms", "-R", "400", "-c", "4", &target.url]);
    assert_eq!(report.count("intended"), 20);
    // What falls due at the very end of a warm-up may not be taken up any more.
    assert!((100..=120).contains(&report.number("warmup.requests")), "{}", report.at("warmup"));
}

#[test]
fn the_longest_times_do_not_overflow() {
    let server = Server::answering(OK);
    let longest = "2562047h";
    let url = server.url("/");
    let mut args = vec!["-n", "3", "-d", longest, "--drain", longest, "--timeout", longest];
    args.extend(["--connect-timeout", longest, "--read-timeout", longest, "--deadline", longest, &url]);
    measure(&args).assert_ok(3);
    let program = Program::start(&["bench", "--format", "json", "--warmup", longest, "-d", longest, "-c", "1", &url]);
    server.wait_until(|server| server.requests().len() > 10);
    program.interrupt();
    Report::of(program.finish().assert_code(130));
}

#[test]
fn a_deadline_shorter_than_everything_fails_everything_and_ends() {
    let target = TargetProgram::start();
    for load in [&["-R", "1000"][..], &[]] {
        let limits = ["--deadline", "1ns", "-d", "200ms", "-c", "4", "-t", "1"];
        let report = measured(&[load, &limits, &[&target.url]].concat()).0;
        assert_eq!(report.count("failed"), report.failure("deadline"));
        assert_eq!(report.count("ok"), 0, "an answer that is late is none: {}", report.at("counts"));
    }
}

#[test]
pub(crate) fn thousands_of_connections_open_and_add_up() {
    let target = TargetProgram::start();
    let report = measure(&["-c", "2000", "-R", "4000", "-n", "2000", &target.url]);
    assert_eq!((report.count("intended"), report.count("connections_opened")), (2000, 2000));
    report.assert_ok(2000);
}

#[test]
fn more_connections_than_files_are_refused_with_the_remedy() {
    let mut command = std::process::Command::new("sh");
    let script = "ulimit -n 300; exec \"$0\" bench -c 1000 -n 2000 http://127.0.0.1:9/";
    command.args(["-c", script, env!("CARGO_BIN_EXE_ringload")]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    let finished = Program::spawn(command.stderr(std::process::Stdio::piped())).finish();
    finished.assert_code(2);
    assert!(finished.stderr.contains("ulimit -Hn"), "{}", finished.stderr);
}

#[test]
pub(crate) fn an_idle_open_load_costs_little() {
    let server = Server::answering(OK);
    let report = measure(&["-R", "2", "-d", "1500ms", "-c", "64", "-t", "1", &server.url("/")]);
    report.assert_ok(3);
    // A debug build beside other tests: a spin would cost 1.5 s.
    assert!(report.float("client.cpu_s") < 0.6, "{} s", report.float("client.cpu_s"));
}

#[test]
pub(crate) fn waiting_for_a_silent_server_costs_little() {
    let server = Server::silent();
    let report = measured(&["-d", "1500ms", "-c", "64", "-t", "1", "--drain", "0s", &server.url("/")]).0;
    assert!(report.float("client.cpu_s") < 0.6, "{} s", report.float("client.cpu_s"));
}

#[test]
fn closed_standard_streams_do_no_harm() {
    let target = TargetProgram::start();
    let script = format!("exec \"$0\" bench -n 3 {} <&- >&- 2>&-", target.url);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_ringload")]);
    Program::spawn(&mut command).finish().assert_code(0);
}

#[test]
fn a_run_leaves_no_connection_behind() {
    let server = Server::start(|peer: &mut Peer| while peer.request().is_some() && peer.send(OK) {});
    bench(&["-n", "100", "-c", "20", &server.url("/")]).assert_code(0);
    assert_eq!(server.requests().len(), 100);
}

#[test]
pub(crate) fn connections_that_time_out_are_closed_and_not_leaked() {
    let server = Server::silent();
    let url = server.url("/");
    let program =
        Program::start(&["bench", "--format", "json", "-c", "8", "-t", "1", "-d", "1s", "--timeout", "5ms", &url]);
    server.wait_until(|server| server.accepted() > 300);
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", program.pid().as_raw_nonzero())).map(Iterator::count);
    let report = Report::of(program.finish().assert_code(1));
    assert!(report.failure("timeout") > 300);
    assert!(descriptors.is_ok_and(|count| count < 60), "descriptors of timed-out connections are closed");
}
