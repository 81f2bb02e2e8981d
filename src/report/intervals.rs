//! The seconds of a run as formats tell them.

use serde::Serialize;

use super::summary::{interval_start_s, us};
use crate::record::{Point, RunRecord};
use crate::units::Nanos;

/// One second; null where nothing ended in it.
#[derive(Serialize)]
pub(super) struct Interval {
    t_s: f64,
    intended: u64,
    sent: u64,
    completed: u64,
    ok: u64,
    failed: u64,
    withheld: u64,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    max_us: Option<f64>,
    drain: bool,
}

/// All of them, in order.
pub(super) fn intervals(record: &RunRecord) -> impl Iterator<Item = Interval> {
    record.timeline.iter().map(|point| Interval::new(point, record.window))
}

impl Interval {
    /// The names of the fields, in the order of [`Interval::cells`].
    pub(super) const FIELDS: [&str; 11] =
        ["t_s", "intended", "sent", "completed", "ok", "failed", "withheld", "p50_us", "p99_us", "max_us", "drain"];

    fn new(point: &Point, window: Nanos) -> Self {
        Self {
            t_s: interval_start_s(point.id, window),
            intended: point.counts.intended,
            sent: point.counts.sent,
            completed: point.counts.completed,
            ok: point.counts.ok,
            failed: point.counts.failed,
            withheld: point.counts.withheld,
            p50_us: point.p50.map(us),
            p99_us: point.p99.map(us),
            max_us: point.max.map(us),
            drain: point.id.drain,
        }
    }

    /// The values as text; empty where there is none.
    pub(super) fn cells(&self) -> [String; Self::FIELDS.len()] {
        let time = |value: Option<f64>| value.map_or_else(String::new, |us| us.to_string());
        [
            self.t_s.to_string(),
            self.intended.to_string(),
            self.sent.to_string(),
            self.completed.to_string(),
            self.ok.to_string(),
            self.failed.to_string(),
            self.withheld.to_string(),
            time(self.p50_us),
            time(self.p99_us),
            time(self.max_us),
            self.drain.to_string(),
        ]
    }
}
