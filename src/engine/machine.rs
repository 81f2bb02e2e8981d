//! What can be read of the machine: the CPUs and the share of them that a plan may use, the facts a report states, and
//! those by which the preflight judges.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::preflight::{Facts, Memory, Ports, Taken};
use crate::plan::shard::{Cpu, Machine, Quota};
use crate::plan::source::Sources;
use crate::record::Environment;

/// Of a table of sockets no more is read: about 100,000 lines, 0.1 s.
const TABLE_BYTES: u64 = 16 << 20;
/// How the tables write a listening socket, and one in TIME_WAIT.
const LISTEN: &str = "0A";
const TIME_WAIT: &str = "06";

/// The CPUs of the affinity mask, their physical cores, and the cgroup's quota.
pub fn machine() -> Machine {
    let ids = core_affinity::get_core_ids().unwrap_or_default();
    let mut cpus: Vec<Cpu> = ids.into_iter().map(|core| Cpu { id: core.id, core: first_sibling(core.id) }).collect();
    cpus.sort_unstable_by_key(|cpu| cpu.id);
    if cpus.is_empty() {
        cpus.push(Cpu { id: 0, core: 0 });
    }
    Machine { cpus, quota: quota() }
}

/// The facts of contract section 3.
pub fn environment(machine: &Machine, cores_used: &[usize]) -> Environment {
    let cpuinfo = read("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let governor =
        cores_used.first().and_then(|core| read(format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor")));
    Environment {
        kernel: read("/proc/sys/kernel/osrelease"),
        cpu_model: model.map(|(_, name)| name.trim().to_owned()),
        cores_allowed: machine.cpus.iter().map(|cpu| cpu.id).collect(),
        cores_used: cores_used.to_vec(),
        governor,
        memory_bytes: read("/proc/meminfo").and_then(|text| kibibytes(&text, "MemTotal")),
        nofile: getrlimit(Resource::Nofile).current,
        port_range: port_range(),
        clocksource: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    }
}

/// What decides whether a plan can run, beside its ports.
pub(super) fn facts(machine: &Machine) -> Facts {
    Facts {
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        files_limit: getrlimit(Resource::Nofile).maximum,
        memory: memory(),
        quota: machine.quota,
    }
}

/// Raises the soft limit of open files to the hard one, where `needed` asks for it.
pub(super) fn raise_open_files(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|soft| soft < needed) {
        // Raising a soft limit within the hard one is always allowed.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// The local ports from which `destinations` can be reached from `sources`. What is taken of them is found out only where `needed` more
/// may be too many: the tables of sockets take 12 ms to read even when they are empty.
pub(super) fn ports(destinations: &HashSet<SocketAddr>, sources: &Sources, needed: u64) -> Option<Ports> {
    let setting = |name: &str| read(format!("/proc/sys/net/ipv4/{name}"));
    let number = |name: &str| setting(name)?.parse::<u64>().ok();
    let mut ports = Ports {
        range: port_range()?,
        reserved: setting("ip_local_reserved_ports").map(|text| port_list(&text)).unwrap_or_default(),
        reuse: number("tcp_tw_reuse").unwrap_or(0) as u8,
        timestamps: number("tcp_timestamps").is_none_or(|value| value > 0),
        waiting_max: number("tcp_max_tw_buckets").unwrap_or(u64::MAX),
        taken: Taken::default(),
    };
    if needed.saturating_add(sockets()) > ports.usable(ports.range) {
        ports.taken = taken(destinations, sources, ports.range);
    }
    Some(ports)
}

/// TCP sockets of this network namespace, those in TIME_WAIT included; cheap.
fn sockets() -> u64 {
    let of = |path: &str| {
        let text = read(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("TCP")).unwrap_or_default().to_owned();
        let words: Vec<&str> = line.split_whitespace().collect();
        let pairs = words.windows(2).filter(|pair| matches!(pair[0], "inuse" | "tw"));
        pairs.filter_map(|pair| pair[1].parse::<u64>().ok()).sum::<u64>()
    };
    of("/proc/self/net/sockstat") + of("/proc/self/net/sockstat6")
}

fn taken(destinations: &HashSet<SocketAddr>, sources: &Sources, range: (u16, u16)) -> Taken {
    let mut taken = Taken::default();
    let mut listening = HashSet::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let Ok(file) = File::open(table) else { continue };
        for line in BufReader::new(file.take(TABLE_BYTES)).lines().map_while(Result::ok) {
            let Some((local, remote, state)) = socket(&line) else { continue };
            match state {
                _ if !(range.0..=range.1).contains(&local.port()) => {}
                LISTEN => _ = listening.insert(local.port()),
                _ if !destinations.contains(&remote) || !sources.contains(local.ip()) => {}
                TIME_WAIT => taken.waiting += 1,
                _ => taken.open += 1,
            }
        }
    }
    taken.listening = listening.len() as u64;
    taken
}

/// Both addresses of a line of `/proc/net/tcp` or `tcp6`, and its state as written there.
fn socket(line: &str) -> Option<(SocketAddr, SocketAddr, &str)> {
    let mut words = line.split_whitespace().skip(1);
    Some((socket_address(words.next()?)?, socket_address(words.next()?)?, words.next()?))
}

/// Reads `0100007F:1F90`: words of 32 bits in the machine's byte order, and the port.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_flattened()).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some((ip, port).into())
}

fn port_range() -> Option<(u16, u16)> {
    let text = read("/proc/sys/net/ipv4/ip_local_port_range")?;
    let mut ports = text.split_whitespace().map(str::parse::<u16>);
    Some((ports.next()?.ok()?, ports.next()?.ok()?))
}

/// Reads `8080,9000-9010`, as the kernel writes it.
fn port_list(text: &str) -> Vec<(u16, u16)> {
    let run = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
    };
    text.split(',').filter_map(run).collect()
}

/// What the machine has left, or the cgroup or a parent of it if that is less.
fn memory() -> Option<Memory> {
    let text = read("/proc/meminfo")?;
    let machine = kibibytes(&text, "MemAvailable")?;
    let available = cgroups().iter().filter_map(|folder| room(folder)).fold(machine, u64::min);
    Some(Memory { available, swap: kibibytes(&text, "SwapFree").unwrap_or(0) })
}

/// Bytes that a cgroup has left below its limit; its page cache gives way.
fn room(folder: &Path) -> Option<u64> {
    let number = |name: &str| read(folder.join(name))?.parse::<u64>().ok();
    let limit = number("memory.max")?;
    let stat = read(folder.join("memory.stat")).unwrap_or_default();
    let cache = stat.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        matches!(name, "inactive_file" | "active_file" | "slab_reclaimable").then(|| value.parse::<u64>().ok())?
    });
    Some(limit.saturating_sub(number("memory.current")?.saturating_sub(cache.sum())))
}

/// A line such as `MemTotal:  1024 kB`, in bytes.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

fn first_sibling(cpu: usize) -> usize {
    let siblings = read(format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"));
    siblings.and_then(|list| list.split([',', '-']).next()?.parse().ok()).unwrap_or(cpu)
}

/// The process's cgroup (version 2) and its parents, as far as they are to be seen.
pub(super) fn cgroups() -> Vec<PathBuf> {
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let root = Path::new("/sys/fs/cgroup");
    let parents = |path: &str| {
        let folder = root.join(path);
        folder.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned).collect()
    };
    path.map(parents).unwrap_or_default()
}

/// The smallest CPU quota of the process's cgroups.
fn quota() -> Option<Quota> {
    let quotas = cgroups().into_iter().filter_map(|folder| parse_quota(&read(folder.join("cpu.max"))?));
    quotas.reduce(Quota::min)
}

/// Reads `cpu.max`: `max 100000`, or microseconds granted in each period.
fn parse_quota(text: &str) -> Option<Quota> {
    let (granted, period) = text.split_once(' ')?;
    Some(Quota { granted: granted.parse().ok()?, period: period.trim().parse().ok().filter(|&period| period > 0)? })
}

/// A file's text without space around it.
pub(super) fn read(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_exactly() {
        assert_eq!(parse_quota("max 100000"), None);
        assert_eq!(parse_quota("150000 100000"), Some(Quota { granted: 150_000, period: 100_000 }));
        assert_eq!(parse_quota("50000 0"), None);
        assert_eq!(parse_quota("nonsense"), None);
    }

    #[test]
    fn a_cgroup_has_what_its_limit_leaves_and_its_page_cache_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("a file");
        assert_eq!(room(folder.path()), None);
        write("memory.max", "max\n");
        write("memory.current", "9000\n");
        assert_eq!(room(folder.path()), None);
        write("memory.max", "10000\n");
        assert_eq!(room(folder.path()), Some(1_000));
        write("memory.stat", "anon 1000\ninactive_file 5000\nactive_file 300\nshmem 70\n");
        assert_eq!(room(folder.path()), Some(6_300));
        write("memory.current", "20000\n");
        assert_eq!(room(folder.path()), Some(0));
    }

    #[test]
    fn a_line_of_the_tables_of_sockets_is_read() {
        // As a little-endian machine writes them.
        if cfg!(target_endian = "big") {
            return;
        }
        let line = "   2: 0100007F:1F90 0200000A:0050 06 00000000:00000000 03:000017A6 00000000 0 0 0 3 0";
        let addresses = |line| socket(line).map(|(local, remote, state)| format!("{local} {remote} {state}"));
        assert_eq!(addresses(line).as_deref(), Some("127.0.0.1:8080 10.0.0.2:80 06"));
        let mapped = "0: 0000000000000000FFFF00000100007F:C350 00000000000000000000000001000000:0050 01";
        assert_eq!(addresses(mapped).as_deref(), Some("127.0.0.1:50000 [::1]:80 01"));
        assert_eq!(addresses("  sl  local_address rem_address   st tx_queue"), None);
        assert_eq!(addresses("0: 0100"), None);
    }

    #[test]
    fn connections_of_this_process_are_found_in_the_tables() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let _connections = [(); 3].map(|()| std::net::TcpStream::connect(address).expect("it listens"));
        let from = |source: &[&str]| {
            let texts: Vec<String> = source.iter().map(|&text| text.to_owned()).collect();
            let sources = Sources::parse(&texts).expect("sources");
            taken(&HashSet::from([address]), &sources, (1024, 65_535))
        };
        assert_eq!((from(&["127.0.0.1"]).open, from(&["127.0.0.2"]).open), (3, 0));
        let taken = from(&[]);
        assert_eq!((taken.open, taken.waiting), (3, 0));
        assert!(taken.listening >= 1 && sockets() >= 7);
    }

    #[test]
    fn reserved_ports_are_read_as_the_kernel_writes_them() {
        assert_eq!(port_list(""), []);
        assert_eq!(port_list("8080,9000-9010\n"), [(8080, 8080), (9000, 9010)]);
    }

    #[test]
    fn this_machine_has_a_cpu_and_a_kernel() {
        let machine = machine();
        assert!(!machine.cpus.is_empty());
        assert!(environment(&machine, &[0]).kernel.is_some_and(|kernel| !kernel.is_empty()));
    }
}
