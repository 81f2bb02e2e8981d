//! The bytes of long bodies, plain and in the chunked coding (RFC 9112 section 7.1). Pure.

use std::io::Write as _;
use std::sync::LazyLock;

/// The pattern, whose byte i is byte i mod 64 of this line: what a client got can be checked at any offset.
const LINE: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";

/// The longest slice, and so the longest write.
const SLICE_MAX: usize = 128 * 1024;

/// One line more than the longest slice, so that a slice can begin anywhere in a line.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| LINE.repeat(SLICE_MAX / LINE.len() + 1));

/// The longest chunk.
const CHUNK_MAX: u64 = 16 * 1024;

/// A body is cut into at least so many chunks, if it has so many bytes.
const CHUNKS_MIN: u64 = 4;

/// The bytes of a body that one write of whole chunks carries; a multiple of the line and of the longest chunk.
pub(super) const BLOCK: u64 = 128 * 1024;

static CODED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut coded = Vec::new();
    append_chunks(&mut coded, BLOCK, CHUNK_MAX);
    coded
});

/// Bytes of the pattern from offset `from` on: `len` of them, or as many as one slice has.
pub(super) fn slice(from: u64, len: u64) -> &'static [u8] {
    let start = (from % LINE.len() as u64) as usize;
    &PATTERN[start..][..len.min(SLICE_MAX as u64) as usize]
}

/// How long the chunks of a body of `len` bytes are, but for the last.
pub(super) fn chunk_len(len: u64) -> u64 {
    (len / CHUNKS_MIN).clamp(1, CHUNK_MAX)
}

/// [`BLOCK`] bytes of the pattern in chunks of the longest kind, which those of a body of that length are.
pub(super) fn coded_block() -> &'static [u8] {
    &CODED
}

/// The first `len` bytes of the pattern, fewer than [`BLOCK`], in chunks of `chunk`, and the coding's end.
pub(super) fn coded_end(len: u64, chunk: u64) -> Vec<u8> {
    let mut coded = Vec::new();
    append_chunks(&mut coded, len, chunk);
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

fn append_chunks(coded: &mut Vec<u8>, len: u64, chunk: u64) {
    let mut at = 0;
    while at < len {
        let data = slice(at, chunk.min(len - at));
        write!(coded, "{:x}\r\n", data.len()).expect("memory takes every write");
        coded.extend_from_slice(data);
        coded.extend_from_slice(b"\r\n");
        at += data.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_goes_on_from_any_offset() {
        for from in [0, 1, 63, 64, 1_000_001] {
            let slice = slice(from, u64::MAX);
            assert_eq!(slice.len(), SLICE_MAX);
            assert!(slice.iter().enumerate().all(|(at, &byte)| byte == LINE[(from as usize + at) % 64]), "{from}");
        }
        assert_eq!(slice(62, 4), b"-\n01");
    }

    #[test]
    fn a_short_body_has_several_chunks() {
        let coded = |len| String::from_utf8(coded_end(len, chunk_len(len))).expect("text");
        assert_eq!(coded(0), "0\r\n\r\n");
        assert_eq!(coded(1), "1\r\n0\r\n0\r\n\r\n");
        assert_eq!(coded(9), "2\r\n01\r\n2\r\n23\r\n2\r\n45\r\n2\r\n67\r\n1\r\n8\r\n0\r\n\r\n");
    }

    #[test]
    fn the_coding_adds_little_to_a_long_body() {
        assert_eq!(chunk_len(BLOCK), CHUNK_MAX);
        assert_eq!(coded_block().len() as u64, BLOCK + BLOCK / CHUNK_MAX * 8);
        assert!(coded_end(BLOCK - 1, CHUNK_MAX).len() < BLOCK as usize + 100);
    }
}
