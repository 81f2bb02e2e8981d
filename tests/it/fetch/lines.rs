//! What comes in, and what is written of it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use super::{fetch, only, records, start};
use crate::support::program::command;
use crate::support::{OK, Server, TargetProgram, dead_port, file};

#[test]
fn every_line_has_one_record_whatever_became_of_it() {
    let target = TargetProgram::start();
    let dead = format!("http://127.0.0.1:{}/", dead_port());
    let lines = format!(
        "\u{feff}# a comment\r\n{0}/\r\n\nHEAD {0}/bytes/100\n{0}/status/404\nnonsense\n{dead}\n{0}/garbage\n{0}/",
        target.url
    );
    let (_folder, path) = file(lines);
    let finished = fetch(&["-i", &path, "--retries", "0"]);
    let records = records(&finished.assert_code(0).stdout);
    let mut numbers: Vec<_> = records.keys().copied().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 4, 5, 6, 7, 8, 9]);
    let ok = &records[&2];
    assert_eq!((&ok["status"], &ok["ok"], &ok["bytes"]), (&200.into(), &true.into(), &12.into()));
    assert_eq!(ok["url"], ok["final_url"]);
    assert!(ok["error"].is_null() && ok["started_at"].as_str().is_some_and(|at| at.ends_with('Z')));
    assert!(ok["response_ms"].as_f64() >= ok["service_ms"].as_f64());
    assert_eq!((&records[&4]["bytes"], &records[&4]["ok"]), (&0.into(), &true.into()));
    let missing = &records[&5];
    assert_eq!((&missing["status"], &missing["ok"], &missing["error"]), (&404.into(), &false.into(), &().into()));
    let kind = |line: u64| records[&line]["error"]["kind"].as_str().unwrap_or_default().to_owned();
    assert_eq!([kind(6), kind(7), kind(8)], ["input", "connect", "protocol"]);
    assert_eq!(records[&7]["attempts"], 1);
    assert!(records[&7]["error"]["detail"].as_str().is_some_and(|detail| detail.contains("refused")));
}

#[test]
fn lines_of_json_have_methods_headers_bodies_and_tags() {
    let target = TargetProgram::start();
    let lines = format!(
        "{{\"url\":\"{0}/echo\",\"method\":\"POST\",\"body\":\"aGk=\",\"tag\":\"greeting\"}}\n{{\"url\":\"{0}/\"}}\n{{\"url\":7}}",
        target.url
    );
    let (_folder, path) = file(lines);
    let finished = fetch(&["-i", &path, "--body-in-json", "text", "--fail-on-error"]);
    let records = records(&finished.assert_code(1).stdout);
    assert_eq!((&records[&1]["body"], &records[&1]["tag"]), (&"hi".into(), &"greeting".into()));
    assert_eq!((&records[&2]["body"], &records[&2]["tag"]), (&"hello world\n".into(), &().into()));
    assert_eq!((&records[&3]["error"]["kind"], &records[&3]["url"]), (&"input".into(), &"".into()));
}

#[test]
fn fetching_begins_before_the_input_ends() {
    let server = Server::answering(OK);
    let mut command = command(&["fetch", "-q", "--no-robots", "-i", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut records = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for line in 1..=3 {
        writeln!(stdin, "{}", server.url(&format!("/{line}"))).expect("it reads");
        let record = records.next().expect("a record").expect("text");
        assert!(record.starts_with(&format!("{{\"line\":{line},")), "{record}");
    }
    drop(stdin);
    assert!(records.next().is_none() && child.wait().expect("a child").success());
}

#[test]
fn a_pipe_with_a_name_is_read_once_and_to_its_end() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().expect("a folder");
    let inside = |name: &str| folder.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    let (pipe, journal) = (inside("pipe"), inside("out.jsonl"));
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    for args in [&["-i", pipe.as_str()][..], &["-i", &pipe, "-o", &journal, "--resume"]] {
        let program = start(args);
        let mut feed = std::fs::File::options().write(true).open(&pipe).expect("it reads");
        for line in 1..=3 {
            writeln!(feed, "{}", server.url(&format!("/{line}"))).expect("it still reads");
            thread::sleep(Duration::from_millis(20));
        }
        drop(feed);
        program.finish().assert_code(0);
    }
    assert_eq!(records(&std::fs::read_to_string(&journal).expect("the records")).len(), 3);
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn an_endless_input_takes_bounded_memory() {
    // Nothing is ever answered: reading stops when enough lines are under way.
    let server = Server::silent();
    let mut command = command(&["fetch", "-q", "--no-robots", "-c", "4", "-t", "1", "-i", "-"]);
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let line = format!("{}\n", server.url(&format!("/{}", "x".repeat(100))));
    let written = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let counter = std::sync::Arc::clone(&written);
    let writer = thread::spawn(move || {
        while stdin.write_all(line.as_bytes()).is_ok() {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    let count = || written.load(std::sync::atomic::Ordering::Relaxed);
    let mut before = u64::MAX;
    // It has stopped reading once nothing more goes in.
    while count() != before || before == 0 {
        before = count();
        thread::sleep(Duration::from_millis(500));
    }
    let memory = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    let peak_kb: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches("kB").trim().parse().ok())
        .expect("a peak");
    child.kill().expect("our child");
    child.wait().expect("our child");
    writer.join().expect("it ends with the pipe");
    assert!((65_536..80_000).contains(&before), "{before} lines went in");
    assert!(peak_kb < 96 * 1024, "{peak_kb} kB");
}

#[test]
fn long_lines_take_bounded_memory_too() {
    // A megabyte each: of these a window of 65,536 would be 64 GB.
    let target = TargetProgram::start();
    let body = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, vec![b'x'; 1 << 20]);
    let mut command = command(&["fetch", "-q", "--no-robots", "-t", "1", "-o", "/dev/null", "--rate", "50", "-i", "-"]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let line = format!("{{\"method\":\"POST\",\"url\":\"{}/\",\"body\":\"{body}\"}}\n", target.url);
    for _ in 0..250 {
        stdin.write_all(line.as_bytes()).expect("it reads");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    drop(stdin);
    assert!(child.wait().expect("a child").success(), "and it goes on");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    assert!(peak < Some(200 * 1024u64), "{peak:?} kB");
}

#[test]
fn records_are_in_the_order_of_the_input_where_that_is_asked_for() {
    let target = TargetProgram::start();
    let lines: String = (0..200).map(|n| format!("{}/delay/{}\n", target.url, (199 - n) % 7 * 5)).collect();
    let (_folder, path) = file(lines);
    let finished = fetch(&["-i", &path, "--ordered", "-t", "2", "-c", "64"]);
    let text = &finished.assert_code(0).stdout;
    let number = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect(line)["line"].as_u64();
    let numbers: Vec<_> = text.lines().filter_map(number).collect();
    assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
}

#[test]
fn a_host_with_all_the_lines_is_fetched_from_by_all_cores() {
    let target = TargetProgram::start();
    let lines: String = (0..2_000).map(|n| format!("{}/?{n}\n", target.url)).collect();
    let ((_folder, path), (_other, report)) = (file(lines), file(""));
    let report = report.replace("file.txt", "report.json");
    let finished = start(&["-i", &path, "-t", "2", "-o", "/dev/null", "--report", &report]).finish();
    finished.assert_code(0);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).expect("a report")).expect("a report in JSON");
    let sent = |shard: usize| report["shards"][shard]["counts"]["sent"].as_u64().expect("a count");
    assert!(sent(0) > 500 && sent(1) > 500 && sent(0) + sent(1) == 2_000, "{} and {}", sent(0), sent(1));
    assert_eq!((&report["fetch"]["lines"], &report["fetch"]["ok"]), (&2_000.into(), &2_000.into()));
}

#[test]
fn where_nobody_reads_the_records_nothing_is_awaited() {
    let server = Server::start(|peer| {
        while let Some(request) = peer.request() {
            if request.line.contains("/silent") {
                return peer.stall();
            }
            peer.sleep(Duration::from_millis(20));
            peer.send(OK);
        }
    });
    let paths = ["/first", "/silent"].map(str::to_owned).into_iter().chain((0..300).map(|n| format!("/{n}")));
    let (_folder, path) = file(paths.map(|path| format!("{}\n", server.url(&path))).collect::<String>());
    let mut command = command(&["fetch", "-q", "--no-robots", "-i", &path]);
    let mut child = command.stderr(Stdio::null()).spawn().expect("the program starts");
    let began = std::time::Instant::now();
    let mut records = BufReader::new(child.stdout.take().expect("a pipe"));
    records.read_line(&mut String::new()).expect("a record");
    drop(records);
    assert!(child.wait().expect("a child").success());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(server.requests().len() < 300);
}

#[test]
fn nothing_to_fetch_is_no_run() {
    let (_folder, empty) = file("# nothing\n\n");
    for (args, part) in [
        (&[][..], "nothing to fetch"),
        (&["-i", "/no/such/file"], "cannot read it"),
        (&["-i", "/", "-o", &format!("{empty}.out")], "-i /: cannot read it"),
        (&["-i", &empty], "holds no URL"),
        (&["http://127.0.0.1/", "-o", "/no/such/folder/out"], "does not exist"),
        (&["http://127.0.0.1/", "--resume"], "name it with -o"),
    ] {
        let finished = fetch(args);
        assert!(finished.assert_code(2).stderr.contains(part), "{}", finished.stderr);
    }
}

#[test]
fn exit_1_says_that_nothing_was_ok() {
    let target = TargetProgram::start();
    let finished = fetch(&[&format!("{}/status/404", target.url)]);
    assert_eq!(only(finished.assert_code(1))["status"], 404);
}
