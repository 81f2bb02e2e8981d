//! A server that others wrote: nginx's own counts must be ours, to the request, in cleartext and under TLS.

use std::fs;
use std::path::Path;

use crate::support::nginx::{Process, folders};
use crate::support::tls::Authority;
use crate::support::{Report, dead_port, measure};

/// nginx on free ports.
struct Nginx {
    process: Process,
    port: u16,
    /// TLS, to be had with a certificate of the authority.
    tls_port: u16,
    authority: Authority,
}

impl Nginx {
    fn start() -> Self {
        // The port is free when asked for; where another took it since, the next one is tried.
        (0..5).find_map(|_| Self::try_start()).expect("nginx is installed and starts; scripts/check installs it")
    }

    fn try_start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let port = dead_port();
        let path = folder.path();
        fs::write(path.join("large.bin"), vec![b'x'; 1 << 20]).expect("a file");
        let (authority, tls_port) = (Authority::new(), dead_port());
        let identity = authority.issue(&["localhost"]);
        fs::write(path.join("server.pem"), identity.certificate).expect("a file");
        fs::write(path.join("server.key"), identity.key).expect("a file");
        fs::copy(authority.file(), path.join("ca.pem")).expect("a file");
        let config = config(path, port, tls_port);
        let process = Process::try_start(folder, &config, port)?;
        Some(Self { process, port, tls_port, authority })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What it takes to be let in by the TLS side: a URL, whom to trust, who we are.
    fn encrypted(&self, path: &str) -> Vec<String> {
        let client = self.authority.issue(&["client.example"]);
        let cert = self.authority.write("client.pem", &client.certificate);
        let key = self.authority.write("client.key", &client.key);
        let url = format!("https://localhost:{}{path}", self.tls_port);
        [url.as_str(), "--cacert", &self.authority.file(), "--cert", &cert, "--key", &key].map(str::to_owned).to_vec()
    }

    fn logged(self) -> Vec<String> {
        self.process.logged()
    }
}

fn config(folder: &Path, port: u16, tls_port: u16) -> String {
    let (folders, folder) = (folders(folder), folder.display());
    format!(
        "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           log_format plain '$status $request_method $uri $bytes_sent';\n\
           access_log {folder}/access.log plain;\n\
           keepalive_requests 1000000;\n\
           {folders}\
           server {{\n\
             listen 127.0.0.1:{port} backlog=1024;\n\
             listen 127.0.0.1:{tls_port} ssl;\n\
             ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;\n\
             ssl_client_certificate {folder}/ca.pem; ssl_verify_client on; ssl_session_cache shared:tls:1m;\n\
             ssl_protocols TLSv1.2 TLSv1.3;\n\
             location / {{ return 200 'hello world\\n'; }}\n\
             location /few {{ keepalive_requests 5; return 200 'few'; }}\n\
             location /missing {{ return 404; }}\n\
             location /large.bin {{ root {folder}; }}\n\
           }}\n\
         }}\n"
    )
}

/// The access log has as many lines of this status as the report has answers, and they are as many bytes.
#[track_caller]
fn assert_agrees(report: &Report, log: &[String], status: &str) {
    let answered = report.count("ok") + report.count("http_error");
    assert_eq!(log.len() as u64, answered, "{} {}", report.at("counts"), report.at("failures"));
    assert!(log.iter().all(|line| line.starts_with(status)), "{:?}", log.first());
    let bytes: u64 = log.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!(bytes, report.number("bytes.in"));
}

#[test]
fn a_closed_load_counts_what_nginx_counts() {
    let nginx = Nginx::start();
    let report = measure(&["-d", "500ms", "-c", "16", "--drain", "10s", &nginx.url("/")]);
    assert_eq!((report.count("failed"), report.count("redials")), (0, 0));
    assert_agrees(&report, &nginx.logged(), "200 GET /");
}

#[test]
fn an_open_load_counts_what_nginx_counts() {
    let nginx = Nginx::start();
    let report = measure(&["-R", "1000", "-d", "500ms", "-c", "64", "--drain", "10s", &nginx.url("/")]);
    assert_eq!(report.count("intended"), 500);
    assert_agrees(&report, &nginx.logged(), "200 GET /");
}

#[test]
fn a_number_of_requests_is_that_number_in_nginx_s_log() {
    let nginx = Nginx::start();
    let report = measure(&["-n", "3000", "-c", "32", &nginx.url("/missing")]);
    assert_eq!(report.count("http_error"), 3000);
    assert_agrees(&report, &nginx.logged(), "404 GET /missing");
}

#[test]
fn large_files_of_nginx_are_counted_to_the_byte() {
    let nginx = Nginx::start();
    let report = measure(&["-n", "60", "-c", "4", &nginx.url("/large.bin")]);
    report.assert_ok(60);
    assert!(report.number("bytes.in") > 60 << 20);
    assert_agrees(&report, &nginx.logged(), "200 GET /large.bin");
}

#[test]
fn connections_that_nginx_ends_after_some_requests_lose_none() {
    let nginx = Nginx::start();
    let report = measure(&["-n", "500", "-c", "8", &nginx.url("/few")]);
    report.assert_ok(500);
    assert!(report.count("connections_opened") >= 100, "{}", report.at("counts"));
    assert_agrees(&report, &nginx.logged(), "200 GET /few");
}

#[test]
fn head_and_post_are_understood_by_nginx() {
    let nginx = Nginx::start();
    measure(&["-n", "20", "-X", "HEAD", "-c", "2", &nginx.url("/large.bin")]).assert_ok(20);
    measure(&["-n", "20", "-b", "body", "-c", "2", &nginx.url("/")]).assert_ok(20);
    let log = nginx.logged();
    let of = |start: &str| log.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((of("200 HEAD /large.bin"), of("200 POST /")), (20, 20));
}

#[test]
fn tls_with_certificates_on_both_sides_counts_what_nginx_counts() {
    let nginx = Nginx::start();
    let report = measure(&[&["-n", "500", "-c", "8"].map(str::to_owned), nginx.encrypted("/").as_slice()].concat());
    report.assert_ok(500);
    assert_eq!(report.at("origins.0.tls.version"), "TLSv1_3");
    let log = nginx.logged();
    assert_eq!(log.iter().filter(|line| line.starts_with("200 GET /")).count(), 500);
}

#[test]
fn large_files_and_ended_connections_are_the_same_under_tls() {
    let nginx = Nginx::start();
    let report =
        measure(&[&["-n", "40", "-c", "4"].map(str::to_owned), nginx.encrypted("/large.bin").as_slice()].concat());
    report.assert_ok(40);
    assert!(report.number("bytes.in") > 40 << 20);
    let report = measure(&[&["-n", "200", "-c", "4"].map(str::to_owned), nginx.encrypted("/few").as_slice()].concat());
    report.assert_ok(200);
    let counts = report.at("counts");
    assert!(report.count("connections_opened") >= 40 && report.number("counts.tls_resumed") > 10, "{counts}");
}

#[test]
fn a_client_that_shows_no_certificate_gets_nginx_s_refusal() {
    let nginx = Nginx::start();
    let args: Vec<_> = nginx.encrypted("/").into_iter().take(3).chain(["-n", "5"].map(str::to_owned)).collect();
    let report = measure(&args);
    assert_eq!((report.count("http_error"), report.number("status.400")), (5, 5));
}
