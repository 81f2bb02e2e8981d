//! How the load goes over time, for the text report and for the JSON one.

use serde::Serialize;

use super::terminal::COLUMNS;
use crate::plan::schedule::{Speed, Stage};
use crate::plan::{Arrivals, CatchUp, Load, Shape};
use crate::units::Rate;

/// The load as the JSON report repeats it; null for what another kind of load has.
#[derive(Serialize)]
pub(super) struct LoadEcho {
    model: &'static str,
    shape: Option<&'static str>,
    /// Requests a second in total, where it is one throughout.
    rate: Option<f64>,
    stages: Option<Vec<StageEcho>>,
    /// How many times as fast as recorded.
    speed: Option<f64>,
    arrivals: Option<&'static str>,
    catch_up: Option<&'static str>,
}

/// Requests a second in total at the beginning and at the end; in between they change linearly.
#[derive(Serialize)]
struct StageEcho {
    from: f64,
    to: f64,
    duration_s: f64,
}

impl LoadEcho {
    /// What reports show of `load`.
    pub(super) fn new(load: &Load) -> Self {
        let (rate, arrivals) = match load {
            Load::Closed => (None, None),
            Load::Open { shape: Shape::Constant(rate), arrivals, .. } => (Some(rate.per_s()), Some(arrivals.name())),
            Load::Open { arrivals, .. } => (None, Some(arrivals.name())),
        };
        let stage = |stage: &Stage| StageEcho {
            from: per_s(stage.from),
            to: per_s(stage.to),
            duration_s: stage.duration.as_secs_f64(),
        };
        Self {
            model: load.name(),
            shape: load.shape().map(Shape::name),
            rate,
            stages: load.stages().map(|stages| stages.list().iter().map(stage).collect()),
            speed: load.trace().map(|trace| trace.speed.factor()),
            arrivals,
            catch_up: load.catch_up().map(CatchUp::name),
        }
    }
}

/// What kind of load it is, in a few words.
pub(super) fn load(load: &Load) -> String {
    let Load::Open { shape, arrivals, .. } = load else { return "closed load".to_owned() };
    let arrivals = match arrivals {
        Arrivals::Uniform => ", uniform arrivals",
        Arrivals::Poisson => ", Poisson arrivals",
        Arrivals::Trace => "",
    };
    let shape = match shape {
        Shape::Constant(rate) => format!("of {}", rate_text(Some(*rate))),
        Shape::Stages(stages) => match stages.list() {
            [only] if only.from != only.to => format!("ramp {} to {}", rate_text(only.from), rate_text(only.to)),
            [only] => format!("of {}", rate_text(only.from)),
            list => format!("in {} stages", list.len()),
        },
        Shape::Trace(trace) if trace.speed == Speed::ONE => "at recorded times".to_owned(),
        Shape::Trace(trace) => format!("at recorded times, {} as fast", trace.speed),
    };
    format!("open load {shape}{arrivals}")
}

/// The stages, as many as there is room for, and what is not sent late.
pub(super) fn details(load: &Load) -> Vec<String> {
    let mut lines = Vec::new();
    let list = load.stages().map_or(&[][..], |stages| stages.list());
    if list.len() > 1 {
        let mut line = String::new();
        for (index, stage) in list.iter().enumerate() {
            let (comma, left) = (if index == 0 { "  " } else { ", " }, list.len() - index);
            let text = format!("{comma}{}", stage_text(stage));
            if line.len() + text.len() + ", and 1000 more".len() > COLUMNS {
                line.push_str(&format!(", and {left} more"));
                break;
            }
            line.push_str(&text);
        }
        lines.push(line);
    }
    if load.catch_up() == Some(CatchUp::Skip) {
        lines.push("  what falls due while all connections are busy is skipped, but for the newest".to_owned());
    }
    lines
}

fn stage_text(stage: &Stage) -> String {
    let time = stage.duration;
    match (stage.from, stage.to) {
        (from, to) if from == to => format!("{} for {time}", rate_text(from)),
        (from, to) => format!("{} to {} in {time}", rate_text(from), rate_text(to)),
    }
}

/// A rate with at most two decimals, none where it is whole.
fn rate_text(rate: Option<Rate>) -> String {
    let value = per_s(rate);
    if value.fract() == 0.0 { format!("{value:.0}/s") } else { format!("{value:.2}/s") }
}

fn per_s(rate: Option<Rate>) -> f64 {
    rate.map_or(0.0, Rate::per_s)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::fixture::{Run, raw};
    use super::*;
    use crate::plan::raw::{Input, RawShape};
    use crate::plan::{Plan, RawPlan};

    fn plan(shape: RawShape) -> Plan {
        let trace = shape.arrivals == Some(Arrivals::Trace);
        let input = trace.then(|| Input::of_bytes("urls.txt", &b"0 http://a/\n2.5 http://a/"[..]));
        let urls = if trace { Vec::new() } else { raw().urls };
        Run::new(&RawPlan { shape, input, urls, ..raw() }).finish().0
    }

    fn check(shape: RawShape, expect: Expect) {
        let plan = plan(shape);
        let lines = details(&plan.load);
        assert!(lines.iter().all(|line| line.len() <= COLUMNS));
        let echo = serde_json::to_string(&LoadEcho::new(&plan.load)).expect("an echo");
        expect.assert_eq(&[&[load(&plan.load)][..], &lines, &[echo]].concat().join("\n"));
    }

    fn stages(text: &str) -> RawShape {
        RawShape { stages: Some(text.into()), ..RawShape::default() }
    }

    #[test]
    fn each_shape_is_told() {
        check(
            RawShape::default(),
            expect![[r#"
            closed load
            {"model":"closed","shape":null,"rate":null,"stages":null,"speed":null,"arrivals":null,"catch_up":null}"#]],
        );
        let ramp = RawShape { rate: Some("0:100/m".into()), arrivals: Some(Arrivals::Poisson), ..RawShape::default() };
        check(
            ramp,
            expect![[r#"
            open load ramp 0/s to 1.67/s, Poisson arrivals
            {"model":"open","shape":"ramp","rate":null,"stages":[{"from":0.0,"to":1.6666666666666667,"duration_s":2.0}],"speed":null,"arrivals":"poisson","catch_up":"all"}"#]],
        );
        let skip = RawShape { catch_up: Some(CatchUp::Skip), ..stages("100@500ms,100:1k@1s,0@500ms") };
        check(
            skip,
            expect![[r#"
            open load in 3 stages, uniform arrivals
              100/s for 500ms, 100/s to 1000/s in 1s, 0/s for 500ms
              what falls due while all connections are busy is skipped, but for the newest
            {"model":"open","shape":"stages","rate":null,"stages":[{"from":100.0,"to":100.0,"duration_s":0.5},{"from":100.0,"to":1000.0,"duration_s":1.0},{"from":0.0,"to":0.0,"duration_s":0.5}],"speed":null,"arrivals":"uniform","catch_up":"skip"}"#]],
        );
        check(
            stages("250@2s"),
            expect![[r#"
            open load of 250/s, uniform arrivals
            {"model":"open","shape":"stages","rate":null,"stages":[{"from":250.0,"to":250.0,"duration_s":2.0}],"speed":null,"arrivals":"uniform","catch_up":"all"}"#]],
        );
        let trace = Some(Arrivals::Trace);
        check(
            RawShape { arrivals: trace, speed: Some("2x".into()), ..RawShape::default() },
            expect![[r#"
            open load at recorded times, 2x as fast
            {"model":"open","shape":"trace","rate":null,"stages":null,"speed":2.0,"arrivals":"trace","catch_up":"all"}"#]],
        );
    }

    #[test]
    fn many_stages_are_told_as_far_as_there_is_room() {
        let lines = details(&plan(stages(&vec!["100:200@3ms"; 900].join(","))).load);
        expect!["  100/s to 200/s in 3ms, 100/s to 200/s in 3ms, and 898 more"].assert_eq(&lines.join("\n"));
    }
}
