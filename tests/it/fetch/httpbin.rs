//! Retrieval from httpbin under gunicorn: an HTTP server of another world, with a page for most things that servers do.

use std::fs;
use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::{fetch, only, records};
use crate::support::daemon::Daemon;
use crate::support::program::Finished;
use crate::support::{file, ringload};

/// The server, started for the test that asks for it.
struct Httpbin(Daemon);

impl Httpbin {
    fn start() -> Self {
        Self(Daemon::start(|folder, port| {
            let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/gunicorn"));
            command.args(["-k", "gthread", "--threads", "32", "-b", &format!("127.0.0.1:{port}"), "httpbin:app"]);
            // It writes a socket of its own there.
            command.env("HOME", folder);
            command
        }))
    }

    fn url(&self, target: &str) -> String {
        format!("http://127.0.0.1:{}{target}", self.0.port)
    }

    /// Fetches these targets, with more arguments before them.
    fn fetch(&self, targets: &[&str], args: &[&str]) -> Finished {
        let urls = targets.iter().map(|target| self.url(target));
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).chain(urls).collect();
        fetch(&args)
    }
}

/// The body of a record, as JSON.
fn body(record: &serde_json::Value) -> serde_json::Value {
    serde_json::from_str(record["body"].as_str().expect("a body")).expect("JSON")
}

#[test]
fn what_it_says_of_a_request_is_what_was_asked_for() {
    let httpbin = Httpbin::start();
    let text = ["--body-in-json", "text"];
    let record = only(httpbin.fetch(&["/anything?x=1&y=%20"], &text).assert_code(0));
    let said = body(&record);
    assert_eq!((&said["method"], &said["args"]["x"], &said["args"]["y"]), (&"GET".into(), &"1".into(), &" ".into()));
    let agent = said["headers"]["User-Agent"].as_str().expect("a name");
    assert!(agent.starts_with("ringload/"), "{agent}");
    let args = ["--body-in-json", "text", "-b", "some text", "-H", "Content-Type: text/plain", "-u", "me:pw"];
    let said = body(&only(httpbin.fetch(&["/anything"], &args).assert_code(0)));
    assert_eq!((&said["method"], &said["data"]), (&"POST".into(), &"some text".into()));
    let denied = only(httpbin.fetch(&["/basic-auth/me/pw"], &["-u", "me:no"]).assert_code(1));
    assert_eq!((&denied["status"], &denied["error"]), (&401.into(), &().into()));
    httpbin.fetch(&["/basic-auth/me/pw"], &["-u", "me:pw"]).assert_code(0);
}

#[test]
fn statuses_are_answers_and_those_that_may_pass_are_tried_again() {
    let httpbin = Httpbin::start();
    let targets = ["/status/200", "/status/404", "/status/418", "/status/503"];
    let args = ["--retries", "2", "--backoff", "1ms", "--retry-after-max", "1ms"];
    let all = records(&httpbin.fetch(&targets, &args).assert_code(0).stdout);
    let seen: Vec<_> = (1..=4).map(|line| (all[&line]["status"].clone(), all[&line]["attempts"].clone())).collect();
    let expected = [(200, 1), (404, 1), (418, 1), (503, 3)].map(|(status, attempts)| (status.into(), attempts.into()));
    assert_eq!(seen, expected);
    assert!(all.values().all(|record| record["error"].is_null()), "statuses are no errors");
}

#[test]
fn redirects_are_followed_as_far_as_is_allowed() {
    let httpbin = Httpbin::start();
    for target in ["/redirect/5", "/absolute-redirect/3", "/redirect-to?url=%2Fget&status_code=307"] {
        let record = only(httpbin.fetch(&[target], &[]).assert_code(0));
        assert_eq!((&record["status"], &record["final_url"]), (&200.into(), &httpbin.url("/get").into()), "{target}");
    }
    let record = only(httpbin.fetch(&["/redirect/5"], &["--max-redirects", "4"]).assert_code(1));
    assert_eq!(record["error"]["kind"], "redirect");
    let record = only(httpbin.fetch(&["/redirect-to?url=ftp%3A%2F%2Fh%2F"], &[]).assert_code(1));
    assert_eq!(record["error"]["kind"], "redirect");
    let args = ["-b", "x", "--body-in-json", "text"];
    let record = only(httpbin.fetch(&["/redirect-to?url=%2Fanything&status_code=303"], &args).assert_code(0));
    assert_eq!(body(&record)["method"], "GET");
}

#[test]
fn cookies_that_it_sets_come_back() {
    let httpbin = Httpbin::start();
    let args = ["--cookie", "own=1", "--body-in-json", "text"];
    let said = body(&only(httpbin.fetch(&["/cookies/set?a=1&b=2"], &args).assert_code(0)));
    assert_eq!(said["cookies"], serde_json::json!({"own": "1", "a": "1", "b": "2"}));
    let folder = tempfile::tempdir().expect("a folder");
    let jar = folder.path().join("jar.txt");
    let jar = jar.to_str().expect("a path in UTF-8");
    httpbin.fetch(&["/cookies/set/kept/7"], &["--cookie-jar", jar]).assert_code(0);
    let said =
        body(&only(httpbin.fetch(&["/cookies"], &["--cookie-jar", jar, "--body-in-json", "text"]).assert_code(0)));
    assert_eq!(said["cookies"], serde_json::json!({"kept": "7"}));
}

#[test]
fn compressed_bodies_are_decoded_and_looked_into() {
    let httpbin = Httpbin::start();
    for (target, pointer) in [("/gzip", "/gzipped"), ("/deflate", "/deflated"), ("/brotli", "/brotli")] {
        let check = format!("{pointer}=true");
        let args = ["--compressed", "--decode", "--extract", pointer, "--json-check", &check];
        let record = only(httpbin.fetch(&[target], &args).assert_code(0));
        assert_eq!(record["extracted"], true, "{target}");
    }
    let record = only(httpbin.fetch(&["/html"], &["--json-check", "/a=1"]).assert_code(1));
    assert_eq!(record["error"]["kind"], "json");
    let record = only(httpbin.fetch(&["/html"], &["--extract", "<h1>(.*?)</h1>"]).assert_code(0));
    assert_eq!(record["extracted"], "Herman Melville - Moby-Dick");
}

#[test]
fn its_robots_txt_is_obeyed() {
    let httpbin = Httpbin::start();
    let urls = [httpbin.url("/deny"), httpbin.url("/get")];
    let all = records(&ringload(&["fetch", "-q", &urls[0], &urls[1]]).assert_code(0).stdout);
    assert_eq!((&all[&1]["error"]["kind"], &all[&2]["status"]), (&"robots".into(), &200.into()));
    httpbin.fetch(&["/deny"], &[]).assert_code(0);
}

#[test]
fn a_slow_answer_is_given_up_and_holds_nobody_up() {
    let httpbin = Httpbin::start();
    let slow = httpbin.url("/delay/8");
    let quick: String = (0..60).map(|number| format!("{}\n", httpbin.url(&format!("/get?{number}")))).collect();
    let (_folder, path) = file(format!("{slow}\n{quick}"));
    let args = ["-i", &path, "--timeout", "2s", "--retries", "0", "--connections-per-host", "8"];
    let all = records(&fetch(&args).assert_code(0).stdout);
    assert_eq!(all[&1]["error"]["kind"], "timeout");
    assert_eq!(all.values().filter(|record| record["ok"] == true).count(), 60);
}

#[test]
fn bodies_of_every_length_are_saved_whole() {
    let httpbin = Httpbin::start();
    let folder = tempfile::tempdir().expect("a folder");
    let bodies = folder.path().to_str().expect("a path in UTF-8");
    let targets = [
        "/bytes/0",
        "/bytes/1?seed=1",
        "/bytes/65537?seed=2",
        "/stream-bytes/50000?seed=3&chunk_size=700",
        "/range/4096",
    ];
    let all = records(&httpbin.fetch(&targets, &["--save", bodies]).assert_code(0).stdout);
    for (record, length) in (1..=5).map(|line| &all[&line]).zip([0, 1, 65_537, 50_000, 4_096]) {
        let saved = fs::read(folder.path().join(record["file"].as_str().expect("a name"))).expect("a file");
        assert_eq!((saved.len(), &record["bytes"]), (length, &length.into()));
        let digest: String = Sha256::digest(&saved).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(record["sha256"], digest.as_str());
    }
}
