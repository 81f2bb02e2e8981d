//! Leave to ask: robots.txt as a request of its own, lines that it bars, and cookies.

use super::flight::Flight;
use super::job::{Error, Job};
use super::line::Kind;
use super::record::Times;
use super::retry::Decision;
use super::verdict::Verdict;
use super::work::{Retrieval, State};
use crate::engine::work::Ticket;
use crate::record::Outcome;
use crate::units::Nanos;
use crate::wire::decode::Head;

impl Retrieval {
    /// A line is not asked for.
    pub(super) fn bar(&self, state: &mut State, job: &Job, kind: Kind, now: Nanos) {
        const DOWN: &str = "the host did not answer for too long, and is not asked any more";
        if job.robots_of.is_some() {
            return self.tell_robots(state, job, Err(DOWN.to_owned()), now);
        }
        let detail = match kind {
            Kind::Robots => "robots.txt disallows it; --no-robots asks regardless".to_owned(),
            Kind::RobotsUnreachable => {
                let robots = self.shared.robots.as_ref().map(|robots| robots.lock().expect("no rules panic"));
                let why = robots.as_ref().and_then(|robots| robots.why_unreachable(&job.site.origin));
                format!(
                    "robots.txt could not be had ({}), so that nothing is allowed; --no-robots asks regardless",
                    why.unwrap_or("asked for some time ago")
                )
            }
            _ => DOWN.to_owned(),
        };
        self.conclude(state, job, None, Some(&Error::new(kind, detail)), Times::default());
    }

    /// A request for robots.txt has come to its end, or goes on.
    pub(super) fn land_robots(&self, state: &mut State, flight: Flight, outcome: Outcome, now: Nanos) {
        let Flight { mut job, template, answer, verdict, .. } = flight;
        let reason = state.take_reason();
        // Of one that is cut short the beginning is here, and counts.
        let text = answer.and_then(|answer| Some((answer.status, answer.body?)));
        let again = match (outcome, &verdict) {
            (_, Verdict::Again(wait)) => Some(*wait),
            (Outcome::Failed(_), _) if text.is_none() => {
                match state.retries.decide(self.elapsed(now), job.tried.here, outcome, template.idempotent) {
                    Decision::Retry(wait) => Some(wait),
                    Decision::GiveUp(_) => None,
                }
            }
            _ => None,
        };
        if let Some(wait) = again {
            return state.queues.push_at(Nanos(now.0.saturating_add(wait.0)), job);
        }
        let told = match (outcome, verdict) {
            (Outcome::Answered(_), Verdict::Follow(hop)) => match job.follow(&hop, &self.shared, now) {
                Ok(()) => return state.queues.push(job),
                // Redirects that lead nowhere are as good as none (RFC 9309 section 2.3.1.2).
                Err(_) => Ok((404, Vec::new())),
            },
            (Outcome::Answered(_), Verdict::Refused(_)) => Ok((404, Vec::new())),
            (Outcome::Answered(status), _) => Ok(text.unwrap_or((status, Vec::new()))),
            (Outcome::Failed(failure), _) => text.ok_or_else(|| {
                let detail = reason.filter(|(of, _)| *of == failure).map(|(_, text)| format!(": {text}"));
                format!("{}{}", failure.name(), detail.unwrap_or_default())
            }),
            _ => Err("the run was ended".to_owned()),
        };
        self.tell_robots(state, &job, told, now);
    }

    /// Says what came of a request for robots.txt: status and body, or why there is no answer.
    fn tell_robots(&self, state: &mut State, job: &Job, told: Result<(u16, Vec<u8>), String>, now: Nanos) {
        let (Some(origin), Some(robots)) = (job.robots_of.as_deref(), &self.shared.robots) else { return };
        let robots = &mut *robots.lock().expect("no rules panic");
        match told {
            Ok((status, body)) => robots.answered(origin, status, &body, now),
            Err(why) => robots.failed(origin, &why, now),
        }
        let host = self.shared.hosts.of(origin, now);
        let delay = robots.delay(origin);
        if delay > Nanos::ZERO {
            host.space(delay, now);
        }
        state.queues.wake(host.number);
    }

    /// The cookies that go with a request.
    pub(super) fn cookies(&self, job: &Job) -> Option<String> {
        let jar = self.shared.jar.as_ref()?;
        jar.lock().expect("no cookie panics").header(&job.site.origin, job.target())
    }

    /// Keeps the cookies of an answer.
    pub(super) fn keep_cookies(&self, ticket: &Ticket, head: &Head<'_>) {
        let Some(jar) = &self.shared.jar else { return };
        let set = head.headers().filter(|(name, _)| name.eq_ignore_ascii_case(b"set-cookie"));
        let mut jar = jar.lock().expect("no cookie panics");
        for (_, value) in set {
            self.with_job(ticket, |job| jar.store(&job.site.origin, job.target(), value));
        }
    }
}
