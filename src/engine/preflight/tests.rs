//! Each rule on made-up facts, from where it is silent to where it refuses.

use expect_test::{Expect, expect};

use super::*;
use crate::plan::shard::Cpu;
use crate::plan::{RawPlan, fetch, validate};

const MIB: u64 = 1 << 20;

/// A plan on four CPUs; `change` says what else was typed.
fn plan(change: impl FnOnce(&mut RawPlan)) -> Plan {
    let mut raw = RawPlan { urls: vec!["http://10.0.0.2/".into()], ..RawPlan::default() };
    change(&mut raw);
    let cpus = (0..4).map(|id| Cpu { id, core: id }).collect();
    validate(&raw, &Machine { cpus, quota: None }).expect("a plan")
}

fn connections(number: u32) -> Plan {
    plan(|raw| (raw.connections, raw.threads) = (Some(number.to_string()), Some("1".into())))
}

/// One thread that closes its connections; as long and as fast as said.
fn closing(rate: Option<&str>, duration: &str) -> Plan {
    plan(|raw| {
        raw.keep_alive = Some(false);
        raw.shape.rate = rate.map(str::to_owned);
        raw.duration = Some(duration.into());
        raw.threads = Some("1".into());
    })
}

fn facts() -> Facts {
    Facts { open_files: 6, files_limit: None, memory: None, quota: None }
}

/// 28,232 ports, none taken, reuse on loopback alone: what a new machine has.
fn ports() -> Ports {
    Ports {
        range: (32_768, 60_999),
        reserved: Vec::new(),
        reuse: 2,
        timestamps: true,
        waiting_max: 131_072,
        taken: Taken::default(),
    }
}

fn to(addresses: &[&str]) -> HashSet<SocketAddr> {
    addresses.iter().map(|address| address.parse().expect("an address")).collect()
}

fn far() -> HashSet<SocketAddr> {
    to(&["10.0.0.2:80"])
}

#[track_caller]
fn check(judged: Result<Vec<Finding>, StartError>, expect: Expect) {
    let text = match judged {
        Ok(findings) => findings.iter().map(|finding| format!("{:?}: {}\n", finding.kind, finding.text)).collect(),
        Err(error) => format!("refused: {error}\n"),
    };
    assert!(text.is_ascii(), "{text}");
    expect.assert_eq(&text);
}

#[track_caller]
fn check_memory(plan: &Plan, available_mib: u64, swap_mib: u64, expect: Expect) {
    let memory = Some(Memory { available: available_mib * MIB, swap: swap_mib * MIB });
    check(judge(plan, &Facts { memory, ..facts() }), expect);
}

#[test]
fn a_machine_that_suffices_gives_no_rise_to_anything() {
    check(judge(&connections(64), &facts()), expect![""]);
    check(judge_ports(&connections(64), &far(), &ports()), expect![""]);
}

#[test]
fn more_files_than_the_hard_limit_are_refused() {
    let limited = |limit| Facts { files_limit: Some(limit), ..facts() };
    check(judge(&connections(100), &limited(170)), expect![""]);
    check(
        judge(&connections(100), &limited(169)),
        expect![[r#"
        refused: -c 100: the hard limit of open files is 169; raise it with: ulimit -Hn 170
    "#]],
    );
    let embedded = Plan { embedded_target: true, ..connections(100) };
    check(
        judge(&embedded, &limited(269)),
        expect![[r#"
        refused: -c 100: the hard limit of open files is 269; raise it with: ulimit -Hn 270
    "#]],
    );
}

#[test]
fn more_memory_than_there_is_is_refused_and_nearly_all_of_it_is_told() {
    // 91.6 MiB are needed.
    let plan = connections(10_000);
    check_memory(&plan, 115, 0, expect![""]);
    check_memory(
        &plan,
        114,
        0,
        expect![[r#"
        Memory: this run takes about 92 MiB of the 114 MiB that are available: a machine that swaps or kills distorts what is measured. Lower -c (10000 now), or give it more memory.
    "#]],
    );
    check_memory(
        &plan,
        91,
        1_000,
        expect![[r#"
        Memory: this run takes about 92 MiB of the 91 MiB that are available: a machine that swaps or kills distorts what is measured. Lower -c (10000 now), or give it more memory.
    "#]],
    );
    check_memory(
        &plan,
        91,
        0,
        expect![[r#"
        refused: -c 10000: the run takes about 92 MiB of memory and 91 MiB are available; lower -c or -t, or raise the container's limit (docker run --memory)
    "#]],
    );
}

#[test]
fn memory_grows_with_connections_cores_copied_bodies_decoders_and_an_embedded_target() {
    let one = memory_needed(&connections(1));
    assert_eq!(memory_needed(&connections(1_001)) - one, 1_000 * (CONNECTION_BYTES + SOCKET_BYTES));
    let with = |body: usize| {
        plan(|raw| {
            (raw.body, raw.threads, raw.connections) = (Some(vec![b'x'; body]), Some("1".into()), Some("1".into()))
        })
    };
    assert_eq!(memory_needed(&with(16 * 1024)) - one, 16 * 1024);
    assert_eq!(memory_needed(&with(16 * 1024 + 1)), one, "a larger one is shared");
    let embedded = Plan { embedded_target: true, ..connections(1) };
    assert_eq!(memory_needed(&embedded) - one, TARGET_CONNECTION_BYTES + SOCKET_BYTES);
    assert_eq!(memory_needed(&Plan { decode: true, ..connections(1) }) - one, DECODER_BYTES);
    let two = plan(|raw| (raw.connections, raw.threads) = (Some("2".into()), Some("2".into())));
    assert_eq!(memory_needed(&two) - memory_needed(&connections(2)), CORE_BYTES);
}

#[test]
fn more_threads_than_the_quota_are_told() {
    let threads = |number: &str| plan(|raw| raw.threads = Some(number.into()));
    let quota = |granted| Facts { quota: Some(Quota { granted, period: 100_000 }), ..facts() };
    check(judge(&threads("2"), &quota(200_000)), expect![""]);
    check(
        judge(&threads("2"), &quota(150_000)),
        expect![[r#"
        CpuQuota: the cgroup's CPU quota of 1.5 is less than the threads (2): when it is used up, all stop until the next period, which shows as latency. Remedy: lower -t to 1, or raise the quota to 2 (docker update --cpus 2, or cpu.max of the cgroup).
    "#]],
    );
    check(
        judge(&threads("1"), &quota(50_000)),
        expect![[r#"
        CpuQuota: the cgroup's CPU quota of 0.5 is less than the threads (1): when it is used up, all stop until the next period, which shows as latency. Remedy: raise the quota to 1 (docker update --cpus 1, or cpu.max of the cgroup).
    "#]],
    );
    let embedded = Plan { embedded_target: true, ..threads("1") };
    check(judge(&embedded, &quota(200_000)), expect![""]);
    check(
        judge(&embedded, &quota(100_000)),
        expect![[r#"
        CpuQuota: the cgroup's CPU quota of 1 is less than the threads, the embedded target's included (2): when it is used up, all stop until the next period, which shows as latency. Remedy: raise the quota to 2 (docker update --cpus 2, or cpu.max of the cgroup).
    "#]],
    );
}

#[test]
fn more_connections_than_ports_are_refused_with_what_mends_it() {
    check(judge_ports(&connections(28_232), &far(), &ports()), expect![""]);
    check(
        judge_ports(&connections(28_233), &far(), &ports()),
        expect![[r#"
            refused: -c 28233: the local ports suffice for 28232 connections (net.ipv4.ip_local_port_range 32768 60999 for each pair of an address of ours and one of the target: 1); widen the range: sysctl -w net.ipv4.ip_local_port_range="1024 65535"; or connect from more addresses of ours (--source)
        "#]],
    );
    let reserved = Ports { reserved: vec![(80, 80), (32_760, 32_769), (60_999, 65_535)], ..ports() };
    check(judge_ports(&connections(28_229), &far(), &reserved), expect![""]);
    check(
        judge_ports(&connections(28_230), &far(), &reserved),
        expect![[r#"
            refused: -c 28230: the local ports suffice for 28229 connections (net.ipv4.ip_local_port_range 32768 60999 for each pair of an address of ours and one of the target: 1); widen the range: sysctl -w net.ipv4.ip_local_port_range="1024 65535"; or connect from more addresses of ours (--source)
        "#]],
    );
    check(
        judge_ports(&connections(64_513), &far(), &ports()),
        expect![[r#"
            refused: -c 64513: the local ports suffice for 28232 connections (net.ipv4.ip_local_port_range 32768 60999 for each pair of an address of ours and one of the target: 1); even the widest range would need 2 addresses, of ours (--source) or of the target; name more of them, or lower -c to 64512
        "#]],
    );
}

#[test]
fn each_address_of_the_target_has_all_ports() {
    let three = to(&["10.0.0.2:80", "10.0.0.3:80", "10.0.0.2:81"]);
    check(judge_ports(&connections(84_696), &three, &ports()), expect![""]);
    check(
        judge_ports(&connections(84_697), &three, &ports()),
        expect![[r#"
            refused: -c 84697: the local ports suffice for 84696 connections (net.ipv4.ip_local_port_range 32768 60999 for each pair of an address of ours and one of the target: 3); widen the range: sysctl -w net.ipv4.ip_local_port_range="1024 65535"; or connect from more addresses of ours (--source)
        "#]],
    );
}

#[test]
fn each_address_of_ours_has_all_ports_for_the_addresses_of_its_family() {
    let from = |source: &[&str], connections: &str| {
        plan(|raw| {
            raw.network.source = source.iter().map(|&text| text.to_owned()).collect();
            raw.connections = Some(connections.into());
        })
    };
    let block = ["10.0.0.0/29"];
    check(judge_ports(&from(&block, "169392"), &far(), &ports()), expect![""]);
    check(
        judge_ports(&from(&block, "169393"), &far(), &ports()),
        expect![[r#"
        refused: -c 169393: the local ports suffice for 169392 connections (net.ipv4.ip_local_port_range 32768 60999 for each pair of an address of ours and one of the target: 6); widen the range: sysctl -w net.ipv4.ip_local_port_range="1024 65535"; or connect from more addresses of ours (--source)
    "#]],
    );
    let both = to(&["10.0.0.2:80", "[fd00::2]:80"]);
    check(judge_ports(&from(&["10.0.0.9", "fd00::9-fd00::a"], "84696"), &both, &ports()), expect![""]);
    check(
        judge_ports(&from(&["10.0.0.9", "fd00::9-fd00::a"], "84697"), &both, &ports()),
        expect![[r#"
        refused: -c 84697: the local ports suffice for 84696 connections (net.ipv4.ip_local_port_range 32768 60999 for each pair of an address of ours and one of the target: 3); widen the range: sysctl -w net.ipv4.ip_local_port_range="1024 65535"; or connect from more addresses of ours (--source)
    "#]],
    );
    let all = to(&["[fd00::2]:80"]);
    check(judge_ports(&from(&["::/0"], "262144"), &all, &ports()), expect![""]);
    // Six times as many connections may wait.
    let closing = |rate: &str| {
        let mut plan = closing(Some(rate), "10m");
        plan.network = from(&block, "64").network;
        plan
    };
    check(judge_ports(&closing("2.8k"), &far(), &Ports { waiting_max: u64::MAX, ..ports() }), expect![""]);
    check(
        judge_ports(&closing("2.9k"), &far(), &Ports { waiting_max: u64::MAX, ..ports() }),
        expect![[r#"
        PortChurn: 2900 requests a second without keep-alive: a connection that this side closes first keeps its local port for 60s, so that above 2822 of them a second the 169328 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
    "#]],
    );
}

#[test]
fn a_look_up_for_each_connection_takes_a_file_more() {
    let facts = facts();
    let once = files_needed(&connections(100), &facts);
    let mut anew = connections(100);
    anew.network.dns = Dns::PerConnection;
    assert_eq!(files_needed(&anew, &facts), once + 100);
    // So does a body that is saved, where there are look-ups during the run anyway.
    let base = RawPlan { urls: vec!["http://host/".into()], connections: Some("100".into()), ..RawPlan::default() };
    let machine = Machine { cpus: vec![Cpu { id: 0, core: 0 }], quota: None };
    let fetched = fetch::validate(&fetch::RawFetch { base, ..Default::default() }, &machine);
    assert_eq!(files_needed(&fetched.expect("a plan"), &facts), once + 100);
}

#[test]
fn ports_that_others_have_are_told_and_nothing_is_refused_for_them() {
    let taken = |open, waiting, listening| Ports { taken: Taken { open, waiting, listening }, ..ports() };
    check(judge_ports(&connections(1_000), &far(), &taken(20_000, 7_231, 1)), expect![""]);
    check(
        judge_ports(&connections(1_000), &far(), &taken(20_000, 7_232, 1)),
        expect![[r#"
        PortsTaken: -c 1000: of 28232 local ports towards the target only 999 are free (20000 are in use, 7232 in TIME_WAIT for up to 60 s), and connections beyond them will be refused. Wait a minute, or: sysctl -w net.ipv4.tcp_tw_reuse=1.
    "#]],
    );
    check(
        judge_ports(&connections(1_000), &far(), &taken(28_000, 0, 0)),
        expect![[r#"
        PortsTaken: -c 1000: of 28232 local ports towards the target only 232 are free (28000 are in use, 0 in TIME_WAIT for up to 60 s), and connections beyond them will be refused. Close some, or lower -c.
    "#]],
    );
    // Those that wait on loopback are used again.
    check(judge_ports(&connections(1_000), &to(&["127.0.0.1:80"]), &taken(0, 28_000, 0)), expect![""]);
}

#[test]
fn an_open_load_without_keep_alive_is_told_when_its_ports_run_out() {
    // 64 connections leave 28,168 ports, which 60 s of 469.47/s use up.
    check(judge_ports(&closing(Some("469"), "10m"), &far(), &ports()), expect![""]);
    check(
        judge_ports(&closing(Some("470"), "10m"), &far(), &ports()),
        expect![[r#"
        PortChurn: 470 requests a second without keep-alive: a connection that this side closes first keeps its local port for 60s, so that above 469 of them a second the 28168 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
    "#]],
    );
    // A short run does not come to it.
    check(judge_ports(&closing(Some("1k"), "28s"), &far(), &ports()), expect![""]);
    check(
        judge_ports(&closing(Some("1k"), "29s"), &far(), &ports()),
        expect![[r#"
        PortChurn: 1000 requests a second without keep-alive: a connection that this side closes first keeps its local port for 60s, so that above 971 of them a second the 28168 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
    "#]],
    );
    let kept = Plan { keep_alive: true, ..closing(Some("1k"), "10m") };
    check(judge_ports(&kept, &far(), &ports()), expect![""]);
    // Half of the rate is another process's.
    let mut half = closing(Some("900"), "10m");
    half.part.count = 2;
    check(judge_ports(&half, &far(), &ports()), expect![""]);
}

#[test]
fn ports_that_are_used_again_run_out_at_higher_rates_only() {
    let loopback = to(&["127.0.0.1:80", "[::1]:80"]);
    check(judge_ports(&closing(Some("50k"), "10m"), &loopback, &ports()), expect![""]);
    check(
        judge_ports(&closing(Some("60k"), "10m"), &loopback, &ports()),
        expect![[r#"
        PortChurn: 60000 requests a second without keep-alive: a connection that this side closes first keeps its local port for 1s, so that above 56400 of them a second the 56400 free ports run out and connecting fails. Keep connections alive, or: sysctl -w net.ipv4.ip_local_port_range="1024 65535".
    "#]],
    );
    check(judge_ports(&closing(Some("20k"), "10m"), &far(), &Ports { reuse: 1, ..ports() }), expect![""]);
    let mixed = to(&["127.0.0.1:80", "10.0.0.2:80"]);
    check(
        judge_ports(&closing(Some("1k"), "10m"), &mixed, &ports()),
        expect![[r#"
        PortChurn: 1000 requests a second without keep-alive: a connection that this side closes first keeps its local port for 60s, so that above 940 of them a second the 56400 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
    "#]],
    );
    let untimed = Ports { reuse: 1, timestamps: false, ..ports() };
    check(
        judge_ports(&closing(Some("1k"), "10m"), &far(), &untimed),
        expect![[r#"
        PortChurn: 1000 requests a second without keep-alive: a connection that this side closes first keeps its local port for 60s, so that above 469 of them a second the 28168 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1 net.ipv4.tcp_timestamps=1.
    "#]],
    );
}

#[test]
fn where_the_kernel_lets_few_connections_wait_ports_do_not_run_out() {
    let few = Ports { waiting_max: 8_192, ..ports() };
    check(judge_ports(&closing(Some("1k"), "10m"), &far(), &few), expect![""]);
}

#[test]
fn a_closed_load_without_keep_alive_is_told_the_rate_that_lasts() {
    // 500 closes a second on one thread.
    check(judge_ports(&closing(None, "56s"), &far(), &ports()), expect![""]);
    check(
        judge_ports(&closing(None, "57s"), &far(), &ports()),
        expect![[r#"
        PortChurn: a closed load without keep-alive: a connection that this side closes first keeps its local port for 60s, so that above 494 of them a second the 28168 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
    "#]],
    );
    check(judge_ports(&closing(None, "57s"), &to(&["127.0.0.1:80"]), &ports()), expect![""]);
    let counted = |requests: &str, warmup: Option<&str>| {
        plan(|raw| {
            raw.keep_alive = Some(false);
            raw.requests = Some(requests.into());
            raw.warmup = warmup.map(str::to_owned);
        })
    };
    check(judge_ports(&counted("563379", None), &far(), &ports()), expect![""]);
    check(
        judge_ports(&counted("563380", None), &far(), &ports()),
        expect![[r#"
        PortChurn: a closed load without keep-alive: a connection that this side closes first keeps its local port for 60s, so that above 469 of them a second the 28168 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
    "#]],
    );
    check(
        judge_ports(&counted("100", Some("1m")), &far(), &ports()),
        expect![[r#"
        PortChurn: a closed load without keep-alive: a connection that this side closes first keeps its local port for 60s, so that above 469 of them a second the 28168 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
    "#]],
    );
}

#[test]
fn connections_with_a_last_request_are_told_when_their_ports_run_out() {
    let limited = |requests: &str, rate: Option<&str>, duration: &str| {
        plan(|raw| {
            raw.requests_per_connection = Some(requests.into());
            raw.shape.rate = rate.map(str::to_owned);
            raw.duration = Some(duration.into());
            raw.threads = Some("1".into());
        })
    };
    // A tenth of the connections of a load that closes each after its answer.
    check(judge_ports(&limited("10", Some("4690"), "10m"), &far(), &ports()), expect![""]);
    check(
        judge_ports(&limited("10", Some("4700"), "10m"), &far(), &ports()),
        expect![[r#"
            PortChurn: 4700 requests a second with --requests-per-connection 10: a connection that this side closes first keeps its local port for 60s, so that above 469 of them a second the 28168 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
        "#]],
    );
    // Of a closed load all ends are this side's: 5,263 a second with 10 requests each, 99 with 1,000.
    check(judge_ports(&limited("10", None, "5s"), &far(), &ports()), expect![""]);
    check(
        judge_ports(&limited("10", None, "6s"), &far(), &ports()),
        expect![[r#"
            PortChurn: a closed load with --requests-per-connection 10: a connection that this side closes first keeps its local port for 60s, so that above 4695 of them a second the 28168 free ports run out and connecting fails. Let them be used again: sysctl -w net.ipv4.tcp_tw_reuse=1.
        "#]],
    );
    check(judge_ports(&limited("1000", None, "10m"), &far(), &ports()), expect![""]);
    let mut few = limited("10", None, "10m");
    few.end.requests = Some(281_689);
    check(judge_ports(&few, &far(), &ports()), expect![""]);
}

#[test]
fn tls_takes_memory_for_origins_and_for_proxies() {
    let needed = |url: &str, proxy: &str| {
        memory_needed(&plan(|raw| {
            raw.urls = vec![url.into()];
            raw.connections = Some("1000".into());
            raw.http.version = Some(HttpVersion::Http1);
            raw.proxies.list.push(crate::plan::raw::RawProxy { subject: "--proxy".into(), url: proxy.into() });
        }))
    };
    let plain = needed("http://10.0.0.2/", "http://10.0.0.3");
    let layers = |url: &str, proxy: &str| (needed(url, proxy) - plain) / (1_000 * TLS_BYTES);
    assert_eq!(layers("https://10.0.0.2/", "http://10.0.0.3"), 1);
    assert_eq!(layers("http://10.0.0.2/", "https://10.0.0.3"), 1);
    assert_eq!(layers("https://10.0.0.2/", "https://10.0.0.3"), 2);
}

#[test]
fn requests_that_share_connections_take_memory_too() {
    let needed = |url: &str, version: HttpVersion, streams: &str| {
        memory_needed(&plan(|raw| {
            raw.urls = vec![url.into()];
            raw.connections = Some("10".into());
            raw.http.version = Some(version);
            raw.http.streams = Some(streams.into());
        }))
    };
    let [http1, alone] =
        [HttpVersion::Http1, HttpVersion::Http2].map(|version| needed("http://10.0.0.2/", version, "1"));
    assert_eq!(alone - http1, 10 * SHARED_BYTES);
    assert_eq!(needed("http://10.0.0.2/", HttpVersion::Http2, "8") - alone, 10 * 7 * STREAM_BYTES);
    assert_eq!(needed("http://10.0.0.2/", HttpVersion::Auto, "1"), http1);
    let [http1, auto] =
        [HttpVersion::Http1, HttpVersion::Auto].map(|version| needed("https://10.0.0.2/", version, "1"));
    assert_eq!(auto - http1, 10 * SHARED_BYTES, "what the server agrees to is not known yet");
}
