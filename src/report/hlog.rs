//! The histogram log (HdrHistogram's interval log, version 1.3): a line for each second, time and class of outcome.
//!
//! Classes are parts: all `response.*` of a log add up to `histograms.response` of the JSON report, and no line is a sum
//! of others. While a run lasts its seconds are [`spool`]ed, encoded; where one begins and how long it was is known at
//! the end, when [`write()`] makes the log of them.

use std::io::{self, BufRead, Write};

use super::json::encode;
use super::summary::{Summary, interval_start_s};
use crate::record::ByClass;
use crate::record::timeline::IntervalId;
use crate::units::NANOS_PER_S;

/// Nanoseconds in the unit of the column of maxima, as other writers of logs have it.
const MS: f64 = 1e6;

/// Writes one second for [`write()`] to read: a line for each time and class that has values.
///
/// # Errors
/// Those of `out`.
pub fn spool(id: IntervalId, second: &ByClass, out: &mut impl Write) -> io::Result<()> {
    for (latency, class, histogram) in second.iter() {
        let part = if id.drain { "drain" } else { "window" };
        let max_ms = histogram.hdr().max() as f64 / MS;
        let (latency, class) = (latency.name(), class.name());
        writeln!(out, "{part} {} {latency}.{class} {max_ms:.3} {}", id.second, encode(histogram)?)?;
    }
    Ok(())
}

/// Writes the log of the seconds that were spooled.
///
/// # Errors
/// Those of `spooled` and `out`; [`io::ErrorKind::InvalidData`] where a line was not written by [`spool`].
pub fn write(summary: &Summary<'_>, spooled: impl BufRead, out: &mut impl Write) -> io::Result<()> {
    let ms = summary.record.t0_unix.0 / 1_000_000;
    let start = format!("{}.{:03}", ms / 1000, ms % 1000);
    writeln!(out, "#[Histogram log format version 1.3]")?;
    writeln!(out, "#ringload {}: times in ns, Interval_Max in ms. Tag=time.class;", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "#classes are parts, none is a sum. Of failed ones only those that waited have a response time,")?;
    writeln!(out, "#which of failed, unsent and in_flight ones is the wait so far: a lower bound.")?;
    writeln!(out, "#[StartTime: {start} (seconds since epoch)]")?;
    writeln!(out, "#[BaseTime: {start} (seconds since epoch)]")?;
    writeln!(out, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"")?;
    for line in spooled.lines() {
        let line = line?;
        let Some((id, [tag, max, blob])) = parse(&line) else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file that holds the seconds is damaged"));
        };
        let (start, length) = span(summary, id);
        writeln!(out, "Tag={tag},{start:.3},{length:.3},{max},{blob}")?;
    }
    Ok(())
}

fn parse(line: &str) -> Option<(IntervalId, [&str; 3])> {
    let mut words = line.split(' ');
    let drain = match words.next()? {
        "drain" => true,
        "window" => false,
        _ => return None,
    };
    let id = IntervalId { drain, second: words.next()?.parse().ok()? };
    Some((id, [words.next()?, words.next()?, words.next()?]))
}

/// Where a second begins since T0 and how long it was, in seconds: the last ones of window and drain are cut short.
fn span(summary: &Summary<'_>, id: IntervalId) -> (f64, f64) {
    let record = summary.record;
    let start = interval_start_s(id, record.window);
    let ended = record.ended_unix.0.saturating_sub(record.t0_unix.0) as f64 / NANOS_PER_S as f64;
    let end = if id.drain { ended } else { summary.window_s };
    (start, (end - start).clamp(0.001, 1.0))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram as Hdr;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::super::fixture;
    use super::*;
    use crate::record::{Outcome, Stamps};
    use crate::units::Nanos;

    fn second(ms: u64, statuses: &[u16]) -> ByClass {
        let mut second = ByClass::default();
        for &status in statuses {
            let [intended, sent, done] = [0, ms / 2, ms].map(Nanos::from_millis);
            let stamps = Stamps { intended, ready: sent, sent: Some(sent), done, ..Stamps::default() };
            second.record(Outcome::Answered(status), &stamps);
        }
        second
    }

    /// Of an interrupted run with a window of 700 ms.
    fn log(seconds: &[(bool, u64, ByClass)]) -> String {
        let (plan, record) = fixture::broken();
        let (mut spooled, mut out) = (Vec::new(), Vec::new());
        for (drain, second, by_class) in seconds {
            spool(IntervalId { drain: *drain, second: *second }, by_class, &mut spooled).expect("a vector takes it");
        }
        write(&Summary::new(&plan, &record), spooled.as_slice(), &mut out).expect("a log");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_head_says_version_and_base_and_start_in_the_same_words() {
        let log = log(&[(false, 0, second(100, &[200]))]);
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines[0], "#[Histogram log format version 1.3]");
        let time = |name: &str| {
            let line = lines.iter().find_map(|line| line.strip_prefix(&format!("#[{name}: ")));
            line.and_then(|rest| rest.split(' ').next()).expect("a time")
        };
        assert_eq!((time("StartTime"), time("BaseTime")), ("1767225600.123", "1767225600.123"));
        let legend = lines.iter().position(|line| line.starts_with('"')).expect("a legend");
        assert!(lines[..legend].iter().all(|line| line.starts_with('#')));
        assert!(
            lines[legend + 1].starts_with("Tag=response.2xx,0.000,0.700,100.") && lines[legend + 1].contains(",HISTF")
        );
    }

    #[test]
    fn a_reader_of_logs_finds_every_second_by_its_tag() {
        let log = log(&[
            (false, 0, second(100, &[200, 204, 404])),
            (true, 0, second(300, &[200])),
            (true, 1, ByClass::default()),
        ]);
        let mut found = Vec::new();
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            let LogEntry::Interval(interval) = entry.expect("a line that can be read") else { continue };
            let blob = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, interval.encoded_histogram());
            let read: Hdr<u64> =
                Deserializer::new().deserialize(&mut blob.expect("base64").as_slice()).expect("a histogram");
            let start = interval.start_timestamp().as_millis() as u64;
            found.push((interval.tag().expect("a tag").as_str().to_owned(), start, read.len(), read.max() / 1_000_000));
            assert!((interval.max() - read.max() as f64 / 1e6).abs() < 1e-3);
        }
        let of = |tag: &str| -> Vec<_> {
            found.iter().filter(|(name, ..)| name == tag).map(|(_, start, n, ms)| (*start, *n, *ms)).collect()
        };
        assert_eq!(of("response.2xx"), [(0, 2, 100), (700, 1, 300)]);
        assert_eq!(of("response.4xx"), [(0, 1, 100)]);
        assert_eq!((of("service.2xx"), of("pool_lag.4xx")), (vec![(0, 2, 50), (700, 1, 150)], vec![(0, 1, 50)]));
        assert_eq!(found.len(), 4 * 3, "nothing else, and nothing of an empty second");
    }

    #[test]
    fn what_was_not_spooled_is_refused() {
        let (plan, record) = fixture::closed();
        let summary = Summary::new(&plan, &record);
        for line in
            ["drain 1 response.2xx 1.0\n", "later 1 response.2xx 1.0 HISTF\n", "drain x response.2xx 1.0 HISTF\n", "\n"]
        {
            let error = write(&summary, line.as_bytes(), &mut Vec::new()).expect_err("it is damaged");
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
