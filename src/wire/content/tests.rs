//! What the libraries' own encoders made comes back whole; what they did not make is told apart.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use super::fuzz::play;
use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes everything")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes everything")
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("a vector takes everything")
}

fn brotli(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 4, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut out, &params).expect("a vector takes everything");
    out
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).expect("a vector takes everything")
}

/// Text that compresses about as pages do, longer than one piece of output.
fn text() -> Vec<u8> {
    (0..5_000u32).flat_map(|number| format!("line {} of many; ", number * 7919 % 5_003).into_bytes()).collect()
}

fn headers(value: &str) -> impl Iterator<Item = (&[u8], &[u8])> {
    [(&b"Vary"[..], &b"Accept-Encoding"[..]), (b"content-encoding", value.as_bytes())].into_iter()
}

#[test]
fn what_was_encoded_comes_back_however_it_is_cut() {
    let text = text();
    for (value, body) in [
        ("gzip", gzip(&text)),
        ("X-GZip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("deflate", raw_deflate(&text)),
        ("br", brotli(&text)),
        ("zstd", zstd(&text)),
        ("gzip, br", brotli(&gzip(&text))),
        ("deflate ,\tzstd,identity, GZIP,br", brotli(&gzip(&zstd(&zlib(&text))))),
        ("identity", text.clone()),
        ("", text.clone()),
        // Members and frames one behind the other are one body.
        ("gzip", [gzip(&text[..100]), gzip(b""), gzip(&text[100..])].concat()),
        ("zstd", [zstd(&text[..100]), zstd(b""), zstd(&text[100..])].concat()),
    ] {
        for size in [body.len(), 1, 3, 1_000] {
            let out = play(value.as_bytes(), &body, size).unwrap_or_else(|error| panic!("{value} in {size}: {error}"));
            assert!(out == text, "{value} in {size}");
        }
    }
}

#[test]
fn several_header_lines_are_one_list() {
    let lines = [(&b"Content-Encoding"[..], &b"zstd"[..]), (b"Content-Encoding", b"gzip")];
    let mut decoder = ContentDecoder::of(lines.into_iter()).expect("codings");
    let mut out = Vec::new();
    decoder.feed(&gzip(&zstd(b"hello")), |piece| out.extend_from_slice(piece)).expect("a body");
    assert_eq!((out.as_slice(), decoder.finish()), (&b"hello"[..], Ok(())));
}

#[test]
fn what_is_wrong_is_told() {
    use Coding::{Brotli, Deflate, Gzip, Zstd};
    let text = text();
    let cut = |mut body: Vec<u8>| {
        body.pop();
        body
    };
    let more = |body: Vec<u8>| [body, b"more".to_vec()].concat();
    let mut wrong_sum = gzip(&text);
    let at = wrong_sum.len() - 8;
    wrong_sum[at] ^= 1;
    for (value, body, expected) in [
        ("gzip", b"hello, this is no gzip".to_vec(), ContentError::Malformed(Gzip)),
        ("gzip", wrong_sum, ContentError::Malformed(Gzip)),
        ("gzip", cut(gzip(&text)), ContentError::CutShort(Gzip)),
        ("gzip", gzip(&text)[..5].to_vec(), ContentError::CutShort(Gzip)),
        ("gzip", more(gzip(&text)), ContentError::Malformed(Gzip)),
        ("deflate", vec![0xff; 9], ContentError::Malformed(Deflate)),
        ("deflate", cut(zlib(&text)), ContentError::CutShort(Deflate)),
        ("deflate", more(zlib(&text)), ContentError::Trailing(Deflate)),
        ("br", vec![0xff; 9], ContentError::Malformed(Brotli)),
        ("br", cut(brotli(&text)), ContentError::CutShort(Brotli)),
        ("br", more(brotli(&text)), ContentError::Trailing(Brotli)),
        ("zstd", b"hello, this is no zstd".to_vec(), ContentError::Malformed(Zstd)),
        ("zstd", cut(zstd(&text)), ContentError::CutShort(Zstd)),
        ("zstd", more(zstd(&text)), ContentError::Malformed(Zstd)),
        ("br, gzip", gzip(b""), ContentError::CutShort(Brotli)),
        ("br, gzip", gzip(&[0xff; 9]), ContentError::Malformed(Brotli)),
        ("compress", text.clone(), ContentError::UnknownCoding),
        ("gzip, \u{1b}[2J", text.clone(), ContentError::UnknownCoding),
        ("gzip,gzip,gzip,gzip,gzip", text.clone(), ContentError::TooManyCodings),
    ] {
        assert_eq!(play(value.as_bytes(), &body, body.len()), Err(expected), "{value}");
    }
}

#[test]
fn a_body_of_no_bytes_is_whole_whatever_its_codings() {
    assert_eq!(play(b"gzip, br", b"", 1), Ok(Vec::new()));
}

#[test]
fn a_window_larger_than_browsers_take_is_refused() {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.window_log(24).expect("a window");
    encoder.write_all(&text()).expect("a vector takes everything");
    let body = encoder.finish().expect("a vector takes everything");
    assert_eq!(play(b"zstd", &body, body.len()), Err(ContentError::Malformed(Coding::Zstd)));
}

#[test]
fn a_small_body_may_expand_any_number_of_times_and_a_large_one_a_thousand() {
    let zeros = |bytes: u64| vec![0; bytes as usize];
    let small = zstd(&zeros(RATIO_FREE_BYTES));
    assert!((small.len() as u64) < RATIO_FREE_BYTES / RATIO_MAX);
    play(b"zstd", &small, small.len()).expect("a small body");
    for (value, body) in [
        ("zstd", zstd(&zeros(RATIO_FREE_BYTES + 1))),
        ("br", brotli(&zeros(2 * RATIO_FREE_BYTES))),
        ("gzip", gzip(&zeros(16 * RATIO_FREE_BYTES))),
        // Small again at the end, after a large detour.
        ("gzip, zstd", zstd(&gzip(b"x").repeat(100_000))),
    ] {
        assert_eq!(play(value.as_bytes(), &body, body.len()), Err(ContentError::TooDense), "{value}");
    }
}

#[test]
fn a_body_is_decoded_up_to_its_largest_size() {
    let bounds = Bounds { bytes: 40_000, ..Bounds::DEFAULT };
    let decode = |bytes: usize| {
        let mut decoder = ContentDecoder::within(bounds, headers("gzip")).expect("codings");
        let fed = decoder.feed(&gzip(&text()[..bytes]), |_| {});
        assert!(decoder.decoded() <= 40_000);
        fed.and_then(|()| decoder.finish())
    };
    assert_eq!((decode(40_000), decode(40_001)), (Ok(()), Err(ContentError::TooLarge)));
    // What is not encoded cannot expand, and is no matter of this bound.
    let mut plain = ContentDecoder::within(bounds, headers("identity")).expect("codings");
    assert_eq!((plain.feed(&[0; 40_001], |_| {}), plain.decoded()), (Ok(()), 40_001));
}

#[test]
fn what_must_always_hold_holds_for_mutated_bodies() {
    let short = b"to be, or not to be, that is to be the question".repeat(3);
    let with = |value: &str, body: Vec<u8>| [value.as_bytes(), b"\n", &body].concat();
    let corpus = [
        with("gzip", gzip(&short)),
        with("deflate", zlib(&short)),
        with("deflate", raw_deflate(&short)),
        with("br", brotli(&short)),
        with("zstd", zstd(&short)),
        with("br, gzip", gzip(&brotli(&short))),
        with("zstd,deflate", raw_deflate(&zstd(&[0; 100_000]))),
        with("gzip", [gzip(&short), gzip(b"")].concat()),
    ];
    let corpus: Vec<&[u8]> = corpus.iter().map(Vec::as_slice).collect();
    let telling: [&[u8]; 8] = [b",", b"\n", b"gzip", b"zstd", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\xff\xff", b"\0"];
    crate::mutation::run("content", &corpus, &telling, 3_000, fuzz_content);
}
