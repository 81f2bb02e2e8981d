//! URL sets of up to ten million lines: memory a line beyond its text, lines read a second, and what a request costs
//! with one million lines and with ten.
//!
//! Memory is counted twice: what is allocated when the set is finished, and the most that was resident while it was read.

#![allow(unsafe_code, reason = "a global allocator is unsafe to implement")]
#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod common {
    pub(crate) mod rounds;
}

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::hint::black_box;
use std::io::{self, Read, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::rounds;
use ringload::clock;
use ringload::plan::request::Common;
use ringload::plan::urlset::Builder;
use ringload::plan::{Order, UrlSet, Walk};
use ringload::units::Nanos;
use ringload::wire::encode;

/// The system's allocator, counting the bytes that are in use.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        IN_USE.fetch_add(size, Ordering::Relaxed);
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An input of `count` lines that is made while it is read.
struct Lines {
    write: fn(&mut Vec<u8>, u64) -> io::Result<()>,
    next: u64,
    count: u64,
    made: Vec<u8>,
    taken: usize,
}

impl Lines {
    fn new(write: fn(&mut Vec<u8>, u64) -> io::Result<()>, count: u64) -> Self {
        Self { write, next: 0, count, made: Vec::new(), taken: 0 }
    }
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.made.len() {
            self.made.clear();
            self.taken = 0;
            let until = self.count.min(self.next + 1_000);
            (self.next..until).try_for_each(|line| (self.write)(&mut self.made, line))?;
            self.next = until;
        }
        let count = (&self.made[self.taken..]).read(buffer)?;
        self.taken += count;
        Ok(count)
    }
}

fn plain(out: &mut Vec<u8>, line: u64) -> io::Result<()> {
    writeln!(out, "http://127.0.0.1:8080/items/{line:08}?view=full")
}

fn json(out: &mut Vec<u8>, line: u64) -> io::Result<()> {
    writeln!(out, r#"{{"method":"GET","url":"http://127.0.0.1:8080/items/{line:08}?view=full"}}"#)
}

fn weighted(out: &mut Vec<u8>, line: u64) -> io::Result<()> {
    let weight = line % 7 + 1;
    writeln!(out, r#"{{"url":"http://127.0.0.1:8080/items/{line:08}?view=full","weight":{weight}}}"#)
}

/// A header that all lines share, and twelve bytes of body that no other line has.
fn with_body(out: &mut Vec<u8>, line: u64) -> io::Result<()> {
    writeln!(
        out,
        r#"{{"method":"PUT","url":"http://127.0.0.1:8080/items/{line:08}?view=full","header":{{"X-A":["b"]}},"body":"AAAA{line:012}"}}"#
    )
}

/// A header whose value no other line has.
fn with_own_header(out: &mut Vec<u8>, line: u64) -> io::Result<()> {
    writeln!(out, r#"{{"url":"http://127.0.0.1:8080/items/{line:08}?view=full","header":{{"X-Id":["{line}"]}}}}"#)
}

fn of_1000_origins(out: &mut Vec<u8>, line: u64) -> io::Result<()> {
    writeln!(out, "http://host{}.example:8080/items/{line:08}?view=full", line % 1_000)
}

fn of_own_origin(out: &mut Vec<u8>, line: u64) -> io::Result<()> {
    writeln!(out, "http://host{line}.example:8080/items/{line:08}?view=full")
}

fn read(lines: impl Read) -> UrlSet {
    let common = Common { keep_alive: true, ..Common::default() };
    let mut builder = Builder::new(&common, "GET");
    builder.push_file("lines", lines).expect("lines of URLs");
    builder.finish()
}

fn main() {
    // Small, where `cargo test` asks.
    let million = if rounds::in_full() { 1_000_000 } else { 1_000 };
    let rounds = if rounds::in_full() { 9 } else { 1 };
    memory("plain", plain, 10 * million);
    memory("json", json, 10 * million);
    memory("json_weights", weighted, 10 * million);
    memory("json_own_bodies", with_body, 10 * million);
    memory("1000_origins", of_1000_origins, 10 * million);
    memory("each_its_own_header", with_own_header, million);
    memory("each_its_own_origin", of_own_origin, million);
    for (name, write) in
        [("plain", plain as fn(&mut Vec<u8>, u64) -> io::Result<()>), ("json", json), ("json_own_bodies", with_body)]
    {
        speed(name, write, million, rounds);
    }
    let (one, ten) = (read(Lines::new(plain, million)), read(Lines::new(plain, 10 * million)));
    for order in [Order::Seq, Order::Shuffle, Order::Random] {
        request(order, &one, &ten, million, rounds);
    }
}

fn memory(name: &str, write: fn(&mut Vec<u8>, u64) -> io::Result<()>, lines: u64) {
    // Resets the peak; where the kernel does not let us, the peak is that of the whole bench so far.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let (in_use, resident) = (IN_USE.load(Ordering::Relaxed), status_bytes("VmRSS:"));
    let set = read(Lines::new(write, lines));
    let taken = IN_USE.load(Ordering::Relaxed) - in_use;
    let peak = status_bytes("VmHWM:").saturating_sub(resident);
    let targets: usize = (0..set.len()).map(|line| set.target(line).len()).sum();
    let text = targets + set.bodies().map(<[u8]>::len).sum::<usize>();
    let a_line = |bytes: usize| bytes as f64 / lines as f64;
    println!(
        "memory/{name}: {:.1} bytes a line beyond its text of {:.1}; at most {:.1} while reading ({lines} lines)",
        a_line(taken.saturating_sub(text)),
        a_line(text),
        a_line(peak.saturating_sub(text)),
    );
}

/// A figure of /proc/self/status.
fn status_bytes(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with(name)).expect("it has this line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number of KiB") * 1024
}

fn speed(name: &str, write: fn(&mut Vec<u8>, u64) -> io::Result<()>, lines: u64, rounds: usize) {
    let mut content = Vec::new();
    Lines::new(write, lines).read_to_end(&mut content).expect("memory can be read");
    let mut rates: Vec<f64> = (0..rounds)
        .map(|_| {
            let started = clock::thread_cpu();
            black_box(read(&content[..]));
            lines as f64 / seconds_since(started) / 1e6
        })
        .collect();
    println!("reading/{name}: {} million lines a CPU second", rounds::spread(&mut rates, 2));
}

/// From a request's number to its bytes, with the smaller set and with the larger.
fn request(order: Order, small: &UrlSet, large: &UrlSet, requests: u64, rounds: usize) {
    let (mut of_small, mut of_large, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..rounds as u64 {
        let (a, b) = (render_ns(order, small, number, requests), render_ns(order, large, number, requests));
        of_small.push(a);
        of_large.push(b);
        ratios.push(b / a);
    }
    println!(
        "request/{}: {} ns of {} lines, {} ns of {}, ratio {}",
        order.name(),
        rounds::spread(&mut of_small, 1),
        small.len(),
        rounds::spread(&mut of_large, 1),
        large.len(),
        rounds::spread(&mut ratios, 2),
    );
}

/// Nanoseconds a request; each round goes on where the one before ended.
fn render_ns(order: Order, urls: &UrlSet, round: u64, requests: u64) -> f64 {
    let walk = Walk::new(order, urls.len(), 0, 0, 1);
    let mut out = Vec::with_capacity(256);
    let started = clock::thread_cpu();
    for k in round * requests..(round + 1) * requests {
        let line = walk.line(urls, k);
        encode::render(&mut out, urls.template(line), urls.target(line), None);
        black_box(&out);
    }
    seconds_since(started) * 1e9 / requests as f64
}

/// CPU time of this thread: others that the machine serves meanwhile do not count.
fn seconds_since(started: Nanos) -> f64 {
    Nanos(clock::thread_cpu().0 - started.0).as_secs_f64()
}
