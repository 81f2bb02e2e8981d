//! Whether intervals hold what they promise, on a queue whose true quantiles are known: one server, Poisson arrivals,
//! exponential service. Seeded, so that a run is the same everywhere.
//!
//! Of 500 runs of 30 s, 100 % at a utilisation of 0.3, 94 % at 0.7 and 61 % at 0.8 have an interval of p99; it covers the
//! truth in 97, 96 and 91 % of them, and one that takes requests for independent in 68, 28 and 18 %.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::quantile::marks;
use super::*;
use crate::record::timeline::{IntervalCounts, PageId, WINDOW};
use crate::record::{Histogram, SparseHistogram, Window};
use crate::units::Nanos;

/// Arrivals a second.
const RATE: f64 = 1_000.0;
/// Requests that bring the queue to its steady state before anything counts.
const SETTLING: usize = 5_000;

struct Random(ChaCha8Rng);

impl Random {
    /// An exponential value with mean 1.
    fn exponential(&mut self) -> f64 {
        -((self.0.next_u32() as f64 + 0.5) / 4_294_967_296.0).ln()
    }
}

/// The response times of a run in seconds, each with the instant of its end.
fn queue(seed: u64, utilisation: f64, duration_s: f64) -> Vec<(f64, f64)> {
    let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
    let service_s = utilisation / RATE;
    let (mut wait, mut arrival) = (0.0, 0.0);
    let mut ends = Vec::with_capacity((RATE * duration_s * 1.1) as usize);
    for number in 0.. {
        let gap = random.exponential() / RATE;
        let response = f64::max(wait - gap, 0.0) + random.exponential() * service_s;
        wait = response;
        if number < SETTLING {
            continue;
        }
        arrival += gap;
        if arrival + response >= duration_s {
            break;
        }
        ends.push((arrival + response, response));
    }
    ends
}

/// Whether the interval of `q` covers the truth, `None` where there is none: by what the run is worth, and as if all
/// requests were independent.
fn covers(ends: &[(f64, f64)], q: f64, truth_s: f64, windows: usize) -> [Option<bool>; 2] {
    let mut response = Histogram::default();
    let mut values: Vec<Vec<Nanos>> = vec![Vec::new(); windows];
    for &(end, time) in ends {
        let value = Nanos((time * 1e9) as u64);
        response.record(value);
        values[(end * 1e9) as usize / WINDOW.0 as usize].push(value);
    }
    let windows: Vec<Window> = (0..).zip(values).map(|(number, values)| window(number, values)).collect();
    let marks = marks(q, &response, &windows.iter().collect::<Vec<_>>());
    let effective = effective(response.count(), &marks).expect("long enough");
    [effective.n_eff, response.count() as f64].map(|n_eff| {
        let ranks = ranks(q, n_eff)?;
        let (low, high) = (response.value_at(ranks.low), response.value_at(ranks.high));
        Some((low.as_secs_f64()..=high.as_secs_f64()).contains(&truth_s))
    })
}

fn window(number: u64, values: Vec<Nanos>) -> Window {
    let id = PageId { drain: false, number };
    Window { id, counts: IntervalCounts::default(), response: SparseHistogram::of(values) }
}

/// What became of many runs.
#[derive(Debug)]
struct Coverage {
    /// The share of runs that have an interval of p99.
    stated: f64,
    /// The share of these that cover the truth.
    ours: f64,
    /// The same of intervals that take requests for independent.
    naive: f64,
}

fn coverage(utilisation: f64, duration_s: f64, runs: u64) -> Coverage {
    // M/M/1: the response time is exponential with mean service / (1 - utilisation).
    let mean_s = utilisation / RATE / (1.0 - utilisation);
    let truth_s = -(0.01f64.ln()) * mean_s;
    let windows = (duration_s / WINDOW.as_secs_f64()) as usize;
    let outcomes: Vec<_> =
        (0..runs).map(|seed| covers(&queue(seed, utilisation, duration_s), 0.99, truth_s, windows)).collect();
    let share = |which: usize| {
        let stated: Vec<bool> = outcomes.iter().filter_map(|outcome| outcome[which]).collect();
        let covered = stated.iter().filter(|covered| **covered).count();
        (stated.len() as f64 / runs as f64, covered as f64 / stated.len().max(1) as f64)
    };
    let ((stated, ours), (_, naive)) = (share(0), share(1));
    Coverage { stated, ours, naive }
}

/// Whether there is time for as many runs as it takes to be sure.
fn thorough() -> bool {
    std::env::var_os("SLOW_TESTS").is_some_and(|value| value == "1")
}

#[test]
fn intervals_of_p99_cover_the_truth_where_those_of_independent_requests_do_not() {
    let (runs, expected) = if thorough() { (500, 0.92..=0.98) } else { (40, 0.85..=1.0) };
    let coverage = coverage(0.7, 30.0, runs);
    assert!(expected.contains(&coverage.ours) && coverage.naive < 0.40 && coverage.stated > 0.8, "{coverage:?}");
}

#[test]
fn they_do_so_on_an_idle_server_and_nearly_so_on_a_busy_one() {
    let runs = if thorough() { 100 } else { 12 };
    for (utilisation, duration_s, least) in [(0.3, 30.0, 0.9), (0.8, 30.0, 0.8), (0.9, 120.0, 0.8)] {
        let runs = (f64::from(runs) * 30.0 / duration_s) as u64;
        let coverage = coverage(utilisation, duration_s, runs);
        assert!(coverage.ours >= least && coverage.naive < coverage.ours, "utilisation {utilisation}: {coverage:?}");
    }
}
