//! Figures by the tags of lines, in JSON.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::{LatencyUs, encode};
use crate::record::{Failure, Latency};
use crate::report::summary::{Summary, TagSummary};

/// One tag's.
#[derive(Serialize)]
pub(super) struct Tag<'a> {
    /// Null: lines without, where others have one.
    tag: Option<&'a str>,
    counts: Counts,
    failures: BTreeMap<&'static str, u64>,
    latency_us: BTreeMap<&'static str, LatencyUs>,
    histograms: BTreeMap<&'static str, String>,
}

/// Of requests that were taken up: what was never sent for want of time has no tag yet.
#[derive(Serialize)]
struct Counts {
    sent: u64,
    ok: u64,
    http_error: u64,
    failed: u64,
    in_flight_at_end: u64,
}

/// All tags, in the order in which they first appear.
pub(super) fn tags<'a>(summary: &'a Summary<'_>) -> io::Result<Vec<Tag<'a>>> {
    summary.tags.iter().map(Tag::new).collect()
}

impl<'a> Tag<'a> {
    fn new(of: &'a TagSummary<'_>) -> io::Result<Self> {
        let tally = of.tally;
        Ok(Self {
            tag: of.tag,
            counts: Counts {
                sent: tally.sent,
                ok: tally.ok,
                http_error: tally.http_error,
                failed: tally.failed(),
                in_flight_at_end: tally.in_flight_at_end,
            },
            failures: Failure::ALL.into_iter().map(Failure::name).zip(tally.failures).collect(),
            latency_us: [LatencyUs::named((Latency::Response, &of.response), of.censored_from_q)].into(),
            histograms: [(Latency::Response.name(), encode(&tally.response)?)].into(),
        })
    }
}
