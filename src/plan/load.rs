//! When requests start: closed, or open in one of its shapes; and what becomes of those that nobody could take in time.

use std::sync::Arc;

use super::error::PlanError;
use super::raw::RawShape;
use super::schedule::{Arrivals, Shape, Speed, Stages, Trace};
use crate::units::{Nanos, Rate};

/// One request a nanosecond: starts are no finer than the clock.
const RATE_MAX: u64 = 1_000_000_000;
/// Poisson arrivals are drawn one by one, so that their number costs time even where none is sent.
const POISSON_RATE_MAX: u64 = 10_000_000;

/// When requests start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Load {
    /// As fast as answers come, one request in flight a connection.
    Closed,
    /// At times that do not depend on answers.
    Open {
        /// How many a second in total, over all shards.
        shape: Shape,
        /// Their spacing; [`Arrivals::Trace`] with [`Shape::Trace`] and with no other.
        arrivals: Arrivals,
        /// What becomes of those that fell due while no slot could take them.
        catch_up: CatchUp,
    },
}

/// What becomes of requests that fell due while all slots were busy (`--catch-up`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// All are sent, as slots become free.
    #[default]
    All,
    /// The newest is sent, the others count as unsent.
    Skip,
}

impl CatchUp {
    /// `all` or `skip`, as options and reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Skip => "skip",
        }
    }
}

impl Load {
    /// The load that was asked for; `duration` is what `-d` says, `times` those of the lines of the URL set where there is
    /// a trace.
    ///
    /// # Errors
    /// An option without sense, by itself or beside the others.
    pub(super) fn new(raw: &RawShape, duration: Option<Nanos>, times: Vec<Nanos>) -> Result<Self, PlanError> {
        let arrivals = raw.arrivals.unwrap_or(Arrivals::Uniform);
        let shape = match (&raw.rate, &raw.stages) {
            _ if arrivals == Arrivals::Trace => Some(trace(raw, times)?),
            (Some(_), Some(_)) => {
                let problem = "says how fast to send, and -R does too; leave one of them out";
                return Err(PlanError::new("--stages", problem));
            }
            (Some(rate), None) => Some(of_rate(rate, duration)?),
            (None, Some(text)) => Some(of_stages(text, duration)?),
            (None, None) => None,
        };
        if raw.speed.is_some() && arrivals != Arrivals::Trace {
            return Err(PlanError::new("--speed", "is that of a trace; add --arrivals trace, or leave it out"));
        }
        match shape {
            None if raw.arrivals.is_some() => {
                Err(PlanError::new("--arrivals", "spaces an open load; add -R RATE or --stages, or leave it out"))
            }
            None if raw.catch_up.is_some() => {
                Err(PlanError::new("--catch-up", "is for an open load; add -R RATE or --stages, or leave it out"))
            }
            None => Ok(Self::Closed),
            Some(shape) => {
                let subject = raw.rate.as_ref().map_or_else(|| "--stages".to_owned(), |rate| format!("-R {rate}"));
                at_most(subject, &shape, arrivals)?;
                Ok(Self::Open { shape, arrivals, catch_up: raw.catch_up.unwrap_or_default() })
            }
        }
    }

    /// `closed` or `open`, as reports say it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
        }
    }

    /// How the rate of an open load goes over time.
    pub fn shape(&self) -> Option<&Shape> {
        match self {
            Self::Closed => None,
            Self::Open { shape, .. } => Some(shape),
        }
    }

    /// Its stages, where the rate changes by plan.
    pub fn stages(&self) -> Option<&Stages> {
        match self.shape() {
            Some(Shape::Stages(stages)) => Some(stages),
            _ => None,
        }
    }

    /// The recorded times that it keeps to.
    pub fn trace(&self) -> Option<&Trace> {
        match self.shape() {
            Some(Shape::Trace(trace)) => Some(trace),
            _ => None,
        }
    }

    /// What becomes of requests that nobody could take in time.
    pub fn catch_up(&self) -> Option<CatchUp> {
        match self {
            Self::Closed => None,
            Self::Open { catch_up, .. } => Some(*catch_up),
        }
    }
}

/// `-R`: one rate, or FROM:TO over the whole run.
fn of_rate(text: &str, duration: Option<Nanos>) -> Result<Shape, PlanError> {
    let bad = |problem: String| PlanError::new("-R", problem);
    let Some((from, to)) = text.split_once(':') else {
        return Rate::parse(text).map(Shape::Constant).map_err(bad);
    };
    let (from, to) = (Rate::parse_or_none(from).map_err(bad)?, Rate::parse_or_none(to).map_err(bad)?);
    let Some(duration) = duration else {
        return Err(bad("is a ramp over the whole run, whose length is not said; add -d TIME".to_owned()));
    };
    let ramp = Stages::new(&[(from, to, duration)]).map_err(|problem| PlanError::new(format!("-R {text}"), problem))?;
    Ok(Shape::Stages(Arc::new(ramp)))
}

fn of_stages(text: &str, duration: Option<Nanos>) -> Result<Shape, PlanError> {
    let stages = Stages::parse(text).map_err(|problem| PlanError::new("--stages", problem))?;
    if let Some(duration) = duration.filter(|duration| *duration > stages.duration()) {
        let problem =
            format!("is longer than the stages, {} in all; leave it out, or lengthen a stage", stages.duration());
        return Err(PlanError::new(format!("-d {duration}"), problem));
    }
    Ok(Shape::Stages(Arc::new(stages)))
}

fn trace(raw: &RawShape, times: Vec<Nanos>) -> Result<Shape, PlanError> {
    let more = [("-R", &raw.rate), ("--stages", &raw.stages)].into_iter().find(|(_, said)| said.is_some());
    if let Some((option, _)) = more {
        return Err(PlanError::new(option, "says when to send, and --arrivals trace does too; leave one of them out"));
    }
    let bad = |problem: String| PlanError::new("--speed", problem);
    let speed = raw.speed.as_deref().map_or(Ok(Speed::ONE), Speed::parse).map_err(bad)?;
    Ok(Shape::Trace(Arc::new(Trace::new(times, speed).map_err(bad)?)))
}

fn at_most(subject: String, shape: &Shape, arrivals: Arrivals) -> Result<(), PlanError> {
    let peak = match shape {
        Shape::Constant(rate) => Some(*rate),
        Shape::Stages(stages) => stages.peak(),
        Shape::Trace(_) => None,
    };
    let most = if arrivals == Arrivals::Poisson { POISSON_RATE_MAX } else { RATE_MAX };
    match peak {
        Some(rate) if u128::from(rate.num) > u128::from(rate.den) * u128::from(most) => {
            let problem = format!("is more than any machine sends; the limit is {most} a second");
            Err(PlanError::new(subject, problem))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Option<Nanos> = Some(Nanos::from_secs(60));

    fn raw(rate: &str, stages: &str) -> RawShape {
        let said = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        RawShape { rate: said(rate), stages: said(stages), ..RawShape::default() }
    }

    #[track_caller]
    fn refused(raw: &RawShape, duration: Option<Nanos>, subject: &str, part: &str) {
        let error = Load::new(raw, duration, Vec::new()).expect_err(part);
        assert!(error.subject == subject && error.problem.contains(part), "{error}");
    }

    #[test]
    fn a_ramp_lasts_as_long_as_the_run() {
        let load = Load::new(&raw("0:600/m", ""), MINUTE, Vec::new()).expect("a ramp");
        let stages = load.stages().expect("one stage");
        assert_eq!((stages.duration(), stages.requests()), (Nanos::from_secs(60), 300));
        assert_eq!((load.shape().map(Shape::name), load.catch_up()), (Some("ramp"), Some(CatchUp::All)));
        refused(&raw("1:2", ""), None, "-R", "add -d TIME");
        refused(&raw("0:0", ""), MINUTE, "-R 0:0", "sends nothing");
        refused(&raw("1:2:3", ""), MINUTE, "-R", "no rate");
        refused(&raw("1:", ""), MINUTE, "-R", "no rate");
        refused(&raw("1:2G", ""), MINUTE, "-R 1:2G", "the limit is 1000000000 a second");
    }

    #[test]
    fn stages_last_as_long_as_they_say_or_less() {
        for duration in [None, Some(Nanos::from_secs(1)), Some(Nanos::from_secs(30))] {
            assert!(Load::new(&raw("", "1@10s,1:2@20s"), duration, Vec::new()).is_ok());
        }
        refused(&raw("", "1@10s,1:2@20s"), MINUTE, "-d 60s", "longer than the stages, 30s in all");
        refused(&raw("5", "1@10s"), None, "--stages", "leave one of them out");
        refused(&raw("", "9G@1s"), None, "--stages", "the limit is 1000000000 a second");
        let poisson = RawShape { arrivals: Some(Arrivals::Poisson), ..raw("", "1@10s,11M:1@1s") };
        refused(&poisson, None, "--stages", "the limit is 10000000 a second");
    }

    #[test]
    fn options_of_an_open_load_are_refused_without_one() {
        refused(&RawShape { catch_up: Some(CatchUp::All), ..RawShape::default() }, None, "--catch-up", "add -R RATE");
        refused(&RawShape { speed: Some("2x".into()), ..raw("5", "") }, None, "--speed", "add --arrivals trace");
        refused(&RawShape { arrivals: Some(Arrivals::Uniform), ..RawShape::default() }, None, "--arrivals", "--stages");
    }

    #[test]
    fn a_trace_takes_no_rate_beside_it() {
        let trace = |rate: &str, stages: &str| RawShape { arrivals: Some(Arrivals::Trace), ..raw(rate, stages) };
        refused(&trace("5", ""), None, "-R", "leave one of them out");
        refused(&trace("", "1@1s"), None, "--stages", "leave one of them out");
        refused(&RawShape { speed: Some("0x".into()), ..trace("", "") }, None, "--speed", "is no speed");
        let times = vec![Nanos(5), Nanos(7)];
        let load = Load::new(&RawShape { speed: Some("0.5x".into()), ..trace("", "") }, None, times).expect("a trace");
        assert_eq!(load.trace().map(Trace::last), Some(Nanos(4)));
    }
}
