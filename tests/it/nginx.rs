//! A server that others wrote: nginx's own counts must be ours, to the request, in cleartext and under TLS.

use std::fs;
use std::path::Path;

use crate::support::nginx::{Process, folders};
use crate::support::tls::Authority;
use crate::support::{Report, dead_port, encoded, measure};

/// nginx on free ports.
struct Nginx {
    process: Process,
    port: u16,
    /// TLS, to be had with a certificate of the authority.
    tls_port: u16,
    /// HTTP/2 in cleartext.
    h2_port: u16,
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
        fs::write(path.join("page.txt"), page()).expect("a file");
        fs::write(path.join("private.txt"), "for us alone").expect("a file");
        fs::write(path.join("users"), "me:{PLAIN}word\n").expect("a file");
        fs::write(path.join("page.br"), encoded::brotli(&page())).expect("a file");
        fs::write(path.join("page.zst"), encoded::zstd(&page())).expect("a file");
        let (authority, tls_port, h2_port) = (Authority::new(), dead_port(), dead_port());
        authority.issue(&["localhost"]).write_to(path);
        fs::copy(authority.file(), path.join("ca.pem")).expect("a file");
        let config = config(path, port, tls_port, h2_port);
        let process = Process::try_start(folder, &config, port)?;
        Some(Self { process, port, tls_port, h2_port, authority })
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

fn config(folder: &Path, port: u16, tls_port: u16, h2_port: u16) -> String {
    let (folders, folder) = (folders(folder), folder.display());
    format!(
        "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           log_format plain '$status $request_method $uri $connection_requests $ssl_session_reused $bytes_sent';\n\
           access_log {folder}/access.log plain;\n\
           keepalive_requests 1000000;\n\
           {folders}\
           server {{\n\
             listen 127.0.0.1:{h2_port} http2;\n\
             location /page.br {{ root {folder}; add_header Content-Encoding br; }}\n\
             location / {{ return 200 'hello world\\n'; }}\n\
           }}\n\
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
             location /page.txt {{ root {folder}; gzip on; gzip_types text/plain; }}\n\
             location /private.txt {{ root {folder}; auth_basic us; auth_basic_user_file {folder}/users; }}\n\
             location /token {{ if ($http_authorization != 'Bearer a.token') {{ return 401; }} return 200 'hello'; }}\n\
             location /page.br {{ root {folder}; add_header Content-Encoding br; }}\n\
             location /page.zst {{ root {folder}; add_header Content-Encoding zstd; }}\n\
           }}\n\
         }}\n"
    )
}

/// What pages are like, and longer than one read.
fn page() -> Vec<u8> {
    (0..20_000u32).flat_map(|number| format!("line {} of many;\n", number * 7919 % 20_011).into_bytes()).collect()
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

#[test]
fn answers_that_nginx_compresses_are_counted_as_received_and_as_decoded() {
    let nginx = Nginx::start();
    let args = |more: &[&str]| [&["-n", "20", "-c", "4"], more, &[&nginx.url("/page.txt")]].concat().join(" ");
    let measure = |more: &[&str]| measure(&args(more).split(' ').collect::<Vec<_>>());
    let [plain, compressed, decoded] = [&[][..], &["--compressed"], &["--compressed", "--decode"]].map(measure);
    let all = 20 * page().len() as u64;
    for report in [&plain, &compressed, &decoded] {
        report.assert_ok(20);
    }
    assert!(plain.number("bytes.in") > all && compressed.number("bytes.in") < all / 2);
    assert_eq!(compressed.number("bytes.in"), decoded.number("bytes.in"), "bodies count as received");
    assert!(plain.at("bytes.decoded").is_null() && compressed.at("bytes.decoded").is_null());
    assert_eq!(decoded.number("bytes.decoded"), all);
    let bytes: u64 = [plain, compressed, decoded].iter().map(|report| report.number("bytes.in")).sum();
    let log = nginx.logged();
    let logged: u64 = log.iter().filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
    assert_eq!((log.len(), logged), (60, bytes));
}

#[test]
fn all_codings_that_nginx_serves_are_decoded_in_cleartext_and_under_tls() {
    let nginx = Nginx::start();
    for path in ["/page.txt", "/page.br", "/page.zst", "/large.bin"] {
        let size = if path == "/large.bin" { 1 << 20 } else { page().len() as u64 };
        for target in [vec![nginx.url(path)], nginx.encrypted(path)] {
            let options = ["-n", "8", "-c", "2", "--compressed", "--decode"].map(str::to_owned);
            let report = measure(&[&options, target.as_slice()].concat());
            report.assert_ok(8);
            assert_eq!(report.number("bytes.decoded"), 8 * size, "{path}");
        }
    }
}

#[test]
fn nginx_lets_in_who_shows_the_right_credentials() {
    let nginx = Nginx::start();
    let (private, token) = (nginx.url("/private.txt"), nginx.url("/token"));
    let in_url = private.replace("http://", "http://me:wrong@");
    for (args, status) in [
        (["-u", "me:word", &private], "200"),
        // Those of the options win over those of the URL.
        (["-u", "me:word", &in_url], "200"),
        (["-u", "me:wrong", &private], "401"),
        (["--bearer", "a.token", &token], "200"),
        (["--bearer", "another.token", &token], "401"),
    ] {
        let report = measure(&[&["-n", "5"], &args[..]].concat());
        assert_eq!(report.number(&format!("status.{status}")), 5, "{}", report.at("status"));
    }
}

#[test]
fn connections_with_a_last_request_are_as_many_as_nginx_sees() {
    let nginx = Nginx::start();
    let limit = ["-n", "200", "-c", "4", "-t", "1", "--requests-per-connection", "10"].map(str::to_owned);
    let mut opened = 0;
    for (target, resumed) in [(vec![nginx.url("/")], 0), (nginx.encrypted("/"), 16)] {
        let report = measure(&[&limit, target.as_slice()].concat());
        report.assert_ok(200);
        let counts = report.at("counts");
        // The last of each slot may have requests left.
        assert!((20..=23).contains(&report.count("connections_opened")) && report.count("redials") == 0, "{counts}");
        opened += report.count("connections_opened") as usize;
        // The first of each slot's are opened before a session is known.
        assert!(report.count("tls_resumed") >= resumed, "{counts}");
        assert!(!report.warns("churn"), "{}", report.at("warnings"));
    }
    let log = nginx.logged();
    let of = |number: u32| log.iter().filter(|line| line.starts_with(&format!("200 GET / {number} "))).count();
    assert_eq!((log.len(), of(1), of(11)), (400, opened, 0));
    assert!(of(10) >= 34, "nearly all are used up: {}", of(10));
}

#[test]
fn without_keep_alive_each_connection_to_nginx_resumes_the_session_of_one_before() {
    let nginx = Nginx::start();
    for reuse in ["true", "false"] {
        let options = ["-n", "60", "-c", "2", "-t", "1", "--keep-alive", "false", "--tls-session-reuse", reuse];
        let report = measure(&[&options.map(str::to_owned), nginx.encrypted("/").as_slice()].concat());
        report.assert_ok(60);
        let counts = report.at("counts");
        assert_eq!((report.count("connections_opened"), report.number("latency_us.tls.count")), (60, 60), "{counts}");
        let resumed = report.count("tls_resumed");
        assert!(if reuse == "true" { resumed >= 50 } else { resumed == 0 }, "{counts}");
        let log = fs::read_to_string(nginx.process.folder.path().join("access.log")).expect("an access log");
        let by_nginx = log.lines().filter(|line| line.starts_with("200 GET / 1 r ")).count() as u64;
        // The second run adds none.
        assert!(by_nginx >= resumed && (reuse == "false" || by_nginx == resumed), "{by_nginx}: {counts}");
    }
}

#[test]
fn bodies_and_last_requests_are_the_same_over_http_2() {
    let nginx = Nginx::start();
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", nginx.h2_port);
    let report = measure(&["-n", "12", "-c", "2", "--streams", "3", "--http", "2", "--decode", &url("/page.br")]);
    report.assert_ok(12);
    assert_eq!(report.number("bytes.decoded"), 12 * page().len() as u64);
    let limit = ["-n", "100", "-c", "2", "-t", "1", "--streams", "2", "--http", "2", "--requests-per-connection", "10"];
    let report = measure(&[&limit[..], &[&url("/")]].concat());
    report.assert_ok(100);
    let counts = report.at("counts");
    assert!((10..=11).contains(&report.count("connections_opened")), "{counts}");
    measure(&["-n", "10", "-c", "2", "--http", "2", "--keep-alive", "false", &url("/")]).assert_ok(10);
    let log = nginx.logged();
    let of = |number: u32| log.iter().filter(|line| line.starts_with(&format!("200 GET / {number} "))).count();
    // Those of the limited run, each in full but for the last ones, and one for each request of the last run.
    assert!(of(10) >= 9 && of(11) == 0 && (20..=21).contains(&of(1)), "{} {} {}", of(1), of(10), of(11));
}

#[test]
fn bodies_and_last_requests_are_the_same_in_a_pipeline() {
    let nginx = Nginx::start();
    let pipeline = ["-c", "2", "-t", "1", "--pipeline", "2"];
    let report = measure(&[&pipeline[..], &["-n", "12", "--decode", &nginx.url("/page.br")]].concat());
    report.assert_ok(12);
    assert_eq!(report.number("bytes.decoded"), 12 * page().len() as u64);
    let limit = ["-n", "100", "--requests-per-connection", "10", &nginx.url("/")];
    let report = measure(&[&pipeline[..], &limit].concat());
    report.assert_ok(100);
    assert!((10..=11).contains(&report.count("connections_opened")), "{}", report.at("counts"));
    let log = nginx.logged();
    let of = |number: u32| log.iter().filter(|line| line.starts_with(&format!("200 GET / {number} "))).count();
    assert!(of(10) >= 9 && of(11) == 0, "{} {} {}", of(1), of(10), of(11));
}
