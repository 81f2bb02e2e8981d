//! nginx as the server of figures: one process that can be stopped, faster than any client on one core.

use std::fs;

use rustix::process::Pid;

use super::load;
use crate::support::{dead_port, encoded, nginx};

/// The size of `/page` once it is decoded.
const PAGE: usize = 64 << 10;

pub(super) struct Nginx {
    process: nginx::Process,
    port: u16,
}

impl Nginx {
    pub(super) fn start() -> Self {
        (0..5).find_map(|_| Self::try_start()).expect("nginx is installed and starts; scripts/check installs it")
    }

    fn try_start() -> Option<Self> {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), dead_port());
        fs::write(folder.path().join("page"), encoded::gzip(&[b'x'; PAGE])).expect("a file");
        let (folders, shown) = (nginx::folders(folder.path()), folder.path().display());
        // Without a master there is one process, and stopping it stops the server.
        let config = format!(
            "daemon off; master_process off; pid {shown}/pid; error_log {shown}/error.log;\n\
             events {{ worker_connections 4096; }}\n\
             http {{ access_log off; keepalive_requests 100000000; {folders}\n\
               server {{ listen 127.0.0.1:{port} backlog=4096;\n\
                 location / {{ return 200 'hello world\\n'; }}\n\
                 location /page {{ root {shown}; add_header Content-Encoding gzip; }} }} }}\n"
        );
        let process = nginx::Process::try_start(folder, &config, port)?;
        load::pin_server(process.pid());
        Some(Self { process, port })
    }

    pub(super) fn pid(&self) -> Pid {
        self.process.pid()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}
