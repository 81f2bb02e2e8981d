//! What the tests stand on: the program as a child process with a time limit, a scripted server, a checked report.

pub(crate) mod daemon;
pub(crate) mod dice;
pub(crate) mod encoded;
pub(crate) mod faults;
pub(crate) mod frames;
pub(crate) mod nginx;
pub(crate) mod program;
pub(crate) mod report;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod turn;

pub(crate) use program::{Program, TargetProgram, bench, on_driver, ringload};
pub(crate) use report::{Report, measure, measured};
pub(crate) use server::{OK, Peer, Server};

/// A port of this machine on which nobody listens.
pub(crate) fn dead_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A folder of the test's own with a file of this content in it.
pub(crate) fn file(content: impl AsRef<[u8]>) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file.txt");
    std::fs::write(&path, content).expect("a file");
    let path = path.to_str().expect("a path in UTF-8").to_owned();
    (folder, path)
}

/// Whether the test command runs, which installs what tests need and has time for the slow ones.
pub(crate) fn slow_tests() -> bool {
    std::env::var_os("SLOW_TESTS").is_some_and(|value| value == "1")
}

/// Says something in the test's output.
pub(crate) fn note(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
