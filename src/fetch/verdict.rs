//! What an answer means for its line: that it is the end, that it is to be asked again, or that the line leads elsewhere.

use std::sync::Arc;

use super::Shared;
use super::continuation::RANGE_NOT_SATISFIABLE;
use super::flight::Flight;
use super::job::{Error, Job};
use super::line::Kind;
use super::redirect::{self, Hop, Next, Sent};
use super::retry::{Decision, Policy, Retries};
use super::{retry_after, robots};
use crate::clock;
use crate::plan::origin::{Site, parse_site, push_target, split};
use crate::plan::{Fetch, Plan};
use crate::record::Outcome;
use crate::units::Nanos;
use crate::wire::decode::Head;

/// What is to become of a line.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It has come to its end.
    Final,
    /// It is asked again after this wait.
    Again(Nanos),
    /// It is asked for elsewhere.
    Follow(Hop),
    /// It leads where it may not go.
    Refused(Error),
}

/// How retries are made.
pub(super) fn policy(fetch: &Fetch) -> Policy {
    let retry = &fetch.retry;
    Policy {
        retries: retry.retries,
        backoff: retry.backoff,
        backoff_max: retry.backoff_max,
        statuses: retry.on.clone(),
        all_methods: retry.all_methods,
    }
}

/// What a head means; `elapsed` since the start of the run.
pub(super) fn judge(
    plan: &Plan,
    retries: &mut Retries,
    elapsed: Nanos,
    flight: &mut Flight,
    head: &Head<'_>,
) -> Verdict {
    let fetch = plan.fetch.as_deref().expect("only what is fetched comes here");
    let asked = retry_after::hold(head.status, head.header("retry-after"), clock::unix_now(), fetch.retry.after_max);
    let job = &mut flight.job;
    if asked.is_some() {
        job.tried.retry_after = asked;
    }
    flight.asked_for_time = asked;
    if (300..400).contains(&head.status) {
        let max = if job.robots_of.is_some() { robots::REDIRECTS_MAX } else { fetch.max_redirects };
        let policy = redirect::Policy { max, allow_downgrade: fetch.allow_downgrade };
        let url = job.final_url().into_owned();
        let sent = Sent { method: &job.method, url: &url, cookies: flight.cookies.as_deref().unwrap_or_default() };
        return match job.chain.next(policy, sent, head.status, head.header("location")) {
            Next::Stop => Verdict::Final,
            Next::Follow(hop) => Verdict::Follow(hop),
            Next::Refused(refusal) => Verdict::Refused(Error::new(Kind::Redirect, refusal.to_string())),
        };
    }
    if job.robots_of.is_none() && plan.expect.names(head.status) {
        // It is what was asked for, and not to be waited out.
        return Verdict::Final;
    }
    let idempotent = flight.template.idempotent;
    let tried = job.tried.here;
    let decision = match head.status {
        // Asked for the whole, it may have one.
        RANGE_NOT_SATISFIABLE if flight.asks_from.is_some() => retries.once_more(elapsed, tried, idempotent),
        status => retries.decide(elapsed, tried, Outcome::Answered(status), idempotent),
    };
    match decision {
        Decision::Retry(wait) => Verdict::Again(wait),
        Decision::GiveUp(_) => {
            // This answer counts, and no beginning of another.
            job.begun = None;
            Verdict::Final
        }
    }
}

impl Job {
    /// Sends the line where a redirect leads.
    ///
    /// # Errors
    /// What is wrong with that.
    pub(super) fn follow(&mut self, hop: &Hop, shared: &Shared, now: Nanos) -> Result<(), Error> {
        let wrong = |problem| Error::new(Kind::Redirect, problem);
        let (site_text, rest) = split(&hop.url).map_err(wrong)?;
        let mut site: Site = parse_site(site_text).map_err(wrong)?;
        if hop.same_origin {
            site.userinfo.clone_from(&self.site.userinfo);
        } else {
            self.is_abroad = true;
        }
        if hop.becomes_get {
            self.method = "GET".into();
            self.is_bodiless = true;
        }
        // It is the other place's body.
        self.begun = None;
        self.host = shared.hosts.of(&site.origin, now);
        self.site = Arc::new(site);
        let mut target = String::new();
        push_target(&mut target, rest);
        self.other_target = Some(target.into());
        self.tried.here = 0;
        self.tried.is_allowed = self.robots_of.is_some();
        self.tried.follows = true;
        Ok(())
    }
}
