//! Secrets stay secret: not in the text, not in the JSON, not on standard error, whatever becomes of the run.

use crate::support::{OK, Server, bench, dead_port, file};

const SECRET: &str = "hush-4711";

/// The secret is in no output of a run with these arguments, in either format and whatever it exits with.
#[track_caller]
fn kept(args: &[&str]) {
    for format in ["text", "json"] {
        let finished = bench(&[&["-n", "2", "-c", "1", "--format", format], args].concat());
        let all = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!all.contains(SECRET), "{all}");
        // Base64 of it, as in Basic authorization.
        assert!(!all.contains("aHVzaC00NzEx"), "{all}");
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
    headers.contains(SECRET) || String::from_utf8_lossy(&request.body).contains(SECRET)
}

#[test]
fn secret_headers_are_masked() {
    for name in ["Authorization", "proxy-authorization", "Cookie", "X-API-Key"] {
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
fn bodies_are_masked() {
    kept_always(&["-b", SECRET]);
    kept_always(&[&format!("-b{SECRET}")]);
    kept_always(&[&format!("--body={SECRET}")]);
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
    kept(&[&format!("http://me:{SECRET}@127.0.0.1/a b")]);
}

#[test]
fn credentials_in_input_files_are_masked() {
    let server = Server::answering(OK);
    let (_folder, path) = file(format!("http://me:{SECRET}@{}/\n", server.addr()));
    kept(&["-i", &path]);
    for bad in ["ho<st/", "127.0.0.1:99999/", "127.0.0.1/a b"] {
        let (_folder, path) = file(format!("http://me:{SECRET}@{bad}\n"));
        kept(&["-i", &path]);
    }
}

#[test]
fn what_is_no_secret_is_shown() {
    let server = Server::answering(OK);
    let finished = bench(&["-n", "1", "-H", "X-Plain: shown", "--format", "json", &server.url("/")]);
    finished.assert_code(0);
    assert!(finished.stdout.contains("X-Plain: shown"));
}
