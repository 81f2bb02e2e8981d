//! Through which proxies connections go: whose URLs are read here, and which hosts are spared.
//!
//! Rules are curl's where it has some: default ports, who is spared by a list, which variables of the environment count.
//! Knows nothing of what is said to a proxy.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use url::Host;

use super::error::PlanError;
use super::http::{Http, HttpVersion};
use super::network::{Network, Place};
use super::origin::{Origin, Scheme, parse_authority, percent_decode};
use super::raw::{RawProxies, RawProxy};

/// The port of a proxy whose URL names none; under TLS it is 443.
const DEFAULT_PORT: u16 = 1080;
/// The longest user or password that SOCKS can carry, in bytes (RFC 1929).
const SOCKS_CREDENTIAL_BYTES_MAX: usize = 255;
/// More would be a list and not an option.
const PROXIES_MAX: usize = 10_000;

/// What is spoken to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: requests of http origins are forwarded (RFC 9112 section 3.2.2), https ones get a tunnel (RFC 9110
    /// section 9.3.6).
    Http,
    /// SOCKS 5 (RFC 1928), told addresses.
    Socks5,
    /// SOCKS 5, told names.
    Socks5h,
}

/// One proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// What is spoken to it.
    pub protocol: Protocol,
    /// Where it listens; its scheme says whether it is spoken to under TLS.
    pub at: Origin,
    /// Who we are.
    pub credentials: Option<Credentials>,
}

/// User and password; secrets both.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// For SOCKS, 1 to 255 bytes.
    pub user: String,
    /// May be empty; for SOCKS, at most 255 bytes.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// All proxies of a run.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// In the order in which connections take them.
    pub list: Vec<Proxy>,
    /// Which of them http origins go through.
    http: Range<u32>,
    /// Which of them https origins go through.
    https: Range<u32>,
    /// Who is reached without.
    pub spared: Spared,
    /// How requests are addressed, by number: 0 without a proxy and in a tunnel, `n + 1` where `list[n]` forwards them.
    forms: Vec<Form>,
}

/// How a request is addressed.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Form {
    /// To the origin.
    #[default]
    Origin,
    /// To a proxy that forwards it: in absolute form, with this header line or none; a secret.
    Absolute(String),
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Origin { "Origin" } else { "Absolute(***)" })
    }
}

/// Hosts that are reached without a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spared(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    All,
    /// This name and all below it; in lower case, without dots at its ends.
    Name(String),
    /// Addresses whose first so many bits are these.
    Net(IpAddr, u8),
}

impl Proxies {
    /// Reads and checks what was said of proxies.
    ///
    /// # Errors
    /// The option or variable that makes no sense, with the remedy; credentials are not quoted.
    pub fn new(raw: &RawProxies) -> Result<Self, PlanError> {
        let mut proxies = Self { spared: Spared::new(raw)?, forms: vec![Form::Origin], ..Self::default() };
        match &raw.from_environment {
            Some(_) if !raw.list.is_empty() => {
                let problem = "does not go with --proxy: proxies come from the one or the other; leave one of them out";
                return Err(PlanError::new("--proxy-from-env", problem));
            }
            Some(environment) => {
                proxies.http = proxies.add(environment.http.as_ref())?;
                proxies.https = proxies.add(environment.https.as_ref())?;
            }
            None if raw.list.len() > PROXIES_MAX => {
                return Err(PlanError::new("--proxy", format!("is given too often; the limit is {PROXIES_MAX}")));
            }
            None => {
                proxies.http = proxies.add(&raw.list)?;
                proxies.https = proxies.http.clone();
            }
        }
        if raw.no_proxy.is_some() && proxies.list.is_empty() && raw.from_environment.is_none() {
            return Err(PlanError::new("--noproxy", "spares hosts from a proxy; add --proxy URL, or leave it out"));
        }
        Ok(proxies)
    }

    /// Refuses what `network` says of places that only proxies look for, and ways of HTTP that none forwards.
    ///
    /// # Errors
    /// The option that would not count, with the remedy.
    pub fn check(&self, network: &Network, http: &Http, origins: &[Origin]) -> Result<(), PlanError> {
        if self.list.is_empty() {
            return Ok(());
        }
        if network.socket.is_some() {
            let problem = "is where all connections go, and so none goes through a proxy; leave one of them out";
            return Err(PlanError::new("--unix-socket", problem));
        }
        for origin in origins {
            let (way, place) = (self.of(origin), network.place(origin));
            let is_forwarded =
                |index: u32| origin.scheme == Scheme::Http && self.list[index as usize].protocol == Protocol::Http;
            let is_told_names = |index: u32| !self.list[index as usize].wants_addresses();
            let remedy = "spare it (--noproxy), or use a socks5:// proxy";
            let sharing = [
                (http.version == HttpVersion::Http2, "--http 2".to_owned()),
                (http.pipeline > 1, format!("--pipeline {}", http.pipeline)),
            ];
            if let Some((_, option)) = sharing.into_iter().find(|(said, _)| *said)
                && way.clone().any(is_forwarded)
            {
                let problem =
                    format!("does not go with {origin}: what a proxy forwards is HTTP/1.1 by turns; {remedy}");
                return Err(PlanError::new(option, problem));
            }
            if place != Place::of(origin) && way.clone().any(is_forwarded) {
                let problem = format!("does not count for {origin}, which a proxy looks for by its URL; {remedy}");
                return Err(PlanError::new("--connect-to", problem));
            }
            let is_name = matches!(place.host, Host::Domain(_));
            if is_name && network.known(&place).is_some() && way.clone().any(is_told_names) {
                let problem = format!("does not count for {origin}, whose name a proxy looks up; {remedy}");
                return Err(PlanError::new("--resolve", problem));
            }
        }
        Ok(())
    }

    fn add<'a>(&mut self, some: impl IntoIterator<Item = &'a RawProxy>) -> Result<Range<u32>, PlanError> {
        let first = self.list.len() as u32;
        for raw in some {
            let proxy = Proxy::parse(&raw.url).map_err(|problem| PlanError::new(raw.subject.as_str(), problem))?;
            self.forms.push(match proxy.protocol {
                Protocol::Http => Form::Absolute(proxy.authorization()),
                Protocol::Socks5 | Protocol::Socks5h => Form::Origin,
            });
            self.list.push(proxy);
        }
        Ok(first..self.list.len() as u32)
    }

    /// Through which of the list connections to `origin` go in turn; none: without a proxy.
    pub fn of(&self, origin: &Origin) -> Range<u32> {
        match origin.scheme {
            _ if self.list.is_empty() || self.spared.has(&origin.host) => 0..0,
            Scheme::Http => self.http.clone(),
            Scheme::Https => self.https.clone(),
        }
    }

    /// Whether one of these is told addresses, which the client finds.
    pub fn want_addresses(&self, some: &Range<u32>) -> bool {
        some.clone().any(|index| self.list[index as usize].wants_addresses())
    }

    /// Whether some requests are addressed to a proxy.
    pub fn forward(&self) -> bool {
        self.list[self.http.start as usize..self.http.end as usize].iter().any(|proxy| proxy.protocol == Protocol::Http)
    }

    /// What connections go through, in words and without credentials; `None` where there is no proxy.
    pub fn described(&self) -> Option<String> {
        match self.list.as_slice() {
            [] => None,
            [only] => Some(format!("through proxy {only}")),
            all => Some(format!("through {} proxies in turn", all.len())),
        }
    }

    /// The schemes of the origins that go through the proxy of this index.
    pub fn schemes(&self, index: u32) -> impl Iterator<Item = &'static str> {
        let both = [(Scheme::Http, &self.http), (Scheme::Https, &self.https)];
        both.into_iter().filter(move |(_, some)| some.contains(&index)).map(|(scheme, _)| scheme.name())
    }

    /// How requests of `form` are addressed.
    pub fn form(&self, form: u32) -> &Form {
        &self.forms[form as usize]
    }

    /// All forms, by number; where nothing is forwarded, all are the first.
    pub fn forms(&self) -> &[Form] {
        &self.forms
    }
}

impl Proxy {
    /// Reads `[scheme://][user[:password]@]host[:port]`; without a scheme it is http.
    ///
    /// # Errors
    /// What is wrong and the remedy, without credentials.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("holds a space or a control character; percent-encode it".into());
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (protocol, encryption) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Protocol::Http, Scheme::Http),
            "https" => (Protocol::Http, Scheme::Https),
            "socks5" => (Protocol::Socks5, Scheme::Http),
            "socks5h" => (Protocol::Socks5h, Scheme::Http),
            // Not quoted: before the :// there may stand credentials.
            _ => return Err("is of no known kind; use http://, https://, socks5:// or socks5h://".into()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            let problem = "a proxy's URL ends with its port; write http://host:port, and / ? # in a password \
                           percent-encoded";
            return Err(problem.into());
        }
        let parts = parse_authority(authority)?;
        let default = if encryption == Scheme::Https { encryption.default_port() } else { DEFAULT_PORT };
        let at = Origin { scheme: encryption, host: parts.host, port: parts.port.unwrap_or(default) };
        let credentials = parts.userinfo.filter(|userinfo| !userinfo.is_empty()).map(Credentials::parse);
        if let (Some(credentials), true) = (&credentials, protocol != Protocol::Http) {
            credentials.check_socks()?;
        }
        Ok(Self { protocol, at, credentials })
    }

    /// The header line that tells an HTTP proxy who we are, or nothing; a secret.
    pub fn authorization(&self) -> String {
        let line = |Credentials { user, password }: &Credentials| {
            format!("Proxy-Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{user}:{password}")))
        };
        self.credentials.as_ref().map(line).unwrap_or_default()
    }

    /// Whether the client finds the address of an origin.
    pub fn wants_addresses(&self) -> bool {
        self.protocol == Protocol::Socks5
    }

    /// As it is typed, with `***` for credentials.
    pub fn masked(&self) -> String {
        match self.credentials {
            Some(_) => self.to_string().replacen("://", "://***@", 1),
            None => self.to_string(),
        }
    }
}

/// Without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => self.at.scheme.name(),
            Protocol::Socks5 => "socks5",
            Protocol::Socks5h => "socks5h",
        };
        write!(f, "{scheme}://{}:{}", self.at.host, self.at.port)
    }
}

impl Credentials {
    fn parse(userinfo: &str) -> Self {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        Self { user: percent_decode(user), password: percent_decode(password) }
    }

    fn check_socks(&self) -> Result<(), String> {
        let most = SOCKS_CREDENTIAL_BYTES_MAX;
        if self.user.is_empty() || self.user.len() > most || self.password.len() > most {
            return Err(format!("SOCKS takes a user of 1 to {most} bytes and a password of up to {most}"));
        }
        Ok(())
    }
}

impl Spared {
    /// `--noproxy`, or else the environment's list where that counts.
    fn new(raw: &RawProxies) -> Result<Self, PlanError> {
        if let Some(text) = &raw.no_proxy {
            let entries = words(text).map(|word| {
                let bad = |problem| PlanError::new(format!("--noproxy {}", word.escape_debug()), problem);
                Entry::parse(word).map_err(bad)
            });
            return Ok(Self(entries.collect::<Result<_, _>>()?));
        }
        let from_environment = raw.from_environment.as_ref().and_then(|environment| environment.no_proxy.as_ref());
        // As curl does: other programs read the variable too, and understand more.
        let entries = from_environment.map(|text| words(text).filter_map(|word| Entry::parse(word).ok()).collect());
        Ok(Self(entries.unwrap_or_default()))
    }

    /// Whether connections to `host` go without a proxy.
    pub fn has(&self, host: &Host<String>) -> bool {
        self.0.iter().any(|entry| match (entry, host) {
            (Entry::All, _) => true,
            (Entry::Name(name), Host::Domain(host)) => is_below(host, name),
            (Entry::Net(net, bits), Host::Ipv4(ip)) => shares(*net, IpAddr::V4(*ip), *bits),
            (Entry::Net(net, bits), Host::Ipv6(ip)) => shares(*net, IpAddr::V6(*ip), *bits),
            _ => false,
        })
    }

    /// As typed.
    pub fn names(&self) -> Vec<String> {
        let name = |entry: &Entry| match entry {
            Entry::All => "*".to_owned(),
            Entry::Name(name) => name.clone(),
            Entry::Net(ip, bits) if *bits == width(*ip) => ip.to_string(),
            Entry::Net(ip, bits) => format!("{ip}/{bits}"),
        };
        self.0.iter().map(name).collect()
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t']).filter(|word| !word.is_empty())
}

impl Entry {
    fn parse(word: &str) -> Result<Self, &'static str> {
        if word == "*" {
            return Ok(Self::All);
        }
        let word = word.trim_matches('.');
        let (address, bits) = word.split_once('/').map_or((word, None), |(address, bits)| (address, Some(bits)));
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        if let Ok(ip) = address.parse::<IpAddr>() {
            let bits = bits.map_or_else(|| Ok(width(ip)), str::parse);
            return match bits {
                Ok(bits) if bits <= width(ip) => Ok(Self::Net(ip, bits)),
                _ => Err("has a bad number of bits; write e.g. 10.0.0.0/8"),
            };
        }
        let is_name = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
        match Host::parse(word) {
            _ if !word.is_empty() && is_name(word) => Ok(Self::Name(word.to_ascii_lowercase())),
            // What IDNA leaves out may have kept a dot from being the first.
            Ok(Host::Domain(name)) if !word.is_ascii() && is_name(&name) && !name.trim_matches('.').is_empty() => {
                Ok(Self::Name(name.trim_matches('.').to_owned()))
            }
            _ => {
                Err("is no host; write names (and with them all below), addresses, networks such as 10.0.0.0/8, or * \
                      alone, with commas between and without ports")
            }
        }
    }
}

/// Whether `host` is `name` or ends with a dot and `name`.
fn is_below(host: &str, name: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let Some(start) = host.len().checked_sub(name.len()) else { return false };
    host.is_char_boundary(start)
        && host[start..].eq_ignore_ascii_case(name)
        && (start == 0 || host[..start].ends_with('.'))
}

/// Bits of an address.
fn width(ip: IpAddr) -> u8 {
    if ip.is_ipv4() { 32 } else { 128 }
}

/// Whether two addresses of a kind share their first `bits`.
fn shares(net: IpAddr, ip: IpAddr, bits: u8) -> bool {
    match (net, ip) {
        (IpAddr::V4(net), IpAddr::V4(ip)) => {
            let differing = u32::from(net) ^ u32::from(ip);
            differing.leading_zeros() >= u32::from(bits)
        }
        (IpAddr::V6(net), IpAddr::V6(ip)) => {
            let differing = u128::from(net) ^ u128::from(ip);
            differing.leading_zeros() >= u32::from(bits)
        }
        _ => false,
    }
}

/// Checks what must hold for every text as a proxy's URL or a list of spared hosts: an accepted one reads back as it is
/// written; credentials are neither shown nor in a refusal.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_proxy(bytes: &[u8]) {
    // In capitals, as no host is shown.
    const SECRET: &str = "HUSH-4711";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Proxy::parse(text) {
        Err(problem) => assert!(!problem.contains(char::is_control), "{problem:?} about {text:?}"),
        Ok(proxy) => {
            let plain = Proxy { credentials: None, ..proxy };
            assert_eq!(Proxy::parse(&plain.to_string()), Ok(plain), "{text:?}");
        }
    }
    let spared = RawProxies { no_proxy: Some(text.to_owned()), ..RawProxies::default() };
    if let Ok(spared) = Spared::new(&spared) {
        let again = RawProxies { no_proxy: Some(spared.names().join(",")), ..RawProxies::default() };
        assert_eq!(Spared::new(&again).ok(), Some(spared), "{text:?}");
    }
    if text.contains(SECRET) {
        return;
    }
    for scheme in ["", "http://", "https://", "socks5://", "socks5h://"] {
        let url = format!("{scheme}me:{SECRET}@{text}");
        match Proxy::parse(&url) {
            Err(problem) => assert!(!problem.contains(SECRET), "{problem:?} about {url:?}"),
            Ok(proxy) => assert!(!format!("{proxy} {proxy:?} {}", proxy.masked()).contains(SECRET), "{url:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
