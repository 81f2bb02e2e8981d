//! nginx as a child process, with its files in a folder of its own.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process};

use super::daemon::{is_up, spawn};

/// A running nginx; stopped when dropped.
pub(crate) struct Process {
    child: Child,
    pub(crate) folder: tempfile::TempDir,
}

impl Process {
    /// Starts nginx in `folder` and awaits that it listens on `port` of 127.0.0.1; `None` where it ended, as it does when
    /// another has taken a port since it was found free.
    pub(crate) fn try_start(folder: tempfile::TempDir, config: &str, port: u16) -> Option<Self> {
        let path = folder.path();
        // A worker that is not root must reach the files.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(path, mode).expect("our own folder");
        fs::write(path.join("nginx.conf"), config).expect("a file");
        let mut command = Command::new("nginx");
        command.arg("-c").arg(path.join("nginx.conf")).arg("-e").arg(path.join("error.log"));
        let mut nginx = Self { child: spawn(&mut command), folder };
        // Its pid file comes once it has all ports: another's nginx may answer on one that it could not have.
        let pid = nginx.folder.path().join("pid");
        let is_ready = || pid.exists() && TcpStream::connect(("127.0.0.1", port)).is_ok();
        is_up(&mut nginx.child, is_ready).then_some(nginx)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Lines of the access log once nginx has ended, which writes what it buffered.
    pub(crate) fn logged(mut self) -> Vec<String> {
        self.stop();
        let log = fs::read_to_string(self.folder.path().join("access.log")).expect("an access log");
        log.lines().map(str::to_owned).collect()
    }

    fn stop(&mut self) {
        // QUIT ends it in good order, workers included.
        let _ = kill_process(Pid::from_child(&self.child), Signal::QUIT);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.stop();
        }
    }
}

/// What every configuration says of files, within `http`.
pub(crate) fn folders(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
         uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n"
    )
}
