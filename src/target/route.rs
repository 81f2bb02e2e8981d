//! What a request's path asks for. Pure: bytes to a [`Route`], no socket and no clock.
//!
//! A new path is a variant of [`Route`], a line in [`Route::parse`], a [`Kind`], and an arm in `serve::answer`.

use super::decimal;
use super::spread::Spread;
use crate::units::Nanos;

/// The longest body of `/bytes/N`: 1 GiB.
pub const BYTES_MAX: u64 = 1 << 30;

/// The longest body of `/chunked/N` without its coding: 1 GiB.
pub const CHUNKED_MAX: u64 = 1 << 30;

/// The longest body of `/slow/BYTES/MS`: 1 MiB.
pub const SLOW_MAX: u64 = 1 << 20;

/// The longest that an answer is held back: a minute.
pub const DELAY_MAX: Nanos = Nanos::from_secs(60);

/// How `/delays` and `/queue` are written.
const SPREAD_REMEDY: &str =
    "write ?fixed=TIME, ?uniform=TIME, ?exp=TIME or ?fast=TIME&slow=TIME with times up to 60s (exp: 5s)";

/// One path, with its argument read and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`: `hello world` and a newline.
    Hello,
    /// `/bytes/N`: so many bytes of the pattern.
    Bytes(u64),
    /// `/delay/MS`: the greeting, that long after the request's head arrived.
    Delay(Nanos),
    /// `/delays?DISTRIBUTION`: the greeting, after a time of that distribution.
    Delays(Spread),
    /// `/queue?DISTRIBUTION`: the greeting from a queue that serves one request after the other, each for such a time.
    Queue(Spread),
    /// `/status/CODE`: that status, 200 to 599.
    Status(u16),
    /// `/echo`: the request's body.
    Echo,
    /// `/stats`: the target's own counts.
    Stats,
    /// `/chunked/N`: so many bytes of the pattern in the chunked coding.
    Chunked(u64),
    /// `/slow/BYTES/MS`: so many bytes of the pattern, at least 1, evenly over that time.
    Slow(u64, Nanos),
    /// `/stall?every=DURATION&for=DURATION`: the greeting, held back where it falls into a stall.
    Stall(Stall),
    /// `/reset`: a RST instead of an answer.
    Reset,
    /// `/truncate`: an answer that announces more than it sends.
    Truncate,
    /// `/garbage`: bytes that are no HTTP.
    Garbage,
    /// `/close`: the end of the connection instead of an answer.
    Close,
    /// A known path whose argument is wrong; the sentence says how to write it.
    Invalid(&'static str),
    /// Any other path.
    Unknown,
}

/// When the target stands still: the last `length` of every `every`, counted from the clock's epoch, so that it is the
/// same time for every connection, thread and process of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Above 0.
    every: Nanos,
    /// At most `every` and [`DELAY_MAX`].
    length: Nanos,
}

impl Stall {
    /// A stall of `length` at the end of every `every`; `None` where that makes no sense or holds back for too long.
    pub fn new(every: Nanos, length: Nanos) -> Option<Self> {
        (every > Nanos::ZERO && length <= every && length <= DELAY_MAX).then_some(Self { every, length })
    }

    /// When a request that arrived at `arrived` is answered: at once, or at the end of the stall that it fell into.
    pub fn release(self, arrived: Nanos) -> Nanos {
        let phase = arrived.0 % self.every.0;
        if phase < self.every.0 - self.length.0 {
            return arrived;
        }
        Nanos((arrived.0 - phase).saturating_add(self.every.0))
    }
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
    /// `/delays`
    Delays,
    /// `/queue`
    Queue,
    /// `/status/CODE`
    Status,
    /// `/echo`
    Echo,
    /// `/stats`
    Stats,
    /// `/chunked/N`
    Chunked,
    /// `/slow/BYTES/MS`
    Slow,
    /// `/stall`
    Stall,
    /// `/reset`
    Reset,
    /// `/truncate`
    Truncate,
    /// `/garbage`
    Garbage,
    /// `/close`
    Close,
    /// Unknown paths and wrong arguments.
    Other,
}

impl Kind {
    /// Every kind, in the order of its discriminant.
    pub const ALL: [Self; 16] = [
        Self::Hello,
        Self::Bytes,
        Self::Delay,
        Self::Delays,
        Self::Queue,
        Self::Status,
        Self::Echo,
        Self::Stats,
        Self::Chunked,
        Self::Slow,
        Self::Stall,
        Self::Reset,
        Self::Truncate,
        Self::Garbage,
        Self::Close,
        Self::Other,
    ];

    /// The path as `/stats` names it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Hello => "/",
            Self::Bytes => "/bytes",
            Self::Delay => "/delay",
            Self::Delays => "/delays",
            Self::Queue => "/queue",
            Self::Status => "/status",
            Self::Echo => "/echo",
            Self::Stats => "/stats",
            Self::Chunked => "/chunked",
            Self::Slow => "/slow",
            Self::Stall => "/stall",
            Self::Reset => "/reset",
            Self::Truncate => "/truncate",
            Self::Garbage => "/garbage",
            Self::Close => "/close",
            Self::Other => "other",
        }
    }
}

impl Route {
    /// Reads a request target: the origin form, with or without a query, or the absolute form that a proxy gets.
    pub fn parse(target: &[u8]) -> Self {
        let (path, query) = split(target);
        match path {
            b"/" => return Self::Hello,
            b"/echo" => return Self::Echo,
            b"/stats" => return Self::Stats,
            b"/stall" => {
                return parse_stall(query).map_or(
                    Self::Invalid("write /stall?every=DURATION&for=DURATION with for up to every and 60s"),
                    Self::Stall,
                );
            }
            b"/delays" => return Spread::parse(query).map_or(Self::Invalid(SPREAD_REMEDY), Self::Delays),
            b"/queue" => return Spread::parse(query).map_or(Self::Invalid(SPREAD_REMEDY), Self::Queue),
            b"/reset" => return Self::Reset,
            b"/truncate" => return Self::Truncate,
            b"/garbage" => return Self::Garbage,
            b"/close" => return Self::Close,
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
        if let Some(count) = path.strip_prefix(b"/chunked/") {
            return decimal::parse(count)
                .filter(|&count| count <= CHUNKED_MAX)
                .map_or(Self::Invalid("write /chunked/N with N from 0 to 1073741824"), Self::Chunked);
        }
        if let Some(drip) = path.strip_prefix(b"/slow/") {
            return parse_slow(drip).map_or(
                Self::Invalid("write /slow/BYTES/MS with BYTES from 1 to 1048576 and MS from 0 to 60000"),
                |(bytes, over)| Self::Slow(bytes, over),
            );
        }
        Self::Unknown
    }

    /// The path without its argument.
    pub fn kind(self) -> Kind {
        match self {
            Self::Hello => Kind::Hello,
            Self::Bytes(_) => Kind::Bytes,
            Self::Delay(_) => Kind::Delay,
            Self::Delays(_) => Kind::Delays,
            Self::Queue(_) => Kind::Queue,
            Self::Status(_) => Kind::Status,
            Self::Echo => Kind::Echo,
            Self::Stats => Kind::Stats,
            Self::Chunked(_) => Kind::Chunked,
            Self::Slow(..) => Kind::Slow,
            Self::Stall(_) => Kind::Stall,
            Self::Reset => Kind::Reset,
            Self::Truncate => Kind::Truncate,
            Self::Garbage => Kind::Garbage,
            Self::Close => Kind::Close,
            Self::Invalid(_) | Self::Unknown => Kind::Other,
        }
    }
}

/// The path and the query of a request target, without its scheme and authority.
fn split(target: &[u8]) -> (&[u8], &[u8]) {
    let rest = if target.first() == Some(&b'/') {
        target
    } else if let Some(colon) = memchr::memmem::find(target, b"://") {
        let after = &target[colon + 3..];
        match memchr::memchr2(b'/', b'?', after) {
            Some(at) if after[at] == b'/' => &after[at..],
            Some(at) => return (b"/", &after[at + 1..]),
            None => b"/",
        }
    } else {
        return (b"", b"");
    };
    memchr::memchr(b'?', rest).map_or((rest, b""), |at| (&rest[..at], &rest[at + 1..]))
}

/// `BYTES/MS` within their limits.
fn parse_slow(text: &[u8]) -> Option<(u64, Nanos)> {
    let slash = memchr::memchr(b'/', text)?;
    let bytes = decimal::parse(&text[..slash]).filter(|bytes| (1..=SLOW_MAX).contains(bytes))?;
    let over = parse_millis(&text[slash + 1..]).filter(|&over| over <= DELAY_MAX)?;
    Some((bytes, over))
}

/// `every=DURATION&for=DURATION` in either order, each once, and nothing else.
fn parse_stall(query: &[u8]) -> Option<Stall> {
    let (mut every, mut length) = (None, None);
    for pair in query.split(|&byte| byte == b'&') {
        let (value, text) = match (pair.strip_prefix(b"every="), pair.strip_prefix(b"for=")) {
            (Some(text), _) => (&mut every, text),
            (_, Some(text)) => (&mut length, text),
            _ => return None,
        };
        let parsed = Nanos::parse(std::str::from_utf8(text).ok()?).ok()?;
        if value.replace(parsed).is_some() {
            return None;
        }
    }
    Stall::new(every?, length?)
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

/// Checks what must hold for every request target: what it makes the server do is within the limits.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_route(target: &[u8]) {
    let route = Route::parse(target);
    match route {
        Route::Bytes(count) => assert!(count <= BYTES_MAX),
        Route::Chunked(count) => assert!(count <= CHUNKED_MAX),
        Route::Delay(delay) => assert!(delay <= DELAY_MAX),
        Route::Slow(bytes, over) => assert!((1..=SLOW_MAX).contains(&bytes) && over <= DELAY_MAX),
        Route::Status(code) => assert!((200..=599).contains(&code)),
        Route::Delays(spread) | Route::Queue(spread) => {
            assert!([0, 1, u64::MAX / 2, u64::MAX].into_iter().all(|number| spread.at(number) <= DELAY_MAX));
        }
        Route::Stall(stall) => {
            for arrived in [0, 1, stall.every.0 - 1, stall.every.0, u64::MAX / 2].map(Nanos) {
                let release = stall.release(arrived);
                assert!(arrived <= release && release.0 - arrived.0 <= DELAY_MAX.0, "{stall:?} at {arrived:?}");
                assert_eq!(stall.release(release).0 == release.0, stall.length < stall.every, "{stall:?}");
            }
        }
        _ => {}
    }
    assert_eq!(route.kind() == Kind::Other, matches!(route, Route::Invalid(_) | Route::Unknown));
    // A query is looked at by few paths only.
    if !target.contains(&b'?') && !matches!(route, Route::Invalid(_)) {
        assert_eq!(Route::parse(&[target, b"?x"].concat()), route, "{}", target.escape_ascii());
    }
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
            ("/chunked/0", Route::Chunked(0)),
            ("/chunked/1073741824?x", Route::Chunked(CHUNKED_MAX)),
            ("/slow/1/0", Route::Slow(1, Nanos::ZERO)),
            ("/slow/1048576/60000", Route::Slow(SLOW_MAX, DELAY_MAX)),
            ("/slow/10/0.5", Route::Slow(10, Nanos(500_000))),
            ("/stall?every=2s&for=500ms", stall(2_000, 500)),
            ("/stall?for=0&every=1s", stall(1_000, 0)),
            ("http://a/stall?every=1m&for=1m", stall(60_000, 60_000)),
            ("/stall?every=1h&for=60s", stall(3_600_000, 60_000)),
            ("/delays?exp=20ms", Route::Delays(Spread::Exponential(Nanos::from_millis(20)))),
            ("http://a/queue?fixed=5ms", Route::Queue(Spread::Fixed(Nanos::from_millis(5)))),
            ("/reset", Route::Reset),
            ("/truncate?x", Route::Truncate),
            ("/garbage", Route::Garbage),
            ("http://a/close", Route::Close),
            ("/nothing", Route::Unknown),
            ("/echo/", Route::Unknown),
            ("/bytes", Route::Unknown),
            ("/reset/", Route::Unknown),
            ("/slow", Route::Unknown),
            ("/chunked", Route::Unknown),
            ("http://a?every=1s&for=1s", Route::Hello),
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
            "/chunked/",
            "/chunked/1073741825",
            "/slow/",
            "/slow/5",
            "/slow/0/5",
            "/slow/1048577/5",
            "/slow/5/",
            "/slow/5/60000.000001",
            "/slow/5/5/5",
            "/stall",
            "/stall?",
            "/stall?every=1s",
            "/stall?for=1s",
            "/stall?every=1s&for=1001ms",
            "/stall?every=1h&for=61s",
            "/stall?every=0&for=0",
            "/stall?every=1s&for=1s&for=1s",
            "/stall?every=1s&for=100ms&",
            "/stall?every=1s&for=100ms&x=1",
            "/stall?every=1s&for=100",
            "/stall?every=1s&for=\u{20ac}",
            "/delays",
            "/queue?exp=6s",
        ] {
            assert!(matches!(Route::parse(target.as_bytes()), Route::Invalid(_)), "{target}");
        }
    }

    fn stall(every_ms: u64, length_ms: u64) -> Route {
        Route::Stall(Stall { every: Nanos::from_millis(every_ms), length: Nanos::from_millis(length_ms) })
    }

    #[test]
    fn a_stall_holds_back_what_arrives_in_it_until_its_end() {
        let stall = Stall::new(Nanos(100), Nanos(30)).expect("a stall");
        for (arrived, released) in [(0, 0), (69, 69), (70, 100), (99, 100), (100, 100), (1_069, 1_069), (1_085, 1_100)]
        {
            assert_eq!(stall.release(Nanos(arrived)), Nanos(released), "{arrived}");
        }
        let never = Stall::new(Nanos(100), Nanos::ZERO).expect("a stall of no length");
        assert!((0..300).all(|at| never.release(Nanos(at)) == Nanos(at)));
        let always = Stall::new(Nanos(100), Nanos(100)).expect("a stall without a gap");
        assert_eq!([0, 99, 100].map(|at| always.release(Nanos(at)).0), [100, 100, 200]);
        assert!(Stall::new(Nanos(i64::MAX as u64), DELAY_MAX).is_some());
    }

    #[test]
    fn kinds_are_in_the_order_of_their_numbers() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_targets() {
        let corpus: [&[u8]; 11] = [
            b"/",
            b"/bytes/1073741824",
            b"/delay/59999.999999",
            b"/status/599",
            b"/chunked/1",
            b"/slow/1048576/60000",
            b"/stall?every=2s&for=500ms",
            b"http://[::1]:80/stall?for=60s&every=1h",
            b"/delays?fast=1ms&slow=100ms",
            b"/queue?exp=5s",
            b"/echo?x",
        ];
        let telling: [&[u8]; 10] = [b"/", b"?", b"&", b".", b"9", b"0", b"every=", b"for=", b"exp=", b"://"];
        crate::mutation::run("target_request", &corpus, &telling, 20_000, fuzz_route);
    }
}
