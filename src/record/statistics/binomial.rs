//! The binomial distribution, exactly: quantiles, and the interval of a share. Sums of probabilities, which hold for a
//! hundred million trials, where continued fractions of a fixed length do not.

/// Relative to the likeliest value, what is less likely does not change a double's sum any more.
const NEGLIGIBLE: f64 = 1e-18;
/// Half of what is left outside of a 95 % interval.
pub const TAIL: f64 = 0.025;

/// The smallest k with P(X <= k) >= `level`, where X is binomial with `n` trials of probability `p`, 0 < p < 1.
pub fn quantile(n: u64, p: f64, level: f64) -> u64 {
    let (first, masses) = masses(n, p);
    let mut sum = 0.0;
    for (k, mass) in (first..).zip(masses) {
        sum += mass;
        if sum >= level {
            return k;
        }
    }
    n
}

/// The 95 % interval of a probability of which `n` trials saw `k` successes (Clopper and Pearson, 1934), 0 to 1.
///
/// # Panics
/// Where `k` is above `n`.
pub fn clopper_pearson(k: u64, n: u64) -> (f64, f64) {
    assert!(k <= n, "no more successes than trials");
    let low = if k == 0 { 0.0 } else { solve(|p| 1.0 - at_most(k - 1, n, p) >= TAIL) };
    let high = if k == n { 1.0 } else { solve(|p| at_most(k, n, p) <= TAIL) };
    (low, high)
}

/// The same of a share, 0 to 1, that was found among requests worth `n_eff` samples.
pub fn share_interval(share: f64, n_eff: f64) -> (f64, f64) {
    let n = n_eff.max(1.0) as u64;
    clopper_pearson(((share * n as f64).round() as u64).min(n), n)
}

/// P(X <= k).
fn at_most(k: u64, n: u64, p: f64) -> f64 {
    let (first, masses) = masses(n, p);
    (first..=k).zip(masses).map(|(_, mass)| mass).sum()
}

/// Where a condition on a probability begins to hold, given that it holds from there on.
fn solve(holds: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        *(if holds(middle) { &mut high } else { &mut low }) = middle;
    }
    high
}

/// The probabilities of all values that matter, ascending, and the first of these values: each from its neighbour,
/// beginning at the likeliest, and scaled to a sum of 1.
fn masses(n: u64, p: f64) -> (u64, Vec<f64>) {
    let mode = (((n + 1) as f64 * p) as u64).min(n);
    let odds = p / (1.0 - p);
    let mut below = Vec::new();
    let (mut k, mut mass) = (mode, 1.0);
    while k > 0 && mass > NEGLIGIBLE {
        mass *= k as f64 / ((n - k + 1) as f64 * odds);
        k -= 1;
        below.push(mass);
    }
    let first = k;
    let mut masses: Vec<f64> = below.into_iter().rev().collect();
    masses.push(1.0);
    let (mut k, mut mass) = (mode, 1.0);
    while k < n && mass > NEGLIGIBLE {
        mass *= (n - k) as f64 * odds / (k + 1) as f64;
        k += 1;
        masses.push(mass);
    }
    let sum: f64 = masses.iter().sum();
    masses.iter_mut().for_each(|mass| *mass /= sum);
    (first, masses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // 10 tosses of a coin: P(X <= 1) = 11/1024, P(X <= 2) = 56/1024.
        assert_eq!(quantile(10, 0.5, 10.9 / 1024.0), 1);
        assert_eq!(quantile(10, 0.5, 11.1 / 1024.0), 2);
        assert_eq!((quantile(10, 0.5, 0.025), quantile(10, 0.5, 0.975)), (2, 8));
        assert_eq!((quantile(0, 0.5, 0.975), quantile(1, 0.99, 0.025)), (0, 1));
    }

    #[test]
    fn many_trials_come_near_the_normal_distribution() {
        let (n, p) = (100_000_000, 0.99);
        let sigma = f64::sqrt(n as f64 * p * (1.0 - p));
        let expected = n as f64 * p + 1.959_964 * sigma;
        assert!((quantile(n, p, 0.975) as f64 - expected).abs() < 2.0);
    }

    #[test]
    fn shares_have_the_interval_of_the_literature() {
        let near = |(low, high): (f64, f64), (expected_low, expected_high): (f64, f64)| {
            assert!((low - expected_low).abs() < 1e-4 && (high - expected_high).abs() < 1e-4, "{low} {high}");
        };
        // R: binom.test(x, n)$conf.int.
        near(clopper_pearson(0, 10), (0.0, 0.3085));
        near(clopper_pearson(1, 10), (0.0025, 0.4450));
        near(clopper_pearson(5, 10), (0.1871, 0.8129));
        near(clopper_pearson(10, 10), (0.6915, 1.0));
        // The rule of three, for both tails: -ln(0.025) / n.
        let (low, high) = clopper_pearson(0, 1_000_000);
        assert!(low == 0.0 && (high * 1e6 / 3.688_88 - 1.0).abs() < 1e-3, "{high}");
        assert_eq!(clopper_pearson(0, 0), (0.0, 1.0));
    }
}
