//! Answer heads as bytes. Pure: the caller stamps the time of sending once it is known.

use super::decimal;
use super::request::{BodyLength, Request};
use crate::units::Nanos;

/// Everything an answer's head says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    /// How the body ends; not written where the status allows no body.
    pub(super) body: BodyLength,
    pub(super) content_type: &'static str,
    /// When the read that completed the request's head returned.
    pub(super) received: Nanos,
    pub(super) connection: Connection,
}

/// What the head says of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// HTTP/1.1 keeps it by default: nothing to say.
    Kept,
    /// Kept, and said so for an HTTP/1.0 client.
    KeptAloud,
    /// Closed behind this answer.
    Closes,
}

impl Connection {
    /// What `request` asked for.
    pub(super) fn of(request: &Request) -> Self {
        match (request.keep_alive, request.http_1_0) {
            (false, _) => Self::Closes,
            (true, true) => Self::KeptAloud,
            (true, false) => Self::Kept,
        }
    }
}

/// Plain text.
pub(super) const TEXT: &str = "text/plain";

impl Head {
    /// The head of a 200 answer of plain text.
    pub(super) fn ok(request: &Request, received: Nanos, length: u64) -> Self {
        let body = BodyLength::Sized(length);
        Self { status: 200, body, content_type: TEXT, received, connection: Connection::of(request) }
    }

    /// Appends the head and returns where in `out` the field for the time of sending begins: [`decimal::WIDTH`] spaces,
    /// which are a valid start of a header's value.
    #[inline]
    pub(super) fn append(&self, out: &mut Vec<u8>) -> usize {
        if self.status == 200 {
            out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        } else {
            out.extend_from_slice(b"HTTP/1.1 ");
            decimal::append(out, u64::from(self.status));
            out.push(b' ');
            out.extend_from_slice(reason(self.status).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        if allows_body(self.status) {
            match self.body {
                BodyLength::Sized(length) => {
                    out.extend_from_slice(b"Content-Length: ");
                    decimal::append(out, length);
                }
                BodyLength::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked"),
            }
            out.extend_from_slice(b"\r\nContent-Type: ");
            out.extend_from_slice(self.content_type.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match self.connection {
            Connection::Kept => {}
            Connection::KeptAloud => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            Connection::Closes => out.extend_from_slice(b"Connection: close\r\n"),
        }
        out.extend_from_slice(b"X-Recv-Ns: ");
        decimal::append(out, self.received.0);
        out.extend_from_slice(b"\r\nX-Send-Ns: ");
        let stamp = out.len();
        out.extend_from_slice(&[b' '; decimal::WIDTH]);
        out.extend_from_slice(b"\r\n\r\n");
        stamp
    }
}

/// Writes the time of sending where [`Head::append`] left room for it.
#[inline]
pub(super) fn stamp(out: &mut [u8], at: usize, sent: Nanos) {
    out[at..at + decimal::WIDTH].copy_from_slice(&decimal::padded(sent.0));
}

/// Whether an answer of this status has a body, and a length to announce (RFC 9110 section 6.4.1).
pub(super) fn allows_body(status: u16) -> bool {
    !matches!(status, 204 | 304)
}

/// The reason phrase of the usual statuses; empty, which is valid, for others.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(status: u16, connection: Connection) -> String {
        let body = BodyLength::Sized(12);
        let head = Head { status, body, content_type: TEXT, received: Nanos(1_234), connection };
        let mut out = b"before".to_vec();
        let at = head.append(&mut out);
        stamp(&mut out, at, Nanos(5_678));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_head_carries_both_times() {
        expect_test::expect![[r#"
            beforeHTTP/1.1 200 OK
            Content-Length: 12
            Content-Type: text/plain
            X-Recv-Ns: 1234
            X-Send-Ns:                 5678

        "#]]
        .assert_eq(&written(200, Connection::Kept).replace("\r\n", "\n"));
    }

    #[test]
    fn a_status_without_a_body_announces_none() {
        for status in [204, 304] {
            assert!(!written(status, Connection::Closes).contains("Content-"));
        }
        assert!(written(599, Connection::Closes).starts_with("beforeHTTP/1.1 599 \r\nContent-Length: 12\r\n"));
        assert!(written(404, Connection::KeptAloud).contains("404 Not Found\r\n"));
        assert!(written(404, Connection::KeptAloud).contains("\r\nConnection: keep-alive\r\n"));
    }
}
