//! Where connections go and from where: unix sockets, addresses of ours, and names that are to be taken for others.
//!
//! The syntax of `--resolve` and `--connect-to` is curl's. Knows nothing of sockets, nor of what a resolver says.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use url::Host;

use super::error::PlanError;
use super::origin::Origin;
use super::proxy::Proxies;
use super::raw::RawNetwork;
use super::source::Sources;

/// The longest path of a unix socket, and the longest abstract name, in bytes (unix(7)).
const UNIX_BYTES_MAX: usize = 107;
/// The longest name of an interface, in bytes: IFNAMSIZ without its NUL.
const INTERFACE_BYTES_MAX: usize = 15;

/// What was said of the way of connections, checked.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// Where all of them go, whatever their origin; then there is nothing else but `dns`, which is `Once`.
    pub socket: Option<UnixSocket>,
    /// Where they begin.
    pub sources: Sources,
    /// The interface that they leave by.
    pub interface: Option<String>,
    /// The only kind of address that is connected to.
    pub family: Option<Family>,
    /// Names whose addresses are given; of two for one name the later counts.
    pub known: Vec<Known>,
    /// Origins that are sought elsewhere; the first that fits counts.
    pub redirects: Vec<Redirect>,
    /// When names are looked up.
    pub dns: Dns,
}

/// A unix socket (unix(7)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnixSocket {
    /// In the file system.
    Path(PathBuf),
    /// In the abstract namespace, typed with an `@` before it.
    Abstract(String),
}

/// A version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// When names are looked up (`--dns`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dns {
    /// Before the run.
    #[default]
    Once,
    /// Also for each connection, for it alone.
    PerConnection,
}

/// A host and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// A name in ASCII form or an address.
    pub host: Host<String>,
    /// 1 to 65535.
    pub port: u16,
}

impl Place {
    /// Where an origin itself is.
    pub fn of(origin: &Origin) -> Self {
        Self { host: origin.host.clone(), port: origin.port }
    }
}

/// `--resolve HOST:PORT:ADDR[,ADDR]...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// `None` is `*`: any.
    host: Option<Host<String>>,
    port: u16,
    /// At least one.
    addresses: Vec<IpAddr>,
}

/// `--connect-to HOST1:PORT1:HOST2:PORT2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `None` is any.
    host: Option<Host<String>>,
    port: Option<u16>,
    /// `None` is that of the origin.
    to_host: Option<Host<String>>,
    to_port: Option<u16>,
}

impl Network {
    /// Reads and checks what was said; `embedded`: the target is one of this program's own.
    ///
    /// # Errors
    /// The option that makes no sense, with the remedy.
    pub fn new(raw: &RawNetwork, embedded: bool) -> Result<Self, PlanError> {
        let network = Self {
            socket: raw.unix_socket.as_deref().map(UnixSocket::parse).transpose()?,
            sources: Sources::parse(&raw.source)?,
            interface: raw.interface.as_deref().map(interface).transpose()?,
            family: family(raw)?,
            known: raw.resolve.iter().map(|text| Known::parse(text)).collect::<Result<_, _>>()?,
            redirects: raw.connect_to.iter().map(|text| Redirect::parse(text)).collect::<Result<_, _>>()?,
            dns: raw.dns.unwrap_or_default(),
        };
        if network.socket.is_some() {
            network.refuse_all_but_the_socket()?;
        }
        let away = [
            (network.socket.is_some(), "--unix-socket"),
            (!network.known.is_empty(), "--resolve"),
            (!network.redirects.is_empty(), "--connect-to"),
        ];
        match away.into_iter().find(|&(given, _)| given && embedded) {
            Some((_, option)) => {
                Err(PlanError::new(option, "leads away from the embedded target; name a URL to ask for"))
            }
            None => Ok(network),
        }
    }

    fn refuse_all_but_the_socket(&self) -> Result<(), PlanError> {
        let others = [
            (!self.sources.is_empty(), "--source"),
            (self.interface.is_some(), "--interface"),
            (self.family == Some(Family::V4), "--ipv4"),
            (self.family == Some(Family::V6), "--ipv6"),
            (!self.known.is_empty(), "--resolve"),
            (!self.redirects.is_empty(), "--connect-to"),
            (self.dns == Dns::PerConnection, "--dns per-connection"),
        ];
        match others.into_iter().find(|&(given, _)| given) {
            Some((_, option)) => {
                let problem = "is about addresses, and a --unix-socket has none; leave one of them out";
                Err(PlanError::new(option, problem))
            }
            None => Ok(()),
        }
    }

    /// Checks that every rule is of use: one that is not, for its port or a slip in its name, would let the load go where it
    /// is not meant to.
    ///
    /// # Errors
    /// The first rule that no origin meets, and no proxy, whose name may be given addresses as well.
    pub fn fits(&self, origins: &[Origin], proxies: &Proxies) -> Result<(), PlanError> {
        let unused = |option: &str, rule: &dyn fmt::Display| {
            let problem = "is for no URL of this run; mend its host or its port (443 for https), or leave it out";
            Err(PlanError::new(format!("{option} {rule}"), problem))
        };
        if let Some(rule) = self.redirects.iter().find(|rule| !origins.iter().any(|origin| rule.fits(origin))) {
            return unused("--connect-to", rule);
        }
        let fits = |rule: &&Known| {
            let is_proxy = proxies.list.iter().any(|proxy| rule.fits(&Place::of(&proxy.at)));
            is_proxy || origins.iter().any(|origin| rule.fits(&self.place(origin)))
        };
        match self.known.iter().find(|rule| !fits(rule)) {
            Some(rule) => unused("--resolve", rule),
            None => Ok(()),
        }
    }

    /// Where connections to `origin` are to go.
    pub fn place(&self, origin: &Origin) -> Place {
        let redirect = self.redirects.iter().find(|redirect| redirect.fits(origin));
        Place {
            host: redirect.and_then(|redirect| redirect.to_host.clone()).unwrap_or_else(|| origin.host.clone()),
            port: redirect.and_then(|redirect| redirect.to_port).unwrap_or(origin.port),
        }
    }

    /// The addresses of `place` that need no looking up: those given, or the one that its host is; whatever their kind.
    pub fn known(&self, place: &Place) -> Option<Vec<SocketAddr>> {
        let at = |&ip: &IpAddr| SocketAddr::new(ip, place.port);
        let of = |host: Option<&Host<String>>| {
            self.known.iter().rev().find(|known| known.port == place.port && known.host.as_ref() == host)
        };
        if let Some(known) = of(Some(&place.host)).or_else(|| of(None)) {
            return Some(known.addresses.iter().map(at).collect());
        }
        match place.host {
            Host::Ipv4(ip) => Some(vec![at(&ip.into())]),
            Host::Ipv6(ip) => Some(vec![at(&ip.into())]),
            Host::Domain(_) => None,
        }
    }

    /// Those of `addresses` that may be connected to.
    ///
    /// # Errors
    /// Why none is left of them.
    pub fn admitted(&self, mut addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Unfit> {
        if let Some(family) = self.family {
            addresses.retain(|&addr| Family::of(addr) == family);
            if addresses.is_empty() {
                return Err(Unfit::Family(family));
            }
        }
        let have = addresses.first().copied().map(Family::of);
        addresses.retain(|addr| self.sources.fit(addr.ip()));
        match have {
            Some(family) if addresses.is_empty() => Err(Unfit::Source(family)),
            _ => Ok(addresses),
        }
    }
}

/// Why none of a name's addresses may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It has none of the only family that is admitted.
    #[error("it has no {} address; leave out {}", .0.name(), .0.option())]
    Family(Family),
    /// It has only those of this family, of which there is no source.
    #[error("it has only {family} addresses, and no --source is one; add one of {family}", family = .0.name())]
    Source(Family),
}

impl UnixSocket {
    fn parse(text: &str) -> Result<Self, PlanError> {
        let bad = |problem: &str| PlanError::new(format!("--unix-socket {}", text.escape_debug()), problem);
        let (name, socket) = match text.strip_prefix('@') {
            Some(name) => (name, Self::Abstract(name.to_owned())),
            None => (text, Self::Path(text.into())),
        };
        match name {
            "" => Err(bad("names no socket; write its path, or @name for one in the abstract namespace")),
            _ if name.contains('\0') => Err(bad("holds a NUL, which no path does; leave it out")),
            _ if name.len() > UNIX_BYTES_MAX => {
                let problem =
                    format!("is longer than the {UNIX_BYTES_MAX} bytes a socket may have; use a symbolic link");
                Err(bad(&problem))
            }
            _ => Ok(socket),
        }
    }
}

impl fmt::Display for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

impl Family {
    fn of(addr: SocketAddr) -> Self {
        if addr.is_ipv6() { Self::V6 } else { Self::V4 }
    }

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::V4 => "--ipv4",
            Self::V6 => "--ipv6",
        }
    }
}

impl Dns {
    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::PerConnection => "per-connection",
        }
    }
}

impl Known {
    fn parse(text: &str) -> Result<Self, PlanError> {
        let bad = |problem: &str| PlanError::new(format!("--resolve {}", text.escape_debug()), problem);
        let syntax = || bad("is no HOST:PORT:ADDR[,ADDR]...; write e.g. example.com:443:127.0.0.1,[::1]");
        let (host, rest) = split_host(text).ok_or_else(syntax)?;
        let (port, addresses) = rest.split_once(':').ok_or_else(syntax)?;
        let host = if host == "*" { None } else { Some(read_host(host).ok_or_else(syntax)?) };
        let port = read_port(port).ok_or_else(|| bad("has no port; a port is 1 to 65535"))?;
        let address = |text: &str| {
            let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
            bare.parse().map_err(|_| bad("holds something that is no address; look-ups are left to --connect-to"))
        };
        Ok(Self { host, port, addresses: addresses.split(',').map(address).collect::<Result<_, _>>()? })
    }

    fn fits(&self, place: &Place) -> bool {
        self.port == place.port && self.host.as_ref().is_none_or(|host| *host == place.host)
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}:{}:", self.port)?,
            None => write!(f, "*:{}:", self.port)?,
        }
        for (index, ip) in self.addresses.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match ip {
                IpAddr::V4(ip) => write!(f, "{comma}{ip}")?,
                IpAddr::V6(ip) => write!(f, "{comma}[{ip}]")?,
            }
        }
        Ok(())
    }
}

impl Redirect {
    fn parse(text: &str) -> Result<Self, PlanError> {
        let bad = |problem: &str| PlanError::new(format!("--connect-to {}", text.escape_debug()), problem);
        let syntax =
            || bad("is no HOST1:PORT1:HOST2:PORT2; write e.g. example.com:443:localhost:8443, or ::localhost:");
        let (host, rest) = split_host(text).ok_or_else(syntax)?;
        let (port, rest) = rest.split_once(':').ok_or_else(syntax)?;
        let (to_host, to_port) = split_host(rest).ok_or_else(syntax)?;
        let host_of = |text: &str| match text {
            "" => Ok(None),
            text => read_host(text).map(Some).ok_or_else(syntax),
        };
        let port_of = |text: &str| match text {
            "" => Ok(None),
            text => read_port(text).map(Some).ok_or_else(|| bad("has a bad port; a port is 1 to 65535, or left out")),
        };
        Ok(Self { host: host_of(host)?, port: port_of(port)?, to_host: host_of(to_host)?, to_port: port_of(to_port)? })
    }

    fn fits(&self, origin: &Origin) -> bool {
        self.host.as_ref().is_none_or(|host| *host == origin.host) && self.port.is_none_or(|port| port == origin.port)
    }
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Option<Host<String>>| host.as_ref().map(ToString::to_string).unwrap_or_default();
        let port = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
        let (from, to) = (host(&self.host), host(&self.to_host));
        write!(f, "{from}:{}:{to}:{}", port(self.port), port(self.to_port))
    }
}

fn interface(text: &str) -> Result<String, PlanError> {
    let fits =
        (1..=INTERFACE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'/');
    match fits {
        true => Ok(text.to_owned()),
        false => {
            let problem = "is no name of an interface; ip link lists them";
            Err(PlanError::new(format!("--interface {}", text.escape_debug()), problem))
        }
    }
}

fn family(raw: &RawNetwork) -> Result<Option<Family>, PlanError> {
    match (raw.ipv4, raw.ipv6) {
        (true, true) => Err(PlanError::new("--ipv4", "leaves no address together with --ipv6; leave one of them out")),
        (true, false) => Ok(Some(Family::V4)),
        (false, true) => Ok(Some(Family::V6)),
        (false, false) => Ok(None),
    }
}

/// The host, in its brackets where it has some, and what stands behind the colon after it.
fn split_host(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':')? };
    Some((&text[..end], text[end..].strip_prefix(':')?))
}

/// As the host of a URL is read, so that it equals one.
fn read_host(text: &str) -> Option<Host<String>> {
    Host::parse(text).ok()
}

fn read_port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0)
}

/// Checks what must hold for every text as the value of each option that names places: what is accepted reads as it is
/// written; a refusal steers no terminal.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_network(bytes: &[u8]) {
    fn check<T: PartialEq + fmt::Debug + fmt::Display>(text: &str, parse: impl Fn(&str) -> Result<T, PlanError>) {
        match parse(text) {
            Ok(value) => assert_eq!(parse(&value.to_string()), Ok(value), "{text:?}"),
            Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    check(text, Known::parse);
    check(text, Redirect::parse);
    check(text, UnixSocket::parse);
    check(text, interface);
}

#[cfg(test)]
mod tests;
