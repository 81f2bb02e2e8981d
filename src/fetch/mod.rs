//! Retrieval: a list of lines, all of it, each once. The engine's second kind of work, on the same slots, pools and
//! records as load.
//!
//! A thread reads lines and deals them to the cores, a thread writes records; between them each core asks for its lines.
//! The policies are pure: time and bytes are arguments, and what they keep is bounded.

mod answer;
pub mod bucket;
mod continuation;
pub mod cookies;
mod dispatcher;
mod expected;
pub mod exporter;
pub mod extract;
mod flight;
mod host;
mod interrupted;
mod job;
mod journal;
pub mod line;
mod live;
pub mod log;
pub mod metrics;
mod observers;
mod parts;
mod permission;
mod policies;
pub mod progress;
mod queues;
pub mod range;
mod record;
pub mod redirect;
pub mod rest;
pub mod retry;
pub mod retry_after;
pub mod robots;
mod save;
pub mod save_name;
pub mod site;
pub mod snapshot;
mod source;
pub mod unique;
mod verdict;
mod work;
mod writer;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use self::bucket::Bucket;
use self::cookies::Jar;
use self::dispatcher::Dispatcher;
use self::exporter::Exporter;
use self::host::Hosts;
use self::job::{Error, Job};
use self::live::{Live, Recent};
use self::log::Log;
pub use self::observers::Observers;
pub use self::policies::Policies;
use self::retry::Budget;
use self::robots::Robots;
use self::save_name::Names;
use self::snapshot::Snapshot;
use self::work::Retrieval;
use self::writer::{Message, Writer};
use crate::clock;
use crate::engine::preflight::Cleared;
use crate::engine::{self, Control, Progress, Seat, StartError};
use crate::net::runtime::Decision;
use crate::plan::fetch::{Pace, RawFetch};
use crate::plan::raw::Input;
use crate::plan::shard::Machine;
use crate::plan::{self, Plan};
use crate::record::{Fetched, RunRecord};
use crate::units::Nanos;

/// Why a retrieval could not be begun, or not be brought to its end.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The file of records cannot be used.
    #[error("-o {path}: {problem}")]
    Output {
        /// As typed.
        path: String,
        /// Why, and the remedy.
        problem: String,
    },
    /// The folder of bodies cannot be used.
    #[error("--save {path}: {problem}")]
    Save {
        /// As typed.
        path: String,
        /// In the system's words.
        problem: io::Error,
    },
    /// The log cannot be written.
    #[error("--log {path}: {problem}")]
    Log {
        /// As typed.
        path: String,
        /// In the system's words.
        problem: io::Error,
    },
    /// Metrics cannot be had there.
    #[error("--metrics {address}: {problem}; port 0 is any that is free")]
    Metrics {
        /// As understood.
        address: SocketAddr,
        /// In the system's words.
        problem: io::Error,
    },
    /// The input could not be read to its end, or a body not be saved; lines without a record are to be fetched again.
    #[error("{0}")]
    BrokenOff(String),
    /// Records could not be written.
    #[error("the records cannot be written: {0}")]
    Write(io::Error),
    /// No worker could start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The system has no thread left.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Fetches what `raw` names, as it says, on this machine; the records go to its output, events and metrics where its
/// `observation` says. [`run`] shows where it stands, too, and can be ended early.
///
/// ```no_run
/// use ringload::plan::RawPlan;
/// use ringload::plan::fetch::{RawFetch, RawOutput};
///
/// let urls = vec!["http://127.0.0.1:8080/a".to_owned(), "http://127.0.0.1:8080/b".to_owned()];
/// let base = RawPlan { urls, ..RawPlan::default() };
/// let output = RawOutput { records: Some("out.jsonl".into()), resume: true, ..RawOutput::default() };
/// let fetched = ringload::fetch::fetch(RawFetch { base, output, ..RawFetch::default() })?;
/// println!("{} of {} are there", fetched.ok, fetched.lines);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What keeps it from beginning, and an input or an output that broke off.
pub fn fetch(raw: RawFetch) -> Result<Fetched, Box<dyn std::error::Error>> {
    let machine = engine::machine::machine();
    let decision = Decision::of(raw.base.driver).map_err(|refused| refused.to_string())?;
    let plan = Arc::new(plan::fetch::validate(&raw, &machine)?);
    let policies = Policies::new(&plan, None)?;
    let observation = &plan.fetch.as_deref().expect("it is a retrieval's").observation;
    let mut nobody = |_: &Snapshot| {};
    let observers = Observers::new(observation, &mut nobody)?;
    let cleared = engine::preflight::check(&plan, &machine, &decision)?;
    let lines = Lines { urls: raw.base.urls, input: raw.base.input };
    let (record, _) = run(&plan, lines, policies, &machine, cleared, &Arc::default(), observers)?;
    Ok(record.fetched.unwrap_or_default())
}

/// What is to be fetched: URLs, then the lines of an input.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// A URL each.
    pub urls: Vec<String>,
    /// Read as the run goes on.
    pub input: Option<Input>,
}

/// Fetches `lines` as `plan` says, to the end of all of them; the machine was looked at by `preflight::check`. Gives what
/// was counted and, where cookies are kept, the text of their jar.
///
/// # Errors
/// Before the first request, what keeps it from beginning; after it, an input or an output that broke off.
pub fn run(
    plan: &Arc<Plan>,
    lines: Lines,
    policies: Policies,
    machine: &Machine,
    cleared: Cleared,
    control: &Arc<Control>,
    observers: Observers<'_>,
) -> Result<(RunRecord, Option<String>), FetchError> {
    let fetch = plan.fetch.as_deref().expect("only what is fetched comes here");
    let mut names = Names::new(policies.save_as);
    // Whatever keeps the run from beginning is found out before records are thrown away.
    let folder = fetch.output.save.as_deref().map(folder).transpose()?;
    let (file, done) = journal::open(plan, &lines.urls, lines.input.as_ref(), &mut names)?;
    let Observers { log, metrics, show } = observers;
    let live = Live::new(plan.cores.len(), log.as_ref().map(Log::events));
    let is_journal = journal::is_one(file.as_ref());
    let shared = Arc::new(Shared::new(Arc::clone(control), &fetch.pace, policies, names, done.ok, live, is_journal));
    let exported = Arc::clone(&shared);
    let exporter = metrics.map(|listener| Exporter::start(listener, move || metrics::text(&exported.snapshot())));
    let exporter = exporter.transpose().map_err(FetchError::Thread)?;
    let (records, messages) = mpsc::channel();
    let writer = Writer::new(Arc::clone(&shared), file, folder, fetch.output.ordered);
    let writer = spawn("records", move || writer.run(&messages))?;
    let (inboxes, mut receivers): (Vec<_>, Vec<_>) = plan.cores.iter().map(|_| mpsc::channel()).unzip();
    let dispatcher = Dispatcher::new(Arc::clone(&shared), Arc::clone(plan), inboxes, records.clone(), done);
    // It may wait for an input that never ends, and is left behind then.
    spawn("lines", move || dispatcher.run(&lines.urls, lines.input.as_ref()))?;
    let new_work = || {
        let (shared, inbox, records) = (Arc::clone(&shared), receivers.remove(0), records.clone());
        |seat: Seat| Retrieval::new(seat, shared, inbox, records)
    };
    let mut recent = Recent::default();
    let mut observe = |_: Progress<'_>| {
        let snapshot = shared.snapshot();
        show(&Snapshot { latest: recent.look(snapshot.elapsed, snapshot.ended), ..snapshot });
    };
    let record = engine::run_work(plan, &plan::shards(plan), machine, cleared, control, new_work, &mut observe);
    let _ = records.send(Message::End);
    drop((exporter, log));
    let written = writer.join().map_err(|_| FetchError::Write(io::Error::other("the writer died")))?;
    let mut record = record?;
    written.map_err(FetchError::Write)?;
    record.fetched = Some(shared.total());
    match shared.failure() {
        Some(problem) => Err(FetchError::BrokenOff(problem)),
        None => Ok((record, shared.jar.as_ref().map(|jar| jar.lock().expect("no cookie panics").write()))),
    }
}

/// The folder of bodies, ready for them.
fn folder(path: &Path) -> Result<File, FetchError> {
    save::prepare(path).map_err(|problem| FetchError::Save { path: path.display().to_string(), problem })
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<thread::JoinHandle<T>, FetchError> {
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(FetchError::Thread)
}

/// What the threads of a retrieval share.
#[derive(Debug)]
pub(crate) struct Shared {
    control: Arc<Control>,
    hosts: Hosts,
    /// Of the whole run, where there is one.
    rate: Option<Mutex<Bucket>>,
    /// Retries of all cores.
    budget: Arc<Budget>,
    /// Where robots.txt is obeyed.
    robots: Option<Mutex<Robots>>,
    /// Where cookies are kept.
    jar: Option<Mutex<Jar>>,
    /// Of saved bodies.
    names: Mutex<Names>,
    policies: Policies,
    /// The records go to a file that can be gone on with.
    is_journal: bool,
    /// Lines dealt to cores.
    dealt: AtomicU64,
    /// Those of them that came to their end.
    done: AtomicU64,
    /// No more are dealt.
    closed: AtomicBool,
    /// Records written, those of lines that asked for nothing of use included.
    written: AtomicU64,
    /// Bytes of lines on their way and of records that wait for being written.
    held: AtomicU64,
    total: Mutex<Fetched>,
    live: Live,
    failure: Mutex<Option<String>>,
    /// Nobody takes records any more.
    abandoned: AtomicBool,
}

impl Shared {
    fn new(
        control: Arc<Control>,
        pace: &Pace,
        mut policies: Policies,
        names: Names,
        skipped_ok: u64,
        live: Live,
        is_journal: bool,
    ) -> Self {
        let bucket = |rate| Mutex::new(Bucket::at_rate(rate, host::SLACK, clock::now()));
        Self {
            control,
            hosts: Hosts::new(pace.rate_per_host),
            rate: pace.rate.map(bucket),
            budget: Arc::default(),
            robots: policies.robots.take().map(Mutex::new),
            jar: policies.jar.take().map(Mutex::new),
            names: Mutex::new(names),
            policies,
            is_journal,
            dealt: AtomicU64::new(0),
            done: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            written: AtomicU64::new(0),
            held: AtomicU64::new(0),
            total: Mutex::new(Fetched { skipped_ok, ..Fetched::default() }),
            live,
            failure: Mutex::default(),
            abandoned: AtomicBool::new(false),
        }
    }

    fn one_dealt(&self, job: &Job) {
        self.hold(job.bytes());
        self.dealt.fetch_add(1, Ordering::Relaxed);
    }

    /// The name of the body of a line's answer.
    fn name_of(&self, job: &Job) -> String {
        let authority = job.site.origin.authority();
        self.names.lock().expect("no name panics").give(job.line, &authority, job.target())
    }

    /// So many more bytes of records wait.
    fn hold(&self, bytes: usize) {
        self.held.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes of lines or records are gone.
    fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn one_done(&self, job: &Job) {
        self.release(job.bytes());
        self.done.fetch_add(1, Ordering::Release);
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Every line that there is has come to its end.
    fn all_done(&self) -> bool {
        self.closed.load(Ordering::Acquire) && self.done.load(Ordering::Acquire) == self.dealt.load(Ordering::Relaxed)
    }

    fn written(&self, records: u64) {
        self.written.fetch_add(records, Ordering::Relaxed);
    }

    /// Of so many lines, those without a record.
    fn under_way(&self, lines: u64) -> u64 {
        lines.saturating_sub(self.written.load(Ordering::Relaxed))
    }

    /// A line has its record from an earlier run.
    fn skip(&self) {
        self.total.lock().expect("adding does not panic").skipped += 1;
    }

    /// A line asks for the same as one before it.
    fn repeat(&self) {
        self.total.lock().expect("adding does not panic").repeated += 1;
    }

    /// A line asks for nothing that can be had.
    fn refuse(&self, line: u64, error: &Error) {
        self.live.refuse(line, error);
        let mut total = self.total.lock().expect("adding does not panic");
        total.lines += 1;
        total.count_error(error.kind.name(), 1);
    }

    fn add(&self, of_core: &Fetched) {
        self.total.lock().expect("adding does not panic").add(of_core);
    }

    fn total(&self) -> Fetched {
        self.total.lock().expect("adding does not panic").clone()
    }

    /// Where the run stands, as far as cores have shown it.
    fn snapshot(&self) -> Snapshot {
        let sum = self.live.sum();
        let skipped = self.total.lock().expect("adding does not panic").skipped;
        Snapshot {
            elapsed: Nanos(clock::now().0.saturating_sub(self.control.t0().0)),
            read: sum.read + skipped + self.dealt.load(Ordering::Relaxed),
            input_ended: self.closed.load(Ordering::Acquire),
            skipped,
            ..sum
        }
    }

    fn fail(&self, problem: String) {
        self.failure.lock().expect("storing does not panic").get_or_insert(problem);
    }

    /// What is to be kept cannot be: nothing more is begun.
    fn give_up(&self, problem: String) {
        self.fail(problem);
        self.control.stop();
    }

    /// Records cannot be written any more: what is in flight is not awaited.
    fn abandon(&self) {
        self.abandoned.store(true, Ordering::Release);
        self.control.stop();
    }

    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    fn failure(&self) -> Option<String> {
        self.failure.lock().expect("storing does not panic").clone()
    }
}
