//! URL to origin and request target: `https://user:pw@host:8443/a?b` becomes an origin, credentials and `/a?b`.
//!
//! RFC 3986 and 9110 section 4.2; hosts go through IDNA and the WHATWG host parser of the `url` crate.

use std::borrow::Cow;

use url::{Host, Url};

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// Under TLS.
    Https,
}

impl Scheme {
    /// As it stands in a URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(text))
    }
}

/// Where connections go: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Encrypted or not.
    pub scheme: Scheme,
    /// A name in ASCII form or an address.
    pub host: Host<String>,
    /// 1 to 65535.
    pub port: u16,
}

impl Origin {
    /// `host` or `host:port`, without the port where it is the scheme's own: the default `Host` header.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.authority())
    }
}

/// The part of a URL before its path: what thousands of lines of one URL set have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Site {
    /// Where the connection goes.
    pub origin: Origin,
    /// `user:password` from the URL, percent-decoded; a secret.
    pub userinfo: Option<String>,
}

/// Splits a URL into what stands before the path (`http://host:80`) and the rest (`/path?query#fragment`).
///
/// # Errors
/// What is wrong with the URL and the remedy: no scheme, an unknown one, a space or a control character.
pub fn split(url: &str) -> Result<(&str, &str), String> {
    // Nearly every URL is plain, and of lines there may be millions: looked at without a branch a byte.
    let plain = url.bytes().fold(true, |plain, byte| plain & byte.is_ascii_graphic());
    if !plain && let Some(bad) = url.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("the URL holds {bad:?}; percent-encode it"));
    }
    // It stands near the start, so that a search is not worth preparing.
    let Some(scheme_end) = url.as_bytes().windows(3).position(|three| three == b"://") else {
        let shown = mask_userinfo(&format!("http://{url}"));
        return Err(format!("a URL without a scheme; write {}", shown.escape_debug()));
    };
    let (scheme, rest) = (&url[..scheme_end], &url[scheme_end + 3..]);
    if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
        // Not quoted: before the :// of a query there may stand credentials.
        return Err("a URL without a scheme; write http://host/path".into());
    }
    if Scheme::parse(scheme).is_none() {
        return Err(format!("unknown scheme \"{scheme}\"; use http:// or https://"));
    }
    let end = memchr::memchr3(b'/', b'?', b'#', rest.as_bytes()).unwrap_or(rest.len());
    Ok(url.split_at(scheme.len() + 3 + end))
}

/// Reads the part before the path, as [`split`] gives it.
///
/// # Errors
/// What is wrong and the remedy: no host, a bad port, a host that no name can be.
pub fn parse_site(site: &str) -> Result<Site, String> {
    let (scheme, authority) = site.split_once("://").unwrap_or(("http", site));
    let scheme =
        Scheme::parse(scheme).ok_or_else(|| format!("unknown scheme \"{scheme}\"; use http:// or https://"))?;
    let Authority { userinfo, host, port } = parse_authority(authority)?;
    let origin = Origin { scheme, host, port: port.unwrap_or_else(|| scheme.default_port()) };
    Ok(Site { origin, userinfo: userinfo.map(percent_decode).filter(|user| !user.is_empty()) })
}

/// What stands between the scheme and the path.
pub(super) struct Authority<'a> {
    /// As it stands there; a secret.
    pub(super) userinfo: Option<&'a str>,
    /// A name in ASCII form or an address.
    pub(super) host: Host<String>,
    /// 1 to 65535, where one is named.
    pub(super) port: Option<u16>,
}

/// Reads `[userinfo@]host[:port]`.
///
/// # Errors
/// What is wrong and the remedy, without credentials.
pub(super) fn parse_authority(authority: &str) -> Result<Authority<'_>, String> {
    let (userinfo, host_port) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let port_text = host_port.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
    if host_port.is_empty() || host_port.starts_with(':') {
        return Err("the URL has no host; write http://host/path".into());
    }
    match port_text {
        Some(port) if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) => {
            // Not quoted: with a / in a password, this is the password up to there.
            return Err("bad port; a port is 1 to 65535, and / ? # in a password are percent-encoded".into());
        }
        Some(port) if !port.parse().is_ok_and(|port: u16| port > 0) => {
            return Err(format!("bad port \"{port}\"; a port is 1 to 65535"));
        }
        _ => {}
    }
    let bad = |why: &str| format!("bad host \"{}\": {why}", host_port.escape_debug());
    if host_port.contains('\\') {
        // The parser below would take it for the end of the host.
        return Err(bad("a backslash"));
    }
    let url = Url::parse(&format!("http://{host_port}/")).map_err(|error| bad(&error.to_string()))?;
    let host = url.host().map(|host| host.to_owned()).ok_or("the URL has no host; write http://host/path")?;
    // Not the parsed one: of http://, where a port of 80 counts as none.
    Ok(Authority { userinfo, host, port: port_text.and_then(|port| port.parse().ok()) })
}

/// Appends the origin-form request target of `rest`, the part of a URL from its path on; the fragment is dropped.
///
/// A target of plain ASCII goes out as typed, dot segments and all; anything else is percent-encoded as UTF-8.
pub fn push_target(out: &mut String, rest: &str) {
    let rest = memchr::memchr(b'#', rest.as_bytes()).map_or(rest, |fragment| &rest[..fragment]);
    if !rest.starts_with('/') {
        out.push('/');
    }
    if rest.is_ascii() {
        return out.push_str(rest);
    }
    for c in rest.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut utf8 = [0; 4];
            for byte in c.encode_utf8(&mut utf8).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
}

/// The text with what stands between `://` and `@` replaced by `***`, where it is a URL with credentials.
pub fn mask_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // No scheme at all where it holds credentials: the :// is that of a query.
    let scheme = scheme.rfind('@').map_or_else(|| Cow::from(scheme), |at| format!("***{}", &scheme[at..]).into());
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => format!("{scheme}://{rest}"),
    }
}

/// Checks what must hold for every text as a URL: an accepted one is taken apart without loss, becomes a target that a
/// request line can hold, and comes out of its origin and target as it went in; credentials are in no refusal and in no
/// masked text.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_url(bytes: &[u8]) {
    const SECRET: &str = "hush-4711";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match read(text) {
        Err(problem) => assert!(!problem.contains(char::is_control), "{problem:?} about {text:?}"),
        Ok((site, target)) => {
            let (before, rest) = split(text).expect("it was split a moment ago");
            assert_eq!(format!("{before}{rest}"), text);
            assert!(site.origin.port > 0, "{text:?}");
            assert!(target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}");
            assert!(!target.contains('#') && target.len() <= 3 * rest.len() + 1, "{target:?} of {text:?}");
            let plain = Site { userinfo: None, ..site };
            assert_eq!(read(&format!("{}{target}", plain.origin)), Ok((plain, target)), "{text:?}");
        }
    }
    if text.contains(SECRET) {
        return;
    }
    for credentials in [format!("http://me:{SECRET}@{text}"), format!("me:{SECRET}@{text}")] {
        if let Err(problem) = read(&credentials) {
            assert!(!problem.contains(SECRET), "{problem:?} about {credentials:?}");
        }
        if credentials.contains("://") {
            let masked = mask_userinfo(&credentials);
            assert!(!masked.contains(SECRET), "{masked:?} of {credentials:?}");
            assert_eq!(mask_userinfo(&masked), masked, "masked twice");
        }
    }
}

/// All of `url`: its site and its target.
fn read(url: &str) -> Result<(Site, String), String> {
    let (site, rest) = split(url)?;
    let mut target = String::new();
    push_target(&mut target, rest);
    Ok((parse_site(site)?, target))
}

pub(super) fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match hex {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> (Site, String) {
        let (site, rest) = split(url).expect(url);
        let mut out = String::new();
        push_target(&mut out, rest);
        (parse_site(site).expect(url), out)
    }

    #[test]
    fn a_url_becomes_origin_and_target() {
        for (url, authority, path) in [
            ("http://example.com", "example.com", "/"),
            ("HTTP://Example.com:80/a?b=c#frag", "example.com", "/a?b=c"),
            ("http://example.com:8080?q", "example.com:8080", "/?q"),
            ("https://example.com/", "example.com", "/"),
            ("HTTPS://example.com:443/", "example.com", "/"),
            ("https://example.com:80/", "example.com:80", "/"),
            ("http://example.com:443/", "example.com:443", "/"),
            ("http://127.0.0.1:1/x/../y", "127.0.0.1:1", "/x/../y"),
            ("http://[::1]:8080/", "[::1]:8080", "/"),
            ("http://bücher.example/ü", "xn--bcher-kva.example", "/%C3%BC"),
        ] {
            let (site, got) = target(url);
            assert_eq!((site.origin.authority().as_str(), got.as_str()), (authority, path), "{url}");
        }
    }

    #[test]
    fn userinfo_is_decoded_and_kept_apart() {
        let (site, _) = target("http://me:p%40ss@host/");
        assert_eq!(site.userinfo.as_deref(), Some("me:p@ss"));
        assert_eq!(site.origin.authority(), "host");
    }

    #[test]
    fn a_bad_url_is_refused_with_a_remedy() {
        for (url, part) in [
            ("example.com/x", "write http://example.com/x"),
            ("ftp://example.com/", "unknown scheme"),
            ("http:///x", "no host"),
            ("http://:80/", "no host"),
            ("http://user@/", "no host"),
            ("http://host:99999/", "bad port"),
            ("http://host:0/", "bad port"),
            ("http://host:/", "bad port"),
            ("http://host:8o/", "bad port"),
            ("http://host/a b", "percent-encode"),
            ("http://host/a\u{7}b", "percent-encode"),
            ("http://ho<st/", "bad host"),
            ("http://[::1/", "bad host"),
        ] {
            let error = split(url).and_then(|(site, _)| parse_site(site)).expect_err(url);
            assert!(error.contains(part), "{url}: {error}");
        }
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_urls() {
        let corpus: [&[u8]; 12] = [
            b"http://example.com",
            b"HTTP://Example.com:80/a?b=c#frag",
            b"http://example.com:8080?q",
            b"http://127.0.0.1:1/x/../y",
            b"http://[::1]:8080/",
            "http://b\u{fc}cher.example/\u{fc}".as_bytes(),
            b"http://me:p%40ss@host/",
            b"http://me@host:65535/a@b?c@d",
            b"https://host/",
            b"localhost:8080/?u=http://x",
            b"http://%31%32%37.1/",
            b"http://0x7f.1:080/%",
        ];
        let telling: [&[u8]; 14] =
            [b"://", b"@", b":", b"/", b"?", b"#", b"[", b"]", b"\\", b"%", b" ", b"\t", b".", "\u{202e}".as_bytes()];
        crate::mutation::run("urls", &corpus, &telling, 20_000, fuzz_url);
    }

    #[test]
    fn no_refusal_quotes_what_may_be_a_password() {
        for url in [
            "me:hush@host/?u=http://x",
            "\"http://me:hush@host/\"",
            "http://me:hush/x@host/",
            "http://me:hush#x@host/",
            "x://me:hush@host/",
        ] {
            let problem = read(url).expect_err(url);
            assert!(!problem.contains("hush"), "{problem}");
        }
        assert_eq!(mask_userinfo("me:hush@host/?u=http://x"), "***@host/?u=http://x");
    }

    #[test]
    fn what_the_parser_of_hosts_would_cut_off_is_refused() {
        assert!(read("http://a.example\\.b.example/").expect_err("a backslash").contains("bad host"));
        assert!(read("http://host:00/").expect_err("port 0").contains("bad port"));
    }
}
