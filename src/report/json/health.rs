//! The client's condition in the JSON report.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::RunRecord;
use crate::record::vitals::Stall as Entry;
use crate::report::health;
use crate::report::summary::QUANTILES;

/// So many stalls are listed, the longest.
const STALLS_LISTED: usize = 100;

#[derive(Serialize)]
pub(super) struct Health {
    verdict: &'static str,
    cause: Option<&'static str>,
    quantiles: BTreeMap<String, &'static str>,
    signals: Vec<Signal>,
    /// Of the requests from each quantile on: who made their response times.
    tail: BTreeMap<String, Option<Tail>>,
    stalls: Stalls,
}

#[derive(Serialize)]
struct Signal {
    name: String,
    value: Option<f64>,
    /// None where it is only told.
    limit: Option<f64>,
    verdict: &'static str,
}

#[derive(Serialize)]
struct Tail {
    client: f64,
    pool: f64,
    service: f64,
}

#[derive(Serialize)]
struct Stalls {
    count: u64,
    total_ms: f64,
    /// The thread was kept from running.
    away_ms: f64,
    /// The thread was busy with its own work.
    busy_ms: f64,
    longest_ms: f64,
    listed: Vec<Stall>,
}

#[derive(Serialize)]
struct Stall {
    shard: u64,
    start_s: f64,
    length_ms: f64,
    busy: bool,
}

impl Health {
    pub(super) fn new(health: &health::Health, record: &RunRecord) -> Self {
        let named = || QUANTILES.iter().map(|(name, _)| name.replace('.', "_")).zip(&health.quantiles);
        let signals = health.signals.iter().map(|signal| Signal {
            name: signal.name(),
            value: signal.value,
            limit: Some(signal.limit).filter(|limit| limit.is_finite()),
            verdict: signal.verdict.name(),
        });
        let tail = |of: health::Tail| Tail { client: of.client, pool: of.pool, service: of.service };
        Self {
            verdict: health.verdict.name(),
            cause: health.cause.map(health::Cause::name),
            quantiles: named().map(|(name, quantile)| (name, quantile.verdict.name())).collect(),
            signals: signals.collect(),
            tail: named().map(|(name, quantile)| (name, quantile.tail.map(tail))).collect(),
            stalls: Stalls::new(record),
        }
    }
}

impl Stalls {
    fn new(record: &RunRecord) -> Self {
        let ledgers = || record.shards.iter().map(|shard| (shard.shard.index, &shard.vitals.ledger));
        let ms = |time: crate::units::Nanos| time.0 as f64 / 1e6;
        let mut all: Vec<(u64, Entry)> =
            ledgers().flat_map(|(shard, ledger)| ledger.stalls().iter().map(move |&stall| (shard, stall))).collect();
        all.sort_by_key(|(_, stall)| std::cmp::Reverse(stall.length));
        all.truncate(STALLS_LISTED);
        all.sort_by_key(|(shard, stall)| (stall.start, *shard));
        let listed = all.into_iter().map(|(shard, stall)| Stall {
            shard,
            start_s: stall.start.as_secs_f64(),
            length_ms: ms(stall.length),
            busy: stall.busy,
        });
        Self {
            count: ledgers().map(|(_, ledger)| ledger.count()).sum(),
            total_ms: ledgers().map(|(_, ledger)| ms(ledger.total())).sum(),
            away_ms: ledgers().map(|(_, ledger)| ms(ledger.away())).sum(),
            busy_ms: ledgers().map(|(_, ledger)| ms(ledger.busy())).sum(),
            longest_ms: ledgers()
                .map(|(_, ledger)| ledger.longest().map_or(0.0, |stall| ms(stall.length)))
                .fold(0.0, f64::max),
            listed: listed.collect(),
        }
    }
}
