//! A proxy that sends arbitrary bytes: what must hold for every answer, in a form that a fuzzer and a test can call.
//!
//! Plays the caller of a tunnel; knows its public side only.

use super::{ANSWER_BYTES_MAX, Refusal, Step, Tunnel};
use crate::plan::network::Place;
use crate::plan::origin::parse_site;
use crate::plan::proxy::Credentials;

/// What a setting-up came to, and how much was taken of the proxy's bytes.
pub(super) type Played = (Result<(), Refusal>, usize);

/// Checks what must hold for every proxy that sends `bytes` and closes: what comes of it does not depend on how its answer
/// is cut; no more is taken than the answer, and never more than a bound; reasons steer no terminal and hold no credentials.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_tunnel(bytes: &[u8]) {
    let target = Place::of(&parse_site("https://host.example:8443").expect("a site").origin);
    let who = Credentials { user: "me".to_owned(), password: "hush-4711".to_owned() };
    for kind in 0..3 {
        let tunnel = || tunnel(kind, &target, &who);
        let whole = play(tunnel(), bytes, usize::MAX);
        // What comes unasked through an open tunnel is seen where it comes together with the answer.
        let unasked = whole.0.as_ref().is_err_and(|refusal| refusal.reason.contains("unasked"));
        for piece in [1, 3, 7] {
            let other = play(tunnel(), bytes, piece).0;
            assert!(other == whole.0 || unasked && other.is_ok(), "pieces of {piece}: {}", bytes.escape_ascii());
        }
        let (result, taken) = whole;
        assert!(taken <= bytes.len().min(ANSWER_BYTES_MAX));
        if let Err(refusal) = result {
            assert!(!refusal.reason.contains(char::is_control) && refusal.reason.is_ascii(), "{refusal:?}");
            assert!(refusal.reason.len() < 200 && !refusal.reason.contains("hush"), "{refusal:?}");
        }
    }
}

fn tunnel(kind: u8, target: &Place, who: &Credentials) -> Tunnel {
    match kind {
        0 => Tunnel::connect(target, "Proxy-Authorization: Basic bWU6aHVzaC00NzEx\r\n"),
        1 => Tunnel::socks(target, None, Some(who)).expect("a short name"),
        _ => Tunnel::socks(target, Some(([127, 0, 0, 1], 1).into()), None).expect("an address"),
    }
}

/// Lets the proxy send `bytes`, at most `piece` at a time, and close after them.
pub(super) fn play(mut tunnel: Tunnel, bytes: &[u8], piece: usize) -> Played {
    let (mut step, mut taken) = (tunnel.begin(), 0);
    while let Step::Ask { most, .. } = step {
        assert!(most > 0 && taken + most <= taken.max(ANSWER_BYTES_MAX), "{most} after {taken}");
        let next = &bytes[taken..][..most.min(piece).min(bytes.len() - taken)];
        if next.is_empty() {
            return (Err(Refusal::closed()), taken);
        }
        taken += next.len();
        step = match tunnel.receive(next) {
            Ok(step) => step,
            Err(refusal) => return (Err(refusal), taken),
        };
    }
    (Ok(()), taken)
}
