//! Times by what became of a ticket: the same values as in a [`super::Tally`], taken apart for logs. Recorded only where
//! a log is asked for: a histogram takes 300 KB, and is there from the first value of its class on.

use super::histogram::Histogram;
use super::latency::Latency;
use super::outcome::{Outcome, Stamps};
use super::timeline::IntervalId;
use crate::units::Nanos;

/// What became of a ticket; each has exactly one. Not all have all times: of failed ones only those that waited for an
/// answer have a response time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Answered with 200 to 299.
    Success,
    /// Answered with 300 to 399.
    Redirection,
    /// Answered with 400 to 499.
    ClientError,
    /// Answered with 500 to 599.
    ServerError,
    /// Answered with another status.
    OtherStatus,
    /// Without a whole answer, or one that was refused.
    Failed,
    /// Due and never taken up.
    Unsent,
    /// Without an end when the drain ended.
    InFlight,
}

impl Class {
    /// All of them, in the order of logs.
    pub const ALL: [Self; 8] = [
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
        Self::OtherStatus,
        Self::Failed,
        Self::Unsent,
        Self::InFlight,
    ];

    /// The name in tags; a contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::OtherStatus => "other",
            Self::Failed => "failed",
            Self::Unsent => "unsent",
            Self::InFlight => "in_flight",
        }
    }

    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Answered(200..=299) => Self::Success,
            Outcome::Answered(300..=399) => Self::Redirection,
            Outcome::Answered(400..=499) => Self::ClientError,
            Outcome::Answered(500..=599) => Self::ServerError,
            Outcome::Answered(_) => Self::OtherStatus,
            Outcome::Failed(_) => Self::Failed,
            Outcome::InFlightAtEnd => Self::InFlight,
        }
    }
}

/// The times that are taken apart.
const LATENCIES: [Latency; 5] =
    [Latency::Response, Latency::Service, Latency::PoolLag, Latency::ClientLag, Latency::SubmitLag];

/// A histogram for each time and class that has values. Adding and emptying cost as much as there are.
#[derive(Clone, Debug, Default)]
pub struct ByClass([[Option<Box<Histogram>>; Class::ALL.len()]; LATENCIES.len()]);

/// A second of the whole run, taken apart.
#[derive(Clone, Debug, Default)]
pub struct Second {
    /// Which one.
    pub id: IntervalId,
    /// What was recorded in it.
    pub by_class: ByClass,
}

impl ByClass {
    /// Counts a request that was taken up and came to `outcome`, as [`super::Tally::record`] does.
    pub fn record(&mut self, outcome: Outcome, stamps: &Stamps) {
        let class = Class::of(outcome);
        let has_response = match outcome {
            Outcome::Answered(_) | Outcome::InFlightAtEnd => true,
            Outcome::Failed(failure) => failure.waited(),
        };
        if has_response {
            self.at(Latency::Response, class).record(Nanos(stamps.done.0 - stamps.intended.0));
        }
        let Some(sent) = stamps.sent else { return };
        self.at(Latency::PoolLag, class).record(Nanos(stamps.ready.0 - stamps.intended.0));
        self.at(Latency::ClientLag, class).record(Nanos(sent.0 - stamps.ready.0));
        if let Some(submitted) = stamps.submitted {
            self.at(Latency::SubmitLag, class).record(Nanos(submitted.0 - sent.0));
        }
        if matches!(outcome, Outcome::Answered(_)) {
            self.at(Latency::Service, class).record(Nanos(stamps.done.0 - sent.0));
        }
    }

    /// Counts `n` requests that were never taken up, as [`super::Tally::record_unsent`] does.
    pub fn record_unsent(&mut self, waited: Nanos, n: u64) {
        self.at(Latency::Response, Class::Unsent).record_n(waited, n);
    }

    /// Adds another one, bucket for bucket.
    pub fn add(&mut self, other: &Self) {
        for (latency, class, histogram) in other.iter() {
            self.at(latency, class).add(histogram);
        }
    }

    /// Back to empty, without giving memory back.
    pub fn reset(&mut self) {
        let filled = |histogram: &&mut Box<Histogram>| histogram.count() > 0;
        self.0.iter_mut().flatten().flatten().filter(filled).for_each(|histogram| histogram.reset());
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Those that have values, in the order of logs.
    pub fn iter(&self) -> impl Iterator<Item = (Latency, Class, &Histogram)> {
        let rows = LATENCIES.into_iter().zip(&self.0);
        let all = rows.flat_map(|(latency, row)| {
            Class::ALL.into_iter().zip(row).filter_map(move |(class, cell)| Some((latency, class, &**cell.as_ref()?)))
        });
        all.filter(|(_, _, histogram)| histogram.count() > 0)
    }

    fn at(&mut self, latency: Latency, class: Class) -> &mut Histogram {
        let row = LATENCIES.iter().position(|&known| known == latency).expect("all that are recorded are listed");
        self.0[row][class as usize].get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Failure, Tally};

    /// Every outcome there is, sent and not, with times all different.
    fn everything(mut each: impl FnMut(Outcome, &Stamps)) {
        let answers = [100, 200, 299, 304, 404, 503, 999].map(Outcome::Answered);
        let failures = Failure::ALL.map(Outcome::Failed);
        for (n, outcome) in (1..).zip(answers.into_iter().chain(failures).chain([Outcome::InFlightAtEnd])) {
            let at = |us: u64| Nanos((n * 7 + us * n) * 1_000);
            let is_answer = matches!(outcome, Outcome::Answered(_));
            let stamps = Stamps {
                intended: at(0),
                ready: at(1),
                sent: (is_answer || n % 2 == 0).then(|| at(2)),
                submitted: (n % 3 > 0).then(|| at(3)),
                first_byte: is_answer.then(|| at(4)),
                done: at(5),
                ..Stamps::default()
            };
            each(outcome, &stamps);
        }
    }

    #[test]
    fn the_classes_of_a_time_add_up_to_the_tally_s_histogram() {
        let (mut by_class, mut tally) = (ByClass::default(), Tally::default());
        everything(|outcome, stamps| {
            by_class.record(outcome, stamps);
            tally.record(outcome, stamps);
        });
        by_class.record_unsent(Nanos::from_millis(9), 12);
        tally.record_unsent(Nanos::from_millis(9), Nanos::ZERO, 12);
        for latency in LATENCIES {
            let mut sum = Histogram::default();
            by_class.iter().filter(|(of, ..)| *of == latency).for_each(|(_, _, histogram)| sum.add(histogram));
            assert!(sum == tally.latencies[latency], "{}", latency.name());
        }
        let named = |latency: Latency| -> Vec<_> {
            let of = by_class.iter().filter(|(of, ..)| *of == latency);
            of.map(|(_, class, histogram)| (class.name(), histogram.count())).collect()
        };
        let [success, redirection, client, server, other] =
            [("2xx", 2), ("3xx", 1), ("4xx", 1), ("5xx", 1), ("other", 2)];
        assert_eq!(named(Latency::Service), [success, redirection, client, server, other]);
        let [failed, unsent, in_flight] = [("failed", 3), ("unsent", 12), ("in_flight", 1)];
        assert_eq!(named(Latency::Response), [success, redirection, client, server, other, failed, unsent, in_flight]);
    }

    #[test]
    fn parts_add_up_and_an_emptied_one_is_as_good_as_new() {
        let (mut whole, mut sum, mut part) = (ByClass::default(), ByClass::default(), ByClass::default());
        for _ in 0..3 {
            everything(|outcome, stamps| {
                whole.record(outcome, stamps);
                part.record(outcome, stamps);
            });
            sum.add(&part);
            part.reset();
            assert_eq!(part.iter().count(), 0);
        }
        assert!(whole.iter().zip(sum.iter()).all(|(one, other)| one == other));
        assert_eq!(whole.iter().count(), sum.iter().count());
    }
}
