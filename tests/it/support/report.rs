//! A JSON report, held against its schema and the accounting rules of the contract before a test reads it.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use super::program::{Finished, bench};

/// Every kind of failure there is; a contract.
pub(crate) const FAILURES: [&str; 14] = [
    "resolve",
    "connect",
    "connect_timeout",
    "proxy",
    "tls",
    "write",
    "read_timeout",
    "timeout",
    "deadline",
    "reset",
    "closed_early",
    "stream_reset",
    "protocol",
    "check",
];

/// The classes of which each ticket has exactly one.
const CLASSES: [&str; 5] = ["ok", "http_error", "failed", "unsent", "in_flight_at_end"];

/// A report that keeps the rules.
#[derive(Debug)]
pub(crate) struct Report(Value);

/// Measures with `bench --format json` and these arguments; exits 0, or 1 where nothing succeeded.
#[track_caller]
pub(crate) fn measure<S: AsRef<str>>(args: &[S]) -> Report {
    let (report, finished) = measured(args);
    let expected = if report.count("ok") > 0 { 0 } else { 1 };
    finished.assert_code(expected);
    report
}

/// The same, whatever it exits with, and what else the run left behind.
#[track_caller]
pub(crate) fn measured<S: AsRef<str>>(args: &[S]) -> (Report, Finished) {
    let all: Vec<&str> = ["--format", "json"].into_iter().chain(args.iter().map(AsRef::as_ref)).collect();
    let finished = bench(&all);
    (Report::of(&finished), finished)
}

impl Report {
    #[track_caller]
    pub(crate) fn of(finished: &Finished) -> Self {
        assert!(!finished.stdout.is_empty(), "no report; {:?}: {}", finished.status, finished.stderr);
        Self::parse(&finished.stdout)
    }

    #[track_caller]
    pub(crate) fn parse(text: &str) -> Self {
        let report = Self(serde_json::from_str(text).expect("a report in JSON"));
        report.check();
        report
    }

    /// The value at a path such as `plan.load.model`.
    #[track_caller]
    pub(crate) fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.0, |value, name| {
            let inner = name.parse::<usize>().ok().and_then(|index| value.get(index));
            inner.or_else(|| value.get(name)).unwrap_or_else(|| panic!("the report has no {path}"))
        })
    }

    /// A whole number at a path.
    #[track_caller]
    pub(crate) fn number(&self, path: &str) -> u64 {
        self.at(path).as_u64().unwrap_or_else(|| panic!("{path} is no whole number: {}", self.at(path)))
    }

    /// A number at a path.
    #[track_caller]
    pub(crate) fn float(&self, path: &str) -> f64 {
        self.at(path).as_f64().unwrap_or_else(|| panic!("{path} is no number: {}", self.at(path)))
    }

    #[track_caller]
    pub(crate) fn count(&self, class: &str) -> u64 {
        self.number(&format!("counts.{class}"))
    }

    #[track_caller]
    pub(crate) fn failure(&self, kind: &str) -> u64 {
        self.number(&format!("failures.{kind}"))
    }

    /// Whether a warning of this code was given.
    pub(crate) fn warns(&self, code: &str) -> bool {
        self.list("warnings").iter().any(|warning| warning["code"] == code)
    }

    /// All failures are of this kind, and there are so many.
    #[track_caller]
    pub(crate) fn assert_failures(&self, kind: &str, n: u64) {
        assert_eq!((self.failure(kind), self.count("failed")), (n, n), "{}", self.at("failures"));
    }

    /// All requests were answered below 400, and there were so many.
    #[track_caller]
    pub(crate) fn assert_ok(&self, n: u64) {
        assert_eq!((self.count("intended"), self.count("ok")), (n, n), "{} {}", self.at("counts"), self.at("failures"));
    }

    #[track_caller]
    pub(crate) fn list(&self, path: &str) -> &[Value] {
        self.at(path).as_array().map(Vec::as_slice).unwrap_or_else(|| panic!("{path} is no list"))
    }

    /// A histogram, whole.
    #[track_caller]
    pub(crate) fn histogram(&self, name: &str) -> Histogram<u64> {
        decode(self.at(&format!("histograms.{name}")))
    }

    /// How many values of a histogram are above `limit`.
    pub(crate) fn slower_than(&self, name: &str, limit: Duration) -> u64 {
        let histogram = self.histogram(name);
        let limit = limit.as_nanos() as u64;
        histogram.iter_recorded().filter(|value| value.value_iterated_to() > limit).map(|v| v.count_at_value()).sum()
    }

    /// One of the signs of the client's own condition.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) -> &Value {
        let signal = self.list("health.signals").iter().find(|signal| signal["name"] == name);
        signal.unwrap_or_else(|| panic!("the report has no signal {name}"))
    }

    /// A quantile of a histogram, any.
    pub(crate) fn quantile(&self, name: &str, q: f64) -> Duration {
        Duration::from_nanos(decode(self.at(&format!("histograms.{name}"))).value_at_quantile(q))
    }

    fn check(&self) {
        let errors: Vec<String> = schema().iter_errors(&self.0).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "the report does not keep its schema: {errors:?}");
        assert!(!self.warns("bug"), "{}", self.at("warnings"));
        self.check_classes(&self.0);
        for shard in self.list("shards") {
            self.check_classes(shard);
        }
        self.check_sums();
        self.check_tags();
        self.check_histograms();
    }

    /// Contract section 1, for the whole or for one shard.
    fn check_classes(&self, part: &Value) {
        let count = |name: &str| whole(&part["counts"][name]);
        let classes: u64 = CLASSES.iter().map(|name| count(name)).sum();
        assert_eq!(count("intended"), classes, "intended = the sum of its classes: {}", part["counts"]);
        let failures: Vec<u64> = FAILURES.iter().map(|kind| whole(&part["failures"][kind])).collect();
        assert_eq!(part["failures"].as_object().map(serde_json::Map::len), Some(FAILURES.len()));
        assert_eq!(count("failed"), failures.iter().sum::<u64>(), "failed = the sum of its kinds");
        let (sent, answered) = (count("sent"), count("ok") + count("http_error"));
        assert!(count("intended") >= sent && sent >= answered, "{}", part["counts"]);
        let waited: u64 =
            ["timeout", "read_timeout", "deadline"].iter().map(|kind| whole(&part["failures"][kind])).sum();
        let response = answered + waited + count("in_flight_at_end") + count("unsent");
        assert_eq!(whole(&part["latency_us"]["response"]["count"]), response, "response.count of contract section 3");
        assert_eq!(whole(&part["latency_us"]["service"]["count"]), answered, "service holds the answered ones");
    }

    fn check_sums(&self) {
        let answered = self.count("ok") + self.count("http_error");
        for (name, total) in [
            ("intended", self.count("intended")),
            ("sent", self.count("sent")),
            ("completed", answered),
            ("ok", self.count("ok")),
            ("failed", self.count("failed")),
            ("withheld", self.count("withheld")),
        ] {
            let sum: u64 = self.list("intervals").iter().map(|interval| whole(&interval[name])).sum();
            assert_eq!(sum, total, "intervals sum to counts: {name}");
        }
        for group in ["counts", "failures"] {
            for (name, total) in self.at(group).as_object().expect("an object") {
                let sum: u64 = self.list("shards").iter().map(|shard| whole(&shard[group][name])).sum();
                assert_eq!(sum, whole(total), "shards sum to {group}.{name}");
            }
        }
        let statuses: u64 = self.at("status").as_object().expect("an object").values().map(whole).sum();
        assert_eq!(statuses, answered, "answers by status");
        assert_eq!(self.number("latency_us.response_ok.count"), self.count("ok"));
        assert_eq!(self.number("latency_us.pool_lag.count"), self.count("sent"));
        assert_eq!(self.number("latency_us.client_lag.count"), self.count("sent"));
    }

    /// Where lines have tags, each request that was taken up has one.
    fn check_tags(&self) {
        let tags = self.list("tags");
        if tags.is_empty() {
            return;
        }
        for name in ["sent", "ok", "http_error", "failed", "in_flight_at_end"] {
            let sum: u64 = tags.iter().map(|tag| whole(&tag["counts"][name])).sum();
            assert_eq!(sum, self.count(name), "tags sum to counts.{name}");
        }
        for (kind, total) in self.at("failures").as_object().expect("an object") {
            let sum: u64 = tags.iter().map(|tag| whole(&tag["failures"][kind])).sum();
            assert_eq!(sum, whole(total), "tags sum to failures.{kind}");
        }
        let count = |tag: &Value| whole(&tag["latency_us"]["response"]["count"]);
        let sum: u64 = tags.iter().map(count).sum();
        assert_eq!(sum + self.count("unsent"), self.number("latency_us.response.count"), "tags sum to response.count");
        for tag in tags {
            assert_eq!(decode(&tag["histograms"]["response"]).len(), count(tag), "{}", tag["tag"]);
        }
    }

    /// Each blob decodes and holds as many values as the figures beside it say.
    fn check_histograms(&self) {
        for (name, blob) in self.at("histograms").as_object().expect("an object") {
            assert_eq!(decode(blob).len(), self.number(&format!("latency_us.{name}.count")), "histogram {name}");
        }
    }
}

fn decode(blob: &Value) -> Histogram<u64> {
    let bytes = BASE64_STANDARD.decode(blob.as_str().expect("text")).expect("base64");
    Deserializer::new().deserialize(&mut bytes.as_slice()).expect("an HDR histogram, V2 deflate")
}

fn whole(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no whole number"))
}

fn schema() -> &'static jsonschema::Validator {
    static SCHEMA: OnceLock<jsonschema::Validator> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let schema = serde_json::from_str(ringload::report::SCHEMA).expect("the schema is JSON");
        jsonschema::validator_for(&schema).expect("the schema is a schema")
    })
}
