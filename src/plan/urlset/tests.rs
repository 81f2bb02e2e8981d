//! URL sets from files: what is read, what is shared, what it costs, what is refused.

use super::*;

fn read(content: &[u8]) -> Result<UrlSet, PlanError> {
    let common = Common { keep_alive: true, ..Common::default() };
    let mut builder = Builder::new(&common, "GET");
    builder.push_file("urls.txt", content)?;
    Ok(builder.finish())
}

#[test]
fn a_file_gives_one_entry_a_line() {
    let set = read(b"\xef\xbb\xbfhttp://a/1\r\n# comment\n\nPOST http://a/2\n\tDELETE\thttp://b:81/3?x \nhttp://a/4")
        .expect("lines");
    let lines: Vec<_> = (0..set.len()).map(|line| format!("{} {}", set.template(line).method, set.url(line))).collect();
    assert_eq!(lines, ["GET http://a/1", "POST http://a/2", "DELETE http://b:81/3?x", "GET http://a/4"]);
    assert_eq!(set.origins().len(), 2);
    assert_eq!(set.templates.len(), 3, "lines of one site and method share a template");
}

#[test]
fn a_line_that_is_no_url_is_named_by_number() {
    for (content, line, part) in [
        (&b"http://a/\n\nnonsense\n"[..], "line 3", "without a scheme"),
        (b"http://a/x y", "line 1", "percent-encode"),
        (b"G@T http://a/", "line 1", "no method"),
        (b"http://a/\n\xff\xfe\x00", "line 2", "not text"),
        (b"http://a/\0", "line 1", "percent-encode"),
    ] {
        let error = read(content).expect_err(part);
        assert!(error.subject.ends_with(line) && error.problem.contains(part), "{error}");
    }
}

#[test]
fn an_empty_file_is_refused() {
    for content in [&b""[..], b"\n\n", b"# only a comment\n", b"\xef\xbb\xbf"] {
        assert!(read(content).expect_err("no URL").problem.contains("holds no URL"));
    }
}

#[test]
fn json_lines_share_what_is_equal() {
    let set = read(
        b"\xef\xbb\xbf\r\n {\"url\":\"http://a/1\"}\r\n\n\
          {\"method\":\"PUT\",\"url\":\"http://a/2\",\"header\":{\"A\":[\"b\"]},\"body\":\"aGk=\"}\n\
          {\"method\":\"PUT\",\"url\":\"http://a/3\",\"header\":{\"A\":[\"b\"]},\"body\":\"aG8=\"}\n\
          {\"method\":\"PUT\",\"url\":\"http://a/4\",\"header\":{\"A\":[\"c\"]},\"body\":\"aGk=\"}\n\
          {\"url\":\"http://a/5\"}",
    )
    .expect("lines");
    let bodies: Vec<_> = (0..5).map(|line| set.body(line)).collect();
    assert_eq!(bodies, [None, Some(&b"hi"[..]), Some(b"ho"), Some(b"hi"), None]);
    assert_eq!((set.bodies().count(), set.templates.len()), (2, 3));
    assert_eq!((set.entries[1].template, set.entries[0].template), (set.entries[2].template, set.entries[4].template));
    assert_eq!(set.shared_body(3).as_deref(), Some(&b"hi"[..]));
    assert!(set.template(3).header_lines.ends_with("A: c\r\n") && set.weights().is_none());
}

#[test]
fn a_bad_line_of_json_is_named_by_number_and_goes_through_the_same_checks() {
    for (line, part) in [
        (&br#"{"url":"http://a/","colour":1}"#[..], "unknown key"),
        (br#"{"url":"ftp://a/"}"#, "unknown scheme"),
        (br#"{"url":"http://a/x y"}"#, "percent-encode"),
        (br#"{"url":"http://a/\u0000"}"#, "percent-encode"),
        (br#"{"url":"http://a/","method":"G T"}"#, "no method"),
        (br#"{"url":"http://a/","method":"CONNECT"}"#, "tunnel"),
        (br#"{"url":"http://a/","header":{"A":["b\r\nC: d"]}}"#, "must not hold"),
        (b"http://a/", "no JSON"),
    ] {
        let content = [b"{\"url\":\"http://a/\"}\n\n", line].concat();
        let error = read(&content).expect_err(part);
        assert!(error.subject.ends_with("line 3") && error.problem.contains(part), "{error}");
    }
}

#[test]
fn an_entry_says_what_it_was_given_up_to_its_limits() {
    for target in [0..0, 5..9, 0..(1 << LEN_BITS) - 1, u32::MAX as usize..1 << 32, (1 << 40) - 1..1 << 40] {
        let entry = Entry::new(target.clone(), 7).expect("it fits");
        assert_eq!((entry.target(), entry.template), (target, 7));
    }
    assert!(Entry::new(0..1 << LEN_BITS, 0).is_none() && Entry::new(1 << START_BITS..1 << START_BITS, 0).is_none());
}

#[test]
fn a_plain_line_costs_12_bytes_beside_its_text() {
    let lines: String = (0..10_000).map(|line| format!("http://127.0.0.1/{line}\n")).collect();
    let set = read(lines.as_bytes()).expect("lines");
    assert_eq!(set.memory() - set.text.len(), 12 * 10_000);
    let weighted: String = (0..10_000).map(|n| format!("{{\"url\":\"http://a/{n}\",\"weight\":2}}\n")).collect();
    let set = read(weighted.as_bytes()).expect("lines");
    assert_eq!(set.memory() - set.text.len(), 20 * 10_000);
    let with_bodies: String = (0..10_000).map(|n| format!("{{\"url\":\"http://a/\",\"body\":\"{n:08}\"}}\n")).collect();
    let set = read(with_bodies.as_bytes()).expect("lines");
    assert_eq!(set.memory() - set.text.len() - set.bodies().map(<[u8]>::len).sum::<usize>(), 24 * 10_000);
}

#[test]
fn headers_are_those_of_each_line_whatever_the_line_before_had() {
    let set = read(
        b"{\"url\":\"http://a/\",\"header\":{\"A\":[\"b\"]}}\n{\"url\":\"http://a/\",\"header\":{\"A\":[\"b\"]}}\n\
          {\"url\":\"http://a/\"}\n{\"url\":\"http://a/\",\"header\":{\"A\":[]}}\n{\"url\":\"http://a/\",\"header\":{}}\n\
          {\"url\":\"http://a/\",\"header\":{ \"A\" : [\"b\"] }}\n",
    )
    .expect("lines");
    let own: Vec<_> = (0..set.len()).map(|line| &*set.template(line).own).collect();
    assert_eq!(own, ["A: b\n", "A: b\n", "", "A\n", "", "A: b\n"]);
    assert_eq!(set.templates.len(), 3, "however they are typed");
    for header in ["null", "[]", r#"{"A":"b"}"#, r#"{"A":["\ud800"]}"#] {
        let content = format!("{{\"url\":\"http://a/\"}}\n{{\"url\":\"http://a/\",\"header\":{header}}}");
        let error = read(content.as_bytes()).expect_err(header);
        let part = if header.contains("d800") { "no JSON (column" } else { "header must be an object of lists" };
        assert!(error.subject.ends_with("line 2") && error.problem.contains(part), "{error}");
    }
}
