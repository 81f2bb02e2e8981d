//! Lines that had been begun when the run was ended before them: by a signal, mostly.
//!
//! A file of records is gone on with later, so that there such a line has no record and is fetched then. Whoever reads the
//! records as they come is told.

use super::job::{Error, Job};
use super::line::Kind;
use super::record::Times;
use super::work::{Retrieval, State};
use crate::units::Nanos;

impl Retrieval {
    /// A line is left behind.
    pub(super) fn leave(&self, state: &mut State, job: &Job, times: Times) {
        if self.shared.is_journal || self.shared.is_abandoned() {
            return state.leave_unfinished();
        }
        let error = Error::new(Kind::Interrupted, "the run was ended before the line was");
        self.conclude(state, job, None, Some(&error), times);
    }

    /// So are those that wait for their next request.
    pub(super) fn leave_waiting(&self, state: &mut State, now: Nanos) {
        let left: Vec<_> = state.queues.give_up().collect();
        for job in left {
            let response = Some(Nanos(now.0.saturating_sub(job.tried.admitted.0)));
            self.leave(state, &job, Times { response, ..Times::default() });
        }
    }
}
