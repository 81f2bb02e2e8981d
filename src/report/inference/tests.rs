//! What is inferred of made-up runs.

use super::super::fixture::{self, MS, Run, US, raw};
use super::*;
use crate::plan::RawPlan;
use crate::plan::raw::RawShape;
use crate::record::{Failure, Outcome};
use crate::report::Summary;

/// 30 s of 200 requests a second, each ending after what `answer` says.
fn run(rate: Option<&str>, answer: impl Fn(u64) -> (u64, Outcome)) -> Run {
    let shape = RawShape { rate: rate.map(Into::into), ..RawShape::default() };
    let mut run = Run::new(&RawPlan { duration: Some("30s".into()), shape, ..raw() });
    for number in 0..6_000 {
        let (service_ns, outcome) = answer(number);
        run.request((number % 2) as usize, number * 5 * MS, 0, service_ns, outcome);
    }
    run
}

fn infer(run: Run) -> Inference {
    let (plan, record) = run.finish();
    Summary::new(&plan, &record).inference
}

/// 1 to 11 ms, in no order.
fn scattered(number: u64) -> u64 {
    MS + number * 7_919 % 10_000 * US
}

#[test]
fn an_interval_surrounds_its_quantile_or_says_what_it_takes() {
    let inference = infer(run(None, |number| (scattered(number), Outcome::Answered(200))));
    for (place, (name, q)) in QUANTILES.into_iter().enumerate() {
        let quantile = inference.quantiles[place];
        let effective = quantile.effective.expect("30 s");
        assert!((1.0..2.0).contains(&effective.deff) && effective.n_eff < 6_000.0, "{name}: {effective:?}");
        match quantile.ci95 {
            Some(Interval { low_us, high_us: Some(high_us) }) => {
                let value_us = 1_000.0 + q * 10_000.0;
                assert!(low_us < value_us && value_us < high_us && high_us - low_us < 600.0, "{name}: {quantile:?}");
                assert!(effective.n_eff >= quantile.needs as f64 && quantile.needs_s.is_none());
            }
            Some(open) => panic!("{name}: nothing is censored: {open:?}"),
            None => {
                assert!(["p99.9", "p99.99"].contains(&name) && effective.n_eff < quantile.needs as f64, "{name}");
                assert!(quantile.needs_s.is_some_and(|seconds| seconds > 30.0));
            }
        }
    }
}

#[test]
fn what_a_few_slow_requests_are_worth_is_known_from_the_others() {
    // One second in six is slow, which p90 sees; p99.9 has six requests beyond it.
    let waves = |number: u64| {
        (
            if (number / 200).is_multiple_of(6) { 20 * MS + number * US } else { scattered(number) },
            Outcome::Answered(200),
        )
    };
    let inference = infer(run(None, waves));
    let [p90, p999] = [2, 5].map(|place| inference.quantiles[place].effective.expect("30 s"));
    assert!(p90.deff > 20.0 && p999.n_eff <= inference.quantiles[4].effective.expect("30 s").n_eff, "{p90:?} {p999:?}");
}

#[test]
fn no_interval_ends_beyond_a_wait_without_an_answer() {
    // 3 % time out after 500 ms.
    let slow = |number| match number % 33 {
        0 => (500 * MS, Outcome::Failed(Failure::Timeout)),
        _ => (scattered(number), Outcome::Answered(200)),
    };
    let inference = infer(run(None, slow));
    let [p95, p99] = [3, 4].map(|place| inference.quantiles[place].ci95.expect("enough"));
    assert!(p95.high_us.is_some_and(|high_us| high_us < 11_100.0), "{p95:?}");
    assert_eq!(p99.high_us, None, "{p99:?}");
    assert!(p99.low_us > 400_000.0);
}

#[test]
fn a_rate_has_an_interval_where_it_was_measured_and_not_given() {
    let answer = |number| (scattered(number), Outcome::Answered(200));
    let closed = infer(run(None, answer)).throughput.expect("a closed load");
    assert!((closed.mean - 200.0).abs() < 1.0 && closed.half_width.is_some_and(|half| half < 2.0), "{closed:?}");
    assert_eq!(infer(run(Some("200"), answer)).throughput, None);
    let mut overloaded = run(Some("200"), answer);
    (0..100).for_each(|number| overloaded.unsent(0, number * MS));
    assert!(infer(overloaded).throughput.is_some());
}

#[test]
fn errors_have_a_share_and_its_interval() {
    let one_in_50 = |number: u64| (MS, Outcome::Answered(if number.is_multiple_of(50) { 500 } else { 200 }));
    let rate = infer(run(None, one_in_50)).error_rate.expect("30 s");
    let (low, high) = rate.ci95;
    assert!((rate.share - 0.02).abs() < 1e-9 && low > 0.015 && low < 0.02 && high > 0.02 && high < 0.026, "{rate:?}");
    // The same share, all in one second.
    let burst = |number: u64| (MS, Outcome::Answered(if (1_000..1_120).contains(&number) { 500 } else { 200 }));
    let rate = infer(run(None, burst)).error_rate.expect("30 s");
    assert!(rate.effective.deff > 50.0 && rate.ci95.1 > 0.06, "{rate:?}");
    let none = infer(run(None, |_| (MS, Outcome::Answered(200)))).error_rate.expect("30 s");
    assert!(none.ci95.0 == 0.0 && none.ci95.1 > 0.0, "{none:?}");
}

#[test]
fn a_short_run_says_nothing() {
    let (plan, record) = fixture::closed();
    let inference = Summary::new(&plan, &record).inference;
    assert!(inference.quantiles.iter().all(|quantile| quantile.effective.is_none() && quantile.ci95.is_none()));
    assert!(inference.throughput.is_none() && inference.error_rate.is_none() && inference.drift.is_none());
    assert!(inference.warm_up.is_none() && inference.outlier.is_none());
}
