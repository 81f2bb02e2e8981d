//! Exact division: how connections, requests and CPUs are dealt to shards, with nothing lost to rounding.

use std::fmt;

use super::Plan;
use super::error::PlanError;

/// One core's part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// 0 to `count - 1`, over the cores of all processes.
    pub index: u64,
    /// Its place among the shards of this process, from 0.
    pub place: usize,
    /// Number of shards of all processes, at least 1.
    pub count: u64,
    /// The CPU that its thread is pinned to.
    pub cpu: usize,
    /// Its part of the plan's connections, at least 1.
    pub connections: u32,
    /// Requests that it can have in flight: as many slots as it has.
    pub slots: u32,
    /// Its part of the plan's requests, where their number is limited.
    pub requests: Option<u64>,
}

/// Deals the plan to its cores. Connections and requests sum to the plan's, exactly.
///
/// Process p of N takes the numbers p, p+N, …, and deals them to its cores in turn, so that core j of C has stripe
/// p + jN of NC: what N processes of C cores do is what one of NC cores would.
pub fn shards(plan: &Plan) -> Vec<Shard> {
    let count = plan.cores.len() as u64;
    let of = plan.part;
    let shards: Vec<_> = plan
        .cores
        .iter()
        .zip(0..count)
        .map(|(&cpu, place)| Shard {
            index: of.index + place * of.count,
            place: place as usize,
            count: count * of.count,
            cpu,
            connections: part(u64::from(plan.connections), place, count) as u32,
            slots: part(u64::from(plan.connections), place, count) as u32 * plan.http.depth(),
            requests: plan.end.requests.map(|requests| part(requests, place, count)),
        })
        .collect();
    assert!(shards.iter().all(|shard| shard.connections > 0), "more shards than connections");
    assert_eq!(shards.iter().map(|shard| shard.connections).sum::<u32>(), plan.connections);
    shards
}

/// `total / count`, and one more for the first `total % count` indexes: how many of 0..total are ≡ index (mod count).
pub(super) fn part(total: u64, index: u64, count: u64) -> u64 {
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
    /// The CPU time that a cgroup grants; `None` without a limit.
    pub quota: Option<Quota>,
}

/// `granted / period` CPUs' worth of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Microseconds of CPU time in each period.
    pub granted: u64,
    /// Microseconds, above 0.
    pub period: u64,
}

impl Quota {
    /// As a number of CPUs.
    pub fn cpus(self) -> f64 {
        self.granted as f64 / self.period as f64
    }

    /// The CPUs that are needed to use it up, at least 1.
    pub fn rounded_up(self) -> usize {
        self.granted.div_ceil(self.period).max(1) as usize
    }

    /// The CPUs that it covers wholly, down to 0.
    pub fn rounded_down(self) -> usize {
        (self.granted / self.period) as usize
    }

    /// Whether so many busy threads use it up before a period is over.
    pub fn is_exceeded_by(self, threads: usize) -> bool {
        threads as u128 * u128::from(self.period) > u128::from(self.granted)
    }

    /// The smaller one.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        let less =
            u128::from(self.granted) * u128::from(other.period) <= u128::from(other.granted) * u128::from(self.period);
        if less { self } else { other }
    }
}

impl fmt::Display for Quota {
    /// In CPUs, for print.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.granted as f64 / self.period as f64 * 1e3).round() / 1e3)
    }
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

/// Reads `0,2-3` into CPU numbers, each of them among `allowed`.
///
/// # Errors
/// No such list, a core outside, a core twice.
pub fn core_list(text: &str, allowed: &[usize]) -> Result<Vec<usize>, PlanError> {
    let bad = |problem: String| PlanError::new(format!("--cores {}", text.escape_debug()), problem);
    let syntax = || bad("is no list of cores; write e.g. 0,2-3".into());
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().map_err(|_| syntax())?, last.parse().map_err(|_| syntax())?);
        if first > last || last > 65_535 {
            return Err(syntax());
        }
        // One by one, so that the list never grows beyond the machine's.
        for core in first..=last {
            if !allowed.contains(&core) {
                return Err(bad(format!("core {core} is outside the allowed set {allowed:?}")));
            }
            if cores.contains(&core) {
                return Err(bad("names a core twice".into()));
            }
            cores.push(core);
        }
    }
    Ok(cores)
}

/// Checks what must hold for every text as a list of cores, on a machine of 8 with a gap: an accepted one names cores of
/// the machine, each once, and reads back as it is written; a refusal steers no terminal.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_core_list(bytes: &[u8]) {
    const ALLOWED: [usize; 8] = [0, 1, 2, 3, 5, 6, 7, 64];
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match core_list(text, &ALLOWED) {
        Ok(cores) => {
            let times = |core: &usize| cores.iter().filter(|other| *other == core).count();
            assert!(!cores.is_empty() && cores.capacity() <= 2 * ALLOWED.len(), "{text:?}");
            assert!(cores.iter().all(|core| ALLOWED.contains(core) && times(core) == 1), "{text:?}");
            let written = cores.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
            assert_eq!(core_list(&written, &ALLOWED), Ok(cores));
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error:?}"),
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

    /// The shards of process `index` of `count`, of `threads` cores each.
    fn process(index: usize, count: usize, threads: usize, connections: u32, requests: u64) -> Vec<Shard> {
        let cpus = (0..threads).map(|id| Cpu { id, core: id }).collect();
        let raw = crate::plan::RawPlan {
            urls: vec!["http://a/".into()],
            shard: Some(format!("{}/{count}", index + 1)),
            threads: Some(threads.to_string()),
            connections: Some(connections.to_string()),
            requests: Some(requests.to_string()),
            ..crate::plan::RawPlan::default()
        };
        shards(&crate::plan::validate(&raw, &Machine { cpus, quota: None }).expect("a plan"))
    }

    #[test]
    fn processes_together_have_the_shards_of_one() {
        for (count, threads) in [(1, 7), (2, 1), (2, 3), (3, 1), (3, 2), (7, 1), (7, 2)] {
            for requests in [50, 51, 99, 1_000] {
                let key = |shard: &Shard| (shard.index, shard.count, shard.connections, shard.requests);
                let of_processes = (0..count).flat_map(|index| process(index, count, threads, 47, requests));
                let mut several: Vec<_> = of_processes.map(|shard| key(&shard)).collect();
                several.sort_unstable();
                let one: Vec<_> = process(0, 1, count * threads, 47, requests).iter().map(key).collect();
                assert_eq!(several, one, "{count} processes of {threads} cores");
            }
        }
    }

    #[test]
    fn processes_together_intend_what_one_does() {
        use crate::plan::{Arrivals, Order, Schedule, Shape, Stages, Walk};
        use crate::units::Rate;
        let common = crate::plan::request::Common { keep_alive: true, ..Default::default() };
        let mut builder = crate::plan::urlset::Builder::new(&common, "GET");
        (0..101).for_each(|line| builder.push(None, &format!("http://a/{line}")).expect("a URL"));
        let urls = builder.finish();
        let constant = Shape::Constant(Rate { num: 997, den: 3 });
        let stages = Shape::Stages(Stages::parse("997:99@1s,1000@1s").expect("stages").into());
        let requests = |shard: &Shard, order, (shape, arrivals)| {
            let walk = Walk::new(order, urls.len(), 9, shard.index, shard.count);
            let mut schedule = Schedule::new(shape, arrivals, 9, shard.index, shard.count);
            let of = |k: u64| {
                let at = schedule.peek();
                schedule.take();
                (shard.index + k * shard.count, walk.line(&urls, k), at)
            };
            (0..shard.requests.expect("a number")).map(of).collect::<Vec<_>>()
        };
        for order in [Order::Seq, Order::Shuffle, Order::Random] {
            let loads = [&constant, &stages].into_iter();
            let loads = loads.flat_map(|shape| [(shape, Arrivals::Uniform), (shape, Arrivals::Poisson)]);
            for load in loads {
                for (count, threads) in [(1, 1), (2, 1), (1, 3), (3, 1), (7, 1), (2, 3), (3, 2)] {
                    let of_processes = (0..count).flat_map(|index| process(index, count, threads, 60, 1_003));
                    let mut several: Vec<_> = of_processes.flat_map(|shard| requests(&shard, order, load)).collect();
                    several.sort_unstable();
                    let one = process(0, 1, count * threads, 60, 1_003);
                    let mut one: Vec<_> = one.iter().flat_map(|shard| requests(shard, order, load)).collect();
                    one.sort_unstable();
                    assert!(several == one, "{order:?} {load:?}: {count} processes of {threads} cores");
                    assert!(one.iter().map(|request| request.0).eq(0..1_003), "each number once");
                }
            }
        }
    }

    #[test]
    fn a_quota_is_compared_and_rounded_exactly() {
        let [half, one_and_a_half, two] = [50_000, 150_000, 200_000].map(|granted| Quota { granted, period: 100_000 });
        assert_eq!([half, one_and_a_half, two].map(Quota::rounded_up), [1, 2, 2]);
        assert_eq!([half, one_and_a_half, two].map(Quota::rounded_down), [0, 1, 2]);
        assert_eq!([half, one_and_a_half, two].map(|quota| quota.to_string()), ["0.5", "1.5", "2"]);
        assert!(one_and_a_half.is_exceeded_by(2) && !two.is_exceeded_by(2) && half.is_exceeded_by(1));
        assert_eq!(two.min(half).min(one_and_a_half), half);
        assert_eq!(Quota { granted: 1, period: 3 }.min(half), Quota { granted: 1, period: 3 });
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
