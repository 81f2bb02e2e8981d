//! The percentiles of the response time as HdrHistogram prints them: four columns, which its plotters read.
//!
//! A plotter takes the percentiles from the first of its files, row by row, so that every file must have the same: they
//! are a fixed ladder, and rows beyond what was measured repeat the maximum.

use std::io::{self, Write};

use super::summary::Summary;
use crate::record::{Histogram, Latency};

/// Rows between a percentile and the one half as far from 100 %.
const TICKS: u32 = 5;
/// So often the distance to 100 % is halved: to one in four million.
const HALVINGS: u32 = 22;
/// Nanoseconds in a unit of the file.
const MS: f64 = 1e6;

/// Writes the ladder, a row for the maximum, and what the numbers are.
///
/// # Errors
/// Those of `out`.
pub fn write(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    let response = &summary.record.total.latencies[Latency::Response];
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let cumulative = Cumulative::new(response);
    for q in ladder() {
        let (value, count) = cumulative.at(q);
        writeln!(out, "{value:12.3} {q:2.12} {count:10} {:14.2}", 1.0 / (1.0 - q))?;
    }
    let (value, count) = cumulative.at(1.0);
    writeln!(out, "{value:12.3} {:2.12} {count:10}", 1.0)?;
    let hdr = response.hdr();
    let (mean, deviation) =
        if response.count() > 0 { (hdr.mean() / MS, hdr.stdev() / MS) } else { (f64::NAN, f64::NAN) };
    writeln!(out, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]")?;
    writeln!(out, "#[Max     = {value:12.3}, Total count    = {count:12}]")?;
    writeln!(out, "#[Unit: ms. Response time from the intended start, of all answered, timed out or left waiting]")?;
    if let Some(from) = summary.censored_from_q {
        writeln!(out, "#[Values are lower bounds from the percentile {from:.12} on]")?;
    }
    Ok(())
}

/// The percentiles as shares of 1, the same for every run.
fn ladder() -> impl Iterator<Item = f64> {
    (0..HALVINGS * TICKS).map(|row| {
        let (halvings, tick) = ((row / TICKS) as i32, row % TICKS);
        1.0 - 0.5f64.powi(halvings) * (1.0 - f64::from(tick) / f64::from(2 * TICKS))
    })
}

/// The buckets that hold something, ascending, with how many values are at most theirs.
struct Cumulative(Vec<(f64, u64)>);

impl Cumulative {
    fn new(histogram: &Histogram) -> Self {
        let (hdr, max) = (histogram.hdr(), histogram.hdr().max());
        let mut count = 0;
        let buckets = hdr.iter_recorded().map(|bucket| {
            count += bucket.count_since_last_iteration();
            (bucket.value_iterated_to().min(max) as f64 / MS, count)
        });
        Self(buckets.collect())
    }

    /// The smallest value that at least the share `q` of all are not above, in ms, and how many those are; not a number
    /// where nothing was measured.
    fn at(&self, q: f64) -> (f64, u64) {
        let Some(&last) = self.0.last() else { return (f64::NAN, 0) };
        let rank = ((q * last.1 as f64).ceil() as u64).clamp(1, last.1);
        self.0[self.0.partition_point(|&(_, count)| count < rank)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use crate::units::Nanos;

    fn rows(run: &(crate::plan::Plan, crate::record::RunRecord)) -> Vec<Vec<String>> {
        let mut out = Vec::new();
        write(&Summary::new(&run.0, &run.1), &mut out).expect("a vector takes everything");
        let text = String::from_utf8(out).expect("text");
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
    }

    #[test]
    fn every_file_has_the_same_percentiles_in_four_columns_and_three_in_the_last_row() {
        let runs = [fixture::closed(), fixture::open(), fixture::nothing(), fixture::empty()].map(|run| rows(&run));
        let of_four = |rows: &[Vec<String>]| rows.iter().filter(|row| row.len() == 4).cloned().collect::<Vec<_>>();
        let ladder = |rows: &[Vec<String>]| of_four(rows)[1..].iter().map(|row| row[1].clone()).collect::<Vec<_>>();
        for rows in &runs {
            assert_eq!(of_four(rows)[0], ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]);
            assert_eq!(ladder(rows), ladder(&runs[0]));
            let end = rows.iter().position(|row| row.len() == 3).expect("the last row");
            assert_eq!((end, rows[end][1].as_str()), (112, "1.000000000000"), "behind a header, its space, 110 rows");
            assert!(rows[end + 1..].iter().all(|row| row[0].starts_with("#[") && row.len() != 4));
        }
        let first: Vec<f64> = ladder(&runs[0])[..11].iter().map(|q| q.parse().expect("a number")).collect();
        assert_eq!(first, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75]);
    }

    #[test]
    fn a_row_has_the_value_that_its_share_is_not_above_and_how_many_those_are() {
        let mut histogram = Histogram::default();
        histogram.record_n(Nanos::from_millis(1), 90);
        histogram.record_n(Nanos::from_millis(100), 10);
        let cumulative = Cumulative::new(&histogram);
        for (q, ms, count) in [(0.0, 1.0, 90), (0.9, 1.0, 90), (0.95, 100.0, 100), (1.0, 100.0, 100)] {
            let (value, at_most) = cumulative.at(q);
            assert!((value / ms - 1.0).abs() < 1e-3 && at_most == count, "{q}: {value} {at_most}");
        }
    }

    #[test]
    fn values_agree_with_the_report_and_what_was_not_measured_is_no_number() {
        let run = fixture::open();
        let response = &run.1.total.latencies[Latency::Response];
        let p75 = rows(&run).into_iter().find(|row| row.len() == 4 && row[1] == "0.750000000000").expect("a row");
        let expected = response.quantile(0.75).expect("a p75").0 as f64 / MS;
        assert_eq!(p75[0], format!("{expected:.3}"));
        assert_eq!(p75[3], "4.00");
        assert!(rows(&run).iter().any(|row| row.join(" ").contains("lower bounds from the percentile 0.")));
        let nothing = rows(&fixture::empty());
        assert!(nothing.iter().filter(|row| row.len() == 4).skip(1).all(|row| row[0] == "NaN" && row[2] == "0"));
    }
}
