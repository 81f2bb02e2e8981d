//! The words by which a proxy is asked for a tunnel: CONNECT (RFC 9110 section 9.3.6) and SOCKS 5 (RFC 1928, 1929).
//!
//! Owns what is sent, how much is read and what the answers mean. Whatever a proxy sends, no more than
//! [`ANSWER_BYTES_MAX`] is taken from it, and nothing beyond its answer: what follows belongs to the tunnel.

use std::net::SocketAddr;

use url::Host;

use super::decode::{DecodeError, Decoder, Event, Head};
use crate::plan::network::Place;
use crate::plan::proxy::{Credentials, Protocol, Proxy};
use crate::plan::request::is_token;

mod fuzz;

pub use fuzz::fuzz_tunnel;

/// The most that is read of an answer to CONNECT, interim ones included, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// One read of it asks for so much.
const READ_BYTES: usize = 2 * 1024;
/// The longest name that SOCKS can carry, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// SOCKS, version 5.
const VERSION: u8 = 5;
const NO_CREDENTIALS: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NONE_ACCEPTED: u8 = 0xff;

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send all of this, then receive at most so many bytes, at least one.
    Ask {
        /// May be empty.
        send: Vec<u8>,
        /// Never more may be read: what follows belongs to the tunnel.
        most: usize,
    },
    /// The tunnel stands.
    Open,
}

/// Why there is no tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The proxy works, but does not lead to this target.
    pub of_target: bool,
    /// In words, with a remedy where there is one; holds nothing of the proxy's but numbers and tokens.
    pub reason: String,
}

impl Refusal {
    fn of_proxy(reason: impl Into<String>) -> Self {
        Self { of_target: false, reason: reason.into() }
    }

    fn of_target(reason: impl Into<String>) -> Self {
        Self { of_target: true, reason: reason.into() }
    }

    /// The proxy closed in the middle of it.
    pub fn closed() -> Self {
        Self::of_proxy("it closed before its answer was whole")
    }
}

/// What a forwarded request is told that was answered by 407.
pub const AUTHENTICATION_REQUIRED: &str = "407 Proxy Authentication Required: check user and password in its URL";

/// The setting-up of one tunnel.
#[derive(Debug)]
pub struct Tunnel(Words);

#[derive(Debug)]
enum Words {
    Connect {
        /// Not sent yet.
        request: Vec<u8>,
        decoder: Box<Decoder>,
        received: usize,
    },
    Socks(Socks),
}

#[derive(Debug)]
struct Socks {
    stage: Stage,
    /// What the stage's answer has brought so far.
    received: Vec<u8>,
    /// The request for the target, to be sent in the end.
    request: Vec<u8>,
    /// User and password as they are sent; empty without any.
    credentials: Vec<u8>,
}

/// Whose answer is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Method,
    Credentials,
    Request,
}

impl Tunnel {
    /// Asks `proxy` for the way to `target`, at `address` where the client has found one.
    ///
    /// # Errors
    /// As [`Tunnel::socks`].
    pub fn through(proxy: &Proxy, target: &Place, address: Option<SocketAddr>) -> Result<Self, Refusal> {
        match proxy.protocol {
            Protocol::Http => Ok(Self::connect(target, &proxy.authorization())),
            Protocol::Socks5 | Protocol::Socks5h => Self::socks(target, address, proxy.credentials.as_ref()),
        }
    }

    /// Asks an HTTP proxy for the way to `target`; `authorization` is a whole header line, or empty.
    pub fn connect(target: &Place, authorization: &str) -> Self {
        let authority = format!("{}:{}", target.host, target.port);
        let agent = concat!("User-Agent: ringload/", env!("CARGO_PKG_VERSION"));
        let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{agent}\r\n{authorization}\r\n");
        let mut decoder = Box::new(Decoder::new());
        // As after a HEAD, no body follows the head: what an answer of 2xx says of its length does not count.
        decoder.start(true);
        Self(Words::Connect { request: request.into_bytes(), decoder, received: 0 })
    }

    /// Asks a SOCKS proxy for the way to `target`, at `address` where the client has found one.
    ///
    /// # Errors
    /// A name that is too long for SOCKS.
    pub fn socks(
        target: &Place,
        address: Option<SocketAddr>,
        credentials: Option<&Credentials>,
    ) -> Result<Self, Refusal> {
        let request = socks_request(target, address)?;
        let mut ours = Vec::new();
        if let Some(Credentials { user, password }) = credentials {
            ours.push(1);
            for text in [user, password] {
                ours.push(u8::try_from(text.len()).expect("the plan has checked the length of credentials for SOCKS"));
                ours.extend_from_slice(text.as_bytes());
            }
        }
        let socks = Socks { stage: Stage::Method, received: Vec::new(), request, credentials: ours };
        Ok(Self(Words::Socks(socks)))
    }

    /// What to do first.
    pub fn begin(&mut self) -> Step {
        match &mut self.0 {
            Words::Connect { request, .. } => Step::Ask { send: std::mem::take(request), most: READ_BYTES },
            Words::Socks(socks) => {
                let methods: &[u8] = if socks.credentials.is_empty() {
                    &[VERSION, 1, NO_CREDENTIALS]
                } else {
                    &[VERSION, 2, NO_CREDENTIALS, USER_AND_PASSWORD]
                };
                Step::Ask { send: methods.to_vec(), most: 2 }
            }
        }
    }

    /// What to do after these bytes came, which are not empty and no more than the last step allowed.
    ///
    /// # Errors
    /// The proxy refused, or does not speak as it should; the connection is of no use then.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        match &mut self.0 {
            Words::Connect { decoder, received, .. } => {
                *received += bytes.len();
                answered(decoder, *received, bytes)
            }
            Words::Socks(socks) => socks.receive(bytes),
        }
    }
}

/// Reads on in the answer to CONNECT, of which `received` bytes have come in all.
fn answered(decoder: &mut Decoder, received: usize, bytes: &[u8]) -> Result<Step, Refusal> {
    let mut at = 0;
    loop {
        let next = decoder.next(&bytes[at..]);
        let (length, event) = next.map_err(|error| Refusal::of_proxy(broken(error)))?;
        at += length;
        match event {
            Event::NeedMore if received >= ANSWER_BYTES_MAX => {
                return Err(Refusal::of_proxy("its answer to CONNECT is larger than 16 KiB"));
            }
            Event::NeedMore => {
                let most = READ_BYTES.min(ANSWER_BYTES_MAX - received);
                return Ok(Step::Ask { send: Vec::new(), most });
            }
            Event::Interim(_) => {}
            Event::Head(head) => {
                return match judge(&head) {
                    None if at < bytes.len() => Err(Refusal::of_proxy("bytes came through the tunnel unasked")),
                    None => Ok(Step::Open),
                    Some(refusal) => Err(refusal),
                };
            }
            Event::Body(_) | Event::End => unreachable!("a head comes first and ends the reading"),
        }
    }
}

fn broken(error: DecodeError) -> String {
    match error {
        DecodeError::BadHead => "its answer to CONNECT is not HTTP/1; is it a proxy of another kind?".to_owned(),
        error => format!("its answer to CONNECT cannot be read: {error}"),
    }
}

/// Why the answer with this head opens no tunnel, if it does not.
fn judge(head: &Head<'_>) -> Option<Refusal> {
    match head.status {
        200..300 => None,
        407 => {
            let schemes = || head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"proxy-authenticate"));
            let scheme = |(_, value): (_, &[u8])| {
                let end = value.iter().position(|byte| !is_token([*byte])).unwrap_or(value.len());
                String::from_utf8_lossy(&value[..end.min(32)]).into_owned()
            };
            let other = schemes().map(scheme).find(|scheme| !scheme.is_empty());
            let basic = schemes().map(scheme).any(|scheme| scheme.eq_ignore_ascii_case("basic"));
            Some(Refusal::of_proxy(match other {
                Some(other) if !basic => format!("407: it wants {other} authentication, and only Basic is spoken here"),
                _ => AUTHENTICATION_REQUIRED.to_owned(),
            }))
        }
        status => Some(Refusal::of_target(format!("it refused the tunnel with status {status}"))),
    }
}

/// CONNECT of RFC 1928 section 4.
fn socks_request(target: &Place, address: Option<SocketAddr>) -> Result<Vec<u8>, Refusal> {
    let mut request = vec![VERSION, 1, 0];
    let ip = address.map(|address| address.ip());
    match (ip, &target.host) {
        (Some(std::net::IpAddr::V4(ip)), _) => request.extend(std::iter::once(1).chain(ip.octets())),
        (Some(std::net::IpAddr::V6(ip)), _) => request.extend(std::iter::once(4).chain(ip.octets())),
        (None, Host::Ipv4(ip)) => request.extend(std::iter::once(1).chain(ip.octets())),
        (None, Host::Ipv6(ip)) => request.extend(std::iter::once(4).chain(ip.octets())),
        (None, Host::Domain(name)) => {
            let length = u8::try_from(name.len()).map_err(|_| {
                Refusal::of_target(format!("a name of more than {NAME_BYTES_MAX} bytes is too long for SOCKS"))
            })?;
            request.extend([3, length]);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend(target.port.to_be_bytes());
    Ok(request)
}

impl Socks {
    fn receive(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        self.received.extend_from_slice(bytes);
        let expected = if self.stage == Stage::Credentials { 1 } else { VERSION };
        if self.received[0] != expected {
            return Err(Refusal::of_proxy("its answer is not SOCKS 5; is it a proxy of another kind?"));
        }
        let Some(&second) = self.received.get(1) else { return Ok(self.more(2)) };
        match self.stage {
            Stage::Method => self.chosen(second),
            Stage::Credentials if second == 0 => Ok(self.ask(Stage::Request)),
            Stage::Credentials => Err(Refusal::of_proxy("it refused user and password")),
            Stage::Request if second != 0 => Err(request_refused(second)),
            Stage::Request => {
                // Address kind, and the first byte of the address: the length of a name.
                let (Some(&kind), Some(&first)) = (self.received.get(3), self.received.get(4)) else {
                    return Ok(self.more(5));
                };
                let address = match kind {
                    1 => 4,
                    3 => 1 + usize::from(first),
                    4 => 16,
                    _ => return Err(Refusal::of_proxy("its answer has an address of an unknown kind")),
                };
                let whole = 4 + address + 2;
                Ok(if self.received.len() < whole { self.more(whole) } else { Step::Open })
            }
        }
    }

    /// The proxy has chosen how we are to say who we are.
    fn chosen(&mut self, method: u8) -> Result<Step, Refusal> {
        match method {
            NO_CREDENTIALS => Ok(self.ask(Stage::Request)),
            USER_AND_PASSWORD if !self.credentials.is_empty() => Ok(self.ask(Stage::Credentials)),
            NONE_ACCEPTED if self.credentials.is_empty() => Err(Refusal::of_proxy(
                "it takes nobody without credentials; write user and password into its URL (socks5://user:password@host)",
            )),
            NONE_ACCEPTED => Err(Refusal::of_proxy("it takes neither user and password nor nobody")),
            other => Err(Refusal::of_proxy(format!("it chose method {other}, which was not offered"))),
        }
    }

    /// Goes on to the next stage.
    fn ask(&mut self, stage: Stage) -> Step {
        self.stage = stage;
        self.received.clear();
        let (send, most) = match stage {
            Stage::Request => (&mut self.request, 5),
            Stage::Credentials | Stage::Method => (&mut self.credentials, 2),
        };
        Step::Ask { send: std::mem::take(send), most }
    }

    /// The answer has `whole` bytes or more.
    fn more(&self, whole: usize) -> Step {
        Step::Ask { send: Vec::new(), most: whole - self.received.len() }
    }
}

/// Why a request was refused (RFC 1928 section 6).
fn request_refused(code: u8) -> Refusal {
    let words = match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown",
    };
    Refusal::of_target(format!("it refused the target: {words} (SOCKS reply {code})"))
}

#[cfg(test)]
mod tests;
