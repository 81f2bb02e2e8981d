//! Plan files of retrievals: `--plan` and `--print-plan`.

use std::fs;

use super::{fetch, only, records};
use crate::support::{OK, Server, bench, file};

const SECRET: &str = "hush-4711";

#[track_caller]
fn refused(args: &[&str], parts: &[&str]) {
    let finished = fetch(args);
    finished.assert_code(2);
    assert_eq!((finished.stdout.as_str(), finished.stderr.lines().count()), ("", 1), "{}", finished.stderr);
    assert!(parts.iter().all(|part| finished.stderr.contains(part)), "{}", finished.stderr);
}

#[test]
fn flags_a_plan_file_and_the_printed_plan_ask_for_the_same() {
    let server = Server::answering(OK);
    let (folder, urls) = file((1..=5).map(|n| format!("{}\n", server.url(&format!("/{n}")))).collect::<String>());
    let inside = |name: &str| folder.path().join(name).to_str().expect("a path in UTF-8").to_owned();
    fs::write(inside("headers.txt"), format!("X-Mine: {SECRET}\n")).expect("a file");
    let (journal, headers) = (inside("out.jsonl"), format!("@{}", inside("headers.txt")));
    let more =
        ["--retries", "1", "--max-redirects", "0", "--retry-on", "503", "--expect-status", "2xx", "--user-agent", "us"];
    let flags = [&["-i", &urls, "-o", &journal, "-H", &headers, "--extract", "(.)"][..], &more].concat();
    fetch(&[&flags[..], &["--resume"]].concat()).assert_code(0);
    let plan = "input = \"file.txt\"\noutput = \"out.jsonl\"\nheader = \"@headers.txt\"\nextract = \"(.)\"\n\
                retries = 1\nmax-redirects = 0\nretry-on = 503\nexpect-status = [\"2xx\"]\nuser-agent = \"us\"\n";
    fs::write(inside("plan.toml"), plan).expect("a file");
    let printed = fetch(&[&flags[..], &["--print-plan"]].concat());
    printed.assert_code(0);
    assert!(printed.stdout.contains("ringload fetch --plan FILE runs it") && !printed.stdout.contains(SECRET));
    fs::write(inside("printed.toml"), &printed.stdout).expect("a file");
    for plan in ["plan.toml", "printed.toml"] {
        let plan = inside(plan);
        // It is the same run to the journal: all is there.
        let resumed = fetch(&["--plan", &plan, "--resume"]);
        resumed.assert_code(0);
        refused(&["--plan", &plan, "--resume", "--expect-status", "200"], &["other options"]);
        // What is typed wins.
        assert_eq!(
            only(fetch(&["--plan", &plan, "-o", "/dev/stdout", &server.url("/6")]).assert_code(0))["extracted"],
            "o"
        );
    }
    assert_eq!(records(&fs::read_to_string(&journal).expect("the journal")).len(), 5);
    assert_eq!(server.requests().len(), 7);
}

#[test]
fn a_printed_plan_has_no_secrets_and_is_refused_until_they_are_filled_in() {
    let url = format!("http://me:{SECRET}@127.0.0.1:1/");
    let cookies = format!("id={SECRET}");
    let printed = fetch(&["--print-plan", &url, "--cookie", &cookies, "-u", &format!("me:{SECRET}")]);
    printed.assert_code(0);
    assert!(!printed.stdout.contains(SECRET) && printed.stdout.contains("cookie = \"***\""), "{}", printed.stdout);
    let (_folder, plan) = file(&printed.stdout);
    refused(&["--plan", &plan], &["still has the placeholder ***"]);
}

#[test]
fn keys_that_are_none_of_fetch_s_are_refused_by_line() {
    for (plan, part) in [
        ("url = \"http://127.0.0.1:1/\"\nduration = \"1s\"", "line 2: duration: is no key"),
        ("url = \"http://127.0.0.1:1/\"\nretrys = 3", "line 2: retrys: is no key; did you mean retries?"),
        ("url = \"http://127.0.0.1:1/\"\nretries = \"no\"", "line 2: retries"),
        ("url = \"http://127.0.0.1:1/\"\njson-check = \"x\"", "line 2: json-check"),
        ("save-as = \"line\"\nurl = \"http://127.0.0.1:1/\"", "line 1: save-as"),
        ("print-plan = true", "belongs on the command line"),
    ] {
        let (_folder, path) = file(plan);
        refused(&["--plan", &path], &[&path, part]);
    }
    let (_folder, path) = file("url = \"http://127.0.0.1:1/\"\nmax-redirects = 3");
    assert!(bench(&["--plan", &path]).assert_code(2).stderr.contains("max-redirects: is no key"));
}
