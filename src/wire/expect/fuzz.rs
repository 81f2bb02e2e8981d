//! The judge under arbitrary answers: what must hold for every input, in a form that a fuzzer and a test can call.

use bytes::Bytes;

use super::{Judge, Missed};
use crate::plan::Expect;
use crate::plan::raw::{RawExpect, RawExpectedBody};
use crate::wire::decode::{BodyLength, Head};

/// Bodies of the check are not larger.
const MAX_BODY: u64 = 64;

/// Checks what must hold for every answer, `bytes` being a byte that chooses the expectations, a head and, behind an empty
/// line, a body: the verdict does not depend on how the body is cut, it is the one that the whole body has, and no more is
/// kept of it than may be.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_expect(bytes: &[u8]) {
    let Some((&choice, rest)) = bytes.split_first() else { return };
    let at = memchr::memmem::find(rest, b"\n\n").unwrap_or(rest.len());
    let (raw, body) = (&rest[..at], &rest[(at + 2).min(rest.len())..]);
    let expect = expectations(choice);
    let head = Head { status: 200 + u16::from(choice), keep_alive: true, body: BodyLength::UntilClose, raw };
    let head_request = choice & 0x80 != 0;
    let whole = play(&expect, &head, head_request, body, body.len());
    for size in [1, 1 + bytes.len() % 7] {
        assert_eq!(play(&expect, &head, head_request, body, size), whole, "{}", bytes.escape_ascii());
    }
    let too_large = expect.max_body.is_some_and(|most| body.len() as u64 > most);
    assert_eq!(whole == Err(Missed::TooLarge), too_large, "{}", bytes.escape_ascii());
    if whole.is_ok() && !head_request && choice & 4 != 0 {
        assert!(memchr::memmem::find(body, b"ok").is_some(), "{}", bytes.escape_ascii());
    }
    if whole.is_ok() && !head_request && choice & 8 != 0 {
        assert_eq!(body, b"all is ok");
    }
}

fn expectations(choice: u8) -> Expect {
    let chosen = |bit: u8, text: &str| if choice & bit != 0 { vec![text.to_owned()] } else { Vec::new() };
    let pattern = (choice & 4 != 0).then(|| RawExpectedBody::Pattern("(?-u)ok".into()));
    let content = Bytes::from_static(b"all is ok");
    let file = (choice & 8 != 0).then(|| RawExpectedBody::File { name: "file".into(), content });
    let raw = RawExpect {
        status: chosen(1, "200-327"),
        header: chosen(2, "A: ^b+$"),
        body: pattern.into_iter().chain(file).collect(),
        max_body: (choice & 16 != 0).then(|| MAX_BODY.to_string()),
    };
    Expect::new(&raw).expect("expectations that make sense")
}

/// The verdict over a body in pieces of this size.
fn play(expect: &Expect, head: &Head<'_>, head_request: bool, body: &[u8], size: usize) -> Result<(), Missed> {
    let mut judge = Judge::default();
    judge.begin(expect, head, head_request, false);
    for piece in body.chunks(size.max(1)) {
        judge.feed(expect, piece);
        assert!(judge.kept.len() <= body.len() && judge.length <= body.len() as u64);
        if !expect.keeps_bodies() {
            assert!(judge.kept.len() <= super::SHOWN_BYTES);
        }
    }
    let verdict = judge.finish(expect);
    assert_eq!(judge.finish(expect), verdict, "a verdict stays one");
    let came = judge.came(expect, <[u8]>::to_vec);
    assert_eq!(came.is_empty(), verdict.is_ok(), "{came:?}");
    verdict
}
