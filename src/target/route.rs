//! What a request's path asks for. Pure: bytes to a [`Route`], no socket and no clock.
//!
//! A new path is a variant of [`Route`], a line in [`Route::parse`], a [`Kind`], and an arm in `serve::answer`.

use super::decimal;
use crate::units::Nanos;

/// The longest body of `/bytes/N`: 1 GiB.
pub const BYTES_MAX: u64 = 1 << 30;

/// The longest delay of `/delay/MS`: a minute.
pub const DELAY_MAX: Nanos = Nanos::from_secs(60);

/// One path, with its argument read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`: `hello world` and a newline.
    Hello,
    /// `/bytes/N`: so many bytes of the pattern.
    Bytes(u64),
    /// `/delay/MS`: the greeting, that long after the request's head arrived.
    Delay(Nanos),
    /// `/status/CODE`: that status, 200 to 599.
    Status(u16),
    /// `/echo`: the request's body.
    Echo,
    /// `/stats`: the target's own counts.
    Stats,
    /// A known path whose argument is wrong; the sentence says how to write it.
    Invalid(&'static str),
    /// Any other path.
    Unknown,
}

/// The paths without their arguments, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `/`
    Hello,
    /// `/bytes/N`
    Bytes,
    /// `/delay/MS`
    Delay,
    /// `/status/CODE`
    Status,
    /// `/echo`
    Echo,
    /// `/stats`
    Stats,
    /// Unknown paths and wrong arguments.
    Other,
}

impl Kind {
    /// Every kind, in the order of its discriminant.
    pub const ALL: [Self; 7] =
        [Self::Hello, Self::Bytes, Self::Delay, Self::Status, Self::Echo, Self::Stats, Self::Other];

    /// The path as `/stats` names it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Hello => "/",
            Self::Bytes => "/bytes",
            Self::Delay => "/delay",
            Self::Status => "/status",
            Self::Echo => "/echo",
            Self::Stats => "/stats",
            Self::Other => "other",
        }
    }
}

impl Route {
    /// Reads a request target: the origin form, with or without a query, or the absolute form that a proxy gets.
    pub fn parse(target: &[u8]) -> Self {
        let path = path_of(target);
        match path {
            b"/" => return Self::Hello,
            b"/echo" => return Self::Echo,
            b"/stats" => return Self::Stats,
            _ => {}
        }
        if let Some(count) = path.strip_prefix(b"/bytes/") {
            return decimal::parse(count)
                .filter(|&count| count <= BYTES_MAX)
                .map_or(Self::Invalid("write /bytes/N with N from 0 to 1073741824"), Self::Bytes);
        }
        if let Some(millis) = path.strip_prefix(b"/delay/") {
            return parse_millis(millis)
                .filter(|&delay| delay <= DELAY_MAX)
                .map_or(Self::Invalid("write /delay/MS with MS from 0 to 60000 and at most 6 decimals"), Self::Delay);
        }
        if let Some(code) = path.strip_prefix(b"/status/") {
            return decimal::parse(code)
                .filter(|code| (200..=599).contains(code))
                .map_or(Self::Invalid("write /status/CODE with CODE from 200 to 599"), |code| {
                    Self::Status(code as u16)
                });
        }
        Self::Unknown
    }

    /// The path without its argument.
    pub fn kind(self) -> Kind {
        match self {
            Self::Hello => Kind::Hello,
            Self::Bytes(_) => Kind::Bytes,
            Self::Delay(_) => Kind::Delay,
            Self::Status(_) => Kind::Status,
            Self::Echo => Kind::Echo,
            Self::Stats => Kind::Stats,
            Self::Invalid(_) | Self::Unknown => Kind::Other,
        }
    }
}

/// The path of a request target, without its scheme, authority and query.
fn path_of(target: &[u8]) -> &[u8] {
    let path = if target.first() == Some(&b'/') {
        target
    } else if let Some(colon) = memchr::memmem::find(target, b"://") {
        let after = &target[colon + 3..];
        match memchr::memchr2(b'/', b'?', after) {
            Some(at) if after[at] == b'/' => &after[at..],
            _ => b"/",
        }
    } else {
        return b"";
    };
    memchr::memchr(b'?', path).map_or(path, |query| &path[..query])
}

/// Milliseconds with up to six decimals, exactly.
fn parse_millis(text: &[u8]) -> Option<Nanos> {
    let dot = memchr::memchr(b'.', text).unwrap_or(text.len());
    let whole = decimal::parse(&text[..dot])?.checked_mul(1_000_000)?;
    let Some(decimals) = text.get(dot + 1..) else {
        return Some(Nanos(whole));
    };
    if decimals.len() > 6 {
        return None;
    }
    let scale = 10u64.pow(6 - decimals.len() as u32);
    whole.checked_add(decimal::parse(decimals)? * scale).map(Nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_route() {
        for (target, route) in [
            ("/", Route::Hello),
            ("/?q=1", Route::Hello),
            ("http://127.0.0.1:80", Route::Hello),
            ("http://127.0.0.1:80?q=/echo", Route::Hello),
            ("http://[::1]:80/echo?x", Route::Echo),
            ("/echo", Route::Echo),
            ("/stats", Route::Stats),
            ("/bytes/0", Route::Bytes(0)),
            ("/bytes/1073741824", Route::Bytes(BYTES_MAX)),
            ("/delay/0", Route::Delay(Nanos::ZERO)),
            ("/delay/0.5", Route::Delay(Nanos(500_000))),
            ("/delay/0.000001", Route::Delay(Nanos(1))),
            ("/delay/20?x=1", Route::Delay(Nanos::from_millis(20))),
            ("/delay/60000", Route::Delay(DELAY_MAX)),
            ("/status/200", Route::Status(200)),
            ("/status/599", Route::Status(599)),
            ("/nothing", Route::Unknown),
            ("/echo/", Route::Unknown),
            ("/bytes", Route::Unknown),
            ("*", Route::Unknown),
            ("", Route::Unknown),
        ] {
            assert_eq!(Route::parse(target.as_bytes()), route, "{target}");
        }
    }

    #[test]
    fn a_wrong_argument_is_told_and_not_guessed() {
        for target in [
            "/bytes/",
            "/bytes/x",
            "/bytes/-1",
            "/bytes/1073741825",
            "/bytes/99999999999999999999999",
            "/delay/",
            "/delay/1.",
            "/delay/.5",
            "/delay/1.2.3",
            "/delay/0.0000001",
            "/delay/60000.000001",
            "/delay/18446744073709551615",
            "/status/199",
            "/status/600",
            "/status/2000000",
        ] {
            assert!(matches!(Route::parse(target.as_bytes()), Route::Invalid(_)), "{target}");
        }
    }

    #[test]
    fn kinds_are_in_the_order_of_their_numbers() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
    }
}
