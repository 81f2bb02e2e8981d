//! The calling thread's monoio runtime on one of two drivers: io_uring with the cheapest ring flags that the kernel grants,
//! or epoll where io_uring is refused.
//!
//! The driver is decided once for a process, on its main thread, and said aloud: never monoio's `FusionDriver`, which falls
//! back in silence. The ring's flags are tried from the best set downwards: COOP_TASKRUN (Linux 5.19) and SINGLE_ISSUER
//! with DEFER_TASKRUN (6.1) save a fifth of the CPU; an older kernel answers EINVAL and gets the next set. Never SQPOLL:
//! monoio panics on a full queue. Without monoio's timers, which would read the clock every turn: limits and pacing have a
//! timerfd ([`super::timer`]).

use std::fmt;
use std::io;

use io_uring::Probe;
use io_uring::opcode::{AsyncCancel, Close, Connect, PollAdd, Readv, Recv, Send};
use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use rustix::io::Errno;

use super::turn;
use crate::plan::DriverChoice;

/// Queued operations of the ring by which it is found out whether there can be one: those of a core with 1,024 connections.
const PROBE_ENTRIES: u32 = 4096;

/// How a thread's operations reach the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Submitted together, completed by the kernel.
    IoUring,
    /// A system call each, once the descriptor is ready.
    Epoll,
}

impl Driver {
    /// As reports say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }

    /// What helps where the machine has it and a thread is refused it all the same.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::IoUring => "raise ulimit -l and ulimit -n, or use --driver epoll",
            Self::Epoll => "raise ulimit -n",
        }
    }
}

/// The driver of all threads of this process.
#[derive(Debug)]
pub struct Decision {
    /// The driver.
    pub driver: Driver,
    /// Why it is not io_uring, which would have been taken.
    pub refused: Option<Refused>,
}

impl Decision {
    /// What was asked for, or what can be had.
    ///
    /// # Errors
    /// The refusal of io_uring where nothing else will do.
    pub fn of(asked: DriverChoice) -> Result<Self, Refused> {
        if asked == DriverChoice::Epoll {
            return Ok(Self { driver: Driver::Epoll, refused: None });
        }
        match probe() {
            Ok(()) => Ok(Self { driver: Driver::IoUring, refused: None }),
            Err(error) if asked == DriverChoice::IoUring => Err(Refused(error)),
            Err(error) => Ok(Self { driver: Driver::Epoll, refused: Some(Refused(error)) }),
        }
    }
}

/// The kernel refused the plainest ring.
#[derive(Debug)]
pub struct Refused(io::Error);

impl std::error::Error for Refused {}

impl Refused {
    /// The likely cause, in words.
    pub fn cause(&self) -> String {
        let likely = match self.0.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::PERM | Errno::ACCESS) => "a seccomp profile or kernel.io_uring_disabled forbids it",
            Some(Errno::NOSYS) => "the kernel is older than 5.6, or a seccomp profile or a sandbox hides it",
            Some(Errno::NOMEM) => "more memory would have to be locked than ulimit -l allows",
            _ => return self.0.to_string(),
        };
        format!("{}: {likely}", self.0)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "io_uring is refused ({}); to allow it: Linux 5.6 or later, sysctl kernel.io_uring_disabled=0, and in a \
             container --security-opt seccomp=unconfined (docker, podman) or a profile that allows it",
            self.cause()
        )?;
        if self.0.raw_os_error() == Some(Errno::NOMEM.raw_os_error()) {
            f.write_str(", and ulimit -l unlimited")?;
        }
        f.write_str("; see: ringload help containers")
    }
}

/// The runtime that every worker and every thread of the target runs on.
pub struct Runtime(Kind);

enum Kind {
    Ring(monoio::Runtime<IoUringDriver>, RingFlags),
    Epoll(monoio::Runtime<LegacyDriver>),
}

impl Runtime {
    /// Runs `future` to its end, and beside it what it spawns.
    pub fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        match &mut self.0 {
            Kind::Ring(runtime, _) => runtime.block_on(future),
            Kind::Epoll(runtime) => {
                let output = runtime.block_on(async {
                    monoio::spawn(turn::keep());
                    future.await
                });
                turn::close();
                output
            }
        }
    }

    /// The ring's flags as io_uring_setup(2) spells them; empty without a ring.
    pub fn ring_flags(&self) -> &'static [&'static str] {
        match self.0 {
            Kind::Ring(_, flags) => flags.names(),
            Kind::Epoll(_) => &[],
        }
    }
}

/// Builds the calling thread's runtime with room for `entries` queued operations (256 at least), or as many events at once.
///
/// # Errors
/// The kernel's refusal of a descriptor, or of the plainest ring: EPERM where a seccomp profile or
/// `kernel.io_uring_disabled` forbids io_uring, ENOSYS on a kernel without it, ENOMEM where memory may not be locked.
pub fn build(driver: Driver, entries: u32) -> io::Result<Runtime> {
    let kind = match driver {
        Driver::IoUring => ring(entries).map(|(runtime, flags)| Kind::Ring(runtime, flags)),
        Driver::Epoll => RuntimeBuilder::<LegacyDriver>::new().with_entries(entries).build().map(Kind::Epoll),
    };
    kind.map(Runtime)
}

/// Whether there can be a ring, it can be entered, and it knows the operations that monoio uses; monoio itself would spin
/// on a ring that cannot be entered.
fn probe() -> io::Result<()> {
    let ring = io_uring::IoUring::new(PROBE_ENTRIES)?;
    ring.submitter().submit()?;
    let mut known = Probe::new();
    match ring.submitter().register_probe(&mut known) {
        // Linux 5.1 to 5.5 have rings that cannot be asked, and cannot send.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(Errno::NOSYS.into()),
        asked => asked?,
    }
    let used = [Close::CODE, Connect::CODE, PollAdd::CODE, Readv::CODE, Recv::CODE, Send::CODE, AsyncCancel::CODE];
    if used.iter().all(|&operation| known.is_supported(operation)) { Ok(()) } else { Err(Errno::NOSYS.into()) }
}

fn ring(entries: u32) -> io::Result<(monoio::Runtime<IoUringDriver>, RingFlags)> {
    for flags in RingFlags::BEST_FIRST {
        let builder = RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(flags.builder());
        match builder.build() {
            Ok(runtime) => return Ok((runtime, flags)),
            Err(error) if flags != RingFlags::None && error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(error),
        }
    }
    unreachable!("the last set of flags returns")
}

/// Ring set-up flags in use, from the richest set to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RingFlags {
    /// COOP_TASKRUN, SINGLE_ISSUER and DEFER_TASKRUN.
    CoopSingleDefer,
    /// COOP_TASKRUN and SINGLE_ISSUER.
    CoopSingle,
    /// COOP_TASKRUN alone.
    Coop,
    /// None: a kernel before 5.19.
    None,
}

impl RingFlags {
    const BEST_FIRST: [Self; 4] = [Self::CoopSingleDefer, Self::CoopSingle, Self::Coop, Self::None];

    fn names(self) -> &'static [&'static str] {
        const ALL: [&str; 3] = ["COOP_TASKRUN", "SINGLE_ISSUER", "DEFER_TASKRUN"];
        match self {
            Self::CoopSingleDefer => &ALL,
            Self::CoopSingle => &ALL[..2],
            Self::Coop => &ALL[..1],
            Self::None => &[],
        }
    }

    fn builder(self) -> io_uring::Builder {
        let mut builder = io_uring::IoUring::builder();
        if self != Self::None {
            builder.setup_coop_taskrun();
        }
        if matches!(self, Self::CoopSingle | Self::CoopSingleDefer) {
            builder.setup_single_issuer();
        }
        if self == Self::CoopSingleDefer {
            builder.setup_defer_taskrun();
        }
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_cause_and_all_have_the_remedies() {
        for (errno, cause) in [
            (Errno::PERM, "seccomp profile or kernel.io_uring_disabled"),
            (Errno::NOSYS, "older than 5.6"),
            (Errno::NOMEM, "ulimit -l"),
            (Errno::MFILE, "Too many open files"),
        ] {
            let refused = Refused(errno.into());
            assert!(refused.cause().contains(cause), "{}", refused.cause());
            let text = refused.to_string();
            for remedy in ["Linux 5.6 or later", "kernel.io_uring_disabled=0", "--security-opt seccomp=unconfined"] {
                assert!(text.contains(remedy), "{text}");
            }
            assert_eq!(text.contains("ulimit -l unlimited"), errno == Errno::NOMEM);
        }
    }

    #[test]
    fn a_runtime_of_either_driver_runs_a_task_to_its_end() {
        for driver in [Decision::of(DriverChoice::Auto).expect("auto takes either").driver, Driver::Epoll] {
            let mut runtime = build(driver, 1).expect("a runtime");
            assert_eq!(runtime.block_on(async { monoio::spawn(async { 7 }).await }), 7);
            assert!(driver == Driver::IoUring || runtime.ring_flags().is_empty());
        }
    }
}
