//! No storms: after a failure there is a rest, twice as long each time.

use crate::units::Nanos;

/// The first rest; doubles up to [`REST_MAX`].
const REST_MIN: Nanos = Nanos::from_millis(10);
const REST_MAX: Nanos = Nanos::from_secs(1);

/// The rests of whatever could not be had.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rest {
    /// Of the current one, or the last; zero while all is well.
    pub(crate) length: Nanos,
    /// The end of it.
    pub(crate) until: Nanos,
}

impl Rest {
    /// An attempt from `started` to `ended` failed; the attempts of one period count as one.
    pub(crate) fn fail(&mut self, started: Nanos, ended: Nanos) {
        if started >= self.until {
            self.length = Nanos((self.length.0 * 2).clamp(REST_MIN.0, REST_MAX.0));
            self.until = Nanos(ended.0 + self.length.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_up_to_a_second_and_attempts_at_one_time_count_once() {
        let mut rest = Rest::default();
        let mut lengths = Vec::new();
        for _ in 0..9 {
            let started = rest.until;
            rest.fail(started, started);
            rest.fail(started, Nanos(started.0 + 1));
            lengths.push((rest.until.0 - started.0) / 1_000_000);
        }
        assert_eq!(lengths, [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    }
}
