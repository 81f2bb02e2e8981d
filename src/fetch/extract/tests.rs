//! Tests of questions to bodies.

use super::*;

fn extract(question: &str, body: &str) -> Result<Option<String>, Problem> {
    let found = Extract::parse(question).expect(question).run(body.as_bytes());
    found.map(|found| found.map(|value| value.get().to_owned()))
}

fn found(question: &str, body: &str) -> Option<String> {
    extract(question, body).expect(body)
}

#[test]
fn a_pointer_finds_what_rfc_6901_says() {
    let body = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"k\"l":6," ":7,"m~n":8,"deep":{"x":[{"y":null}]}}"#;
    for (pointer, value) in [
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", r#""bar""#),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
        ("/deep/x/0/y", "null"),
    ] {
        assert_eq!(found(pointer, body).as_deref(), Some(value), "{pointer}");
    }
    for pointer in ["/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/foo/x", "/nope", "/a~1b/x", "/deep/x/0/y/z", "/foo/0/0"]
    {
        assert_eq!(found(pointer, body), None, "{pointer}");
    }
}

#[test]
fn a_value_stands_on_one_line_with_its_numbers_as_they_were() {
    let body = "{\"a\": {\n \"b\" : [1.10, 2e5,\t\" x\\\" \\\\\" ],\r\n \"c\": 12345678901234567890123}}";
    let value = "{\"b\":[1.10,2e5,\" x\\\" \\\\\"],\"c\":12345678901234567890123}";
    assert_eq!(found("/a", body).as_deref(), Some(value));
    assert_eq!(found("/a", r#"{"a":1,"a":2}"#).as_deref(), Some("2"), "the last one counts");
}

#[test]
fn what_is_no_json_is_said_so_wherever_it_breaks() {
    for body in
        ["", "<html>", "{\"a\":1", "{\"a\":1}x", "{\"a\":1,}", "{a:1}", "{\"a\":1,\"b\":tru}", "{\"a\":\"\u{1}\"}"]
    {
        assert_eq!(extract("/a", body), Err(Problem::NotJson), "{body}");
    }
    assert_eq!(Extract::parse("/a").expect("a pointer").run(b"{\"a\":\"\xff\"}").map(|_| ()), Err(Problem::NotJson));
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = format!("{{\"x\":{}{},\"a\":1}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(found("/a", &deep).as_deref(), Some("1"), "beside the way, depth is no harm");
    let text = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes));
    assert!(found("/a", &text(EXTRACTED_BYTES_MAX - 2)).is_some());
    assert_eq!(extract("/a", &text(EXTRACTED_BYTES_MAX - 1)), Err(Problem::TooLarge));
    assert_eq!(extract("x+", &text(EXTRACTED_BYTES_MAX + 1)), Err(Problem::TooLarge));
}

#[test]
fn an_expression_finds_its_first_group_or_all_of_the_match() {
    for (pattern, value) in [
        ("<title>(.*?)</title>", Some(r#""A \"b\"""#)),
        ("t[a-z]+e", Some(r#""title""#)),
        ("(x)|A", Some(r#""A""#)),
        ("nothing", None),
        (r"(?-u)\xff", Some("\"\u{fffd}\"")),
    ] {
        let found = Extract::parse(pattern).expect(pattern).run(b"<title>A \"b\"</title>\xff").expect("text");
        assert_eq!(found.map(|found| found.get().to_owned()).as_deref(), value, "{pattern}");
    }
}

#[test]
fn a_question_without_sense_is_refused_with_a_remedy() {
    for (question, part) in [
        ("", "is empty"),
        ("/a~b", "~0"),
        ("(", "unclosed"),
        (&"/x".repeat(101), "deeper"),
        ("(a{999}){999}", "too large"),
    ] {
        let problem = Extract::parse(question).expect_err(question);
        assert!(problem.contains(part), "{question}: {problem}");
    }
    for (check, part) in [("/a", "no ="), ("a=1", "write /a")] {
        let problem = JsonCheck::parse(check).expect_err(check);
        assert!(problem.contains(part), "{check}: {problem}");
    }
}

#[test]
fn a_check_compares_values() {
    let body = br#"{"s":"ok","n":1.0,"big":18446744073709551615,"t":true,"z":null,"l":[1,{"a":2}]}"#;
    for (check, passes) in [
        ("/s=ok", true),
        ("/s=\"ok\"", true),
        ("/s=no", false),
        ("/n=1", true),
        ("/n=1.5", false),
        ("/n=\"1\"", false),
        ("/big=18446744073709551615", true),
        ("/big=18446744073709551614", false),
        ("/t=true", true),
        ("/z=null", true),
        ("/l=[1.0, {\"a\": 2}]", true),
        ("/l=[1]", false),
        ("/nope=null", false),
        ("/s=", false),
    ] {
        assert_eq!(JsonCheck::parse(check).expect(check).passes(body), Ok(passes), "{check}");
    }
    assert_eq!(JsonCheck::parse("/a=1").expect("a check").passes(b"<html>"), Err(Problem::NotJson));
}

#[test]
fn what_must_always_hold_holds_for_mutated_bodies() {
    let corpus: [&[u8]; 5] = [
        br#"{"a":[{"b":1.5e3},"x"],"a":{"0":null},"~x/":"\u00e9\n"}"#,
        br#"[{"a":1},[2,[3]]]"#,
        b"{\"a\": \t{\"0\" : \"x\\\\\\\"\"}\n}",
        b"\"a\": 17",
        b"{\"a\":18446744073709551616,\"0\":-0.0}",
    ];
    let telling: [&[u8]; 12] = [b"\"", b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\"a\":", b"\"0\":", b"\xff"];
    crate::mutation::run("bodies", &corpus, &telling, 4_000, fuzz_extract);
}
