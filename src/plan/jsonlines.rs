//! One line of a JSON Lines input, in the shape of vegeta's targets: `{"method","url","header":{"K":["v"]},"body":base64}`
//! and `weight`, `tag`, `time`.
//!
//! Refusals never quote a value: it may be a secret.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::request::{HeaderEdit, header, is_token};
use crate::units::Nanos;

/// The keys that a line may have.
const KEYS: [&str; 7] = ["method", "url", "header", "body", "weight", "tag", "time"];
const SHAPE: &str = r#"{"method":"GET","url":"http://host/"}"#;

/// What one line asks for, its headers and body checked; method and URL as typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) method: Option<Cow<'a, str>>,
    pub(super) url: Cow<'a, str>,
    /// They replace headers of the same name that all requests have.
    pub(super) headers: Vec<HeaderEdit>,
    /// Instead of the body that all requests have.
    pub(super) body: Option<Vec<u8>>,
    /// 1 or more.
    pub(super) weight: Option<u32>,
    /// When it starts; matters to a trace alone.
    pub(super) time: Option<Nanos>,
    /// By which its user knows it again.
    pub(super) tag: Option<String>,
}

/// A line as typed: its parts are read, and checked, as they are asked for, and take no memory of their own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    /// As typed.
    #[serde(borrow)]
    pub(super) url: Cow<'a, str>,
    /// An object of lists of strings.
    #[serde(borrow, default, deserialize_with = "typed")]
    header: Option<&'a RawValue>,
    #[serde(borrow)]
    body: Option<Text<'a>>,
    /// 1 or more.
    pub(super) weight: Option<u32>,
    #[serde(borrow)]
    tag: Option<Text<'a>>,
    /// As typed: a decimal must not pass through a float.
    #[serde(borrow)]
    time: Option<&'a RawValue>,
}

/// Borrowed where nothing is escaped, which serde does by itself only where there is no `Option` around it.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// A value as typed, `null` too.
fn typed<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

impl<'a> Line<'a> {
    /// Reads one that is not blank.
    ///
    /// # Errors
    /// What is wrong with its shape or its weight and the remedy.
    pub(super) fn read(line: &'a str) -> Result<Self, String> {
        let typed: Self = serde_json::from_str(line).map_err(|_| explain(line))?;
        match typed.weight {
            Some(0) => Err("a weight is 1 or more; leave the line out instead".into()),
            _ => Ok(typed),
        }
    }

    /// As typed, where there is one.
    pub(super) fn method(&self) -> Option<&str> {
        Some(&*self.method).filter(|method| !method.is_empty())
    }

    /// What [`Line::headers`] reads: equal texts ask for equal headers.
    pub(super) fn header_text(&self) -> &'a str {
        self.header.map_or("", RawValue::get)
    }

    /// In the order of their keys; `line` is that from which this was read.
    ///
    /// # Errors
    /// What is wrong with them and the remedy.
    pub(super) fn headers(&self, line: &str) -> Result<Vec<HeaderEdit>, String> {
        let Some(typed) = self.header else { return Ok(Vec::new()) };
        let Object(all) = serde_json::from_str(typed.get()).map_err(|_| explain(line))?;
        let mut headers = Vec::with_capacity(all.len());
        for (Text(name), values) in all {
            // An empty list is a header that is not sent.
            if values.is_empty() {
                headers.push(header(&name, None)?);
            }
            for Text(value) in values {
                headers.push(header(&name, Some(&value))?);
            }
        }
        Ok(headers)
    }

    /// As typed: see [`decode_body`].
    pub(super) fn body(&self) -> Option<&str> {
        self.body.as_ref().map(|Text(base64)| &**base64)
    }

    /// As typed.
    pub(super) fn tag(&self) -> Option<&str> {
        self.tag.as_ref().map(|Text(tag)| &**tag)
    }

    /// When it starts.
    ///
    /// # Errors
    /// What a time must be.
    pub(super) fn time(&self) -> Result<Option<Nanos>, String> {
        let no_time = "time must be seconds (0.25) or a string such as \"250ms\"";
        Ok(self.time.map(|time| instant(time.get()).ok_or(no_time)).transpose()?)
    }
}

/// Appends to `out` what the body of a line says.
///
/// # Errors
/// It is no base64, and the remedy.
pub(super) fn decode_body(base64: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let decoded = BASE64_STANDARD.decode_vec(base64, out);
    decoded.map_err(|_| "the body is no base64; encode it, e.g. with: base64 -w0".to_owned())
}

/// Reads all of one line that is not blank.
///
/// # Errors
/// What is wrong with it and the remedy.
pub(super) fn parse(line: &str) -> Result<Target<'_>, String> {
    let typed = Line::read(line)?;
    let (headers, time) = (typed.headers(line)?, typed.time()?);
    let body = typed.body().map(|base64| {
        let mut body = Vec::new();
        decode_body(base64, &mut body).map(|()| body)
    });
    Ok(Target {
        body: body.transpose()?,
        method: Some(typed.method).filter(|method| !method.is_empty()),
        url: typed.url,
        headers,
        weight: typed.weight,
        tag: typed.tag.map(|Text(tag)| tag.into_owned()),
        time,
    })
}

/// An object of lists of strings, in the order of its keys.
struct Object<'a>(Vec<(Text<'a>, Vec<Text<'a>>)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of lists of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(Object(all))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A JSON number of seconds, or a string that also has a unit.
fn instant(json: &str) -> Option<Nanos> {
    let text = json.strip_prefix('"').map_or(Some(json), |rest| rest.strip_suffix('"'))?;
    Nanos::parse_instant(text)
}

/// Why a line is not of the expected shape: serde's own words would quote it.
fn explain(line: &str) -> String {
    let value = match serde_json::from_str::<Value>(line) {
        Ok(value) => value,
        Err(error) => return format!("is no JSON (column {}); write a target a line, e.g. {SHAPE}", error.column()),
    };
    let Some(object) = value.as_object() else {
        return format!("is no JSON object; write a target a line, e.g. {SHAPE}");
    };
    if let Some(unknown) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
        // A slip in the quotes can make anything a key; what looks like a name is none of the values.
        let quoted = if is_token(unknown) { format!(" {unknown:?}") } else { String::new() };
        return format!("unknown key{quoted}; the keys are {}", KEYS.join(", "));
    }
    if !object.contains_key("url") {
        return format!("has no url; write e.g. {SHAPE}");
    }
    let lists_of_strings = |value: &Value| {
        let list = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_string));
        value.as_object().is_some_and(|object| object.values().all(list))
    };
    for (key, value) in object {
        let (fits, expected) = match key.as_str() {
            "header" => (lists_of_strings(value), r#"an object of lists, e.g. {"Accept":["text/html"]}"#),
            "weight" => (
                value.is_null() || value.as_u64().is_some_and(|n| n <= u64::from(u32::MAX)),
                "a whole number below 2^32",
            ),
            "body" => (value.is_string() || value.is_null(), "a string of base64"),
            "tag" => (value.is_string() || value.is_null(), "a string"),
            _ => (value.is_string(), "a string"),
        };
        if !fits {
            return format!("{key} must be {expected}");
        }
    }
    "names a key twice; leave one out".into()
}

/// Checks what must hold for every text as one line: an accepted one asks for headers that can break no line of a request
/// and comes out as it went in when it is written in full; no refusal quotes a value.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_json_line(bytes: &[u8]) {
    const SECRET: &str = "hush-4711";
    let Ok(line) = std::str::from_utf8(bytes) else { return };
    match parse(line) {
        Ok(target) => {
            let unbroken = |edit: &HeaderEdit| match edit {
                HeaderEdit::Set(header) => is_token(&header.name) && !header.value.contains(['\r', '\n', '\0']),
                HeaderEdit::Remove(name) => is_token(name),
            };
            assert!(target.headers.iter().all(unbroken) && target.weight != Some(0), "{line:?}");
            let bytes = target.url.len() + target.body.as_ref().map_or(0, Vec::len);
            assert!(bytes <= line.len(), "more came out than went in: {line:?}");
            assert_eq!(parse(&written(&target)).as_ref(), Ok(&target), "{line:?}");
        }
        Err(problem) => assert!(!problem.contains(char::is_control), "{problem:?} about {line:?}"),
    }
    if let Ok(mut value @ Value::Object(_)) = serde_json::from_str(line) {
        let mut keys = String::new();
        append_to_texts(&mut value, SECRET, &mut keys);
        if let Err(problem) = parse(&value.to_string()) {
            assert!(keys.contains(SECRET) || !problem.contains(SECRET), "{problem:?} about {value}");
        }
    }
}

/// The line that asks for this, in full.
fn written(target: &Target<'_>) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let header_text = |edit: &HeaderEdit| match edit {
        HeaderEdit::Set(header) => format!("{}:[{}]", text(&header.name), text(&header.value)),
        HeaderEdit::Remove(name) => format!("{}:[]", text(name)),
    };
    let headers: Vec<String> = target.headers.iter().map(header_text).collect();
    let mut parts = vec![format!(r#""url":{}"#, text(&target.url)), format!(r#""header":{{{}}}"#, headers.join(","))];
    parts.extend(target.method.as_ref().map(|method| format!(r#""method":{}"#, text(method))));
    parts.extend(target.tag.as_ref().map(|tag| format!(r#""tag":{}"#, text(tag))));
    parts.extend(target.body.as_ref().map(|body| format!(r#""body":"{}""#, BASE64_STANDARD.encode(body))));
    parts.extend(target.weight.map(|weight| format!(r#""weight":{weight}"#)));
    parts.extend(target.time.map(|time| format!(r#""time":"{time}""#)));
    format!("{{{}}}", parts.join(","))
}

/// Appends `secret` to all texts in `value`, and its keys to `keys`.
fn append_to_texts(value: &mut Value, secret: &str, keys: &mut String) {
    match value {
        Value::String(text) => text.push_str(secret),
        Value::Array(list) => list.iter_mut().for_each(|value| append_to_texts(value, secret, keys)),
        Value::Object(object) => object.iter_mut().for_each(|(key, value)| {
            keys.push_str(key);
            append_to_texts(value, secret, keys);
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_vegeta_s_is_read() {
        let line = r#"{"method":"PUT","url":"http://a/\u0062","header":{"X-B":["1","2"],"X-A":[""],"Accept":[]},"body":"aGk=","weight":3,"tag":"t"}"#;
        let target = parse(line).expect("a target");
        assert_eq!((target.method.as_deref(), &*target.url, target.weight), (Some("PUT"), "http://a/b", Some(3)));
        assert_eq!(target.body.as_deref(), Some(&b"hi"[..]));
        let shown: Vec<_> = target
            .headers
            .iter()
            .map(|edit| match edit {
                HeaderEdit::Set(header) => format!("{}: {}", header.name, header.value),
                HeaderEdit::Remove(name) => format!("{name} removed"),
            })
            .collect();
        assert_eq!(shown, ["X-B: 1", "X-B: 2", "X-A: ", "Accept removed"]);
    }

    #[test]
    fn a_url_is_enough() {
        let target = parse(r#" {"url":"http://a/"} "#).expect("a target");
        let plain = Target {
            method: None,
            url: "http://a/".into(),
            headers: vec![],
            body: None,
            weight: None,
            tag: None,
            time: None,
        };
        assert_eq!(target, plain);
        assert!(matches!(target.url, Cow::Borrowed(_)), "no copy where nothing is escaped");
        assert_eq!(parse(r#"{"url":"u","body":""}"#).expect("a target").body, Some(vec![]), "an empty body is a body");
    }

    #[test]
    fn times_are_exact_and_have_seconds_for_their_unit() {
        for (text, ns) in [
            ("0", Some(0)),
            ("1730000000.123456789", Some(1_730_000_000_123_456_789)),
            ("\"0.1\"", Some(100_000_000)),
            ("\"250ms\"", Some(250_000_000)),
            ("null", None),
        ] {
            let line = format!("{{\"url\":\"u\",\"time\":{text}}}");
            assert_eq!(parse(&line).expect(&line).time, ns.map(Nanos), "{line}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong_and_quotes_no_value() {
        for (line, part) in [
            (r#"{"url":"hush""#, "no JSON (column"),
            (r#""hush""#, "no JSON object"),
            (r#"{"url":"hush","header":{"A":["b"]}} x"#, "no JSON (column"),
            (r#"{"method":"hush"}"#, "no url"),
            (r#"{"url":"u","headers":{"A":["hush"]}}"#, r#"unknown key "headers""#),
            (r#"{"url":"u","header":{"Cookie":"hush"}}"#, "header must be an object of lists"),
            (r#"{"url":"u","header":["hush"]}"#, "header must be"),
            (r#"{"url":7}"#, "url must be a string"),
            (r#"{"url":"u","method":null}"#, "method must be a string"),
            (r#"{"url":"u","weight":0}"#, "1 or more"),
            (r#"{"url":"u","weight":-1}"#, "whole number"),
            (r#"{"url":"u","weight":1.5}"#, "whole number"),
            (r#"{"url":"u","weight":4294967296}"#, "whole number"),
            (r#"{"url":"u","weight":"hush"}"#, "whole number"),
            (r#"{"url":"u","body":"*hush*"}"#, "no base64"),
            (r#"{"url":"u","body":["hush"]}"#, "base64"),
            (r#"{"url":"u","tag":["hush"]}"#, "tag must be a string"),
            (r#"{"url":"u","time":"hush"}"#, "time must be seconds"),
            (r#"{"url":"u","time":["hush"]}"#, "time must be seconds"),
            (r#"{"url":"u","time":-1}"#, "time must be seconds"),
            (r#"{"url":"u","time":1e3}"#, "time must be seconds"),
            (r#"{"url":"u","time":0.0000000001}"#, "time must be seconds"),
            (r#"{"url":"u","url":"hush"}"#, "twice"),
            (r#"{"url":"u","header":{"A":["hush\r\nB: c"]}}"#, "must not hold"),
            (r#"{"url":"u","header":{"A":["hush\u0000"]}}"#, "must not hold"),
            (r#"{"url":"u","header":{"A\n":["hush"]}}"#, "no header name"),
            (r#"{"url":"u","header":{"hush: x":["y"]}}"#, "no header name"),
            (r#"{"url":"u","header":{"Transfer-Encoding":["chunked"]}}"#, "Content-Length"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part) && !error.contains("hush"), "{line}: {error}");
        }
    }

    #[test]
    fn what_must_always_hold_holds_for_mutated_lines_of_json() {
        let corpus: [&[u8]; 6] = [
            br#"{"method":"PUT","url":"http://a/\u0062","header":{"X-B":["1","2"],"X-A":[""],"Accept":[]},"body":"aGk=","weight":3,"tag":"t"}"#,
            br#" {"url":"http://a/"} "#,
            br#"{"url":"u","body":"","weight":null,"time":12.5}"#,
            br#"{"url":7,"header":["x"]}"#,
            br#"{"url":"u","url":"v"}"#,
            br#"{"header":{"Cookie":["a=b"],"cookie":["c"]},"url":"http://me:pw@a/?b"}"#,
        ];
        let telling: [&[u8]; 12] =
            [b"\"", b"{", b"}", b"[", b"]", b",", b":", b"\\r\\n", b"\\u0000", b"null", b"\"header\":", b"\\"];
        crate::mutation::run("json_lines", &corpus, &telling, 10_000, fuzz_json_line);
    }
}
