//! Weighted choice in constant time: the alias method (Walker 1974, Vose 1991), in whole numbers, 8 bytes a line.

use super::order::scale;

/// A read-only table, shared by all shards.
#[derive(Debug)]
pub struct AliasTable {
    cells: Vec<Cell>,
}

/// One line: chosen itself where the coin is below `own` (the upper half, in 2^-32), its alias (the lower half) otherwise.
#[derive(Clone, Copy, Debug)]
struct Cell(u64);

impl Cell {
    fn new(own: u32, alias: u32) -> Self {
        Self(u64::from(own) << 32 | u64::from(alias))
    }

    fn own(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn alias(self) -> u32 {
        self.0 as u32
    }
}

impl AliasTable {
    /// A table of these weights: at least one, fewer than 2^32, each at least 1. Takes 12 bytes a line while it is made.
    pub fn new(weights: Vec<u32>) -> Self {
        let count = u32::try_from(weights.len()).expect("a URL set has fewer than 2^32 lines");
        assert!(count > 0 && weights.iter().all(|&weight| weight > 0));
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        // Every share is times `count / total` of 1; neither product nor sum can pass 2^64. A share stands in its line's
        // cell until that is decided.
        let mut cells: Vec<Cell> = weights.iter().map(|&weight| Cell(u64::from(weight) * u64::from(count))).collect();
        drop(weights);
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..count).partition(|&line| cells[line as usize].0 < total);
        while let (Some(&giver), Some(taker)) = (large.last(), small.pop()) {
            let share = cells[taker as usize].0;
            let own = (u128::from(share) << 32) / u128::from(total);
            cells[taker as usize] = Cell::new(own as u32, giver);
            let left = cells[giver as usize].0 - (total - share);
            cells[giver as usize] = Cell(left);
            if left < total {
                large.pop();
                small.push(giver);
            }
        }
        // Whoever is left has exactly its share.
        small.into_iter().chain(large).for_each(|line| cells[line as usize] = Cell::new(u32::MAX, line));
        Self { cells }
    }

    /// The line that 64 evenly spread bits choose.
    #[inline]
    pub fn pick(&self, bits: u64) -> u64 {
        let (line, fraction) = scale(bits, self.cells.len() as u64);
        let cell = self.cells[line as usize];
        if ((fraction >> 32) as u32) < cell.own() { line } else { u64::from(cell.alias()) }
    }

    /// The whole table as bytes that equal weights make equal; for digests.
    pub fn bytes(&self) -> impl ExactSizeIterator<Item = [u8; 8]> + '_ {
        self.cells.iter().map(|cell| cell.0.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The part of all draws that each line has, from the table itself.
    fn parts(table: &AliasTable) -> Vec<f64> {
        let mut parts = vec![0.0; table.cells.len()];
        for (line, cell) in table.cells.iter().enumerate() {
            let own = if cell.alias() as usize == line { 1.0 } else { f64::from(cell.own()) / 2f64.powi(32) };
            parts[line] += own / table.cells.len() as f64;
            parts[cell.alias() as usize] += (1.0 - own) / table.cells.len() as f64;
        }
        parts
    }

    #[test]
    fn every_line_has_the_part_of_its_weight() {
        for weights in [&[1][..], &[1, 1], &[1, 3], &[5, 1, 1, 1], &[u32::MAX, 1, u32::MAX], &[7; 100]] {
            let total: f64 = weights.iter().copied().map(f64::from).sum();
            for (part, &weight) in parts(&AliasTable::new(weights.to_vec())).iter().zip(weights) {
                assert!((part - f64::from(weight) / total).abs() < 1e-9, "{weights:?}: {part}");
            }
        }
    }

    #[test]
    fn the_extreme_bits_choose_a_line_that_exists() {
        let table = AliasTable::new(vec![1, 2, 3]);
        for bits in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert!(table.pick(bits) < 3);
        }
    }
}
