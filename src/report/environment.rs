//! Where and by what a run was measured: for programs mirror structs, for people a paragraph. Unmeasured is null or n/a.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::UNIX_EPOCH;

use serde::Serialize;

use super::summary::Summary;
use crate::plan::Plan;
use crate::plan::shard::Quota;
use crate::record::environment::{self, Way};
use crate::units::{Nanos, format_bytes};

/// Origins whose addresses are listed.
const ORIGINS_LISTED: usize = 100;
/// Ways that the text lists.
const WAYS_LISTED: usize = 3;
/// What stands for what was not measured.
const UNKNOWN: &str = "n/a";
/// Why a description of the target is no part of what was measured.
pub(super) const DECLARED: &str = "declared, not verified";

/// This program, as built.
#[derive(Serialize)]
pub(super) struct Tool<'a> {
    name: &'static str,
    version: &'static str,
    commit: Option<&'static str>,
    build: Build,
    /// Of its file, in hex.
    binary_sha256: Option<&'a str>,
    rng: Rng,
}

/// What the compiler was told; null where the build did not say.
#[derive(Serialize)]
struct Build {
    profile: Option<&'static str>,
    target: Option<&'static str>,
    opt_level: Option<&'static str>,
    debug_assertions: bool,
    rustc: Option<&'static str>,
    rustflags: Option<&'static str>,
    target_features: Option<&'static str>,
}

/// The generators of random choices; the plan has their seed.
#[derive(Serialize)]
struct Rng {
    poisson_arrivals: &'static str,
    random_order: &'static str,
    shuffle: &'static str,
}

/// The client's machine.
#[derive(Serialize)]
pub(super) struct Environment<'a> {
    kernel: Option<&'a str>,
    cpu_model: Option<&'a str>,
    smt: Option<bool>,
    cores_allowed: &'a [usize],
    cores_used: &'a [usize],
    governor: Option<&'a str>,
    memory_bytes: Option<u64>,
    nofile: Option<u64>,
    port_range: Option<[u16; 2]>,
    clocksource: Option<&'a str>,
    clock_resolution_ns: Option<u64>,
    driver: &'a str,
    ring_flags: &'a [&'static str],
    cgroup: Cgroup,
    platform: Platform<'a>,
    sysctls: BTreeMap<&'static str, Option<&'a str>>,
    ways: Vec<WayEcho<'a>>,
}

/// Null is without a limit, or not to be seen.
#[derive(Serialize)]
struct Cgroup {
    cpus: Option<f64>,
    memory_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Platform<'a> {
    vendor: Option<&'a str>,
    product: Option<&'a str>,
    hypervisor: Option<bool>,
    container: Option<&'a str>,
}

#[derive(Serialize)]
struct WayEcho<'a> {
    to: String,
    from: Option<String>,
    interface: Option<&'a str>,
    driver: Option<&'a str>,
    speed_mbit: Option<u64>,
    mtu: Option<u64>,
}

/// What an origin resolved to.
#[derive(Serialize)]
pub(super) struct Origin<'a> {
    origin: String,
    /// Through which of the plan's proxies is not known of a request.
    proxied: bool,
    addresses: Vec<String>,
    tls: Option<TlsSession<'a>>,
}

#[derive(Serialize)]
struct TlsSession<'a> {
    version: &'a str,
    cipher: &'a str,
    alpn: Option<&'a str>,
}

/// Instants in RFC 3339, UTC.
#[derive(Serialize)]
pub(super) struct Time {
    /// The first request could go: the warm-up's where there was one.
    started: String,
    t0: String,
    /// The end of the window: with T0 what was analysed.
    window_end: String,
    /// Of the drain.
    ended: String,
}

/// What the user said of the target.
#[derive(Serialize)]
pub(super) struct Described<'a> {
    status: &'static str,
    text: &'a str,
}

impl<'a> Tool<'a> {
    pub(super) fn new(summary: &'a Summary<'_>) -> Self {
        Self {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("RINGLOAD_COMMIT"),
            build: Build {
                profile: option_env!("RINGLOAD_PROFILE"),
                target: option_env!("RINGLOAD_TARGET"),
                opt_level: option_env!("RINGLOAD_OPT_LEVEL"),
                debug_assertions: cfg!(debug_assertions),
                rustc: option_env!("RINGLOAD_RUSTC"),
                rustflags: option_env!("RINGLOAD_RUSTFLAGS"),
                target_features: option_env!("RINGLOAD_TARGET_FEATURES"),
            },
            binary_sha256: summary.record.environment.binary_sha256.as_deref(),
            rng: Rng {
                poisson_arrivals: "ChaCha8",
                random_order: "SplitMix64",
                shuffle: "Feistel network of SplitMix64's mixing function",
            },
        }
    }
}

impl<'a> Environment<'a> {
    pub(super) fn new(summary: &'a Summary<'_>) -> Self {
        let environment = &summary.record.environment;
        Self {
            kernel: environment.kernel.as_deref(),
            cpu_model: environment.cpu_model.as_deref(),
            smt: environment.smt,
            cores_allowed: &environment.cores_allowed,
            cores_used: &environment.cores_used,
            governor: environment.governor.as_deref(),
            memory_bytes: environment.memory_bytes,
            nofile: environment.nofile,
            port_range: environment.port_range.map(|(first, last)| [first, last]),
            clocksource: environment.clocksource.as_deref(),
            clock_resolution_ns: environment.clock_resolution_ns,
            driver: summary.record.driver,
            ring_flags: &summary.ring_flags,
            cgroup: Cgroup {
                cpus: environment.cgroup.cpu.map(Quota::cpus),
                memory_bytes: environment.cgroup.memory_bytes,
            },
            platform: Platform::new(&environment.platform),
            sysctls: environment.sysctls.iter().map(|(name, value)| (*name, value.as_deref())).collect(),
            ways: environment.ways.iter().map(WayEcho::new).collect(),
        }
    }
}

impl<'a> Platform<'a> {
    fn new(platform: &'a environment::Platform) -> Self {
        Self {
            vendor: platform.vendor.as_deref(),
            product: platform.product.as_deref(),
            hypervisor: platform.hypervisor,
            container: platform.container.as_deref(),
        }
    }
}

impl<'a> WayEcho<'a> {
    fn new(way: &'a Way) -> Self {
        Self {
            to: way.to.to_string(),
            from: way.from.map(|from| from.to_string()),
            interface: way.interface.as_deref(),
            driver: way.driver.as_deref(),
            speed_mbit: way.speed_mbit,
            mtu: way.mtu,
        }
    }
}

impl Time {
    pub(super) fn new(summary: &Summary<'_>) -> Self {
        let (plan, record) = (summary.plan, summary.record);
        Self {
            started: rfc3339(Nanos(record.t0_unix.0.saturating_sub(plan.warmup.0))),
            t0: rfc3339(record.t0_unix),
            window_end: rfc3339(Nanos(record.t0_unix.0.saturating_add(record.window.0))),
            ended: rfc3339(record.ended_unix),
        }
    }
}

impl<'a> Described<'a> {
    pub(super) fn new(plan: &'a Plan) -> Option<Self> {
        plan.described.as_deref().map(|text| Self { status: DECLARED, text })
    }
}

/// Writes what of the JSON report is about the machine and the program, as JSON.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(summary: &Summary<'_>, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Part<'a> {
        tool: Tool<'a>,
        environment: Environment<'a>,
        origins: Vec<Origin<'a>>,
        time: Time,
        described: Option<Described<'a>>,
    }
    let part = Part {
        tool: Tool::new(summary),
        environment: Environment::new(summary),
        origins: origins(summary),
        time: Time::new(summary),
        described: Described::new(summary.plan),
    };
    serde_json::to_writer_pretty(&mut *out, &part).map_err(io::Error::from)?;
    writeln!(out)
}

/// An instant since the Unix epoch, to the nanosecond.
pub(super) fn rfc3339(unix: Nanos) -> String {
    humantime::format_rfc3339_nanos(UNIX_EPOCH + unix.to_std()).to_string()
}

/// What the origins resolved to, as far as they are listed.
pub(super) fn origins<'a>(summary: &'a Summary<'_>) -> Vec<Origin<'a>> {
    let origins = summary.plan.urls.origins().iter().zip(&summary.record.origins).take(ORIGINS_LISTED);
    let named = origins.map(|(origin, reached)| Origin {
        origin: origin.to_string(),
        proxied: !summary.plan.proxies.of(origin).is_empty(),
        addresses: reached.addresses.iter().map(ToString::to_string).collect(),
        tls: reached.tls.as_ref().map(|session| TlsSession {
            version: &session.version,
            cipher: &session.cipher,
            alpn: session.alpn.as_deref(),
        }),
    });
    named.collect()
}

/// The machine in a paragraph, not escaped.
pub(super) fn paragraph(environment: &environment::Environment) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let switch = |on: Option<bool>| on.map_or(UNKNOWN, |on| if on { "on" } else { "off" });
    let memory = |bytes: Option<u64>, none: &str| bytes.map_or_else(|| none.to_owned(), |b| format_bytes(b as f64));
    let platform = &environment.platform;
    let machine = match (platform.hypervisor, &platform.product) {
        (Some(true), product) => format!("virtual machine ({})", known(product)),
        (_, product) => format!("machine {}", known(product)),
    };
    let container = platform.container.as_ref().map(|name| format!("container ({name})"));
    let quota = environment.cgroup.cpu.map(|quota| format!("cgroup's CPUs {:.2}", quota.cpus()));
    let limit = environment.cgroup.memory_bytes.map(|bytes| format!("cgroup's memory {}", format_bytes(bytes as f64)));
    let facts = [
        Some(format!("Linux {}", known(&environment.kernel))),
        Some(format!("CPU {}", known(&environment.cpu_model))),
        Some(format!("SMT {}", switch(environment.smt))),
        Some(format!("governor {}", known(&environment.governor))),
        Some(format!("memory {}", memory(environment.memory_bytes, UNKNOWN))),
        Some(machine),
        container,
        quota,
        limit,
        Some(format!("clock {}", known(&environment.clocksource))),
    ];
    let ways = environment.ways.iter().take(WAYS_LISTED).map(describe_way);
    facts.into_iter().flatten().chain(ways).collect::<Vec<_>>().join(", ")
}

fn describe_way(way: &Way) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| UNKNOWN.to_owned());
    let speed = way.speed_mbit.map_or_else(|| UNKNOWN.to_owned(), |speed| format!("{speed} Mbit/s"));
    let mtu = way.mtu.map_or_else(|| UNKNOWN.to_owned(), |mtu| mtu.to_string());
    format!("{} by {} (driver {}, speed {speed}, MTU {mtu})", way.to, known(&way.interface), known(&way.driver))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn the_paragraph_says_what_is_known_and_what_is_not() {
        let (_, mut record) = fixture::closed();
        record.environment.ways.push(fixture::way());
        let text = paragraph(&record.environment);
        for part in [
            "Linux 6.8.0, CPU n/a, SMT n/a, governor n/a, memory n/a, virtual machine (KVM",
            "clock n/a, 10.0.0.2 by eth0 (driver virtio_net, speed n/a, MTU 1500)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("cgroup") && !text.contains("container"), "{text}");
        let nothing = environment::Environment::default();
        assert!(paragraph(&nothing).starts_with("Linux n/a, CPU n/a"), "{}", paragraph(&nothing));
    }

    #[test]
    fn the_instants_are_those_of_the_run() {
        let (plan, record) = fixture::open();
        let time = Time::new(&Summary::new(&plan, &record));
        assert_eq!(time.started, "2025-12-31T23:59:59.123456789Z");
        assert_eq!(time.t0, "2026-01-01T00:00:00.123456789Z");
        assert_eq!(time.window_end, "2026-01-01T00:00:02.123456789Z");
    }
}
