//! From what the user said to a plan: defaults applied, limits checked, each refusal naming its option.

use bytes::Bytes;

use super::auth::Authorization;
use super::error::PlanError;
use super::order::Order;
use super::raw::RawPlan;
use super::request::{Common, HeaderEdit, SMALL_BODY_BYTES, is_token, parse_header};
use super::schedule::Arrivals;
use super::shard::{Machine, Quota, core_list, part};
use super::urlset::{Builder, unreadable};
use super::{End, Fetch, Http, Load, Network, Part, Plan, Proxies, Rule, Timeouts, Tls, UrlSet};
use crate::units::{Nanos, Rate, Share, parse_count};

/// One request a nanosecond: starts are no finer than the clock.
const RATE_MAX: u64 = 1_000_000_000;
/// Poisson arrivals are drawn one by one, so that their number costs time even where none is sent.
const POISSON_RATE_MAX: u64 = 10_000_000;
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
    let urls = if fetch.is_some() { UrlSet::default() } else { urls(raw, &common, &method)? };
    let network = Network::new(&raw.network, raw.embedded_target)?;
    if fetch.is_none() {
        network.fits(urls.origins(), &proxies)?;
    }
    let order = order(raw, &urls)?;
    let whole = if fetch.is_some() { End { duration: None, requests: None, once: true } } else { end(raw, &urls)? };
    let load = load(raw)?;
    let part = part_of_all(raw, connections(raw)?, whole.requests)?;
    let end = End { requests: part.requests.map(|all| part.own(all)), ..whole };
    let connections = part.own(u64::from(part.connections)) as u32;
    let cores = cores(raw, machine, &part)?;
    let warmup = duration(&raw.warmup, "--warmup")?.unwrap_or(Nanos::ZERO);
    if end.once && warmup > Nanos::ZERO {
        return Err(PlanError::new("--warmup", "does not go with --once: a warm-up would use up lines; leave one out"));
    }
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
        keep_alive,
        requests_per_connection: http.requests_per_connection(&raw.requests_per_connection, keep_alive)?,
        start_anyway: raw.start_anyway,
        driver: raw.driver,
        argv: raw.argv.clone(),
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

fn urls(raw: &RawPlan, common: &Common, method: &str) -> Result<UrlSet, PlanError> {
    let mut builder = Builder::new(common, method);
    for url in &raw.urls {
        builder.push(None, url).map_err(|problem| PlanError::new("URL", problem))?;
    }
    if let Some(input) = &raw.input {
        let content = input.open().map_err(|error| unreadable(&input.name, &error))?;
        builder.push_file(&input.name, content)?;
    }
    let urls = builder.finish();
    if urls.is_empty() {
        return Err(PlanError::new("URL", "nothing to ask for; give a URL or -i FILE"));
    }
    Ok(urls)
}

fn order(raw: &RawPlan, urls: &UrlSet) -> Result<Order, PlanError> {
    let weighted = urls.weights().is_some();
    let order = raw.order.unwrap_or(if weighted { Order::Random } else { Order::Seq });
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

fn end(raw: &RawPlan, urls: &UrlSet) -> Result<End, PlanError> {
    let duration = duration(&raw.duration, "-d")?;
    if duration == Some(Nanos::ZERO) {
        return Err(PlanError::new("-d 0", "a run must last; write e.g. -d 10s"));
    }
    let requests = count(&raw.requests, "-n")?;
    let once_requests = raw.once.then(|| urls.len());
    if raw.once && requests.is_some() {
        return Err(PlanError::new("--once", "sends each line once and -n a number; give one of them"));
    }
    let requests = requests.or(once_requests);
    let default = requests.is_none().then_some(Nanos::from_secs(10));
    Ok(End { duration: duration.or(default), requests, once: raw.once })
}

fn load(raw: &RawPlan) -> Result<Load, PlanError> {
    match &raw.rate {
        None if raw.arrivals.is_some() => {
            Err(PlanError::new("--arrivals", "spaces an open load; add -R RATE, or leave it out"))
        }
        None => Ok(Load::Closed),
        Some(text) => {
            let rate = Rate::parse(text).map_err(|problem| PlanError::new("-R", problem))?;
            let arrivals = raw.arrivals.unwrap_or(Arrivals::Uniform);
            let most = match arrivals {
                Arrivals::Uniform => RATE_MAX,
                Arrivals::Poisson => POISSON_RATE_MAX,
            };
            if u128::from(rate.num) > u128::from(rate.den) * u128::from(most) {
                let problem = format!("is more than any machine sends; the limit is {most} a second");
                return Err(PlanError::new(format!("-R {text}"), problem));
            }
            Ok(Load::Open { rate, arrivals })
        }
    }
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
mod tests {
    use super::super::raw::{Input, RawHeader, RawHttp};
    use super::super::shard::{Cpu, shards};
    use super::*;

    fn machine(cpus: usize) -> Machine {
        Machine { cpus: (0..cpus).map(|id| Cpu { id, core: id }).collect(), quota: None }
    }

    fn raw() -> RawPlan {
        RawPlan { urls: vec!["http://127.0.0.1:8080/".into()], ..RawPlan::default() }
    }

    fn set(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[track_caller]
    fn refused(raw: &RawPlan, subject: &str, part: &str) {
        let error = validate(raw, &machine(4)).expect_err(part);
        assert!(error.subject.contains(subject) && error.problem.contains(part), "{error}");
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let plan = validate(&raw(), &machine(4)).expect("a plan");
        assert_eq!((plan.connections, plan.cores.as_slice()), (64, &[0, 1, 2, 3][..]));
        assert_eq!(plan.load, Load::Closed);
        assert_eq!(plan.end, End { duration: Some(Nanos::from_secs(10)), requests: None, once: false });
        assert_eq!((plan.drain, plan.warmup, plan.seed, plan.keep_alive), (Nanos::from_secs(2), Nanos::ZERO, 0, true));
        assert_eq!(plan.timeouts.request, Nanos::from_secs(10));
        assert_eq!(plan.timeouts.connect, Nanos::from_secs(5));
        assert_eq!((plan.timeouts.read, plan.timeouts.deadline), (None, None));
    }

    #[test]
    fn a_number_of_requests_has_no_time_limit_and_opens_no_more_connections_than_requests() {
        let plan = validate(&RawPlan { requests: set("10"), ..raw() }, &machine(4)).expect("a plan");
        assert_eq!((plan.end.duration, plan.end.requests, plan.connections), (None, Some(10), 10));
        let parts = shards(&plan);
        assert_eq!(parts.iter().map(|shard| shard.requests.unwrap()).sum::<u64>(), 10);
        let one = validate(&RawPlan { requests: set("1"), ..raw() }, &machine(4)).expect("a plan");
        assert_eq!(shards(&one).len(), 1);
    }

    #[test]
    fn threads_default_to_cores_quota_and_connections() {
        let limited = Machine { quota: Some(Quota { granted: 150_000, period: 100_000 }), ..machine(4) };
        assert_eq!(validate(&raw(), &limited).expect("a plan").cores.len(), 2);
        let few = RawPlan { connections: set("3"), ..raw() };
        assert_eq!(validate(&few, &machine(4)).expect("a plan").cores.len(), 3);
        let chosen = RawPlan { cores: set("3,0-1"), ..raw() };
        assert_eq!(validate(&chosen, &machine(4)).expect("a plan").cores, [3, 0, 1]);
    }

    #[test]
    fn weights_mean_random_and_go_with_no_other_order_and_not_with_once() {
        let content = b"{\"url\":\"http://a/\",\"weight\":2}\n{\"url\":\"http://b/\"}".to_vec();
        let input = Some(Input::of_bytes("urls.jsonl", content));
        let weighted = RawPlan { input, ..raw() };
        assert_eq!(validate(&weighted, &machine(4)).expect("a plan").order, Order::Random);
        refused(&RawPlan { order: Some(Order::Seq), ..weighted.clone() }, "--order seq", "weights");
        refused(&RawPlan { order: Some(Order::Shuffle), ..weighted.clone() }, "--order shuffle", "weights");
        refused(&RawPlan { once: true, ..weighted.clone() }, "--once", "weights");
        refused(&RawPlan { once: true, order: Some(Order::Random), ..weighted }, "--once", "weights");
    }

    #[test]
    fn nonsense_is_refused_by_the_option_s_name() {
        refused(&RawPlan { threads: set("30s"), ..raw() }, "-t 30s", "did you mean -d?");
        refused(&RawPlan { threads: set("0"), ..raw() }, "-t 0", "at least one");
        refused(&RawPlan { threads: set("5"), ..raw() }, "-t 5", "allowed cores");
        refused(&RawPlan { threads: set("3"), connections: set("2"), ..raw() }, "-t 3", "than connections");
        refused(&RawPlan { threads: set("many"), ..raw() }, "-t many", "no number");
        refused(&RawPlan { cores: set("0,9"), ..raw() }, "--cores", "outside the allowed set");
        refused(&RawPlan { cores: set("1,1"), ..raw() }, "--cores", "twice");
        refused(&RawPlan { cores: set("3-1"), ..raw() }, "--cores", "no list");
        refused(&RawPlan { rate: set("0"), ..raw() }, "-R", "above 0");
        refused(&RawPlan { rate: set("-1"), ..raw() }, "-R", "above 0");
        refused(&RawPlan { rate: set("1000000001"), ..raw() }, "-R", "the limit is 1000000000 a second");
        let poisson = RawPlan { rate: set("20M"), arrivals: Some(Arrivals::Poisson), ..raw() };
        refused(&poisson, "-R 20M", "the limit is 10000000 a second");
        refused(&RawPlan { arrivals: Some(Arrivals::Poisson), ..raw() }, "--arrivals", "-R");
        refused(&RawPlan { duration: set("0"), ..raw() }, "-d 0", "must last");
        refused(&RawPlan { duration: set("0s"), ..raw() }, "-d 0", "must last");
        refused(&RawPlan { duration: set("soon"), ..raw() }, "-d", "no duration");
        let http = RawHttp { version: None, streams: None, pipeline: set("8") };
        let body = Some(vec![0; SMALL_BODY_BYTES + 1]);
        refused(&RawPlan { http: http.clone(), body, ..raw() }, "--pipeline 8", "bodies of up to 16384");
        refused(&RawPlan { http, connections: set("200k"), ..raw() }, "--pipeline 8", "more than one machine");
        let headers = vec![RawHeader { text: "content-length: 5".into(), secret: false }];
        refused(&RawPlan { headers: headers.clone(), ..raw() }, "-H", "not the length of the body, 0");
        assert!(validate(&RawPlan { headers, body: Some(vec![0; 5]), ..raw() }, &machine(2)).is_ok());
        refused(&RawPlan { connections: set("0"), ..raw() }, "-c 0", "at least 1");
        refused(&RawPlan { connections: set("1M"), ..raw() }, "-c 1000000", "the limit is");
        refused(&RawPlan { requests: set("9007199254740993"), ..raw() }, "-n", "2^53");
        refused(&RawPlan { timeout: set("0s"), ..raw() }, "--timeout 0", "every request");
        refused(&RawPlan { max_error_rate: set("1"), ..raw() }, "--max-error-rate", "write 1%");
        refused(&RawPlan { abort_on: vec!["p99".into()], ..raw() }, "--abort-on 'p99'", "no rule");
        refused(&RawPlan { method: set("G T"), ..raw() }, "-X", "no method");
        refused(&RawPlan { method: set("CONNECT"), ..raw() }, "-X", "tunnel");
        refused(&RawPlan { once: true, warmup: set("1s"), ..raw() }, "--warmup", "--once");
        refused(&RawPlan { once: true, order: Some(Order::Random), ..raw() }, "--order random", "shuffle");
        for shard in ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3", ""] {
            refused(&RawPlan { shard: set(shard), ..raw() }, "--shard", "is no part");
        }
        refused(&RawPlan { shard: set("1/65"), ..raw() }, "--shard 1/65", "without a connection");
        refused(&RawPlan { shard: set("1/3"), requests: set("2"), ..raw() }, "--shard 1/3", "without a request");
        let two = RawPlan { shard: set("1/2"), threads: set("2"), connections: set("3"), ..raw() };
        refused(&two, "-t 2", "more threads than connections (-c 3 over 2 processes)");
        refused(&RawPlan { once: true, requests: set("5"), ..raw() }, "--once", "-n");
        refused(&RawPlan::default(), "URL", "nothing to ask for");
        refused(&RawPlan { requests_per_connection: set("0"), ..raw() }, "--requests-per-connection 0", "at least 1");
        let closing = RawPlan { requests_per_connection: set("1"), keep_alive: Some(false), ..raw() };
        refused(&closing, "--requests-per-connection", "--keep-alive false");
        let header = RawHeader { text: "nocolon".into(), secret: false };
        refused(&RawPlan { headers: vec![header], ..raw() }, "-H", "colon");
        let input = Input::of_bytes("urls.txt", &b"x"[..]);
        refused(&RawPlan { input: Some(input), ..raw() }, "urls.txt line 1", "without a scheme");
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_lists_of_cores() {
        let corpus: [&[u8]; 5] = [b"0,2-3", b"0-3,5-7,64", b"7,6,5", b"0-65535", b"1"];
        let telling: [&[u8]; 6] = [b",", b"-", b"0", b"64", b"+", b"\x1b"];
        crate::mutation::run("rules_and_units", &corpus, &telling, 20_000, crate::plan::shard::fuzz_core_list);
    }

    #[test]
    fn a_list_of_cores_takes_no_more_memory_than_the_machine_has_cores() {
        let long = vec!["0-65535"; 10_000].join(",");
        assert!(core_list(&long, &[0, 1]).expect_err("outside").problem.contains("core 2 is outside"));
        assert!(core_list("0,0-1", &[0, 1]).expect_err("twice").problem.contains("twice"));
    }
}
