//! HTTP/2 servers that others wrote: nginx, haproxy and nghttpd, in cleartext and under TLS.

use std::fs;
use std::process::Command;

use crate::support::daemon::Daemon;
use crate::support::tls::Authority;
use crate::support::{Report, dead_port, measure, nginx};

const LOCAL: &[&str] = &["localhost", "127.0.0.1"];

#[track_caller]
fn run(server: &Daemon, scheme: &str, path: &str, args: &[&str]) -> Report {
    let url = format!("{scheme}://localhost:{}{path}", server.port);
    measure(&[&[url.as_str(), "-t", "1"], args].concat())
}

/// nginx with HTTP/2 on two ports, the second under TLS; and on two more where a connection takes a hundred requests.
struct Nginx {
    process: nginx::Process,
    ports: [u16; 4],
    authority: Authority,
}

impl Nginx {
    fn start() -> Self {
        (0..5).find_map(|_| Self::try_start()).expect("nginx starts")
    }

    fn try_start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, ports, authority) = (folder.path(), [(); 4].map(|()| dead_port()), Authority::new());
        let [port, tls_port, few_port, few_tls_port] = ports;
        authority.issue(LOCAL).write_to(path);
        fs::write(path.join("large.bin"), vec![b'x'; 1 << 20]).expect("a file");
        fs::write(path.join("middle.bin"), vec![b'x'; 200_000]).expect("a file");
        fs::write(path.join("huge.bin"), vec![b'x'; 5 << 20]).expect("a file");
        let (shown, folders) = (path.display(), nginx::folders(path));
        let config = format!(
            "daemon off; worker_processes 1; pid {shown}/pid; error_log {shown}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n\
               log_format plain '$server_protocol $status $request_method $uri $body_bytes_sent $content_length';\n\
               access_log {shown}/access.log plain; client_max_body_size 10m; {folders}\
               ssl_certificate {shown}/server.pem; ssl_certificate_key {shown}/server.key;\n\
               server {{\n\
                 listen 127.0.0.1:{port} http2 backlog=1024; listen 127.0.0.1:{tls_port} ssl http2;\n\
                 keepalive_requests 1000000;\n\
                 location / {{ return 200 'hello world\\n'; }}\n\
                 location /missing {{ return 404; }}\n\
                 location ~ bin$ {{ root {shown}; }}\n\
               }}\n\
               server {{\n\
                 listen 127.0.0.1:{few_port} http2 backlog=1024; listen 127.0.0.1:{few_tls_port} ssl http2;\n\
                 keepalive_requests 100; location / {{ return 200 'few'; }}\n\
               }}\n\
             }}\n"
        );
        let process = nginx::Process::try_start(folder, &config, port)?;
        Some(Self { process, ports, authority })
    }

    /// Runs the same load by prior knowledge and by agreement under TLS.
    fn both(&self, ports: &[u16], path: &str, args: &[&str]) -> [Report; 2] {
        let clear = format!("http://localhost:{}{path}", ports[0]);
        let encrypted = format!("https://localhost:{}{path}", ports[1]);
        let ca = self.authority.file();
        let clear = measure(&[&[clear.as_str(), "--http", "2", "-t", "1"], args].concat());
        [clear, measure(&[&[encrypted.as_str(), "--cacert", &ca, "-t", "1"], args].concat())]
    }
}

#[test]
fn nginx_counts_over_http_2_what_we_count() {
    let nginx = Nginx::start();
    for report in nginx.both(&nginx.ports[..2], "/", &["-n", "300", "-c", "2", "--streams", "16"]) {
        report.assert_ok(300);
        assert_eq!(report.count("connections_opened"), 2);
    }
    for report in nginx.both(&nginx.ports[..2], "/", &["-n", "20", "-c", "1", "-X", "HEAD"]) {
        report.assert_ok(20);
    }
    for report in nginx.both(&nginx.ports[..2], "/missing", &["-n", "20", "-c", "1"]) {
        assert_eq!((report.count("http_error"), report.number("status.404")), (20, 20));
    }
    for report in nginx.both(&nginx.ports[..2], "/large.bin", &["-n", "24", "-c", "2", "--streams", "4"]) {
        report.assert_ok(24);
        assert!(report.number("bytes.in") > 24 << 20, "{}", report.at("bytes"));
    }
    // Answered before it is taken in (RFC 9113 section 8.1), or whole.
    let (_folder, body) = crate::support::file(vec![b'y'; 200_000]);
    for report in
        nginx.both(&nginx.ports[..2], "/", &["-n", "20", "-c", "2", "--streams", "2", "-b", &format!("@{body}")])
    {
        report.assert_ok(20);
    }
    let logged = nginx.process.logged();
    assert!(logged.iter().all(|line| line.starts_with("HTTP/2.0 ")), "{logged:?}");
    let count = |part: &str| logged.iter().filter(|line| line.contains(part)).count();
    assert_eq!((count("200 GET / 12"), count("200 HEAD / 0"), count("404 GET /missing")), (600, 40, 40));
    assert_eq!((count("200 GET /large.bin 1048576"), count("200 POST / 12 200000")), (48, 40));
}

#[test]
fn bodies_give_their_room_back_whatever_their_size() {
    let nginx = Nginx::start();
    // More in all than a connection's 64 MiB: in bodies that a stream's 4 MiB hold many of, and in ones that these do not hold.
    for (path, requests) in [("/middle.bin", 400), ("/huge.bin", 16)] {
        let count = requests.to_string();
        for report in nginx.both(&nginx.ports[..2], path, &["-n", &count, "-c", "1", "--streams", "4"]) {
            report.assert_ok(requests);
            assert_eq!(report.count("connections_opened"), 1);
        }
    }
}

#[test]
fn connections_that_nginx_takes_no_more_requests_on_are_replaced_without_a_failure() {
    let nginx = Nginx::start();
    for report in nginx.both(&nginx.ports[2..], "/few", &["-n", "1000", "-c", "2", "--streams", "4"]) {
        report.assert_ok(1000);
        assert!(report.count("connections_opened") >= 10, "{}", report.at("counts"));
    }
    let logged = nginx.process.logged();
    assert_eq!(logged.iter().filter(|line| line.contains("GET /few")).count(), 2000, "each request was answered once");
}

#[test]
fn nghttpd_is_given_no_more_streams_than_it_allows() {
    let nghttpd = Daemon::start(|folder, port| {
        fs::write(folder.join("file"), "hello").expect("a file");
        let mut command = Command::new("nghttpd");
        command.args(["--no-tls", "--max-concurrent-streams=4", "--address=127.0.0.1", "-d"]);
        command.arg(folder).arg(port.to_string());
        command
    });
    let args = ["--http", "2", "-n", "500", "-c", "2", "--streams", "16"];
    let report = run(&nghttpd, "http", "/file", &args);
    report.assert_ok(500);
    assert_eq!(
        (report.failure("stream_reset"), report.count("redials"), report.count("connections_opened")),
        (0, 0, 2)
    );
    assert!(report.float("latency_us.pool_lag.p50") > 0.0, "{}", report.at("latency_us.pool_lag"));
}

#[test]
fn haproxy_speaks_http_2_by_agreement_and_by_prior_knowledge() {
    let authority = Authority::new();
    let identity = authority.issue(LOCAL);
    let haproxy = |tls: bool| {
        Daemon::start(|folder, port| {
            let pem = folder.join("both.pem");
            fs::write(&pem, [identity.certificate.as_str(), &identity.key].concat()).expect("a file");
            let bind = if tls { format!("ssl crt {} alpn h2,http/1.1", pem.display()) } else { "proto h2".to_owned() };
            let config = format!(
                "global\n maxconn 256\ndefaults\n mode http\n timeout client 30s\n timeout connect 5s\n timeout server 30s\n\
                 frontend f\n bind 127.0.0.1:{port} {bind}\n\
                 http-request return status 200 content-type text/plain string hello\n"
            );
            fs::write(folder.join("haproxy.cfg"), config).expect("a file");
            let mut command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(folder.join("haproxy.cfg"));
            command
        })
    };
    let (clear, encrypted) = (haproxy(false), haproxy(true));
    run(&clear, "http", "/", &["--http", "2", "-n", "300", "-c", "2", "--streams", "16"]).assert_ok(300);
    let ca = authority.file();
    for (http, agreed) in [("auto", "h2"), ("2", "h2"), ("1.1", "http/1.1")] {
        let report = run(&encrypted, "https", "/", &["--cacert", &ca, "--http", http, "-n", "300", "-c", "2"]);
        report.assert_ok(300);
        assert_eq!(report.at("origins.0.tls.alpn").as_str(), Some(agreed));
    }
}
