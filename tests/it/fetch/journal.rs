//! Nothing is lost: what is written is whole, and a run that was ended goes on.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use sha2::{Digest as _, Sha256};

use super::{fetch, records, start};
use crate::support::{Program, Server, TargetProgram, file, slow_tests};

/// How long the body of a line is.
fn length(line: u64) -> u64 {
    line % 3_001
}

/// A folder with a list of so many lines in it, each URL another.
fn list(target: &TargetProgram, count: u64) -> (tempfile::TempDir, String) {
    file((1..=count).map(|n| format!("{}/bytes/{}?{n}\n", target.url, length(n))).collect::<String>())
}

fn inside(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("a path in UTF-8").to_owned()
}

/// The journal names each line once, and each body is there, whole, under the name and the digest that it says.
#[track_caller]
fn assert_complete(journal: &str, bodies: &str, count: u64) {
    let all = records(&fs::read_to_string(journal).expect("the journal"));
    assert_eq!(all.len() as u64, count);
    let mut names = Vec::new();
    for (line, record) in &all {
        let name = record["file"].as_str().expect("a name").to_owned();
        let body = fs::read(Path::new(bodies).join(&name)).expect("a body");
        assert_eq!(body.len() as u64, length(*line), "the body of line {line}");
        let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(record["sha256"].as_str(), Some(digest.as_str()));
        names.push(name);
    }
    names.sort_unstable();
    let mut found = Vec::new();
    list_files(Path::new(bodies), "", &mut found);
    found.sort_unstable();
    assert_eq!(found, names, "no half file is left");
}

/// All files below a folder, by their path from there.
fn list_files(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => list_files(&entry.path(), &format!("{name}/"), found),
            false => found.push(name),
        }
    }
}

#[test]
fn a_run_that_is_killed_at_any_instant_goes_on_to_the_exact_list() {
    // As many instants as the whole run has at this rate; with SLOW_TESTS=1 fifty.
    let (lines, kills) = if slow_tests() { (20_000, 50) } else { (3_000, 8) };
    let target = TargetProgram::start();
    let (folder, path) = list(&target, lines);
    let (journal, bodies) = (inside(&folder, "out.jsonl"), inside(&folder, "bodies"));
    let args = ["-i", &path, "-o", &journal, "--save", &bodies, "--resume", "-t", "2", "--rate", "2000"];
    // Seeded: the same instants in each run, as far as the machine lets them.
    let mut seed = 7u64;
    for _ in 0..kills {
        let program = start(&args);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_millis(30 + (seed >> 33) % 400));
        program.signal(Signal::KILL);
        program.finish();
    }
    fetch(&args).assert_code(0);
    assert_complete(&journal, &bodies, lines);
    let before = fs::read(&journal).expect("the journal");
    fetch(&args).assert_code(0);
    assert_eq!(fs::read(&journal).expect("the journal"), before, "all was there");
    let brief = inside(&folder, "brief.jsonl");
    let args = [&args[..2], &["-o", &brief, "--fields", "url", "--resume"]].concat();
    for _ in 0..2 {
        fetch(&args).assert_code(0);
    }
}

#[test]
fn a_torn_record_is_fetched_again() {
    let target = TargetProgram::start();
    let (folder, path) = list(&target, 20);
    let journal = inside(&folder, "out.jsonl");
    let args = ["-i", &path, "-o", &journal, "--resume"];
    fetch(&args).assert_code(0);
    let text = fs::read_to_string(&journal).expect("the journal");
    fs::write(&journal, &text[..text.len() - 7]).expect("our own file");
    fetch(&args).assert_code(0);
    assert_eq!(records(&fs::read_to_string(&journal).expect("the journal")).len(), 20);
}

#[test]
fn what_is_there_is_neither_mixed_with_another_run_nor_thrown_away_unasked() {
    let target = TargetProgram::start();
    let (folder, path) = list(&target, 3);
    let journal = inside(&folder, "out.jsonl");
    let args = ["-i", &path, "-o", &journal];
    fetch(&args).assert_code(0);
    let refused = |more: &[&str], part: &str| {
        let finished = fetch(&[&args[..], more].concat());
        assert!(finished.assert_code(2).stderr.contains(part), "{}", finished.stderr);
    };
    refused(&[], "--resume");
    refused(&["--resume", "-H", "X-New: 1"], "other options");
    refused(&["--resume", "--overwrite"], "leave one of them out");
    let sidecar = fs::read(format!("{journal}.run")).expect("the sidecar");
    fs::remove_file(format!("{journal}.run")).expect("our own file");
    refused(&["--resume"], "what it belongs to");
    fs::write(format!("{journal}.run"), sidecar).expect("our own file");
    fetch(&[&args[..], &["--resume", "-c", "2"]].concat()).assert_code(0);
    writeln!(File::options().append(true).open(&path).expect("the list"), "{}/", target.url).expect("our own file");
    refused(&["--resume"], "another input");
    fetch(&[&args[..], &["--overwrite"]].concat()).assert_code(0);
    assert_eq!(records(&fs::read_to_string(&journal).expect("the journal")).len(), 4);
}

#[test]
fn a_folder_that_cannot_be_saved_in_costs_no_records_and_a_taken_one_is_refused() {
    let server = Server::start(crate::support::Peer::stall);
    let (folder, path) = file(server.url("/"));
    let (journal, bodies) = (inside(&folder, "out.jsonl"), inside(&folder, "bodies"));
    fs::write(&journal, "precious").expect("a file");
    let no_folder = format!("{path}/bodies");
    fetch(&["-i", &path, "-o", &journal, "--overwrite", "--save", &no_folder]).assert_code(2);
    assert_eq!(fs::read_to_string(&journal).expect("the records"), "precious");
    let first = start(&["-i", &path, "--save", &bodies]);
    server.wait_until(|server| server.accepted() == 1);
    let second = fetch(&["-i", &path, "-o", &journal, "--overwrite", "--save", &bodies]);
    assert!(second.assert_code(2).stderr.contains("another run saves there"), "{}", second.stderr);
    assert_eq!(fs::read_to_string(&journal).expect("the records"), "precious");
    drop(first);
}

#[test]
fn a_file_that_may_not_grow_ends_the_run_with_words_and_it_goes_on() {
    let target = TargetProgram::start();
    let (folder, path) = list(&target, 500);
    let journal = inside(&folder, "out.jsonl");
    let script = "ulimit -f 32; exec \"$0\" fetch -q --no-robots -o \"$1\" --resume -i \"$2\"";
    let mut shell = Command::new("sh");
    let limited =
        shell.args(["-c", script, env!("CARGO_BIN_EXE_ringload"), &journal, &path]).output().expect("a shell");
    let said = String::from_utf8_lossy(&limited.stderr);
    assert!(limited.status.code() == Some(2) && said.contains("the records cannot be written"), "{limited:?}");
    fetch(&["-i", &path, "-o", &journal, "--resume"]).assert_code(0);
    assert_eq!(records(&fs::read_to_string(&journal).expect("the journal")).len(), 500);
}

#[test]
fn no_file_is_written_over_by_another_option() {
    let (folder, path) = file("http://127.0.0.1:9/\n");
    let (link, new) = (inside(&folder, "link"), inside(&folder, "new"));
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    for (args, part) in [
        (&["-i", &path, "-o", &path, "--overwrite"][..], "is the file of -i too"),
        (&["-i", &path, "-o", &link, "--overwrite"], "is the file of -i too"),
        (&["-i", &path, "--report", &path], "is the file of -i too"),
        (&["-i", &path, "-o", &new, "--report", &new], "is the file of -o too"),
        (&["-i", &path, "-o", &new, "--cookie-jar", &new], "is the file of -o too"),
        (&["-i", &path, "-o", &new, "--log", &new], "is the file of -o too"),
    ] {
        let finished = fetch(args);
        assert!(finished.assert_code(2).stderr.contains(part), "{}", finished.stderr);
    }
    assert_eq!(fs::read_to_string(&path).expect("the list"), "http://127.0.0.1:9/\n");
    fetch(&["-i", &path, "-o", "/dev/null", "--report", "/dev/null", "--retries", "0"]).assert_code(1);
}

#[test]
fn an_interrupted_run_finishes_what_is_in_flight_and_can_be_resumed() {
    let server = Server::start(|peer| {
        while peer.request().is_some() {
            peer.sleep(Duration::from_millis(50));
            if !peer.send(crate::support::OK) {
                return;
            }
        }
    });
    let (folder, path) = file((1..=200).map(|n| format!("{}\n", server.url(&format!("/{n}")))).collect::<String>());
    let journal = inside(&folder, "out.jsonl");
    let args = ["fetch", "-i", &path, "-o", &journal, "--resume", "--no-progress", "--no-robots", "-t", "1"];
    let program = Program::start(&args);
    server.wait_until(|server| server.requests().len() >= 20);
    program.interrupt();
    let finished = program.finish();
    assert!(finished.assert_code(130).stderr.contains("interrupted"));
    let asked = server.requests().len();
    let done = records(&fs::read_to_string(&journal).expect("the journal"));
    assert_eq!(done.len(), asked, "what was asked for has its record");
    assert!(asked < 200 && done.values().all(|record| record["ok"] == true));
    Program::start(&args).finish().assert_code(0);
    assert_eq!(records(&fs::read_to_string(&journal).expect("the journal")).len(), 200);
    assert_eq!(server.requests().len(), 200, "no line was asked for twice");
}
