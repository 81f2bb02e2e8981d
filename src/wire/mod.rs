//! HTTP/1.1 bytes to events and back, as a client sees them.
//!
//! [`encode`] renders requests, [`decode`] reads answers, [`content`] undoes the codings of their bodies, [`proxy`] talks a
//! proxy into a tunnel. Pure: no I/O, no clock, no thread; the caller owns the socket, the read buffer and time, and hands
//! over whatever bytes came. The names are those of RFC 9110 and RFC 9112.
//!
//! ```text
//! plan ── method, target, headers ──> encode::render ──> bytes to send
//! bytes received ──> decode::Decoder::next ──> Interim* Head Body* End
//! ```

mod body;
pub mod content;
pub mod decode;
pub mod encode;
pub mod expect;
pub mod message;
pub mod proxy;
