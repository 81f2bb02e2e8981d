//! What is counted of requests by the tags of their lines.

use super::histogram::Histogram;
use super::outcome::{Failure, Outcome, Stamps};
use super::tally::{Censored, Counts};
use crate::units::Nanos;

/// Of one tag's requests that were taken up; those never sent for want of time had no line yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TagTally {
    /// First byte handed to the ring.
    pub sent: u64,
    /// Answered below 400, as expected.
    pub ok: u64,
    /// Answered with 400 or above.
    pub http_error: u64,
    /// Failed, by kind, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// Without an end when the drain ended.
    pub in_flight_at_end: u64,
    /// done − intended of all that was answered or waited.
    pub response: Histogram,
    /// Which of `response` are lower bounds.
    pub censored: Censored,
}

impl TagTally {
    /// Counts a request that was taken up and came to `outcome`.
    pub fn record(&mut self, outcome: Outcome, stamps: &Stamps) {
        self.sent += u64::from(stamps.sent.is_some());
        let response = Nanos(stamps.done.0 - stamps.intended.0);
        let waited = match outcome {
            Outcome::Answered(status) => {
                *(if status < 400 { &mut self.ok } else { &mut self.http_error }) += 1;
                self.response.record(response);
                false
            }
            Outcome::Failed(failure) => {
                self.failures[failure as usize] += 1;
                failure.waited()
            }
            Outcome::InFlightAtEnd => {
                self.in_flight_at_end += 1;
                true
            }
        };
        if waited {
            self.response.record(response);
            self.censored.add(Censored { count: 1, least: Some(response) });
        }
    }

    /// Failed, of any kind.
    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// Adds another shard's.
    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.http_error += other.http_error;
        self.in_flight_at_end += other.in_flight_at_end;
        for (sum, &part) in self.failures.iter_mut().zip(&other.failures) {
            *sum += part;
        }
        self.response.add(&other.response);
        self.censored.add(other.censored);
    }
}

/// Checks that the tags' requests are all that were taken up; `lost` of them are known by their number alone, as their
/// worker died.
///
/// # Errors
/// Which sum does not hold: a bug of this program.
pub(super) fn check(
    tags: &[TagTally],
    counts: &Counts,
    failures: &[u64; Failure::ALL.len()],
    lost: u64,
) -> Result<(), String> {
    if tags.is_empty() {
        return Ok(());
    }
    let sum = |part: &dyn Fn(&TagTally) -> u64| tags.iter().map(part).sum::<u64>();
    let kinds =
        Failure::ALL.map(|kind| (kind.name(), failures[kind as usize], sum(&|tag| tag.failures[kind as usize])));
    let classes = [
        ("sent", counts.sent, sum(&|tag| tag.sent)),
        ("ok", counts.ok, sum(&|tag| tag.ok)),
        ("http_error", counts.http_error, sum(&|tag| tag.http_error)),
        ("in_flight_at_end", counts.in_flight_at_end, sum(&|tag| tag.in_flight_at_end) + lost),
    ];
    match classes.into_iter().chain(kinds).find(|(_, whole, sum)| whole != sum) {
        Some((name, whole, sum)) => Err(format!("{name} = the sum over tags does not hold: {whole} against {sum}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Tally;

    #[test]
    fn tags_add_up_to_the_whole_or_a_bug_is_named() {
        let mut shards = [Tally::with_tags(2), Tally::with_tags(2)];
        for number in 0..400u64 {
            let outcome = match number % 4 {
                0 => Outcome::Answered(200),
                1 => Outcome::Answered(500),
                2 => Outcome::Failed(Failure::ALL[number as usize / 4 % Failure::ALL.len()]),
                _ => Outcome::InFlightAtEnd,
            };
            let at = |ns: u64| Nanos(number * 1_000 + ns);
            let stamps =
                Stamps { intended: at(0), ready: at(0), sent: Some(at(1)), done: at(900), ..Stamps::default() };
            let tally = &mut shards[number as usize % 2];
            tally.counts.intended += 1;
            tally.record(outcome, &stamps);
            tally.tags[number as usize / 7 % 2].record(outcome, &stamps);
        }
        let mut whole = Tally::default();
        for shard in &shards {
            shard.tags.iter().for_each(|tag| assert!(tag.response.count() > 0));
            check(&shard.tags, &shard.counts, &shard.failures, 0).expect("a shard adds up");
            whole.add(shard);
        }
        check(&whole.tags, &whole.counts, &whole.failures, 0).expect("the whole adds up");
        let responses: u64 = whole.tags.iter().map(|tag| tag.response.count()).sum();
        assert_eq!(responses, whole.latencies[crate::record::Latency::Response].count());
        whole.tags[0].ok -= 1;
        let bug = check(&whole.tags, &whole.counts, &whole.failures, 0).expect_err("one is missing");
        assert!(bug.starts_with("ok = the sum over tags"), "{bug}");
    }
}
