//! A rendered HTTP/1.1 request as HTTP/2 says the same (RFC 9113 section 8.3), and the head of an answer the other way.
//!
//! What a request is stays in one place, its rendering; here it only changes its dress. Knows no frames and no sockets.

use std::fmt::Write as _;

use http::header::{HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};
use http::uri::{Authority, InvalidUri, PathAndQuery, Scheme, Uri};
use http::{Method, Request};

use super::decode::{BodyLength, Head};
use crate::plan::request::{DEFAULT_ACCEPT, DEFAULT_USER_AGENT};

/// Headers that speak of an HTTP/1 connection and must not be sent (RFC 9113 section 8.2.2), and Host, which becomes
/// `:authority`.
const LEFT_OUT: [&[u8]; 8] = [
    b"host",
    b"connection",
    b"proxy-connection",
    b"keep-alive",
    b"transfer-encoding",
    b"upgrade",
    b"te",
    b"http2-settings",
];

/// The request whose HTTP/1.1 head `rendered` begins with, and where its body begins. `authority` is asked for where there
/// is no Host header.
///
/// # Errors
/// What HTTP/2 cannot carry: a control character in a value, a Host that is no authority.
pub fn request(rendered: &[u8], scheme: Scheme, authority: &str) -> Result<(Request<()>, usize), String> {
    let end = memchr::memmem::find(rendered, b"\r\n\r\n").ok_or("the request has no end of its head")? + 4;
    let mut lines = rendered[..end].split(|&byte| byte == b'\n').map(|line| line.trim_ascii());
    let mut words = lines.next().unwrap_or_default().split(|&byte| byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut host = authority.as_bytes();
    let mut headers = HeaderMap::new();
    for line in lines.filter(|line| !line.is_empty()) {
        let colon = memchr::memchr(b':', line).ok_or("a header has no colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"host") {
            host = value;
        }
        if LEFT_OUT.iter().any(|left_out| name.eq_ignore_ascii_case(left_out)) {
            continue;
        }
        let shown = String::from_utf8_lossy(name);
        let name = HeaderName::from_bytes(name).map_err(|_| format!("HTTP/2 cannot carry a header named {shown:?}"))?;
        let value = header_value(value)
            .map_err(|_| format!("HTTP/2 cannot carry the value of {shown}: it has a control character"))?;
        headers.append(name, value);
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(scheme);
    uri.authority = Some(Authority::try_from(host).map_err(|_| "the Host header is no authority, as HTTP/2 needs")?);
    uri.path_and_query = Some(path_and_query(target).map_err(|_| "HTTP/2 cannot carry the target")?);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).map_err(|_| "HTTP/2 cannot carry the method")?;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|error| error.to_string())?;
    *request.headers_mut() = headers;
    Ok((request, end))
}

// A request is cloned each time that it is sent. What most have in common is not counted by reference: that costs an atomic
// operation at each cloning and each dropping.

fn header_value(value: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
    let known = [DEFAULT_USER_AGENT, DEFAULT_ACCEPT].into_iter().find(|known| known.as_bytes() == value);
    known.map_or_else(|| HeaderValue::from_bytes(value), |known| Ok(HeaderValue::from_static(known)))
}

fn path_and_query(target: &[u8]) -> Result<PathAndQuery, InvalidUri> {
    if target == b"/" { Ok(PathAndQuery::from_static("/")) } else { PathAndQuery::try_from(target) }
}

/// The head of an answer as HTTP/1.1 would have it, for those who read heads; written into `text`.
pub fn head<'a>(status: u16, headers: &HeaderMap, text: &'a mut Vec<u8>) -> Head<'a> {
    text.clear();
    let mut line = String::with_capacity(24);
    // Writing to a string cannot fail.
    let _ = write!(line, "HTTP/2 {status}\r\n");
    text.extend_from_slice(line.as_bytes());
    for (name, value) in headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(piece);
        }
    }
    text.extend_from_slice(b"\r\n");
    Head { status, keep_alive: true, body: BodyLength::UntilClose, raw: text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rendered: &str) -> Result<(Request<()>, usize), String> {
        request(rendered.as_bytes(), Scheme::HTTPS, "origin:8443")
    }

    #[test]
    fn a_request_keeps_its_headers_but_for_those_of_the_connection() {
        let text = "POST /a?b=c HTTP/1.1\r\nHost: typed:1\r\nUser-Agent: r\r\nX-A: 1\r\nX-A:  2 \r\nConnection: close\r\n\
                    Content-Length: 4\r\n\r\nbody";
        let (request, body_at) = of(text).expect("a request");
        assert_eq!(
            (request.method().as_str(), request.uri().to_string()),
            ("POST", "https://typed:1/a?b=c".to_owned())
        );
        let headers: Vec<_> =
            request.headers().iter().map(|(name, value)| format!("{name}={}", value.to_str().expect("text"))).collect();
        assert_eq!(headers, ["user-agent=r", "x-a=1", "x-a=2", "content-length=4"]);
        assert_eq!(&text[body_at..], "body");
    }

    #[test]
    fn what_most_requests_have_in_common_is_said_like_anything_else() {
        let text = format!("GET / HTTP/1.1\r\nUser-Agent: {DEFAULT_USER_AGENT}\r\nAccept: {DEFAULT_ACCEPT}\r\n\r\n");
        let (request, _) = of(&text).expect("a request");
        let value = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
        assert_eq!(request.uri().to_string(), "https://origin:8443/");
        assert_eq!(value("user-agent"), Some(DEFAULT_USER_AGENT.as_bytes()));
        assert_eq!(value("accept"), Some(DEFAULT_ACCEPT.as_bytes()));
    }

    #[test]
    fn without_a_host_header_the_origin_is_asked_for() {
        let (request, _) = of("OPTIONS * HTTP/1.1\r\n\r\n").expect("a request");
        assert_eq!(request.uri().authority().map(Authority::as_str), Some("origin:8443"));
        assert_eq!(request.uri().path(), "*");
    }

    #[test]
    fn what_http_2_cannot_carry_is_refused_without_the_value() {
        for (text, part) in [
            ("GET / HTTP/1.1\r\nX-A: hu\x01sh\r\n\r\n", "value of X-A"),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "no authority"),
        ] {
            let error = of(text).expect_err(part);
            assert!(error.contains(part) && !error.contains("hu"), "{error}");
        }
    }

    #[test]
    fn a_head_reads_back() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("text/plain"));
        let mut text = b"old".to_vec();
        let head = head(204, &headers, &mut text);
        assert_eq!((head.status, head.header("Content-Type")), (204, Some(&b"text/plain"[..])));
    }
}
