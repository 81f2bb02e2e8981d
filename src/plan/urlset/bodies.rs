//! Bodies of lines, back to back, equal ones once. Each different one costs 8 bytes beside its own.

use std::hash::BuildHasher as _;
use std::ops::Range;

use bytes::Bytes;
use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Bodies by number, in the order in which they first came.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    bytes: Bytes,
    /// Where each ends; it begins where the one before ends.
    ends: Vec<u64>,
}

impl Bodies {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, index: usize) -> &[u8] {
        &self.bytes[range(&self.ends, index)]
    }

    /// The same, sharing its bytes instead of borrowing them; allocates nothing.
    pub(super) fn shared(&self, index: usize) -> Bytes {
        self.bytes.slice(range(&self.ends, index))
    }

    /// Bytes of memory, those of the bodies included.
    pub(super) fn memory(&self) -> usize {
        self.bytes.len() + self.ends.capacity() * size_of::<u64>()
    }
}

/// Where body number `index` stands among those that end at `ends`.
fn range(ends: &[u64], index: usize) -> Range<usize> {
    let start = index.checked_sub(1).map_or(0, |before| ends[before]);
    start as usize..ends[index] as usize
}

/// Gathers bodies while lines come.
#[derive(Default)]
pub(super) struct Gathered {
    bytes: Vec<u8>,
    ends: Vec<u64>,
    /// Finds equal ones.
    known: HashTable<Known>,
    hasher: DefaultHashBuilder,
}

/// A body in the table, of which there may be millions: 8 bytes, with what the table needs to grow without a look at
/// their content.
struct Known {
    hash: u32,
    index: u32,
}

impl Gathered {
    /// The number of the body that `append` appends, where it succeeds: that of an equal one, where there is one.
    pub(super) fn push<E>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<u32, E> {
        let start = self.bytes.len();
        append(&mut self.bytes)?;
        let (before, new) = self.bytes.split_at(start);
        let hash = folded(self.hasher.hash_one(new));
        let equal = |known: &Known| known.hash == hash && before[range(&self.ends, known.index as usize)] == *new;
        match self.known.entry(spread(hash), equal, |known| spread(known.hash)) {
            Entry::Occupied(known) => {
                self.bytes.truncate(start);
                Ok(known.get().index)
            }
            Entry::Vacant(place) => {
                let index = self.ends.len() as u32;
                place.insert(Known { hash, index });
                self.ends.push(self.bytes.len() as u64);
                Ok(index)
            }
        }
    }

    pub(super) fn finish(mut self) -> Bodies {
        self.ends.shrink_to_fit();
        Bodies { bytes: self.bytes.into_boxed_slice().into(), ends: self.ends }
    }
}

fn folded(hash: u64) -> u32 {
    (hash ^ hash >> 32) as u32
}

/// The table looks at the lowest bits of a hash and at the highest.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bodies_are_one_however_many_there_are() {
        // So many that some of them share the 32 bits by which they are found.
        const COUNT: u32 = 200_000;
        let content = |number: u32| if number == 0 { Vec::new() } else { number.to_string().repeat(3).into_bytes() };
        let mut gathered = Gathered::default();
        for round in 0..2 {
            for number in 0..COUNT {
                let pushed = gathered.push(|bytes| {
                    bytes.extend(content(number));
                    Ok::<_, ()>(())
                });
                assert_eq!(pushed, Ok(number), "round {round}");
            }
        }
        let bodies = gathered.finish();
        assert_eq!(bodies.len(), COUNT as usize);
        for number in 0..COUNT {
            assert_eq!(bodies.get(number as usize), content(number));
        }
        assert_eq!(bodies.shared(7), "777");
        let bytes: usize = (0..COUNT).map(|number| content(number).len()).sum();
        assert_eq!(bodies.memory(), bytes + 8 * COUNT as usize);
    }
}
