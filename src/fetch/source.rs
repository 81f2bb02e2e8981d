//! Which request a core makes next: that of the first line whose host may have one.

use std::rc::Rc;

use bytes::Bytes;

use super::Shared;
use super::flight::Flight;
use super::job::{Error, Job};
use super::line::Kind;
use super::queues::{Limits, Line};
use super::record::Times;
use super::work::{Retrieval, State};
use crate::clock;
use crate::engine::control::NEVER;
use crate::engine::work::{Due, Next, Source, Ticket};
use crate::record::{Failure, Outcome};
use crate::units::Nanos;

impl Retrieval {
    /// Nothing is to be begun any more: a signal came, or all lines have their records.
    fn is_over(&self, now: Nanos) -> bool {
        now >= self.shared.control.end() || self.shared.all_done()
    }

    fn limits(&self) -> Limits<'_> {
        let Shared { rate, robots, .. } = &*self.shared;
        Limits { per_host: self.fetch().pace.connections_per_host, rate: rate.as_ref(), robots: robots.as_ref() }
    }

    /// Makes the request of a line that was admitted.
    fn begin(&self, state: &mut State, mut job: Box<Job>, now: Nanos) -> Option<Ticket> {
        let State { queues, flights, .. } = state;
        let local = queues.local(&job.host);
        if job.tried.admitted == Nanos::ZERO {
            (job.tried.admitted, job.tried.started_at) = (now, clock::unix_now());
        }
        let added = local.origin.map_or_else(|| self.origins.add(job.host.origin.clone()), Ok);
        let origin = match added {
            Ok(origin) => *local.origin.insert(origin),
            Err(problem) => {
                job.host.ended(self.core, Outcome::Failed(Failure::Tls), now, now);
                queues.ended(job.host.number, now);
                let error = Error::new(Kind::Failure(Failure::Tls), problem);
                self.conclude(state, &job, None, Some(&error), Times::default());
                return None;
            }
        };
        state.counts.begun(job.tried.here > 0);
        job.tried.asked = now;
        job.tried.here += 1;
        if !std::mem::take(&mut job.tried.follows) {
            job.tried.attempts += 1;
        }
        if job.tried.here == 1 {
            state.retries.count_request();
        } else {
            state.fetched.retries += 1;
        }
        let template = local.template(&job, &self.plan.common, origin);
        let (head_request, idempotent) = (&*job.method == "HEAD", template.idempotent);
        let flight = Flight::new(job, template);
        let large_body = flight.large_body(&self.plan).is_some();
        let line = flights.take_off(flight);
        self.load.take(now);
        Some(Ticket { line, origin, head_request, idempotent, intended: now, warmup: false, large_body })
    }
}

impl Source for Retrieval {
    fn next(&self, now: Nanos) -> Next {
        if now < self.shared.control.start() {
            return Next::WaitUntil(self.shared.control.start());
        }
        let state = &mut *self.state.borrow_mut();
        loop {
            if self.is_over(now) {
                return Next::End;
            }
            let mut next = state.queues.next(now, self.limits());
            if next.is_none() {
                self.take_in(state);
                next = state.queues.next(now, self.limits());
            }
            match next {
                None => return Next::WaitUntil(NEVER),
                Some(Line::Go(job)) => {
                    if let Some(ticket) = self.begin(state, job, now) {
                        return Next::Ticket(ticket);
                    }
                }
                Some(Line::Barred(job, kind)) => self.bar(state, &job, kind, now),
            }
        }
    }

    fn due(&self, now: Nanos) -> Due {
        let start = self.shared.control.start();
        if now < start {
            return Due { tickets: 0, next: start };
        }
        if self.is_over(now) {
            return Due { tickets: u64::MAX, next: NEVER };
        }
        let (tickets, next) = self.state.borrow_mut().queues.due(now, self.limits());
        Due { tickets, next: next.unwrap_or(NEVER) }
    }

    fn give_up_at(&self) -> Nanos {
        let end = self.shared.control.end();
        match end {
            NEVER => NEVER,
            end if self.shared.is_abandoned() => end,
            end => Nanos(end.0.saturating_add(self.plan.drain.0)),
        }
    }

    fn render(&self, ticket: &Ticket, form: u32, request: &mut Rc<Vec<u8>>) {
        let state = &mut *self.state.borrow_mut();
        let flight = state.flights.at(ticket.line);
        flight.cookies = self.cookies(&flight.job);
        flight.render(&self.plan, form, Rc::make_mut(request));
    }

    fn large_body(&self, ticket: &Ticket) -> Bytes {
        let state = &mut *self.state.borrow_mut();
        let body = state.flights.at(ticket.line).large_body(&self.plan);
        body.expect("a ticket says so only where there is one").clone()
    }
}
