//! Lines that a signal leaves behind: in their file, for the next run; elsewhere, in a record that says so.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::{records, start};
use crate::checks::answer;
use crate::support::program::{Finished, command};
use crate::support::{OK, Server, file};

/// Three hosts, of which one answers, one never does, and one says that it is busy: all of them do once they are let.
struct Hosts {
    let_go: Arc<AtomicBool>,
    answering: Server,
    silent: Server,
    busy: Server,
}

impl Hosts {
    fn start() -> Self {
        let let_go = Arc::<AtomicBool>::default();
        let host = |first: Option<Vec<u8>>| {
            let let_go = Arc::clone(&let_go);
            Server::start(move |peer| {
                while peer.request().is_some() {
                    match &first {
                        _ if let_go.load(Ordering::SeqCst) => peer.send(OK),
                        Some(first) => peer.send(first),
                        None => return peer.stall(),
                    };
                }
            })
        };
        let (answering, silent, busy) = (host(Some(OK.to_vec())), host(None), host(Some(answer("503 Busy", ""))));
        Self { let_go, answering, silent, busy }
    }

    /// A run with these arguments that a signal ends: line 1 is done by then, 2 in flight and 3 waits for its retry; 4 waits
    /// for its turn.
    fn interrupted(&self, args: &[&str]) -> Finished {
        let urls = [&self.answering, &self.silent, &self.busy, &self.silent].map(|server| server.url("/"));
        let urls = urls.each_ref().map(String::as_str);
        let slow =
            ["-t", "1", "--connections-per-host", "1", "--backoff", "1h", "--backoff-max", "1h", "--drain", "50ms"];
        let program = start(&[args, &slow, &urls].concat());
        let asked = |server: &Server| !server.requests().is_empty();
        self.silent.wait_until(|silent| asked(silent) && asked(&self.answering) && asked(&self.busy));
        // The answers are taken in.
        std::thread::sleep(std::time::Duration::from_millis(500));
        program.interrupt();
        program.finish()
    }
}

#[test]
fn who_reads_the_records_is_told_what_was_begun_and_came_to_no_end() {
    let hosts = Hosts::start();
    let finished = hosts.interrupted(&[]);
    let all = records(&finished.assert_code(130).stdout);
    let kinds = [1, 2, 3].map(|line| all[&line]["error"]["kind"].clone());
    assert_eq!(kinds, [Value::Null, "interrupted".into(), "interrupted".into()], "{}", finished.stdout);
    assert_eq!(all.len(), 3, "of a line that was never begun nothing is known");
    for line in [2, 3] {
        assert_eq!(
            (&all[&line]["attempts"], &all[&line]["ok"], &all[&line]["status"]),
            (&1.into(), &false.into(), &().into())
        );
        assert!(all[&line]["response_ms"].as_f64() > Some(100.0) && all[&line]["started_at"].is_string());
    }
    let ordered = Hosts::start().interrupted(&["--ordered"]);
    let lines: Vec<_> = ordered.assert_code(130).stdout.lines().map(|line| line.chars().nth(8)).collect();
    assert_eq!(lines, [Some('1'), Some('2'), Some('3')], "{}", ordered.stdout);
}

#[test]
fn where_records_go_nowhere_the_report_has_them_all_the_same() {
    let (_folder, report) = file("");
    let report = report.replace("file.txt", "report.json");
    Hosts::start().interrupted(&["-o", "/dev/null", "--report", &report]).assert_code(130);
    let report: Value = serde_json::from_slice(&fs::read(report).expect("a report")).expect("JSON");
    let of = |name: &str| report["fetch"][name].clone();
    assert_eq!((of("lines"), of("unfinished")), (3.into(), 0.into()));
    assert_eq!(of("errors"), serde_json::json!({"interrupted": 2}));
}

#[test]
fn in_a_file_they_have_no_record_and_the_next_run_fetches_them() {
    let hosts = Hosts::start();
    let (folder, report) = file("");
    let (journal, report) = (report.replace("file.txt", "out.jsonl"), report.replace("file.txt", "report.json"));
    let args = ["-o", &journal, "--resume", "--report", &report];
    hosts.interrupted(&args).assert_code(130);
    let written = || records(&fs::read_to_string(&journal).expect("the journal"));
    assert_eq!(written().into_keys().collect::<Vec<_>>(), [1]);
    let report: Value = serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON");
    assert_eq!((&report["fetch"]["lines"], &report["fetch"]["unfinished"]), (&1.into(), &2.into()));
    hosts.let_go.store(true, Ordering::SeqCst);
    let urls = [&hosts.answering, &hosts.silent, &hosts.busy, &hosts.silent].map(|server| server.url("/"));
    let urls = urls.each_ref().map(String::as_str);
    start(&[&args[..], &urls].concat()).finish().assert_code(0);
    assert!(written().len() == 4 && written().values().all(|record| record["ok"] == true));
    drop(folder);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (answering, silent) = (Server::answering(OK), Server::silent());
    let lines: String = (1..=60).map(|n| format!("{}\n", answering.url(&format!("/{n}")))).collect();
    let (_folder, path) = file(format!("{}\n{lines}", silent.url("/")));
    let args = ["fetch", "-q", "--no-robots", "--fail-on-error", "--drain", "50ms", "--rate", "50", "-i", &path];
    let mut child = command(&args).stderr(Stdio::null()).spawn().expect("the program starts");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut record = String::new();
    stdout.read_line(&mut record).expect("a record");
    drop(stdout);
    assert_eq!(child.wait().expect("a child").code(), Some(0), "{record}");
    assert!(answering.requests().len() < 60);
}
