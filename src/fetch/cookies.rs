//! The cookies of the sites that one core asks (RFC 6265), within a bound.
//!
//! The model of storing and matching is the `cookie_store` crate's, one store a site, so that a request looks at the cookies
//! of its own site only; public suffixes and the prefixes of RFC 6265bis are held here. Their age is told by the system's
//! clock, which that crate reads. Cookies are secrets: nothing here shows one but [`Jar::header`] and [`Jar::write`].

mod file;

use cookie_store::{Cookie, CookieStore, RawCookie};
use lru::LruCache;
use url::Url;

use super::site::{is_public_suffix, site_of};
use crate::plan::origin::{Origin, Scheme};

/// A longer `Set-Cookie` is ignored, in bytes.
const SET_COOKIE_BYTES_MAX: usize = 8 * 1024;
/// A cookie of more bytes, name and value, is ignored, as browsers do.
const COOKIE_BYTES_MAX: usize = 4 * 1024;
/// So many cookies of one site are kept; more are ignored until some have expired.
const COOKIES_A_SITE_MAX: usize = 180;
/// A request carries at most so many bytes of cookies; servers refuse longer headers.
const HEADER_BYTES_MAX: usize = 8 * 1024;
/// What a core keeps of all sites, in bytes by estimate.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Of one cookie beside its text, and of one site beside its cookies.
const COOKIE_BYTES: usize = 400;
const SITE_BYTES: usize = 300;

#[derive(Default)]
struct Site {
    store: CookieStore,
    bytes: usize,
}

/// The cookies of one core; sites that were not asked for longest make room.
pub struct Jar {
    sites: LruCache<String, Site>,
    bytes: usize,
}

impl Default for Jar {
    fn default() -> Self {
        Self { sites: LruCache::unbounded(), bytes: 0 }
    }
}

impl std::fmt::Debug for Jar {
    /// How many sites, and no cookie.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jar").field("sites", &self.sites.len()).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Jar {
    /// The value of `Cookie` for a request to `target` of `origin`: longer paths first, then by name. None where there is
    /// none.
    pub fn header(&mut self, origin: &Origin, target: &str) -> Option<String> {
        let site = self.sites.get(&site_of(&origin.host))?;
        let url = url(origin, target)?;
        let mut cookies = site.store.matches(&url);
        cookies.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then_with(|| a.name().cmp(b.name())));
        let mut header = String::new();
        for cookie in cookies {
            let (name, value) = cookie.name_value();
            if header.len() + name.len() + value.len() + 3 > HEADER_BYTES_MAX {
                break;
            }
            let separator = if header.is_empty() { "" } else { "; " };
            header.extend([separator, name, "=", value]);
        }
        (!header.is_empty()).then_some(header)
    }

    /// Takes the value of one `Set-Cookie` in the answer to a request for `target` of `origin`. What is too large, for
    /// somebody else or without sense is ignored.
    pub fn store(&mut self, origin: &Origin, target: &str, set_cookie: &[u8]) {
        if set_cookie.len() > SET_COOKIE_BYTES_MAX || set_cookie.iter().any(u8::is_ascii_control) {
            return;
        }
        let cookie = std::str::from_utf8(set_cookie).ok().and_then(|text| RawCookie::parse(text).ok());
        if let Some((cookie, url)) = cookie.zip(url(origin, target))
            && !self.hides_secure(origin, &url, cookie.name())
        {
            self.insert(origin, &url, cookie);
        }
    }

    /// Whether a cookie of this name, set in cleartext, would stand in the place of one that was set under TLS: whoever is
    /// on the way could set it (RFC 6265bis section 5.7).
    fn hides_secure(&self, origin: &Origin, url: &Url, name: &str) -> bool {
        let hidden =
            |known: &Cookie<'_>| known.secure() == Some(true) && known.name() == name && known.domain.matches(url);
        let site = self.sites.peek(&site_of(&origin.host)).filter(|_| origin.scheme == Scheme::Http);
        site.is_some_and(|site| site.store.iter_unexpired().any(hidden))
    }

    /// Whether there is no cookie of any site.
    pub fn is_empty(&self) -> bool {
        self.sites.is_empty()
    }

    fn insert(&mut self, origin: &Origin, url: &Url, mut cookie: RawCookie<'_>) {
        if cookie.name().len() + cookie.value().len() > COOKIE_BYTES_MAX || !keeps_prefix(&cookie, origin) {
            return;
        }
        if cookie.secure() == Some(true) && origin.scheme == Scheme::Http {
            return;
        }
        let domain = cookie.domain().map(str::to_ascii_lowercase);
        if let Some(domain) = domain.filter(|domain| is_public_suffix(domain)) {
            if url.host_str() != Some(&domain) {
                return;
            }
            cookie.unset_domain();
        }
        let key = site_of(&origin.host);
        let site = self.sites.get_or_insert_mut(key, Site::default);
        let before = site.bytes;
        if site.has_room() {
            // What it refuses is for somebody else, or expires what is not there.
            let _ = site.store.insert_raw(&cookie, url);
        }
        site.bytes = site.weight();
        self.bytes = self.bytes + site.bytes - before;
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.bytes > KEPT_BYTES_MAX {
            let Some((_, site)) = self.sites.pop_lru() else { break };
            self.bytes -= site.bytes;
        }
    }
}

impl Site {
    /// Whether one more cookie may come; those that have expired go first.
    fn has_room(&mut self) -> bool {
        if self.store.iter_any().count() < COOKIES_A_SITE_MAX {
            return true;
        }
        let key = |cookie: &Cookie<'_>| {
            Some((cookie.domain.as_cow()?.into_owned(), (*cookie.path).to_owned(), cookie.name().to_owned()))
        };
        let expired: Vec<_> = self.store.iter_any().filter(|cookie| cookie.is_expired()).filter_map(key).collect();
        for (domain, path, name) in &expired {
            self.store.remove(domain, path, name);
        }
        !expired.is_empty()
    }

    fn weight(&self) -> usize {
        let of =
            |cookie: &Cookie<'_>| COOKIE_BYTES + cookie.name().len() + cookie.value().len() + 2 * cookie.path.len();
        SITE_BYTES + self.store.iter_any().map(of).sum::<usize>()
    }
}

/// Whether a cookie is what its name says of it: `__Secure-` and `__Host-` (RFC 6265bis section 4.1.3).
fn keeps_prefix(cookie: &RawCookie<'_>, origin: &Origin) -> bool {
    let begins = |prefix: &str| {
        let name = cookie.name().as_bytes();
        name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    let secure = cookie.secure() == Some(true) && origin.scheme == Scheme::Https;
    let of_host = secure && cookie.domain().is_none() && cookie.path() == Some("/");
    (!begins("__Secure-") || secure) && (!begins("__Host-") || of_host)
}

fn url(origin: &Origin, target: &str) -> Option<Url> {
    Url::parse(&format!("{origin}{target}")).ok()
}

/// Checks what must hold for every server: what comes back in a header is one line that the server sent, goes to its site
/// alone, and memory is bounded; a jar that is written reads back.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_set_cookie(bytes: &[u8]) {
    let origin = |site: &str| crate::plan::origin::parse_site(site).expect("a site").origin;
    let home = origin("https://www.shop.example.co.uk");
    let mut jar = Jar::default();
    for line in bytes.split(|&byte| byte == b'\n') {
        jar.store(&home, "/a/b", line);
    }
    assert!(jar.bytes <= KEPT_BYTES_MAX);
    for elsewhere in ["https://example.com", "https://other.co.uk", "https://co.uk", "http://127.0.0.1"] {
        assert_eq!(jar.header(&origin(elsewhere), "/a/b"), None, "{elsewhere}");
    }
    let header = jar.header(&home, "/a/b/c");
    if let Some(header) = &header {
        assert!(header.len() <= HEADER_BYTES_MAX && !header.contains(|c: char| c.is_ascii_control()), "{header:?}");
    }
    let mut again = Jar::default();
    assert!(again.read(&jar.write()).is_ok());
    assert_eq!(again.header(&home, "/a/b/c"), header);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = again.read(text);
    }
}

#[cfg(test)]
mod tests;
