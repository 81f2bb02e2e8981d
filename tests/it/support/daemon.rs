//! Servers and proxies that others wrote, as child processes.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::dead_port;

/// A server or proxy as a child process, on a free port, with its files in a folder of its own; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: tempfile::TempDir,
}

impl Daemon {
    /// Runs what `command` makes of a folder and a free port, until it listens there.
    pub(crate) fn start(command: impl Fn(&Path, u16) -> Command) -> Self {
        // The port is free when asked for; where another took it since, the next one is tried.
        (0..5).find_map(|_| Self::try_start(&command)).expect("it is installed and starts; scripts/check installs it")
    }

    fn try_start(command: impl Fn(&Path, u16) -> Command) -> Option<Self> {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), dead_port());
        // Some give up root, and must still write here.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("our own folder");
        let mut command = command(folder.path(), port);
        let mut daemon = Self { child: spawn(&mut command), port, folder };
        is_up(&mut daemon.child, || TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Starts `command`, wherever daemons are installed, without input and output.
pub(crate) fn spawn(command: &mut Command) -> Child {
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("it is installed; scripts/check installs it")
}

/// Waits for `is_ready`; false where `child` ends instead, as it does when another has taken its port since that was found
/// free.
pub(crate) fn is_up(child: &mut Child, is_ready: impl Fn() -> bool) -> bool {
    for _ in 0..4_000 {
        if is_ready() {
            return true;
        }
        if child.try_wait().expect("our child").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    false
}
