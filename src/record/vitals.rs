//! How the client itself fared while it measured: when a core stood still, and what it was short of. Plain data; judged
//! by the report.

use crate::units::Nanos;

/// Lateness of a core's heartbeat from which on it counts as a stall.
pub const STALL: Nanos = Nanos::from_millis(1);
/// How often it is looked at how much was stolen.
pub const STEAL_LOOK: Nanos = Nanos::from_millis(500);
/// So many stalls of a core are kept one by one; more are in the sums alone.
const LISTED_MAX: usize = 4_096;
/// So many thefts are told apart, half an hour of them without a pause; more are told pairwise.
const THEFTS_MAX: usize = 4_096;
/// What was stolen is counted by ticks, the last of which may be missing at a look.
const TICK: Nanos = Nanos::from_millis(10);

/// A core stood still, or was too busy to come round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Since T0.
    pub start: Nanos,
    /// Above [`STALL`], unless the window's edge cut it.
    pub length: Nanos,
    /// For most of the time its thread was on a CPU, and busy with its own work; else it was kept from running.
    pub busy: bool,
}

/// The stalls of one core within the window, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    stalls: Vec<Stall>,
    count: u64,
    busy: Nanos,
    away: Nanos,
    longest: Option<Stall>,
}

/// The hypervisor gave time of the used CPUs to others between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theft {
    /// Since T0, the look before.
    pub from: Nanos,
    /// Since T0, the look that saw it.
    pub until: Nanos,
    /// CPU time, of all used CPUs together.
    pub stolen: Nanos,
}

/// What was stolen, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thefts(Vec<Theft>);

/// What a core was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortages {
    /// Open files: EMFILE, ENFILE.
    pub files: u64,
    /// Local ports: EADDRNOTAVAIL.
    pub ports: u64,
    /// Memory of the kernel: ENOBUFS, ENOMEM.
    pub buffers: u64,
}

/// TCP segments of a core's own connections, as the kernel counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    /// Sent, retransmitted ones included.
    pub sent: u64,
    /// Sent again.
    pub retransmitted: u64,
}

/// What is known of one core's own condition, from T0 to the end of sending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// When it stood still.
    pub ledger: Ledger,
    /// How long it was watched; zero where it never was.
    pub watched: Nanos,
    /// CPU time of its thread: useful work, as nothing spins.
    pub cpu: Nanos,
    /// Time that its thread was ready to run and did not; `None` where the kernel does not count it.
    pub run_delay: Option<Nanos>,
    /// Page faults of its thread that waited for a disk.
    pub major_faults: Option<u64>,
    /// What it was refused, connections before T0 included.
    pub shortages: Shortages,
    /// Of its connections, from their opening to their end; `None` where none was of TCP, or none could be asked.
    pub segments: Option<Segments>,
}

/// What is known of the machine's condition, from T0 to the end of sending.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Strain {
    /// The share of the used CPUs' time that the hypervisor gave to others, 0 to 1.
    pub steal: Option<f64>,
    /// When that was, by looks [`STEAL_LOOK`] apart.
    pub thefts: Thefts,
    /// Time that the cgroup's quota kept threads of the process's group from running.
    pub throttled: Option<Nanos>,
    /// Packets that the kernel dropped on their way in, its backlog being full.
    pub backlog_drops: Option<u64>,
    /// Looks, one a second and ring, that found completions which the ring had no room for.
    pub ring_overflows: Option<u64>,
}

impl Ledger {
    /// A ledger that takes its entries without allocating.
    pub fn with_room() -> Self {
        Self { stalls: Vec::with_capacity(LISTED_MAX), ..Self::default() }
    }

    /// Enters a stall.
    pub fn enter(&mut self, stall: Stall) {
        self.count += 1;
        if self.longest.is_none_or(|longest| longest.length < stall.length) {
            self.longest = Some(stall);
        }
        let sum = if stall.busy { &mut self.busy } else { &mut self.away };
        sum.0 += stall.length.0;
        if self.stalls.len() < LISTED_MAX {
            self.stalls.push(stall);
        }
    }

    /// The first of them.
    pub fn stalls(&self) -> &[Stall] {
        &self.stalls
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of those in which the thread was busy.
    pub fn busy(&self) -> Nanos {
        self.busy
    }

    /// The sum of those in which it was kept from running.
    pub fn away(&self) -> Nanos {
        self.away
    }

    /// The sum of all.
    pub fn total(&self) -> Nanos {
        Nanos(self.busy.0 + self.away.0)
    }

    /// The longest, if there was any.
    pub fn longest(&self) -> Option<Stall> {
        self.longest
    }
}

impl Thefts {
    /// Enters one; nothing where nothing was stolen.
    pub fn enter(&mut self, theft: Theft) {
        if theft.stolen == Nanos::ZERO {
            return;
        }
        if self.0.len() == THEFTS_MAX {
            let pair = |pair: &[Theft]| Theft {
                until: pair[pair.len() - 1].until,
                stolen: Nanos(pair.iter().map(|theft| theft.stolen.0).sum()),
                ..pair[0]
            };
            self.0 = self.0.chunks(2).map(pair).collect();
        }
        self.0.push(theft);
    }

    /// CPU time that can have been stolen during a stall, at most.
    pub fn during(&self, stall: Stall) -> Nanos {
        let end = stall.start.0 + stall.length.0 + TICK.0;
        let meanwhile = self.0.iter().filter(|theft| theft.from.0 < end && theft.until > stall.start);
        Nanos(meanwhile.map(|theft| theft.stolen.0).sum())
    }
}

impl Shortages {
    /// Adds another core's.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.ports += other.ports;
        self.buffers += other.buffers;
    }

    /// Whether there were any.
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

impl Segments {
    /// Adds another connection's.
    pub fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.retransmitted += other.retransmitted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ledger_still_sums() {
        let mut ledger = Ledger::with_room();
        let ms = Nanos::from_millis;
        for number in 0..LISTED_MAX as u64 + 10 {
            ledger.enter(Stall { start: ms(10 * number), length: ms(2), busy: number % 2 == 0 });
        }
        assert_eq!((ledger.stalls().len(), ledger.count()), (LISTED_MAX, LISTED_MAX as u64 + 10));
        assert_eq!(ledger.busy(), ledger.away());
        assert_eq!(ledger.total(), ms(2 * (LISTED_MAX as u64 + 10)));
        assert_eq!(ledger.longest().map(|stall| (stall.start, stall.length)), Some((Nanos::ZERO, ms(2))));
    }

    #[test]
    fn what_was_stolen_long_before_or_after_has_no_part_in_a_stall() {
        let ms = Nanos::from_millis;
        let mut thefts = Thefts::default();
        for (from, stolen) in [(0, 400), (500, 30), (1_000, 0), (1_500, 7), (2_000, 90)] {
            thefts.enter(Theft { from: ms(from), until: ms(from + 500), stolen: ms(stolen) });
        }
        let during = |start, length| thefts.during(Stall { start: ms(start), length: ms(length), busy: false });
        assert_eq!((during(600, 1_000), during(1_100, 100)), (ms(37), Nanos::ZERO));
        assert_eq!(during(1_980, 15), ms(97), "its last tick is seen by the next look");
    }

    #[test]
    fn thefts_without_end_are_told_more_coarsely_and_all_counted() {
        let ms = Nanos::from_millis;
        let mut thefts = Thefts::default();
        for look in 0..2 * THEFTS_MAX as u64 {
            thefts.enter(Theft { from: ms(500 * look), until: ms(500 * (look + 1)), stolen: ms(1) });
        }
        assert!(thefts.0.len() <= THEFTS_MAX);
        let all = Stall { start: Nanos::ZERO, length: ms(500 * 2 * THEFTS_MAX as u64), busy: false };
        assert_eq!(thefts.during(all), ms(2 * THEFTS_MAX as u64));
    }
}
