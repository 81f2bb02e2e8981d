//! Tests of the output line.

use expect_test::{Expect, expect};

use super::*;

fn check(line: &Line<'_>, fields: Fields, expect: Expect) {
    let mut out = b"before\n".to_vec();
    line.write(fields, &mut out);
    expect.assert_eq(std::str::from_utf8(&out[7..]).expect("UTF-8"));
}

fn whole() -> Line<'static> {
    Line {
        line: 7,
        url: "HTTP://H.example/a",
        final_url: Some("http://h.example/b"),
        status: Some(200),
        ok: true,
        attempts: 2,
        retry_after: Some(Nanos(1_500_000_000)),
        started_unix: Some(Nanos(1_794_000_000_123_456_789)),
        response: Some(Nanos(2_012_345_999)),
        service: Some(Nanos(12_345_678)),
        first_byte: Some(Nanos(999)),
        bytes: Some(5),
        content_type: Some(b"text/plain"),
        file: Some("h.example/a@"),
        tag: Some("t"),
        sha256: Some([0xab; 32]),
        body: Some(Body::Base64(b"hello")),
        ..Line::default()
    }
}

#[test]
fn a_line_has_the_fields_of_the_contract_in_their_order() {
    check(
        &whole(),
        Fields::standard(),
        expect![[r#"
        {"line":7,"url":"HTTP://H.example/a","final_url":"http://h.example/b","status":200,"ok":true,"error":null,"attempts":2,"retry_after_s":1.5,"started_at":"2026-11-06T21:20:00.123Z","response_ms":2012.345,"service_ms":12.345,"first_byte_ms":0.0,"bytes":5,"content_type":"text/plain","file":"h.example/a@","tag":"t"}
    "#]],
    );
    let error = Some((Kind::HostDown, "it did not answer"));
    let none = Line { line: 1, url: "http://h/", error, ..Line::default() };
    check(
        &none,
        Fields::standard(),
        expect![[r#"
        {"line":1,"url":"http://h/","final_url":null,"status":null,"ok":false,"error":{"kind":"host_down","detail":"it did not answer"},"attempts":0,"retry_after_s":null,"started_at":null,"response_ms":null,"service_ms":null,"first_byte_ms":null,"bytes":null,"content_type":null,"file":null,"tag":null}
    "#]],
    );
}

#[test]
fn fields_are_chosen_by_name_and_the_line_is_always_there() {
    let fields = Fields::parse("status, url,body,sha256").expect("fields");
    check(
        &whole(),
        fields,
        expect![[r#"
        {"line":7,"url":"HTTP://H.example/a","status":200,"sha256":"abababababababababababababababababababababababababababababababab","body":"aGVsbG8="}
    "#]],
    );
    let problem = Fields::parse("url,\u{1b}statsu").expect_err("a typo");
    assert!(problem.starts_with(r#"there is no field "\u{1b}statsu"; there are line, url, final_url"#), "{problem}");
    assert!(Fields::parse("").is_err());
    assert!(Field::ALL.into_iter().all(|field| Fields::parse(field.name()).is_ok_and(|fields| fields.has(field))));
}

#[test]
fn what_a_server_sends_steers_no_terminal_and_breaks_no_line() {
    let hostile = "a\n\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\u{feff}\u{2028}é\u{1f600}\"";
    let line = Line { line: 1, body: Some(Body::Text(hostile.as_bytes())), ..Line::default() };
    check(
        &line,
        Fields::parse("body").expect("a field"),
        expect![[r#"
        {"line":1,"body":"a\n\u001b[2J\u009b31m\u202e\u007f\ufeff\u2028é😀\""}
    "#]],
    );
    let broken = Line { line: 1, body: Some(Body::Text(b"a\xffb")), ..Line::default() };
    check(
        &broken,
        Fields::parse("body").expect("a field"),
        expect![[r#"
        {"line":1,"body":"a�b"}
    "#]],
    );
}

#[test]
fn an_earlier_line_is_read_back() {
    let mut out = Vec::new();
    whole().write(Fields::standard(), &mut out);
    let expected = Written { line: 7, ok: Some(true), file: Some("h.example/a@".to_owned()) };
    assert_eq!(read(&out), Some(expected));
    assert_eq!(read(br#"{"line":3}"#), Some(Written { line: 3, ok: None, file: None }));
    for foreign in ["", "{", r#"{"url":"x"}"#, r#"{"line":0}"#, r#"{"line":"3"}"#, r#"{"line":3}{"#, "[3]", "3"] {
        assert_eq!(read(foreign.as_bytes()), None, "{foreign}");
    }
    for cut in 0..out.len() - 1 {
        assert_eq!(read(&out[..cut]), None, "a torn line is none");
    }
}

#[test]
fn kinds_are_the_failures_and_those_of_retrieval() {
    let names: Vec<_> = Kind::all().skip(Failure::ALL.len()).map(Kind::name).collect();
    assert_eq!(
        names,
        [
            "redirect",
            "robots",
            "robots_unreachable",
            "host_down",
            "json",
            "decode",
            "too_large",
            "interrupted",
            "input"
        ]
    );
    assert_eq!(Kind::all().next().map(Kind::name), Some("resolve"));
}

#[test]
fn what_must_always_hold_holds_for_mutated_answers() {
    let corpus: [&[u8]; 4] = [
        br#"{"line":7,"url":"u","ok":true,"file":"h/a"}"#,
        b"\x1b[2J\x00\x7f\r\n",
        "\u{9b}\u{202e}\u{2066}\u{feff}é".as_bytes(),
        br#"[[[[{"line":1e400,"line":2}]]]]"#,
    ];
    let telling: [&[u8]; 8] = [b"\"", b"\\", b"{", b"}", b"\n", b"\xff", b"\xc2\x9b", b"\"line\":"];
    crate::mutation::run("output_lines", &corpus, &telling, 4_000, fuzz_line);
}
