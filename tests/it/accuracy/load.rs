//! The load of a figure: one thread on the last core, where servers are on the first.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::support::program::prefer;
use crate::support::{Program, Report, measured};

/// Measures with `bench` and these arguments.
pub(super) fn run(args: &[&str]) -> Report {
    measured(&[&["-t", "1", "--cores", &client_core().to_string()], args].concat()).0
}

/// The same, under way.
pub(super) fn start(args: &[&str]) -> Program {
    Program::start(&[&["bench", "--format", "json", "-t", "1", "--cores", &client_core().to_string()], args].concat())
}

/// Moves a server's process to the first core, where the embedded target puts itself, before all ordinary programs.
pub(super) fn pin_server(pid: Pid) {
    pin(Some(pid), server_core());
    prefer(pid);
}

/// Moves a process, or the calling thread, to one core.
pub(super) fn pin(pid: Option<Pid>, core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(pid, &cores).expect("a core of ours");
}

pub(super) fn server_core() -> usize {
    *allowed().first().expect("a core")
}

pub(super) fn client_core() -> usize {
    *allowed().last().expect("a core")
}

fn allowed() -> Vec<usize> {
    let cores = sched_getaffinity(None).expect("a thread's own");
    (0..CpuSet::MAX_CPU).filter(|&core| cores.is_set(core)).collect()
}
