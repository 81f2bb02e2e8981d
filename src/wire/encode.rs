//! Requests as bytes: exactly what the plan's templates hold, in their order and case.

use crate::plan::origin::{parse_site, push_target, split};
use crate::plan::proxy::Form;
use crate::plan::request::{Common, HeaderEdit, Own, Template, check_method, is_token, parse_header};

/// Digits of the longest length.
const DIGITS: usize = 20;

/// Replaces what `out` holds by the head of the request for `target` (RFC 9112 section 3), its empty line included;
/// `own_body` is the length of the line's own body, said where the template has a place for it.
///
/// The plan has checked every part; allocates only when `out` is too small.
pub fn render(out: &mut Vec<u8>, template: &Template, target: &str, own_body: Option<usize>) {
    render_as(&Form::Origin, out, template, target, own_body);
}

/// The same for a request that is addressed as `form` says.
pub fn render_as(form: &Form, out: &mut Vec<u8>, template: &Template, target: &str, own_body: Option<usize>) {
    debug_assert!(target.starts_with('/') && !target.bytes().any(|byte| byte <= b' ' || byte == 0x7f));
    debug_assert!(template.header_lines.is_empty() || template.header_lines.ends_with("\r\n"));
    let (site, authorization) = match form {
        Form::Origin => ("", ""),
        Form::Absolute(_) if template.proxy_authorized => (template.absolute.as_str(), ""),
        Form::Absolute(line) => (template.absolute.as_str(), line.as_str()),
    };
    out.clear();
    for part in [&template.method, " ", site, target, " HTTP/1.1\r\n"] {
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
    out.extend_from_slice(authorization.as_bytes());
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

/// Checks what must hold for every request that the plan accepts: `bytes` are a line of a URL set, then a header a line,
/// those from the middle on as the line's own; what is rendered is one head, of the method, target and headers that were
/// asked for and of no line more.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_render(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (line, headers) = text.split_once('\n').unwrap_or((text, ""));
    let edits: Vec<HeaderEdit> = headers.split('\n').filter_map(|header| parse_header(header, false).ok()).collect();
    let (all, own) = edits.split_at(edits.len() / 2);
    let has_body = bytes.len() % 2 == 1;
    let Some((method, url)) = line.split_once(' ') else { return };
    let Ok((site, rest)) = split(url) else { return };
    let (Ok(()), Ok(site)) = (check_method(method), parse_site(site)) else { return };
    let mut target = String::new();
    push_target(&mut target, rest);
    let common = Common { edits: all.to_vec(), keep_alive: true, forwarded: true, ..Common::default() };
    let template = Template::new(&common, 0, &site, method, Own { edits: own, body: has_body });
    let mut out = Vec::new();
    render(&mut out, &template, &target, has_body.then_some(bytes.len()));
    let mut forwarded = Vec::new();
    let form = Form::Absolute("Proxy-Authorization: Basic eDp5\r\n".to_owned());
    render_as(&form, &mut forwarded, &template, &target, has_body.then_some(bytes.len()));
    let says_so = |edit: &HeaderEdit| edit.name().eq_ignore_ascii_case("proxy-authorization");
    let added = if edits.iter().any(says_so) { "" } else { "Proxy-Authorization: Basic eDp5\r\n" };
    let plain = String::from_utf8(out.clone()).expect("text of text");
    let head = plain[..plain.len() - 2].replacen(' ', &format!(" {}", site.origin), 1);
    assert_eq!(String::from_utf8(forwarded).expect("text of text"), format!("{head}{added}\r\n"));

    let out = String::from_utf8(out).expect("text of text");
    let head = out.strip_suffix("\r\n\r\n").expect("an empty line at the end");
    let mut lines = head.split("\r\n");
    assert_eq!(lines.next(), Some(format!("{method} {target} HTTP/1.1").as_str()));
    let mut names = Vec::new();
    for line in lines {
        assert!(!line.contains(['\r', '\n', '\0']), "{out:?}");
        let (name, _) = line.split_once(": ").expect("a name and a value");
        assert!(is_token(name), "{out:?}");
        names.push(name);
    }
    let count = |name: &str| names.iter().filter(|other| other.eq_ignore_ascii_case(name)).count();
    for name in ["Host", "User-Agent", "Accept", "Authorization", "Content-Length"] {
        let asked = edits.iter().filter(|edit| edit.name().eq_ignore_ascii_case(name)).count();
        assert!(count(name) <= asked.max(1), "{name} in {out:?}");
    }
    for edit in own {
        let line = match edit {
            HeaderEdit::Set(header) => format!("\r\n{}: {}\r\n", header.name, header.value),
            HeaderEdit::Remove(_) => continue,
        };
        assert!(out.contains(&line), "{line:?} is not in {out:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_out_as_typed_and_reuses_its_buffer() {
        let edits = ["x-b: 2", "Accept:", "User-Agent:"].map(|text| parse_header(text, false).expect(text)).to_vec();
        let common = Common { edits, keep_alive: true, ..Common::default() };
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
    fn what_a_proxy_forwards_has_the_whole_url_and_says_who_we_are() {
        let form = Form::Absolute("Proxy-Authorization: Basic eDp5\r\n".to_owned());
        for (more, added) in [("X-A: b", "Proxy-Authorization: Basic eDp5\r\n"), ("proxy-authorization: z", "")] {
            let edits = ["Accept:", "User-Agent:", more].map(|text| parse_header(text, false).expect(text)).to_vec();
            let common = Common { edits, keep_alive: true, forwarded: true, ..Common::default() };
            let site = parse_site("http://host:8080").expect("a site");
            let template = Template::new(&common, 0, &site, "GET", Own::default());
            let mut out = Vec::new();
            render_as(&form, &mut out, &template, "/a?b", None);
            let expected = format!("GET http://host:8080/a?b HTTP/1.1\r\nHost: host:8080\r\n{more}\r\n{added}\r\n");
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn the_length_of_a_line_s_own_body_stands_among_the_defaults() {
        let edits = ["Accept:", "User-Agent:", "X-A: b"].map(|text| parse_header(text, false).expect(text)).to_vec();
        let common = Common { edits, body_bytes: Some(7), keep_alive: true, ..Common::default() };
        let site = parse_site("http://host").expect("a site");
        let template = Template::new(&common, 0, &site, "PUT", Own { edits: &[], body: true });
        let mut out = Vec::new();
        for length in [0, 9, 10, 65_537, usize::MAX] {
            render(&mut out, &template, "/", Some(length));
            let expected = format!("PUT / HTTP/1.1\r\nHost: host\r\nContent-Length: {length}\r\nX-A: b\r\n\r\n");
            assert_eq!(out, expected.as_bytes());
        }
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_requests() {
        let corpus: [&[u8]; 5] = [
            b"GET http://host:8080/a?b=c\nAccept:\nX-A: b\nx-a: c\nHost: other",
            b"POST http://me:pw@host\nContent-Length: 9\nX-Empty;",
            "PUT http://[::1]/\u{fc}\nUser-Agent:\nAuthorization: Bearer x\nauthorization;".as_bytes(),
            b"OPTIONS http://a/%0d%0aX:%20y\nA: \x01\t.",
            b"HEAD http://a/#\nconnection: close\nA:b",
        ];
        let telling: [&[u8]; 10] =
            [b"\n", b"\r", b"\r\n", b"\0", b": ", b";", b" ", b"Host:", b"Content-Length: 5", b"\nAccept:"];
        crate::mutation::run("requests", &corpus, &telling, 10_000, fuzz_render);
    }
}
