//! Addition of shards, and the checks that nothing was lost on the way.

use super::{ShardRecord, Tally};

/// Adds the shards up and checks the accounting of each and of the sum; what does not hold is a bug and comes along in
/// words, so that the report can still be written.
pub fn merge(shards: &[ShardRecord]) -> (Tally, Vec<String>) {
    let mut total = Tally::default();
    let mut bugs = Vec::new();
    for record in shards {
        bugs.extend(record.tally.check().err().map(|bug| format!("shard {}: {bug}", record.shard.index)));
        total.add(&record.tally);
    }
    bugs.extend(total.check().err());
    (total, bugs)
}

#[cfg(test)]
mod tests {
    use super::super::outcome::{Failure, Outcome, Stamps};
    use super::*;
    use crate::units::Nanos;

    /// A made-up request stream: every outcome, spread over 0.1 to 900 ms.
    fn record(tally: &mut Tally, number: u64) {
        let intended = Nanos(number * 1_000);
        let ready = Nanos(intended.0 + number % 50);
        let sent = Nanos(ready.0 + 1_000);
        let done = Nanos(sent.0 + 100_000 + number * 7919 % 900_000_000);
        let mut stamps = Stamps {
            intended,
            ready,
            sent: Some(sent),
            submitted: Some(Nanos(sent.0 + 500)),
            first_byte: Some(Nanos(done.0 - 10)),
            done,
            ..Stamps::default()
        };
        tally.counts.intended += 1;
        let outcome = match number % 10 {
            0 => Outcome::Failed(Failure::ALL[(number / 10) as usize % Failure::ALL.len()]),
            1 => Outcome::InFlightAtEnd,
            2 => {
                tally.record_unsent(Nanos(number), Nanos::ZERO, 1);
                return;
            }
            3 => Outcome::Answered(503),
            4 => {
                stamps.sent = None;
                Outcome::Failed(Failure::Connect)
            }
            _ => Outcome::Answered(200),
        };
        tally.flow.enter(intended);
        tally.record(outcome, &stamps);
        tally.flow.leave(done);
    }

    #[test]
    fn shards_merged_are_one_process_bucket_for_bucket() {
        let mut whole = Tally::default();
        (0..5_000).for_each(|number| record(&mut whole, number));
        whole.check().expect("the whole adds up");
        for count in [1u64, 2, 3, 7] {
            let mut merged = Tally::default();
            for index in 0..count {
                let mut part = Tally::default();
                (0..5_000).filter(|number| number % count == index).for_each(|number| record(&mut part, number));
                part.check().expect("a part adds up");
                merged.add(&part);
            }
            assert!(merged == whole, "{count} shards");
        }
    }

    #[test]
    fn a_lost_request_is_a_bug_that_is_named() {
        let mut tally = Tally::default();
        tally.counts.intended = 1;
        let bug = tally.check().expect_err("a request is missing");
        assert!(bug.starts_with("intended = ok"), "{bug}");
    }
}
