//! Which URLs were there before (`--unique`), in bounded memory.
//!
//! Owns fingerprints and no text.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

/// So many different ones are remembered: about 145 MB when full.
pub const REMEMBERED_MAX: usize = 1 << 22;

/// What is known of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It was not there before.
    New,
    /// It was.
    Repeated,
    /// It is none of those remembered, and no more are: it may be new or not.
    Unknown,
}

/// All different entries so far, up to a number.
///
/// An entry is told by 128 bits of two keyed hashes: among four million, two of one fingerprint come up once in 10²⁵ runs,
/// and nobody who writes the input can make them.
#[derive(Debug)]
pub struct Seen {
    keys: [RandomState; 2],
    prints: HashSet<(u64, u64), RandomState>,
    max: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Self::remembering(REMEMBERED_MAX)
    }
}

impl Seen {
    /// Of which at most `max` are remembered.
    pub fn remembering(max: usize) -> Self {
        Self { keys: [RandomState::new(), RandomState::new()], prints: HashSet::default(), max }
    }

    /// Looks at the next entry: method, origin and target of a line, and its body where it has one.
    pub fn see(&mut self, method: &str, origin: &str, target: &str, body: &[u8]) -> Sighting {
        let entry = (method, origin, target, body);
        let print = (self.keys[0].hash_one(entry), self.keys[1].hash_one(entry));
        if self.prints.contains(&print) {
            return Sighting::Repeated;
        }
        if self.is_full() {
            return Sighting::Unknown;
        }
        self.prints.insert(print);
        Sighting::New
    }

    /// Whether no more are remembered: from here on repeats may go through, and whoever asked for uniqueness is told.
    pub fn is_full(&self) -> bool {
        self.prints.len() >= self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_two_is_a_repeat() {
        let mut seen = Seen::default();
        assert_eq!(seen.see("GET", "http://h", "/a", b""), Sighting::New);
        for (method, origin, target, body) in [
            ("HEAD", "http://h", "/a", ""),
            ("GET", "https://h", "/a", ""),
            ("GET", "http://h", "/", "a"),
            ("GET", "http://h", "/a", "b"),
        ] {
            assert_eq!(seen.see(method, origin, target, body.as_bytes()), Sighting::New, "{method} {origin}{target}");
        }
        assert_eq!(seen.see("GET", "http://h", "/a", b""), Sighting::Repeated);
        assert!(!seen.is_full());
    }

    #[test]
    fn pieces_are_not_run_together() {
        let mut seen = Seen::default();
        assert_eq!(seen.see("GET", "http://h:8", "0/a", b""), Sighting::New);
        assert_eq!(seen.see("GET", "http://h:80", "/a", b""), Sighting::New);
    }

    #[test]
    fn a_full_memory_knows_what_it_holds_and_says_so() {
        let mut seen = Seen::remembering(1_000);
        let sight = |seen: &mut Seen, number: u32| seen.see("GET", "http://h", &format!("/{number}"), b"");
        assert!((0..1_000).all(|number| sight(&mut seen, number) == Sighting::New));
        assert!(seen.is_full());
        assert!((0..1_000).all(|number| sight(&mut seen, number) == Sighting::Repeated));
        assert!((1_000..2_000).all(|number| sight(&mut seen, number) == Sighting::Unknown));
        assert_eq!(sight(&mut seen, 1_000), Sighting::Unknown, "it was not remembered");
    }
}
