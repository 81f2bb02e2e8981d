//! One line of what is to be fetched: a URL with an optional METHOD before it, or an object of JSON.

use std::borrow::Cow;

use crate::plan::jsonlines;
use crate::plan::origin::split;
use crate::plan::request::{HeaderEdit, check_method};
use crate::plan::urlset::{JSON_LINE_BYTES_MAX, LINE_BYTES_MAX, first_column, text};

/// The longest line that is read.
pub const BYTES_MAX: usize = JSON_LINE_BYTES_MAX;

/// What one line asks for, checked but for its host.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Where the line names one.
    pub method: Option<Cow<'a, str>>,
    /// As typed.
    pub url: Cow<'a, str>,
    /// They replace headers of the same name that all requests have.
    pub headers: Vec<HeaderEdit>,
    /// Instead of the body that all requests have.
    pub body: Option<Vec<u8>>,
    /// By which its user knows it again.
    pub tag: Option<String>,
}

/// Reads a line without its end, `json` where the input is JSON Lines; `None` where it is blank or a comment.
///
/// # Errors
/// What is wrong with it and the remedy; a value is never quoted.
pub fn parse_line(line: &[u8], json: bool) -> Result<Option<Asked<'_>>, String> {
    let line = text(line, if json { JSON_LINE_BYTES_MAX } else { LINE_BYTES_MAX })?;
    if line.is_empty() || (!json && line.starts_with('#')) {
        return Ok(None);
    }
    let asked = if json { parse_json(line)? } else { parse_plain(line)? };
    if asked.url.len() > LINE_BYTES_MAX {
        return Err(format!("{} bytes is too long for a URL; the limit is {LINE_BYTES_MAX}", asked.url.len()));
    }
    if let Some(method) = &asked.method {
        check_method(method)?;
    }
    split(&asked.url)?;
    Ok(Some(asked))
}

fn parse_json(line: &str) -> Result<Asked<'_>, String> {
    let target = jsonlines::parse(line)?;
    let (method, url, headers, body) = (target.method, target.url, target.headers, target.body);
    Ok(Asked { method, url, headers, body, tag: target.tag })
}

fn parse_plain(line: &str) -> Result<Asked<'_>, String> {
    let (method, url) = first_column(line).map_or((None, line), |(method, url)| (Some(method), url));
    Ok(Asked { method: method.map(Cow::from), url: url.into(), headers: Vec::new(), body: None, tag: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_url_a_method_and_a_url_or_json() {
        let plain = parse_line(b"http://me@a/b?c#d", false).expect("a URL").expect("a line");
        assert_eq!((plain.method.as_deref(), &*plain.url), (None, "http://me@a/b?c#d"));
        let with = parse_line(b"HEAD \t http://a/", false).expect("a URL").expect("a line");
        assert_eq!((with.method.as_deref(), &*with.url), (Some("HEAD"), "http://a/"));
        let json = parse_line(br#"{"url":"http://a/","body":"aGk=","tag":"t"}"#, true).expect("JSON").expect("a line");
        assert_eq!((json.body.as_deref(), json.tag.as_deref()), (Some(&b"hi"[..]), Some("t")));
        for nothing in [&b""[..], b"  ", b"# http://a/"] {
            assert_eq!(parse_line(nothing, false), Ok(None));
        }
    }

    #[test]
    fn a_line_that_asks_for_nothing_that_can_be_had_says_why() {
        for (line, json, part) in [
            (&b"a.example"[..], false, "without a scheme"),
            (b"G@T http://a/", false, "no method"),
            (b"CONNECT http://a/", false, "tunnel"),
            (b"http://a/x y", false, "percent-encode"),
            (b"http://a/", true, "no JSON"),
            (b"\xff", false, "text"),
        ] {
            let error = parse_line(line, json).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
