//! Answers that servers give, the hostile ones included, each fed whole, byte by byte, cut at every position, and with
//! its body discarded: what a caller sees must be the same. The same answers seed the mutation test.

use super::fuzz::{Seen, play};
use super::*;

const GET: bool = false;
const HEAD: bool = true;

/// One test an answer: the request's method, the bytes up to the peer's close, and what a caller sees of them.
macro_rules! answers {
    ($($name:ident: $method:ident $bytes:literal => $seen:literal;)+) => {
        const CORPUS: &[&[u8]] = &[$($bytes),+];

        $(
            #[test]
            fn $name() {
                assert_eq!(seen($bytes, $method), $seen);
            }
        )+
    };
}

answers! {
    // Lengths (RFC 9112 section 6.3).
    a_body_of_known_length_ends_at_its_last_byte:
        GET b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello" => "200 keep Known(5) | 'hello' | end";
    a_body_of_length_0_ends_with_its_head:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" => "200 keep Known(0) | end";
    an_answer_to_head_has_no_body_whatever_its_length_says:
        HEAD b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" =>
        "200 keep None | end | 200 keep None | end";
    an_answer_to_head_without_a_length_keeps_the_connection:
        HEAD b"HTTP/1.1 404 Not Found\r\n\r\n" => "404 keep None | end";
    lengths_of_a_body_that_is_not_sent_are_not_judged:
        HEAD b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\nTransfer-Encoding: ,\r\n\r\n" => "200 keep None | end";
    a_204_with_a_length_has_no_body:
        GET b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" =>
        "204 keep None | end | 200 keep Known(1) | 'a' | end";
    a_304_with_a_length_has_no_body:
        GET b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n" => "304 keep None | end";
    without_a_length_the_body_ends_when_the_peer_closes:
        GET b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 is only text here" =>
        "200 close UntilClose | 'HTTP/1.1 is only text here' | end by close";
    without_a_length_http_1_0_ends_when_the_peer_closes:
        GET b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nbody" => "200 close UntilClose | 'body' | end by close";
    without_a_length_the_body_may_be_empty:
        GET b"HTTP/1.1 200 OK\r\n\r\n" => "200 close UntilClose | end by close";
    equal_lengths_are_one_length:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\ncontent-length: 05\r\n\r\nhello" =>
        "200 keep Known(5) | 'hello' | end";
    two_different_lengths_are_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!" => "ConflictingLengths";
    a_list_of_different_lengths_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!" => "ConflictingLengths";
    a_negative_length_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello" => "BadLength";
    a_signed_length_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello" => "BadLength";
    a_length_beyond_64_bits_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n" => "BadLength";
    an_empty_length_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n" => "BadLength";
    a_length_list_with_a_hole_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 5,\r\n\r\nhello" => "BadLength";
    a_length_that_is_no_number_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello" => "BadLength";
    a_body_cut_short_is_no_answer:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell" => "200 keep Known(5) | 'hell' | Closed { started: true }";

    // Transfer codings (RFC 9112 sections 6.1 and 7).
    chunks_are_joined:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0A\r\n, world\r\n!\r\n0\r\n\r\n" =>
        r"200 keep Chunked | 'hello, world\r\n!' | end";
    extensions_trailers_and_white_space_are_skipped:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1 \r\na\r\n1\t;x=\"y\";z\r\nb\r\n0;last\r\nA: b\r\nC: d\n\r\n" =>
        "200 keep Chunked | 'ab' | end";
    an_empty_chunk_size_line_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n\r\n\r\n" => "200 keep Chunked | 'a' | BadChunk";
    white_space_before_a_chunk_size_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n" => "200 keep Chunked | BadChunk";
    a_chunk_size_in_two_words_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 1\r\na\r\n0\r\n\r\n" => "200 keep Chunked | BadChunk";
    a_chunk_size_with_a_prefix_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n" => "200 keep Chunked | BadChunk";
    a_negative_chunk_size_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n" => "200 keep Chunked | BadChunk";
    the_largest_chunk_size_is_read:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n000ffffFFFFffffFFFF\r\na" =>
        "200 keep Chunked | 'a' | Closed { started: true }";
    a_chunk_size_beyond_64_bits_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\na" => "200 keep Chunked | BadChunk";
    a_bare_lf_after_a_chunk_size_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n" => "200 keep Chunked | BadChunk";
    a_bare_lf_in_a_chunk_extension_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\na\r\n0\r\n\r\n" => "200 keep Chunked | BadChunk";
    a_bare_cr_in_a_chunk_extension_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x\ry\r\na\r\n0\r\n\r\n" => "200 keep Chunked | BadChunk";
    a_bare_lf_after_a_chunk_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n" => "200 keep Chunked | 'a' | BadChunk";
    a_chunk_longer_than_its_size_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n" => "200 keep Chunked | 'a' | BadChunk";
    a_chunk_cut_short_is_no_answer:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell" =>
        "200 keep Chunked | 'hell' | Closed { started: true }";
    chunks_without_their_end_are_no_answer:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" =>
        "200 keep Chunked | 'a' | Closed { started: true }";
    a_compressed_body_in_chunks_is_framed_by_the_chunks:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip;q=1 , chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" =>
        "200 keep Chunked | 'a' | end";
    codings_in_two_headers_are_one_list:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" =>
        "200 keep Chunked | 'a' | end";
    chunks_inside_another_coding_end_with_the_connection:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n1\r\na\r\n0\r\n\r\n" =>
        r"200 close UntilClose | '1\r\na\r\n0\r\n\r\n' | end by close";
    a_coding_that_is_not_chunked_ends_with_the_connection:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzzz" => "200 close UntilClose | 'zzz' | end by close";
    a_length_beside_chunks_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" =>
        "ConflictingLengths";
    a_length_beside_any_coding_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na" => "ConflictingLengths";
    chunked_twice_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" =>
        "BadTransferCoding";
    chunked_with_a_parameter_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n" => "BadTransferCoding";
    a_coding_that_is_no_token_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chu nked\r\n\r\n0\r\n\r\n" => "BadTransferCoding";
    chunked_inside_a_quoted_parameter_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip;a=\"b, chunked\"\r\n\r\n0\r\n\r\n" => "BadTransferCoding";
    an_empty_list_of_codings_is_refused:
        GET b"HTTP/1.1 200 OK\r\nTransfer-Encoding: \r\n\r\n" => "BadTransferCoding";
    http_1_0_with_chunks_is_read_and_then_not_trusted:
        GET b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" =>
        "200 close Chunked | 'a' | end";

    // The connection (RFC 9112 section 9.3).
    connection_close_is_heeded:
        GET b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na" => "200 close Known(1) | 'a' | end";
    connection_close_is_found_in_lists_and_in_any_case:
        GET b"HTTP/1.1 200 OK\r\nConnection: x, keep-alive\r\nconnection: y ,\tCLOSE\r\nContent-Length: 0\r\n\r\n" =>
        "200 close Known(0) | end";
    a_token_that_only_begins_with_close_is_another_one:
        GET b"HTTP/1.1 200 OK\r\nConnection: closed, not-close\r\nContent-Length: 0\r\n\r\n" => "200 keep Known(0) | end";
    http_1_0_closes:
        GET b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na" => "200 close Known(1) | 'a' | end";
    http_1_0_keeps_the_connection_when_it_says_so:
        GET b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na" => "200 keep Known(1) | 'a' | end";
    close_wins_over_keep_alive:
        GET b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n" => "200 close Known(0) | end";
    an_answer_to_head_says_whether_the_connection_stays:
        HEAD b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" => "200 close None | end";

    // Interim answers (RFC 9110 section 15.2).
    interim_answers_come_before_the_answer:
        GET b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 x\r\nContent-Length: 9\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nzHTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n" =>
        "interim 100 | interim 103 | interim 102 | 200 keep Known(1) | 'z' | end | 404 keep Known(0) | end";
    an_interim_answer_alone_is_no_answer:
        GET b"HTTP/1.1 100 Continue\r\n\r\n" => "interim 100 | Closed { started: true }";
    empty_lines_are_counted_anew_before_every_head:
        GET b"\r\n\n\nHTTP/1.1 100 x\r\n\r\n\r\n\n\nHTTP/1.1 100 x\n\n\r\n\n\nHTTP/1.1 204 x\r\n\r\n" =>
        "interim 100 | interim 100 | 204 keep None | end";
    switching_protocols_is_refused:
        GET b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\x00\x01\x02" => "SwitchedProtocols";

    // Heads (RFC 9112 sections 2 to 5).
    several_answers_in_one_piece_are_read_one_by_one:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 500 x\r\nContent-Length: 2\r\n\r\nbcHTTP/1.1 2" =>
        "200 keep Known(1) | 'a' | end | 500 keep Known(2) | 'bc' | end | Closed { started: true }";
    bare_lf_ends_the_lines_of_a_head:
        GET b"HTTP/1.1 200 OK\nContent-Length: 1\n\naHTTP/1.1 200 OK\nA: b\r\nContent-Length: 0\n\r\n" =>
        "200 keep Known(1) | 'a' | end | 200 keep Known(0) | end";
    empty_lines_before_the_status_line_are_skipped:
        GET b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" =>
        "200 keep Known(1) | 'a' | end | 200 keep Known(0) | end";
    too_many_empty_lines_are_refused:
        GET b"\r\n\r\n\r\n\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na" => "BadHead";
    a_bare_cr_before_the_status_line_is_refused:
        GET b"\rHTTP/1.1 200 OK\r\n\r\n" => "BadHead";
    two_crs_before_the_status_line_are_refused:
        GET b"\r\r\nHTTP/1.1 200 OK\r\n\r\n" => "BadHead";
    a_stray_line_after_an_answer_begins_another_one:
        GET b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\r\n" => "200 keep Known(0) | end | Closed { started: true }";
    nothing_at_all_is_not_the_start_of_an_answer:
        GET b"" => "Closed { started: false }";
    a_head_cut_short_is_no_answer:
        GET b"HTTP/1.1 200 OK\r\nContent-" => "Closed { started: true }";
    a_reason_may_be_missing_or_any_text:
        GET b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 \xe4 b\r\nContent-Length: 0\r\n\r\n" =>
        "200 keep Known(0) | end | 200 keep Known(0) | end | 200 keep Known(0) | end";
    header_values_may_hold_any_text:
        GET b"HTTP/1.1 200 OK\r\nServer: \xff\xfe\tx\r\nContent-Length: 0\r\n\r\n" => "200 keep Known(0) | end";
    status_999_is_a_status:
        GET b"HTTP/1.1 999 Request Denied\r\nContent-Length: 0\r\n\r\n" => "999 keep Known(0) | end";
    status_000_is_refused:
        GET b"HTTP/1.1 000 x\r\nContent-Length: 0\r\n\r\n" => "BadStatus";
    status_099_is_refused:
        GET b"HTTP/1.1 099 x\r\nContent-Length: 0\r\n\r\n" => "BadStatus";
    a_status_of_two_digits_is_refused:
        GET b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n" => "BadStatus";
    a_status_of_four_digits_is_refused:
        GET b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n" => "BadStatus";
    a_folded_header_is_refused:
        GET b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n" => "BadHead";
    a_space_before_the_colon_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n" => "BadHead";
    a_header_without_a_colon_is_refused:
        GET b"HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n" => "BadHead";
    a_header_without_a_name_is_refused:
        GET b"HTTP/1.1 200 OK\r\n: 0\r\n\r\n" => "BadHead";
    a_bare_cr_in_a_header_is_refused:
        GET b"HTTP/1.1 200 OK\r\nA: b\rContent-Length: 0\r\n\r\n" => "BadHead";
    a_nul_in_a_header_is_refused:
        GET b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n" => "BadHead";
    http_2_is_refused:
        GET b"HTTP/2 200 OK\r\n\r\n" => "BadHead";
    http_1_2_is_refused:
        GET b"HTTP/1.2 200 OK\r\n\r\n" => "BadHead";
    another_protocol_is_refused_at_its_first_bytes:
        GET b"SSH-2.0-OpenSSH_9.9" => "BadHead";
    a_tls_alert_is_refused_at_its_first_byte:
        GET b"\x15\x03\x01" => "BadHead";
}

/// What a caller sees of `bytes`, however they are cut.
fn seen(bytes: &[u8], head_request: bool) -> String {
    let whole = play(bytes, &[bytes.len()], head_request, false);
    let text = whole.iter().map(Seen::to_string).collect::<Vec<_>>().join(" | ");
    assert_eq!(whole, play(bytes, &[], head_request, false), "byte by byte: {text}");
    for at in 0..=bytes.len() {
        for discard in [false, true] {
            let cut = play(bytes, &[at, bytes.len() - at], head_request, discard);
            assert_eq!(whole, cut, "cut at {at}, discard {discard}: {text}");
        }
    }
    text
}

/// The same for large inputs, for which every position would take too long.
fn seen_coarsely(bytes: &[u8]) -> String {
    let whole = play(bytes, &[bytes.len()], GET, false);
    for size in [1, 2, 7, 511, 4_096, 65_535, 65_536, 65_537] {
        assert!(whole == play(bytes, &vec![size; bytes.len().div_ceil(size)], GET, false), "pieces of {size}");
    }
    whole.iter().map(Seen::to_string).collect::<Vec<_>>().join(" | ")
}

/// A head of exactly `size` bytes whose last line is padding.
fn head_of(size: usize) -> Vec<u8> {
    let (start, end) = ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", "\r\n\r\n");
    format!("{start}{}{end}", "x".repeat(size - start.len() - end.len())).into_bytes()
}

#[test]
fn a_head_may_be_64_kib_and_not_a_byte_more() {
    assert_eq!(seen_coarsely(&head_of(HEAD_BYTES_MAX)), "200 keep Known(0) | end");
    assert_eq!(seen_coarsely(&head_of(HEAD_BYTES_MAX + 1)), "HeadTooLarge");
}

#[test]
fn a_header_name_of_70_kib_is_refused() {
    let head = format!("HTTP/1.1 200 OK\r\n{}: x\r\n\r\n", "n".repeat(70 * 1024));
    assert_eq!(seen_coarsely(head.as_bytes()), "HeadTooLarge");
}

#[test]
fn an_endless_head_is_refused_and_not_kept() {
    let mut decoder = Decoder::new();
    decoder.start(GET);
    let mut outcome = decoder.next(b"HTTP/1.1 200 OK\r\n").map(|(length, _)| length);
    let mut calls = 0;
    while outcome.is_ok() {
        outcome = decoder.next(&b"Name: value\r\n".repeat(100)).map(|(length, _)| length);
        calls += 1;
    }
    assert_eq!(outcome, Err(DecodeError::HeadTooLarge));
    assert_eq!(calls, HEAD_BYTES_MAX / 1_300 + 1);
    assert!(decoder.head.bytes.capacity() <= 2 * HEAD_BYTES_MAX);
}

#[test]
fn a_head_may_have_128_headers_and_no_more() {
    let head = |count: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", "A: b\r\n".repeat(count - 1));
    assert_eq!(seen(head(97).as_bytes(), GET), "200 keep Known(0) | end");
    assert_eq!(seen(head(HEADERS_MAX).as_bytes(), GET), "200 keep Known(0) | end");
    assert_eq!(seen(head(HEADERS_MAX + 1).as_bytes(), GET), "TooManyHeaders");
}

#[test]
fn thirty_two_interim_answers_in_a_row_are_enough() {
    let answer = |count: usize| {
        let interims = "HTTP/1.1 103 x\r\n\r\n".repeat(count);
        format!("{interims}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    };
    let interims = "interim 103 | ".repeat(usize::from(INTERIM_MAX));
    assert_eq!(seen(answer(32).as_bytes(), GET), format!("{interims}200 keep Known(0) | end"));
    assert_eq!(seen(answer(33).as_bytes(), GET), format!("{interims}TooManyInterim"));
    assert_eq!(
        seen(answer(32).repeat(2).as_bytes(), GET),
        format!("{interims}200 keep Known(0) | end | ").repeat(2).trim_end_matches(" | ")
    );
}

#[test]
fn a_chunk_line_may_be_4_kib_and_no_longer() {
    let answer = |length: usize| {
        let extension = "x".repeat(length - "1;\r\n".len());
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{extension}\r\na\r\n0\r\n\r\n")
    };
    assert_eq!(seen_coarsely(answer(CHUNK_LINE_BYTES_MAX).as_bytes()), "200 keep Chunked | 'a' | end");
    assert_eq!(seen_coarsely(answer(CHUNK_LINE_BYTES_MAX + 1).as_bytes()), "200 keep Chunked | ChunkLineTooLong");
    let zeros = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", "0".repeat(10_000));
    assert_eq!(seen_coarsely(zeros.as_bytes()), "200 keep Chunked | ChunkLineTooLong");
}

#[test]
fn trailers_are_bounded_in_bytes_and_in_lines() {
    let answer = |trailers: &str| {
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{trailers}\r\n").into_bytes()
    };
    let sized = |size: usize| format!("X: {}\r\n", "x".repeat(size - "X: \r\n\r\n".len()));
    assert_eq!(seen_coarsely(&answer(&sized(HEAD_BYTES_MAX))), "200 keep Chunked | end");
    assert_eq!(seen_coarsely(&answer(&sized(HEAD_BYTES_MAX + 1))), "200 keep Chunked | TrailersTooLarge");
    assert_eq!(seen_coarsely(&answer(&"A: b\r\n".repeat(HEADERS_MAX))), "200 keep Chunked | end");
    assert_eq!(seen_coarsely(&answer(&"A: b\r\n".repeat(HEADERS_MAX + 1))), "200 keep Chunked | TrailersTooLarge");
}

#[test]
fn a_head_in_single_bytes_takes_work_in_proportion_to_its_length() {
    let head = head_of(HEAD_BYTES_MAX);
    let mut decoder = Decoder::new();
    decoder.start(GET);
    for byte in &head[..head.len() - 1] {
        assert_eq!(decoder.next(std::slice::from_ref(byte)), Ok((1, Event::NeedMore)));
    }
    assert!(matches!(decoder.next(&head[head.len() - 1..]), Ok((1, Event::Head(_)))));
    // Once in the search for the end, once in the parse, and the first byte alone.
    assert_eq!(decoder.head.work, 2 * head.len() + 1);
}

#[test]
fn a_decoder_that_has_seen_a_head_in_pieces_allocates_no_more() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na";
    let mut decoder = Decoder::new();
    let mut places = Vec::new();
    for _ in 0..3 {
        decoder.start(GET);
        assert_eq!(decoder.next(&answer[..20]), Ok((20, Event::NeedMore)));
        let (length, _) = decoder.next(&answer[20..]).expect("a fine answer");
        assert_eq!(decoder.next(&answer[20 + length..]), Ok((1, Event::Body(b"a"))));
        assert_eq!(decoder.next(b""), Ok((0, Event::End)));
        places.push((decoder.head.bytes.as_ptr(), decoder.head.bytes.capacity()));
    }
    assert_eq!(places[1], places[2]);
}

#[test]
fn a_head_that_comes_whole_is_neither_copied_nor_kept() {
    let answer = b"\r\nHTTP/1.1 200 OK\r\nETag: \"a:b\" \r\nContent-Length: 1\r\n\r\na";
    let mut decoder = Decoder::new();
    let Ok((length, Event::Head(head))) = decoder.next(answer) else { panic!("a head") };
    assert_eq!(length, answer.len() - 1);
    assert!(std::ptr::eq(head.raw, &raw const answer[2..length]));
    assert_eq!(head.header("etag"), Some(&b"\"a:b\""[..]));
    assert_eq!(head.header("x"), None);
    assert_eq!(head.headers().count(), 2);
    assert_eq!(decoder.head.bytes.capacity(), 0);
}

#[test]
fn large_bodies_may_be_discarded_outside() {
    let mut decoder = Decoder::new();
    assert_eq!(decoder.discardable(), 0);
    assert!(matches!(decoder.next(b"HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n"), Ok((_, Event::Head(_)))));
    assert_eq!(decoder.discardable(), 5_000_000_000);
    assert!(!decoder.discard(4_999_999_998));
    assert_eq!(decoder.next(b"a"), Ok((1, Event::Body(b"a"))));
    assert_eq!(decoder.discardable(), 1);
    assert!(!decoder.discard(0));
    assert!(decoder.discard(1));
    assert_eq!(decoder.next(b"HTTP"), Ok((0, Event::End)));

    decoder.start(GET);
    assert!(matches!(decoder.next(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Ok((_, Event::Head(_)))));
    assert_eq!((decoder.discardable(), decoder.discard(0)), (0, false));
    assert_eq!(decoder.next(b"10\r\n"), Ok((4, Event::NeedMore)));
    assert_eq!((decoder.discardable(), decoder.discard(16)), (16, false));
    assert_eq!((decoder.discardable(), decoder.discard(0)), (0, false));
    assert_eq!(decoder.next(b"\r\n0\r\n\r\n"), Ok((7, Event::End)));

    decoder.start(GET);
    assert!(matches!(decoder.next(b"HTTP/1.1 200 OK\r\n\r\n"), Ok((_, Event::Head(_)))));
    assert_eq!((decoder.discardable(), decoder.discard(1 << 40)), (u64::MAX, false));
    assert_eq!(decoder.finish(), Ok(()));
}

#[test]
#[should_panic(expected = "2 bytes discarded of 1")]
fn discarding_more_than_the_body_is_a_bug() {
    let mut decoder = Decoder::new();
    assert!(decoder.next(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n").is_ok());
    decoder.discard(2);
}

#[test]
fn a_close_is_told_apart_by_whether_an_answer_had_begun() {
    let mut decoder = Decoder::new();
    decoder.start(GET);
    assert!(!decoder.started());
    assert_eq!(decoder.next(b""), Ok((0, Event::NeedMore)));
    assert_eq!(decoder.finish(), Err(DecodeError::Closed { started: false }));
    assert_eq!(decoder.next(b"H"), Ok((1, Event::NeedMore)));
    assert!(decoder.started());
    let error = decoder.finish().expect_err("no answer");
    assert_eq!(error, DecodeError::Closed { started: true });
    assert_eq!(error.to_string(), "the peer closed in the middle of an answer");
    decoder.start(GET);
    assert!(!decoder.started());
}

#[test]
fn a_new_request_forgets_the_answer_under_way() {
    for answer in CORPUS {
        let mut decoder = Decoder::new();
        for at in 0..answer.len() {
            decoder.start(GET);
            // How the piece fares does not matter; the answer after it must.
            let _ = decoder.next(&answer[..at]);
            decoder.start(GET);
            assert!(matches!(decoder.next(b"HTTP/1.1 204 x\r\n\r\n"), Ok((18, Event::Head(_)))));
            assert_eq!(decoder.next(b""), Ok((0, Event::End)));
        }
    }
}

#[test]
fn what_must_always_hold_holds_for_mutated_answers() {
    let telling: Vec<&[u8]> = b"\r\n :;,0159aAfF\t\0\x7f\xffH.-+".chunks(1).chain([&b"\r\n"[..]]).collect();
    crate::mutation::run("decode", CORPUS, &telling, 20_000, fuzz_decode);
}
