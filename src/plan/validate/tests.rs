//! Plans from what was said: defaults, what goes together, and what is refused by the name of its option.

use super::super::raw::{Input, RawHeader, RawHttp, RawShape};
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

fn shaped(shape: RawShape) -> RawPlan {
    RawPlan { shape, ..raw() }
}

fn rate(text: &str) -> RawPlan {
    shaped(RawShape { rate: set(text), ..RawShape::default() })
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
fn a_trace_sends_each_line_once_at_its_time() {
    let input = |content: &str| Some(Input::of_bytes("urls.txt", content.as_bytes().to_vec()));
    let shape = RawShape { arrivals: Some(Arrivals::Trace), ..RawShape::default() };
    let trace = |content| RawPlan { input: input(content), shape: shape.clone(), ..RawPlan::default() };
    let lines = "5 http://a/1\n5.5s GET http://a/2\n5500ms\tPUT\thttp://a/3\n";
    let plan = validate(&trace(lines), &machine(4)).expect("a plan");
    assert_eq!(plan.end, End { duration: None, requests: Some(3), once: true });
    let starts = plan.load.trace().expect("a trace").starts();
    assert_eq!(starts, [0, 500, 500].map(Nanos::from_millis));
    assert_eq!((plan.urls.template(2).method.as_str(), plan.urls.target(2)), ("PUT", "/3"));
    refused(&trace("5 http://a/\nhttp://a/"), "urls.txt line 2", "has no time");
    refused(&trace("5 http://a/\n4.9 http://a/"), "urls.txt line 2", "sort the file");
    refused(&trace("5x http://a/"), "urls.txt line 1", "neither METHOD nor a time");
    refused(&trace("{\"url\":\"http://a/\"}"), "urls.txt line 1", "has no time");
    refused(&RawPlan { urls: raw().urls, ..trace(lines) }, "URL", "has no time");
    refused(&RawPlan { shape: shape.clone(), ..RawPlan::default() }, "--arrivals trace", "needs -i FILE");
    refused(&RawPlan { requests: set("5"), ..trace(lines) }, "--arrivals trace", "-n");
    refused(&RawPlan { warmup: set("1s"), ..trace(lines) }, "--warmup", "--arrivals trace");
    refused(&RawPlan { order: Some(Order::Shuffle), ..trace(lines) }, "--arrivals trace", "order");
    let weighted = "{\"url\":\"http://a/\",\"time\":1,\"weight\":2}";
    refused(&trace(weighted), "--arrivals trace", "weights");
}

#[test]
fn a_file_with_times_is_also_one_without() {
    let input = Some(Input::of_bytes("urls.txt", &b"1 http://a/1\n0.5 PUT http://a/2"[..]));
    let plan = validate(&RawPlan { input, ..RawPlan::default() }, &machine(4)).expect("a plan");
    assert_eq!((plan.load, plan.urls.template(1).method.as_str()), (Load::Closed, "PUT"));
}

#[test]
fn stages_say_how_long_the_run_is() {
    let stages = |text: &str| shaped(RawShape { stages: set(text), ..RawShape::default() });
    let end = |raw: &RawPlan| validate(raw, &machine(4)).expect("a plan").end;
    let (two, one) = (Some(Nanos::from_secs(2)), Some(Nanos::from_secs(1)));
    assert_eq!(end(&stages("5@1s,9@1s")), End { duration: two, requests: None, once: false });
    let some = RawPlan { requests: set("3"), ..stages("5@1s,9@1s") };
    assert_eq!(end(&some), End { duration: two, requests: Some(3), once: false });
    assert_eq!(end(&RawPlan { duration: set("1s"), ..stages("5@1s,9@1s") }).duration, one);
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
    refused(&rate("0"), "-R", "above 0");
    refused(&rate("-1"), "-R", "above 0");
    refused(&rate("1000000001"), "-R", "the limit is 1000000000 a second");
    let poisson = RawShape { rate: set("20M"), arrivals: Some(Arrivals::Poisson), ..RawShape::default() };
    let poisson = shaped(poisson);
    refused(&poisson, "-R 20M", "the limit is 10000000 a second");
    let poisson = RawShape { arrivals: Some(Arrivals::Poisson), ..RawShape::default() };
    refused(&shaped(poisson), "--arrivals", "-R");
    refused(&RawPlan { duration: set("0"), ..raw() }, "-d 0", "must last");
    refused(&RawPlan { duration: set("0s"), ..raw() }, "-d 0", "must last");
    refused(&RawPlan { duration: set("soon"), ..raw() }, "-d", "no duration");
    refused(&RawPlan { duration: set("{\"a\":1}"), ..raw() }, "-d", "a body is -b");
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
    let ramp = RawPlan { duration: set("9s"), warmup: set("1s"), ..rate("0:5") };
    refused(&ramp, "--warmup", "which is 0");
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
