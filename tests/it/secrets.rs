//! Secrets stay secret: not in the text, not in the JSON, not on standard error, whatever becomes of the run.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::support::program::command;
use crate::support::{OK, Program, Server, TargetProgram, bench, dead_port, file, ringload};

const SECRET: &str = "hush-4711";

/// The secret is in no output of a run with these arguments, whatever it exits with: neither stream, no report in either
/// format, on standard output or in a file.
#[track_caller]
fn kept(args: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let [text, json] = ["report.txt", "report.json"].map(|name| folder.path().join(name));
    let [text_path, json_path] = [&text, &json].map(|path| path.to_str().expect("a path in UTF-8"));
    let common = ["-n", "2", "-c", "1"];
    let bundle = folder.path().join("bundle");
    let bundle_path = bundle.to_str().expect("a path in UTF-8");
    let files = bench(&[&common, &["-o", text_path, "-o", json_path, "--bundle", bundle_path][..], args].concat());
    let stream = bench(&[&common, &["--format", "json"][..], args].concat());
    let bundled = std::fs::read_dir(bundle).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let saved: String =
        bundled.chain([text, json]).map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect();
    let streams = [files.stdout, files.stderr, stream.stdout, stream.stderr].concat();
    hidden(&format!("{streams}{saved}"));
}

#[track_caller]
fn hidden(output: &str) {
    assert!(!output.is_empty());
    assert!(!output.contains(SECRET), "{output}");
    // Base64 of it, in a body and as in Basic authorization (of a proxy too).
    for coded in ["aHVzaC00NzEx", "bWU6aHVzaC00NzEx"] {
        assert!(!output.contains(coded), "{output}");
    }
}

/// Kept where the run succeeds, where it fails, and where it cannot even start.
#[track_caller]
fn kept_always(options: &[&str]) {
    let good = Server::answering(OK);
    let bad = Server::answering(*b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    kept(&[options, &[&good.url("/")]].concat());
    assert!(good.requests().iter().any(sent_it), "it was sent");
    kept(&[options, &[&bad.url("/")]].concat());
    kept(&[options, &[&format!("http://127.0.0.1:{}/", dead_port())]].concat());
    kept(&[options, &["ftp://127.0.0.1/"]].concat());
}

fn sent_it(request: &crate::support::server::Request) -> bool {
    let headers = request.headers.join("\n");
    headers.contains(SECRET)
        || headers.contains("Authorization: Basic bWU6aHVzaC00NzEx")
        || String::from_utf8_lossy(&request.body).contains(SECRET)
}

#[test]
fn secret_headers_are_masked() {
    for name in ["Authorization", "proxy-authorization", "Cookie", "Set-Cookie", "X-API-Key"] {
        kept_always(&["-H", &format!("{name}: {SECRET}")]);
        kept_always(&[&format!("-H{name}: {SECRET}")]);
        kept_always(&[&format!("--header={name}: {SECRET}")]);
    }
}

#[test]
fn headers_from_a_file_are_masked() {
    let (_folder, path) = file(format!("X-Plain: {SECRET}\n"));
    kept_always(&["-H", &format!("@{path}")]);
}

#[test]
fn a_bad_line_of_a_header_file_is_not_quoted() {
    let server = Server::answering(OK);
    for line in [SECRET.to_owned(), format!("{SECRET} x: y"), format!("X-A{SECRET}\u{1}: y")] {
        let (_folder, path) = file(line);
        kept(&["-H", &format!("@{path}"), &server.url("/")]);
    }
    assert_eq!(server.accepted(), 0);
}

#[test]
fn credentials_are_masked() {
    let login = format!("me:{SECRET}");
    kept_always(&["-u", &login]);
    kept_always(&[&format!("-u{login}")]);
    kept_always(&[&format!("--user={login}")]);
    kept_always(&["-kqu", &login]);
    kept_always(&["--bearer", SECRET]);
    kept_always(&[&format!("--bearer={SECRET}")]);
}

#[test]
fn credentials_from_files_and_variables_are_masked_and_their_places_are_not() {
    let login = format!("me:{SECRET}");
    for (option, content) in [("--user", login.as_str()), ("--bearer", SECRET)] {
        let (_folder, path) = file(format!("{content}\r\nmore\n"));
        kept_always(&[option, &format!("@{path}")]);
        let server = Server::answering(OK);
        for args in [&["--format", "json"][..], &["--print-plan"]] {
            let mut command = command(&[&["bench", "-n", "1", option, "env:SECRET", &server.url("/")], args].concat());
            let finished = Program::spawn(command.env("SECRET", content)).finish();
            finished.assert_code(0);
            hidden(&format!("{}{}", finished.stdout, finished.stderr));
            assert!(finished.stdout.contains("env:SECRET"), "{}", finished.stdout);
        }
        assert!(server.requests().iter().all(sent_it) && server.requests().len() == 1);
    }
}

#[test]
fn bad_credentials_are_not_quoted() {
    let (_folder, no_token) = file(format!("{SECRET} more"));
    let (_folder, no_text) = file([SECRET.as_bytes(), b":\xff"].concat());
    for (option, typed, said) in [
        ("-u", SECRET, "-u: has no colon"),
        ("-u", &format!("{SECRET}:\u{1}"), "-u: holds a control character"),
        ("--bearer", &format!("{SECRET} more"), "--bearer: is no token"),
        ("--bearer", &format!("@{no_token}"), "--bearer: is no token"),
        ("-u", &format!("@{no_text}"), "is not text"),
        ("-u", "@/no/such/file", "-u @/no/such/file: cannot read it"),
        ("--bearer", "env:NO_SUCH_VARIABLE", "--bearer env:NO_SUCH_VARIABLE: this variable is not set"),
    ] {
        let finished = bench(&[option, typed, "http://127.0.0.1/"]);
        finished.assert_code(2);
        hidden(&finished.stderr);
        assert!(finished.stderr.contains(said), "{}", finished.stderr);
    }
    let both = bench(&["-u", &format!("me:{SECRET}"), "--bearer", SECRET, "http://127.0.0.1/"]);
    both.assert_code(2);
    hidden(&both.stderr);
    assert!(both.stderr.contains("--bearer: does not go with -u"), "{}", both.stderr);
}

#[test]
fn credentials_in_plans_are_neither_printed_nor_quoted() {
    let server = Server::answering(OK);
    let login = format!("me:{SECRET}");
    for (option, typed) in [("--user", login.as_str()), ("--bearer", SECRET)] {
        let printed = bench(&[option, typed, "--print-plan", &server.url("/")]);
        printed.assert_code(0);
        hidden(&printed.stdout);
        let key = option.trim_start_matches('-');
        assert!(printed.stdout.contains(&format!("{key} = \"***\"")), "{}", printed.stdout);
        let (_folder, path) = file(&printed.stdout);
        let refused = bench(&["--plan", &path]);
        refused.assert_code(2);
        assert!(refused.stderr.contains(&format!("{key}: still has the placeholder ***")), "{}", refused.stderr);
        for content in [format!("{key} = \"{typed}\""), format!("{key} = [\"{typed}\"]"), format!("{key} = \"{typed}")]
        {
            let (_folder, path) = file(content);
            kept(&["--plan", &path, &server.url("/")]);
            // A typed one of either kind takes the place of the file's.
            kept(&["--plan", &path, "--bearer", "other", &server.url("/")]);
        }
    }
    let requests = server.requests();
    let sent = |text: &str| requests.iter().filter(|request| request.headers.join("\n").contains(text)).count();
    assert_eq!((sent("Basic bWU6aHVzaC00NzEx"), sent(SECRET), sent("Bearer other")), (4, 4, 8));
}

#[test]
fn bodies_are_masked() {
    kept_always(&["-b", SECRET]);
    kept_always(&[&format!("-b{SECRET}")]);
    kept_always(&[&format!("--body={SECRET}")]);
}

#[test]
fn bodies_from_files_are_masked() {
    let (_folder, path) = file(SECRET);
    kept_always(&["-b", &format!("@{path}")]);
}

#[test]
fn secrets_of_json_lines_are_masked_whether_a_line_is_good_or_bad() {
    let server = Server::answering(OK);
    let url = |host: &str| format!("\"url\":\"http://{host}/\"");
    let good = url(&server.addr().to_string());
    let with_userinfo = |host: &str| url(&format!("me:{SECRET}@{host}"));
    let mut contents = Vec::new();
    for name in ["Authorization", "proxy-authorization", "Cookie", "Set-Cookie", "X-API-Key"] {
        contents.push(format!("{{{good},\"header\":{{\"{name}\":[\"{SECRET}\"]}}}}"));
        contents.push(format!("{{{good},\"header\":{{\"{name}\":[\"{SECRET}\\r\\n\"]}}}}"));
        contents.push(format!("{{{good},\"header\":{{\"{name}\":\"{SECRET}\"}}}}"));
    }
    contents.push(format!("{{{good},\"body\":\"aHVzaC00NzEx\"}}"));
    contents.push(format!("{{{good},\"body\":\"aHVzaC00NzEx*\"}}"));
    contents.push(format!("{{{good},\"body\":\"{SECRET}\",\"body\":1}}"));
    let dead = format!("127.0.0.1:{}", dead_port());
    for host in [&server.addr().to_string(), &dead, "ho<st", "127.0.0.1:x", "no-such-host.invalid", "a b"] {
        contents.push(format!("{{{}}}", with_userinfo(host)));
    }
    contents.push(format!("{{{}", with_userinfo("127.0.0.1")));
    for content in contents {
        let (_folder, path) = file(content);
        kept(&["-i", &path]);
    }
    let requests = server.requests();
    assert!(requests.iter().filter(|request| sent_it(request)).count() >= 12, "headers and bodies were sent");
}

#[test]
fn a_bad_header_with_a_secret_name_is_not_quoted() {
    for line in ["Authorization", "Authorization : ", "X-Api-Key;", "Cookie: \n", "Authorization Bearer "] {
        kept(&["-H", &format!("{line}{SECRET}"), "http://127.0.0.1/"]);
    }
}

#[test]
fn credentials_of_a_url_in_the_wrong_place_are_not_quoted() {
    let url = format!("http://me:{SECRET}@127.0.0.1/");
    let places =
        ["-c", "-d", "-n", "-R", "-t", "-X", "-i", "-o", "--arrivals", "--cores", "--shard", "--warmup", "--seed"];
    let more = [
        "--stages",
        "--speed",
        "--catch-up",
        "--order",
        "--timeout",
        "--requests-per-connection",
        "--drain",
        "--max-error-rate",
        "--abort-on",
        "--format",
        "--keep-alive",
        "--no-such",
        "--noproxy",
        "--hgrm",
        "--hlog",
        "--csv",
        "--bundle",
        "--describe",
    ];
    for option in places.into_iter().chain(more) {
        for args in [&["bench", option, &url, "http://127.0.0.1/"][..], &["bench", &format!("{option}={url}")]] {
            let finished = ringload(args);
            finished.assert_code(2);
            hidden(&format!("{}{}", finished.stdout, finished.stderr));
        }
    }
    for args in
        [&[&*url][..], &["target", &url], &["target", "--listen", &url], &["target", "--for", &url], &["help", &url]]
    {
        let finished = ringload(args);
        finished.assert_code(2);
        hidden(&format!("{}{}", finished.stdout, finished.stderr));
    }
}

#[test]
fn the_embedded_target_tells_nobody_what_it_was_sent() {
    let target = TargetProgram::start();
    let url = format!("{}/echo", target.url.replace("http://", &format!("http://me:{SECRET}@")));
    kept(&["-H", &format!("Cookie: {SECRET}"), "-b", SECRET, &url]);
    let address = target.url.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).expect("a connection");
    stream.write_all(b"GET /stats HTTP/1.0\r\n\r\n").expect("it takes a request");
    let mut stats = String::new();
    stream.read_to_string(&mut stats).expect("text");
    assert!(stats.contains("/echo"), "{stats}");
    hidden(&stats);
    target.signal(Signal::TERM);
    let finished = target.finish();
    hidden(&format!("{}{}", finished.stdout, finished.stderr));
}

#[test]
fn a_server_s_bytes_do_not_reach_a_terminal() {
    let hostile = "\u{1b}[2J\u{9b}31m\u{202e}\u{7}\u{8}".as_bytes();
    for parts in [
        [&b"HTTP/1.1 200 "[..], hostile, b"\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 500 No\r\nX-A: ", hostile, b"\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: ", hostile, b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: ", hostile, b"\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nLocation: ", hostile, b"\r\nTransfer-Encoding: chunked\r\n\r\n\x1b"],
        [b"", hostile, b"\r\n\r\n"],
    ] {
        let server = Server::answering(parts.concat());
        for format in ["text", "json"] {
            let finished = bench(&["-n", "2", "-c", "1", "--timeout", "1s", "--format", format, &server.url("/")]);
            let steers = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!finished.stdout.contains(steers) && !finished.stderr.contains(steers), "{finished:?}");
        }
    }
}

#[test]
fn credentials_in_urls_are_masked() {
    let server = Server::answering(OK);
    let url = |host: &str| format!("http://me:{SECRET}@{host}/path");
    kept(&[&url(&server.addr().to_string())]);
    assert!(server.requests()[0].headers.iter().any(|header| header.starts_with("Authorization: Basic ")));
    kept(&[&url(&format!("127.0.0.1:{}", dead_port()))]);
    for bad in ["ho<st", "127.0.0.1:99999", "127.0.0.1:", "no-such-host.invalid", "[::1", ""] {
        kept(&["--connect-timeout", "5s", &url(bad)]);
    }
    kept(&[&format!("ftp://me:{SECRET}@127.0.0.1/")]);
    kept(&[&format!("me:{SECRET}@127.0.0.1/")]);
    kept(&[&format!("me:{SECRET}@127.0.0.1/?u=http://x")]);
    kept(&[&format!("http://me:{SECRET}/x@127.0.0.1/")]);
    kept(&[&format!("http://me:{SECRET}@127.0.0.1/a b")]);
}

#[test]
fn credentials_in_input_files_are_masked() {
    let server = Server::answering(OK);
    let (_folder, path) = file(format!("http://me:{SECRET}@{}/\n", server.addr()));
    kept(&["-i", &path]);
    let dead = format!("127.0.0.1:{}/", dead_port());
    for bad in ["ho<st/", "127.0.0.1:99999/", "127.0.0.1/a b", "no-such-host.invalid/", &dead] {
        for line in
            ["http://me:S@H", "POST http://me:S@H", "\"http://me:S@H\"", "me:S@H", "me:S@H?u=http://x", "ftp://me:S@H"]
        {
            let (_folder, path) = file(line.replace('S', SECRET).replace('H', bad));
            kept(&["-i", &path]);
        }
    }
}

/// Kept by runs through this proxy to both kinds of origins, and in the printed plan.
#[track_caller]
fn kept_through(proxy: &[&str]) {
    for url in ["http://127.0.0.1:1/", "https://127.0.0.1:1/"] {
        let args = [proxy, &["--connect-timeout", "200ms", "--start-anyway", url]].concat();
        kept(&args);
        let printed = ringload(&[&["bench", "--print-plan"], &args[..]].concat());
        hidden(&format!("{}{}", printed.stdout, printed.stderr));
    }
}

#[test]
fn credentials_of_proxies_are_masked_however_they_are_typed() {
    let server = Server::answering(OK);
    let url = format!("http://me:{SECRET}@{}", server.addr());
    let (_folder, path) = file(&url);
    kept_through(&["--proxy", &url]);
    kept_through(&[&format!("--proxy={url}")]);
    kept_through(&[&format!("-x{url}")]);
    kept_through(&["-kx", &url["http://".len()..]]);
    kept_through(&["-x", &format!("@{path}")]);
    let told = |request: &crate::support::server::Request| {
        request.headers.iter().any(|header| header == "Proxy-Authorization: Basic bWU6aHVzaC00NzEx")
    };
    assert!(server.requests().iter().filter(|request| told(request)).count() >= 5 * 4 + 5 * 4, "it was sent each time");
}

#[test]
fn credentials_of_proxies_are_masked_whatever_becomes_of_them() {
    let denying = Server::answering(*b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic x\r\nContent-Length: 0\r\n\r\n");
    let dead = format!("127.0.0.1:{}", dead_port());
    for place in [denying.addr().to_string().as_str(), &dead, "ho<st", "host/x", "host:0", "a b", ""] {
        kept_through(&["-x", &format!("http://me:{SECRET}@{place}")]);
        kept_through(&["-x", &format!("me:{SECRET}/@{place}")]);
    }
    kept_through(&["-x", &format!("https://me:{SECRET}@{dead}")]);
    kept_through(&["-x", &format!("socks5h://me:{SECRET}@{}", denying.addr())]);
    kept_through(&["-x", &format!("ftp://me:{SECRET}@{dead}")]);
}

#[test]
fn credentials_of_the_environment_s_proxies_are_masked() {
    let denying = Server::answering(*b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    for place in [denying.addr().to_string(), format!("127.0.0.1:{}", dead_port()), "ho<st".to_owned()] {
        let url = format!("http://me:{SECRET}@{place}");
        for args in [&["--proxy-from-env"][..], &["--proxy", "env:all_proxy"]] {
            let all = [&["bench", "-n", "2", "-c", "1", "--format", "json"], args, &["http://127.0.0.1:1/"]].concat();
            let finished = Program::spawn(command(&all).env("all_proxy", &url)).finish();
            hidden(&format!("{}{}", finished.stdout, finished.stderr));
        }
    }
}

#[test]
fn what_is_no_secret_is_shown() {
    let server = Server::answering(OK);
    let finished = bench(&["-n", "1", "-H", "X-Plain: shown", "--format", "json", &server.url("/")]);
    finished.assert_code(0);
    assert!(finished.stdout.contains("X-Plain: shown"));
}
