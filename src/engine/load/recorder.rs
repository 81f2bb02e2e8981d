//! The side of a load that takes answers: it judges them and counts them.

use std::fmt::Display;
use std::future::{Future, ready};

use super::Load;
use crate::clock;
use crate::engine::work::{Body, Dial, Moved, Sink, Ticket};
use crate::record::{Failure, Latency, Outcome, Stamps};
use crate::units::Nanos;
use crate::wire::content::{ContentDecoder, ContentError};
use crate::wire::decode::{BodyLength, Head};

/// So much of a reason is kept: a server may have had a say in it, such as by the names of its certificate.
const REASON_CHARS_MAX: usize = 300;

impl Load {
    /// A body that is not what its head says breaks HTTP.
    #[cold]
    fn undecodable(&self, error: ContentError) -> Failure {
        self.explain(Failure::Protocol, &error);
        Failure::Protocol
    }
}

impl Sink for Load {
    // In a box: every slot has room for one, and most runs decode nothing.
    type Intake = Box<ContentDecoder>;

    fn beat(&self, now: Nanos) {
        if now < self.control.t0() {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        state.cpu_at_t0.get_or_insert_with(clock::thread_cpu);
        self.turn_to(state, now);
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
        self.plan.decode
    }

    fn head(&self, _: &Ticket, head: &Head<'_>) -> Result<Body<Self::Intake>, Failure> {
        if !self.plan.decode || head.body == BodyLength::None {
            return Ok(Body::Discard);
        }
        let decoder = ContentDecoder::of(head.headers()).map_err(|error| self.undecodable(error))?;
        Ok(Body::Stream(Box::new(decoder)))
    }

    fn body(
        &self,
        ticket: &Ticket,
        decoder: &mut Self::Intake,
        piece: &[u8],
    ) -> impl Future<Output = Result<(), Failure>> {
        let before = decoder.decoded();
        let fed = decoder.feed(piece, |_| {});
        if !ticket.warmup {
            self.state.borrow_mut().tally.traffic.decoded += decoder.decoded() - before;
        }
        ready(fed.map_err(|error| self.undecodable(error)))
    }

    fn end(&self, _: &Ticket, mut decoder: Self::Intake) -> Result<(), Failure> {
        decoder.finish().map_err(|error| self.undecodable(error))
    }

    fn explain(&self, failure: Failure, reason: &dyn Display) {
        let reasons = &mut self.state.borrow_mut().tally.reasons;
        reasons[failure as usize].get_or_insert_with(|| reason.to_string().chars().take(REASON_CHARS_MAX).collect());
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
        state.tally.flow.leave(stamps.done);
        state.tally.traffic.sent += moved.sent;
        state.tally.traffic.received += moved.received;
        if outcome == Outcome::InFlightAtEnd {
            return;
        }
        state.last_done = state.last_done.max(Nanos(stamps.done.0 - self.control.t0().0));
        let page = &mut state.page;
        page.counts.withheld += u64::from(stamps.withheld());
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
