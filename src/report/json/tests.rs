//! The JSON report against its schema, its arithmetic, and what must not be in it.

use hdrhistogram::serialization::Deserializer;
use serde_json::Value;

use super::super::fixture::{self, Run, raw};
use super::super::warning::Code;
use super::*;
use crate::plan::raw::RawHeader;
use crate::plan::{Plan, RawPlan};
use crate::record::RunRecord;

fn json((plan, record): &(Plan, RunRecord)) -> Value {
    let mut out = Vec::new();
    write(&Summary::new(plan, record), &mut out).expect("a vector takes everything");
    serde_json::from_slice(&out).expect("JSON")
}

fn validator() -> jsonschema::Validator {
    let schema = serde_json::from_str(SCHEMA).expect("the schema is JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("the schema is one");
    jsonschema::validator_for(&schema).expect("the schema compiles")
}

fn once() -> (Plan, RunRecord) {
    let urls = (0..12).map(|n| format!("http://10.0.0.2/{n}")).collect();
    let headers =
        vec![RawHeader { text: "Accept:".into(), secret: false }, RawHeader { text: "A: b".into(), secret: true }];
    let (max_error_rate, abort_on) = (Some("0.5%".into()), vec!["p99>1s".into()]);
    let described = Some("one instance, warm\n".into());
    let asked = RawPlan { described, urls, headers, once: true, duration: None, body: Some(b"x".to_vec()), ..raw() };
    let mut run = Run::new(&RawPlan { max_error_rate, abort_on, ..asked });
    run.answers(12);
    run.aborted = Some(crate::plan::Rule::parse("p99>1s").expect("a rule"));
    let (plan, mut record) = run.finish();
    record.environment.ways.push(fixture::way());
    (plan, record)
}

#[test]
fn every_kind_of_report_follows_the_schema() {
    let validator = validator();
    let runs = [
        fixture::long(),
        fixture::closed(),
        fixture::open(),
        fixture::nothing(),
        fixture::broken(),
        fixture::empty(),
        once(),
    ];
    for run in &runs {
        let report = json(run);
        let errors: Vec<_> =
            validator.iter_errors(&report).map(|error| format!("{error} at {}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

/// Pointers to all objects whose fields are fixed, and to the first element of each array of them.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) if !["/status", "/environment/sysctls"].contains(&at) => {
            found.push(at.to_owned());
            map.iter().for_each(|(key, value)| objects(value, &format!("{at}/{key}"), found));
        }
        Value::Array(items) => items.first().into_iter().for_each(|item| objects(item, &format!("{at}/0"), found)),
        _ => {}
    }
}

#[test]
fn a_report_that_lacks_any_field_is_refused() {
    let validator = validator();
    let mut report = json(&once());
    // Long blobs make the many validations slow and are strings like any other.
    report["histograms"].as_object_mut().expect("histograms").values_mut().for_each(|blob| *blob = "SGlzdA==".into());
    report["warnings"] = serde_json::json!([{"code": "added_later", "text": "x"}]);
    assert!(validator.is_valid(&report), "a code that this schema does not know yet is accepted");
    let mut pointers = Vec::new();
    objects(&report, "", &mut pointers);
    let mut removed = 0;
    for pointer in &pointers {
        let keys: Vec<String> =
            report.pointer(pointer).and_then(Value::as_object).expect("an object").keys().cloned().collect();
        for key in keys {
            let object = |report: &mut Value| {
                report.pointer_mut(pointer).expect("an object").as_object_mut().expect("one").clone()
            };
            let kept = object(&mut report);
            report.pointer_mut(pointer).and_then(Value::as_object_mut).expect("an object").remove(&key);
            assert!(!validator.is_valid(&report), "without {pointer}/{key}");
            *report.pointer_mut(pointer).expect("an object") = Value::Object(kept);
            removed += 1;
        }
    }
    assert!(removed > 150 && validator.is_valid(&report), "{removed}");
    report["added_later"] = Value::Null;
    assert!(validator.is_valid(&report), "readers ignore fields they do not know");
    report["counts"]["ok"] = "12".into();
    assert!(!validator.is_valid(&report));
}

#[test]
fn the_schema_lists_every_kind_of_failure_and_every_warning() {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(strings(&schema["$defs"]["warning_code"]["anyOf"][0]["enum"]), Code::ALL.map(Code::name));
    assert_eq!(strings(&schema["$defs"]["failures"]["required"]), Failure::ALL.map(Failure::name));
}

#[test]
fn numbers_agree_with_each_other() {
    let report = json(&fixture::open());
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer}"));
    let sum = |list: &str, field: &str| -> f64 {
        let items = report[list].as_array().expect("a list").iter();
        items.map(|item| item.pointer(field).and_then(Value::as_f64).expect("a number")).sum()
    };
    for field in ["intended", "sent", "ok", "failed"] {
        assert_eq!(sum("intervals", &format!("/{field}")), number(&format!("/counts/{field}")), "{field}");
        assert_eq!(sum("shards", &format!("/counts/{field}")), number(&format!("/counts/{field}")), "{field}");
    }
    assert_eq!(sum("intervals", "/completed"), number("/counts/ok") + number("/counts/http_error"));
    assert_eq!(number("/rate_per_s/intended") * number("/window_s"), number("/counts/intended"));
    let response = &report["latency_us"]["response"];
    let below = response["censored_from_q"].as_f64().expect("lower bounds");
    assert!((0.8..0.95).contains(&below), "{below}");
    assert_eq!(report["started_at"], "2026-01-01T00:00:00.123456789Z");
    assert_eq!(report["run"]["t0_unix_ns"], 1_767_225_600_123_456_789_u64);
    let last = report["intervals"].as_array().and_then(|all| all.last()).expect("intervals");
    assert_eq!((&last["drain"], &last["t_s"]), (&Value::from(true), &Value::from(4.0)), "window end + 2");
}

#[test]
fn limits_and_the_rule_that_ended_the_run_are_told_in_full() {
    let report = json(&once());
    assert_eq!(report["plan"]["max_error_rate"], 0.005);
    assert_eq!(report["plan"]["abort_on"], serde_json::json!(["p99>1s for 1s"]));
    assert_eq!(report["aborted"], "p99>1s for 1s");
    let report = json(&fixture::closed());
    assert_eq!((&report["plan"]["max_error_rate"], &report["aborted"]), (&Value::Null, &Value::Null));
}

#[test]
fn the_histograms_read_back_as_they_were() {
    let run = fixture::open();
    let report = json(&run);
    for (latency, histogram) in run.1.total.latencies.iter() {
        let name = latency.name();
        let blob = BASE64_STANDARD.decode(report["histograms"][name].as_str().expect("a blob")).expect("base64");
        let read: hdrhistogram::Histogram<u64> = Deserializer::new().deserialize(&mut blob.as_slice()).expect(name);
        assert!(read == *histogram.hdr(), "{name}");
    }
}

#[test]
fn what_was_not_measured_is_null() {
    let report = json(&fixture::empty());
    assert_eq!(report["latency_us"]["service"]["p50"], Value::Null);
    assert_eq!(report["latency_us"]["response"]["censored_from_q"], Value::Null);
    assert_eq!(report["client"]["cpu_us_per_request"], Value::Null);
    assert_eq!(report["environment"]["cpu_model"], Value::Null);
    assert_eq!(report["latency_us"]["service"]["count"], 0);
    assert_eq!(report["failures"]["stream_reset"], 0);
    let p99_99 = |run| json(&run)["latency_us"]["response"]["p99_99"].clone();
    assert_eq!(p99_99(fixture::broken()), Value::Null, "5,000 values have no p99.99");
    assert!(p99_99(fixture::closed()).is_number());
}

#[test]
fn secrets_and_bodies_stay_out() {
    let headers = [("Authorization: hush", false), ("X-File: hush", true)];
    let headers = headers.map(|(text, secret)| RawHeader { text: text.into(), secret }).to_vec();
    let secret =
        RawPlan { headers, body: Some(b"hush".to_vec()), urls: vec!["http://me:hush@10.0.0.2/".into()], ..raw() };
    let report = json(&Run::new(&secret).finish());
    assert!(!report.to_string().contains("hush"));
    assert_eq!(report["plan"]["headers"][0]["value"], "***");
    assert_eq!(report["plan"]["body_bytes"], 4);
    assert_eq!(report["plan"]["methods"][0], "POST");
}
