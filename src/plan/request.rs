//! Request templates: everything of a request but its target, checked once and rendered once.
//!
//! Header lines keep the case and the order in which they were typed (contract section 5).

use std::fmt::Write as _;

use super::auth::{Authorization, basic};
use super::origin::Site;

/// What answers may be encoded with, where compressed ones are asked for: all that can be decoded but deflate, which has
/// two meanings.
const ACCEPTED_CODINGS: &str = "gzip, br, zstd";
/// The `User-Agent` of a request that names no other.
pub const DEFAULT_USER_AGENT: &str = concat!("ringload/", env!("CARGO_PKG_VERSION"));
/// The `Accept` of a request that names no other.
pub const DEFAULT_ACCEPT: &str = "*/*";

/// One header as it goes on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// A token, in the case in which it was typed.
    pub name: String,
    /// May be empty; holds no CR, LF or NUL.
    pub value: String,
    /// From a file: never shown, whatever its name.
    pub secret: bool,
}

/// What `-H` asks of a request's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderEdit {
    /// `Name: value` or `Name;` (empty): adds, or replaces a default.
    Set(Header),
    /// `Name:` leaves a default out.
    Remove(String),
}

impl HeaderEdit {
    /// Which header it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Set(header) => &header.name,
            Self::Remove(name) => name,
        }
    }
}

/// Bodies up to this size go out with the head, in one piece.
pub const SMALL_BODY_BYTES: usize = 16 * 1024;

/// A request but for its target and the bytes of its body: shared by all lines of one site, method and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Index into the plan's origins.
    pub origin: u32,
    /// A token.
    pub method: String,
    /// What stands before the target where a proxy forwards the request: `http://host:port`. Empty where none does.
    pub absolute: String,
    /// The headers say themselves who we are to a proxy.
    pub proxy_authorized: bool,
    /// Rendered header lines, each with its CRLF, without the empty line that ends the head.
    pub header_lines: String,
    /// Where in `header_lines` the length of a line's own body goes; `None` where the lines have none of their own, or
    /// say its length themselves.
    pub length_at: Option<usize>,
    /// What the lines' own headers are, secret values as `***`; for the digest.
    pub own: String,
    /// RFC 9110 section 9.2.2: may be sent again after a dead connection.
    pub idempotent: bool,
}

/// What a line asks for besides site, target and method.
#[derive(Clone, Copy, Debug, Default)]
pub struct Own<'a> {
    /// They replace headers of the same name, defaults or from `-H`.
    pub edits: &'a [HeaderEdit],
    /// It has a body of its own, instead of the plan's.
    pub body: bool,
}

/// What all templates of a plan have in common.
#[derive(Clone, Debug, Default)]
pub struct Common {
    /// `-H`, in order.
    pub edits: Vec<HeaderEdit>,
    /// Sent unless an edit says otherwise; instead of those of a URL.
    pub authorization: Option<Authorization>,
    /// Asks for compressed answers, unless an edit says otherwise.
    pub compressed: bool,
    /// Length of the request body, `None` without one.
    pub body_bytes: Option<u64>,
    /// False sends `Connection: close`.
    pub keep_alive: bool,
    /// Some requests are addressed to a proxy.
    pub forwarded: bool,
}

impl Common {
    /// The headers as text, a line each, without the values of secret ones.
    pub fn shown(&self) -> String {
        shown(&self.edits)
    }
}

impl Template {
    /// The template of `method` for `site`, whose origin has the index `origin`, for lines that ask for `own`.
    pub fn new(common: &Common, origin: u32, site: &Site, method: &str, own: Own<'_>) -> Self {
        let mut header_lines = String::new();
        let mut length_at = None;
        for line in lines(common, site, method, own) {
            match line {
                // Writing to a string cannot fail.
                Line::Header(header) => {
                    let _ = write!(header_lines, "{}: {}\r\n", header.name, header.value);
                }
                Line::OwnLength => length_at = Some(header_lines.len()),
            }
        }
        let absolute = if common.forwarded { site.origin.to_string() } else { String::new() };
        let proxy_authorized =
            replaces(&common.edits, "Proxy-Authorization") || replaces(own.edits, "Proxy-Authorization");
        let idempotent = matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE");
        let (method, own) = (method.to_owned(), shown(own.edits));
        Self { origin, method, absolute, proxy_authorized, header_lines, length_at, own, idempotent }
    }
}

/// The headers as text, a line each, without the values of secret ones.
fn shown(edits: &[HeaderEdit]) -> String {
    let mut out = String::new();
    for edit in edits {
        let _ = match edit {
            HeaderEdit::Remove(name) => writeln!(out, "{name}"),
            HeaderEdit::Set(header) if header.secret || is_secret_header(&header.name) => {
                writeln!(out, "{}: ***", header.name)
            }
            HeaderEdit::Set(header) => writeln!(out, "{}: {}", header.name, header.value),
        };
    }
    out
}

/// A line of a request's head.
enum Line {
    Header(Header),
    /// Content-Length, known when the request is rendered.
    OwnLength,
}

impl Line {
    fn name(&self) -> &str {
        match self {
            Self::Header(header) => &header.name,
            Self::OwnLength => "Content-Length",
        }
    }
}

/// The headers of a request in the order in which they are sent: defaults that nobody replaced, those of `-H` that the
/// line did not replace, then the line's own.
fn lines(common: &Common, site: &Site, method: &str, own: Own<'_>) -> Vec<Line> {
    let edits = || common.edits.iter().filter(|edit| !replaces(own.edits, edit.name())).chain(own.edits);
    let mut all = defaults(common, site, method, own);
    all.retain(|line| !edits().any(|edit| edit.name().eq_ignore_ascii_case(line.name())));
    all.extend(edits().filter_map(|edit| match edit {
        HeaderEdit::Set(header) => Some(Line::Header(header.clone())),
        HeaderEdit::Remove(_) => None,
    }));
    all
}

fn replaces(edits: &[HeaderEdit], name: &str) -> bool {
    edits.iter().any(|edit| edit.name().eq_ignore_ascii_case(name))
}

fn defaults(common: &Common, site: &Site, method: &str, own: Own<'_>) -> Vec<Line> {
    let plain = |name: &str, value: String| Line::Header(Header { name: name.to_owned(), value, secret: false });
    let mut all = vec![
        plain("Host", site.origin.authority()),
        plain("User-Agent", DEFAULT_USER_AGENT.to_owned()),
        plain("Accept", DEFAULT_ACCEPT.to_owned()),
    ];
    if common.compressed {
        all.push(plain("Accept-Encoding", ACCEPTED_CODINGS.to_owned()));
    }
    if let Some(value) = authorization(common, site) {
        all.push(Line::Header(Header { name: "Authorization".to_owned(), value, secret: true }));
    }
    match common.body_bytes {
        _ if own.body => all.push(Line::OwnLength),
        Some(bytes) => all.push(plain("Content-Length", bytes.to_string())),
        None if matches!(method, "POST" | "PUT" | "PATCH") => all.push(plain("Content-Length", "0".to_owned())),
        None => {}
    }
    if !common.keep_alive {
        all.push(plain("Connection", "close".to_owned()));
    }
    all
}

/// The credentials of the options, or else of the URL, where a user may come without a password.
fn authorization(common: &Common, site: &Site) -> Option<String> {
    let of_url = |user: &String| if user.contains(':') { basic(user) } else { basic(&format!("{user}:")) };
    let of_options = common.authorization.as_ref().map(|authorization| authorization.value.clone());
    of_options.or_else(|| site.userinfo.as_ref().map(of_url))
}

/// Reads one `-H` argument or one line of a header file.
///
/// # Errors
/// What is wrong and the remedy.
pub fn parse_header(text: &str, secret: bool) -> Result<HeaderEdit, String> {
    unbroken(text)?;
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.trim())),
        None => match text.strip_suffix(';') {
            Some(name) => (name, None),
            None => return Err("a header needs a colon; write 'Name: value' (or 'Name;' for an empty one)".into()),
        },
    };
    if !is_token(name) {
        // Not quoted: a slip may have put a secret before the colon.
        return Err("what stands before the colon is no header name; use letters, digits and -".into());
    }
    no_transfer_encoding(name)?;
    Ok(match value {
        Some("") => HeaderEdit::Remove(name.to_owned()),
        Some(value) => HeaderEdit::Set(Header { name: name.to_owned(), value: value.to_owned(), secret }),
        None => HeaderEdit::Set(Header { name: name.to_owned(), value: String::new(), secret }),
    })
}

/// Nothing in it ends a line of a request.
fn unbroken(text: &str) -> Result<(), String> {
    match text.chars().find(|c| matches!(c, '\r' | '\n' | '\0')) {
        Some(bad) => Err(format!("a header must not hold {bad:?}; give each header its own -H")),
        None => Ok(()),
    }
}

fn no_transfer_encoding(name: &str) -> Result<(), String> {
    if name.eq_ignore_ascii_case("transfer-encoding") {
        return Err("bodies are sent with Content-Length; leave Transfer-Encoding out".into());
    }
    Ok(())
}

/// A header that an input line names, sent with this value, or not at all; the checks of [`parse_header`].
///
/// # Errors
/// What is wrong, without the value.
pub fn header(name: &str, value: Option<&str>) -> Result<HeaderEdit, String> {
    if !is_token(name) {
        return Err("a key of header is no header name; use letters, digits and -".into());
    }
    unbroken(value.unwrap_or_default())?;
    no_transfer_encoding(name)?;
    let name = name.to_owned();
    Ok(match value {
        Some(value) => HeaderEdit::Set(Header { name, value: value.trim().to_owned(), secret: false }),
        None => HeaderEdit::Remove(name),
    })
}

/// What is wrong with `method`, where it is none that a load can use.
///
/// # Errors
/// That, and the remedy.
pub fn check_method(method: &str) -> Result<(), String> {
    match method {
        "CONNECT" => Err("CONNECT asks for a tunnel, which a load cannot use; choose another method".into()),
        _ if is_token(method) => Ok(()),
        // Not quoted: it may be the start of a URL, credentials and all, that holds a space.
        _ => Err("what stands for the method is no method; write METHOD URL or a URL alone".into()),
    }
}

/// Whether `text` is a token: a method or a header name (RFC 9110 section 5.6.2).
pub fn is_token(text: impl AsRef<[u8]>) -> bool {
    let text = text.as_ref();
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// Whether a header's value is a secret by its name (contract section 5).
pub fn is_secret_header(name: &str) -> bool {
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"]
        .iter()
        .any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Checks what must hold for every text as a header, secret or not: an accepted one can break no line of a request, and
/// reads back as it is written; the value of a secret one is in no refusal and not in what is shown.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_header(bytes: &[u8]) {
    const SECRET: &str = "hush-4711";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse_header(text, false) {
        Err(problem) => assert!(!problem.contains(char::is_control), "{problem:?} about {text:?}"),
        Ok(edit) => {
            let written = match &edit {
                HeaderEdit::Set(header) if header.value.is_empty() => format!("{};", header.name),
                HeaderEdit::Set(header) => format!("{}: {}", header.name, header.value),
                HeaderEdit::Remove(name) => format!("{name}:"),
            };
            assert!(is_token(edit.name()) && !written.contains(['\r', '\n', '\0']), "{edit:?}");
            assert_eq!(parse_header(&written, false), Ok(edit), "{text:?}");
        }
    }
    if text.contains(SECRET) {
        return;
    }
    let named = ["Authorization", "proxy-authorization", "COOKIE", "Set-Cookie", "x-api-key"];
    let secrets = named.map(|name| (format!("{name}:{text}{SECRET}"), false));
    for (line, from_file) in secrets.into_iter().chain([(format!("{text}{SECRET}"), true)]) {
        match parse_header(&line, from_file) {
            Err(problem) => assert!(!problem.contains(SECRET), "{problem:?} about {line:?}"),
            // Without the colon, it is the name of a header without value.
            Ok(edit) if edit.name().contains(SECRET) => {}
            Ok(edit) => assert!(!shown(&[edit]).contains(SECRET), "{line:?} is shown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::origin::parse_site;
    use super::super::raw::RawAuth;
    use super::*;

    fn check(edits: &[&str], body_bytes: Option<u64>, keep_alive: bool, method: &str, expect: Expect) {
        let edits = edits.iter().map(|text| parse_header(text, false).expect(text)).collect();
        let common = Common { edits, body_bytes, keep_alive, ..Common::default() };
        let site = parse_site("http://host:8080").expect("a site");
        let template = Template::new(&common, 0, &site, method, Own::default());
        expect.assert_eq(&template.header_lines.replace("\r\n", "\n").replace(env!("CARGO_PKG_VERSION"), "VERSION"));
    }

    #[test]
    fn defaults_are_host_user_agent_accept() {
        check(
            &[],
            None,
            true,
            "GET",
            expect![[r#"
            Host: host:8080
            User-Agent: ringload/VERSION
            Accept: */*
        "#]],
        );
    }

    #[test]
    fn a_post_without_body_says_so_and_a_body_adds_its_length_only() {
        check(
            &["Accept:"],
            None,
            false,
            "POST",
            expect![[r#"
            Host: host:8080
            User-Agent: ringload/VERSION
            Content-Length: 0
            Connection: close
        "#]],
        );
        check(
            &["Accept:", "user-agent:"],
            Some(5),
            true,
            "POST",
            expect![[r#"
            Host: host:8080
            Content-Length: 5
        "#]],
        );
    }

    #[test]
    fn typed_headers_keep_case_and_order_and_replace_defaults() {
        check(
            &["x-B: 2", "X-a:1", "host: other", "X-a: 3", "X-Empty;", "Accept:"],
            None,
            true,
            "GET",
            expect![[r#"
            User-Agent: ringload/VERSION
            x-B: 2
            X-a: 1
            host: other
            X-a: 3
            X-Empty: 
        "#]],
        );
    }

    #[test]
    fn userinfo_becomes_basic_credentials() {
        let site = parse_site("http://me:pw@host").expect("a site");
        let common = Common { keep_alive: true, ..Common::default() };
        let template = Template::new(&common, 0, &site, "GET", Own::default());
        assert!(template.header_lines.contains("Authorization: Basic bWU6cHc=\r\n"));
    }

    #[test]
    fn credentials_of_the_options_win_over_the_url_s_and_an_explicit_header_over_both() {
        let site = parse_site("http://me:pw@host").expect("a site");
        let raw = RawAuth { bearer: Some("token".into()), ..RawAuth::default() };
        let lines = |edits: &[&str], own: &[HeaderEdit]| {
            let edits = edits.iter().map(|text| parse_header(text, false).expect(text)).collect();
            let authorization = Authorization::new(&raw).expect("credentials");
            let common = Common { edits, authorization, keep_alive: true, ..Common::default() };
            let lines = Template::new(&common, 0, &site, "GET", Own { edits: own, body: false }).header_lines;
            lines.lines().filter(|line| line.to_lowercase().starts_with("auth")).collect::<Vec<_>>().join("|")
        };
        assert_eq!(lines(&[], &[]), "Authorization: Bearer token");
        assert_eq!(lines(&["authorization: mine"], &[]), "authorization: mine");
        assert_eq!(lines(&["Authorization:"], &[]), "");
        let own = [header("Authorization", Some("its own")).expect("a header")];
        assert_eq!(lines(&["authorization: mine"], &own), "Authorization: its own");
    }

    #[test]
    fn compressed_answers_are_asked_for_unless_a_header_says_otherwise() {
        let site = parse_site("http://host").expect("a site");
        let lines = |edits: &[&str]| {
            let edits = edits.iter().map(|text| parse_header(text, false).expect(text)).collect();
            let common = Common { edits, compressed: true, keep_alive: true, ..Common::default() };
            Template::new(&common, 0, &site, "GET", Own::default()).header_lines
        };
        assert!(lines(&[]).contains("\r\nAccept-Encoding: gzip, br, zstd\r\n"));
        assert!(lines(&["accept-encoding: br"]).ends_with("\r\naccept-encoding: br\r\n"));
        assert!(!lines(&["Accept-Encoding:"]).contains("Encoding"));
    }

    #[test]
    fn a_line_s_own_headers_replace_those_of_all_and_its_length_has_a_place() {
        let edits = ["X-A: all", "X-B: all"].map(|text| parse_header(text, false).expect(text)).to_vec();
        let common = Common { edits, body_bytes: Some(5), keep_alive: true, ..Common::default() };
        let site = parse_site("http://host").expect("a site");
        let own = [("x-a", Some("own")), ("Accept", None), ("Cookie", Some("hush"))]
            .map(|(name, value)| header(name, value).expect(name));
        let template = Template::new(&common, 0, &site, "POST", Own { edits: &own, body: true });
        let (before, after) = template.header_lines.split_at(template.length_at.expect("a place"));
        assert!(before.starts_with("Host: host\r\nUser-Agent: ") && before.ends_with("\r\n"));
        assert_eq!(after, "X-B: all\r\nx-a: own\r\nCookie: hush\r\n");
        assert_eq!(template.own, "x-a: own\nAccept\nCookie: ***\n");
        let said = [header("content-length", Some("9")).expect("a header")];
        let template = Template::new(&common, 0, &site, "POST", Own { edits: &said, body: true });
        assert_eq!(template.length_at, None, "said by the line itself");
    }

    #[test]
    fn a_bad_header_is_refused() {
        for (text, part) in [
            ("NoColon", "needs a colon"),
            ("A b: c", "no header name"),
            (": c", "no header name"),
            ("A: b\r\nX: y", "must not hold"),
            ("A: b\0", "must not hold"),
            ("transfer-encoding: chunked", "Content-Length"),
        ] {
            let error = parse_header(text, false).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_headers() {
        let corpus: [&[u8]; 7] = [
            b"Accept: text/html",
            b"X-Empty;",
            b"Accept:",
            b"Authorization: Bearer x",
            b"cookie:a=b; c=d",
            b"X-A:  \tb\x01 ",
            b"Transfer-Encoding: chunked",
        ];
        let telling: [&[u8]; 8] = [b":", b";", b"\r", b"\n", b"\0", b" ", b"\t", "\u{85}".as_bytes()];
        crate::mutation::run("headers", &corpus, &telling, 10_000, fuzz_header);
    }
}
