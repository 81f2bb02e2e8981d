//! The plan as reports repeat it, resolved and without secrets, and the digest by which equal plans are known.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::checks::ExpectEcho;
use super::network::NetworkEcho;
use super::shape::LoadEcho;
use crate::plan::alias::AliasTable;
use crate::plan::proxy::Proxy;
use crate::plan::request::{HeaderEdit, is_secret_header};
use crate::plan::schedule::Trace;
use crate::plan::tls::Trust;
use crate::plan::{Plan, Proxies, Tls};
use crate::units::{Nanos, Share, hex};

/// URLs that are repeated by name; the digest covers the rest.
const URLS_LISTED: u64 = 10;
/// Stands for what must not be shown.
const SECRET: &str = "***";

/// A resolved plan. Durations are seconds; null where there is no limit.
#[derive(Serialize)]
pub(super) struct PlanEcho<'a> {
    urls: Urls,
    order: &'static str,
    /// Lines are drawn by weights of their own.
    weighted: bool,
    shard: ShardEcho,
    methods: Vec<&'a str>,
    load: LoadEcho,
    connections: u32,
    threads: usize,
    cores: &'a [usize],
    duration_s: Option<f64>,
    requests: Option<u64>,
    once: bool,
    seed: u64,
    warmup_s: f64,
    drain_s: f64,
    timeouts: Timeouts,
    /// A part of 1.
    max_error_rate: Option<f64>,
    strict: bool,
    abort_on: Vec<String>,
    /// `auto`, `1.1` or `2`.
    http: &'static str,
    /// Of HTTP/2, a connection.
    streams: u32,
    /// Of HTTP/1.1, a connection.
    pipeline: u32,
    tls: TlsEcho<'a>,
    network: NetworkEcho,
    proxies: ProxiesEcho,
    /// `basic` or `bearer`, of the options; those of URLs are not here.
    authorization: Option<&'static str>,
    compressed: bool,
    decode: bool,
    expect: ExpectEcho,
    keep_alive: bool,
    requests_per_connection: Option<u64>,
    start_anyway: bool,
    /// As asked for; the environment has the one that was used.
    driver: &'static str,
    headers: Vec<HeaderEcho<'a>>,
    body_bytes: Option<u64>,
    embedded_target: bool,
}

#[derive(Serialize)]
struct Urls {
    count: u64,
    origins: usize,
    /// Without credentials.
    first: Vec<String>,
}

/// Which part of a load this process made; the rest is of all processes together.
#[derive(Serialize)]
struct ShardEcho {
    /// From 0.
    index: u64,
    count: u64,
    connections: u32,
    requests: Option<u64>,
}

/// Of https origins.
#[derive(Serialize)]
struct TlsEcho<'a> {
    /// `system`, `cacert` or `insecure`.
    trust: &'static str,
    /// Certificates of `--cacert`.
    trusted: usize,
    client_certificate: bool,
    server_name: Option<String>,
    alpn: &'a [String],
    least_version: &'static str,
    session_reuse: bool,
}

#[derive(Serialize)]
struct ProxiesEcho {
    list: Vec<ProxyEcho>,
    /// Hosts that are reached without.
    noproxy: Vec<String>,
}

#[derive(Serialize)]
struct ProxyEcho {
    /// With `***` for credentials.
    url: String,
    /// The schemes of the origins that go through it.
    origins: Vec<&'static str>,
}

#[derive(Serialize)]
struct Timeouts {
    request_s: f64,
    connect_s: f64,
    read_s: Option<f64>,
    deadline_s: Option<f64>,
}

/// A `-H`; a null value removes a default.
#[derive(Serialize)]
struct HeaderEcho<'a> {
    name: &'a str,
    value: Option<&'a str>,
}

impl<'a> PlanEcho<'a> {
    /// What reports show of `plan`.
    pub(super) fn new(plan: &'a Plan) -> Self {
        let lines = plan.urls.len();
        Self {
            urls: Urls {
                count: lines,
                origins: plan.urls.origins().len(),
                first: (0..lines.min(URLS_LISTED)).map(|line| plan.urls.url(line)).collect(),
            },
            order: plan.order.name(),
            weighted: plan.urls.weights().is_some(),
            shard: ShardEcho {
                index: plan.part.index,
                count: plan.part.count,
                connections: plan.part.connections,
                requests: plan.part.requests,
            },
            methods: methods(plan),
            load: LoadEcho::new(&plan.load),
            connections: plan.connections,
            threads: plan.cores.len(),
            cores: &plan.cores,
            duration_s: plan.end.duration.map(Nanos::as_secs_f64),
            requests: plan.end.requests,
            once: plan.end.once,
            seed: plan.seed,
            warmup_s: plan.warmup.as_secs_f64(),
            drain_s: plan.drain.as_secs_f64(),
            timeouts: Timeouts {
                request_s: plan.timeouts.request.as_secs_f64(),
                connect_s: plan.timeouts.connect.as_secs_f64(),
                read_s: plan.timeouts.read.map(Nanos::as_secs_f64),
                deadline_s: plan.timeouts.deadline.map(Nanos::as_secs_f64),
            },
            max_error_rate: plan.max_error_rate.map(Share::as_f64),
            strict: plan.strict,
            abort_on: plan.abort_on.iter().map(ToString::to_string).collect(),
            http: plan.http.version.name(),
            streams: plan.http.streams,
            pipeline: plan.http.pipeline,
            tls: tls(&plan.tls),
            network: NetworkEcho::new(&plan.network),
            proxies: proxies(&plan.proxies),
            authorization: plan.common.authorization.as_ref().map(|authorization| authorization.scheme.name()),
            compressed: plan.common.compressed,
            decode: plan.decode,
            expect: ExpectEcho::new(&plan.expect),
            keep_alive: plan.keep_alive,
            requests_per_connection: plan.requests_per_connection,
            start_anyway: plan.start_anyway,
            driver: plan.driver.name(),
            headers: plan.common.edits.iter().map(header).collect(),
            body_bytes: plan.common.body_bytes,
            embedded_target: plan.embedded_target,
        }
    }

    /// The same for all processes of a load: without what is this one's own.
    fn of_all(plan: &'a Plan) -> Self {
        let mut echo = Self::new(plan);
        echo.shard.index = 0;
        (echo.connections, echo.requests, echo.cores) = (echo.shard.connections, echo.shard.requests, &[]);
        // They may run on machines of their own.
        (echo.network.source, echo.network.interface) = (Vec::new(), None);
        echo
    }
}

fn tls(tls: &Tls) -> TlsEcho<'_> {
    let trusted = match &tls.trust {
        Trust::Only(certificates) => certificates.len(),
        Trust::System | Trust::Anyone => 0,
    };
    TlsEcho {
        trust: tls.trust.name(),
        trusted,
        client_certificate: tls.identity.is_some(),
        server_name: tls.name.as_ref().map(|name| name.to_str().into_owned()),
        alpn: &tls.alpn,
        least_version: tls.least_version.name(),
        session_reuse: tls.session_reuse,
    }
}

fn proxies(proxies: &Proxies) -> ProxiesEcho {
    let echo =
        |(index, proxy): (u32, &Proxy)| ProxyEcho { url: proxy.masked(), origins: proxies.schemes(index).collect() };
    ProxiesEcho { list: (0..).zip(&proxies.list).map(echo).collect(), noproxy: proxies.spared.names() }
}

fn methods(plan: &Plan) -> Vec<&str> {
    let mut methods: Vec<&str> = Vec::new();
    for template in plan.urls.templates() {
        if !methods.contains(&template.method.as_str()) {
            methods.push(&template.method);
        }
    }
    methods
}

fn header(edit: &HeaderEdit) -> HeaderEcho<'_> {
    match edit {
        HeaderEdit::Remove(name) => HeaderEcho { name, value: None },
        HeaderEdit::Set(header) => {
            let secret = header.secret || is_secret_header(&header.name);
            HeaderEcho { name: &header.name, value: Some(if secret { SECRET } else { &header.value }) }
        }
    }
}

/// SHA-256 in hex over what `plan` asks for: its echo, its body, and every line with its headers, body, weight and time.
/// Secret headers are not part of it (a digest of a short secret gives it away), nor are the command line, where reports
/// go, on which cores it runs, from which addresses it connects, and which part of the load this process makes: all parts have one digest.
pub(super) fn config_digest(plan: &Plan) -> String {
    let mut digest = Sha256::new();
    let echo = serde_json::to_vec(&PlanEcho::of_all(plan)).expect("strings, numbers and no maps always serialize");
    digest.update(Sha256::digest(&echo));
    digest.update(Sha256::digest(plan.body.as_deref().unwrap_or_default()));
    digest.update(urls_digest(plan));
    plan.load.trace().into_iter().flat_map(Trace::starts).for_each(|start| digest.update(start.0.to_be_bytes()));
    certificates(&plan.tls).for_each(|certificate| digest.update(Sha256::digest(certificate)));
    hex(&digest.finalize())
}

/// Whom we trust and what we show.
fn certificates(tls: &Tls) -> impl Iterator<Item = &[u8]> {
    let trusted = match &tls.trust {
        Trust::Only(certificates) => certificates.as_slice(),
        Trust::System | Trust::Anyone => &[],
    };
    let shown = tls.identity.iter().flat_map(|identity| &identity.chain);
    trusted.iter().chain(shown).map(|certificate| certificate.as_ref())
}

/// A line each, as `METHOD URL`; neither holds a space or a line end. After it, what the line has for itself; after all
/// lines, their weights.
fn urls_digest(plan: &Plan) -> impl AsRef<[u8]> {
    let origins: Vec<String> = plan.urls.origins().iter().map(ToString::to_string).collect();
    let bodies: Vec<_> = plan.urls.bodies().map(Sha256::digest).collect();
    let mut digest = Sha256::new();
    for line in 0..plan.urls.len() {
        let template = plan.urls.template(line);
        digest.update(template.method.as_bytes());
        digest.update(b" ");
        digest.update(origins[template.origin as usize].as_bytes());
        digest.update(plan.urls.target(line).as_bytes());
        digest.update(b"\n");
        digest.update(template.own.as_bytes());
        if let Some(index) = plan.urls.body_index(line) {
            digest.update(bodies[index]);
        }
    }
    plan.urls.weights().into_iter().flat_map(AliasTable::bytes).for_each(|cell| digest.update(cell));
    digest.finalize()
}

/// 16 hex digits that no other run has: of its start and its plan.
pub(super) fn run_id(t0_unix: Nanos, config_digest: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(t0_unix.0.to_be_bytes());
    digest.update(config_digest.as_bytes());
    hex(&digest.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Run, raw};
    use super::*;
    use crate::plan::raw::{Input, RawAuth, RawExpect, RawExpectedBody, RawHeader, RawProxies, RawProxy, RawShape};
    use crate::plan::{Arrivals, CatchUp, RawPlan};

    fn digest(raw: &RawPlan) -> String {
        config_digest(&Run::new(raw).finish().0)
    }

    fn with_header(text: &str, secret: bool) -> RawPlan {
        RawPlan { headers: vec![RawHeader { text: text.into(), secret }], ..raw() }
    }

    fn with_auth(user: Option<&str>, bearer: Option<&str>) -> RawPlan {
        let auth = RawAuth { user: user.map(str::to_owned), bearer: bearer.map(str::to_owned) };
        RawPlan { auth, ..raw() }
    }

    #[test]
    fn the_digest_changes_with_what_is_asked_for_and_with_nothing_else() {
        let plain = digest(&raw());
        assert_eq!(plain.len(), 64);
        assert_eq!(plain, digest(&RawPlan { argv: vec!["other".into()], ..raw() }));
        let lines = |last: &str| {
            let mut content: Vec<u8> = b"http://10.0.0.2/same\n".repeat(20);
            content.extend_from_slice(last.as_bytes());
            RawPlan { input: Some(Input::of_bytes("urls.txt", content)), ..raw() }
        };
        let shaped = |shape: RawShape| RawPlan { shape, ..raw() };
        let rate = Some("5".into());
        let skipping = shaped(RawShape { rate, catch_up: Some(CatchUp::Skip), ..RawShape::default() });
        let mut all = vec![
            plain,
            digest(&RawPlan { body: Some(b"a".to_vec()), ..raw() }),
            digest(&RawPlan { body: Some(b"b".to_vec()), ..raw() }),
            digest(&RawPlan { connections: Some("9".into()), ..raw() }),
            digest(&with_header("X-A: 1", false)),
            digest(&lines("http://10.0.0.2/one")),
            digest(&lines("http://10.0.0.2/two")),
            digest(&lines("PUT http://10.0.0.2/two")),
            digest(&json(r#""header":{"A":["b"]}"#)),
            digest(&json(r#""header":{"A":["c"]}"#)),
            digest(&json(r#""body":"aGk=""#)),
            digest(&json(r#""body":"aG8=""#)),
            digest(&json(r#""weight":2"#)),
            digest(&json(r#""weight":3"#)),
            digest(&RawPlan { order: Some(crate::plan::Order::Shuffle), ..raw() }),
            digest(&shaped(RawShape { rate: Some("5".into()), ..RawShape::default() })),
            digest(&shaped(RawShape { rate: Some("5:6".into()), ..RawShape::default() })),
            digest(&shaped(RawShape { stages: Some("5@1s,6@1s".into()), ..RawShape::default() })),
            digest(&skipping),
            digest(&trace("1.5")),
            digest(&trace("1.6")),
            digest(&RawPlan { shard: Some("1/2".into()), ..raw() }),
            digest(&RawPlan { compressed: true, ..raw() }),
            digest(&RawPlan { decode: true, ..raw() }),
            digest(&RawPlan { expect: RawExpect { status: vec!["2xx".into()], ..RawExpect::default() }, ..raw() }),
            digest(&expecting_body("a")),
            digest(&expecting_body("b")),
            digest(&RawPlan { requests_per_connection: Some("5".into()), ..raw() }),
            digest(&with_auth(Some("me:pw"), None)),
            digest(&with_auth(None, Some("token"))),
            digest(&through("http://10.0.0.1:3128")),
            digest(&through("http://me:hush@10.0.0.1:3128")),
        ];
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }

    fn trace(last: &str) -> RawPlan {
        let content = format!("0 http://10.0.0.2/\n{last} http://10.0.0.2/").into_bytes();
        let shape = RawShape { arrivals: Some(Arrivals::Trace), ..RawShape::default() };
        let input = Some(Input::of_bytes("urls.txt", content));
        RawPlan { urls: Vec::new(), input, shape, ..raw() }
    }

    fn expecting_body(content: &'static str) -> RawPlan {
        let body = vec![RawExpectedBody::File { name: "file".into(), content: content.into() }];
        RawPlan { expect: RawExpect { body, ..RawExpect::default() }, ..raw() }
    }

    fn through(proxy: &str) -> RawPlan {
        let proxy = RawProxy { subject: "--proxy".into(), url: proxy.into() };
        RawPlan { proxies: RawProxies { list: vec![proxy], ..RawProxies::default() }, ..raw() }
    }

    /// Two lines, of which the second says `more`.
    fn json(more: &str) -> RawPlan {
        let url = r#"{"url":"http://10.0.0.2/""#;
        let content = format!("{url}}}\n{url},{more}}}\n").into_bytes();
        RawPlan { input: Some(Input::of_bytes("urls.jsonl", content)), ..raw() }
    }

    #[test]
    fn all_parts_of_a_load_have_one_digest() {
        let part = |shard: &str, cores: &str| RawPlan {
            shard: Some(shard.into()),
            connections: Some("9".into()),
            requests: Some("101".into()),
            cores: Some(cores.into()),
            ..raw()
        };
        assert_eq!(digest(&part("1/2", "0")), digest(&part("2/2", "1")));
        assert_ne!(digest(&part("1/2", "0")), digest(&part("1/3", "0")));
    }

    #[test]
    fn secret_headers_of_lines_are_neither_shown_nor_digested() {
        let raw = |value: &str| json(&format!(r#""header":{{"Cookie":["{value}"]}}"#));
        let (plan, _) = Run::new(&raw("hush")).finish();
        assert!(!serde_json::to_string(&PlanEcho::new(&plan)).expect("an echo").contains("hush"));
        assert_eq!(digest(&raw("hush")), digest(&raw("other")));
    }

    #[test]
    fn credentials_are_neither_shown_nor_digested() {
        for (hush, other) in [
            (with_auth(Some("me:hush"), None), with_auth(Some("you:other"), None)),
            (with_auth(None, Some("hush")), with_auth(None, Some("other"))),
        ] {
            let echo = serde_json::to_string(&PlanEcho::new(&Run::new(&hush).finish().0)).expect("an echo");
            assert!(!echo.contains("hush") && !echo.contains("bWU6aHVzaA"), "{echo}");
            assert_eq!(digest(&hush), digest(&other));
        }
    }

    #[test]
    fn secrets_are_neither_shown_nor_digested() {
        for (text, secret) in [("Authorization: hush", false), ("cookie: hush", false), ("X-Mine: hush", true)] {
            let raw = with_header(text, secret);
            let (plan, _) = Run::new(&raw).finish();
            let echo = serde_json::to_string(&PlanEcho::new(&plan)).expect("an echo");
            assert!(echo.contains("***") && !echo.contains("hush"), "{echo}");
            assert_eq!(digest(&raw), digest(&with_header(&text.replace("hush", "other"), secret)));
        }
        let proxied = |password: &str| through(&format!("http://me:{password}@10.0.0.1"));
        let echo = serde_json::to_string(&PlanEcho::new(&Run::new(&proxied("hush")).finish().0)).expect("an echo");
        assert!(echo.contains("http://***@10.0.0.1:1080") && !echo.contains("hush"), "{echo}");
        assert_eq!(digest(&proxied("hush")), digest(&proxied("other")));
        let (plan, _) = Run::new(&RawPlan { urls: vec!["http://me:hush@10.0.0.2/".into()], ..raw() }).finish();
        assert!(!serde_json::to_string(&PlanEcho::new(&plan)).expect("an echo").contains("hush"));
    }

    #[test]
    fn runs_of_one_plan_have_different_ids() {
        assert_ne!(run_id(Nanos(1), "d"), run_id(Nanos(2), "d"));
        assert_eq!(run_id(Nanos(1), "d").len(), 16);
    }
}
