//! More connections to one port than a port number has values. Slow: runs with `SLOW_TESTS=1`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use crate::support::nginx::{Process, folders};
use crate::support::turn::Alone;
use crate::support::{Program, Report, dead_port, note, slow_tests};

const CONNECTIONS: u64 = 70_000;
/// Files of a process that are no connections.
const OTHER_FILES: u64 = 1_000;
/// More processes than this would measure the machine's patience.
const PROCESSES_MAX: u64 = 8;
/// Of both ends of all connections, in the kernel and in the programs.
const MEMORY_KB: u64 = 4 << 20;

#[test]
fn from_several_addresses_70_000_connections_lead_to_one_port() {
    let skipped =
        |why: &str| note(&format!("SKIPPED from_several_addresses_70_000_connections_lead_to_one_port: {why}"));
    if !slow_tests() {
        return skipped("SLOW_TESTS=1 runs it");
    }
    let files = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
    let processes = CONNECTIONS.div_ceil(files.max(1));
    if processes > PROCESSES_MAX {
        return skipped("too few files may be open");
    }
    if available_kb() < MEMORY_KB {
        return skipped("too little memory");
    }
    let _alone = Alone::take();
    let (port, status) = (dead_port(), dead_port());
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(folder.path(), port, status, processes + 1, files);
    let _nginx = Process::try_start(folder, &config, status).expect("nginx is installed and starts");
    let (connections, url) = (CONNECTIONS.to_string(), format!("http://127.0.0.1:{port}/"));
    let run = |k: u64| {
        let shard = format!("{k}/{processes}");
        let args = ["bench", "-c", &connections, "-t", "1", "--shard", &shard, "--source", "127.0.0.0/29"];
        let more = ["-R", "500", "-d", "60s", "--connect-timeout", "30s", "--format", "json", "-q", &url];
        Program::start(&[&args[..], &more].concat())
    };
    let runs: Vec<Program> = (1..=processes).map(run).collect();
    let until = Instant::now() + Duration::from_secs(40);
    // The one that asks is a connection, too.
    while active(status) <= CONNECTIONS {
        assert!(Instant::now() < until, "{} connections", active(status));
        std::thread::sleep(Duration::from_millis(200));
    }
    runs.iter().for_each(Program::interrupt);
    for run in runs {
        // A run that was still opening connections when it was interrupted has a report all the same.
        let report = Report::of(run.finish().assert_code(130));
        assert_eq!(report.count("failed"), 0, "{}", report.at("failures"));
    }
}

fn config(folder: &Path, port: u16, status: u16, workers: u64, connections: u64) -> String {
    let (folders, folder, files) = (folders(folder), folder.display(), connections + OTHER_FILES);
    format!(
        "daemon off; worker_processes {workers}; worker_rlimit_nofile {files};\n\
         pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections {connections}; }}\n\
         http {{\n\
           access_log off; keepalive_timeout 120s;\n\
           {folders}\
           server {{ listen 127.0.0.1:{port} reuseport backlog=4096; location / {{ return 200 'hello'; }} }}\n\
           server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}\n\
         }}\n"
    )
}

/// Connections that nginx has, by its own count.
fn active(port: u16) -> u64 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("nginx listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    let line = answer.lines().find_map(|line| line.strip_prefix("Active connections: "));
    line.and_then(|number| number.trim().parse().ok()).expect("a number")
}

fn available_kb() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
