//! Retrieval as a kind of work: lines that come in through an inbox, asked for when their hosts may have them, and
//! records that go out once a line has come to its end. Requests are counted as those of a closed load.

use std::cell::RefCell;
use std::fmt::Display;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

use super::Shared;
use super::answer::{Answer, Intake, Spoilt, spoilt};
use super::continuation::Room;
use super::flight::{Flight, Flights};
use super::job::{Error, Job, Jobs};
use super::live::Counts;
use super::queues::Queues;
use super::record::{self, Form, Times};
use super::retry::{Decision, Retries};
use super::save::Folder;
use super::verdict::{self, Verdict};
use super::writer::{Message, Records};
use crate::clock;
use crate::engine::Seat;
use crate::engine::load::Load;
use crate::engine::origins::Origins;
use crate::engine::work::{Body, Dial, Finished, Moved, Sink, Ticket, Waits, Work};
use crate::plan::{Fetch, Plan};
use crate::record::{Failure, Fetched, Outcome, Stamps, reason};
use crate::units::Nanos;
use crate::wire::content::ContentDecoder;
use crate::wire::decode::{BodyLength, Head};

/// Records go to the writer so often, or when they are enough.
const HAND_OVER: Nanos = Nanos::from_millis(10);

/// One core's part of a retrieval.
pub(crate) struct Retrieval {
    /// Counts the requests.
    pub(super) load: Load,
    pub(super) plan: Arc<Plan>,
    pub(super) shared: Arc<Shared>,
    pub(super) origins: Rc<Origins>,
    /// Its place among the cores.
    pub(super) core: usize,
    inbox: mpsc::Receiver<Jobs>,
    records: mpsc::Sender<Message>,
    pub(super) state: RefCell<State>,
}

pub(super) struct State {
    pub(super) queues: Queues,
    pub(super) flights: Flights,
    pub(super) retries: Retries,
    /// For bodies that broke off.
    room: Room,
    pub(super) counts: Counts,
    /// Of bodies, where they are saved.
    folder: Option<Folder>,
    /// Not yet with the writer, and when the last ones went there.
    records: Records,
    handed_over: Nanos,
    pub(super) fetched: Fetched,
    /// Why the last failure happened, until its ticket ends.
    reason: Option<(Failure, String)>,
}

impl Retrieval {
    /// The part of the core of this `seat`.
    pub(crate) fn new(
        seat: Seat,
        shared: Arc<Shared>,
        inbox: mpsc::Receiver<Jobs>,
        records: mpsc::Sender<Message>,
    ) -> Self {
        let (plan, origins) = (Arc::clone(&seat.plan), Rc::clone(&seat.origins));
        let fetch = plan.fetch.as_deref().expect("only what is fetched comes here");
        let budget = Arc::clone(&shared.budget);
        let folder = fetch.output.save.as_deref().map(|path| Folder::open(path, seat.shard.index)).transpose();
        let folder = folder.unwrap_or_else(|error| {
            shared.give_up(format!("--save: {error}"));
            None
        });
        let state = State {
            queues: Queues::new(seat.shard.place, plan.cores.len()),
            flights: Flights::default(),
            counts: shared.live.counts(seat.shard.place),
            retries: Retries::new(verdict::policy(fetch), budget, plan.seed, seat.shard.index),
            room: Room::default(),
            folder,
            records: Records::default(),
            handed_over: Nanos::ZERO,
            fetched: Fetched::default(),
            reason: None,
        };
        Self {
            core: seat.shard.place,
            load: seat.load(),
            plan,
            shared,
            origins,
            inbox,
            records,
            state: RefCell::new(state),
        }
    }

    pub(super) fn fetch(&self) -> &Fetch {
        self.plan.fetch.as_deref().expect("only what is fetched comes here")
    }

    pub(super) fn take_in(&self, state: &mut State) {
        for jobs in self.inbox.try_iter() {
            jobs.into_iter().for_each(|job| state.queues.push(Box::new(job)));
        }
    }

    /// A line has come to its end.
    pub(super) fn conclude(
        &self,
        state: &mut State,
        job: &Job,
        answer: Option<&Answer>,
        error: Option<&Error>,
        times: Times,
    ) {
        let ok = error.is_none() && answer.is_some_and(|answer| self.is_wanted(answer.status));
        let form = Form { fields: self.shared.policies.fields, body: self.fetch().output.body_in_json };
        let fetched = &mut state.fetched;
        fetched.lines += 1;
        fetched.ok += u64::from(ok);
        fetched.waits.0 += times.response.unwrap_or_default().0;
        if let Some(error) = error {
            fetched.count_error(error.kind.name(), 1);
        }
        state.counts.concluded(job, answer.map(|answer| answer.status), error, ok, times.response);
        state.records.add(job.place, |out| record::write(form, job, answer, error, ok, times, out));
        self.shared.one_done(job);
        if state.records.are_enough() {
            self.hand_over(state);
        }
    }

    fn hand_over(&self, state: &mut State) {
        if !state.records.is_empty() {
            // The writer is gone only where it could not write, and says so itself.
            self.shared.hold(state.records.bytes());
            let next = Records::like(&state.records);
            let _ = self.records.send(Message::Records(std::mem::replace(&mut state.records, next)));
        }
    }

    /// A body that is no good, or cannot be kept.
    #[cold]
    fn spoilt(&self, ticket: &Ticket, spoilt: Spoilt) -> Failure {
        let state = &mut *self.state.borrow_mut();
        match spoilt {
            Spoilt::Answer(error) => {
                self.load.explain(Failure::Protocol, &error.detail);
                state.flights.at(ticket.line).error = Some(error);
            }
            Spoilt::Enough(beginning) => {
                self.load.explain(Failure::Protocol, &"a robots.txt is longer than what is read of one");
                if let Some(answer) = &mut state.flights.at(ticket.line).answer {
                    answer.body = Some(beginning);
                }
            }
            Spoilt::Disk(error) => {
                self.shared.give_up(format!("--save: a body cannot be written: {error}"));
                state.flights.at(ticket.line).is_lost = true;
            }
        }
        Failure::Protocol
    }

    /// A line has come to the end of a request: it is concluded, or goes on.
    fn land(&self, state: &mut State, flight: Flight, outcome: Outcome, times: Times, now: Nanos) {
        if flight.job.robots_of.is_some() {
            return self.land_robots(state, flight, outcome, now);
        }
        let Flight { mut job, template, mut answer, verdict, mut error, broken, is_lost, .. } = flight;
        if is_lost {
            return state.leave_unfinished();
        }
        if outcome == Outcome::InFlightAtEnd {
            return self.leave(state, &job, times);
        }
        let reason = state.reason.take();
        let verdict = match outcome {
            Outcome::Failed(failure) if error.is_none() => {
                let detail = reason.filter(|(of, _)| *of == failure).map(|(_, text)| text);
                error = Some(Error::of(failure, detail));
                let content_type = answer.take().and_then(|answer| answer.content_type);
                match (verdict, state.retries.decide(self.elapsed(now), job.tried.here, outcome, template.idempotent)) {
                    (Verdict::Again(wait), _) | (_, Decision::Retry(wait)) => {
                        let kept = broken.and_then(|intake| state.room.keep(intake, content_type));
                        job.begun = kept.or_else(|| job.begun.take());
                        Verdict::Again(wait)
                    }
                    _ => Verdict::Final,
                }
            }
            _ => verdict,
        };
        match verdict {
            Verdict::Again(wait) => {
                state.counts.retried(&job, answer.as_ref(), error.as_ref(), wait);
                return state.queues.push_at(Nanos(now.0.saturating_add(wait.0)), job);
            }
            Verdict::Follow(hop) => match job.follow(&hop, &self.shared, now) {
                Ok(()) => return state.queues.push(job),
                Err(problem) => error = Some(problem),
            },
            Verdict::Refused(refusal) => error = Some(refusal),
            Verdict::Final => {}
        }
        if let Some(answer) = answer.as_mut().filter(|_| error.is_none())
            && let Err(problem) = answer.keep(state.folder.as_ref(), || self.shared.name_of(&job))
        {
            self.shared.give_up(format!("--save: a body cannot be given its name: {problem}"));
            return state.leave_unfinished();
        }
        self.conclude(state, &job, answer.as_ref(), error.as_ref(), times);
    }

    /// Shows the line of a request in flight.
    pub(super) fn with_job(&self, ticket: &Ticket, see: impl FnOnce(&Job)) {
        see(&self.state.borrow_mut().flights.at(ticket.line).job);
    }

    pub(super) fn elapsed(&self, now: Nanos) -> Nanos {
        Nanos(now.0.saturating_sub(self.shared.control.t0().0))
    }
}

impl State {
    /// A line has no record, and is to be fetched by a later run.
    pub(super) fn leave_unfinished(&mut self) {
        self.fetched.unfinished += 1;
    }

    /// Why the last failure happened; nobody else needs to know.
    pub(super) fn take_reason(&mut self) -> Option<(Failure, String)> {
        self.reason.take()
    }
}

impl Sink for Retrieval {
    type Intake = Box<Intake>;

    fn beat(&self, now: Nanos) {
        self.load.beat(now);
        let state = &mut *self.state.borrow_mut();
        self.take_in(state);
        if now.0.saturating_sub(state.handed_over.0) >= HAND_OVER.0 {
            state.handed_over = now;
            self.hand_over(state);
        }
        let State { queues, flights, counts, .. } = state;
        counts.show(&self.shared.live, queues, flights, now);
        state.queues.forget_idle().into_iter().for_each(|origin| self.origins.forget(origin));
        let shared = state.queues.share(&self.shared.hosts, now);
        shared.into_iter().for_each(|origin| self.origins.spare(origin));
    }

    fn connected(&self, dial: &Dial) {
        self.load.connected(dial);
    }

    fn redialled(&self, ticket: &Ticket) {
        self.load.redialled(ticket);
    }

    fn sent(&self, ticket: &Ticket, now: Nanos) {
        self.load.sent(ticket, now);
    }

    fn reads_heads(&self) -> bool {
        true
    }

    fn head(&self, ticket: &Ticket, head: &Head<'_>) -> Result<Body<Self::Intake>, Failure> {
        let (output, policies) = (&self.fetch().output, &self.shared.policies);
        self.keep_cookies(ticket, head);
        if let Some(gone_on) = self.go_on(ticket, head) {
            return gone_on.map(Body::Stream).map_err(|problem| self.spoilt(ticket, problem));
        }
        let (wanted, judge, part, is_robots, representation) = {
            let State { flights, retries, folder, counts, .. } = &mut *self.state.borrow_mut();
            let flight = flights.at(ticket.line);
            let mut answer = Answer::of(head);
            if head.body == BodyLength::None {
                answer.take_nothing(output, policies);
            }
            flight.answer = Some(answer);
            let elapsed = self.elapsed(clock::now());
            flight.verdict = verdict::judge(&self.plan, retries, elapsed, flight, head);
            let judge = self.judge(flight, head);
            let wanted = head.body != BodyLength::None && matches!(flight.verdict, Verdict::Final);
            let is_robots = flight.job.robots_of.is_some();
            if wanted && judge.is_none() && !is_robots && !self.plan.decode {
                let answer = flight.answer.as_mut().expect("it has just come");
                if answer.counts_alone(head.body, output, policies) {
                    counts.received(answer.bytes as usize);
                    return Ok(Body::Discard);
                }
            }
            let representation = wanted.then(|| flight.representation(head)).flatten();
            let missed = judge.as_ref().is_some_and(|judge| judge.has_missed());
            let saves = wanted && !missed && !is_robots && self.is_wanted(head.status);
            let part = folder.as_mut().filter(|_| saves).map(Folder::begin).transpose();
            (wanted, judge, part, is_robots, representation)
        };
        if !wanted {
            let is_short = match head.body {
                BodyLength::None => true,
                BodyLength::Known(bytes) => bytes <= output.max_body,
                BodyLength::Chunked | BodyLength::UntilClose => false,
            };
            return Ok(if is_short { Body::Discard } else { Body::Stream(Box::new(Intake::of_nothing(output))) });
        }
        let part = part.map_err(|error| self.spoilt(ticket, Spoilt::Disk(error)))?;
        let headers = head.headers().filter(|_| self.plan.decode || is_robots);
        let decoder =
            ContentDecoder::of(headers).map_err(|error| self.spoilt(ticket, Spoilt::Answer(spoilt(error))))?;
        let intake = match is_robots {
            true => Intake::of_robots(decoder),
            false => Intake::new(decoder, output, policies, part, representation).judged_by(judge),
        };
        Ok(Body::Stream(Box::new(intake)))
    }

    async fn body(&self, ticket: &Ticket, intake: &mut Self::Intake, piece: &[u8]) -> Result<(), Failure> {
        self.state.borrow_mut().counts.received(piece.len());
        intake.feed(self.load.expect(), piece).map_err(|problem| self.spoilt(ticket, problem))
    }

    fn end(&self, ticket: &Ticket, mut intake: Self::Intake) -> Result<(), Failure> {
        if intake.is_short() {
            return Err(self.falls_short(ticket, intake));
        }
        intake.finish().map_err(|problem| self.spoilt(ticket, problem))?;
        let state = &mut *self.state.borrow_mut();
        let flight = state.flights.at(ticket.line);
        // The answer itself is whole: its connection is as good as before.
        flight.error = intake.judge.take().and_then(|mut judge| self.short_of(flight, &mut judge));
        if let Some(answer) = &mut flight.answer {
            answer.take(*intake);
            if flight.job.robots_of.is_none() && flight.error.is_none() {
                flight.error = answer.look(&self.shared.policies).err();
            }
        }
        Ok(())
    }

    fn broken_off(&self, ticket: &Ticket, intake: Self::Intake) {
        self.state.borrow_mut().flights.at(ticket.line).broken = Some(intake);
    }

    fn explain(&self, failure: Failure, why: &dyn Display) {
        self.load.explain(failure, why);
        self.state.borrow_mut().reason = Some((failure, reason(why).into()));
    }

    fn done(&self, ticket: &Ticket, outcome: Outcome, stamps: &Stamps, moved: Moved) {
        self.load.done(ticket, outcome, stamps, moved);
        let state = &mut *self.state.borrow_mut();
        let flight = state.flights.land(ticket.line);
        let host = &flight.job.host;
        let begins = host.ended(self.core, outcome, ticket.intended, stamps.done);
        state.counts.landed(&flight, outcome, begins, stamps.done);
        if let Some(time) = flight.asked_for_time {
            host.hold(stamps.done, time);
        }
        state.queues.ended(host.number, stamps.done);
        let since = |from: Nanos, at: Nanos| Nanos(at.0.saturating_sub(from.0));
        let times = Times {
            response: Some(since(flight.job.tried.admitted, stamps.done)),
            service: stamps.sent.map(|sent| since(sent, stamps.done)),
            first_byte: stamps.sent.zip(stamps.first_byte).map(|(sent, first)| since(sent, first)),
        };
        self.land(state, flight, outcome, times, stamps.done);
    }
}

impl Work for Retrieval {
    fn origin_of(&self, _: u64) -> Option<u32> {
        None
    }

    fn finish(&self, abandoned: bool, waits: Waits) -> Finished {
        let state = &mut *self.state.borrow_mut();
        let exhausted = self.shared.all_done();
        self.leave_waiting(state, clock::now());
        self.hand_over(state);
        state.counts.show_at_last(&self.shared.live);
        self.shared.add(&state.fetched);
        Finished { exhausted, ..self.load.finish(abandoned, waits) }
    }
}
