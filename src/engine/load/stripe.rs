//! The tickets of one phase of a shard's load, the warm-up or the measured window, taken in order.

use crate::plan::{Load, Schedule, Shape, Shard};
use crate::units::Nanos;

/// The tickets of one phase.
pub(super) struct Stripe {
    /// `None` for a closed load.
    pub(super) schedule: Option<Schedule>,
    /// How many were taken, or skipped.
    pub(super) taken: u64,
}

impl Stripe {
    /// The tickets of `shard` in a phase of this shape; `load` says how they are spaced.
    pub(super) fn new(load: &Load, shape: Option<&Shape>, seed: u64, shard: Shard) -> Self {
        let schedule = match (load, shape) {
            (Load::Open { arrivals, .. }, Some(shape)) => {
                Some(Schedule::new(shape, *arrivals, seed, shard.index, shard.count))
            }
            _ => None,
        };
        Self { schedule, taken: 0 }
    }

    /// When the next ticket of the phase that began at `from` falls due; `now` for a closed load.
    pub(super) fn next_at(&self, from: Nanos, now: Nanos) -> Nanos {
        self.schedule.as_ref().map_or(now, |schedule| Nanos(from.0.saturating_add(schedule.peek().0)))
    }

    pub(super) fn take(&mut self) -> u64 {
        if let Some(schedule) = &mut self.schedule {
            schedule.take();
        }
        self.taken += 1;
        self.taken - 1
    }
}
