//! Where an answer sends a request (RFC 9110 section 15.4): the next URL and method, or why it goes no further.
//!
//! Owns the chain of one line, and what may not be followed. A `Location` is the server's: bounded, resolved by the rules of
//! RFC 3986 and WHATWG, and never a source of credentials.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use url::Url;

use crate::plan::origin::{Origin, Scheme, parse_site, split};

/// A longer `Location` leads nowhere.
const LOCATION_BYTES_MAX: usize = 16 * 1024;

/// What a user lets redirects do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// At most so many for one line (`--max-redirects`); with 0 none is followed, and a 3xx is an answer like others.
    pub max: u32,
    /// From https to http too (`--allow-downgrade`).
    pub allow_downgrade: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { max: 10, allow_downgrade: false }
    }
}

/// What the next request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Absolute, in ASCII, without credentials and without a fragment.
    pub url: String,
    /// Ask with GET and without the body; otherwise with the same method and body.
    pub becomes_get: bool,
    /// Whether it has the origin of the one before. Where it has not, `Authorization` and `Cookie` of the line stay behind.
    pub same_origin: bool,
}

/// What comes of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is the line's answer.
    Stop,
    /// It leads on.
    Follow(Hop),
    /// It leads where the line may not go: it ends as `redirect`.
    Refused(Refusal),
}

/// Why a redirect is not followed.
#[derive(thiserror::Error, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The same request was made before in the chain.
    #[error("the redirects go in a circle")]
    Loop,
    /// More than `--max-redirects`.
    #[error("more than {0} redirects; --max-redirects allows more")]
    TooMany(u32),
    /// Neither http nor https.
    #[error("the redirect leads to a scheme other than http and https")]
    Scheme,
    /// From https to http.
    #[error("the redirect leads from https to http; --allow-downgrade follows it")]
    Downgrade,
    /// A `Location` that is no URL.
    #[error("the redirect leads to no URL")]
    Location,
}

/// The redirects of one line so far.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    /// Fingerprints of the requests made, at most [`Policy::max`] and one.
    made: Vec<u64>,
}

impl Chain {
    /// How many redirects were followed.
    pub fn hops(&self) -> u32 {
        self.made.len().saturating_sub(1) as u32
    }

    /// What comes of an answer of `status` with this `Location`, to a request of `method` for `url` that was sent with
    /// `cookies`. The cookies tell a circle from a page that sets one and comes back to itself.
    pub fn next(&mut self, policy: Policy, sent: Sent<'_>, status: u16, location: Option<&[u8]>) -> Next {
        let Some(location) = location.filter(|_| is_redirect(status) && policy.max > 0) else { return Next::Stop };
        match self.follow(policy, sent, status, location) {
            Ok(hop) => Next::Follow(hop),
            Err(refusal) => Next::Refused(refusal),
        }
    }

    fn follow(&mut self, policy: Policy, sent: Sent<'_>, status: u16, location: &[u8]) -> Result<Hop, Refusal> {
        let print = sent.fingerprint();
        if self.made.contains(&print) {
            return Err(Refusal::Loop);
        }
        if self.made.len() as u64 >= u64::from(policy.max) {
            return Err(Refusal::TooMany(policy.max));
        }
        let base = Url::parse(sent.url).map_err(|_| Refusal::Location)?;
        let next = resolve(&base, location)?;
        let from = origin(base.as_str()).ok_or(Refusal::Location)?;
        let to = origin(next.as_str()).ok_or(Refusal::Location)?;
        if (from.scheme, to.scheme) == (Scheme::Https, Scheme::Http) && !policy.allow_downgrade {
            return Err(Refusal::Downgrade);
        }
        self.made.push(print);
        let becomes_get = becomes_get(status, sent.method);
        Ok(Hop { url: next.into(), becomes_get, same_origin: from == to })
    }
}

/// A request as far as its redirects go.
#[derive(Clone, Copy, Debug, Hash)]
pub struct Sent<'a> {
    /// As it was sent, `GET` after a hop that became one.
    pub method: &'a str,
    /// Absolute; as typed, or as the hop before said.
    pub url: &'a str,
    /// The value of its `Cookie` header, empty without one.
    pub cookies: &'a str,
}

impl Sent<'_> {
    fn fingerprint(self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let url = self.url.split_once('#').map_or(self.url, |(url, _)| url);
        Self { url, ..self }.hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether `Location` says where to ask instead. 300 offers a choice, 304 is no redirect, 305 and 306 are gone.
fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// 303 asks for another resource; after 301 and 302 a POST has become a GET ever since browsers did it so.
fn becomes_get(status: u16, method: &str) -> bool {
    match status {
        303 => method != "HEAD" && method != "GET",
        301 | 302 => method == "POST",
        _ => false,
    }
}

/// The URL that `location` is, seen from `base`.
fn resolve(base: &Url, location: &[u8]) -> Result<Url, Refusal> {
    if location.len() > LOCATION_BYTES_MAX {
        return Err(Refusal::Location);
    }
    let mut next = base.join(&text(location)).map_err(|_| Refusal::Location)?;
    if !matches!(next.scheme(), "http" | "https") {
        return Err(Refusal::Scheme);
    }
    next.set_fragment(None);
    // A server does not choose the name and password that we show to another.
    let bare = next.set_username("").and_then(|()| next.set_password(None));
    bare.map(|()| next).map_err(|()| Refusal::Location)
}

/// As UTF-8 where it is that; otherwise byte by byte, percent-encoded.
fn text(location: &[u8]) -> String {
    match std::str::from_utf8(location) {
        Ok(text) => text.to_owned(),
        Err(_) => location.iter().fold(String::new(), |text, &byte| match byte {
            0..0x80 => text + char::from(byte).encode_utf8(&mut [0]),
            _ => text + &format!("%{byte:02X}"),
        }),
    }
}

/// The origin of a URL as the rest of the program reads it; the URL parser accepts a few that no request could be sent to.
fn origin(url: &str) -> Option<Origin> {
    let (site, _) = split(url).ok()?;
    parse_site(site).ok().map(|site| site.origin)
}

/// Checks what must hold for every `Location`: what is followed is a URL that a request can be sent to, shows no
/// credentials, is the same whatever those of the line are, and stays within http and https; a chain ends.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_location(bytes: &[u8]) {
    let of_one = fuzz_chain("https://me:hush-4711@host.example:8443/a/b?c#d", bytes);
    let of_another = fuzz_chain("https://you:another@host.example:8443/a/b?c#d", bytes);
    assert_eq!(of_one, of_another, "where it leads depends on credentials");
    fuzz_chain("http://127.0.0.1/", bytes);
}

/// The hops from `start`, where every answer has this `Location`.
fn fuzz_chain(start: &str, location: &[u8]) -> Vec<Hop> {
    let policy = Policy::default();
    let mut hops: Vec<Hop> = Vec::new();
    let mut chain = Chain::default();
    loop {
        let (url, method) = hops.last().map_or((start, "POST"), |hop| (hop.url.as_str(), "GET"));
        let Next::Follow(hop) = chain.next(policy, Sent { method, url, cookies: "" }, 302, Some(location)) else {
            break;
        };
        let to = origin(&hop.url).expect("an origin");
        assert!(hop.url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{:?}", hop.url);
        assert_eq!(Url::parse(&hop.url).map(|url| url.username().len() + url.password().map_or(0, str::len)), Ok(0));
        assert_eq!(hop.same_origin, origin(url) == Some(to.clone()));
        assert!(to.scheme == Scheme::Https || url.starts_with("http:"), "no downgrade");
        assert_eq!(hop.becomes_get, method == "POST");
        hops.push(hop);
    }
    assert!(hops.len() as u32 <= policy.max && hops.len() == chain.made.len());
    hops
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent<'a>(method: &'a str, url: &'a str) -> Sent<'a> {
        Sent { method, url, cookies: "" }
    }

    fn one(method: &str, url: &str, status: u16, location: &str) -> Next {
        Chain::default().next(Policy::default(), sent(method, url), status, Some(location.as_bytes()))
    }

    fn url(from: &str, location: &str) -> String {
        match one("GET", from, 302, location) {
            Next::Follow(hop) => hop.url,
            other => panic!("{location}: {other:?}"),
        }
    }

    #[test]
    fn a_location_is_resolved_against_the_url_before() {
        for (location, expected) in [
            ("/x", "http://h.example/x"),
            ("x", "http://h.example/a/x"),
            ("../x", "http://h.example/x"),
            ("../../../x", "http://h.example/x"),
            ("?q=2", "http://h.example/a/b?q=2"),
            ("", "http://h.example/a/b?q=1"),
            ("//other.example", "http://other.example/"),
            ("HTTPS://Other.Example:443/y#part", "https://other.example/y"),
            ("http://me:pw@other.example:81/", "http://other.example:81/"),
            ("/a b/\u{fc}", "http://h.example/a%20b/%C3%BC"),
            ("http://b\u{fc}cher.example/", "http://xn--bcher-kva.example/"),
            ("\\x\\y", "http://h.example/x/y"),
        ] {
            assert_eq!(url("http://h.example/a/b?q=1#f", location), expected, "{location}");
        }
        let latin = Chain::default().next(Policy::default(), sent("GET", "http://h/"), 302, Some(b"/\xfc"));
        assert!(matches!(latin, Next::Follow(Hop { url, .. }) if url == "http://h/%FC"));
    }

    #[test]
    fn methods_change_as_the_status_says() {
        for (status, changed) in
            [(301, &["POST"][..]), (302, &["POST"]), (303, &["POST", "PUT", "DELETE"]), (307, &[]), (308, &[])]
        {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
                let Next::Follow(hop) = one(method, "http://h/", status, "/x") else { panic!("{status} leads on") };
                assert_eq!(hop.becomes_get, changed.contains(&method), "{status} {method}");
            }
        }
    }

    #[test]
    fn other_statuses_and_answers_without_a_location_are_answers() {
        for status in (200..600).filter(|status| ![301, 302, 303, 307, 308].contains(status)) {
            assert_eq!(one("GET", "http://h/", status, "/x"), Next::Stop, "{status}");
        }
        assert_eq!(Chain::default().next(Policy::default(), sent("GET", "http://h/"), 302, None), Next::Stop);
        let none = Policy { max: 0, ..Policy::default() };
        assert_eq!(Chain::default().next(none, sent("GET", "http://h/"), 302, Some(b"/x")), Next::Stop);
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        for (location, same) in [
            ("/x", true),
            ("https://h.example/x", true),
            ("https://H.example:443/x", true),
            ("https://h.example:444/x", false),
            ("https://www.h.example/x", false),
        ] {
            let Next::Follow(hop) = one("GET", "https://h.example/", 302, location) else { panic!("{location}") };
            assert_eq!(hop.same_origin, same, "{location}");
        }
        let Next::Follow(hop) = one("GET", "http://h/", 301, "https://h/") else { panic!("an upgrade") };
        assert!(!hop.same_origin, "another scheme is another origin");
    }

    #[test]
    fn what_leads_where_a_line_may_not_go_is_refused() {
        for (from, location, refusal) in [
            ("http://h/", "ftp://h/", Refusal::Scheme),
            ("http://h/", "javascript:alert(1)", Refusal::Scheme),
            ("http://h/", "file:///etc/passwd", Refusal::Scheme),
            ("https://h/", "http://h/", Refusal::Downgrade),
            ("http://h/", "http://", Refusal::Location),
            ("http://h/", "http://h:0/", Refusal::Location),
            ("http://h/", "http://[::1/", Refusal::Location),
        ] {
            assert_eq!(one("GET", from, 302, location), Next::Refused(refusal), "{location}");
        }
        assert_eq!(one("GET", "http://h/", 302, &"x".repeat(20_000)), Next::Refused(Refusal::Location));
        let lenient = Policy { allow_downgrade: true, ..Policy::default() };
        let next = Chain::default().next(lenient, sent("GET", "https://h/"), 302, Some(b"http://h/"));
        assert!(matches!(next, Next::Follow(Hop { same_origin: false, .. })));
    }

    #[test]
    fn a_circle_is_found_when_it_closes() {
        let mut chain = Chain::default();
        let policy = Policy::default();
        for (from, to) in [("http://h/a#1", "/b"), ("http://h/b", "/c"), ("http://h/c", "/a")] {
            assert!(
                matches!(chain.next(policy, sent("GET", from), 302, Some(to.as_bytes())), Next::Follow(_)),
                "{from}"
            );
        }
        assert_eq!(chain.next(policy, sent("GET", "http://h/a"), 302, Some(b"/b")), Next::Refused(Refusal::Loop));
        assert_eq!(chain.hops(), 2);
    }

    #[test]
    fn a_page_that_sets_a_cookie_and_comes_back_is_no_circle() {
        let mut chain = Chain::default();
        let policy = Policy::default();
        let with = |cookies| Sent { method: "GET", url: "http://h/", cookies };
        assert!(matches!(chain.next(policy, with(""), 302, Some(b"/")), Next::Follow(_)));
        assert!(matches!(chain.next(policy, with("a=1"), 302, Some(b"/")), Next::Follow(_)));
        assert_eq!(chain.next(policy, with("a=1"), 302, Some(b"/")), Next::Refused(Refusal::Loop));
        // The same with another method is another request.
        assert!(matches!(chain.next(policy, sent("POST", "http://h/"), 302, Some(b"/")), Next::Follow(_)));
    }

    #[test]
    fn as_many_redirects_are_followed_as_are_allowed() {
        let policy = Policy { max: 3, ..Policy::default() };
        let mut chain = Chain::default();
        for number in 0..3 {
            let from = format!("http://h/{number}");
            let next = chain.next(policy, sent("GET", &from), 302, Some(format!("/{}", number + 1).as_bytes()));
            assert!(matches!(next, Next::Follow(_)), "{number}");
        }
        let next = chain.next(policy, sent("GET", "http://h/3"), 302, Some(b"/4"));
        assert_eq!(next, Next::Refused(Refusal::TooMany(3)));
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_locations() {
        let corpus: [&[u8]; 9] = [
            b"/x?y#z",
            b"../../x",
            b"//other.example:81/x",
            b"https://me:pw@host.example/",
            b"http://[::1]:8080/",
            b"http://0x7f.1/",
            b"ftp://h/",
            "http://b\u{fc}cher.example/\u{fc}".as_bytes(),
            b"",
        ];
        let telling: [&[u8]; 11] = [b"://", b"//", b"@", b":", b"?", b"#", b"\\", b"%", b"..", b"\t", b"\xff"];
        crate::mutation::run("locations", &corpus, &telling, 5_000, fuzz_location);
    }
}
