//! Exact division: how connections, requests and CPUs are dealt to shards, with nothing lost to rounding.

use super::Plan;

/// One core's part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// 0 to `count - 1`.
    pub index: u64,
    /// Number of shards, at least 1.
    pub count: u64,
    /// The CPU that its thread is pinned to.
    pub cpu: usize,
    /// Its part of the plan's connections, at least 1: as many slots as it has.
    pub connections: u32,
    /// Its part of the plan's requests, where their number is limited.
    pub requests: Option<u64>,
}

/// Deals the plan to its cores. Connections and requests sum to the plan's, exactly.
pub fn shards(plan: &Plan) -> Vec<Shard> {
    let count = plan.cores.len() as u64;
    let shards: Vec<_> = plan
        .cores
        .iter()
        .zip(0..count)
        .map(|(&cpu, index)| Shard {
            index,
            count,
            cpu,
            connections: part(u64::from(plan.connections), index, count) as u32,
            requests: plan.end.requests.map(|requests| part(requests, index, count)),
        })
        .collect();
    assert!(shards.iter().all(|shard| shard.connections > 0), "more shards than connections");
    assert_eq!(shards.iter().map(|shard| shard.connections).sum::<u32>(), plan.connections);
    shards
}

/// `total / count`, and one more for the first `total % count` indexes: how many of 0..total are ≡ index (mod count).
fn part(total: u64, index: u64, count: u64) -> u64 {
    total / count + u64::from(index < total % count)
}

/// One logical CPU that the process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number.
    pub id: usize,
    /// The physical core it belongs to: hyperthreads of one core share it.
    pub core: usize,
}

/// What the machine allows: the part of the environment that plans depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// CPUs of the process's affinity mask, ascending.
    pub cpus: Vec<Cpu>,
    /// CPUs' worth of time a cgroup grants, rounded up; `None` without a limit.
    pub quota: Option<usize>,
}

impl Machine {
    /// The first `count` CPUs to run on: one a physical core before any of its siblings.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        let mut rank: Vec<(usize, usize)> = Vec::with_capacity(self.cpus.len());
        for (position, cpu) in self.cpus.iter().enumerate() {
            let siblings_before = self.cpus[..position].iter().filter(|other| other.core == cpu.core).count();
            rank.push((siblings_before, cpu.id));
        }
        rank.sort_unstable();
        let mut chosen: Vec<usize> = rank.into_iter().take(count).map(|(_, id)| id).collect();
        chosen.sort_unstable();
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_sum_to_the_whole_and_differ_by_at_most_one() {
        for total in 0..50 {
            for count in 1..8 {
                let parts: Vec<_> = (0..count).map(|index| part(total, index, count)).collect();
                assert_eq!(parts.iter().sum::<u64>(), total);
                assert!(parts.iter().max().unwrap() - parts.iter().min().unwrap() <= 1);
            }
        }
    }

    #[test]
    fn physical_cores_come_before_their_siblings() {
        let cpus = [(0, 0), (1, 1), (2, 0), (3, 1)].map(|(id, core)| Cpu { id, core }).to_vec();
        let machine = Machine { cpus, quota: None };
        assert_eq!(machine.spread(2), [0, 1]);
        assert_eq!(machine.spread(3), [0, 1, 2]);
        assert_eq!(machine.spread(9), [0, 1, 2, 3]);
    }
}
