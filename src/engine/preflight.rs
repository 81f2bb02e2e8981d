//! The look at the machine before the first packet: what would fail, and the command that mends it.
//!
//! Judging is pure, over the plan and facts that `machine` reads. What is certain to fail is a [`StartError`], what is
//! likely to is a [`Finding`].

use std::collections::HashSet;
use std::net::SocketAddr;

use super::destination::Destinations;
use super::{StartError, machine};
use crate::net::runtime::{Decision, Driver, Refused};
use crate::plan::http::HttpVersion;
use crate::plan::network::Dns;
use crate::plan::origin::Scheme;
use crate::plan::shard::{Machine, Quota};
use crate::plan::source::Sources;
use crate::plan::{Load, Origin, Plan};
use crate::record::{Finding, FindingKind};
use crate::units::{NANOS_PER_S, Nanos};

/// Descriptors still to come besides the connections: rings, timers, report files.
const OTHER_FILES: u64 = 64;

// Memory, as measured with small answers on x86-64 and Linux 6.18: the peak of resident memory of runs with 1 to 19,000
// connections on 1 and 2 threads, and how much the kernel's slabs grew.
/// The program without workers.
const PROCESS_BYTES: u64 = 7 << 20;
/// A worker: its ring, its histograms, its pages of seconds.
const CORE_BYTES: u64 = 4 << 20;
/// What a worker's pages hold besides where times are recorded by class: three pages of two classes, mostly.
const CLASSES_BYTES: u64 = 10 << 20;
/// A connection and its slot, in user space; a body that is copied into its request comes on top.
const CONNECTION_BYTES: u64 = 2_560;
/// What TLS adds to it: buffers of monoio-rustls and rustls; 27 KiB a connection were measured in all.
const TLS_BYTES: u64 = 25_600;
/// What a connection adds that carries several requests: HTTP/2's tables and buffers (35 KiB a connection were measured in
/// all), or a pipeline's.
const SHARED_BYTES: u64 = 33 << 10;
/// Each request in flight on it but the first: a slot and a stream.
const STREAM_BYTES: u64 = 6 << 10;
/// A tag's histogram and counts, on each core and in their sum.
const TAG_BYTES: u64 = 320 * 1024;
/// What `--decode` adds while a small body is decoded.
const DECODER_BYTES: u64 = 40_960;
/// The kernel's side of one end of a connection, with little in its buffers.
const SOCKET_BYTES: u64 = 5_888;
/// The embedded target's side of a connection, in user space.
const TARGET_CONNECTION_BYTES: u64 = 9_728;
/// Bodies up to this size are copied into each slot's request.
const COPIED_BODY_BYTES: u64 = crate::plan::request::SMALL_BODY_BYTES as u64;

/// How long TIME_WAIT lasts; fixed in the kernel, `tcp_fin_timeout` is something else.
const TIME_WAIT: Nanos = Nanos::from_secs(60);
/// After this long `tcp_tw_reuse` gives the port of a waiting connection to a new one.
const REUSE_AFTER: Nanos = Nanos::from_secs(1);
/// Requests a second that one thread of a closed load makes when each has a connection of its own; 12,000 to 15,000 were
/// measured on loopback.
const CLOSED_RATE_PER_CORE: u64 = 10_000;
/// The same on connections that stay open, rounded down.
const KEPT_RATE_PER_CORE: u64 = 100_000;
/// Of so many connections of a closed load this side closes one before the server does: 40 to 800 were measured with 4 to
/// 64 connections to servers that are quick to close. An open load mostly waits for the answer, and then is nearly always
/// first: 87 to 97 of 100.
const CLOSED_SHARE: u64 = 20;
/// The widest `ip_local_port_range` that needs no privileges of its own.
const WIDEST: (u16, u16) = (1024, 65_535);
/// What sets it.
const WIDEN: &str = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"";

/// A plan whose machine was looked at, ready to run.
#[derive(Debug)]
pub struct Cleared {
    /// Of all threads.
    pub(super) driver: Driver,
    /// Why it is not io_uring, which would have been taken.
    pub(super) io_uring_refused: Option<String>,
    pub(super) destinations: Destinations,
    /// Likely trouble.
    pub findings: Vec<Finding>,
}

/// What of the machine decides whether the plan can run, beside its ports.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    /// Files that are open already, inherited ones included.
    pub(super) open_files: u64,
    /// The hard limit; `None` is without.
    pub(super) files_limit: Option<u64>,
    pub(super) memory: Option<Memory>,
    pub(super) quota: Option<Quota>,
}

/// Memory that could be had, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// Without swapping: of the machine, or of a cgroup if that is less.
    pub(super) available: u64,
    /// Free swap space of the machine.
    pub(super) swap: u64,
}

/// Local ports for connections.
#[derive(Clone, Debug)]
pub(super) struct Ports {
    /// First and last of `ip_local_port_range`.
    pub(super) range: (u16, u16),
    /// `ip_local_reserved_ports`, first and last of each run; they do not overlap.
    pub(super) reserved: Vec<(u16, u16)>,
    /// `tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
    pub(super) reuse: u8,
    /// `tcp_timestamps`, without which there is no reuse.
    pub(super) timestamps: bool,
    /// `tcp_max_tw_buckets`: connections beyond it do not wait.
    pub(super) waiting_max: u64,
    /// What has ports of the range already.
    pub(super) taken: Taken,
}

/// Sockets that keep ports of the range from new connections to the plan's destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Connections to the destinations, those in TIME_WAIT excluded.
    pub(super) open: u64,
    /// Connections to the destinations in TIME_WAIT.
    pub(super) waiting: u64,
    /// Ports that are listened on, for each of which no destination can be reached.
    pub(super) listening: u64,
}

/// Looks whether this machine can run the plan, raises the soft limit of open files, and finds the origins' addresses.
///
/// # Errors
/// What is certain to fail; nothing was sent.
pub fn check(plan: &Plan, machine: &Machine, decision: &Decision) -> Result<Cleared, StartError> {
    let facts = machine::facts(machine);
    let mut findings = judge(plan, &facts)?;
    machine::raise_open_files(files_needed(plan, &facts));
    let mut destinations = Destinations::resolve(plan)?;
    destinations.try_sources(plan)?;
    let addresses: HashSet<SocketAddr> = destinations.addresses().collect();
    // Where connections are closed, any number of ports may be needed.
    let kept = plan.requests_per_connection_max() == u64::MAX;
    let needed = if kept { u64::from(plan.connections) } else { u64::MAX };
    // A unix socket takes no port.
    let ports = (!addresses.is_empty()).then(|| machine::ports(&addresses, &plan.network.sources, needed)).flatten();
    if let Some(ports) = ports {
        findings.extend(judge_ports(plan, &addresses, &ports)?);
    }
    destinations.look(plan)?;
    let io_uring_refused = decision.refused.as_ref().map(Refused::cause);
    Ok(Cleared { driver: decision.driver, io_uring_refused, destinations, findings })
}

/// Open files, memory and CPUs.
fn judge(plan: &Plan, facts: &Facts) -> Result<Vec<Finding>, StartError> {
    let needed = files_needed(plan, facts);
    if let Some(limit) = facts.files_limit.filter(|&limit| limit < needed) {
        return Err(StartError::OpenFiles { connections: plan.connections, limit, needed });
    }
    let memory = facts.memory.map(|memory| judge_memory(plan, memory)).transpose()?.flatten();
    let quota = facts.quota.and_then(|quota| judge_quota(plan, quota));
    Ok(memory.into_iter().chain(quota).collect())
}

/// With the embedded target, this process has both ends of each connection.
fn ends(plan: &Plan) -> u64 {
    if plan.embedded_target { 2 } else { 1 }
}

fn files_needed(plan: &Plan, facts: &Facts) -> u64 {
    // A look-up has two, before its connection has one; later the body of its answer may have a file to itself.
    let two_each = plan.network.dns == Dns::PerConnection || plan.is_fetched();
    let more = if two_each { u64::from(plan.connections) } else { 0 };
    ends(plan) * u64::from(plan.connections) + more + facts.open_files + OTHER_FILES
}

/// An estimate of what the run will take on top of the plan, which is in memory already.
fn memory_needed(plan: &Plan) -> u64 {
    let bodies = plan.urls.bodies().chain(plan.body.as_deref()).map(|body| body.len() as u64);
    let body = bodies.filter(|&bytes| bytes <= COPIED_BODY_BYTES).max().unwrap_or(0);
    let target = if plan.embedded_target { TARGET_CONNECTION_BYTES } else { 0 };
    let is_encrypted = |at: &Origin| at.scheme == Scheme::Https;
    // TLS to a proxy may go around that to an origin.
    let origins = u64::from(plan.urls.origins().iter().any(is_encrypted));
    let proxies = u64::from(plan.proxies.list.iter().any(|proxy| is_encrypted(&proxy.at)));
    let tls = (origins + proxies) * TLS_BYTES;
    let decoder = if plan.decode { DECODER_BYTES } else { 0 };
    let more_slots = u64::from(plan.http.depth() - 1);
    let may_be_shared = match plan.http.version {
        HttpVersion::Auto => origins > 0,
        HttpVersion::Http1 => more_slots > 0,
        HttpVersion::Http2 => true,
    };
    let shared = u64::from(may_be_shared) * SHARED_BYTES + more_slots * (STREAM_BYTES + decoder + body);
    let connection = CONNECTION_BYTES + tls + shared + decoder + body + target + ends(plan) * SOCKET_BYTES;
    let tags = plan.urls.tags().names().len() as u64 * TAG_BYTES;
    let cores = plan.cores.len() as u64;
    let classes = if plan.by_class { CLASSES_BYTES } else { 0 };
    PROCESS_BYTES + tags + cores * (CORE_BYTES + tags + classes) + u64::from(plan.connections) * connection
}

fn judge_memory(plan: &Plan, memory: Memory) -> Result<Option<Finding>, StartError> {
    let needed = memory_needed(plan);
    let (needed_mib, available_mib) = (needed.div_ceil(1 << 20), memory.available >> 20);
    if needed > memory.available.saturating_add(memory.swap) {
        return Err(StartError::Memory { connections: plan.connections, needed_mib, available_mib });
    }
    let tight = u128::from(needed) * 100 > u128::from(memory.available) * 80;
    Ok(tight.then(|| Finding {
        kind: FindingKind::Memory,
        text: format!(
            "this run takes about {needed_mib} MiB of the {available_mib} MiB that are available: a machine that swaps or \
             kills distorts what is measured. Lower -c ({} now), or give it more memory.",
            plan.connections
        ),
    }))
}

fn judge_quota(plan: &Plan, quota: Quota) -> Option<Finding> {
    // The target's threads have the quota too; it has one at least.
    let threads = plan.cores.len() + usize::from(plan.embedded_target);
    let fewer = quota.rounded_down();
    let lower = match plan.embedded_target || !(1..threads).contains(&fewer) {
        true => String::new(),
        false => format!("lower -t to {fewer}, or "),
    };
    quota.is_exceeded_by(threads).then(|| Finding {
        kind: FindingKind::CpuQuota,
        text: format!(
            "the cgroup's CPU quota of {quota} is less than the threads{} ({threads}): when it is used up, all stop until \
             the next period, which shows as latency. Remedy: {lower}raise the quota to {threads} (docker update --cpus \
             {threads}, or cpu.max of the cgroup).",
            if plan.embedded_target { ", the embedded target's included" } else { "" }
        ),
    })
}

/// Each address of ours that may be chosen has all ports for each address and port of the target.
fn pairs(sources: &Sources, to: &HashSet<SocketAddr>) -> u64 {
    let of = |addr: &SocketAddr| if sources.is_empty() { 1 } else { sources.count(addr.ip()) };
    // Nobody has more connections than one of IPv6's addresses could take: what is cut off here decides nothing.
    to.iter().map(of).fold(0, u128::saturating_add).min(u128::from(u32::MAX)) as u64
}

/// Whether there are ports enough for the plan's connections to these addresses.
fn judge_ports(plan: &Plan, to: &HashSet<SocketAddr>, ports: &Ports) -> Result<Vec<Finding>, StartError> {
    let (connections, pairs) = (u64::from(plan.connections), pairs(&plan.network.sources, to));
    let all = ports.usable(ports.range) * pairs;
    if connections > all {
        let remedy = ports.remedy(connections, pairs);
        let (connections, range) = (plan.connections, ports.range);
        return Err(StartError::Ports { connections, most: all, pairs, range, remedy });
    }
    let reuse = ports.reuse(to);
    let Taken { open, waiting, listening } = ports.taken;
    let kept = if reuse == Reuse::Allowed { 0 } else { waiting };
    let free = all.saturating_sub(open + kept + listening.saturating_mul(pairs));
    let taken = (connections > free).then(|| {
        let remedy = match reuse.command() {
            Some(command) if kept > 0 => format!("Wait a minute, or: {command}"),
            _ => "Close some, or lower -c".to_owned(),
        };
        let text = format!(
            "-c {connections}: of {all} local ports towards the target only {free} are free ({open} are in use, {kept} in \
             TIME_WAIT for up to 60 s), and connections beyond them will be refused. {remedy}."
        );
        Finding { kind: FindingKind::PortsTaken, text }
    });
    let churn = judge_churn(plan, ports, reuse, free.saturating_sub(connections));
    Ok(taken.into_iter().chain(churn).collect())
}

/// Whether a run that closes connections after some requests may run out of `free` ports: those of the connections that
/// this side closes first stay in TIME_WAIT. Without keep-alive the server closes too, but its answer comes before its FIN.
fn judge_churn(plan: &Plan, ports: &Ports, reuse: Reuse, free: u64) -> Option<Finding> {
    let requests_max = plan.requests_per_connection_max();
    if requests_max == u64::MAX || free == 0 {
        return None;
    }
    let hold = if reuse == Reuse::Allowed { REUSE_AFTER } else { TIME_WAIT };
    let run = plan.end.duration.map_or(u64::MAX, |duration| duration.0.saturating_add(plan.warmup.0));
    let window = hold.0.min(run);
    let requests_per_s = match &plan.load {
        Load::Open { shape, .. } => shape.most_per_s() / plan.part.count as f64,
        Load::Closed => closed_rate_per_core(requests_max) * plan.cores.len() as f64,
    };
    // An end that was not announced is this side's alone.
    let share = if plan.load == Load::Closed && !plan.keep_alive { CLOSED_SHARE } else { 1 };
    let requests = (requests_per_s * window as f64 / NANOS_PER_S as f64).ceil() as u64;
    // A warm-up makes requests beyond the number that was asked for.
    let most = plan.end.requests.filter(|_| plan.warmup == Nanos::ZERO).unwrap_or(u64::MAX);
    if (requests.min(most) / requests_max / share).min(ports.waiting_max) <= free {
        return None;
    }
    let lasting = free as f64 / (window as f64 / NANOS_PER_S as f64);
    let load = match plan.load {
        Load::Open { .. } => format!("{requests_per_s} requests a second"),
        Load::Closed => "a closed load".to_owned(),
    };
    let (how, keep) = match plan.requests_per_connection {
        Some(requests) => (format!("with --requests-per-connection {requests}"), "Raise --requests-per-connection"),
        None => ("without keep-alive".to_owned(), "Keep connections alive"),
    };
    let remedy = match reuse.command() {
        Some(command) => format!("Let them be used again: {command}"),
        None if ports.usable(WIDEST) > ports.usable(ports.range) => format!("{keep}, or: {WIDEN}"),
        None => format!("{keep}, or use more addresses, of ours (--source) or of the target"),
    };
    Some(Finding {
        kind: FindingKind::PortChurn,
        text: format!(
            "{load} {how}: a connection that this side closes first keeps its local port for {hold}, so that \
             above {lasting:.0} of them a second the {free} free ports run out and connecting fails. {remedy}."
        ),
    })
}

/// Requests a second of one thread of a closed load whose connections make so many each: opening one takes its time.
fn closed_rate_per_core(requests_max: u64) -> f64 {
    let (alone, kept) = (1.0 / CLOSED_RATE_PER_CORE as f64, 1.0 / KEPT_RATE_PER_CORE as f64);
    1.0 / (kept + (alone - kept) / requests_max as f64)
}

/// Whether a new connection may take the port of one in TIME_WAIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reuse {
    /// After [`REUSE_AFTER`].
    Allowed,
    Forbidden,
    /// Forbidden, and the permission alone would not do.
    WithoutTimestamps,
}

impl Reuse {
    fn command(self) -> Option<&'static str> {
        match self {
            Self::Allowed => None,
            Self::Forbidden => Some("sysctl -w net.ipv4.tcp_tw_reuse=1"),
            Self::WithoutTimestamps => Some("sysctl -w net.ipv4.tcp_tw_reuse=1 net.ipv4.tcp_timestamps=1"),
        }
    }
}

impl Ports {
    fn reuse(&self, to: &HashSet<SocketAddr>) -> Reuse {
        match self.reuse {
            _ if !self.timestamps => Reuse::WithoutTimestamps,
            1 => Reuse::Allowed,
            2 if to.iter().all(|address| address.ip().to_canonical().is_loopback()) => Reuse::Allowed,
            _ => Reuse::Forbidden,
        }
    }

    /// Ports of `range` that are not reserved.
    pub(super) fn usable(&self, range: (u16, u16)) -> u64 {
        let length = |first: u16, last: u16| (u64::from(last) + 1).saturating_sub(u64::from(first));
        let reserved = self.reserved.iter().map(|&(first, last)| length(first.max(range.0), last.min(range.1)));
        length(range.0, range.1).saturating_sub(reserved.sum())
    }

    /// What gives `connections` their ports.
    fn remedy(&self, connections: u64, pairs: u64) -> String {
        let widest = self.usable(WIDEST);
        if connections <= widest * pairs {
            return format!("widen the range: {WIDEN}; or connect from more addresses of ours (--source)");
        }
        let (needed, most) = (connections.div_ceil(widest.max(1)), widest * pairs);
        format!(
            "even the widest range would need {needed} addresses, of ours (--source) or of the target; name more of them, or \
             lower -c to {most}"
        )
    }
}

#[cfg(test)]
mod tests;
