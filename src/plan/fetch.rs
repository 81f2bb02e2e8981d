//! What a retrieval *is*: the options of `fetch` checked, and the lines that it is given one by one.

mod asked;
mod observation;

use std::path::PathBuf;

pub use asked::{Asked, BYTES_MAX, parse_line};
pub use observation::{Observation, RawObservation};

use super::Plan;
use super::error::PlanError;
use super::expect::Expect;
use super::raw::{RawExpectedBody, RawPlan};
use super::request::Common;
use super::shard::Machine;
use super::validate::{assemble, count, duration, method};
use crate::units::{Nanos, Rate, parse_count};

/// Connections without `-c`.
const CONNECTIONS: &str = "1024";
/// Limits on single requests without options: a large body may take its time as long as it moves.
const TIMEOUT: &str = "5m";
const READ_TIMEOUT: &str = "30s";
/// How long answers are awaited after a signal.
const DRAIN: &str = "30s";
/// Connections to one host without `--connections-per-host`, as browsers have them.
const CONNECTIONS_PER_HOST: u32 = 6;
/// Lines read and not yet written, so that memory is bounded however long the input is.
const WINDOW: u64 = 65_536;
/// The same where lines are written in order: what is done waits for what came before.
const WINDOW_ORDERED: u64 = 8_192;
/// The largest body without `--max-body`.
const MAX_BODY: u64 = 1 << 30;
/// The largest body in a record: it is held as a whole.
const MAX_BODY_IN_JSON: u64 = 16 << 20;
/// Redirects and retries without options, and the statuses that are tried again.
const REDIRECTS: u32 = 10;
const RETRIES: u32 = 3;
const RETRY_ON: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];
const BACKOFF: Nanos = Nanos::from_millis(500);
const BACKOFF_MAX: Nanos = Nanos::from_secs(60);
/// A host that asks to be left alone is so for no longer.
const RETRY_AFTER_MAX: Nanos = Nanos::from_secs(300);
/// More tries of one line, or more hops of it, are no use.
const TIMES_MAX: u64 = 1_000;

/// What was said of a retrieval beside what it has in common with load.
#[derive(Clone, Debug, Default)]
pub struct RawFetch {
    /// Connections, headers, time limits, TLS, proxies, …; its `urls` come before the lines of `input`.
    pub base: RawPlan,
    /// Where records and bodies go.
    pub output: RawOutput,
    /// What is tried again.
    pub retry: RawRetry,
    /// How hosts are spared.
    pub pace: RawPace,
    /// `--max-redirects`.
    pub max_redirects: Option<String>,
    /// `--allow-downgrade`.
    pub allow_downgrade: bool,
    /// What policies read themselves.
    pub said: Said,
    /// How it is watched.
    pub observation: RawObservation,
}

/// What was said that the policies of a retrieval read themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// `--fields`.
    pub fields: Option<String>,
    /// `--save-as`.
    pub save_as: Option<String>,
    /// `--extract`.
    pub extract: Option<String>,
    /// `--json-check`, in order.
    pub json_checks: Vec<String>,
    /// `--no-robots`.
    pub no_robots: bool,
    /// `--unique`.
    pub unique: bool,
    /// `--cookie` or `--cookie-jar`.
    pub keeps_cookies: bool,
}

/// What was said of records and bodies.
#[derive(Clone, Debug, Default)]
pub struct RawOutput {
    /// `-o`.
    pub records: Option<PathBuf>,
    /// `--ordered`.
    pub ordered: bool,
    /// `--resume`.
    pub resume: bool,
    /// `--overwrite`.
    pub overwrite: bool,
    /// `--fail-on-error`.
    pub fail_on_error: bool,
    /// `--save`.
    pub save: Option<PathBuf>,
    /// `--max-body`.
    pub max_body: Option<String>,
    /// `--body-in-json`.
    pub body_in_json: Option<BodyText>,
    /// `--sha256`.
    pub sha256: bool,
}

/// What was said of retries.
#[derive(Clone, Debug, Default)]
pub struct RawRetry {
    /// `--retries`.
    pub retries: Option<String>,
    /// `--backoff`.
    pub backoff: Option<String>,
    /// `--backoff-max`.
    pub backoff_max: Option<String>,
    /// `--retry-on`.
    pub on: Option<String>,
    /// `--retry-all-methods`.
    pub all_methods: bool,
    /// `--retry-after-max`.
    pub after_max: Option<String>,
}

/// What was said of how hosts are spared.
#[derive(Clone, Debug, Default)]
pub struct RawPace {
    /// `--connections-per-host`.
    pub connections_per_host: Option<String>,
    /// `--rate`.
    pub rate: Option<String>,
    /// `--rate-per-host`.
    pub rate_per_host: Option<String>,
}

/// How a body stands in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyText {
    /// As UTF-8; what is none is replaced.
    Text,
    /// As it is.
    Base64,
}

/// The options of a retrieval, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetch {
    /// Of lines that name none.
    pub method: String,
    /// Lines that may have been read and not yet been written.
    pub window: u64,
    /// Where records and bodies go.
    pub output: Output,
    /// What is tried again.
    pub retry: Retry,
    /// How hosts are spared.
    pub pace: Pace,
    /// Redirects of one line; with 0 none is followed.
    pub max_redirects: u32,
    /// From https to http too.
    pub allow_downgrade: bool,
    /// What policies read themselves.
    pub said: Said,
    /// How it is watched.
    pub observation: Observation,
}

/// Where records and bodies go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// `None` is standard output.
    pub records: Option<PathBuf>,
    /// They are written in the order of the input.
    pub ordered: bool,
    /// What is in `records` already is not fetched again.
    pub resume: bool,
    /// What is in `records` already is thrown away.
    pub overwrite: bool,
    /// The answer is no where a line did not end well.
    pub fail_on_error: bool,
    /// The folder of bodies.
    pub save: Option<PathBuf>,
    /// A larger body, after decoding, is an error.
    pub max_body: u64,
    /// Bodies stand in their records.
    pub body_in_json: Option<BodyText>,
    /// Records have the digest of their bodies.
    pub sha256: bool,
}

/// What is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After the first attempt at most so many more.
    pub retries: u32,
    /// Bound of the first wait.
    pub backoff: Nanos,
    /// Bound of every wait, at least `backoff`.
    pub backoff_max: Nanos,
    /// Answers with one of these are tried again.
    pub on: Vec<u16>,
    /// Methods that are not idempotent are tried again too.
    pub all_methods: bool,
    /// A host that asks to be left alone is so for no longer.
    pub after_max: Nanos,
}

/// How hosts are spared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// The most connections to one host, over all cores; 1 until its first answer.
    pub connections_per_host: u32,
    /// Requests in all.
    pub rate: Option<Rate>,
    /// Requests to one host.
    pub rate_per_host: Option<Rate>,
}

impl Fetch {
    /// What is asked for of each line, as text and without secrets: runs that differ in it are not the same.
    pub fn question(&self, common: &Common, expect: &Expect) -> String {
        let Output { save, max_body, body_in_json, sha256, .. } = &self.output;
        let kept = format!("{save:?} {max_body} {body_in_json:?} {sha256}");
        let redirects = (self.max_redirects, self.allow_downgrade);
        let (headers, expected) = (common.shown(), expect.shown());
        format!("{}\n{redirects:?}\n{kept}\n{:?}\n{headers}{expected}", self.method, self.said)
    }
}

/// Turns what the user said into a plan for this machine.
///
/// # Errors
/// The first option that makes no sense, with the remedy.
pub fn validate(raw: &RawFetch, machine: &Machine) -> Result<Plan, PlanError> {
    let mut base = raw.base.clone();
    base.connections.get_or_insert_with(|| CONNECTIONS.to_owned());
    base.timeout.get_or_insert_with(|| TIMEOUT.to_owned());
    base.read_timeout.get_or_insert_with(|| READ_TIMEOUT.to_owned());
    base.drain.get_or_insert_with(|| DRAIN.to_owned());
    if base.urls.is_empty() && base.input.is_none() {
        return Err(PlanError::new("URL", "nothing to fetch; give a URL, -i FILE, or -i - for standard input"));
    }
    let looks_for = base.expect.body.iter().any(|body| matches!(body, RawExpectedBody::Pattern(_)));
    let output = output(&raw.output, looks_for || raw.said.extract.is_some() || !raw.said.json_checks.is_empty())?;
    if raw.said.save_as.is_some() && output.save.is_none() {
        return Err(PlanError::new("--save-as", "says how saved bodies are named; save them with --save DIR"));
    }
    // A body that is too large is so by itself, whatever else is expected of it.
    base.expect.max_body = looks_for.then(|| output.max_body.to_string());
    let fetch = Fetch {
        method: method(&base)?,
        window: if raw.output.ordered { WINDOW_ORDERED } else { WINDOW },
        output,
        retry: retry(&raw.retry)?,
        pace: pace(&raw.pace)?,
        max_redirects: times(&raw.max_redirects, "--max-redirects")?.unwrap_or(REDIRECTS),
        allow_downgrade: raw.allow_downgrade,
        said: raw.said.clone(),
        observation: observation::observation(&raw.observation)?,
    };
    assemble(&base, machine, Some(Box::new(fetch)))
}

/// `reads`: bodies are looked into.
fn output(raw: &RawOutput, reads: bool) -> Result<Output, PlanError> {
    for (option, given) in [("--resume", raw.resume), ("--overwrite", raw.overwrite)] {
        if given && raw.records.is_none() {
            return Err(PlanError::new(option, "is about a file of records; name it with -o FILE"));
        }
    }
    if raw.resume && raw.overwrite {
        return Err(PlanError::new("--resume", "keeps what is there, and --overwrite does not; leave one of them out"));
    }
    let in_json = raw.body_in_json.is_some() || reads;
    let max_body = match count(&raw.max_body, "--max-body")? {
        Some(bytes) if in_json && bytes > MAX_BODY_IN_JSON => {
            let problem = format!(
                "is too large for bodies that are held whole; with --body-in-json, --extract, --json-check and a REGEX of --expect-body the limit is {MAX_BODY_IN_JSON}"
            );
            return Err(PlanError::new(format!("--max-body {bytes}"), problem));
        }
        Some(bytes) => bytes,
        None if in_json => MAX_BODY_IN_JSON,
        None => MAX_BODY,
    };
    Ok(Output {
        records: raw.records.clone(),
        ordered: raw.ordered,
        resume: raw.resume,
        overwrite: raw.overwrite,
        fail_on_error: raw.fail_on_error,
        save: raw.save.clone(),
        max_body,
        body_in_json: raw.body_in_json,
        sha256: raw.sha256 || raw.save.is_some(),
    })
}

fn retry(raw: &RawRetry) -> Result<Retry, PlanError> {
    let backoff = duration(&raw.backoff, "--backoff")?.unwrap_or(BACKOFF);
    let backoff_max = duration(&raw.backoff_max, "--backoff-max")?;
    if let Some(most) = backoff_max.filter(|&most| most < backoff) {
        let problem = format!("is less than the first wait (--backoff {backoff}); raise it, or lower that");
        return Err(PlanError::new(format!("--backoff-max {most}"), problem));
    }
    let on = raw.on.as_deref().map(statuses).transpose()?;
    Ok(Retry {
        retries: times(&raw.retries, "--retries")?.unwrap_or(RETRIES),
        backoff,
        backoff_max: backoff_max.unwrap_or_else(|| BACKOFF_MAX.max(backoff)),
        on: on.unwrap_or_else(|| RETRY_ON.to_vec()),
        all_methods: raw.all_methods,
        after_max: duration(&raw.after_max, "--retry-after-max")?.unwrap_or(RETRY_AFTER_MAX),
    })
}

fn pace(raw: &RawPace) -> Result<Pace, PlanError> {
    let per_host = count(&raw.connections_per_host, "--connections-per-host")?;
    let rate = |text: &Option<String>, option: &str| {
        text.as_deref().map(Rate::parse).transpose().map_err(|problem| PlanError::new(option, problem))
    };
    Ok(Pace {
        connections_per_host: per_host.map_or(CONNECTIONS_PER_HOST, |n| n.min(u64::from(u32::MAX)) as u32),
        rate: rate(&raw.rate, "--rate")?,
        rate_per_host: rate(&raw.rate_per_host, "--rate-per-host")?,
    })
}

/// How often something may be done for one line; 0 is never.
fn times(text: &Option<String>, option: &str) -> Result<Option<u32>, PlanError> {
    let Some(text) = text else { return Ok(None) };
    let times = if text == "0" { Ok(0) } else { parse_count(text) };
    match times.map_err(|problem| PlanError::new(option, problem))? {
        times if times > TIMES_MAX => {
            let problem = format!("is more than any server deserves; the limit is {TIMES_MAX}");
            Err(PlanError::new(format!("{option} {times}"), problem))
        }
        times => Ok(Some(times as u32)),
    }
}

/// Reads `429,503`.
fn statuses(text: &str) -> Result<Vec<u16>, PlanError> {
    let status = |part: &str| part.trim().parse().ok().filter(|status| (200..=999).contains(status));
    let all: Option<Vec<u16>> = text.split(',').map(status).collect();
    all.ok_or_else(|| {
        let problem = "is no list of statuses; write e.g. 429,503";
        PlanError::new(format!("--retry-on {}", text.escape_debug()), problem)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::raw::{Input, RawExpect};
    use crate::plan::shard::Cpu;

    fn plan(raw: &RawFetch) -> Result<Plan, PlanError> {
        let mut raw = raw.clone();
        raw.base.input.get_or_insert_with(|| Input::of_bytes("urls.txt", &b"http://a/\n"[..]));
        validate(&raw, &Machine { cpus: vec![Cpu { id: 0, core: 0 }], quota: None })
    }

    fn set(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let plan = plan(&RawFetch::default()).expect("a plan");
        let fetch = plan.fetch.as_deref().expect("a retrieval");
        assert_eq!((plan.connections, fetch.pace.connections_per_host), (1_024, 6));
        assert_eq!((plan.timeouts.request, plan.timeouts.read), (Nanos::from_secs(300), Some(Nanos::from_secs(30))));
        assert_eq!((fetch.retry.retries, fetch.max_redirects, fetch.output.max_body), (3, 10, 1 << 30));
        assert_eq!((plan.end.duration, plan.end.requests), (None, None));
        assert!(!fetch.output.sha256 && plan.urls.is_empty());
    }

    #[test]
    fn nonsense_is_refused_by_the_option_s_name() {
        let refused = |raw: RawFetch, subject: &str, part: &str| {
            let error = plan(&raw).expect_err(part);
            assert!(error.subject.contains(subject) && error.problem.contains(part), "{error}");
        };
        let output = |output: RawOutput| RawFetch { output, ..RawFetch::default() };
        let retry = |retry: RawRetry| RawFetch { retry, ..RawFetch::default() };
        refused(output(RawOutput { resume: true, ..RawOutput::default() }), "--resume", "name it with -o");
        let both = RawOutput { resume: true, overwrite: true, records: Some("o".into()), ..RawOutput::default() };
        refused(output(both), "--resume", "leave one of them out");
        let large = RawOutput { max_body: set("1G"), body_in_json: Some(BodyText::Text), ..RawOutput::default() };
        refused(output(large), "--max-body", "held whole");
        refused(retry(RawRetry { on: set("429;503"), ..RawRetry::default() }), "--retry-on", "no list of statuses");
        refused(retry(RawRetry { on: set("99"), ..RawRetry::default() }), "--retry-on", "no list of statuses");
        refused(retry(RawRetry { retries: set("1M"), ..RawRetry::default() }), "--retries", "the limit is 1000");
        let waits = RawRetry { backoff: set("2s"), backoff_max: set("1s"), ..RawRetry::default() };
        refused(retry(waits), "--backoff-max", "less than the first wait");
        let pace = RawPace { connections_per_host: set("0"), ..RawPace::default() };
        refused(RawFetch { pace, ..RawFetch::default() }, "--connections-per-host", "at least 1");
        let none = RawRetry { retries: set("0"), on: set("429, 503"), ..RawRetry::default() };
        let plan = plan(&retry(none)).expect("none is a number");
        assert_eq!(plan.fetch.map(|fetch| (fetch.retry.retries, fetch.retry.on)), Some((0, vec![429, 503])));
    }

    #[test]
    fn what_is_expected_is_part_of_the_question_and_how_large_it_may_be_is_said_by_max_body_alone() {
        let asked = |expect: RawExpect| {
            let base = RawPlan { expect, ..RawPlan::default() };
            let plan = plan(&RawFetch { base, ..RawFetch::default() }).expect("a plan");
            let fetch = plan.fetch.as_deref().expect("a retrieval");
            (fetch.question(&plan.common, &plan.expect), fetch.output.max_body, plan.expect.max_body)
        };
        let status = RawExpect { status: vec!["200".into()], ..RawExpect::default() };
        let pattern = RawExpect { body: vec![RawExpectedBody::Pattern("x".into())], ..RawExpect::default() };
        let [none, status, pattern] = [RawExpect::default(), status, pattern].map(asked);
        assert_eq!((none.1, none.2, status.2), (1 << 30, None, None));
        assert_eq!((pattern.1, pattern.2), (16 << 20, Some(16 << 20)));
        assert!(none.0 != status.0 && none.0 != pattern.0 && status.0 != pattern.0);
    }
}
