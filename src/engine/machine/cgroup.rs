//! What the process's control groups (version 2) allow it.

use std::path::{Path, PathBuf};

use super::read;
use crate::plan::shard::Quota;

/// The process's cgroup (version 2) and its parents, as far as they are to be seen.
pub(in crate::engine) fn cgroups() -> Vec<PathBuf> {
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
pub(super) fn quota() -> Option<Quota> {
    let quotas = cgroups().into_iter().filter_map(|folder| parse_quota(&read(folder.join("cpu.max"))?));
    quotas.reduce(Quota::min)
}

/// Reads `cpu.max`: `max 100000`, or microseconds granted in each period.
fn parse_quota(text: &str) -> Option<Quota> {
    let (granted, period) = text.split_once(' ')?;
    Some(Quota { granted: granted.parse().ok()?, period: period.trim().parse().ok().filter(|&period| period > 0)? })
}

/// The smallest limit of memory of the process's cgroups, in bytes.
pub(super) fn memory_limit() -> Option<u64> {
    cgroups().into_iter().filter_map(|folder| number(&folder, "memory.max")).min()
}

/// Bytes that a cgroup has left below its limit; its page cache gives way.
pub(super) fn room(folder: &Path) -> Option<u64> {
    let limit = number(folder, "memory.max")?;
    let stat = read(folder.join("memory.stat")).unwrap_or_default();
    let cache = stat.lines().filter_map(|line| {
        let (name, value) = line.split_once(' ')?;
        matches!(name, "inactive_file" | "active_file" | "slab_reclaimable").then(|| value.parse::<u64>().ok())?
    });
    Some(limit.saturating_sub(number(folder, "memory.current")?.saturating_sub(cache.sum())))
}

/// `None` where there is no such file, and where it says `max`.
fn number(folder: &Path, name: &str) -> Option<u64> {
    read(folder.join(name))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

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
}
