//! Requests as bytes: exactly what the plan's templates hold, in their order and case.

use crate::plan::request::Template;

/// Replaces what `out` holds by the head of the request for `target` (RFC 9112 section 3), its empty line included.
///
/// The plan has checked every part; allocates only when `out` is too small.
pub fn render(out: &mut Vec<u8>, template: &Template, target: &str) {
    debug_assert!(target.starts_with('/') && !target.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
    debug_assert!(template.header_lines.is_empty() || template.header_lines.ends_with("\r\n"));
    out.clear();
    for part in [&template.method, " ", target, " HTTP/1.1\r\n", &template.header_lines, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::origin::parse_site;
    use crate::plan::request::{Common, parse_header};

    #[test]
    fn a_request_goes_out_as_typed_and_reuses_its_buffer() {
        let edits = ["x-b: 2", "Accept:", "User-Agent:"].map(|text| parse_header(text, false).expect(text)).to_vec();
        let common = Common { edits, body_bytes: None, keep_alive: true };
        let site = parse_site("http://host:8080").expect("a site");
        let template = Template::new(&common, 0, &site, "OPTIONS");
        let mut out = Vec::with_capacity(256);
        let room = out.as_ptr();
        for target in ["/a?b=c", "/"] {
            render(&mut out, &template, target);
            assert_eq!(out, format!("OPTIONS {target} HTTP/1.1\r\nHost: host:8080\r\nx-b: 2\r\n\r\n").as_bytes());
        }
        assert_eq!(out.as_ptr(), room);
    }
}
