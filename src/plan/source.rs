//! `--source`: the addresses of ours that connections begin at, as addresses, blocks and ranges. Lists are walked and
//! never written out: a block of IPv6 may hold more addresses than there is memory.
//!
//! Blocks are RFC 4632 and RFC 4291; knows nothing of whether this machine has them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::PlanError;

/// Addresses to connect from, in the order given; empty leaves the choice to the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Block>);

/// Addresses in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Block {
    v6: bool,
    /// As a number.
    first: u128,
    /// At least `first`.
    last: u128,
}

impl Sources {
    /// Reads `127.0.0.2`, `10.0.0.0/24` and `10.0.0.2-10.0.0.9`, each of which an option gave.
    ///
    /// # Errors
    /// The first that is none of these, or names an address again.
    pub fn parse(texts: &[String]) -> Result<Self, PlanError> {
        let mut blocks: Vec<Block> = Vec::new();
        for text in texts {
            let bad = |problem: String| PlanError::new(format!("--source {}", text.escape_debug()), problem);
            let block = Block::parse(text).map_err(bad)?;
            if let Some(other) = blocks.iter().find(|other| other.overlaps(&block)) {
                return Err(bad(format!("has addresses that {other} has already; name each address once")));
            }
            blocks.push(block);
        }
        Ok(Self(blocks))
    }

    /// Whether the choice is the system's.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many addresses can reach `to`: those of its family. At most 2^128 - 1.
    pub fn count(&self, to: IpAddr) -> u128 {
        self.of_family(to).fold(0, |sum, block| sum.saturating_add(block.length()))
    }

    /// Whether `to` can be reached from here.
    pub fn fit(&self, to: IpAddr) -> bool {
        self.is_empty() || self.of_family(to).next().is_some()
    }

    /// Whether `ip` may be at our end of a connection.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let at = number(ip);
        self.is_empty() || self.of_family(ip).any(|block| (block.first..=block.last).contains(&at))
    }

    /// The address whose turn it is the `turn`th time that `to` is connected to, over and over; `None` where no source is
    /// of its family.
    pub fn turn(&self, to: IpAddr, turn: u64) -> Option<IpAddr> {
        let mut at = u128::from(turn).checked_rem(self.count(to))?;
        for block in self.of_family(to) {
            if at < block.length() {
                return Some(block.address(block.first + at));
            }
            at -= block.length();
        }
        None
    }

    fn of_family(&self, ip: IpAddr) -> impl Iterator<Item = &Block> {
        self.0.iter().filter(move |block| block.v6 == ip.is_ipv6())
    }

    /// Each of them as it may be typed.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(Block::to_string)
    }
}

impl Block {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some((base, prefix)) = text.split_once('/') {
            return Self::of_prefix(address(base)?, prefix);
        }
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (address(first)?, address(last)?),
            None => (address(text)?, address(text)?),
        };
        if first.is_ipv6() != last.is_ipv6() || first > last {
            return Err("is no range; write its first and its last address, such as 10.0.0.2-10.0.0.9".into());
        }
        Ok(Self { v6: first.is_ipv6(), first: number(first), last: number(last) })
    }

    fn of_prefix(base: IpAddr, prefix: &str) -> Result<Self, String> {
        let bits = if base.is_ipv6() { 128 } else { 32 };
        let prefix = prefix.bytes().all(|byte| byte.is_ascii_digit()).then(|| prefix.parse().ok()).flatten();
        let Some(prefix) = prefix.filter(|&prefix: &u32| prefix <= bits) else {
            return Err(format!("is no block of addresses; behind the / stands a number up to {bits}"));
        };
        // All ones where a shift by all 128 bits would overflow.
        let rest = 1u128.checked_shl(bits - prefix).map_or(u128::MAX, |count| count - 1);
        let (v6, first) = (base.is_ipv6(), number(base));
        let block = Self { v6, first, last: first | rest };
        if first & rest != 0 {
            let base = block.address(first & !rest);
            return Err(format!("is an address within a block; the block is {base}/{prefix}"));
        }
        // The network's own address and its broadcast address are nobody's (RFC 1122, section 3.2.1.3).
        let spared = u128::from(!v6 && prefix < 31);
        Ok(Self { first: block.first + spared, last: block.last - spared, ..block })
    }

    /// The base and the bits of the prefix that it comes of, if it is such a block.
    fn prefix(&self) -> Option<(IpAddr, u32)> {
        let bits = if self.v6 { 128 } else { 32 };
        [0, u128::from(!self.v6)].into_iter().find_map(|spared| {
            let (first, last) = (self.first.checked_sub(spared)?, self.last.checked_add(spared)?);
            let rest = first ^ last;
            let prefix = bits - rest.count_ones().min(bits);
            let whole = rest.count_ones() == u128::BITS - rest.leading_zeros() && first & rest == 0;
            (whole && spared == u128::from(!self.v6 && prefix < 31)).then(|| (self.address(first), prefix))
        })
    }

    fn length(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.v6 == other.v6 && self.first <= other.last && other.first <= self.last
    }

    fn address(&self, number: u128) -> IpAddr {
        if self.v6 { Ipv6Addr::from(number).into() } else { Ipv4Addr::from(number as u32).into() }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = (self.address(self.first), self.address(self.last));
        match self.prefix() {
            _ if first == last => first.fmt(f),
            // As a range it could not be typed where it has addresses that are nobody's at its ends.
            Some((base, prefix)) => write!(f, "{base}/{prefix}"),
            None => write!(f, "{first}-{last}"),
        }
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    let ip: IpAddr = text.parse().map_err(|_| {
        "is no address; write e.g. 127.0.0.2, 10.0.0.0/24 or 10.0.0.2-10.0.0.9, or the same of IPv6".to_owned()
    })?;
    if ip.is_multicast() {
        return Err(
            "is for groups (multicast), and no connection comes from there; give an address of a machine".into()
        );
    }
    Ok(ip)
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// Checks what must hold for every text as the value of `--source`: what is accepted has an address, gives it out in
/// turn, and reads as it is written; a refusal steers no terminal.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_source(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Sources::parse(&[text.to_owned()]) {
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
        Ok(sources) => {
            let block = sources.0[0];
            let (first, last) = (block.address(block.first), block.address(block.last));
            assert!(first <= last && sources.contains(first) && sources.contains(last), "{text:?}");
            assert_eq!(sources.turn(first, 0), Some(first));
            if let Ok(last_turn) = u64::try_from(sources.count(first) - 1) {
                assert_eq!(sources.turn(first, last_turn), Some(last));
            }
            let written: Vec<String> = sources.texts().collect();
            assert_eq!(Sources::parse(&written), Ok(sources), "{text:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: &[&str]) -> Result<Sources, String> {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Sources::parse(&texts).map_err(|error| error.to_string())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[track_caller]
    fn check(texts: &[&str], to: &str, expected: &[&str]) {
        let sources = sources(texts).expect("sources");
        assert_eq!(sources.count(ip(to)), expected.len() as u128);
        // Twice around.
        for turn in 0..2 * expected.len() {
            let expected = expected[turn % expected.len()];
            assert_eq!(sources.turn(ip(to), turn as u64), Some(ip(expected)), "turn {turn}");
            assert!(sources.contains(ip(expected)));
        }
    }

    #[test]
    fn addresses_blocks_and_ranges_are_walked_in_order() {
        check(&["127.0.0.9"], "127.0.0.1", &["127.0.0.9"]);
        check(&["10.0.0.4/30"], "127.0.0.1", &["10.0.0.5", "10.0.0.6"]);
        check(&["10.0.0.4/31"], "127.0.0.1", &["10.0.0.4", "10.0.0.5"]);
        check(&["10.0.0.4/32"], "127.0.0.1", &["10.0.0.4"]);
        check(&["fd00::/127", "10.0.0.1"], "::1", &["fd00::", "fd00::1"]);
        check(&["10.0.0.255-10.0.1.1", "10.0.0.2"], "1.1.1.1", &["10.0.0.255", "10.0.1.0", "10.0.1.1", "10.0.0.2"]);
    }

    #[test]
    fn each_family_has_its_own() {
        let sources = sources(&["127.0.0.2", "::1"]).expect("sources");
        assert_eq!(sources.turn(ip("8.8.8.8"), 7), Some(ip("127.0.0.2")));
        assert_eq!(sources.turn(ip("fd00::1"), 7), Some(ip("::1")));
        let v4 = Sources(vec![sources.0[0]]);
        assert_eq!((v4.turn(ip("::1"), 0), v4.fit(ip("::1")), v4.fit(ip("1.1.1.1"))), (None, false, true));
        let none = Sources::default();
        assert_eq!((none.turn(ip("::1"), 0), none.fit(ip("::1")), none.contains(ip("::1"))), (None, true, true));
    }

    #[test]
    fn the_largest_blocks_are_walked_without_being_written_out() {
        let all = sources(&["::/0"]).expect("all of IPv6");
        assert_eq!((all.count(ip("::1")), all.turn(ip("::1"), 5)), (u128::MAX, Some(ip("::5"))));
        let ten = sources(&["10.0.0.0/8"]).expect("16 million");
        assert_eq!((ten.count(ip("1.1.1.1")), ten.turn(ip("1.1.1.1"), 1 << 16)), ((1 << 24) - 2, Some(ip("10.1.0.1"))));
    }

    #[test]
    fn nonsense_is_refused_with_a_remedy() {
        for (texts, part) in [
            (&["localhost"][..], "write e.g. 127.0.0.2"),
            (&[""], "no address"),
            (&["10.0.0.0/33"], "a number up to 32"),
            (&["10.0.0.0/"], "a number up to 32"),
            (&["10.0.0.0/+8"], "a number up to 32"),
            (&["fd00::/129"], "a number up to 128"),
            (&["10.0.0.5/24"], "the block is 10.0.0.0/24"),
            (&["10.0.0.9-10.0.0.2"], "no range"),
            (&["10.0.0.9-::1"], "no range"),
            (&["224.0.0.1"], "multicast"),
            (&["10.0.0.0/24", "10.0.0.7"], "10.0.0.0/24 has already"),
            (&["\u{1b}[2J"], "--source \\u{1b}[2J"),
        ] {
            let error = sources(texts).expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_sources() {
        let corpus: [&[u8]; 7] = [
            b"127.0.0.2",
            b"10.0.0.0/24",
            b"10.0.0.2-10.0.0.9",
            b"fd00::/64",
            b"::/0",
            b"::1-::ff",
            b"::ffff:1.2.3.4/128",
        ];
        let telling: [&[u8]; 8] = [b"/", b"-", b":", b".", b"0", b"128", b"255", b"\x1b"];
        crate::mutation::run("network", &corpus, &telling, 20_000, fuzz_source);
    }
}
