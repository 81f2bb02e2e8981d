//! The decoder of contents under arbitrary bytes: what must hold for every input, in a form that a fuzzer and a test can
//! call.

use super::{ContentDecoder, ContentError, RATIO_FREE_BYTES, RATIO_MAX};

/// Checks what must hold for every body, `bytes` being the value of Content-Encoding, a line end and the body: what comes
/// out does not depend on how it is cut and is within bounds; a failure stays one.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_content(bytes: &[u8]) {
    let Some(at) = bytes.iter().position(|&byte| byte == b'\n') else { return };
    let (value, body) = (&bytes[..at], &bytes[at + 1..]);
    let whole = play(value, body, body.len());
    let cut = play(value, body, 1 + bytes.len() % 7);
    match (whole, cut) {
        // The bounds go by what has come, so that they may be met sooner in smaller pieces.
        (Err(ContentError::TooDense | ContentError::TooLarge), _) => {}
        (_, Err(ContentError::TooDense | ContentError::TooLarge)) => {}
        (Ok(whole), cut) => assert_eq!(Ok(whole), cut, "{}", bytes.escape_ascii()),
        (Err(error), cut) => assert!(cut.is_err(), "{error} of {}", bytes.escape_ascii()),
    }
}

/// What a body in pieces of this size decodes to.
pub(super) fn play(value: &[u8], body: &[u8], size: usize) -> Result<Vec<u8>, ContentError> {
    let mut decoder = ContentDecoder::of([(&b"Content-Encoding"[..], value)].into_iter())?;
    let mut out = Vec::new();
    let mut ended = Ok(());
    for piece in body.chunks(size.max(1)) {
        ended = decoder.feed(piece, |decoded| out.extend_from_slice(decoded));
        if ended.is_err() {
            break;
        }
    }
    let ended = ended.and_then(|()| decoder.finish());
    if ended.is_err() {
        assert_eq!(decoder.feed(b"x", |_| panic!("a failure makes no bytes")), ended, "a failure stays one");
        assert_eq!(decoder.finish(), ended, "a failure stays one");
    }
    assert_eq!(decoder.decoded(), out.len() as u64);
    assert!(out.len() as u64 <= RATIO_FREE_BYTES.max(RATIO_MAX * body.len() as u64), "{} bytes", out.len());
    ended.map(|()| out)
}
