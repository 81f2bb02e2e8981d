//! Plan files: `--plan` and `--print-plan`, from reading them to the digest of the run.

use std::fs;
use std::path::Path;

use crate::support::program::Finished;
use crate::support::{OK, Program, Report, Server, TargetProgram, bench, dead_port, measure, measured};

const SECRET: &str = "hush-4711";

/// A folder with these files in it, the first of which is the plan.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(plan: impl AsRef<[u8]>) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.put("plan.toml", plan);
        folder
    }

    fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), content).expect("a file");
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// The path of the plan.
    fn plan(&self) -> String {
        self.path("plan.toml")
    }
}

#[track_caller]
fn printed(args: &[&str]) -> String {
    let finished = bench(&[args, &["--print-plan"]].concat());
    finished.assert_code(0);
    assert_eq!(finished.stderr, "");
    finished.stdout
}

/// Refused with exit 2 and one message that holds all `parts`.
#[track_caller]
fn refused(args: &[&str], parts: &[&str]) -> Finished {
    let finished = bench(args);
    finished.assert_code(2);
    assert_eq!(finished.stdout, "");
    assert_eq!(finished.stderr.lines().count(), 1, "one message: {}", finished.stderr);
    for part in parts {
        assert!(finished.stderr.contains(part), "{part:?} is missing in: {}", finished.stderr);
    }
    finished
}

#[track_caller]
fn refused_plan(plan: impl AsRef<[u8]>, parts: &[&str]) {
    let folder = Folder::new(plan);
    let path = folder.plan();
    for more in [&[][..], &["--print-plan"]] {
        let finished = refused(&[&["-q", "--plan", &path], more].concat(), parts);
        assert!(finished.stderr.contains(&path), "names the file: {}", finished.stderr);
    }
}

#[test]
fn flags_a_plan_file_and_the_printed_plan_are_one_plan() {
    let target = TargetProgram::start();
    let folder = Folder::new("");
    folder.put("headers.txt", "X-Mine: hush\n");
    folder.put("body.txt", "the body");
    folder.put("login.txt", "me:hush\n");
    folder.put("urls.txt", format!("{0}/bytes/1\nPUT {0}/bytes/2\n", target.url));
    let (urls, headers, url) = (folder.path("urls.txt"), folder.path("headers.txt"), format!("{}/", target.url));
    let flags = [
        "-n",
        "60",
        "-c3",
        "-R",
        "90k/m",
        "--arrivals",
        "poisson",
        "--seed",
        "7",
        "--order",
        "shuffle",
        "-t1",
        "-H",
        "X-A: b",
        "-H",
        &format!("@{headers}"),
        "-b",
        &format!("@{}", folder.path("body.txt")),
        "--max-error-rate",
        "0.5%",
        "--abort-on",
        "errors>50% for 5s",
        "--abort-on",
        "p99>30s",
        "--read-timeout",
        "1.5m",
        &format!("-u@{}", folder.path("login.txt")),
        "--compressed",
        "--decode",
        "--requests-per-connection=20",
        "-i",
        &urls,
        &url,
    ]
    .map(str::to_owned);
    folder.put(
        "plan.toml",
        format!(
            "requests = 60\nconnections = 3\nrate = \"90k/m\"\narrivals = \"poisson\"\nseed = 7\norder = \"shuffle\"\n\
             threads = \"1\"\nheader = [\"X-A: b\", \"@headers.txt\"]\nbody = \"@body.txt\"\nmax-error-rate = \"0.5%\"\n\
             abort-on = [\"errors>50% for 5s\", \"p99>30s\"]\nread-timeout = \"90s\"\n\
             user = \"@login.txt\"\ncompressed = true\ndecode = true\nrequests-per-connection = 20\ninput = \"urls.txt\"\n\
             url = [{url:?}]\n"
        ),
    );
    let plan = folder.plan();
    let by_flags = measure(&flags);
    let by_file = measure(&["--plan", &plan]);
    let both = [printed(&flags.each_ref().map(String::as_str)), printed(&["--plan", &plan])];
    for text in both {
        folder.put("printed.toml", text);
        let by_print = measure(&["--plan", &folder.path("printed.toml")]);
        assert_eq!(by_print.at("config_digest"), by_flags.at("config_digest"), "{}", by_print.at("plan"));
    }
    assert_eq!(by_file.at("config_digest"), by_flags.at("config_digest"), "{}", by_file.at("plan"));
    assert_eq!(by_file.at("plan"), by_flags.at("plan"));
    by_file.assert_ok(60);
    let plan = by_file.at("plan");
    assert_eq!((&plan["authorization"], &plan["requests_per_connection"]), (&"basic".into(), &20.into()));
    assert_eq!((&plan["compressed"], &plan["decode"]), (&true.into(), &true.into()));
}

#[test]
fn defaults_are_printed_as_they_would_be_applied() {
    let target = TargetProgram::start();
    let folder = Folder::new("");
    let url = format!("{}/", target.url);
    let stages = ["--stages", "20@500ms,20:60@500ms", "--catch-up", "skip", "--arrivals", "poisson"];
    for flags in [
        &["-d1s"][..],
        &["-n", "5"],
        &["-R", "10:50", "-d1s"],
        &stages,
        &["-R", "0.1", "-n1"],
        &["--once"],
        &["-n9", "--shard", "2/2", "-t1"],
    ] {
        let args = [flags, &[url.as_str()]].concat();
        let text = printed(&args);
        folder.put("plan.toml", &text);
        assert_eq!(printed(&["--plan", &folder.plan()]), text, "what is printed is printed again");
        let (flags, plan) = (measure(&args), measure(&["--plan", &folder.plan()]));
        assert_eq!(flags.at("config_digest"), plan.at("config_digest"), "{text}");
        assert_eq!(flags.at("plan"), plan.at("plan"));
    }
}

#[test]
fn options_on_the_command_line_win_and_replace_lists() {
    let server = Server::answering(OK);
    let folder = Folder::new(format!(
        "url = {:?}\nrequests = 3\nconnections = 0\nthreads = 1\nheader = [\"X-File: 1\", \"X-Too: 2\"]\nbody = \"***\"\n\
         keep-alive = false\nno-progress = true\n",
        server.url("/file"),
    ));
    let report = measure(&["-c", "1", "-H", "X-Typed: 1", "-b", "x", "--plan", &folder.plan(), "--keep-alive=true"]);
    report.assert_ok(3);
    assert_eq!(report.at("plan.keep_alive"), true);
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    let headers = requests[0].headers.join("\n");
    assert!(headers.contains("X-Typed: 1") && !headers.contains("X-File") && !headers.contains("X-Too"), "{headers}");
    assert_eq!(requests[0].body, b"x");
}

#[test]
fn what_to_ask_for_is_replaced_as_a_whole() {
    let server = Server::answering(OK);
    let (file, typed) = (server.url("/file"), server.url("/typed"));
    let folder = Folder::new(format!("url = [{file:?}]\ninput = \"urls.txt\"\nonce = true\nconnections = 1\n"));
    folder.put("urls.txt", &file);
    folder.put("typed.txt", &typed);
    let (plan, input) = (folder.plan(), folder.path("typed.txt"));
    let asked = |args: &[&str], all: u64| {
        let report = measure(&[&["--plan", &plan], args].concat());
        report.assert_ok(all);
        assert_eq!(report.at("plan.urls.first.0"), if args.is_empty() { file.as_str() } else { &typed });
    };
    asked(&[], 2);
    asked(&[&typed], 1);
    asked(&["-i", &input], 1);
    asked(&["--", &typed], 1);
}

#[test]
fn file_names_in_a_plan_are_relative_to_its_folder() {
    let server = Server::answering(OK);
    let folder = Folder::new(
        "input = \"urls.txt\"\nheader = \"@headers.txt\"\nbody = \"@body.txt\"\nbearer = \"@token.txt\"\n\
         output = \"report.json\"\nonce = true\n",
    );
    folder.put("token.txt", "a.token");
    folder.put("urls.txt", server.url("/a"));
    folder.put("headers.txt", "X-A: b\n");
    folder.put("body.txt", "the body");
    bench(&["--plan", &folder.plan()]).assert_code(0);
    for header in ["X-A: b", "Authorization: Bearer a.token"] {
        assert!(server.requests()[0].headers.contains(&header.to_owned()), "{header}");
    }
    assert_eq!(server.requests()[0].body, b"the body");
    let report = fs::read_to_string(folder.path("report.json")).expect("a report beside the plan");
    Report::parse(&report).assert_ok(1);

    // Printed they are absolute, so that the printed plan may be put anywhere.
    let text = printed(&["--plan", &folder.plan()]);
    for (key, name) in [
        ("input", "urls.txt"),
        ("header", "headers.txt"),
        ("body", "body.txt"),
        ("bearer", "token.txt"),
        ("output", "report.json"),
    ] {
        let line = text.lines().find(|line| line.starts_with(&format!("{key} = "))).expect(key);
        assert!(line.contains(&folder.path(name)), "{line}");
    }
    let elsewhere = Folder::new(text);
    bench(&["--plan", &elsewhere.plan()]).assert_code(0);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn standard_input_stays_standard_input() {
    let server = Server::answering(OK);
    let folder = Folder::new("input = \"-\"\nonce = true\nquiet = true\n");
    let plan = folder.plan();
    let read = |args: &[&str]| {
        let all = [&["bench", "--plan", &plan], args].concat();
        let finished = Program::start_with_input(&all, &format!("{}\n", server.url("/"))).finish();
        finished.assert_code(0);
        finished.stdout
    };
    assert!(read(&["--print-plan"]).contains("\ninput = \"-\"\n"));
    assert_eq!(server.accepted(), 0);
    read(&[]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn the_readme_s_plan_can_be_used() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("the README");
    let example = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let folder = Folder::new(example);
    folder.put("urls.txt", "http://127.0.0.1/\n");
    folder.put("secret-headers.txt", "X-Key: hush\n");
    assert!(printed(&["--plan", &folder.plan()]).contains("rate = \"10k\""));
}

#[test]
fn printing_a_plan_sends_nothing_and_refuses_a_bad_one() {
    let server = Server::answering(OK);
    let text = printed(&[&server.url("/"), "-d", "1h"]);
    assert!(text.contains("duration = \"1h\"") && text.contains("timeout = \"10s\""), "{text}");
    assert_eq!(server.accepted(), 0);
    refused(&["--print-plan", "-c", "0", &server.url("/")], &["-c 0"]);
    refused(&["--print-plan", "-i", "/nonexistent/urls.txt"], &["-i /nonexistent/urls.txt", "cannot read"]);
    // A dead target is no matter: nothing is sent.
    printed(&[&format!("http://127.0.0.1:{}/", dead_port())]);
}

#[test]
fn a_plan_without_a_target_measures_the_embedded_one() {
    let text = printed(&["-n", "20"]);
    assert!(!text.contains("\nurl =") && !text.contains("\ninput ="), "{text}");
    let folder = Folder::new(text);
    let (flags, plan) = (measure(&["-n", "20"]), measure(&["--plan", &folder.plan()]));
    for report in [&flags, &plan] {
        report.assert_ok(20);
        assert_eq!(report.at("plan.embedded_target"), true);
    }
    assert_eq!((flags.at("plan.cores"), flags.at("plan.threads")), (plan.at("plan.cores"), plan.at("plan.threads")));
}

#[test]
fn a_key_that_does_not_exist_is_refused_with_the_nearest() {
    for (plan, parts) in [
        ("conections = 1", ["line 1: conections:", "did you mean connections?"]),
        ("seed = 1\nmax_error_rate = \"1%\"", ["line 2: max_error_rate:", "did you mean max-error-rate?"]),
        ("c = 4", ["line 1: c:", "write connections"]),
        ("qps = 4", ["line 1: qps:", "write rate"]),
        ("urls = \"http://h/\"", ["line 1: urls:", "did you mean url?"]),
        ("zzz = 4", ["line 1: zzz:", "ringload help bench"]),
        ("[load]\nconnections = 4", ["line 1: load:", "is no key"]),
        ("plan = \"other.toml\"", ["line 1: plan:", "command line"]),
        ("print-plan = true", ["line 1: print-plan:", "command line"]),
        ("help = true", ["line 1: help:", "command line"]),
        ("\"\\u001b[31m\" = 1", ["line 1: \\u{1b}[31m:", "is no key"]),
    ] {
        refused_plan(plan, &parts);
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_the_right_one() {
    for (plan, parts) in [
        ("connections = true", ["line 1: connections:", "write a number"]),
        ("connections = [4]", ["line 1: connections:", "is a list"]),
        ("connections = 0x40", ["line 1: connections:", "no decimal number"]),
        ("once = 1", ["line 1: once:", "write true or false"]),
        ("keep-alive = \"false\"", ["line 1: keep-alive:", "without quotes"]),
        ("input = 4", ["line 1: input:", "name of a file"]),
        ("format = 4", ["line 1: format:", "write a word"]),
        ("duration = 12:00:00", ["line 1: duration:", "time of day"]),
        ("rate.per = 4", ["line 1: rate:", "is a table"]),
        ("header = [[\"A: b\"]]", ["line 1: header:", "a list in a list"]),
        ("url = []", ["line 1: url:", "empty list"]),
        ("url = \"--once\"", ["line 1: url:", "is no URL"]),
    ] {
        refused_plan(plan, &parts);
    }
}

#[test]
fn a_bad_value_is_refused_by_line_and_key() {
    for (plan, parts) in [
        ("\nconnections = 0", ["line 2: connections 0:", "at least 1"]),
        ("threads = \"30s\"", ["line 1: threads 30s:", "did you mean -d?"]),
        ("duration = 10", ["line 1: duration:", "write 10s"]),
        ("format = \"xml\"", ["line 1: format:", "text, json"]),
        ("seed = -1", ["line 1: seed:", "invalid"]),
        ("rate = \"\"", ["line 1: rate:", "is no rate"]),
        ("rate = inf", ["line 1: rate:", "is no rate"]),
        ("abort-on = [\"p99>1s\", \"p42>1s\"]", ["line 1: abort-on 'p42>1s':", "errors, p50, p99 or max"]),
        ("header = \"X-A\"", ["line 1: header:", "needs a colon"]),
        ("url = \"ftp://h/\"", ["line 1: url:", "unknown scheme"]),
        ("input = \"none.txt\"", ["line 1: input ", "cannot read"]),
        ("input = \"\"", ["line 1: input:", "a value is required"]),
        ("body = \"@none\"", ["line 1: body @", "cannot read"]),
        ("output = \"none/x.json\"", ["line 1: output ", "mkdir -p"]),
        ("once = true\nrequests = 4", ["line 1: once:", "give one of them"]),
    ] {
        refused_plan(plan, &parts);
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_by_line_and_column() {
    refused_plan("seed = 1\nrate = \"x", &["line 2, column 10", "is no TOML"]);
    refused_plan("seed = 1\nseed = 2", &["line 2, column 1", "duplicate key"]);
    refused_plan("http://h/", &["line 1, column 10", "is no TOML"]);
    refused_plan(format!("seed = {}", "[".repeat(500_000)), &["line 1", "is no TOML"]);
    refused_plan(b"seed = 1\xff", &["is not text"]);
    refused_plan("#".repeat(1024 * 1024 + 1), &["over 1 MiB"]);
}

#[test]
fn a_plan_file_that_cannot_be_read_is_refused() {
    refused(&["--plan", "/nonexistent/plan.toml"], &["--plan /nonexistent/plan.toml", "cannot read"]);
    refused(&["--plan", "/"], &["--plan /", "cannot read"]);
    refused(&["--plan", "/dev/zero"], &["--plan /dev/zero", "over 1 MiB"]);
}

#[test]
fn a_secret_that_was_never_filled_in_is_refused() {
    for (plan, parts) in [
        (
            "header = [\"X-A: b\", \"Authorization: ***\"]",
            ["line 1: header:", "write the secret in its place, or @FILE"],
        ),
        ("body = \"***\"", ["line 1: body:", "write the secret in its place, or @FILE"]),
        ("url = \"http://***@h/\"", ["line 1: url:", "write the secret in its place"]),
    ] {
        refused_plan(plan, &parts);
    }
}

/// A plan that asks `url` and holds the secret everywhere.
fn secret_plan(url: &str, more: &str) -> Folder {
    let url = url.replace("http://", &format!("http://me:{SECRET}@"));
    let folder = Folder::new(format!(
        "url = {url:?}\nheader = [\"Authorization: {SECRET}\", \"@h.txt\"]\nbody = \"{SECRET}\"\nrequests = 2\n{more}\n"
    ));
    folder.put("h.txt", format!("X-Mine: {SECRET}\n"));
    folder
}

#[track_caller]
fn kept(finished: &Finished) {
    let all = format!("{}{}", finished.stdout, finished.stderr);
    assert!(!all.contains(SECRET) && !all.contains("aHVzaC00NzEx"), "{all}");
}

#[test]
fn secrets_of_a_plan_file_are_masked_whatever_becomes_of_the_run() {
    let good = Server::answering(OK);
    let url = good.url("/");
    let dead = format!("http://127.0.0.1:{}/", dead_port());
    for (url, more, code) in [
        (url.as_str(), "", 0),
        (&dead, "", 2),
        ("http://ho<st/", "", 2),
        (&url, "connections = 0", 2),
        (&url, "conections = 1", 2),
        (&url, "seed = ", 2),
        (&url, &format!("once = \"{SECRET}\""), 2),
        (&url, &format!("connections = \"\"\nmethod = [\"{SECRET}\"]"), 2),
    ] {
        let folder = secret_plan(url, more);
        for format in ["text", "json"] {
            let finished = bench(&["--plan", &folder.plan(), "--format", format]);
            finished.assert_code(code);
            kept(&finished);
        }
    }
    let request = &good.requests()[0];
    assert!(request.headers.contains(&format!("Authorization: {SECRET}")) && request.body == SECRET.as_bytes());
}

#[test]
fn a_syntax_error_does_not_repeat_its_line() {
    for line in [format!("body = \"{SECRET}"), format!("body = {SECRET}"), format!("body \"{SECRET}\"")] {
        let folder = Folder::new(line);
        kept(&refused(&["--plan", &folder.plan()], &["line 1, column", "is no TOML"]));
    }
}

#[test]
fn a_printed_plan_holds_no_secret_and_says_where_one_is_missing() {
    let server = Server::answering(OK);
    let folder = secret_plan(&server.url("/"), "");
    let finished = bench(&["--plan", &folder.plan(), "--print-plan"]);
    finished.assert_code(0);
    kept(&finished);
    let text = &finished.stdout;
    for (line, file) in [
        (format!("url = [\"{}\"]", server.url("/").replace("http://", "http://***@")), ""),
        (format!("header = [\"Authorization: ***\", \"@{}\"]", folder.path("h.txt")), ", or @FILE with it"),
        ("body = \"***\"".to_owned(), ", or @FILE with it"),
    ] {
        let both = format!("\n# A secret was left out: write it in the place of ***{file}\n{line}\n");
        assert!(text.contains(&both), "{both}: {text}");
    }
    // As it stands it is refused; with what is missing on the command line, and the header given anew, it runs.
    let printed = Folder::new(text);
    refused(&["--plan", &printed.plan()], &["placeholder ***"]);
    let secret = format!("Authorization: {SECRET}");
    measure(&["--plan", &printed.plan(), "-b", "x", "-H", &secret, &server.url("/")]).assert_ok(2);
}

#[test]
fn the_report_shows_the_command_line_as_typed() {
    let server = Server::answering(OK);
    let folder = Folder::new(format!("url = {:?}\nrequests = 1\n", server.url("/")));
    let plan = folder.plan();
    let (report, _) = measured(&["--plan", &plan]);
    let argv: Vec<_> = report.list("argv").iter().skip(1).filter_map(|argument| argument.as_str()).collect();
    assert_eq!(argv, ["bench", "--format", "json", "--plan", &plan]);
    assert!(Path::new(&plan).is_absolute());
}
