//! What is asked for, in which order, and by which of several processes: `-i` with JSON Lines, `--order`, weights, `--shard`.

use std::collections::{HashMap, HashSet};

use crate::support::{OK, Report, Server, bench, file, measure};

/// A line of JSON for `path` of `server`, with more keys.
fn line(server: &Server, path: &str, more: &str) -> String {
    format!("{{\"url\":\"{}\"{more}}}\n", server.url(path))
}

fn counted(paths: Vec<String>) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    paths.into_iter().for_each(|path| *counts.entry(path).or_default() += 1);
    counts
}

#[test]
fn json_lines_have_methods_headers_and_bodies_of_their_own() {
    let server = Server::answering(OK);
    let lines = [
        line(&server, "/a", r#","tag":"first""#),
        line(&server, "/b", r#","method":"PUT","header":{"X-All":["own"],"x-B":["1","2"]},"body":"aGk=""#),
        "\r\n".to_owned(),
        line(&server, "/c", r#","method":"DELETE","body":"","header":{"Accept":[]}"#),
        line(&server, "/d", r#","body":"aG8=""#),
    ];
    let (_folder, path) = file(format!("\u{feff}{}", lines.concat()));
    let args = ["-i", &path, "--once", "-c", "1", "-t", "1", "-H", "X-All: all", "-b", "plan"];
    measure(&args).assert_ok(4);
    let requests = server.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| {
            (request.line.strip_suffix(" HTTP/1.1").expect("a request"), String::from_utf8_lossy(&request.body))
        })
        .collect();
    assert_eq!(seen.iter().map(|(line, _)| *line).collect::<Vec<_>>(), ["POST /a", "PUT /b", "DELETE /c", "POST /d"]);
    assert_eq!(seen.iter().map(|(_, body)| &**body).collect::<Vec<_>>(), ["plan", "hi", "", "ho"]);
    let has = |at: usize, header: &str| requests[at].headers.iter().any(|other| other == header);
    assert!(has(0, "X-All: all") && has(0, "Content-Length: 4") && has(0, "Accept: */*"));
    assert!(has(1, "X-All: own") && !has(1, "X-All: all") && has(1, "x-B: 1") && has(1, "x-B: 2"));
    assert!(has(1, "Content-Length: 2") && has(2, "Content-Length: 0") && !has(2, "Accept: */*"));
}

#[test]
fn bodies_of_lines_may_be_large_and_small_in_turn() {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let server = Server::answering(OK);
    let bodies: Vec<Vec<u8>> =
        [10, 16 * 1024, 16 * 1024 + 1, 0, 300_000].into_iter().map(|n| vec![b'a' + (n % 26) as u8; n]).collect();
    let encoded = bodies.iter().map(|body| BASE64_STANDARD.encode(body));
    let lines: String = encoded.map(|body| line(&server, "/", &format!(r#","body":"{body}""#))).collect();
    let (_folder, path) = file(lines);
    measure(&["-i", &path, "-n", "10", "-c", "1", "-t", "1"]).assert_ok(10);
    let seen: Vec<_> = server.requests().into_iter().map(|request| request.body).collect();
    assert!(seen[..5] == bodies && seen[5..] == bodies);
}

#[test]
fn a_bad_line_of_json_is_refused_by_number_and_nothing_is_sent() {
    let server = Server::answering(OK);
    for (more, part) in [
        (r#","headers":{}"#, "unknown key \"headers\""),
        (r#","body":"hush-4711!""#, "no base64"),
        (r#","header":{"Cookie":["hush-4711\r\nX: y"]}"#, "must not hold"),
        (r#","header":{"Cookie":"hush-4711"}"#, "an object of lists"),
        (r#","weight":0"#, "1 or more"),
    ] {
        let (_folder, path) = file(format!("{}{}", line(&server, "/", ""), line(&server, "/", more)));
        let finished = bench(&["-i", &path, "-n", "1"]);
        finished.assert_code(2);
        assert!(finished.stderr.contains(&format!("{path} line 2")), "{}", finished.stderr);
        assert!(finished.stderr.contains(part) && !finished.stderr.contains("hush"), "{}", finished.stderr);
    }
    assert_eq!(server.accepted(), 0);
}

#[test]
fn headers_and_bodies_of_lines_are_in_no_report() {
    let server = Server::answering(OK);
    let more = r#","header":{"Authorization":["hush-4711"],"X-Plain":["hush-4711"]},"body":"aHVzaC00NzEx""#;
    let (_folder, path) = file(line(&server, "/", more));
    for format in ["text", "json"] {
        let finished = bench(&["-i", &path, "-n", "1", "-c", "1", "--format", format]);
        finished.assert_code(0);
        let all = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!all.contains("hush") && !all.contains("aHVzaC00NzEx"), "{all}");
    }
    assert!(server.requests().iter().all(|request| request.body == b"hush-4711"), "it was sent");
}

#[test]
fn a_shuffle_is_one_order_that_the_seed_decides_and_that_is_walked_over_and_over() {
    let order = |seed: &str| {
        let server = Server::answering(OK);
        let urls: String = (0..20).map(|i| format!("{}\n", server.url(&format!("/{i}")))).collect();
        let (_folder, urls) = file(urls);
        let report = measure(&["-i", &urls, "--order", "shuffle", "--seed", seed, "-n", "40", "-c", "1", "-t", "1"]);
        report.assert_ok(40);
        assert_eq!(
            (report.at("plan.order").as_str(), report.number("plan.seed").to_string().as_str()),
            (Some("shuffle"), seed)
        );
        let paths = server.paths();
        assert_eq!(paths[..20], paths[20..]);
        assert_eq!(paths[..20].iter().collect::<HashSet<_>>().len(), 20);
        paths
    };
    let first = order("1");
    assert_eq!(first, order("1"));
    assert_ne!(first, order("2"));
    assert_ne!(first[0..20], (0..20).map(|i| format!("/{i}")).collect::<Vec<_>>());
}

#[test]
fn random_and_weights_draw_lines_and_the_seed_decides_which() {
    let draw = |seed: &str, weights: bool| {
        let server = Server::answering(OK);
        let weight = |i: u32| if weights && i == 3 { r#","weight":70"# } else { "" };
        let lines: String = (0..11).map(|i| line(&server, &format!("/{i}"), weight(i))).collect();
        let (_folder, path) = file(lines);
        let order: &[&str] = if weights { &[] } else { &["--order", "random"] };
        let args = ["-i", &path, "--seed", seed, "-n", "800", "-c", "1", "-t", "1"];
        let report = measure(&[&args[..], order].concat());
        report.assert_ok(800);
        assert_eq!(report.at("plan.order"), "random");
        assert_eq!(report.at("plan.weighted"), weights);
        server.paths()
    };
    let even = draw("5", false);
    assert_eq!(even, draw("5", false));
    assert_ne!(even, draw("6", false));
    let counts = counted(even);
    assert!(counts.len() == 11 && counts.values().all(|n| (40..110).contains(n)), "{counts:?}");
    // 70 of 80: 700 expected, with a deviation of 9.
    let counts = counted(draw("5", true));
    assert!((650..750).contains(&counts["/3"]), "{counts:?}");
}

#[test]
fn two_processes_send_what_one_sends() {
    for (order, threads) in [("seq", "1"), ("shuffle", "1"), ("seq", "2")] {
        if threads == "2" && std::thread::available_parallelism().map_or(1, std::num::NonZero::get) < 2 {
            continue;
        }
        let server = Server::answering(OK);
        let urls: String = (0..101).map(|i| format!("{}\n", server.url(&format!("/{i}")))).collect();
        let (_folder, urls) = file(urls);
        let run = |shard: &str| -> (Report, Vec<String>) {
            let before = server.requests().len();
            let args = ["-i", &urls, "--once", "--order", order, "-c", "5", "-t", threads, "--shard", shard];
            let report = measure(&args);
            (report, server.paths().split_off(before))
        };
        let ((first, of_first), (second, of_second)) = (run("1/2"), run("2/2"));
        first.assert_ok(51);
        second.assert_ok(50);
        let union = counted([of_first, of_second].concat());
        assert!(union.len() == 101 && union.values().all(|&n| n == 1), "{union:?}");
        for (report, index) in [(&first, 0), (&second, 1)] {
            assert_eq!((report.number("run.shard_index"), report.number("run.shard_count")), (index, 2));
            assert_eq!((report.number("plan.shard.index"), report.number("plan.shard.requests")), (index, 101));
            assert_eq!((report.number("plan.connections"), report.number("plan.shard.connections")), (3 - index, 5));
        }
        assert_eq!(first.at("config_digest"), second.at("config_digest"));
    }
}

#[test]
fn random_weights_and_parts_that_make_no_sense_are_refused() {
    let server = Server::answering(OK);
    let (_folder, weighted) = file(line(&server, "/", r#","weight":2"#));
    let url = server.url("/");
    for (args, part) in [
        (&["--once", "--order", "random", &url][..], "--order shuffle"),
        (&["--once", "-i", &weighted], "weights"),
        (&["--order", "seq", "-i", &weighted], "weights"),
        (&["--shard", "0/2", &url], "from 1 to N"),
        (&["--shard", "3/2", &url], "from 1 to N"),
        (&["--shard", "1/2", "-n", "1", &url], "lower N"),
        (&["--shard", "1/2", "-c", "1", &url], "raise -c"),
    ] {
        let finished = bench(args);
        finished.assert_code(2);
        assert!(finished.stderr.contains(part), "{part:?} is missing in: {}", finished.stderr);
    }
    assert_eq!(server.accepted(), 0);
}
