//! The first lines of the text report: what was run, and by which way.

use super::escape::escape;
use super::fetched;
use super::network;
use super::shape;
use super::summary::Summary;
use super::terminal::{COLUMNS, plural};
use super::warning::ranges;
use crate::plan::http::{H2, HTTP_1_1};
use crate::units::{Nanos, format_us};

/// What was run, a thing a line.
pub(super) fn heading(summary: &Summary<'_>) -> Vec<String> {
    let mut lines = match &summary.record.fetched {
        Some(fetched) => fetched::heading(summary, fetched),
        None => load(summary),
    };
    lines.extend(ways(summary));
    lines
}

/// What was asked for, and when.
fn load(summary: &Summary<'_>) -> Vec<String> {
    let plan = summary.plan;
    let mut target = escape(&format!("{} {}", plan.urls.template(0).method, plan.urls.url(0)));
    let more = match plan.urls.len() {
        1 => String::new(),
        lines => format!(" and {} more", lines - 1),
    };
    let room = COLUMNS - 10 - more.len();
    if target.len() > room {
        target.truncate(room - 3);
        target.push_str("...");
    }
    let mut lines = vec![
        format!("ringload: {target}{more}"),
        format!("  {}, measured for {}", shape::load(&plan.load), format_us(summary.window_s * 1e6)),
    ];
    lines.extend(shape::details(&plan.load));
    lines
}

/// On which connections, and by which way.
fn ways(summary: &Summary<'_>) -> Vec<String> {
    let (plan, record) = (summary.plan, summary.record);
    let threads = plan.cores.len();
    let mut lines = vec![format!(
        "  {}{} connection{}, {threads} thread{} on core{} {}{}",
        if plan.is_fetched() { "up to " } else { "" },
        plan.connections,
        plural(u64::from(plan.connections)),
        plural(threads as u64),
        plural(threads as u64),
        ranges(&plan.cores),
        if plan.keep_alive { "" } else { ", closed after each answer" }
    )];
    if plan.http.depth() > 1 {
        let what = if plan.http.pipeline > 1 { "pipelined requests" } else { "streams" };
        lines.push(format!("  up to {} {what} at a time on each connection", plan.http.depth()));
    }
    if let Some(requests) = plan.requests_per_connection {
        lines.push(format!("  each connection closed after {requests} request{}", plural(requests)));
    }
    if plan.urls.len() > 1 {
        let weights = if plan.urls.weights().is_some() { ", by weight" } else { "" };
        lines.push(format!("  {} lines, {} order{weights}", plan.urls.len(), plan.order.name()));
    }
    if plan.part.count > 1 {
        lines.push(format!("  part {} of {} of this load", plan.part.index + 1, plan.part.count));
    }
    lines.extend(network::heading(&plan.network));
    lines.extend(agreed(summary));
    let through = |origin| !plan.proxies.of(origin).is_empty();
    let proxied = plan.is_fetched() || plan.urls.origins().iter().any(through);
    lines.extend(plan.proxies.described().filter(|_| proxied).map(|through| escape(&format!("  {through}"))));
    if record.driver != "io_uring" {
        lines.push(format!("  through {}, not io_uring", record.driver));
    }
    if plan.warmup > Nanos::ZERO {
        let warmup = &record.total.warmup;
        lines.push(format!(
            "  after a warm-up of {} ({} requests, {} failed), in no figure below",
            plan.warmup, warmup.requests, warmup.failed
        ));
    }
    lines
}

/// What the first https origin agreed to before the run: with it, what `--http auto` came to.
fn agreed(summary: &Summary<'_>) -> Option<String> {
    let session = summary.record.origins.iter().find_map(|reached| reached.tls.as_ref())?;
    let http = match session.alpn.as_deref() {
        Some(H2) => "HTTP/2",
        Some(HTTP_1_1) | None => "HTTP/1.1",
        Some(other) => return Some(escape(&format!("  {}, {other}", session.version))),
    };
    Some(escape(&format!("  {http} over {}", session.version)))
}
