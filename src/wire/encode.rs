//! Requests as bytes: exactly what the plan's templates hold, in their order and case.

use crate::plan::request::Template;

/// Digits of the longest length.
const DIGITS: usize = 20;

/// Replaces what `out` holds by the head of the request for `target` (RFC 9112 section 3), its empty line included;
/// `own_body` is the length of the line's own body, said where the template has a place for it.
///
/// The plan has checked every part; allocates only when `out` is too small.
pub fn render(out: &mut Vec<u8>, template: &Template, target: &str, own_body: Option<usize>) {
    debug_assert!(target.starts_with('/') && !target.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
    debug_assert!(template.header_lines.is_empty() || template.header_lines.ends_with("\r\n"));
    out.clear();
    for part in [&template.method, " ", target, " HTTP/1.1\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let lines = template.header_lines.as_bytes();
    match template.length_at.zip(own_body) {
        None => out.extend_from_slice(lines),
        Some((at, length)) => {
            out.extend_from_slice(&lines[..at]);
            out.extend_from_slice(b"Content-Length: ");
            push_decimal(out, length);
            out.extend_from_slice(b"\r\n");
            out.extend_from_slice(&lines[at..]);
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn push_decimal(out: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; DIGITS];
    let mut from = DIGITS;
    loop {
        from -= 1;
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::origin::parse_site;
    use crate::plan::request::{Common, Own, parse_header};

    #[test]
    fn a_request_goes_out_as_typed_and_reuses_its_buffer() {
        let edits = ["x-b: 2", "Accept:", "User-Agent:"].map(|text| parse_header(text, false).expect(text)).to_vec();
        let common = Common { edits, body_bytes: None, keep_alive: true };
        let site = parse_site("http://host:8080").expect("a site");
        let template = Template::new(&common, 0, &site, "OPTIONS", Own::default());
        let mut out = Vec::with_capacity(256);
        let room = out.as_ptr();
        for target in ["/a?b=c", "/"] {
            render(&mut out, &template, target, None);
            assert_eq!(out, format!("OPTIONS {target} HTTP/1.1\r\nHost: host:8080\r\nx-b: 2\r\n\r\n").as_bytes());
        }
        assert_eq!(out.as_ptr(), room);
    }

    #[test]
    fn the_length_of_a_line_s_own_body_stands_among_the_defaults() {
        let edits = ["Accept:", "User-Agent:", "X-A: b"].map(|text| parse_header(text, false).expect(text)).to_vec();
        let common = Common { edits, body_bytes: Some(7), keep_alive: true };
        let site = parse_site("http://host").expect("a site");
        let template = Template::new(&common, 0, &site, "PUT", Own { edits: &[], body: true });
        let mut out = Vec::new();
        for length in [0, 9, 10, 65_537, usize::MAX] {
            render(&mut out, &template, "/", Some(length));
            let expected = format!("PUT / HTTP/1.1\r\nHost: host\r\nContent-Length: {length}\r\nX-A: b\r\n\r\n");
            assert_eq!(out, expected.as_bytes());
        }
    }
}
