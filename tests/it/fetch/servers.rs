//! Retrieval from nginx, and through proxies that others wrote, taken in turn.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{fetch, records};
use crate::proxies::{USER, microsocks, squid, through, tinyproxy};
use crate::support::nginx::{Process, folders};
use crate::support::{OK, Server, dead_port, file, ringload};

/// nginx, which is stopped when dropped, and whose port has what `config` makes of the folder with its files.
pub(super) fn nginx(config: impl Fn(&Path) -> String) -> (Process, u16) {
    let start = || {
        let (folder, port) = (tempfile::tempdir().expect("a folder"), dead_port());
        let path = folder.path();
        fs::write(path.join("page.txt"), "a page").expect("a file");
        let all = format!(
            "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n\
               log_format plain '$status $uri'; log_format ranges '$status $http_range $http_if_range';\n\
               access_log {folder}/access.log plain;\n\
               limit_req_zone $server_port zone=all:1m rate=50r/s; limit_req_status 429;\n\
               {folders}\
               server {{ listen 127.0.0.1:{port}; {config} }}\n\
             }}\n",
            folder = path.display(),
            folders = folders(path),
            config = config(path),
        );
        Some((Process::try_start(folder, &all, port)?, port))
    };
    // The port is free when asked for; where another took it since, the next one is tried.
    (0..5).find_map(|_| start()).expect("nginx is installed and starts")
}

#[test]
fn a_server_that_limits_its_rate_is_heeded_until_it_has_answered_all() {
    const LINES: u64 = 50;
    let (nginx, port) = nginx(|folder| {
        format!(
            "root {}; error_page 429 @limited;\n\
             location / {{ limit_req zone=all burst=15 nodelay; try_files /page.txt =404; }}\n\
             location @limited {{ add_header Retry-After 1 always; return 429; }}",
            folder.display()
        )
    });
    let (_folder, path) = file((0..LINES).map(|n| format!("http://127.0.0.1:{port}/{n}\n")).collect::<String>());
    let began = Instant::now();
    let all = records(&fetch(&["-i", &path, "--retries", "20", "--backoff", "1ms"]).assert_code(0).stdout);
    let elapsed = began.elapsed();
    assert!(all.len() as u64 == LINES && all.values().all(|record| record["status"] == 200));
    let attempts: u64 = all.values().map(|record| record["attempts"].as_u64().expect("a number")).sum();
    let log = nginx.logged();
    let limited = log.iter().filter(|line| line.starts_with("429 ")).count() as u64;
    assert_eq!((log.len() as u64, limited), (attempts, attempts - LINES));
    // As many at once as may be in flight, and never again before the second is over.
    assert!(limited > 0 && limited <= 6 * elapsed.as_secs(), "{limited} in {elapsed:?}");
    let held = all.values().filter(|record| record["attempts"] != 1);
    assert!(held.clone().count() > 0 && held.clone().all(|record| record["response_ms"].as_f64() >= Some(990.0)));
}

#[test]
fn what_robots_txt_forbids_is_not_asked_for_and_the_rest_in_its_pace() {
    let (nginx, port) = nginx(|_| {
        "location = /robots.txt { return 200 'User-agent: *\\nDisallow: /private\\nCrawl-delay: 0.2\\n'; }\n\
         location / { return 200 'hello'; }"
            .to_owned()
    });
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let urls = ["/1", "/private/1", "/2", "/3", "/private/2", "/4", "/5", "/6"].map(url);
    let began = Instant::now();
    let all = records(&ringload(&[&["fetch".to_owned(), "-q".to_owned()], &urls[..]].concat()).assert_code(0).stdout);
    assert!(began.elapsed() >= Duration::from_millis(5 * 200 - 20), "{:?}", began.elapsed());
    let forbidden: Vec<_> = (1..=8).filter(|line| all[line]["error"]["kind"] == "robots").collect();
    assert_eq!(forbidden, [2, 5]);
    let mut log = nginx.logged();
    log.sort_unstable();
    assert_eq!(log, ["200 /1", "200 /2", "200 /3", "200 /4", "200 /5", "200 /6", "200 /robots.txt"]);
}

#[test]
fn proxies_are_taken_in_turn_and_one_that_is_down_costs_no_line() {
    const LINES: usize = 300;
    let (squid, tinyproxy, microsocks) = (squid(None), tinyproxy(), microsocks());
    let origin = Server::answering(OK);
    let (_folder, path) = file((0..LINES).map(|n| format!("{}\n", origin.url(&format!("/{n}")))).collect::<String>());
    let ways = [
        through(&squid, "http", USER),
        through(&tinyproxy, "http", USER),
        format!("http://127.0.0.1:{}", dead_port()),
        through(&microsocks, "socks5", USER),
    ];
    let proxies = ways.iter().flat_map(|way| ["-x", way]);
    let args: Vec<&str> = ["-i", &path, "-t", "1", "--connections-per-host", "12"].into_iter().chain(proxies).collect();
    let all = records(&fetch(&args).assert_code(0).stdout);
    assert!(all.len() == LINES && all.values().all(|record| record["ok"] == true));
    let mut paths = origin.paths();
    paths.sort_unstable_by_key(|path| path[1..].parse::<usize>().expect("a number"));
    assert!(paths.iter().enumerate().all(|(n, path)| *path == format!("/{n}")), "each line once");
    assert_eq!(paths.len(), LINES);
    let requests = origin.requests();
    let via = |name: &str| {
        let has =
            |headers: &[String]| headers.iter().any(|header| header.starts_with("Via: ") && header.contains(name));
        requests.iter().filter(|request| has(&request.headers)).count()
    };
    // Who says nothing is microsocks, which does not look into what it carries.
    let carried = [via("squid"), via("tinyproxy"), LINES - via("squid") - via("tinyproxy")];
    assert!(carried.iter().all(|&count| count > 0), "{carried:?}");
    let log = fs::read_to_string(squid.folder.path().join("access.log")).expect("an access log");
    assert_eq!(log.lines().filter(|line| line.contains(" GET http://")).count(), carried[0]);
}
