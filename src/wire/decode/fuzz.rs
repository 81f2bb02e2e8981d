//! The decoder under arbitrary bytes: what must hold for every input, in a form that a fuzzer and a test can call.
//!
//! Plays a peer that sends `bytes` in pieces and closes; knows the decoder's public side only.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::{BodyLength, DecodeError, Decoder, Event, Familiar};

/// What a caller saw of a connection, with neighbouring pieces of body joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Interim(u16),
    Head {
        status: u16,
        keep_alive: bool,
        body: BodyLength,
        raw: Vec<u8>,
    },
    Body(Vec<u8>),
    End,
    /// The peer closed and that was the end of the answer.
    EndByClose,
    Failed(DecodeError),
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interim(status) => write!(f, "interim {status}"),
            Self::Head { status, keep_alive, body, .. } => {
                let connection = if *keep_alive { "keep" } else { "close" };
                write!(f, "{status} {connection} {body:?}")
            }
            Self::Body(bytes) => write!(f, "'{}'", bytes.escape_ascii()),
            Self::End => f.write_str("end"),
            Self::EndByClose => f.write_str("end by close"),
            Self::Failed(error) => write!(f, "{error:?}"),
        }
    }
}

/// Checks what must hold for every input: the events do not depend on how the bytes are cut, nor on whether bodies are
/// read or discarded, nor on what the decoder remembers; every call makes progress; no more comes out than went in; a failure stays one.
///
/// # Panics
/// When one of these does not hold.
pub fn fuzz_decode(bytes: &[u8]) {
    // FNV-1a: the same bytes are always cut in the same way.
    let mut seed = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let head_request = seed & 7 == 0;
    let scale = 1 << ((seed >> 8) % 7);
    let pieces = std::iter::from_fn(|| {
        seed = xorshift(seed);
        Some((seed % scale) as usize + 1)
    });
    let cuts: Vec<usize> = pieces.take(bytes.len()).collect();

    let whole = play(bytes, &[bytes.len()], head_request, false);
    // One memory for all of these, taught by the answer to the other kind of request: it must not show.
    let familiar = Rc::<RefCell<Familiar>>::default();
    play_with(Decoder::sharing(Rc::clone(&familiar)), bytes, &[bytes.len()], !head_request, false);
    let ways: [(&[usize], bool); 5] =
        [(&[bytes.len()], false), (&cuts, false), (&cuts, true), (&[bytes.len()], true), (&[], false)];
    for (pieces, discard) in ways {
        let other = play_with(Decoder::sharing(Rc::clone(&familiar)), bytes, pieces, head_request, discard);
        assert_eq!(whole, other, "pieces {pieces:?}, discard {discard}, input {}", bytes.escape_ascii());
    }
}

/// The next number of a small generator; `seed` must not be 0 to get anywhere.
fn xorshift(mut seed: u64) -> u64 {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^ (seed << 17)
}

/// Feeds `bytes` in pieces of the given sizes, then byte by byte, then closes; reads one answer after the other. With
/// `discard`, bodies are taken past the decoder.
pub(super) fn play(bytes: &[u8], pieces: &[usize], head_request: bool, discard: bool) -> Vec<Seen> {
    play_with(Decoder::new(), bytes, pieces, head_request, discard)
}

fn play_with(decoder: Decoder, bytes: &[u8], pieces: &[usize], head_request: bool, discard: bool) -> Vec<Seen> {
    let mut peer = Peer { decoder, seen: Vec::new(), body: 0, head_request, discard };
    peer.decoder.start(head_request);
    let mut rest = bytes;
    let mut sizes = pieces.iter().copied().chain(std::iter::repeat(1));
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| size.min(rest.len()));
        let (piece, later) = rest.split_at(size);
        if let Err(error) = peer.feed(piece) {
            peer.seen.push(Seen::Failed(error));
            assert_eq!(peer.decoder.next(b"HTTP/1.1 200 OK\r\n\r\n"), Err(error), "a failure stays one");
            assert_eq!(peer.decoder.finish(), Err(error), "a failure stays one");
            return peer.seen;
        }
        rest = later;
    }
    assert!(peer.body <= bytes.len(), "more body than input");
    if peer.seen.is_empty() || peer.decoder.started() {
        let end = peer.decoder.finish();
        peer.seen.push(end.map_or_else(Seen::Failed, |()| Seen::EndByClose));
    }
    peer.seen
}

struct Peer {
    decoder: Decoder,
    seen: Vec<Seen>,
    /// Bytes of body so far.
    body: usize,
    head_request: bool,
    discard: bool,
}

impl Peer {
    fn feed(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        let mut at = 0;
        loop {
            if self.discard && self.discardable(&piece[at..]) > 0 {
                let length = self.discardable(&piece[at..]);
                let complete = self.decoder.discard(length as u64);
                self.push_body(&piece[at..at + length]);
                at += length;
                assert!(!complete || matches!(self.decoder.next(&piece[at..]), Ok((0, Event::End))));
            }
            let rest = &piece[at..];
            let (length, event) = self.decoder.next(rest)?;
            assert!(length <= rest.len(), "consumed {length} of {}", rest.len());
            at += length;
            match event {
                Event::NeedMore => {
                    assert_eq!(length, rest.len(), "more is wanted while there is some");
                    return Ok(());
                }
                Event::Interim(status) => self.seen.push(Seen::Interim(status)),
                Event::Head(head) => {
                    let (status, keep_alive, body, raw) = (head.status, head.keep_alive, head.body, head.raw.to_vec());
                    self.seen.push(Seen::Head { status, keep_alive, body, raw });
                }
                Event::Body(bytes) => {
                    assert!(!bytes.is_empty(), "an empty piece of body");
                    let bytes = bytes.to_vec();
                    self.push_body(&bytes);
                }
                Event::End => {
                    self.seen.push(Seen::End);
                    self.decoder.start(self.head_request);
                    continue;
                }
            }
            assert!(length > 0, "an event out of nothing");
        }
    }

    fn discardable(&self, rest: &[u8]) -> usize {
        rest.len().min(usize::try_from(self.decoder.discardable()).unwrap_or(usize::MAX))
    }

    fn push_body(&mut self, bytes: &[u8]) {
        self.body += bytes.len();
        match self.seen.last_mut() {
            Some(Seen::Body(body)) => body.extend_from_slice(bytes),
            _ => self.seen.push(Seen::Body(bytes.to_vec())),
        }
    }
}
