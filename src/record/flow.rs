//! Little's law on our own counters: what was in the system, summed over time, is what the requests spent in it.
//!
//! The left side is taken where requests enter and leave, the right side where they are recorded. A request that is lost on
//! the way, or recorded twice or with other instants, makes them differ.

use crate::units::Nanos;

/// Both sides of the law; exact, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Instants of leaving less those of entering: the integral of the number in the system, once all have left. Wraps on
    /// the way there.
    area: u64,
    /// Response times as recorded.
    spent: u64,
    /// A worker died with requests under way: nothing can be told.
    void: bool,
}

impl Flow {
    /// A request is taken up, intended at `at`.
    #[inline]
    pub fn enter(&mut self, at: Nanos) {
        self.area = self.area.wrapping_sub(at.0);
    }

    /// It has come to its end.
    #[inline]
    pub fn leave(&mut self, at: Nanos) {
        self.area = self.area.wrapping_add(at.0);
    }

    /// It was recorded with this time from its intended start to its end.
    #[inline]
    pub fn spend(&mut self, response: Nanos) {
        self.spent = self.spent.wrapping_add(response.0);
    }

    /// Requests are given up without an end.
    pub fn give_up(&mut self) {
        self.void = true;
    }

    /// Adds another shard's.
    pub fn add(&mut self, other: Self) {
        self.area = self.area.wrapping_add(other.area);
        self.spent = self.spent.wrapping_add(other.spent);
        self.void |= other.void;
    }

    /// By how much the sides differ, as a share of what was spent; `None` where nothing can be told.
    pub fn difference(&self) -> Option<f64> {
        let difference = self.area.wrapping_sub(self.spent).cast_signed().unsigned_abs();
        (!self.void).then(|| difference as f64 / self.spent.max(1) as f64)
    }

    /// How many requests were in the system on the average of `window`.
    pub fn mean_in_system(&self, window: Nanos) -> Option<f64> {
        (!self.void && window > Nanos::ZERO).then(|| self.spent as f64 / window.0 as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_is_lost_or_shifted_shows() {
        let mut flow = Flow::default();
        for number in 0..1_000u64 {
            flow.enter(Nanos(number * 1_000_000));
        }
        for number in 0..1_000u64 {
            flow.leave(Nanos(number * 1_000_000 + 5_000_000));
            flow.spend(Nanos(5_000_000));
        }
        assert_eq!(flow.difference(), Some(0.0));
        assert_eq!(flow.mean_in_system(Nanos::from_secs(1)), Some(5.0));
        let (mut lost, mut shifted) = (flow, flow);
        lost.enter(Nanos(1));
        assert!(lost.difference() > Some(0.0));
        shifted.spend(Nanos(10_000));
        assert_eq!(shifted.difference(), Some(10_000.0 / 5_000_010_000.0));
        shifted.give_up();
        assert_eq!(shifted.difference(), None);
    }
}
