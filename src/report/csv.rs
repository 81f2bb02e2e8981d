//! The seconds of a run as CSV (RFC 4180): the fields of the JSON report's intervals, by the same names.

use std::io::{self, Write};

use super::intervals::{Interval, intervals};
use super::summary::Summary;

/// Writes a header and a record a second; what was not measured is empty.
///
/// # Errors
/// Those of `out`.
pub fn write(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{}\r\n", Interval::FIELDS.join(","))?;
    for interval in intervals(summary.record) {
        write!(out, "{}\r\n", interval.cells().join(","))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::fixture;
    use super::*;

    #[test]
    fn records_say_what_the_json_report_says() {
        for (plan, record) in [fixture::open(), fixture::nothing(), fixture::empty()] {
            let mut out = Vec::new();
            write(&Summary::new(&plan, &record), &mut out).expect("a vector takes everything");
            let text = String::from_utf8(out).expect("text");
            let mut lines = text.split("\r\n");
            let header = lines.next().expect("a header").to_owned();
            let names: Vec<&str> = header.split(',').collect();
            let records: Vec<Vec<&str>> =
                lines.filter(|line| !line.is_empty()).map(|line| line.split(',').collect()).collect();
            let all: Vec<Interval> = intervals(&record).collect();
            assert_eq!(records.len(), all.len());
            for (record, interval) in records.iter().zip(&all) {
                let json = serde_json::to_value(interval).expect("JSON");
                let fields = json.as_object().expect("an object");
                assert_eq!((names.len(), record.len()), (fields.len(), fields.len()));
                for (name, cell) in names.iter().zip(record) {
                    let value = match fields.get(*name).expect("a field of that name") {
                        Value::Null => String::new(),
                        value => value.to_string(),
                    };
                    assert_eq!(cell.parse::<f64>().ok(), value.parse::<f64>().ok(), "{name}");
                    assert!(cell.parse::<f64>().is_ok() || *cell == value, "{name}: {cell} against {value}");
                }
            }
        }
    }
}
