//! Weighted choice in constant time: the alias method (Walker 1974, Vose 1991), in whole numbers, 8 bytes a line.

use super::order::scale;

/// A read-only table, shared by all shards.
#[derive(Debug)]
pub struct AliasTable {
    cells: Vec<Cell>,
}

/// One line: chosen itself where the coin is below `own`, its alias otherwise.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// In 2^-32.
    own: u32,
    alias: u32,
}

impl AliasTable {
    /// A table of these weights: at least one, fewer than 2^32, each at least 1.
    pub fn new(weights: &[u32]) -> Self {
        let count = u32::try_from(weights.len()).expect("a URL set has fewer than 2^32 lines");
        assert!(count > 0 && weights.iter().all(|&weight| weight > 0));
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        // Every share is times `count / total` of 1; neither product nor sum can pass 2^64.
        let mut shares: Vec<u64> = weights.iter().map(|&weight| u64::from(weight) * u64::from(count)).collect();
        let mut cells: Vec<Cell> = (0..count).map(|line| Cell { own: u32::MAX, alias: line }).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..count).partition(|&line| shares[line as usize] < total);
        while let (Some(&giver), Some(taker)) = (large.last(), small.pop()) {
            let share = shares[taker as usize];
            let own = (u128::from(share) << 32) / u128::from(total);
            cells[taker as usize] = Cell { own: own as u32, alias: giver };
            shares[giver as usize] -= total - share;
            if shares[giver as usize] < total {
                large.pop();
                small.push(giver);
            }
        }
        Self { cells }
    }

    /// The line that 64 evenly spread bits choose.
    #[inline]
    pub fn pick(&self, bits: u64) -> u64 {
        let (line, fraction) = scale(bits, self.cells.len() as u64);
        let cell = self.cells[line as usize];
        if ((fraction >> 32) as u32) < cell.own { line } else { u64::from(cell.alias) }
    }

    /// The whole table as bytes that equal weights make equal; for digests.
    pub fn bytes(&self) -> impl ExactSizeIterator<Item = [u8; 8]> + '_ {
        self.cells.iter().map(|cell| (u64::from(cell.own) << 32 | u64::from(cell.alias)).to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of all draws that each line has, from the table itself.
    fn parts(table: &AliasTable) -> Vec<f64> {
        let mut parts = vec![0.0; table.cells.len()];
        for (line, cell) in table.cells.iter().enumerate() {
            let own = if cell.alias as usize == line { 1.0 } else { f64::from(cell.own) / 2f64.powi(32) };
            parts[line] += own / table.cells.len() as f64;
            parts[cell.alias as usize] += (1.0 - own) / table.cells.len() as f64;
        }
        parts
    }

    #[test]
    fn every_line_has_the_part_of_its_weight() {
        for weights in [&[1][..], &[1, 1], &[1, 3], &[5, 1, 1, 1], &[u32::MAX, 1, u32::MAX], &[7; 100]] {
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (part, &weight) in parts(&AliasTable::new(weights)).iter().zip(weights) {
                assert!((part - f64::from(weight) / total).abs() < 1e-9, "{weights:?}: {part}");
            }
        }
    }

    #[test]
    fn the_extreme_bits_choose_a_line_that_exists() {
        let table = AliasTable::new(&[1, 2, 3]);
        for bits in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert!(table.pick(bits) < 3);
        }
    }
}
