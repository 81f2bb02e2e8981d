//! `--print-plan`: the plan as a file for `--plan`, with every default and without secrets, of a load or of a retrieval.

use std::error::Error;
use std::fmt::Write as _;
use std::{mem, path};

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};
use toml::Value;

use super::bench;
use super::plan_file::{Said, Takes, is_list, key};
use super::{embedded, mask, stdout};
use crate::plan::shard::Machine;
use crate::plan::validate::default_method;
use crate::plan::{self, Fetch, Load, Plan, PlanError};
use crate::units::Nanos;

/// Stands for the embedded target, which is not started.
const NOWHERE: &str = "http://127.0.0.1/";

/// Prints the plan and sends nothing.
///
/// # Errors
/// What would have kept the run from starting, as far as files and options tell; a standard output that takes nothing.
pub fn run(mut args: bench::Args, machine: &Machine) -> Result<u8, Box<dyn Error>> {
    let said = mem::take(&mut args.plan.said);
    let embedded = !args.names_a_target();
    let (mut raw, _) = args.gather().map_err(|error| said.blame(error))?;
    if embedded {
        embedded::deal(&mut raw, machine);
        raw.urls.push(NOWHERE.to_owned());
    }
    let plan = plan::validate(&raw, machine).map_err(|error| said.blame(error))?;
    print(&said, &plan)
}

/// Prints the plan of what was said.
///
/// # Errors
/// A value that a plan file cannot hold; a standard output that takes nothing.
pub(super) fn print(said: &Said, plan: &Plan) -> Result<u8, Box<dyn Error>> {
    stdout(text(said, plan, &[])?.as_bytes())?;
    Ok(0)
}

/// The plan without the places of this run's reports, which another run would write over.
///
/// # Errors
/// A value that a plan file cannot hold.
pub(super) fn of_run(said: &Said, plan: &Plan) -> Result<String, PlanError> {
    text(said, plan, &["output", "hgrm", "hlog", "csv", "bundle"])
}

fn text(said: &Said, plan: &Plan, without: &[&str]) -> Result<String, PlanError> {
    let (version, name) = (env!("CARGO_PKG_VERSION"), said.command.get_name());
    let mut out = format!("# ringload {version}; ringload {name} --plan FILE runs it\n");
    let mut heading = None;
    let mut unset = Vec::new();
    // Writing to a string cannot fail.
    for option in said.command.get_arguments() {
        let Some(key) = key(option).filter(|key| !without.contains(key)) else { continue };
        let value = match given(option, key, &said.matches)? {
            Some(value) => value,
            None => match default(option, key, plan) {
                Some(value) => value,
                None => {
                    unset.push(key.to_owned());
                    continue;
                }
            },
        };
        if heading != option.get_help_heading() {
            heading = option.get_help_heading();
            let _ = writeln!(out, "\n# {}", heading.unwrap_or_default());
        }
        if let Some(comment) = secret(key, &value) {
            let _ = writeln!(out, "# {comment}");
        }
        let _ = writeln!(out, "{key} = {value}");
    }
    if !unset.is_empty() {
        let _ = writeln!(out, "\n# Not set: {}", unset.join(", "));
    }
    Ok(out)
}

/// What was said of an option, by the command line or a plan file.
fn given(option: &Arg, key: &str, matches: &ArgMatches) -> Result<Option<Value>, PlanError> {
    let id = option.get_id().as_str();
    if matches.value_source(id) != Some(ValueSource::CommandLine) {
        return Ok(None);
    }
    let takes = Takes::of(option);
    if matches!(takes, Takes::Switch | Takes::Truth) {
        return Ok(matches.get_one::<bool>(id).copied().map(Value::Boolean));
    }
    let mut values = Vec::new();
    for typed in matches.get_raw(id).into_iter().flatten() {
        let refused = |problem: String| PlanError::new(format!("--print-plan: {key}"), problem);
        let typed = typed.to_str().ok_or_else(|| refused("is not text (UTF-8), as a plan file must be".into()))?;
        let absolute = |file: &str| match file {
            "" | "-" => Ok(file.to_owned()),
            _ => path::absolute(file)
                .map(|path| path.display().to_string())
                .map_err(|error| refused(format!("the folder it is relative to cannot be found: {error}"))),
        };
        values.push(match (takes, mask::kind(key), typed.strip_prefix('@')) {
            (Takes::Socket, ..) if typed.starts_with('@') => Value::String(typed.to_owned()),
            (Takes::Path | Takes::Socket, ..) => Value::String(absolute(typed)?),
            (_, Some(_), Some(file)) => Value::String(format!("@{}", absolute(file)?)),
            (_, Some(_), None) => Value::String(mask::value(mask::kind(key), typed)),
            _ => scalar(option, &mask::value(None, typed)),
        });
    }
    Ok(if is_list(option) { Some(Value::Array(values)) } else { values.pop() })
}

/// A number where one is asked for and the text is exactly what it reads as; a list of cores is none.
fn scalar(option: &Arg, text: &str) -> Value {
    let asked_for = option.get_value_names().unwrap_or_default().iter().any(|name| name == "N" || name == "RATE");
    match text.parse::<i64>() {
        Ok(number) if asked_for && number.to_string() == text => Value::Integer(number),
        _ => Value::String(text.to_owned()),
    }
}

/// What comes of an option that was not given; `None` for what is then not done at all.
fn default(option: &Arg, key: &str, plan: &Plan) -> Option<Value> {
    let time = |time: Nanos| Some(time.to_string());
    let text = match key {
        "connections" => Some(plan.part.connections.to_string()),
        "duration" => plan.end.duration.and_then(time),
        "arrivals" => match &plan.load {
            Load::Open { arrivals, .. } => Some(arrivals.name().to_owned()),
            Load::Closed => None,
        },
        "speed" => plan.load.trace().map(|trace| trace.speed.to_string()),
        "catch-up" => plan.load.catch_up().map(|catch_up| catch_up.name().to_owned()),
        "threads" => Some(plan.cores.len().to_string()),
        "cores" => Some(embedded::list(&plan.cores)),
        "shard" => Some(format!("{}/{}", plan.part.index + 1, plan.part.count)),
        "driver" => Some(plan.driver.name().to_owned()),
        "warmup" => time(plan.warmup),
        "seed" => Some(plan.seed.to_string()),
        "order" => Some(plan.order.name().to_owned()),
        "method" => Some(default_method(plan.body.is_some()).to_owned()),
        "http" => Some(plan.http.version.name().to_owned()),
        "streams" => Some(plan.http.streams.to_string()),
        "pipeline" => Some(plan.http.pipeline.to_string()),
        "alpn" => Some(plan.tls.alpn.join(",")),
        "tls-min" => Some(plan.tls.least_version.name().to_owned()),
        "tls-session-reuse" => return Some(Value::Boolean(plan.tls.session_reuse)),
        "dns" => Some(plan.network.dns.name().to_owned()),
        "timeout" => time(plan.timeouts.request),
        "connect-timeout" => time(plan.timeouts.connect),
        "read-timeout" => plan.timeouts.read.and_then(time),
        "deadline" => plan.timeouts.deadline.and_then(time),
        "drain" => time(plan.drain),
        "max-body" => match &plan.fetch {
            Some(fetch) => Some(fetch.output.max_body.to_string()),
            None => plan.expect.max_body.map(|bytes| bytes.to_string()),
        },
        "requests-per-connection" => plan.requests_per_connection.map(|requests| requests.to_string()),
        "keep-alive" => return Some(Value::Boolean(plan.keep_alive)),
        _ if Takes::of(option) == Takes::Switch => return Some(Value::Boolean(false)),
        _ => match plan.fetch.as_deref().and_then(|fetch| of_retrieval(key, fetch)) {
            Some(text) => Some(text),
            None => option.get_default_values().first().and_then(|value| value.to_str()).map(str::to_owned),
        },
    };
    text.map(|text| scalar(option, &text))
}

/// The same of an option that only a retrieval has.
fn of_retrieval(key: &str, Fetch { retry, pace, max_redirects, .. }: &Fetch) -> Option<String> {
    Some(match key {
        "connections-per-host" => pace.connections_per_host.to_string(),
        "retries" => retry.retries.to_string(),
        "backoff" => retry.backoff.to_string(),
        "backoff-max" => retry.backoff_max.to_string(),
        "retry-on" => retry.on.iter().map(u16::to_string).collect::<Vec<_>>().join(","),
        "retry-after-max" => retry.after_max.to_string(),
        "max-redirects" => max_redirects.to_string(),
        _ => return None,
    })
}

/// What to do about a value that was left out.
fn secret(key: &str, value: &Value) -> Option<String> {
    let kind = mask::kind(key);
    let left_out = |value: &Value| value.as_str().is_some_and(|text| mask::is_placeholder(kind, text));
    let any = value.as_array().map_or_else(|| left_out(value), |values| values.iter().any(left_out));
    let file = if mask::takes_file(key) { ", or @FILE with it" } else { "" };
    any.then(|| format!("A secret was left out: write it in the place of ***{file}"))
}

#[cfg(test)]
mod tests {
    use super::super::fetch;
    use super::super::plan_file::Planned;
    use super::*;
    use crate::plan::RawPlan;
    use crate::plan::fetch::RawFetch;
    use crate::plan::raw::RawShape;
    use crate::plan::shard::Cpu;

    fn machine() -> Machine {
        Machine { cpus: (0..2).map(|id| Cpu { id, core: id }).collect(), quota: None }
    }

    fn printed(raw: &RawPlan, typed: &[&str]) -> String {
        printed_of::<bench::Args>(&plan::validate(raw, &machine()).expect("a plan"), typed)
    }

    fn printed_of<A: Planned>(plan: &Plan, typed: &[&str]) -> String {
        let mut said = Said::of::<A>();
        said.matches = said.command.clone().try_get_matches_from([A::NAME].iter().chain(typed)).expect("options");
        text(&said, plan, &[]).expect("text")
    }

    /// These options are printed with these values, and of the others those are named as not set.
    #[track_caller]
    fn assert_printed(text: &str, some: &[(&str, &str)], none: &str) {
        let (set, unset) = text.split_once("\n# Not set: ").expect("options without a default");
        assert_eq!(unset.trim_end(), none);
        let set: toml::Table = set.parse().expect("TOML");
        for (key, expected) in some {
            assert_eq!(set.get(*key).map(ToString::to_string).unwrap_or_default(), *expected, "{key}");
        }
    }

    #[test]
    fn every_option_is_printed_with_its_default_or_named_as_not_set() {
        let raw = RawPlan { urls: vec!["http://host/".into()], ..RawPlan::default() };
        let text = printed(&raw, &["http://host/"]);
        // An option that has a default must be resolved in `default`; add it here if it has none.
        let none = "requests, rate, stages, arrivals, speed, catch-up, input, header, body, requests-per-connection, user, bearer, cacert, cert, key, sni, unix-socket, source, interface, resolve, connect-to, proxy, noproxy, expect-status, expect-header, expect-body, max-body, read-timeout, deadline, max-error-rate, abort-on, output, hgrm, hlog, csv, bundle, describe";
        let some = [
            ("url", "[\"http://host/\"]"),
            ("connections", "64"),
            ("duration", "\"10s\""),
            ("threads", "2"),
            ("cores", "\"0,1\""),
            ("shard", "\"1/1\""),
            ("driver", "\"auto\""),
            ("dns", "\"once\""),
            ("ipv4", "false"),
            ("warmup", "\"0s\""),
            ("order", "\"seq\""),
            ("method", "\"GET\""),
            ("keep-alive", "true"),
            ("once", "false"),
            ("timeout", "\"10s\""),
            ("format", "\"text\""),
        ];
        assert_printed(&text, &some, none);
    }

    #[test]
    fn so_is_every_option_of_a_retrieval() {
        let base = RawPlan { urls: vec!["http://host/".into()], ..RawPlan::default() };
        let raw = RawFetch { base, ..RawFetch::default() };
        let plan = plan::fetch::validate(&raw, &machine()).expect("a plan");
        let text = printed_of::<fetch::Args>(&plan, &["http://host/"]);
        let none = "input, output, fields, rate, rate-per-host, header, body, user-agent, cookie, cookie-jar, user, bearer, cacert, cert, key, sni, unix-socket, source, interface, resolve, connect-to, proxy, noproxy, expect-status, expect-header, expect-body, save, save-as, extract, json-check, body-in-json, log, metrics, report";
        let some = [
            ("url", r#"["http://host/"]"#),
            ("connections", "1024"),
            ("connections-per-host", "6"),
            ("retries", "3"),
            ("backoff", r#""500ms""#),
            ("backoff-max", r#""60s""#),
            ("retry-on", r#""408,425,429,500,502,503,504""#),
            ("retry-after-max", r#""300s""#),
            ("max-redirects", "10"),
            ("max-body", r#""1073741824""#),
            ("timeout", r#""300s""#),
            ("read-timeout", r#""30s""#),
            ("drain", r#""30s""#),
            ("resume", "false"),
        ];
        assert_printed(&text, &some, none);
    }

    #[test]
    fn what_was_typed_is_printed_as_typed() {
        let raw = RawPlan {
            urls: vec!["http://host/".into()],
            shape: RawShape { rate: Some("600/m".into()), ..RawShape::default() },
            connections: Some("8".into()),
            ..RawPlan::default()
        };
        let text = printed(&raw, &["http://me:hush@host/", "-R", "600/m", "-c8", "--once", "--keep-alive=no"]);
        for line in
            ["rate = \"600/m\"", "connections = 8", "once = true", "keep-alive = false", "arrivals = \"uniform\""]
        {
            assert!(text.lines().any(|printed| printed == line), "{line}: {text}");
        }
        assert!(text.contains("place of ***\nurl = [\"http://***@host/\"]\n") && !text.contains("hush"), "{text}");
    }

    #[test]
    fn where_credentials_stand_is_printed_and_they_are_not() {
        let raw = RawPlan { urls: vec!["http://host/".into()], ..RawPlan::default() };
        for (typed, line) in [
            ("--user=me:hush", "user = \"***\""),
            ("--bearer=hush", "bearer = \"***\""),
            ("-uenv:ME", "user = \"env:ME\""),
            ("--bearer=@/run/token", "bearer = \"@/run/token\""),
        ] {
            let text = printed(&raw, &["http://host/", typed]);
            assert!(text.lines().any(|printed| printed == line) && !text.contains("hush"), "{line}: {text}");
            assert_eq!(text.contains("A secret was left out"), line.contains("***"), "{text}");
        }
    }
}
