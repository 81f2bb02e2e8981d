//! The window design effect: how many independent samples the requests of a run are worth. Requests close in time share
//! a queue, so that thousands of them may say no more than a few hundred would that had nothing to do with each other.

use super::student::{Z_975, t};

/// Widths that are tried, in windows of half a second: 0.5, 1, 2 and 3 s. The one with the largest effect counts, for
/// nobody knows how long the dependence lasts.
const WIDTHS: [usize; 4] = [1, 2, 4, 6];
/// A variance of fewer windows is no estimate.
pub const WINDOWS_MIN: usize = 10;

/// What a run's requests are worth as samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effective {
    /// The variance of the share over that of independent requests; at least 1.
    pub deff: f64,
    /// How many independent samples would tell as much; at most the number of requests.
    pub n_eff: f64,
}

/// Of `n` requests in all, given for each window of half a second, in order, how many there were and how many of them
/// had the property whose share is asked for (above a quantile, failed); `None` where the run is too short to tell.
///
/// deff is the largest over the widths that leave 10 windows; n_eff is n / deff, less what is lost because deff comes
/// from few windows: (1.96 / t)^2.
pub fn effective(n: u64, windows: &[(u64, u64)]) -> Option<Effective> {
    let widths = WIDTHS.into_iter().filter_map(|width| {
        let joined: Vec<_> = windows.chunks_exact(width).map(join).collect();
        (joined.len() >= WINDOWS_MIN).then(|| (effect(&joined), joined.len()))
    });
    let (deff, m) = widths.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let worth = (Z_975 / t(Z_975, m - 1)).powi(2);
    Some(Effective { deff, n_eff: n as f64 / deff * worth })
}

fn join(windows: &[(u64, u64)]) -> (u64, u64) {
    windows.iter().fold((0, 0), |(n, k), window| (n + window.0, k + window.1))
}

fn effect(windows: &[(u64, u64)]) -> f64 {
    let (n, k) = join(windows);
    if k == 0 || k == n {
        // Nothing varies.
        return 1.0;
    }
    let (m, n) = (windows.len() as f64, n as f64);
    let p = k as f64 / n;
    let squares: f64 = windows.iter().map(|&(n, k)| (k as f64 - p * n as f64).powi(2)).sum();
    let variance = m / (m - 1.0) * squares / (n * n);
    f64::max(1.0, variance / (p * (1.0 - p) / n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_are_slow_together_are_worth_less() {
        // 1 % of 100 in each window, and the same number all in every tenth window.
        let even = [(100, 1); 60];
        let bursts: Vec<_> = (0..60).map(|window| (100, if window % 10 == 0 { 10 } else { 0 })).collect();
        let even = effective(6_000, &even).expect("30 s");
        let bursts = effective(6_000, &bursts).expect("30 s");
        assert_eq!(even.deff, 1.0);
        assert!(even.n_eff < 6_000.0 && even.n_eff > 4_000.0, "{even:?}");
        // V = 60/59 * (6 * 9^2 + 54 * 1) / 6000^2 over 0.01 * 0.99 / 6000.
        assert!((bursts.deff - 9.25).abs() < 0.05, "{bursts:?}");
        assert!(bursts.n_eff < 650.0);
    }

    #[test]
    fn wider_windows_find_slower_waves() {
        // Three seconds slow, three seconds fast.
        let waves: Vec<_> = (0..120).map(|window| (100, if window / 6 % 2 == 0 { 20 } else { 0 })).collect();
        let wide = effective(12_000, &waves).expect("60 s");
        assert!(wide.deff > 5.0 * effect(&waves), "{wide:?}");
    }

    #[test]
    fn a_short_run_tells_nothing_and_a_constant_one_is_worth_all() {
        assert_eq!(effective(900, &[(100, 1); 9]), None);
        assert!(effective(1_000, &[(100, 0); 10]).is_some_and(|worth| worth.deff == 1.0 && worth.n_eff > 700.0));
    }
}
