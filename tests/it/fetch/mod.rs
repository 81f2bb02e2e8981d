//! Retrieval: lines in, records out, each line once.

mod answers;
mod continuation;
mod expect;
mod hosts;
mod httpbin;
mod interrupted;
mod journal;
mod lines;
mod observation;
mod pace;
mod plan;
mod policies;
mod servers;

use std::collections::HashMap;

use serde_json::Value;

use crate::support::program::Finished;
use crate::support::{Program, ringload};

/// `ringload fetch` with these arguments, to its end; it asks for no robots.txt.
pub(crate) fn fetch<S: AsRef<str>>(args: &[S]) -> Finished {
    ringload(&with_fetch(args))
}

/// The same, under way.
fn start<S: AsRef<str>>(args: &[S]) -> Program {
    Program::start(&with_fetch(args))
}

fn with_fetch<S: AsRef<str>>(args: &[S]) -> Vec<&str> {
    ["fetch", "-q", "--no-robots"].into_iter().chain(args.iter().map(AsRef::as_ref)).collect()
}

/// Records by their line; no line has two.
#[track_caller]
fn records(text: &str) -> HashMap<u64, Value> {
    let mut all = HashMap::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).expect(line);
        let number = record["line"].as_u64().expect("a number");
        assert!(all.insert(number, record).is_none(), "line {number} is there twice");
    }
    all
}

/// The one record of a run.
#[track_caller]
fn only(finished: &Finished) -> Value {
    let mut all = records(&finished.stdout);
    assert_eq!(all.len(), 1, "{}{}", finished.stdout, finished.stderr);
    all.remove(&1).expect("the first line's")
}
