//! Load as a kind of work: a schedule and a walk over the URL set on one side, a recorder on the other.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use self::recorder::Intake;
use self::stripe::Stripe;
use super::control::{Control, NEVER};
use super::work::{Due, Finished, Next, Source, Ticket, Waits, Work};
use crate::clock;
use crate::plan::proxy::Form;
use crate::plan::request::SMALL_BODY_BYTES;
use crate::plan::{CatchUp, Expect, Order, Plan, Shape, Shard, Walk};
use crate::record::timeline::PageId;
use crate::record::{Interval, Outcome, Stamps, Tally};
use crate::units::Nanos;
use crate::wire::encode;

mod recorder;
mod stripe;

/// Unsent requests are recorded in at most this many groups: at the end, and while others wait for their turn.
const UNSENT_GROUPS: u64 = 1 << 20;
const SKIPPED_GROUPS: u64 = 1 << 10;

/// Hands over a finished page and leaves an empty one in its place.
pub type TurnPage = Box<dyn Fn(&mut Box<Interval>)>;

/// One shard's load.
pub struct Load {
    plan: Arc<Plan>,
    shard: Shard,
    control: Arc<Control>,
    turn_page: TurnPage,
    /// The one request of a plan with one line, in each form: a thousand slots send it out of the same few cache lines.
    /// Empty where there are more lines.
    only_request: Vec<Rc<Vec<u8>>>,
    /// Some line has a body that is too large to be copied.
    large_bodies: bool,
    /// What fell due while all slots were busy is not sent late.
    skips: bool,
    walk: Walk,
    warmup_walk: Walk,
    /// The plan's, with searchers of this core's own.
    expect: Expect,
    judges: bool,
    /// What answers were taken in by, for the next ones; at most one a slot.
    #[allow(clippy::vec_box, reason = "a slot takes one whole, and gives it back so")]
    spare: RefCell<Vec<Box<Intake>>>,
    state: RefCell<State>,
}

struct State {
    warmup: Stripe,
    measured: Stripe,
    tally: Tally,
    page: Box<Interval>,
    /// Intended requests of the window that earlier pages hold.
    intended_on_pages: u64,
    last_done: Nanos,
}

impl Load {
    /// The load of `shard` on the timeline of `control`, its pages handed over by `turn_page`.
    pub fn new(plan: Arc<Plan>, shard: Shard, control: Arc<Control>, turn_page: TurnPage) -> Self {
        // Another seed, so that a warm-up does not rehearse the very arrivals and draws that are measured.
        let warmup_seed = plan.seed ^ 0x5741_524d;
        // Where there are no lines, somebody else chooses what to ask for.
        let lines = plan.urls.len().max(1);
        let walk = |seed| Walk::new(plan.order, lines, seed, shard.index, shard.count);
        // A shuffle is one for the whole run.
        let warmup_walk = if plan.order == Order::Random { walk(warmup_seed) } else { walk(plan.seed) };
        let walk = walk(plan.seed);
        let shape = plan.load.shape();
        let state = State {
            warmup: Stripe::new(&plan.load, shape.map(Shape::at_start).as_ref(), warmup_seed, shard),
            measured: Stripe::new(&plan.load, shape, plan.seed, shard),
            tally: Tally::with_tags(plan.urls.tags().names().len()),
            page: Box::default(),
            intended_on_pages: 0,
            last_done: Nanos::ZERO,
        };
        let only_request = |form| {
            let mut request = Vec::new();
            render_line(&plan, 0, form, &mut request);
            Rc::new(request)
        };
        let forms = if plan.urls.len() == 1 { plan.proxies.forms() } else { &[] };
        let only_request = forms.iter().map(only_request).collect();
        let large_bodies = plan.longest_body() > SMALL_BODY_BYTES;
        let skips = plan.load.catch_up() == Some(CatchUp::Skip);
        let (expect, judges) = (plan.expect.clone(), !plan.expect.is_empty());
        let (spare, state) = (RefCell::default(), RefCell::new(state));
        Self {
            plan,
            shard,
            control,
            turn_page,
            only_request,
            large_bodies,
            skips,
            walk,
            warmup_walk,
            expect,
            judges,
            spare,
            state,
        }
    }

    /// Counts one more request as taken at `now`, by whoever chooses them in its place.
    pub(crate) fn take(&self, now: Nanos) {
        let state = &mut *self.state.borrow_mut();
        state.measured.taken += 1;
        state.tally.flow.enter(now);
    }

    /// What answers are held against.
    pub(crate) fn expect(&self) -> &Expect {
        &self.expect
    }

    fn share(&self) -> Option<u64> {
        self.shard.requests
    }

    /// How many requests of the measured stripe are intended before `elapsed`: due by the schedule, or taken.
    fn intended_before(&self, stripe: &mut Stripe, elapsed: Nanos) -> u64 {
        let taken = stripe.taken;
        match &mut stripe.schedule {
            Some(schedule) => schedule.due_before(elapsed).min(self.share().unwrap_or(u64::MAX)),
            None => taken,
        }
    }

    /// Counts the next tickets as unsent. Waits are lower bounds: a group is recorded with the shortest of its members.
    fn record_unsent(&self, state: &mut State, elapsed: Nanos, unsent: u64, waits: Waits, groups: u64) {
        let Some(schedule) = &mut state.measured.schedule else { return };
        let group = unsent.div_ceil(groups).max(1);
        let mut left = unsent;
        while left > 0 {
            let size = group.min(left);
            schedule.skip(size - 1);
            let intended = schedule.peek();
            schedule.take();
            let (t0, intended) = (self.control.t0().0, intended.min(elapsed));
            let client = waits.client(Nanos(t0 + intended.0), Nanos(t0 + elapsed.0));
            let waited = Nanos(elapsed.0 - intended.0);
            state.page.counts.withheld += state.tally.record_unsent(waited, client, size);
            if self.plan.by_class {
                state.page.by_class.record_unsent(waited, size);
            }
            left -= size;
        }
    }

    /// Of what is due now only the newest is still to be sent.
    #[cold]
    fn skip(&self, waits: Waits) {
        let now = waits.free_at;
        let (start, t0, end) = (self.control.start(), self.control.t0(), self.control.end());
        if now < start || now >= end {
            return;
        }
        let state = &mut *self.state.borrow_mut();
        let warming = now < t0;
        let (stripe, from, most) = if warming {
            (&mut state.warmup, start, u64::MAX)
        } else {
            (&mut state.measured, t0, self.share().unwrap_or(u64::MAX))
        };
        let Some(schedule) = &mut stripe.schedule else { return };
        let elapsed = Nanos(now.0 - from.0);
        let due = schedule.due_before(Nanos(elapsed.0 + 1)).min(most);
        let skipped = due.saturating_sub(stripe.taken + 1);
        stripe.taken += skipped;
        if warming {
            schedule.skip(skipped);
        } else {
            self.record_unsent(state, elapsed, skipped, waits, SKIPPED_GROUPS);
        }
    }

    /// Turns pages until the one that holds `now`.
    #[inline]
    fn turn_to(&self, state: &mut State, now: Nanos) {
        let t0 = self.control.t0();
        if now < t0 || t0 == NEVER {
            return;
        }
        loop {
            let end = self.control.end();
            let id = state.page.id;
            let boundary =
                if id.drain { Nanos(end.0.saturating_add(id.until().0)) } else { Nanos(t0.0 + id.until().0).min(end) };
            if now < boundary {
                return;
            }
            self.turn_one(state, boundary, boundary == end && !id.drain);
        }
    }

    #[cold]
    fn turn_one(&self, state: &mut State, boundary: Nanos, into_drain: bool) {
        if !state.page.id.drain {
            let elapsed = Nanos(boundary.0.saturating_sub(self.control.t0().0));
            let intended = self.intended_before(&mut state.measured, elapsed);
            state.page.counts.intended = intended - state.intended_on_pages;
            state.intended_on_pages = intended;
        }
        let id = state.page.id;
        let next = if into_drain { PageId { drain: true, number: 0 } } else { id.next() };
        (self.turn_page)(&mut state.page);
        state.page.id = next;
    }

    fn ticket(&self, k: u64, intended: Nanos, warmup: bool) -> Ticket {
        let walk = if warmup { &self.warmup_walk } else { &self.walk };
        let line = if self.plan.urls.len() == 1 { 0 } else { walk.line(&self.plan.urls, k) };
        let template = self.plan.urls.template(line);
        let large = |body: &[u8]| body.len() > SMALL_BODY_BYTES;
        Ticket {
            line,
            origin: template.origin,
            head_request: template.method == "HEAD",
            idempotent: template.idempotent,
            intended,
            warmup,
            large_body: self.large_bodies && self.plan.body_of(line).is_some_and(large),
        }
    }
}

/// The bytes of one line's request, its body included where it is small.
fn render_line(plan: &Plan, line: u64, form: &Form, out: &mut Vec<u8>) {
    let own_body = plan.urls.body(line).map(<[u8]>::len);
    encode::render_as(form, out, plan.urls.template(line), plan.urls.target(line), own_body);
    if let Some(body) = plan.body_of(line).filter(|body| body.len() <= SMALL_BODY_BYTES) {
        out.extend_from_slice(body);
    }
}

impl Source for Load {
    fn next(&self, now: Nanos) -> Next {
        let (t0, end) = (self.control.t0(), self.control.end());
        let state = &mut *self.state.borrow_mut();
        if now >= end {
            return Next::End;
        }
        let start = self.control.start();
        if now < start {
            return Next::WaitUntil(start);
        }
        let warming = now < t0;
        let (stripe, from, until) =
            if warming { (&mut state.warmup, start, t0) } else { (&mut state.measured, t0, end) };
        if !warming && self.share().is_some_and(|share| stripe.taken >= share) {
            return Next::End;
        }
        let at = stripe.next_at(from, now);
        if at > now {
            return Next::WaitUntil(at.min(until));
        }
        let k = stripe.take();
        if !warming {
            state.tally.flow.enter(at);
        }
        Next::Ticket(self.ticket(k, at, warming))
    }

    fn due(&self, now: Nanos) -> Due {
        let (start, t0, end) = (self.control.start(), self.control.t0(), self.control.end());
        let everyone = Due { tickets: u64::MAX, next: NEVER };
        if now < start {
            return Due { tickets: 0, next: start };
        }
        if now >= end {
            return everyone;
        }
        let state = &mut *self.state.borrow_mut();
        let (stripe, from, until) =
            if now < t0 { (&mut state.warmup, start, t0) } else { (&mut state.measured, t0, end) };
        if now >= t0 && self.share().is_some_and(|share| stripe.taken >= share) {
            return everyone;
        }
        let Some(schedule) = &mut stripe.schedule else { return everyone };
        // A ticket is due at its own instant, hence before the next nanosecond.
        let due = schedule.due_before(Nanos(now.0 - from.0 + 1));
        let next = Nanos(from.0.saturating_add(schedule.next_after(due).0)).min(until);
        Due { tickets: due.saturating_sub(stripe.taken), next }
    }

    #[inline]
    fn nobody_was_free(&self, waits: Waits) {
        if self.skips {
            self.skip(waits);
        }
    }

    fn give_up_at(&self) -> Nanos {
        let end = self.control.end();
        if end <= self.control.t0() {
            // Ended before the window: nothing that is under way is measured. NEVER while nothing has ended.
            return end;
        }
        let state = self.state.borrow();
        let all_taken_in_time = clock::now() < end || self.share().is_some_and(|share| state.measured.taken >= share);
        if end == NEVER || (all_taken_in_time && !self.control.interrupted()) {
            return NEVER;
        }
        Nanos(end.0.saturating_add(self.plan.drain.0))
    }

    fn render(&self, ticket: &Ticket, form: u32, request: &mut Rc<Vec<u8>>) {
        match self.only_request.get(form as usize) {
            Some(only) => *request = Rc::clone(only),
            None => render_line(&self.plan, ticket.line, self.plan.proxies.form(form), Rc::make_mut(request)),
        }
    }

    fn large_body(&self, ticket: &Ticket) -> Bytes {
        self.plan.shared_body_of(ticket.line).expect("a ticket says so only where there is one")
    }
}

impl Work for Load {
    fn origin_of(&self, k: u64) -> Option<u32> {
        Some(self.plan.urls.template(self.walk.line(&self.plan.urls, k)).origin)
    }

    fn finish(&self, abandoned: bool, waits: Waits) -> Finished {
        let (t0, control_end) = (self.control.t0(), self.control.end());
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let exhausted = self.share().is_some_and(|share| state.measured.taken >= share);
        let end = if exhausted { control_end.min(Nanos(t0.0.saturating_add(state.last_done.0))) } else { control_end };
        let due = self.intended_before(&mut state.measured, Nanos(end.0.saturating_sub(t0.0)));
        let unsent = due.saturating_sub(state.measured.taken);
        self.record_unsent(state, Nanos(end.0.saturating_sub(t0.0)), unsent, waits, UNSENT_GROUPS);
        state.tally.counts.intended = state.measured.taken + unsent;
        if abandoned {
            state.tally.flow.give_up();
            let counts = &state.tally.counts;
            let ended = counts.ok + counts.http_error + counts.failed + counts.unsent + counts.in_flight_at_end;
            let never = Stamps { intended: end, ready: end, done: end, ..Stamps::default() };
            state.tally.untagged = counts.intended - ended;
            for _ in ended..counts.intended {
                state.tally.record(Outcome::InFlightAtEnd, &never);
                if self.plan.by_class {
                    state.page.by_class.record(Outcome::InFlightAtEnd, &never);
                }
            }
        }
        self.turn_to(state, clock::now());
        state.page.counts.intended += state.tally.counts.intended - state.intended_on_pages;
        (self.turn_page)(&mut state.page);
        Finished { tally: std::mem::take(&mut state.tally), last_done: state.last_done, exhausted }
    }
}
