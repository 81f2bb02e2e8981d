//! The server's side of HTTP/2 by hand (RFC 9113): frames as bytes, for scripts that break its rules.

use std::sync::Arc;

use super::server::Peer;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;

/// `:status: 200`, from the static table (RFC 7541 appendix A).
pub(crate) const STATUS_200: u8 = 0x88;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// SETTINGS with these values.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        values.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A whole answer of 200 with a body of two bytes.
pub(crate) fn ok(stream: u32) -> Vec<u8> {
    [frame(HEADERS, END_HEADERS, stream, &[STATUS_200]), frame(DATA, END_STREAM, stream, b"ok")].concat()
}

pub(crate) fn reset(stream: u32, reason: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &reason.to_be_bytes())
}

/// GOAWAY without an error: nothing was done for streams above `last`.
pub(crate) fn go_away(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), 0u32.to_be_bytes()].concat())
}

/// The next frame, whatever it is; `None` when the client has closed.
pub(crate) fn next(peer: &mut Peer) -> Option<Frame> {
    let head = peer.take(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some(Frame { kind: head[3], flags: head[4], stream, payload: peer.take(length as usize)? })
}

/// Reads the client's preface, says SETTINGS with these values, and answers what has to be answered until a request
/// comes; false when the client has closed.
pub(crate) fn greet(peer: &mut Peer, values: &[(u16, u32)]) -> bool {
    peer.take(24).is_some_and(|preface| preface == b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") && peer.send(&settings(values))
}

/// The stream of the next request; SETTINGS and PING are answered on the way.
pub(crate) fn request(peer: &mut Peer) -> Option<u32> {
    loop {
        let frame = next(peer)?;
        match frame.kind {
            HEADERS => return Some(frame.stream),
            _ => polite(peer, &frame),
        }
    }
}

/// Answers SETTINGS and PING.
pub(crate) fn polite(peer: &mut Peer, frame: &Frame) {
    if [SETTINGS, PING].contains(&frame.kind) && frame.flags & ACK == 0 {
        let payload = if frame.kind == PING { &frame.payload[..] } else { &[] };
        peer.send(&self::frame(frame.kind, ACK, 0, payload));
    }
}

/// A script that greets, then answers each request by what `answer` makes of its stream, until it makes nothing.
pub(crate) fn answering(
    answer: impl Fn(&mut Peer, u32) -> Option<Vec<u8>> + Send + Sync + 'static,
) -> impl Fn(&mut Peer) + Send + Sync + 'static {
    let answer = Arc::new(answer);
    move |peer| {
        if !greet(peer, &[]) {
            return;
        }
        while let Some(stream) = request(peer) {
            let Some(bytes) = answer(peer, stream) else { return };
            peer.send(&bytes);
        }
    }
}
