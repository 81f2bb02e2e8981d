//! Answers held against what is expected of them: of a line the last one, after its redirects and retries, and never a
//! robots.txt. What is said of one that falls short.

use super::flight::Flight;
use super::job::Error;
use super::line::Kind;
use super::verdict::Verdict;
use super::work::Retrieval;
use crate::record::{Failure, reason};
use crate::wire::decode::{BodyLength, Head};
use crate::wire::expect::Judge;

impl Retrieval {
    /// Whether an answer of this status, being as expected otherwise, is what its line is for.
    pub(super) fn is_wanted(&self, status: u16) -> bool {
        status < 400 || self.plan.expect.names(status)
    }

    /// Judges the head of an answer that ends its line; gives what goes on with its body, where that still matters.
    pub(super) fn judge(&self, flight: &mut Flight, head: &Head<'_>) -> Option<Box<Judge>> {
        let expect = self.load.expect();
        let is_last = matches!(flight.verdict, Verdict::Final) && flight.job.robots_of.is_none();
        if expect.is_empty() || !is_last {
            return None;
        }
        let mut judge = Box::<Judge>::default();
        judge.begin(expect, head, &*flight.job.method == "HEAD", self.plan.decode);
        if head.body == BodyLength::None {
            flight.error = self.short_of(flight, &mut judge);
            return None;
        }
        judge.wants_body(expect, head.body).then_some(judge)
    }

    /// The error of a line whose answer, whole by now, falls short: what was expected, the status, and what came instead.
    pub(super) fn short_of(&self, flight: &Flight, judge: &mut Judge) -> Option<Error> {
        let expect = self.load.expect();
        let missed = judge.finish(expect).err()?;
        let body = flight.body(&self.plan).map(|body| &body[..]);
        let redact = |bytes: &[u8]| self.plan.redact_for(&flight.template, body, flight.cookies.as_deref(), bytes);
        let (expected, came) = (reason(&missed.expected(expect)), judge.came(expect, redact));
        Some(Error::new(Kind::Failure(Failure::Check), format!("{expected}: {}, {came}", judge.status())))
    }
}
