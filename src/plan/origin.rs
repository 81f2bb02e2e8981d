//! URL to origin and request target: `http://user:pw@host:8080/a?b` becomes an origin, credentials and `/a?b`.
//!
//! RFC 3986 and 9110 section 4.2; hosts go through IDNA and the WHATWG host parser of the `url` crate.

use url::{Host, Url};

/// Where connections go: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// A name in ASCII form or an address.
    pub host: Host<String>,
    /// 1 to 65535.
    pub port: u16,
}

impl Origin {
    /// `host` or `host:port`, without the port where it is the scheme's own: the default `Host` header.
    pub fn authority(&self) -> String {
        if self.port == 80 { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.authority())
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
    // Nearly every URL is plain, and of lines there may be millions.
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    if !plain && let Some(bad) = url.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return Err(format!("the URL holds {bad:?}; percent-encode it"));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        let shown = mask_userinfo(&format!("http://{url}"));
        return Err(format!("a URL without a scheme; write {shown}"));
    };
    if !scheme.eq_ignore_ascii_case("http") {
        let hint =
            if scheme.eq_ignore_ascii_case("https") { "TLS is not built in yet; use http://" } else { "use http://" };
        return Err(format!("unknown scheme \"{scheme}\"; {hint}"));
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Ok(url.split_at(scheme.len() + 3 + end))
}

/// Reads the part before the path, as [`split`] gives it.
///
/// # Errors
/// What is wrong and the remedy: no host, a bad port, a host that no name can be.
pub fn parse_site(site: &str) -> Result<Site, String> {
    let authority = site.split_once("://").map_or(site, |(_, authority)| authority);
    let (userinfo, host_port) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let port_text = host_port.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
    if host_port.is_empty() || host_port.starts_with(':') {
        return Err("the URL has no host; write http://host/path".into());
    }
    if port_text.is_some_and(|port| port.parse::<u16>().is_err() || port == "0") {
        return Err(format!("bad port \"{}\"; a port is 1 to 65535", port_text.unwrap_or_default()));
    }
    let url =
        Url::parse(&format!("http://{host_port}/")).map_err(|error| format!("bad host \"{host_port}\": {error}"))?;
    let host = url.host().map(|host| host.to_owned()).ok_or("the URL has no host; write http://host/path")?;
    let origin = Origin { host, port: url.port().unwrap_or(80) };
    Ok(Site { origin, userinfo: userinfo.map(percent_decode).filter(|user| !user.is_empty()) })
}

/// Appends the origin-form request target of `rest`, the part of a URL from its path on; the fragment is dropped.
///
/// A target of plain ASCII goes out as typed, dot segments and all; anything else is percent-encoded as UTF-8.
pub fn push_target(out: &mut String, rest: &str) {
    let rest = rest.split_once('#').map_or(rest, |(target, _)| target);
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
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

fn percent_decode(text: &str) -> String {
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
}
