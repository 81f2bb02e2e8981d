//! Mutations for the tests that run `fuzz_*` functions: seeded, so that a failure comes again. Only in tests.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The next number of a small generator.
fn draw(seed: &mut u64, end: usize) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    (*seed % end as u64) as usize
}

/// Runs `check` on every input of `corpus`, then for `rounds` on one to three of them behind each other with up to six
/// places changed, with a liking for `telling` pieces. Where the environment names a folder in `FUZZ_SEEDS`, the corpus is
/// written to its folder `target`, from where cargo-fuzz starts.
///
/// # Panics
/// When `check` does, with what it takes to come there again.
#[track_caller]
pub(crate) fn run(target: &str, corpus: &[&[u8]], telling: &[&[u8]], rounds: usize, check: fn(&[u8])) {
    if let Some(folder) = std::env::var_os("FUZZ_SEEDS") {
        let folder = std::path::Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder).expect("a folder for the corpus");
        for input in corpus {
            // Several tests may fill one folder.
            let name = BuildHasherDefault::<DefaultHasher>::default().hash_one(input);
            std::fs::write(folder.join(format!("seed-{name:016x}")), input).expect("a file of the corpus");
        }
    }
    corpus.iter().for_each(|input| check(input));
    let mut seed = 0x5eed_0000_0000_0001;
    for round in 0..rounds {
        let mut bytes = Vec::new();
        for _ in 0..=draw(&mut seed, 3) {
            bytes.extend_from_slice(corpus[draw(&mut seed, corpus.len())]);
        }
        for _ in 0..=draw(&mut seed, 6) {
            mutate(&mut bytes, telling, &mut seed);
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| check(&bytes)));
        assert!(outcome.is_ok(), "{target}, round {round}: b\"{}\"", bytes.escape_ascii());
    }
}

/// Changes, drops, repeats or moves a few bytes.
fn mutate(bytes: &mut Vec<u8>, telling: &[&[u8]], seed: &mut u64) {
    let at = draw(seed, bytes.len() + 1);
    let end = (at + draw(seed, 12)).min(bytes.len());
    match draw(seed, 6) {
        0 => drop(bytes.splice(at..at, telling[draw(seed, telling.len())].iter().copied())),
        1 => drop(bytes.splice(at..end, telling[draw(seed, telling.len())].iter().copied())),
        2 if at < bytes.len() => bytes[at] ^= 1 << draw(seed, 8),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let copy = bytes[at..end].to_vec();
            let to = draw(seed, bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        _ => bytes.truncate(at.max(1)),
    }
}
