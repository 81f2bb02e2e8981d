//! What a run leaves behind beside its report: files for other programs, and a bundle that has all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram as Hdr;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use crate::support::{OK, Program, Report, Server, TargetProgram, bench, file, note, slow_tests};

/// What a bundle holds.
const BUNDLE: [&str; 8] = [
    "environment.json",
    "intervals.csv",
    "plan.toml",
    "report.json",
    "report.txt",
    "rerun.txt",
    "run.hgrm",
    "run.hlog",
];

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().expect("a path in UTF-8").to_owned()
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The rows of a percentile file that plotters read.
fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    rows.filter(|row| row.len() == 4).skip(1).collect()
}

#[test]
fn percentile_files_of_different_runs_have_the_same_percentiles() {
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let measure = |name: &str, n: &str, url: &str| {
        let (hgrm, json) = (path(folder.path(), name), path(folder.path(), "report.json"));
        let url = format!("{}{url}", target.url);
        bench(&["-n", n, "-c", "2", "--hgrm", &hgrm, "-o", &json, &url]).assert_code(0);
        let report = Report::parse(&read(folder.path(), "report.json"));
        (rows(&read(folder.path(), name)), report)
    };
    let (fast, report) = measure("fast.hgrm", "2000", "/");
    let (slow, _) = measure("slow.hgrm", "3", "/delay/5");
    let ladder = |rows: &[Vec<String>]| rows.iter().map(|row| row[1].clone()).collect::<Vec<_>>();
    assert!(fast.len() == 110 && ladder(&fast) == ladder(&slow));
    for (q, name) in [("0.500000000000", "p50"), ("0.750000000000", "p75")] {
        let row = fast.iter().find(|row| row[1] == q).expect("a row");
        let (ms, us): (f64, f64) =
            (row[0].parse().expect("a number"), report.float(&format!("latency_us.response.{name}")));
        assert!((ms - us / 1e3).abs() <= 0.0006, "{name}: {ms} ms against {us} us");
    }
    assert!(slow.iter().all(|row| row[0].parse::<f64>().is_ok_and(|ms| ms >= 5.0)), "{slow:?}");
    let text = read(folder.path(), "slow.hgrm");
    let last = text.lines().rfind(|line| !line.starts_with('#')).expect("a last row");
    assert_eq!(last.split_whitespace().skip(1).collect::<Vec<_>>(), ["1.000000000000", "3"]);
}

#[test]
fn the_csv_adds_up_to_the_counts() {
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (csv, json) = (path(folder.path(), "seconds.csv"), path(folder.path(), "report.json"));
    let url = format!("{}/", target.url);
    bench(&["-d", "1200ms", "-R", "100", "-c", "2", "--csv", &csv, "-o", &json, &url]).assert_code(0);
    let report = Report::parse(&read(folder.path(), "report.json"));
    let text = read(folder.path(), "seconds.csv");
    let mut records = text.split_terminator("\r\n").map(|record| record.split(',').collect::<Vec<_>>());
    let header = records.next().expect("a header");
    let records: Vec<_> = records.collect();
    assert_eq!(records.len(), report.list("intervals").len());
    let sum = |name: &str| -> u64 {
        let column = header.iter().position(|field| *field == name).unwrap_or_else(|| panic!("no {name}"));
        records.iter().map(|record| record[column].parse::<u64>().expect("a whole number")).sum()
    };
    for field in ["intended", "sent", "ok", "failed"] {
        assert_eq!(sum(field), report.count(field), "{field}");
    }
    let fields = report.list("intervals")[0].as_object().expect("an object");
    assert!(header.len() == fields.len() && header.iter().all(|name| fields.contains_key(*name)), "{header:?}");
}

#[test]
fn a_bundle_has_everything_and_its_plan_asks_the_same_again() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().expect("a folder");
    let first = folder.path().join("first");
    let bundle = path(folder.path(), "first");
    let url = server.url("/path?x=1&y=2");
    bench(&["-n", "20", "-c", "2", "-H", "X-Plain: it's", "--seed", "7", "--bundle", &bundle, &url]).assert_code(0);
    assert_eq!(names(&first), BUNDLE);
    let report = Report::parse(&read(&first, "report.json"));
    report.assert_ok(20);
    assert!(read(&first, "report.txt").contains("20 intended"));
    assert_eq!(rows(&read(&first, "run.hgrm")).len(), 110);
    assert!(read(&first, "intervals.csv").starts_with("t_s,intended,"));
    let environment: serde_json::Value = serde_json::from_str(&read(&first, "environment.json")).expect("JSON");
    assert_eq!(&environment["environment"], report.at("environment"));
    assert_eq!(&environment["tool"], report.at("tool"));
    // By the command that it names, in its own folder.
    let rerun = read(&first, "rerun.txt");
    let command = rerun.lines().find(|line| !line.starts_with('#')).expect("a command");
    let mut words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words.remove(0), "ringload");
    words.extend(["--format", "json"]);
    let again = Program::spawn(crate::support::program::command(&words).current_dir(&first)).finish();
    again.assert_code(0);
    assert_eq!(Report::of(&again).at("config_digest"), report.at("config_digest"));
    assert_eq!(names(&first), BUNDLE, "the run writes over nothing");
    let requests = server.requests();
    assert_eq!(requests.len(), 40);
    assert!(requests.iter().all(|request| request.headers.iter().any(|header| header == "X-Plain: it's")));
}

#[test]
fn the_rerun_line_is_the_command_for_a_shell() {
    let server = Server::answering(OK);
    let args = ["-n", "2", "-c", "1", "--format", "json", "-H", "Cookie: hush", "-H", "X-A: $b 'c'"];
    let finished = bench(&[&args[..], &[&server.url("/?a&b")]].concat());
    let report = Report::of(finished.assert_code(0));
    let rerun = report.at("rerun").as_str().expect("a command");
    let spoken = std::process::Command::new("sh").args(["-c", &format!("printf '%s\\n' {rerun}")]).output();
    let spoken = String::from_utf8(spoken.expect("a shell").stdout).expect("UTF-8");
    let argv: Vec<&str> = report.list("argv").iter().map(|word| word.as_str().expect("text")).collect();
    assert_eq!(spoken.lines().collect::<Vec<_>>(), argv);
    assert!(rerun.contains("'Cookie: ***'") && !rerun.contains("hush"), "{rerun}");
}

#[test]
fn an_interrupted_run_leaves_all_of_it() {
    let server = Server::answering(OK);
    let folder = tempfile::tempdir().expect("a folder");
    let (bundle, hlog, csv) =
        (path(folder.path(), "bundle"), path(folder.path(), "own.hlog"), path(folder.path(), "own.csv"));
    let url = server.url("/");
    let args = ["bench", "-d", "60s", "-c", "2", "-t", "1", "--bundle", &bundle, "--hlog", &hlog, "--csv", &csv, &url];
    let program = Program::start(&args);
    server.wait_until(|server| server.requests().len() >= 8);
    program.interrupt();
    program.finish().assert_code(130);
    let bundle = folder.path().join("bundle");
    assert_eq!(names(&bundle), BUNDLE);
    let report = Report::parse(&read(&bundle, "report.json"));
    assert_eq!(report.at("interrupted"), true);
    assert_eq!(read(&bundle, "run.hlog"), read(folder.path(), "own.hlog"));
    assert_eq!(read(&bundle, "intervals.csv"), read(folder.path(), "own.csv"));
}

#[test]
fn places_that_cannot_be_written_to_are_refused_before_anything_is_sent() {
    let server = Server::answering(OK);
    let url = server.url("/");
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| path(folder.path(), name);
    fs::write(at("full"), "x").expect("a file");
    fs::create_dir(at("empty")).expect("a folder");
    for option in ["--hgrm", "--hlog", "--csv"] {
        for (place, said) in [
            (at("none/file"), "does not exist; make it with: mkdir -p"),
            (at("empty"), "is a folder; name a file in it"),
            ("-".to_owned(), "standard output has the report"),
        ] {
            let finished = bench(&["-n", "1", option, &place, &url]);
            finished.assert_code(2);
            assert!(finished.stderr.contains(&format!("{option} {place}: {said}")) || finished.stderr.contains(said));
            assert!(finished.stderr.contains(&format!("{option} {place}: ")), "{}", finished.stderr);
        }
    }
    let twice = bench(&["-n", "1", "--csv", &at("a"), "--hgrm", &at("a"), &url]);
    assert!(twice.assert_code(2).stderr.contains("is written by --"), "{}", twice.stderr);
    let parent = folder.path().to_str().expect("UTF-8");
    for (place, said) in [
        (parent, "is not empty; name a new folder"),
        (&at("full"), "is no folder that can be read"),
        (&at("none/bundle"), "does not exist; make it with: mkdir -p"),
    ] {
        let finished = bench(&["-n", "1", "--bundle", place, &url]);
        finished.assert_code(2);
        assert!(finished.stderr.contains(&format!("--bundle {place}: ")), "{}", finished.stderr);
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
    assert_eq!(server.accepted(), 0, "nothing is sent");
    assert_eq!(names(folder.path()), ["empty", "full"], "and nothing is left behind");
    bench(&["-n", "1", "--bundle", &at("empty"), &url]).assert_code(0);
}

#[test]
fn printing_a_plan_makes_no_bundle() {
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = path(folder.path(), "bundle");
    let printed = bench(&["--print-plan", "--bundle", &bundle, "http://127.0.0.1/"]);
    printed.assert_code(0);
    assert!(printed.stdout.contains(&format!("bundle = \"{bundle}\"")), "{}", printed.stdout);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_is_said_of_the_target_is_told_and_marked_as_not_verified() {
    let server = Server::answering(OK);
    let (_folder, description) = file("name = \"shop\"\n\nreplicas: 3, \u{1b}[31mwarm; db http://me:pw@db/\n");
    let (folder, url) = (tempfile::tempdir().expect("a folder"), server.url("/"));
    let json = path(folder.path(), "report.json");
    let finished = bench(&["-n", "2", "--describe", &description, "-o", &json, &url]);
    finished.assert_code(0);
    let lines: Vec<&str> = finished.stdout.lines().collect();
    let at = lines.iter().position(|line| *line == "Target (declared, not verified):").expect("a heading");
    assert_eq!(lines[at + 1], "  name = \"shop\"");
    assert_eq!(lines[at + 2], r"  replicas: 3, \u{1b}[31mwarm; db http://***@db/");
    let report = Report::parse(&read(folder.path(), "report.json"));
    assert_eq!(report.at("described.status"), "declared, not verified");
    assert!(report.at("described.text").as_str().is_some_and(|text| text.contains("\n\nreplicas: 3")));
    let (_folder, long) = file("x".repeat(64 * 1024 + 1));
    let (_folder, binary) = file(b"\xff\xfe");
    for (name, said) in [(long.as_str(), "is over 64 KiB"), (&binary, "is not text"), ("/no/such", "cannot read it")] {
        let finished = bench(&["-n", "2", "--describe", name, &url]);
        finished.assert_code(2);
        assert!(finished.stderr.contains(&format!("--describe {name}: {said}")), "{}", finished.stderr);
    }
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn the_environment_is_told_as_far_as_it_is_known() {
    let server = Server::answering(OK);
    let finished = bench(&["-n", "2", "-c", "1", "--format", "json", &server.url("/")]);
    let report = Report::of(finished.assert_code(0));
    assert!(report.at("tool.build.target").is_string() && report.at("tool.build.rustc").is_string());
    assert!(report.number("environment.clock_resolution_ns") >= 1);
    assert!(report.at("environment.sysctls").as_object().is_some_and(|all| all["core.somaxconn"].is_string()));
    let ways = report.list("environment.ways");
    assert_eq!((ways.len(), &ways[0]["to"], &ways[0]["interface"]), (1, &"127.0.0.1".into(), &"lo".into()));
    assert!(ways[0]["speed_mbit"].is_null(), "loopback says none, and that is not 0");
    for earlier in [("started", "t0"), ("t0", "window_end"), ("window_end", "ended")] {
        let time = |name: &str| report.at(&format!("time.{name}")).as_str().expect("a time").to_owned();
        assert!(time(earlier.0) <= time(earlier.1), "{earlier:?}");
    }
    assert_eq!(report.at("time.t0"), report.at("started_at"));
}

/// The sum of a log's histograms by tag, and how many lines each has.
fn by_tag(log: &str) -> BTreeMap<String, (Hdr<u64>, usize)> {
    let mut found: BTreeMap<String, (Hdr<u64>, usize)> = BTreeMap::new();
    for entry in IntervalLogIterator::new(log.as_bytes()) {
        let LogEntry::Interval(interval) = entry.expect("a line that can be read") else { continue };
        let blob = BASE64_STANDARD.decode(interval.encoded_histogram()).expect("base64");
        let read: Hdr<u64> = Deserializer::new().deserialize(&mut blob.as_slice()).expect("a histogram");
        let tag = interval.tag().expect("a tag").as_str().to_owned();
        match found.get_mut(&tag) {
            Some((sum, lines)) => {
                sum.add(&read).expect("equal bounds");
                *lines += 1;
            }
            None => drop(found.insert(tag, (read, 1))),
        }
    }
    found
}

/// All tags of a time add up to its histogram in the report, bucket for bucket.
#[track_caller]
fn adds_up(log: &str, report: &Report) -> BTreeMap<String, u64> {
    let tags = by_tag(log);
    for time in ["response", "service", "pool_lag", "client_lag", "submit_lag"] {
        let whole = report.histogram(time);
        let mut sum = Hdr::<u64>::new_from(&whole);
        tags.iter().filter(|(tag, _)| tag.starts_with(&format!("{time}."))).for_each(|(_, (part, _))| {
            sum.add(part).expect("equal bounds");
        });
        assert!(sum == whole, "{time}: {} of {}", sum.len(), whole.len());
    }
    tags.into_iter().map(|(tag, (histogram, _))| (tag, histogram.len())).collect()
}

#[test]
fn the_classes_of_a_log_add_up_to_the_report() {
    let server = Server::start(|peer| {
        while let Some(request) = peer.request() {
            let what = request.line.trim_start_matches("GET /").split(' ').next().unwrap_or_default().to_owned();
            match what.as_str() {
                "stall" => return peer.stall(),
                "close" => return,
                status => peer.send(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()),
            };
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let (hlog, json) = (path(folder.path(), "run.hlog"), path(folder.path(), "report.json"));
    let urls = ["/200", "/302", "/404", "/503", "/close", "/stall"].map(|path| server.url(path));
    let args = ["-R", "60", "-d", "1300ms", "-c", "6", "-t", "2", "--timeout", "200ms", "--drain", "50ms"];
    let files = ["--hlog", &hlog, "-o", &json];
    bench(&[&args[..], &files, &urls.each_ref().map(String::as_str)].concat()).assert_code(0);
    let report = Report::parse(&read(folder.path(), "report.json"));
    let log = read(folder.path(), "run.hlog");
    let tags = adds_up(&log, &report);
    let of = |tag: &str| tags.get(tag).copied().unwrap_or(0);
    assert_eq!(of("response.2xx") + of("response.3xx"), report.count("ok"));
    assert_eq!(of("response.4xx") + of("response.5xx"), report.count("http_error"));
    assert_eq!(of("response.failed"), report.failure("timeout"), "of those that were closed on there is no time");
    assert!(of("response.failed") > 0 && of("response.3xx") > 0 && of("client_lag.failed") > of("response.failed"));
    assert_eq!(
        of("response.unsent") + of("response.in_flight"),
        report.count("unsent") + report.count("in_flight_at_end")
    );
}

#[test]
fn a_log_has_a_line_a_second_from_the_start_of_the_window() {
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (hlog, json) = (path(folder.path(), "run.hlog"), path(folder.path(), "report.json"));
    let url = format!("{}/", target.url);
    let args = ["-R", "50", "-d", "2500ms", "--warmup", "300ms", "-c", "2", "--hlog", &hlog, "-o", &json, &url];
    bench(&args).assert_code(0);
    let (log, report) = (read(folder.path(), "run.hlog"), Report::parse(&read(folder.path(), "report.json")));
    assert_eq!(adds_up(&log, &report)["response.2xx"], 125, "nothing of the warm-up");
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("Tag=response.2xx,")).collect();
    let spans: Vec<String> =
        lines.iter().map(|line| line.split(',').skip(1).take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(spans[..3], ["0.000 1.000", "1.000 1.000", "2.000 0.500"]);
    assert_eq!(log.lines().next(), Some("#[Histogram log format version 1.3]"));
    let t0 = report.number("run.t0_unix_ns") / 1_000_000;
    let start = format!("{}.{:03} (seconds since epoch)]", t0 / 1000, t0 % 1000);
    for name in ["StartTime", "BaseTime"] {
        assert!(log.contains(&format!("#[{name}: {start}")), "{name}: {log:.400}");
    }
}

/// Whether another program's reader is there; the test command has to see to it.
fn installed(reader: &Path) -> bool {
    let is_there = reader.exists();
    if !is_there {
        assert!(!slow_tests(), "scripts/check installs {reader:?}");
        note(&format!("SKIPPED {reader:?}: scripts/check installs it"));
    }
    is_there
}

#[test]
fn python_s_reader_of_logs_and_blobs_finds_the_same() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    if !installed(&python) {
        return;
    }
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let bundle = path(folder.path(), "bundle");
    let url = format!("{}/", target.url);
    bench(&["-n", "4000", "-c", "4", "--bundle", &bundle, &url]).assert_code(0);
    let bundle = folder.path().join("bundle");
    let report = Report::parse(&read(&bundle, "report.json"));
    let program = "\
import json, sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
whole = HdrHistogram.decode(json.load(open('report.json'))['histograms']['response'])
total = HdrHistogram(1, 24 * 3600 * 10**9, 3)
reader = HistogramLogReader('run.hlog', HdrHistogram(1, 24 * 3600 * 10**9, 3))
starts = []
while True:
    interval = reader.get_next_interval_histogram()
    if interval is None:
        break
    if interval.get_tag().startswith('response.'):
        total.add(interval)
        starts.append(interval.get_start_time_stamp())
print(whole.get_total_count(), total.get_total_count())
print(whole.get_value_at_percentile(99), total.get_value_at_percentile(99))
print(int(min(starts)))
";
    let said = std::process::Command::new(python).args(["-c", program]).current_dir(&bundle).output().expect("python");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).expect("UTF-8");
    let p99 = report.histogram("response").value_at_quantile(0.99);
    let start = report.number("run.t0_unix_ns") / 1_000_000;
    assert_eq!(text, format!("4000 4000\n{p99} {p99}\n{start}\n"));
}

/// Where Debian's libhdrhistogram-java puts it.
const JAVA_READER: &str = "/usr/share/java/hdrhistogram.jar";

#[test]
fn java_s_reader_of_logs_finds_the_same() {
    if !installed(Path::new(JAVA_READER)) {
        return;
    }
    let target = TargetProgram::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (hlog, json) = (path(folder.path(), "run.hlog"), path(folder.path(), "report.json"));
    let urls = [format!("{}/", target.url), format!("{}/status/503", target.url)];
    bench(&["-n", "4000", "-c", "4", "--hlog", &hlog, "-o", &json, &urls[0], &urls[1]]).assert_code(0);
    let report = Report::parse(&read(folder.path(), "report.json"));
    let processor = ["-cp", JAVA_READER, "org.HdrHistogram.HistogramLogProcessor", "-outputValueUnitRatio", "1"];
    let java = |args: &[&str]| {
        let said = std::process::Command::new("java").args(processor).args(["-i", &hlog]).args(args).output();
        let said = said.expect("java; scripts/check installs it");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).expect("UTF-8")
    };
    let tags = by_tag(&read(folder.path(), "run.hlog"));
    assert_eq!((report.count("ok"), report.count("http_error")), (2000, 2000));
    for tag in ["response.2xx", "response.5xx", "service.2xx", "client_lag.5xx"] {
        let text = java(&["-tag", tag]);
        let (histogram, _) = &tags[tag];
        // The last row: the largest value, the percentile 1 and the count of all.
        let last = text.lines().rfind(|line| !line.starts_with('#')).expect("a last row");
        let last: Vec<f64> = last.split_whitespace().map(|field| field.parse().expect("a number")).collect();
        assert_eq!(last[1..], [1.0, 2000.0], "{tag}: {text}");
        assert!(histogram.equivalent(last[0] as u64, histogram.max()), "{tag}: {text}");
        let said = rows(&text);
        assert!(said.len() > 20, "{tag}: {text}");
        for row in said {
            let [value, q] = [&row[0], &row[1]].map(|field| field.parse::<f64>().expect("a number"));
            assert!(histogram.equivalent(value as u64, histogram.value_at_quantile(q)), "{tag} at {q}: {value}");
        }
    }
    // It reads on to the log's end.
    assert!(java(&["-listtags"]).lines().any(|line| line.trim() == "response.2xx"));
}
