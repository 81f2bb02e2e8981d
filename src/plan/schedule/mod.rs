//! The one schedule, striped: request number → intended start, as exact arithmetic with no clock in sight.
//!
//! Shard i of n takes the numbers i, i+n, i+2n, …, so that any number of cores gives the same global timeline. There is
//! no queue of due requests: the backlog is what is due less what was taken.

use std::sync::Arc;

pub use poisson::Poisson;
pub use stages::{Stage, Staged, Stages, fuzz_stages};
pub use trace::{Speed, Trace, Traced};
pub use uniform::Uniform;

use crate::units::{Nanos, Rate};

mod poisson;
mod ramp;
mod stages;
mod trace;
mod uniform;

/// How arrivals of an open load are spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// Evenly: request j starts when the cumulative rate is j.
    Uniform,
    /// Independently: exponential gaps, one seeded stream a shard at rate / n.
    Poisson,
    /// As recorded: each line of the URL set at its own time.
    Trace,
}

impl Arrivals {
    /// `uniform`, `poisson` or `trace`, as options and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Poisson => "poisson",
            Self::Trace => "trace",
        }
    }
}

/// How the rate of an open load goes over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One rate throughout.
    Constant(Rate),
    /// A ramp, or stages.
    Stages(Arc<Stages>),
    /// As recorded.
    Trace(Arc<Trace>),
}

impl Shape {
    /// `constant`, `ramp`, `stages` or `trace`, as reports say it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Stages(stages) => match stages.list() {
                [only] if only.from != only.to => "ramp",
                _ => "stages",
            },
            Self::Trace(_) => "trace",
        }
    }

    /// The load before the measured window: at the rate with which the window begins, throughout.
    #[must_use]
    pub fn at_start(&self) -> Self {
        match self {
            Self::Stages(stages) => stages.first().map_or_else(|| self.clone(), Self::Constant),
            Self::Constant(_) | Self::Trace(_) => self.clone(),
        }
    }

    /// Requests a second in total where they are most, for estimates; of a trace, its mean.
    pub fn most_per_s(&self) -> f64 {
        match self {
            Self::Constant(rate) => rate.per_s(),
            Self::Stages(stages) => stages.peak().map_or(0.0, Rate::per_s),
            Self::Trace(trace) => trace.starts().len() as f64 / trace.last().as_secs_f64().max(1.0),
        }
    }
}

/// The part of an open schedule that one shard takes, in offsets from the start of the load.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// Evenly spaced at one rate.
    Uniform(Uniform),
    /// Evenly spaced at a rate that changes.
    Staged(Staged),
    /// Exponential gaps, at any rate.
    Poisson(Box<Poisson>),
    /// At recorded times.
    Traced(Traced),
}

impl Schedule {
    /// The stripe of shard `index` of `count` of a load of this shape.
    pub fn new(shape: &Shape, arrivals: Arrivals, seed: u64, index: u64, count: u64) -> Self {
        assert!(index < count);
        let poisson = arrivals == Arrivals::Poisson;
        match shape {
            Shape::Constant(rate) if poisson => Self::Poisson(Box::new(Poisson::new(*rate, seed, index, count))),
            Shape::Constant(rate) => Self::Uniform(Uniform::new(*rate, index, count)),
            Shape::Stages(stages) if poisson => {
                Self::Poisson(Box::new(Poisson::staged(Arc::clone(stages), seed, index, count)))
            }
            Shape::Stages(stages) => Self::Staged(Staged::new(Arc::clone(stages), index, count)),
            Shape::Trace(trace) => Self::Traced(Traced::new(Arc::clone(trace), index, count)),
        }
    }

    /// Intended start of the next ticket that nobody took; an instant that never comes, past the last.
    pub fn peek(&self) -> Nanos {
        match self {
            Self::Uniform(uniform) => uniform.intended(uniform.taken),
            Self::Staged(staged) => staged.intended(staged.taken),
            Self::Poisson(poisson) => poisson.next.at(),
            Self::Traced(traced) => traced.intended(traced.taken),
        }
    }

    /// Takes the next ticket.
    pub fn take(&mut self) {
        self.skip(1);
    }

    /// Takes the next `n` tickets, unseen; at once where starts can be computed.
    pub fn skip(&mut self, n: u64) {
        match self {
            Self::Uniform(uniform) => uniform.taken += n,
            Self::Staged(staged) => staged.taken += n,
            Self::Poisson(poisson) => (0..n).for_each(|_| poisson.take()),
            Self::Traced(traced) => traced.taken += n,
        }
    }

    /// How many were taken.
    pub fn taken(&self) -> u64 {
        match self {
            Self::Uniform(uniform) => uniform.taken,
            Self::Staged(staged) => staged.taken,
            Self::Poisson(poisson) => poisson.taken,
            Self::Traced(traced) => traced.taken,
        }
    }

    /// How many tickets of this stripe are intended before `elapsed`; calls must not go back in time.
    pub fn due_before(&mut self, elapsed: Nanos) -> u64 {
        match self {
            Self::Uniform(uniform) => uniform.due_before(elapsed),
            Self::Staged(staged) => staged.due_before(elapsed),
            Self::Poisson(poisson) => poisson.due_before(elapsed),
            Self::Traced(traced) => traced.due_before(elapsed),
        }
    }

    /// Intended start of the ticket after the first `due`, which must be what [`Schedule::due_before`] said last.
    pub fn next_after(&self, due: u64) -> Nanos {
        match self {
            Self::Uniform(uniform) => uniform.intended(due),
            Self::Staged(staged) => staged.intended(due),
            Self::Poisson(poisson) => {
                assert_eq!(due, poisson.due, "a Poisson stream knows one arrival ahead only");
                poisson.ahead.at()
            }
            Self::Traced(traced) => traced.intended(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipping_is_taking_many() {
        let stages = Shape::Stages(Arc::new(Stages::parse("700/m@1h,0:9@1h").expect("stages")));
        let constant = Shape::Constant(Rate::parse("700/m").expect("a rate"));
        let times = (0..9_000).map(|ms| Nanos::from_millis(ms / 3)).collect();
        let trace = Shape::Trace(Arc::new(Trace::new(times, Speed::ONE).expect("a trace")));
        let both = [Arrivals::Uniform, Arrivals::Poisson];
        let all = both.into_iter().flat_map(|arrivals| [(&constant, arrivals), (&stages, arrivals)]);
        for (shape, arrivals) in all.chain([(&trace, Arrivals::Trace)]) {
            let mut taken = Schedule::new(shape, arrivals, 7, 1, 3);
            let mut skipped = taken.clone();
            (0..1000).for_each(|_| taken.take());
            skipped.skip(1000);
            assert_eq!((taken.peek(), taken.taken()), (skipped.peek(), skipped.taken()));
            assert!(taken.peek().0 < u64::MAX, "there is more");
        }
    }

    #[test]
    fn a_warm_up_has_the_first_rate_where_there_is_one() {
        let stages = |text: &str| Shape::Stages(Arc::new(Stages::parse(text).expect(text)));
        assert_eq!(stages("7:100@1s,5@1s").at_start(), Shape::Constant(Rate { num: 7, den: 1 }));
        assert_eq!(stages("0:100@1s").at_start(), stages("0:100@1s"));
    }
}
