//! Heap allocations of the engine per request after warm-up, counted, for a closed and an open load.
//!
//! Two runs of different size against a target in another process: what the larger one allocates more is what its further
//! requests cost. The open pair lasts equally long, as looking after the workers allocates a little each second.

#![allow(unsafe_code, reason = "a global allocator is unsafe to implement")]
#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod common {
    #[allow(dead_code, reason = "shared by several benches")]
    pub(crate) mod rounds;
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::rounds;
use ringload::engine::{self, Control};
use ringload::net::runtime::Decision;
use ringload::plan::raw::{Input, RawExpect, RawExpectedBody, RawShape};
use ringload::plan::{self, RawPlan};

/// The system's allocator, counting.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// `ringload target` in a process of its own, ended with it.
struct Target(Child);

impl Target {
    fn start() -> (Self, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ringload"))
            .args(["target", "--for", "2m"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the target starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the target says where it listens");
        let url = line.trim().strip_prefix("listening on ").expect("the target's first line").to_owned();
        (Self(child), url)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Allocations and requests of one run.
fn run(raw: &RawPlan) -> (u64, u64) {
    let machine = engine::machine::machine();
    let plan = Arc::new(plan::validate(raw, &machine).expect("a plan"));
    let shards = plan::shards(&plan);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let decision = Decision::of(plan.driver).expect("a driver");
    let cleared = engine::preflight::check(&plan, &machine, &decision).expect("a machine that can run it");
    let control = Arc::new(Control::default());
    let record = engine::run(&plan, &shards, &machine, cleared, &control, &mut |_| {}).expect("a run");
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    // Not of those intended: a busy machine may leave the last of an open load unsent.
    assert_eq!(record.total.counts.ok, record.total.counts.sent, "every request was answered");
    (allocations, record.total.counts.sent)
}

fn main() {
    let (_target, url) = Target::start();
    let full = rounds::in_full();
    let closed = |requests: &str| RawPlan { requests: Some(requests.to_owned()), ..plan_for(&url) };
    let open = |rate: &str| RawPlan {
        shape: RawShape { rate: Some(rate.to_owned()), ..RawShape::default() },
        duration: Some(if full { "3s" } else { "1s" }.to_owned()),
        ..plan_for(&url)
    };
    let (small, large) = if full { ("20k", "120k") } else { ("2k", "12k") };
    compare("closed", &closed(small), &closed(large));
    let (small, large) = if full { ("2k", "30k") } else { ("500", "5k") };
    compare("open", &open(small), &open(large));
    let bodies = |requests: &str| RawPlan { input: Some(bodies(&url)), ..closed(requests) };
    let (small, large) = if full { ("20k", "60k") } else { ("1k", "4k") };
    compare("bodies", &bodies(small), &bodies(large));
    let expecting = |requests: &str| RawPlan { expect: expectations(), input: Some(tagged(&url)), ..closed(requests) };
    compare("expecting", &expecting(small), &expecting(large));
}

/// All that can be expected of the target's greeting.
fn expectations() -> RawExpect {
    RawExpect {
        status: vec!["2xx".into()],
        header: vec!["Content-Length: ^12$".into()],
        body: vec![RawExpectedBody::Pattern("^hello .*".into())],
        max_body: Some("12".into()),
    }
}

/// Lines with tags.
fn tagged(url: &str) -> Input {
    let line = |tag: &str| format!("{{\"url\":\"{url}\",\"tag\":\"{tag}\"}}\n");
    Input::of_bytes("tagged.jsonl", ["a", "b"].map(line).concat().into_bytes())
}

/// Lines with bodies of their own: none, small, and too large to be copied.
fn bodies(url: &str) -> Input {
    let line = |bytes: usize| format!("{{\"url\":\"{url}\",\"body\":\"{}\"}}\n", "AAAA".repeat(bytes / 3));
    let content = [0, 30, 3_000, 30_000].map(line).concat().into_bytes();
    Input::of_bytes("targets.jsonl", content)
}

fn plan_for(url: &str) -> RawPlan {
    RawPlan { urls: vec![url.to_owned()], ..RawPlan::default() }
}

/// Prints what the further requests of the larger plan allocate.
fn compare(name: &str, small: &RawPlan, large: &RawPlan) {
    let (few, fewer) = run(small);
    let (many, more) = run(large);
    let per_request = (many as f64 - few as f64) / (more - fewer) as f64;
    println!("allocations/{name}: {per_request:.6} a request ({few} in {fewer} requests, {many} in {more})");
    // Of few requests, what a second allocates is a larger part; one allocation a request is seen all the same.
    let most = if rounds::in_full() { 0.001 } else { 0.1 };
    assert!(per_request < most, "the engine allocates per request");
}
