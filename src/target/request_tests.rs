//! Request heads and bodies: whole, byte by byte, split everywhere, at their limits, and mutated.

use bytes::BytesMut;
use monoio_codec::{Decoded, Decoder};

use super::super::body::{BodyDecoder, ECHO_MAX};
use super::*;

/// What a stream decodes to, as text: a line a request with its body, and at the end the error or what is left over.
fn decode(parts: &[&[u8]]) -> String {
    let mut src = BytesMut::new();
    let mut heads = HeadDecoder::default();
    let mut body: Option<BodyDecoder> = None;
    let mut text = String::new();
    for part in parts {
        src.extend_from_slice(part);
        while !src.is_empty() {
            let step = match &mut body {
                None => heads.decode(&mut src).map(|decoded| match decoded {
                    Decoded::Some(request) => {
                        text += &format!("{request:?}\n");
                        body = BodyDecoder::of(&request);
                        true
                    }
                    _ => false,
                }),
                Some(decoder) => decoder.decode(&mut src).map(|decoded| match decoded {
                    Decoded::Some(()) => {
                        let kept = body.take().map(BodyDecoder::into_kept).unwrap_or_default();
                        text += &format!("body {:?}\n", String::from_utf8_lossy(&kept));
                        true
                    }
                    _ => false,
                }),
            };
            match step {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => return text + &error.to_string(),
            }
        }
    }
    let state = if body.is_some() { "in a body" } else { "between requests" };
    text + &format!("{} left, {state}", src.len())
}

/// Streams that end where a request does.
const STREAMS: [&str; 9] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "\r\n\r\nHEAD /bytes/5 HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /delay/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /echo HTTP/1.1\r\nhOST: a\r\nExpect: 100-Continue\r\nTransfer-Encoding: CHUNKED\r\n\r\n\
     5;x=\"y\"\r\nhello\r\n0B \r\n, and more!\r\n0\r\nT: x\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "GET http://a/status/404?x HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n",
];

#[test]
fn a_stream_means_the_same_however_it_is_split() {
    for stream in STREAMS {
        let bytes = stream.as_bytes();
        let whole = decode(&[bytes]);
        assert!(whole.ends_with("\n0 left, between requests"), "{stream:?}: {whole}");
        let singly: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(decode(&singly), whole, "{stream:?} byte by byte");
        for at in 0..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            assert_eq!(decode(&[front, back]), whole, "{stream:?} split at {at}");
        }
    }
}

#[test]
fn a_request_with_everything_is_read_right() {
    expect_test::expect![[r#"
        Request { route: Echo, head_only: false, http_1_0: false, keep_alive: true, expects_continue: true, body: Chunked }
        body "hello, and more!"
        Request { route: Hello, head_only: false, http_1_0: false, keep_alive: true, expects_continue: false, body: Sized(0) }
        0 left, between requests"#]]
    .assert_eq(&decode(&[STREAMS[5].as_bytes()]));
    expect_test::expect![[r#"
        Request { route: Bytes(5), head_only: true, http_1_0: true, keep_alive: true, expects_continue: false, body: Sized(0) }
        0 left, between requests"#]]
    .assert_eq(&decode(&[STREAMS[2].as_bytes()]));
}

#[test]
fn what_is_ambiguous_or_no_http_is_refused() {
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501),
    ] {
        let error = HeadDecoder::default().decode(&mut BytesMut::from(head)).expect_err(head);
        assert_eq!(error.status(), Some(status), "{head:?}: {error}");
    }
}

#[test]
fn bad_chunks_are_refused() {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long_line = format!("1;{}\r\n", "x".repeat(5000));
    let long_trailers = format!("0\r\n{}", "T: x\r\n".repeat(20_000));
    for chunks in
        ["\r\n", "x\r\n", "-1\r\n", "1000000000000000\r\n", "1 x\r\n", "1\r\nab\r\n", &long_line, &long_trailers]
    {
        let text = decode(&[head.as_bytes(), chunks.as_bytes()]);
        assert!(text.contains("bad request: "), "{chunks:.20}: {text}");
    }
}

#[test]
fn a_head_of_the_longest_length_passes_and_one_byte_more_does_not() {
    let head = |len: usize| {
        let fixed = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(len - fixed)).into_bytes()
    };
    for piece in [1, 4096, HEAD_MAX + 1] {
        let parts = |bytes: &[u8]| decode(&bytes.chunks(piece).collect::<Vec<_>>());
        assert!(parts(&head(HEAD_MAX)).ends_with("0 left, between requests"));
        assert!(parts(&head(HEAD_MAX + 1)).contains("the head is longer"));
        assert!(parts(&vec![b'x'; 70_000]).contains("the head is longer"), "an endless method");
        assert!(parts(&[b"GET / HTTP/1.1\r\n", &[b'n'; 70_000][..]].concat()).contains("the head is longer"));
    }
    let many = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert!(decode(&[many(HEADERS_MAX).as_bytes()]).ends_with("0 left, between requests"));
    assert!(decode(&[many(HEADERS_MAX + 1).as_bytes()]).contains("the head is longer"));
}

#[test]
fn empty_lines_before_a_request_take_no_memory() {
    let mut src = BytesMut::new();
    let mut heads = HeadDecoder::default();
    for _ in 0..1000 {
        src.extend_from_slice(&b"\r\n".repeat(500));
        assert!(matches!(heads.decode(&mut src), Ok(Decoded::Insufficient)));
        assert!(src.is_empty());
    }
}

#[test]
fn echo_keeps_its_limit_and_no_more() {
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunk = [format!("{:x}\r\n", ECHO_MAX).into_bytes(), vec![b'x'; ECHO_MAX], b"\r\n".to_vec()].concat();
    assert!(decode(&[head.as_bytes(), &chunk, b"0\r\n\r\n"]).ends_with("0 left, between requests"));
    assert!(decode(&[head.as_bytes(), &chunk, b"1\r\nx\r\n"]).ends_with("the body is longer than /echo takes"));
}

#[test]
fn mutated_requests_break_nothing() {
    // The first byte is the length of the pieces.
    let whole: Vec<Vec<u8>> = STREAMS.iter().map(|stream| [b"\xff", stream.as_bytes()].concat()).collect();
    let small: Vec<Vec<u8>> = STREAMS.iter().map(|stream| [b"\x07", stream.as_bytes()].concat()).collect();
    let corpus: Vec<&[u8]> = whole.iter().chain(&small).map(Vec::as_slice).collect();
    let telling: [&[u8]; 8] = [b"\r\n", b":", b";", b"0", b"f", b" ", b"\0", b"\xff"];
    crate::mutation::run("target_request", &corpus, &telling, 10_000, fuzz_request);
}
