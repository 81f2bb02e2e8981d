//! The side of a load that takes answers: it judges them and counts them.

use std::fmt::Display;
use std::future::{Future, ready};

use super::Load;
use crate::clock;
use crate::engine::work::{Body, Dial, Moved, Sink, Ticket};
use crate::record::check::SAMPLES_MAX;
use crate::record::{CheckSample, Failure, Latency, Outcome, Stamps, reason};
use crate::units::Nanos;
use crate::wire::content::{ContentDecoder, ContentError};
use crate::wire::decode::{BodyLength, Head};
use crate::wire::expect::Judge;

/// What takes in the body of an answer.
#[derive(Default)]
pub struct Intake {
    /// Where codings are undone.
    decoder: Option<ContentDecoder>,
    /// Where something is expected.
    judge: Judge,
}

impl Load {
    /// A body that is not what its head says breaks HTTP.
    #[cold]
    fn undecodable(&self, error: ContentError) -> Failure {
        self.explain(Failure::Protocol, &error);
        Failure::Protocol
    }

    /// An answer that was not what was expected; those of the warm-up leave no trace.
    #[cold]
    fn unexpected(&self, ticket: &Ticket, judge: &mut Judge) -> Failure {
        let Err(missed) = judge.finish(&self.expect) else { unreachable!("it fell short of something") };
        let tally = &mut self.state.borrow_mut().tally;
        if !ticket.warmup && tally.check_samples.len() < SAMPLES_MAX {
            let (expected, status) = (missed.expected(&self.expect), judge.status());
            let why = || reason(&format_args!("the answer, of status {status}, failed {expected}"));
            tally.reasons[Failure::Check as usize].get_or_insert_with(why);
            let came = judge.came(&self.expect, |bytes| self.plan.redact(ticket.line, bytes)).into();
            tally.check_samples.push(CheckSample { expected: expected.into(), status, came });
        }
        Failure::Check
    }

    fn take_in(&self, ticket: &Ticket, intake: &mut Intake, piece: &[u8]) -> Result<(), Failure> {
        let Intake { decoder, judge } = intake;
        let mut feed = |piece: &[u8]| {
            if self.judges {
                judge.feed(&self.expect, piece);
            }
        };
        if let Some(decoder) = decoder {
            let before = decoder.decoded();
            let fed = decoder.feed(piece, feed);
            if !ticket.warmup {
                self.state.borrow_mut().tally.traffic.decoded += decoder.decoded() - before;
            }
            fed.map_err(|error| self.undecodable(error))?;
        } else {
            feed(piece);
        }
        if judge.is_too_large() { Err(self.unexpected(ticket, judge)) } else { Ok(()) }
    }

    fn intake(&self) -> Box<Intake> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }
}

impl Sink for Load {
    // In a box: every slot has room for one, and most runs take nothing in.
    type Intake = Box<Intake>;

    fn beat(&self, now: Nanos) {
        if now < self.control.t0() {
            return;
        }
        self.turn_to(&mut self.state.borrow_mut(), now);
    }

    fn connected(&self, dial: &Dial) {
        let now = clock::now();
        let before_t0 = now < self.control.t0();
        if before_t0 && now >= self.control.start() {
            // The warm-up's own.
            return;
        }
        let tally = &mut self.state.borrow_mut().tally;
        tally.counts.connections_opened += 1;
        tally.counts.connections_opened_before_t0 += u64::from(before_t0);
        tally.latencies[Latency::Connect].record(dial.connect);
        if let Some(handshake) = dial.tls {
            tally.latencies[Latency::Tls].record(handshake.took);
            tally.counts.tls_resumed += u64::from(handshake.resumed);
        }
    }

    fn redialled(&self, ticket: &Ticket) {
        if !ticket.warmup {
            self.state.borrow_mut().tally.counts.redials += 1;
        }
    }

    fn sent(&self, ticket: &Ticket, now: Nanos) {
        if !ticket.warmup {
            let state = &mut *self.state.borrow_mut();
            self.turn_to(state, now);
            state.page.counts.sent += 1;
        }
    }

    fn reads_heads(&self) -> bool {
        self.plan.decode || self.judges
    }

    fn head(&self, ticket: &Ticket, head: &Head<'_>) -> Result<Body<Self::Intake>, Failure> {
        let mut intake = self.intake();
        let decodes = self.plan.decode && head.body != BodyLength::None;
        let decoder = decodes.then(|| ContentDecoder::of(head.headers())).transpose();
        intake.decoder = decoder.map_err(|error| self.undecodable(error))?;
        let mut wanted = decodes;
        if self.judges {
            intake.judge.begin(&self.expect, head, ticket.head_request, decodes);
            if intake.judge.is_too_large() {
                return Err(self.unexpected(ticket, &mut intake.judge));
            }
            wanted |= intake.judge.wants_body(&self.expect, head.body);
        }
        if wanted {
            return Ok(Body::Stream(intake));
        }
        self.spare.borrow_mut().push(intake);
        Ok(Body::Discard)
    }

    fn body(
        &self,
        ticket: &Ticket,
        intake: &mut Self::Intake,
        piece: &[u8],
    ) -> impl Future<Output = Result<(), Failure>> {
        ready(self.take_in(ticket, intake, piece))
    }

    fn end(&self, ticket: &Ticket, mut intake: Self::Intake) -> Result<(), Failure> {
        if let Some(mut decoder) = intake.decoder.take() {
            decoder.finish().map_err(|error| self.undecodable(error))?;
        }
        let met = !self.judges || intake.judge.finish(&self.expect).is_ok();
        let ended = if met { Ok(()) } else { Err(self.unexpected(ticket, &mut intake.judge)) };
        self.spare.borrow_mut().push(intake);
        ended
    }

    fn explain(&self, failure: Failure, why: &dyn Display) {
        let reasons = &mut self.state.borrow_mut().tally.reasons;
        reasons[failure as usize].get_or_insert_with(|| reason(why));
    }

    fn done(&self, ticket: &Ticket, outcome: Outcome, stamps: &Stamps, moved: Moved) {
        let state = &mut *self.state.borrow_mut();
        if ticket.warmup {
            state.tally.warmup.requests += 1;
            state.tally.warmup.failed += u64::from(matches!(outcome, Outcome::Failed(_)));
            return;
        }
        self.turn_to(state, stamps.done);
        state.tally.record(outcome, stamps);
        if self.plan.by_class {
            state.page.by_class.record(outcome, stamps);
        }
        if let Some(tag) = self.plan.urls.tags().of(ticket.line) {
            state.tally.tags[tag].record(outcome, stamps);
        }
        state.tally.flow.leave(stamps.done);
        state.tally.traffic.sent += moved.sent;
        state.tally.traffic.received += moved.received;
        state.page.counts.withheld += u64::from(stamps.withheld());
        if outcome == Outcome::InFlightAtEnd {
            return;
        }
        state.last_done = state.last_done.max(Nanos(stamps.done.0 - self.control.t0().0));
        let page = &mut state.page;
        let response = Nanos(stamps.done.0 - stamps.intended.0);
        match outcome {
            Outcome::Answered(status) => {
                page.counts.completed += 1;
                page.counts.ok += u64::from(status < 400);
                page.response.record(response);
            }
            Outcome::Failed(failure) => {
                page.counts.failed += 1;
                if failure.waited() {
                    page.response.record(response);
                }
            }
            Outcome::InFlightAtEnd => {}
        }
    }
}
