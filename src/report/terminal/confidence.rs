//! How sure the figures are: a line for each quantile of the response time, for the rate and for errors.

use std::io::{self, Write};

use crate::record::Latency;
use crate::report::Summary;
use crate::report::inference::{Inference, QuantileInterval, RUN_MIN_S};
use crate::report::summary::QUANTILES;
use crate::units::format_us;

/// Writes the block, or that the run is too short for it; nothing where nothing was measured.
pub(super) fn write(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    if summary.latencies[Latency::Response].count == 0 {
        return Ok(());
    }
    writeln!(out)?;
    let inference = &summary.inference;
    if inference.quantiles.iter().all(|quantile| quantile.effective.is_none()) {
        return writeln!(out, "95 % intervals: n/a, they take a run of {RUN_MIN_S:.0}s or more");
    }
    writeln!(out, "{:<10}{:>28}{:>13}{:>13}", "Response", "95 % within this run", "n_eff", "deff")?;
    for ((name, _), quantile) in QUANTILES.iter().zip(&inference.quantiles) {
        write_quantile(name, quantile, out)?;
    }
    write_shares(inference, out)?;
    writeln!(out, "  n_eff: independent requests that would tell as much; deff: n / n_eff, about")
}

fn write_quantile(name: &str, quantile: &QuantileInterval, out: &mut impl Write) -> io::Result<()> {
    let Some(effective) = quantile.effective else { return Ok(()) };
    let Some(interval) = quantile.ci95 else {
        let longer = quantile.needs_s.map(|seconds| format!(": a run of about {}", format_us(seconds * 1e6)));
        let (n_eff, needs, longer) = (effective.n_eff, quantile.needs, longer.unwrap_or_default());
        return writeln!(out, "  {name:<8}interval n/a (n_eff {n_eff:.0}, needs {needs}{longer})");
    };
    let low = format_us(interval.low_us);
    let span = match interval.high_us {
        Some(high) => format!("{low} to {:>10}", format_us(high)),
        None => format!("> {low}"),
    };
    writeln!(out, "  {name:<8}{span:>28}{:>13.0}{:>13.1}", effective.n_eff, effective.deff)
}

fn write_shares(inference: &Inference, out: &mut impl Write) -> io::Result<()> {
    if let Some(throughput) = &inference.throughput {
        match throughput.half_width {
            Some(half) => {
                let (low, high) = (f64::max(throughput.mean - half, 0.0), throughput.mean + half);
                writeln!(out, "  {:<8}{:>28}", "ok/s", format!("{low:.2} to {high:>10.2}"))?;
            }
            None => writeln!(out, "  {:<8}interval n/a (unreliable: the rate has slow waves; run longer)", "ok/s")?,
        }
    }
    if let Some(errors) = inference.error_rate.as_ref().filter(|errors| errors.share > 0.0) {
        let (low, high) = (errors.ci95.0 * 100.0, errors.ci95.1 * 100.0);
        let span = format!("{low:.3} % to {high:>8.3} %");
        writeln!(out, "  {:<8}{span:>28}{:>13.0}{:>13.1}", "errors", errors.effective.n_eff, errors.effective.deff)?;
    }
    Ok(())
}
