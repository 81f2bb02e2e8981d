//! The client's condition in words, for the text report.

use super::health::{Health, Quantile, Signal, Tail, Verdict, stalls};
use super::summary::{QUANTILES, Summary};
use crate::units::format_us;

/// So many reasons are given; the JSON report has all signals.
const REASONS_MAX: usize = 3;

/// What stands beside a quantile that may not be believed.
pub(super) fn mark(verdict: Verdict) -> char {
    match verdict {
        Verdict::Ok => ' ',
        Verdict::Suspect => '?',
        Verdict::Invalid => '!',
    }
}

/// The verdict, its cause, the quantiles that differ from it, and why.
pub(super) fn client(summary: &Summary<'_>) -> String {
    let health = &summary.health;
    let mut text = health.verdict.name().to_owned();
    if let Some(cause) = health.cause {
        text.push_str(&format!(" ({})", cause.name()));
    }
    let quantiles: Vec<_> = [Verdict::Invalid, Verdict::Suspect].iter().filter_map(|&of| marked(health, of)).collect();
    let parts = quantiles.into_iter().chain(reasons(summary)).chain(longer(health));
    for (index, part) in parts.enumerate() {
        text.push_str(if index == 0 { ": " } else { "; " });
        text.push_str(&part);
    }
    text
}

/// Who made the tail above the p99; the client by its lag and by the pool lag that its own stalls left behind.
pub(super) fn tail(health: &Health) -> Option<String> {
    let quantile = health.quantiles.iter().find(|quantile| quantile.q == 0.99)?;
    let Tail { client, pool, service } = quantile.tail?;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let (service, pool, client) = (percent(service), percent(pool), percent(client));
    Some(format!("of the time above p99: service {service}, pool lag {pool}, client {client}"))
}

/// The measured quantiles of a verdict: `p99, p99.9 INVALID`.
fn marked(health: &Health, verdict: Verdict) -> Option<String> {
    let is_marked = |quantile: &Quantile| quantile.verdict == verdict && quantile.tail.is_some();
    let all = QUANTILES.iter().zip(&health.quantiles).filter(|(_, quantile)| is_marked(quantile));
    let names: Vec<_> = all.map(|((name, _), _)| *name).collect();
    (!names.is_empty()).then(|| format!("{} {}", names.join(", "), verdict.name()))
}

/// What tells against the client, the gravest first; of the quantiles only the one that says most.
fn reasons(summary: &Summary<'_>) -> Vec<String> {
    let mut told: Vec<&Signal> = summary.health.signals.iter().filter(|signal| signal.verdict > Verdict::Ok).collect();
    told.sort_by_key(|signal| std::cmp::Reverse(signal.verdict));
    let mut kinds = Vec::new();
    let mut reasons = Vec::new();
    for signal in told {
        if !kinds.contains(&signal.what) {
            kinds.push(signal.what);
            reasons.push(reason(summary, signal));
        }
    }
    reasons.truncate(REASONS_MAX);
    reasons
}

/// How long a run would have to be for the measured quantiles that are suspect, and not worse for another reason.
fn longer(health: &Health) -> Option<String> {
    let is_short = |quantile: &Quantile| quantile.tail.is_some() && quantile.verdict == Verdict::Suspect;
    let short = QUANTILES.iter().zip(&health.quantiles).filter(|(_, quantile)| is_short(quantile));
    let ((name, _), needs_s) = short.filter_map(|(name, quantile)| Some((name, quantile.needs_s?))).next_back()?;
    Some(format!("run longer: {name} needs >= {}", format_us(needs_s * 1e6)))
}

fn reason(summary: &Summary<'_>, signal: &Signal) -> String {
    let value = signal.value.unwrap_or_default();
    let percent = value * 100.0;
    let of = signal.of.map(|index| QUANTILES[index]);
    let (quantile, room_s) = of.map_or(("", 0.0), |(name, q)| (name, (1.0 - q) * summary.window_s));
    let s = |seconds: f64| format_us(seconds * 1e6);
    match signal.what {
        "sent_in_time" => format!("{percent:.2} % of the requests were sent in time"),
        "sent_in_time_worst_second" => format!("{percent:.2} % in the worst second"),
        "useful_work" => format!("the busiest core worked {percent:.0} % of the time"),
        "steal" => format!("the hypervisor kept {percent:.1} % of the cores' time"),
        "run_delay" => format!("a worker waited {percent:.1} % of the time for its core"),
        "throttled_s" => format!("the cgroup's quota stopped it for {}", s(value)),
        "cq_overflow" => "the ring had no room for completions".to_owned(),
        "file_errors" => format!("{value} connections failed for want of open files"),
        "port_errors" => format!("{value} connections failed for want of local ports"),
        "buffer_errors" => format!("{value} connections failed for want of kernel memory"),
        "retransmit_ratio" => format!("{percent:.3} % of the TCP segments were sent again"),
        "backlog_drops" => format!("the kernel dropped {value} packets on their way in"),
        "major_faults" => format!("{value} page faults waited for a disk"),
        "clocksource_tsc" => "the clock source is not tsc".to_owned(),
        "littles_law" => "Little's law does not hold".to_owned(),
        "unsent_for_want_of_connections" => format!("{percent:.1} % were due and found no connection"),
        "imbalance_pool_lag" => "one core queued for connections that another had free".to_owned(),
        "imbalance_p99_ratio" => format!("one core's p99 is {value:.1} times another's"),
        "stall_budget" => {
            let (away_s, busy_s) = stalls(summary.record);
            format!("stalls of {} where {quantile} has room for {}", s(away_s + busy_s), s(room_s))
        }
        "tail_client_share" => format!("{percent:.0} % of the tail above {quantile} is the client's lag"),
        "throttled_budget" => {
            format!("throttled for {} where {quantile} has room for {}", s(value * room_s), s(room_s))
        }
        what => format!("{what} is {value}"),
    }
}
