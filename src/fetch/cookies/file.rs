//! The file of `--cookie-jar`: the format of Netscape, which curl, wget, browsers' exports and Python's MozillaCookieJar share.
//!
//! One cookie a line: domain, whether its subdomains too, path, whether under TLS only, end in seconds since the epoch or 0,
//! name and value, between tabs.

use std::fmt::Write as _;

use cookie_store::{Cookie, CookieDomain, CookieExpiration, RawCookie};
use url::Url;

use super::Jar;
use crate::plan::origin::parse_site;

/// What such a file begins with.
const HEAD: &str = "# Netscape HTTP Cookie File\n";
/// Before the domain of a cookie that scripts do not see.
const HTTP_ONLY: &str = "#HttpOnly_";

impl Jar {
    /// All cookies that have not expired, as the text of a file, sorted. Jars of several cores are joined by writing one
    /// behind the other.
    pub fn write(&self) -> String {
        let cookies = self.sites.iter().flat_map(|(_, site)| site.store.iter_unexpired());
        let mut lines: Vec<_> = cookies.filter_map(line).collect();
        lines.sort_unstable();
        HEAD.to_owned() + &lines.concat()
    }

    /// Adds the cookies of a file; those that have expired, or are for a public suffix, are left out.
    ///
    /// # Errors
    /// The number of the first line that is none of such a file. What it holds is not shown.
    pub fn read(&mut self, text: &str) -> Result<(), String> {
        for (number, line) in (1..).zip(text.lines()) {
            let (line, http_only) = line.strip_prefix(HTTP_ONLY).map_or((line, false), |line| (line, true));
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            self.read_line(line, http_only).ok_or_else(|| {
                format!("line {number} is no cookie; write seven fields between tabs, as curl and wget do")
            })?;
        }
        Ok(())
    }

    fn read_line(&mut self, line: &str, http_only: bool) -> Option<()> {
        let fields: Vec<_> = line.splitn(7, '\t').collect();
        let [domain, subdomains, path, secure, end, name, value] = *fields.as_slice() else { return None };
        let (subdomains, secure) = (flag(subdomains)?, flag(secure)?);
        let end: i64 = end.trim().parse().ok()?;
        if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') || value.contains('\t') {
            return None;
        }
        let host = domain.strip_prefix('.').unwrap_or(domain);
        let scheme = if secure { "https" } else { "http" };
        let origin = parse_site(&format!("{scheme}://{host}")).ok()?.origin;
        let url = Url::parse(&format!("{origin}/")).ok()?;
        let mut attributes = format!("{name}={value}; Path={path}");
        if subdomains {
            attributes += &format!("; Domain={host}");
        }
        if secure {
            attributes += "; Secure";
        }
        if http_only {
            attributes += "; HttpOnly";
        }
        let mut cookie = RawCookie::parse(attributes).ok()?;
        if end != 0 {
            // The crate has no other way in for an instant than the date of a header.
            let date =
                std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(end).unwrap_or(0).min(END_MAX));
            let dated = RawCookie::parse(format!("x=x; Expires={}", httpdate::fmt_http_date(date))).ok()?;
            cookie.set_expires(dated.expires()?);
        }
        self.insert(&origin, &url, cookie);
        Some(())
    }
}

/// The last second of the year 9999, which dates of HTTP can say.
const END_MAX: u64 = 253_402_300_799;

fn flag(text: &str) -> Option<bool> {
    [("TRUE", true), ("FALSE", false)]
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, flag)| flag)
}

fn line(cookie: &Cookie<'_>) -> Option<String> {
    let (dot, domain, subdomains) = match &cookie.domain {
        CookieDomain::HostOnly(host) => ("", host, "FALSE"),
        CookieDomain::Suffix(domain) => (".", domain, "TRUE"),
        CookieDomain::NotPresent | CookieDomain::Empty => return None,
    };
    let http_only = if cookie.http_only() == Some(true) { HTTP_ONLY } else { "" };
    let secure = if cookie.secure() == Some(true) { "TRUE" } else { "FALSE" };
    let end = match &cookie.expires {
        CookieExpiration::AtUtc(end) => end.unix_timestamp(),
        CookieExpiration::SessionEnd => 0,
    };
    let (name, value) = cookie.name_value();
    let path: &str = &cookie.path;
    let mut line = String::new();
    let fields = format_args!("{http_only}{dot}{domain}\t{subdomains}\t{path}\t{secure}\t{end}\t{name}\t{value}\n");
    line.write_fmt(fields).ok().map(|()| line)
}
