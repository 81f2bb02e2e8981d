//! Verdicts over small answers, and what is said of those that fell short.

use super::*;
use crate::plan::raw::{RawExpect, RawExpectedBody};

fn expect(raw: RawExpect) -> Expect {
    Expect::new(&raw).expect("expectations that make sense")
}

fn pattern(text: &str) -> RawExpect {
    RawExpect { body: vec![RawExpectedBody::Pattern(text.into())], ..RawExpect::default() }
}

fn head(status: u16, raw: &[u8]) -> Head<'_> {
    Head { status, keep_alive: true, body: BodyLength::Chunked, raw }
}

/// The verdict, and what came instead.
fn judged(expect: &Expect, head: &Head<'_>, body: &[&[u8]]) -> (Result<(), Missed>, String) {
    let mut judge = Judge::default();
    judge.begin(expect, head, false, false);
    body.iter().for_each(|piece| judge.feed(expect, piece));
    let verdict = judge.finish(expect);
    (verdict, judge.came(expect, <[u8]>::to_vec))
}

#[test]
fn a_status_that_is_not_expected_shows_the_body() {
    let expect = expect(RawExpect { status: vec!["2xx,304".into()], ..RawExpect::default() });
    assert!(judged(&expect, &head(204, b""), &[]).0.is_ok());
    assert_eq!(judged(&expect, &head(503, b""), &[b"bu", b"sy"]), (Err(Missed::Status), "busy".to_owned()));
    assert_eq!(judged(&expect, &head(503, b""), &[]), (Err(Missed::Status), "no body".to_owned()));
    assert_eq!(Missed::Status.expected(&expect), "--expect-status 2xx,304");
}

#[test]
fn one_of_the_values_of_a_header_is_enough() {
    let raw = RawExpect { header: vec!["x-b".into(), "A: ^y$".into()], ..RawExpect::default() };
    let expect = expect(raw);
    let missed = |raw: &[u8]| judged(&expect, &head(200, raw), &[]);
    assert!(missed(b"HTTP/1.1 200 OK\r\nX-B:\r\na: x\r\nA: y\r\n\r\n").0.is_ok());
    assert_eq!(missed(b"HTTP/1.1 200 OK\r\nA: y\r\n\r\n"), (Err(Missed::Header(0)), "no header x-b".to_owned()));
    assert_eq!(missed(b"HTTP/1.1 200 OK\r\nX-B: 1\r\na: yy\r\n\r\n"), (Err(Missed::Header(1)), "A: yy".to_owned()));
}

#[test]
fn patterns_are_found_across_pieces_and_files_compared_to_their_end() {
    let found = expect(pattern("^to be.*question$"));
    assert!(judged(&found, &head(200, b""), &[b"to b", b"e: the ques", b"tion"]).0.is_ok());
    assert_eq!(judged(&found, &head(200, b""), &[b"to be"]).0, Err(Missed::Body(0)));
    let content = bytes::Bytes::from_static(b"hello");
    let body = vec![RawExpectedBody::File { name: "f".into(), content }];
    let equal = expect(RawExpect { body, ..RawExpect::default() });
    assert!(judged(&equal, &head(200, b""), &[b"hel", b"lo"]).0.is_ok());
    for body in [&[&b"hel"[..]][..], &[b"hello", b"!"], &[b"hallo"], &[]] {
        assert_eq!(judged(&equal, &head(200, b""), body).0, Err(Missed::Body(0)), "{body:?}");
    }
    assert_eq!(Missed::Body(0).expected(&equal), "--expect-body @f");
}

#[test]
fn a_body_that_is_too_large_is_known_at_once_and_not_kept() {
    let expect = expect(RawExpect { max_body: Some("4".into()), ..pattern("x") });
    let mut judge = Judge::default();
    judge.begin(&expect, &head(200, b""), false, false);
    judge.feed(&expect, b"abcd");
    assert!(!judge.is_too_large());
    judge.feed(&expect, &[b'x'; 5_000]);
    assert!(judge.is_too_large() && judge.kept.len() <= SHOWN_BYTES);
    let known = Head { body: BodyLength::Known(5), ..head(200, b"") };
    judge.begin(&expect, &known, false, false);
    assert!(judge.is_too_large(), "its length says so");
    judge.begin(&expect, &known, false, true);
    assert!(!judge.is_too_large(), "the length is that of the coded body");
}

#[test]
fn what_is_kept_for_a_pattern_is_counted_as_memory() {
    let expect = expect(pattern("x$"));
    let mut judge = Judge::default();
    judge.begin(&expect, &head(200, b""), false, false);
    judge.feed(&expect, &[b'x'; 100_000]);
    assert!(judge.memory() >= 100_000, "{}", judge.memory());
}

#[test]
fn an_answer_to_head_is_judged_by_its_head_alone() {
    let expect = expect(RawExpect { status: vec!["200".into()], ..pattern("x") });
    let mut judge = Judge::default();
    judge.begin(&expect, &head(200, b""), true, false);
    assert!(!judge.wants_body(&expect, BodyLength::None) && judge.finish(&expect).is_ok());
    judge.begin(&expect, &head(404, b""), true, false);
    assert_eq!(judge.finish(&expect), Err(Missed::Status));
}

#[test]
fn what_must_always_hold_holds_for_mutated_answers() {
    let corpus: [&[u8]; 6] = [
        b"\x07HTTP/1.1 200 OK\nA: bb\n\nall is ok",
        b"\x0eHTTP/1.1 200 OK\na: b\nA: c\n\nall is ok",
        b"\x1fA: b\n\nall is ok",
        b"\x14\n\nok and much more of it, so that it is more than 64 bytes and hence too much",
        b"\x80\n\n",
        b"\x01\n\nbody",
    ];
    let telling: [&[u8]; 6] = [b"ok", b"\n\n", b"A: b\n", b"all is ok", b"\xff", b"A:"];
    crate::mutation::run("expect", &corpus, &telling, 5_000, fuzz_expect);
}
