//! From what the user said to a plan: defaults applied, limits checked, each refusal naming its option.

use bytes::Bytes;

use super::auth::Authorization;
use super::error::PlanError;
use super::expect::Expect;
use super::order::Order;
use super::raw::RawPlan;
use super::request::{Common, HeaderEdit, SMALL_BODY_BYTES, is_token, parse_header};
use super::schedule::Arrivals;
use super::shard::{Machine, Quota, core_list, part};
use super::urlset::{Builder, unreadable};
use super::{End, Fetch, Http, Load, Network, Part, Plan, Proxies, Rule, Timeouts, Tls, UrlSet};
use crate::units::{Nanos, Share, parse_count};

/// Connections without `-c`.
const CONNECTIONS: u32 = 64;
/// More would need more local ports than one address has, four times over.
const CONNECTIONS_MAX: u64 = 262_144;
/// Requests in flight; each has a slot of some hundred bytes.
const IN_FLIGHT_MAX: u64 = 1_048_576;

/// Turns what the user said into a plan for this machine.
///
/// # Errors
/// The first option or line that makes no sense, with the remedy.
pub fn validate(raw: &RawPlan, machine: &Machine) -> Result<Plan, PlanError> {
    assemble(raw, machine, None)
}

/// The same; `fetch` instead of lines that are known beforehand, and without an end but theirs.
pub(super) fn assemble(raw: &RawPlan, machine: &Machine, fetch: Option<Box<Fetch>>) -> Result<Plan, PlanError> {
    let proxies = Proxies::new(&raw.proxies)?;
    let common = common(raw, proxies.forward())?;
    let method = method(raw)?;
    let (urls, times) = if fetch.is_some() { (UrlSet::default(), Vec::new()) } else { urls(raw, &common, &method)? };
    let network = Network::new(&raw.network, raw.embedded_target)?;
    if fetch.is_none() {
        network.fits(urls.origins(), &proxies)?;
    }
    let order = order(raw, &urls)?;
    let load = Load::new(&raw.shape, run_length(raw)?, times)?;
    let whole =
        if fetch.is_some() { End { duration: None, requests: None, once: true } } else { end(raw, &urls, &load)? };
    let part = part_of_all(raw, connections(raw)?, whole.requests)?;
    let end = End { requests: part.requests.map(|all| part.own(all)), ..whole };
    let connections = part.own(u64::from(part.connections)) as u32;
    let cores = cores(raw, machine, &part)?;
    let warmup = warmup(raw, &load, end.once)?;
    let keep_alive = raw.keep_alive.unwrap_or(true);
    let http = Http::new(&raw.http, &urls, keep_alive)?;
    in_flight(connections, &http)?;
    proxies.check(&network, &http, urls.origins())?;
    let plan = Plan {
        urls,
        common,
        order,
        body: raw.body.clone().map(Bytes::from),
        load,
        end,
        part,
        connections,
        cores,
        seed: raw.seed.unwrap_or(0),
        warmup,
        drain: duration(&raw.drain, "--drain")?.unwrap_or(Nanos::from_secs(2)),
        timeouts: timeouts(raw)?,
        max_error_rate: max_error_rate(raw)?,
        strict: raw.strict,
        abort_on: raw.abort_on.iter().map(|text| Rule::parse(text)).collect::<Result<_, _>>()?,
        http,
        tls: Tls::new(&raw.tls, http.version)?,
        network,
        proxies,
        decode: raw.decode,
        expect: Expect::new(&raw.expect)?,
        keep_alive,
        requests_per_connection: http.requests_per_connection(&raw.requests_per_connection, keep_alive)?,
        start_anyway: raw.start_anyway,
        driver: raw.driver,
        argv: raw.argv.clone(),
        described: raw.described.clone(),
        by_class: raw.by_class,
        embedded_target: raw.embedded_target,
        fetch,
    };
    if http.pipeline > 1 && plan.longest_body() > SMALL_BODY_BYTES {
        let problem = format!("sends bodies of up to {SMALL_BODY_BYTES} bytes; leave it out for larger ones");
        return Err(PlanError::new(format!("--pipeline {}", http.pipeline), problem));
    }
    Ok(plan)
}

fn common(raw: &RawPlan, forwarded: bool) -> Result<Common, PlanError> {
    let mut edits = Vec::with_capacity(raw.headers.len());
    for header in &raw.headers {
        // A bad secret must not end up in a terminal or a log either: its text is never quoted here.
        edits.push(parse_header(&header.text, header.secret).map_err(|problem| PlanError::new("-H", problem))?);
    }
    let body_bytes = raw.body.as_ref().map(|body| body.len() as u64);
    let length = body_bytes.unwrap_or(0);
    let wrong = |edit: &HeaderEdit| matches!(edit, HeaderEdit::Set(header) if header.name.eq_ignore_ascii_case("content-length") && header.value.parse() != Ok(length));
    if edits.iter().any(wrong) {
        let problem =
            format!("Content-Length is not the length of the body, {length}; leave it out, and it is right by itself");
        return Err(PlanError::new("-H", problem));
    }
    Ok(Common {
        edits,
        authorization: Authorization::new(&raw.auth)?,
        compressed: raw.compressed,
        body_bytes,
        keep_alive: raw.keep_alive.unwrap_or(true),
        forwarded,
    })
}

/// The method of lines that name none, without `-X`.
pub fn default_method(with_body: bool) -> &'static str {
    if with_body { "POST" } else { "GET" }
}

pub(super) fn method(raw: &RawPlan) -> Result<String, PlanError> {
    let method = raw.method.as_deref().unwrap_or_else(|| default_method(raw.body.is_some()));
    match method {
        "CONNECT" => {
            Err(PlanError::new("-X CONNECT", "asks for a tunnel, which a load cannot use; choose another method"))
        }
        _ if is_token(method) => Ok(method.to_owned()),
        _ => Err(PlanError::new(format!("-X {method:?}"), "is no method; use GET, POST, …")),
    }
}

/// The URL set, and the times of its lines where a trace is to be replayed.
fn urls(raw: &RawPlan, common: &Common, method: &str) -> Result<(UrlSet, Vec<Nanos>), PlanError> {
    let mut builder = Builder::new(common, method);
    if raw.shape.arrivals == Some(Arrivals::Trace) {
        if !raw.urls.is_empty() {
            return Err(PlanError::new(
                "URL",
                "has no time, as --arrivals trace asks for; write it into the file of -i",
            ));
        }
        if raw.input.is_none() {
            let problem = "needs -i FILE, whose lines begin with a time, e.g. 0.25 GET http://127.0.0.1:8080/";
            return Err(PlanError::new("--arrivals trace", problem));
        }
        builder.keep_times();
    }
    for url in &raw.urls {
        builder.push(None, url).map_err(|problem| PlanError::new("URL", problem))?;
    }
    if let Some(input) = &raw.input {
        let content = input.open().map_err(|error| unreadable(&input.name, &error))?;
        builder.push_file(&input.name, content)?;
    }
    let times = builder.take_times();
    let urls = builder.finish();
    if urls.is_empty() {
        return Err(PlanError::new("URL", "nothing to ask for; give a URL or -i FILE"));
    }
    Ok((urls, times))
}

fn order(raw: &RawPlan, urls: &UrlSet) -> Result<Order, PlanError> {
    let weighted = urls.weights().is_some();
    let order = raw.order.unwrap_or(if weighted { Order::Random } else { Order::Seq });
    if raw.shape.arrivals == Some(Arrivals::Trace) && order != Order::Seq {
        let problem =
            "sends each line at its own time, which leaves an order or weights no meaning; leave one of them out";
        return Err(PlanError::new("--arrivals trace", problem));
    }
    if raw.once && weighted {
        let problem = "sends each line once, which leaves weights no meaning; leave one of them out";
        return Err(PlanError::new("--once", problem));
    }
    if raw.once && order == Order::Random {
        let problem = "draws lines again and again, and --once sends each once; use --order shuffle";
        return Err(PlanError::new("--order random", problem));
    }
    if weighted && order != Order::Random {
        let problem = "does not go with weights, by which lines are drawn; leave one of them out";
        return Err(PlanError::new(format!("--order {}", order.name()), problem));
    }
    Ok(order)
}

/// Reads `--shard`; `asked` connections and `requests` are those of all processes.
fn part_of_all(raw: &RawPlan, asked: u32, requests: Option<u64>) -> Result<Part, PlanError> {
    let connections = u64::from(asked).min(requests.unwrap_or(u64::MAX)) as u32;
    let Some(text) = &raw.shard else {
        return Ok(Part { index: 0, count: 1, connections, requests });
    };
    let bad = |problem: String| PlanError::new(format!("--shard {text}"), problem);
    let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse::<u64>().ok()?, n.parse::<u64>().ok()?)));
    let Some((k, count)) = numbers.filter(|&(k, count)| 1 <= k && k <= count) else {
        return Err(bad("is no part; write k/N with k from 1 to N, e.g. 1/2 for the first of two processes".into()));
    };
    if requests.is_some_and(|requests| requests < count) {
        return Err(bad("leaves processes without a request; lower N".into()));
    }
    if u64::from(connections) < count {
        return Err(bad(format!("leaves processes without a connection (-c {asked} is of all); raise -c or lower N")));
    }
    Ok(Part { index: k - 1, count, connections, requests })
}

impl Part {
    /// This process's part of `all`.
    fn own(&self, all: u64) -> u64 {
        part(all, self.index, self.count)
    }
}

fn end(raw: &RawPlan, urls: &UrlSet, load: &Load) -> Result<End, PlanError> {
    let duration = run_length(raw)?;
    let requests = count(&raw.requests, "-n")?;
    let once = raw.once || load.trace().is_some();
    if once && requests.is_some() {
        let option = if raw.once { "--once" } else { "--arrivals trace" };
        return Err(PlanError::new(option, "sends each line once and -n a number; give one of them"));
    }
    let requests = requests.or_else(|| once.then(|| urls.len()));
    let default = match load.stages() {
        Some(stages) => Some(stages.duration()),
        None => requests.is_none().then_some(Nanos::from_secs(10)),
    };
    Ok(End { duration: duration.or(default), requests, once })
}

/// As `-d` says it, which is a body for hey, oha and curl.
fn run_length(raw: &RawPlan) -> Result<Option<Nanos>, PlanError> {
    let is_time = raw.duration.as_deref().is_none_or(|text| text.starts_with(|c: char| c.is_ascii_digit()));
    let or_body = |error: PlanError| PlanError::new(error.subject, format!("{}; a body is -b", error.problem));
    match duration(&raw.duration, "-d").map_err(|error| if is_time { error } else { or_body(error) })? {
        Some(Nanos::ZERO) => Err(PlanError::new("-d 0", "a run must last; write e.g. -d 10s")),
        duration => Ok(duration),
    }
}

fn warmup(raw: &RawPlan, load: &Load, once: bool) -> Result<Nanos, PlanError> {
    let warmup = duration(&raw.warmup, "--warmup")?.unwrap_or(Nanos::ZERO);
    let problem = if once && load.trace().is_some() {
        "does not go with --arrivals trace: a warm-up would use up lines; leave one out"
    } else if once {
        "does not go with --once: a warm-up would use up lines; leave one out"
    } else if load.stages().is_some_and(|stages| stages.first().is_none()) {
        "has the rate with which the load begins, which is 0; begin above it, or leave the warm-up out"
    } else {
        return Ok(warmup);
    };
    if warmup == Nanos::ZERO { Ok(warmup) } else { Err(PlanError::new("--warmup", problem)) }
}

fn connections(raw: &RawPlan) -> Result<u32, PlanError> {
    let Some(connections) = count(&raw.connections, "-c")? else {
        return Ok(CONNECTIONS);
    };
    if connections > CONNECTIONS_MAX {
        return Err(PlanError::new(
            format!("-c {connections}"),
            format!("is more than one machine opens; the limit is {CONNECTIONS_MAX}"),
        ));
    }
    Ok(connections as u32)
}

fn in_flight(connections: u32, http: &Http) -> Result<(), PlanError> {
    let in_flight = u64::from(connections) * u64::from(http.depth());
    if in_flight <= IN_FLIGHT_MAX {
        return Ok(());
    }
    let option = if http.pipeline > 1 { "--pipeline" } else { "--streams" };
    let problem =
        format!("with -c {connections} is more than one machine has in flight; the limit is {IN_FLIGHT_MAX} in all");
    Err(PlanError::new(format!("{option} {}", http.depth()), problem))
}

/// As many in every process of a load, whatever the rest of its division: only so are numbers striped alike.
fn cores(raw: &RawPlan, machine: &Machine, part: &Part) -> Result<Vec<usize>, PlanError> {
    let each = |connections: u32| u64::from(connections) / part.count;
    let allowed: Vec<usize> = machine.cpus.iter().map(|cpu| cpu.id).collect();
    let chosen = raw.cores.as_deref().map(|text| core_list(text, &allowed)).transpose()?;
    let available = chosen.as_ref().map_or(allowed.len(), Vec::len);
    let threads = match &raw.threads {
        Some(text) => Some(threads(text, connections(raw)?, part.count, available)?),
        None => None,
    };
    let quota = if chosen.is_some() { available } else { machine.quota.map_or(available, Quota::rounded_up) };
    let count = threads.unwrap_or_else(|| available.min(quota)).min(each(part.connections) as usize);
    Ok(match chosen {
        Some(chosen) => chosen[..count].to_vec(),
        None => machine.spread(count),
    })
}

fn threads(text: &str, connections: u32, processes: u64, available: usize) -> Result<usize, PlanError> {
    let threads: usize = text.parse().map_err(|_| {
        let problem = match Nanos::parse(text) {
            Ok(_) => "-t is threads; did you mean -d?".to_owned(),
            Err(_) => "is no number of threads; write e.g. -t 2".to_owned(),
        };
        PlanError::new(format!("-t {text}"), problem)
    })?;
    let problem = match threads {
        0 => "at least one thread is needed; leave -t out for one a core".to_owned(),
        _ if threads as u64 > u64::from(connections) / processes => {
            let shared = if processes == 1 { String::new() } else { format!(" over {processes} processes") };
            format!("more threads than connections (-c {connections}{shared}); lower -t or raise -c")
        }
        _ if threads > available => format!("more threads than the {available} allowed cores; lower -t"),
        _ => return Ok(threads),
    };
    Err(PlanError::new(format!("-t {text}"), problem))
}

fn timeouts(raw: &RawPlan) -> Result<Timeouts, PlanError> {
    let limit = |text: &Option<String>, option: &str| match duration(text, option)? {
        Some(Nanos::ZERO) => {
            Err(PlanError::new(format!("{option} 0"), "every request would fail; write e.g. 5s, or leave it out"))
        }
        limit => Ok(limit),
    };
    Ok(Timeouts {
        request: limit(&raw.timeout, "--timeout")?.unwrap_or(Nanos::from_secs(10)),
        connect: limit(&raw.connect_timeout, "--connect-timeout")?.unwrap_or(Nanos::from_secs(5)),
        read: limit(&raw.read_timeout, "--read-timeout")?,
        deadline: limit(&raw.deadline, "--deadline")?,
    })
}

fn max_error_rate(raw: &RawPlan) -> Result<Option<Share>, PlanError> {
    let share = raw.max_error_rate.as_deref().map(Share::parse).transpose();
    share.map_err(|problem| PlanError::new("--max-error-rate", problem))
}

pub(super) fn duration(text: &Option<String>, option: &str) -> Result<Option<Nanos>, PlanError> {
    text.as_deref().map(Nanos::parse).transpose().map_err(|problem| PlanError::new(option, problem))
}

pub(super) fn count(text: &Option<String>, option: &str) -> Result<Option<u64>, PlanError> {
    let count = text.as_deref().map(parse_count).transpose().map_err(|problem| PlanError::new(option, problem))?;
    match count {
        Some(0) => Err(PlanError::new(format!("{option} 0"), "must be at least 1")),
        count => Ok(count),
    }
}

#[cfg(test)]
mod tests;
