//! A retrieval as others see it: its log, its metrics, and the line on the terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{fetch, records, start};
use crate::support::{OK, Program, Report, Server, dead_port, file, ringload};

const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";

/// Answers `/missing` with 404, `/busy` with 503 at first, `/held` once it is let go, and all else with 200.
fn moody(let_go: Arc<AtomicBool>) -> Server {
    let was_busy = AtomicBool::new(false);
    Server::start(move |peer| {
        while let Some(request) = peer.request() {
            let path = request.line.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
            while path == "/held" && !let_go.load(Ordering::SeqCst) {
                peer.sleep(Duration::from_millis(5));
            }
            let answer = match path.as_str() {
                "/missing" => NOT_FOUND,
                "/busy" if !was_busy.swap(true, Ordering::SeqCst) => BUSY,
                _ => OK,
            };
            if !peer.send(answer) {
                return;
            }
        }
    })
}

fn events(path: &str) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("the log");
    text.lines().map(|line| serde_json::from_str::<Value>(line).expect(line)["fields"].clone()).collect()
}

#[test]
fn the_log_tells_ends_retries_and_holds_without_secrets() {
    let server = moody(Arc::default());
    let with_login = server.url("/missing?key=hush-1").replace("http://", "http://me:hush-2@");
    let lines = format!("{}\n{}\n{}\nhush-3@:no url\n", server.url("/x"), server.url("/busy"), with_login);
    let (folder, input) = file(lines);
    let log = folder.path().join("log").to_str().expect("a path in UTF-8").to_owned();
    let args = ["-t", "2", "--backoff", "1ms", "-H", "X-Api-Key: hush-4", "--log", &log, "-i", &input];
    assert_eq!(records(&fetch(&args).assert_code(0).stdout).len(), 4);
    let all = events(&log);
    let said = |message: &str| all.iter().filter(|event| event["message"] == message).cloned().collect::<Vec<_>>();
    let mut ended = said("line ended");
    ended.sort_by_key(|event| event["line"].as_u64());
    assert_eq!(ended.len(), 4, "{all:?}");
    assert_eq!((&ended[0]["status"], &ended[0]["attempts"]), (&200.into(), &1.into()));
    assert_eq!((&ended[1]["status"], &ended[1]["attempts"]), (&200.into(), &2.into()));
    assert!(ended[1]["response_ms"].as_f64().is_some_and(|ms| ms >= 1_000.0), "the host's second is part of it");
    assert_eq!((&ended[2]["status"], &ended[2]["url"]), (&404.into(), &server.url("/missing?***").into()));
    assert_eq!((&ended[3]["error"], &ended[3]["url"]), (&"input".into(), &Value::Null));
    assert_eq!((&said("retry")[0]["line"], &said("retry")[0]["status"]), (&2.into(), &503.into()));
    assert_eq!(
        (&said("host held")[0]["host"], &said("host held")[0]["hold_ms"]),
        (&server.addr().to_string().into(), &1_000.0.into())
    );
    let text = fs::read_to_string(&log).expect("the log");
    assert!(!text.contains("hush"), "{text}");
    // A second run goes on where the first ended.
    fetch(&["--log", &log, &server.url("/x")]).assert_code(0);
    assert_eq!(events(&log).len(), all.len() + 1);
}

#[test]
fn the_log_tells_of_hosts_that_rest() {
    let gone = format!("http://127.0.0.1:{}/", dead_port());
    let (folder, input) = file(format!("{gone}\n").repeat(11));
    let log = folder.path().join("log").to_str().expect("a path in UTF-8").to_owned();
    fetch(&["--retries", "0", "--log", &log, "-i", &input]).assert_code(1);
    let all = events(&log);
    let rests: Vec<_> = all.iter().filter(|event| event["message"] == "host rests").collect();
    assert_eq!(
        (&rests[0]["rest_ms"], &gone.contains(rests[0]["host"].as_str().expect("a name"))),
        (&1_000.0.into(), &true)
    );
}

/// What Prometheus would be told; nothing where nobody listens yet.
fn metrics(port: u16) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    let mut text = String::new();
    let asked = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let _ = asked.and_then(|()| stream.read_to_string(&mut text));
    text
}

fn sample(text: &str, series: &str) -> Option<f64> {
    let series = format!("ringload_fetch_{series} ");
    text.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
}

#[test]
fn metrics_tell_where_a_run_stands() {
    let let_go = Arc::new(AtomicBool::new(false));
    let server = moody(Arc::clone(&let_go));
    let mut lines: String = (0..50).map(|n| format!("{}\n", server.url(&format!("/{n}")))).collect();
    for path in ["/missing", "/busy", "/held"] {
        lines += &format!("{}\n", server.url(path));
    }
    let (_folder, input) = file(format!("{lines}no url\n"));
    let port = dead_port();
    let address = format!(":{port}");
    let run = start(&["-t", "2", "--backoff", "1ms", "--metrics", &address, "-i", &input]);
    let until = Instant::now() + Duration::from_secs(20);
    let mut text = String::new();
    while sample(&text, "lines_total{outcome=\"ok\"}") != Some(51.0) {
        assert!(Instant::now() < until, "{text}");
        thread::sleep(Duration::from_millis(20));
        text = metrics(port);
    }
    let_go.store(true, Ordering::SeqCst);
    for (series, expected) in [
        ("lines_read_total", 54.0),
        ("lines_total{outcome=\"http_error\"}", 1.0),
        ("lines_total{outcome=\"failed\"}", 1.0),
        ("errors_total{kind=\"input\"}", 1.0),
        ("responses_total{status=\"200\"}", 51.0),
        ("responses_total{status=\"503\"}", 1.0),
        ("requests_total", 54.0),
        ("retries_total", 1.0),
        ("rate_limited_total", 1.0),
        ("requests_in_flight", 1.0),
        ("lines_waiting", 0.0),
        ("body_bytes_total", 102.0),
        ("response_seconds_count", 52.0),
    ] {
        assert_eq!(sample(&text, series), Some(expected), "{series}: {text}");
    }
    assert!(sample(&text, "response_seconds_sum").is_some_and(|sum| sum > 1.0), "{text}");
    assert_eq!(records(&run.finish().assert_code(0).stdout).len(), 54);
    assert_eq!(metrics(port), "", "nobody listens any more");
}

#[test]
fn what_cannot_be_watched_is_refused_before_anything_is_sent_or_thrown_away() {
    let server = Server::answering(OK);
    let (_folder, out) = file("precious\n");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).expect("its address");
    let url = server.url("/");
    for (option, value, remedy) in [
        ("--metrics", "here", "write a port"),
        ("--metrics", taken.1.as_str(), "port 0 is any that is free"),
        ("--log", "/nowhere/log", "--log /nowhere/log"),
        ("--log", out.as_str(), "a file of its own"),
    ] {
        let finished = fetch(&["-o", &out, "--overwrite", option, value, &url]);
        finished.assert_code(2);
        assert!(finished.stderr.contains(option) && finished.stderr.contains(remedy), "{}", finished.stderr);
        assert_eq!(fs::read_to_string(&out).expect("the file"), "precious\n");
    }
    assert_eq!(server.accepted(), 0);
}

#[test]
fn the_port_that_was_found_is_said() {
    let server = Server::answering(OK);
    let finished = ringload(&["fetch", "--no-robots", "--metrics", "0", &server.url("/")]);
    assert!(finished.assert_code(0).stderr.contains("metrics are at http://127.0.0.1:"), "{}", finished.stderr);
}

#[test]
fn the_report_says_how_long_the_lines_would_have_waited_one_after_the_other() {
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(Duration::from_millis(200));
            peer.send(OK);
        }
    });
    // The host has one connection until its first answer, and six after that.
    let (folder, input) = file(format!("{}\n", server.url("/")).repeat(13));
    let report = folder.path().join("report.json");
    fetch(&["-t", "1", "--report", report.to_str().expect("a path in UTF-8"), "-i", &input]).assert_code(0);
    let text = fs::read_to_string(&report).expect("the report");
    let report = Report::parse(&text);
    let (waits, wall) = (report.float("fetch.waits_s"), report.float("window_s"));
    assert!(waits >= 13.0 * 0.2 && wall >= 3.0 * 0.2 - 0.001, "{waits} {wall}");
    assert!((report.float("fetch.waits_over_wall") - waits / wall).abs() < 1e-6);
}

#[test]
fn a_terminal_is_shown_counts_and_who_holds_the_run_up() {
    let let_go = Arc::new(AtomicBool::new(false));
    let server = moody(Arc::clone(&let_go));
    let (folder, input) = file(format!("{}\n{}\n", server.url("/x"), server.url("/held")));
    let out = folder.path().join("out");
    let program = env!("CARGO_BIN_EXE_ringload");
    let run = format!(
        "stty columns 200 rows 10; exec '{program}' fetch --no-robots -t 1 -o '{}' -i '{input}'",
        out.to_str().expect("a path in UTF-8")
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", &run, "/dev/null"]).env("TERM", "xterm");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = Program::spawn(&mut command);
    thread::sleep(Duration::from_millis(4_500));
    let_go.store(true, Ordering::SeqCst);
    let finished = run.finish();
    let text = &finished.assert_code(0).stdout;
    assert!(text.contains("1 of 2 lines (50%)") && text.contains("1 in flight"), "{text:?}");
    assert!(text.contains(&format!("slowest: {} (1 line, silent for ", server.addr())), "{text:?}");
    assert!(text.contains("one after the other they would have waited"), "{text:?}");
}
