//! Requests as bytes: exactly what was typed, in its order and case.
//!
//! Owns the spelling of a request head and the checks that keep one line from becoming two. Knows nothing of URLs,
//! defaults or bodies; whoever builds the headers has decided which to send.

use std::fmt;

/// The parts of a request head, each checked by whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method, a token ([`is_token`]).
    pub method: &'a str,
    /// The request target, normally in origin-form (`/path?query`); not empty, free of spaces and control characters.
    pub target: &'a str,
    /// Zero or more header lines, each ended by CRLF, as [`render_header`] writes them.
    pub headers: &'a [u8],
}

/// Replaces what `out` holds by the request head, its empty line included (RFC 9112 section 3). Allocates only when
/// `out` is too small.
pub fn render(out: &mut Vec<u8>, head: &RequestHead<'_>) {
    debug_assert!(is_token(head.method), "the method is checked when the plan is made");
    debug_assert!(
        !head.target.is_empty() && !head.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f),
        "the target is checked when the plan is made"
    );
    debug_assert!(head.headers.is_empty() || head.headers.ends_with(b"\r\n"), "header lines end in CRLF");
    out.clear();
    for part in [head.method.as_bytes(), b" ", head.target.as_bytes(), b" HTTP/1.1\r\n", head.headers, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Appends the line `Name: value` with its CRLF; an empty value gives `Name:`. Both are expected to have passed
/// [`check_header_name`] and [`check_header_value`].
pub fn render_header(out: &mut Vec<u8>, name: &str, value: &str) {
    debug_assert_eq!(check_header_name(name), Ok(()));
    debug_assert_eq!(check_header_value(value), Ok(()));
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    if !value.is_empty() {
        out.push(b' ');
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Why a header cannot be sent. Positions are bytes from the start of the name or the value.
#[derive(thiserror::Error, Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// The name has no character at all.
    #[error("the header name is empty")]
    EmptyName,
    /// The name holds a character that no token may (RFC 9110 section 5.1).
    #[error("the header name has {} at byte {at}; letters, digits and !#$%&'*+-.^_`|~ are allowed", Shown(*.found))]
    NameCharacter {
        /// The first character that is not allowed.
        found: char,
        /// Where it stands.
        at: usize,
    },
    /// The value holds CR, LF or NUL, which would end the line or be refused by any server (RFC 9110 section 5.5).
    #[error("the header value has {} at byte {at}; CR, LF and NUL cannot be sent", Shown(*.found))]
    ValueCharacter {
        /// The first character that is not allowed.
        found: char,
        /// Where it stands.
        at: usize,
    },
}

/// Whether `text` is a token (RFC 9110 section 5.6.2): a method or a header name.
pub fn is_token(text: &str) -> bool {
    is_token_bytes(text.as_bytes())
}

/// Whether a header may carry this name.
///
/// # Errors
/// [`HeaderError::EmptyName`], or [`HeaderError::NameCharacter`] with the first character that is not a token's.
pub fn check_header_name(name: &str) -> Result<(), HeaderError> {
    if name.is_empty() {
        return Err(HeaderError::EmptyName);
    }
    let allowed = |c: char| u8::try_from(c).is_ok_and(is_token_byte);
    match name.char_indices().find(|&(_, c)| !allowed(c)) {
        Some((at, found)) => Err(HeaderError::NameCharacter { found, at }),
        None => Ok(()),
    }
}

/// Whether a header may carry this value. Everything but CR, LF and NUL is sent as typed: what a server makes of odd
/// values is for the user to find out.
///
/// # Errors
/// [`HeaderError::ValueCharacter`] with the first of these three.
pub fn check_header_value(value: &str) -> Result<(), HeaderError> {
    match value.char_indices().find(|&(_, c)| matches!(c, '\r' | '\n' | '\0')) {
        Some((at, found)) => Err(HeaderError::ValueCharacter { found, at }),
        None => Ok(()),
    }
}

/// [`is_token`] for bytes that came over the wire.
pub(super) fn is_token_bytes(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// A character as a terminal may show it: by name where it has one, escaped where it is not visible.
struct Shown(char);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            '\r' => f.write_str("CR"),
            '\n' => f.write_str("LF"),
            '\0' => f.write_str("NUL"),
            '\t' => f.write_str("a tab"),
            ' ' => f.write_str("a space"),
            c => write!(f, "'{}'", c.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_request_is_sent_in_the_order_and_case_it_was_typed() {
        let mut headers = Vec::new();
        render_header(&mut headers, "hOsT", "example.com");
        render_header(&mut headers, "X-Empty", "");
        render_header(&mut headers, "accept", " */* ");
        let mut out = b"what was here before".to_vec();
        render(&mut out, &RequestHead { method: "GET", target: "/a?b=c", headers: &headers });
        assert_eq!(
            out.escape_ascii().to_string(),
            r"GET /a?b=c HTTP/1.1\r\nhOsT: example.com\r\nX-Empty:\r\naccept:  */* \r\n\r\n"
        );
    }

    #[test]
    fn a_request_without_headers_still_ends_in_an_empty_line() {
        let mut out = Vec::new();
        render(&mut out, &RequestHead { method: "get", target: "*", headers: b"" });
        assert_eq!(out, b"get * HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn rendering_again_into_the_same_buffer_allocates_nothing() {
        let head = RequestHead { method: "DELETE", target: "/x", headers: b"Host: a\r\n" };
        let mut out = Vec::new();
        render(&mut out, &head);
        let (place, capacity) = (out.as_ptr(), out.capacity());
        render(&mut out, &head);
        assert_eq!((out.as_ptr(), out.capacity()), (place, capacity));
    }

    #[test]
    fn tokens_are_the_visible_characters_without_delimiters() {
        for token in ["GET", "x", "!#$%&'*+-.^_`|~", "M-SEARCH", "0"] {
            assert!(is_token(token), "{token}");
        }
        for other in ["", " ", "GE T", "GET\r", "a:b", "a/b", "\"a\"", "(a)", "a;b", "ä", "\u{7f}", "\0"] {
            assert!(!is_token(other), "{other:?}");
        }
    }

    #[test]
    fn a_header_that_would_break_the_line_is_refused_and_shown_where() {
        let mut text = String::new();
        for name in ["X-Good", "", "a b", "Name:", "Näme", "a\r\nb", "a\u{1b}[2J"] {
            text +=
                &format!("{name:?}: {}\n", check_header_name(name).map_or_else(|e| e.to_string(), |()| "ok".into()));
        }
        for value in ["", "fine, \ttoo: ä \u{1b}", "a\rb", "a\nb", "ä\0", "\r\nX: y"] {
            text +=
                &format!("{value:?}: {}\n", check_header_value(value).map_or_else(|e| e.to_string(), |()| "ok".into()));
        }
        expect![[r#"
            "X-Good": ok
            "": the header name is empty
            "a b": the header name has a space at byte 1; letters, digits and !#$%&'*+-.^_`|~ are allowed
            "Name:": the header name has ':' at byte 4; letters, digits and !#$%&'*+-.^_`|~ are allowed
            "Näme": the header name has 'ä' at byte 1; letters, digits and !#$%&'*+-.^_`|~ are allowed
            "a\r\nb": the header name has CR at byte 1; letters, digits and !#$%&'*+-.^_`|~ are allowed
            "a\u{1b}[2J": the header name has '\u{1b}' at byte 1; letters, digits and !#$%&'*+-.^_`|~ are allowed
            "": ok
            "fine, \ttoo: ä \u{1b}": ok
            "a\rb": the header value has CR at byte 1; CR, LF and NUL cannot be sent
            "a\nb": the header value has LF at byte 1; CR, LF and NUL cannot be sent
            "ä\0": the header value has NUL at byte 2; CR, LF and NUL cannot be sent
            "\r\nX: y": the header value has CR at byte 0; CR, LF and NUL cannot be sent
        "#]]
        .assert_eq(&text);
    }
}
