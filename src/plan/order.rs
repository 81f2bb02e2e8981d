//! The order in which a shard walks the URL set: in turn, shuffled, or drawn; each a pure function of the request's
//! number, the seed and the shard, which costs no memory a line.

use super::UrlSet;

/// In which order lines are asked for (`--order`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// As they stand.
    #[default]
    Seq,
    /// In one seeded permutation of the lines, the same for the whole run and for all shards.
    Shuffle,
    /// Each request draws from all lines, by weight where there are weights.
    Random,
}

impl Order {
    /// `seq`, `shuffle` or `random`, as options and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seq => "seq",
            Self::Shuffle => "shuffle",
            Self::Random => "random",
        }
    }
}

/// Which line each request of one shard asks for.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    lines: u64,
    index: u64,
    count: u64,
    way: Way,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    Seq,
    Shuffle(Permutation),
    Random(Draws),
}

impl Walk {
    /// The walk of shard `index` of `count` over `lines` lines.
    pub fn new(order: Order, lines: u64, seed: u64, index: u64, count: u64) -> Self {
        assert!(lines > 0 && index < count);
        let way = match order {
            Order::Seq => Way::Seq,
            Order::Shuffle => Way::Shuffle(Permutation::new(lines, seed)),
            Order::Random => Way::Random(Draws::new(seed, index)),
        };
        Self { lines, index, count, way }
    }

    /// The line of the shard's `k`-th request; `urls` is the set the walk was made for.
    #[inline]
    pub fn line(&self, urls: &UrlSet, k: u64) -> u64 {
        debug_assert_eq!(urls.len(), self.lines);
        match &self.way {
            Way::Seq => stripe(self.lines, self.index, self.count, k),
            Way::Shuffle(permutation) => permutation.image(stripe(self.lines, self.index, self.count, k)),
            Way::Random(draws) => {
                let bits = draws.bits(k);
                urls.weights().map_or_else(|| scale(bits, self.lines).0, |weights| weights.pick(bits))
            }
        }
    }
}

/// The place in the order of the `k`-th request of shard `index` of `count`, among `lines` lines (contract section 2).
///
/// With at least as many lines as shards, shard i walks places i, i+n, …; with fewer, every shard walks all places,
/// starting at i.
pub fn stripe(lines: u64, index: u64, count: u64, k: u64) -> u64 {
    if lines >= count {
        let own = (lines - index).div_ceil(count);
        index + count * (k % own)
    } else {
        (index % lines + k % lines) % lines
    }
}

/// `bits`, evenly spread over 64 bits, as a whole number below `bound` and the 64 bits of its fraction.
#[inline]
pub(crate) fn scale(bits: u64, bound: u64) -> (u64, u64) {
    let product = u128::from(bits) * u128::from(bound);
    ((product >> 64) as u64, product as u64)
}

/// The mixing function of SplitMix64 (Steele, Lea, Flood 2014): a bijection whose output bits all depend on all of its input.
#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The step of SplitMix64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One SplitMix64 stream a shard, read at any position.
#[derive(Clone, Copy, Debug)]
struct Draws {
    start: u64,
}

impl Draws {
    fn new(seed: u64, index: u64) -> Self {
        // Mixed twice, so that shards and seeds start far apart on the generator's one cycle.
        let start = mix(mix(seed.wrapping_add(GOLDEN)) ^ mix(index.wrapping_mul(GOLDEN).wrapping_add(1)));
        Self { start }
    }

    #[inline]
    fn bits(self, k: u64) -> u64 {
        mix(self.start.wrapping_add(k.wrapping_add(1).wrapping_mul(GOLDEN)))
    }
}

/// Rounds of a [`Permutation`]; even, so that both halves are mixed equally often.
const ROUNDS: u64 = 8;

/// A seeded permutation of 0..lines without a table: a Feistel network over the next power of two, walked on until the
/// image lies inside (Black and Rogaway 2002); fewer than two steps on average.
#[derive(Clone, Copy, Debug)]
struct Permutation {
    lines: u64,
    key: u64,
    left_bits: u32,
    right_bits: u32,
}

impl Permutation {
    fn new(lines: u64, seed: u64) -> Self {
        let bits = u64::BITS - (lines - 1).leading_zeros();
        let left_bits = bits / 2;
        Self { lines, key: mix(seed ^ GOLDEN), left_bits, right_bits: bits - left_bits }
    }

    fn image(&self, place: u64) -> u64 {
        debug_assert!(place < self.lines);
        let mut at = self.step(place);
        // Ends: the step permutes the power of two, so its cycle through `place` comes back to `place` at the latest.
        while at >= self.lines {
            at = self.step(at);
        }
        at
    }

    fn step(&self, at: u64) -> u64 {
        let mask = |bits: u32| (1u64 << bits) - 1;
        let (mut left, mut right) = (at >> self.right_bits, at & mask(self.right_bits));
        for round in 0..ROUNDS {
            let key = self.key.wrapping_add(round.wrapping_mul(GOLDEN));
            if round % 2 == 0 {
                right ^= mix(left ^ key) & mask(self.right_bits);
            } else {
                left ^= mix(right ^ key) & mask(self.left_bits);
            }
        }
        (left << self.right_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Common;
    use super::super::urlset::Builder;
    use super::*;

    /// Numbers of shards that every order is proven on.
    const SHARDS: [u64; 4] = [1, 2, 3, 7];

    fn plain(lines: u64) -> UrlSet {
        let common = Common { keep_alive: true, ..Common::default() };
        let mut builder = Builder::new(&common, "GET");
        (0..lines).for_each(|line| builder.push(None, &format!("http://a/{line}")).expect("a URL"));
        builder.finish()
    }

    fn weighted(weights: &[u32]) -> UrlSet {
        let common = Common { keep_alive: true, ..Common::default() };
        let mut builder = Builder::new(&common, "GET");
        let lines: String = weights.iter().map(|w| format!("{{\"url\":\"http://a/{w}\",\"weight\":{w}}}\n")).collect();
        builder.push_file("urls.jsonl", lines.as_bytes()).expect("lines");
        builder.finish()
    }

    /// Chi-square of `seen` against `expected`, over the 0.999 quantile for its degrees of freedom (Wilson-Hilferty).
    fn assert_fits(seen: &[u64], expected: &[f64], what: &str) {
        let chi: f64 = seen.iter().zip(expected).map(|(&n, e)| (n as f64 - e).powi(2) / e).sum();
        let freedom = (seen.len() - 1) as f64;
        let part = 2.0 / (9.0 * freedom);
        let limit = freedom * (1.0 - part + 3.09 * part.sqrt()).powi(3);
        assert!(chi < limit, "{what}: chi-square {chi} over {limit}: {seen:?}");
    }

    /// How often each line is asked for by `count` shards of `each` requests.
    fn tally(urls: &UrlSet, order: Order, seed: u64, count: u64, each: u64) -> Vec<u64> {
        let mut seen = vec![0; urls.len() as usize];
        for index in 0..count {
            let walk = Walk::new(order, urls.len(), seed, index, count);
            (0..each).for_each(|k| seen[walk.line(urls, k) as usize] += 1);
        }
        seen
    }

    #[test]
    fn shards_walk_all_lines_once_a_round_and_no_line_twice() {
        for lines in 1..40u64 {
            let urls = plain(lines);
            for (count, order) in SHARDS.into_iter().flat_map(|n| [(n, Order::Seq), (n, Order::Shuffle)]) {
                let mut seen = vec![0u64; lines as usize];
                for index in 0..count {
                    let walk = Walk::new(order, lines, 5, index, count);
                    let own = if lines >= count { (lines - index).div_ceil(count) } else { lines };
                    let walked: Vec<_> = (0..own).map(|k| walk.line(&urls, k)).collect();
                    assert_eq!(walk.line(&urls, own), walked[0], "a round ends where it began");
                    walked.iter().for_each(|&line| seen[line as usize] += 1);
                }
                let rounds = if lines >= count { 1 } else { count };
                assert!(seen.iter().all(|&times| times == rounds), "{lines} lines, {count} shards: {seen:?}");
            }
        }
        assert_eq!((0..3).map(|index| stripe(2, index, 3, 0)).collect::<Vec<_>>(), [0, 1, 0]);
    }

    #[test]
    fn every_line_is_equally_likely_at_every_place_of_a_shuffle() {
        for lines in [2u64, 3, 5, 8, 13] {
            for place in 0..lines {
                let mut seen = vec![0; lines as usize];
                (0..4_000).for_each(|seed| seen[Permutation::new(lines, seed).image(place) as usize] += 1);
                assert_fits(&seen, &vec![4_000.0 / lines as f64; lines as usize], &format!("place {place} of {lines}"));
            }
        }
    }

    #[test]
    fn a_shuffle_of_many_lines_is_a_permutation_that_the_seed_decides() {
        let lines = 100_003;
        let images = |seed| (0..lines).map(|at| Permutation::new(lines, seed).image(at)).collect::<Vec<_>>();
        let (first, other) = (images(1), images(2));
        assert_ne!(first, other);
        assert_eq!(first, images(1));
        let fixed = first.iter().zip(0..).filter(|&(&image, at)| image == at).count();
        assert!(fixed < 10, "{fixed} lines stayed in place; one is expected");
        let mut sorted = first;
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..lines));
    }

    #[test]
    fn random_draws_every_line_equally_often_on_any_number_of_shards() {
        let urls = plain(50);
        for count in SHARDS {
            let each = 42_000 / count;
            let seen = tally(&urls, Order::Random, 11, count, each);
            assert_fits(&seen, &vec![(each * count) as f64 / 50.0; 50], &format!("{count} shards"));
        }
        assert_ne!(tally(&urls, Order::Random, 1, 1, 500), tally(&urls, Order::Random, 2, 1, 500));
    }

    #[test]
    fn shards_draw_from_different_streams() {
        let urls = plain(1_000);
        let of = |index| Walk::new(Order::Random, 1_000, 0, index, 7);
        let same = (0..10_000).filter(|&k| of(0).line(&urls, k) == of(1).line(&urls, k)).count();
        assert!(same < 40, "{same} of 10,000 draws are equal; ten are expected");
    }

    #[test]
    fn weights_are_kept_on_any_number_of_shards() {
        let weights = [1, 2, 3, 10, 100, 7, 1, 50, 26, 200];
        let urls = weighted(&weights);
        for count in SHARDS {
            let each = 210_000 / count;
            let seen = tally(&urls, Order::Random, 3, count, each);
            let expected = weights.map(|weight| f64::from(weight) / 400.0 * (each * count) as f64);
            assert_fits(&seen, &expected, &format!("{count} shards"));
        }
    }
}
