//! The program as a child process: started, heard out within a time limit, signalled and killed by its own pid.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::turn::Turn;

/// After this long a run hangs, whatever it was asked to do.
const LIMIT: Duration = Duration::from_secs(60);

/// What a finished run left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A run under way; killed when dropped.
pub(crate) struct Program {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    _turn: Turn,
}

/// `ringload` with these arguments, to its end.
pub(crate) fn ringload<S: AsRef<str>>(args: &[S]) -> Finished {
    Program::start(args).finish()
}

/// `ringload bench` with these arguments, to its end.
pub(crate) fn bench<S: AsRef<str>>(args: &[S]) -> Finished {
    let all: Vec<&str> = std::iter::once("bench").chain(args.iter().map(AsRef::as_ref)).collect();
    ringload(&all)
}

thread_local! {
    /// What the programs that this thread starts are given as `--driver`; without it they choose for themselves.
    static DRIVER: Cell<Option<&'static str>> = const { Cell::new(None) };
    /// They run before all ordinary programs of the machine.
    static PREFERRED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `test` with all programs that it starts on `driver`.
pub(crate) fn on_driver(driver: &'static str, test: impl FnOnce()) {
    DRIVER.set(Some(driver));
    test();
    DRIVER.set(None);
}

/// Runs `test` with all programs that it starts before the ordinary ones of the machine (SCHED_FIFO), where the system
/// allows it: others then keep them from no core.
pub(crate) fn preferred(test: impl FnOnce()) {
    let allowed = Command::new("chrt").args(["-f", "1", "true"]).stderr(Stdio::null()).status();
    PREFERRED.set(allowed.is_ok_and(|status| status.success()));
    test();
    PREFERRED.set(false);
}

/// Within `preferred`: runs `test` as an ordinary program. Who would take all of a core has a twentieth of it taken away
/// under SCHED_FIFO (sched_rt_runtime_us).
pub(crate) fn ordinary<T>(test: impl FnOnce() -> T) -> T {
    let preferred = PREFERRED.replace(false);
    let outcome = test();
    PREFERRED.set(preferred);
    outcome
}

/// The same as `preferred` for a process that runs already.
pub(crate) fn prefer(pid: Pid) {
    if PREFERRED.get() {
        let pid = pid.as_raw_nonzero().to_string();
        let status = Command::new("chrt").args(["-a", "-f", "-p", "1", &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "allowed a moment ago");
    }
}

/// The program with these arguments, not yet started.
pub(crate) fn command<S: AsRef<str>>(args: &[S]) -> Command {
    let program = env!("CARGO_BIN_EXE_ringload");
    let mut command = Command::new(if PREFERRED.get() { "chrt" } else { program });
    if PREFERRED.get() {
        command.args(["-f", "1", program]);
    }
    let mut args = args.iter().map(AsRef::as_ref).peekable();
    if let Some(driver) = DRIVER.get()
        && let Some(subcommand) = args.next_if(|arg| ["bench", "fetch", "target"].contains(arg))
    {
        command.args([subcommand, "--driver", driver]);
    }
    command.args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Finished {
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Program {
    pub(crate) fn start<S: AsRef<str>>(args: &[S]) -> Self {
        Self::spawn(&mut command(args))
    }

    pub(crate) fn start_with_input<S: AsRef<str>>(args: &[S], input: &str) -> Self {
        let mut program = Self::spawn(command(args).stdin(Stdio::piped()));
        let mut stdin = program.child.stdin.take().expect("a pipe");
        stdin.write_all(input.as_bytes()).expect("it reads its input");
        program
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let turn = Turn::take();
        let mut child = command.spawn().expect("the program starts");
        let stdout = child.stdout.take().map(read_all);
        let stderr = child.stderr.take().map(read_all);
        Self { child, stdout, stderr, _turn: turn }
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it has not been waited for");
    }

    pub(crate) fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// The most memory it ever had, in bytes; `None` once it has ended.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kb| kb * 1024)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child of this process").is_some()
    }

    /// Hears it out; a run that outlives the limit fails the test.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let until = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child of this process") {
                break status;
            }
            if Instant::now() > until {
                let _ = self.child.kill();
                let stderr = text(self.stderr.take());
                panic!("the run hangs: it did not end within {LIMIT:?}; it said: {stderr}");
            }
            thread::sleep(Duration::from_millis(2));
        };
        Finished { status, stdout: text(self.stdout.take()), stderr: text(self.stderr.take()) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ringload target` on a free port.
pub(crate) struct TargetProgram {
    program: Program,
    /// `http://127.0.0.1:PORT`, without a slash at the end.
    pub(crate) url: String,
}

impl TargetProgram {
    pub(crate) fn start() -> Self {
        Self::start_with(&["--listen", "127.0.0.1:0", "-t", "1"])
    }

    pub(crate) fn start_with(args: &[&str]) -> Self {
        let all: Vec<&str> = std::iter::once("target").chain(args.iter().copied()).collect();
        let turn = Turn::take();
        let mut child = command(&all).spawn().expect("the program starts");
        let stderr = child.stderr.take().map(read_all);
        let stdout = child.stdout.take().expect("a pipe");
        let (sender, first) = mpsc::channel();
        let rest = thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = String::new();
            let _ = reader.read_line(&mut line);
            let _ = sender.send(line);
            read_to_end(reader)
        });
        let program = Program { child, stdout: Some(rest), stderr, _turn: turn };
        let line = first.recv_timeout(LIMIT).expect("the target says where it listens");
        let url = line.trim_end().strip_prefix("listening on ").expect(&line).trim_end_matches('/').to_owned();
        Self { program, url }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    pub(crate) fn pid(&self) -> Pid {
        self.program.pid()
    }

    pub(crate) fn finish(self) -> Finished {
        self.program.finish()
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || read_to_end(&mut pipe))
}

fn read_to_end(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn text(reader: Option<JoinHandle<String>>) -> String {
    reader.map(|thread| thread.join().expect("a reader does not panic")).unwrap_or_default()
}
