//! Addition of shards, and the assertions that nothing was lost on the way.

use super::{ShardRecord, Tally};

/// Adds the shards up; asserts the accounting identity of each and of the sum.
///
/// # Panics
/// Where the identity does not hold: a bug.
pub fn merge(shards: &[ShardRecord]) -> Tally {
    let mut total = Tally::default();
    for record in shards {
        record.tally.assert_adds_up();
        total.add(&record.tally);
    }
    total.assert_adds_up();
    total
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
        };
        tally.counts.intended += 1;
        let outcome = match number % 10 {
            0 => Outcome::Failed(Failure::ALL[(number / 10) as usize % Failure::ALL.len()]),
            1 => Outcome::InFlightAtEnd,
            2 => {
                tally.record_unsent(Nanos(number), 1);
                return;
            }
            3 => Outcome::Answered(503),
            4 => {
                stamps.sent = None;
                Outcome::Failed(Failure::Connect)
            }
            _ => Outcome::Answered(200),
        };
        tally.record(outcome, &stamps);
    }

    #[test]
    fn shards_merged_are_one_process_bucket_for_bucket() {
        let mut whole = Tally::default();
        (0..5_000).for_each(|number| record(&mut whole, number));
        whole.assert_adds_up();
        for count in [1u64, 2, 3, 7] {
            let mut merged = Tally::default();
            for index in 0..count {
                let mut part = Tally::default();
                (0..5_000).filter(|number| number % count == index).for_each(|number| record(&mut part, number));
                part.assert_adds_up();
                merged.add(&part);
            }
            assert!(merged == whole, "{count} shards");
        }
    }

    #[test]
    #[should_panic(expected = "exactly one class")]
    fn a_lost_request_is_a_bug() {
        let mut tally = Tally::default();
        tally.counts.intended = 1;
        tally.assert_adds_up();
    }
}
