//! The per-request path without sockets on one pinned thread and on two: a ticket of a closed load is taken, its line
//! found and rendered, an answer decoded, and the result recorded, all by the engine's own `Load`.
//!
//! Two threads would do twice as much as one if they shared nothing. Told twice: by wall time, which holds on a quiet
//! machine only, and by each thread's own CPU time, which other programs disturb less but which does not see two threads
//! that keep each other off the CPU. Rounds alternate; printed, not asserted.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod common {
    pub(crate) mod rounds;
    #[allow(dead_code, reason = "shared by several benches")]
    pub(crate) mod subjects;
}

use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::thread;

use common::{rounds, subjects};
use ringload::clock;
use ringload::engine::control::Control;
use ringload::engine::load::Load;
use ringload::engine::machine;
use ringload::engine::work::{Moved, Next, Sink, Source};
use ringload::plan::raw::Input;
use ringload::plan::{self, Plan, RawPlan, Shard};
use ringload::record::{Outcome, Stamps};
use ringload::units::Nanos;
use ringload::wire::decode::Decoder;

fn main() {
    let (rounds, round) = if rounds::in_full() { (15, Nanos::from_millis(500)) } else { (1, Nanos::from_millis(5)) };
    let cpus = machine::machine().cpus.len();
    let (one, two) = (plan("1"), plan(if cpus > 1 { "2" } else { "1" }));
    let mut told: [Told; 2] = [Told::new("wall"), Told::new("CPU")];
    for number in 0..rounds {
        // In turn first, so that neither always has the warmer machine.
        let (first, second) = if number % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let (a, b) = (rates(first, round), rates(second, round));
        let (one, two) = if number % 2 == 0 { (a, b) } else { (b, a) };
        told.iter_mut().zip(one.into_iter().zip(two)).for_each(|(told, (one, two))| told.add(one, two));
    }
    told.iter_mut().for_each(|told| told.print(cpus));
}

/// The rounds by one clock.
struct Told {
    clock: &'static str,
    one: Vec<f64>,
    two: Vec<f64>,
    ratios: Vec<f64>,
}

impl Told {
    fn new(clock: &'static str) -> Self {
        Self { clock, one: Vec::new(), two: Vec::new(), ratios: Vec::new() }
    }

    fn add(&mut self, one: f64, two: f64) {
        self.one.push(one / 1e6);
        self.two.push(two / 1e6);
        self.ratios.push(two / one);
    }

    fn print(&mut self, cpus: usize) {
        let Self { clock, one, two, ratios } = self;
        println!("scaling/{clock}/one_thread: {} million requests a {clock} second", rounds::spread(one, 2));
        println!("scaling/{clock}/two_threads: {} ({cpus} CPUs)", rounds::spread(two, 2));
        println!("scaling/{clock}/two_to_one: {}", rounds::spread(ratios, 3));
    }
}

/// A closed load of 10,000 lines on so many threads.
fn plan(threads: &str) -> Arc<Plan> {
    let lines: String = (0..10_000).map(|line| format!("http://127.0.0.1:8080/items/{line}?view=full\n")).collect();
    let raw = RawPlan {
        input: Some(Input::of_bytes("urls.txt", lines)),
        threads: Some(threads.to_owned()),
        duration: Some("1h".to_owned()),
        ..RawPlan::default()
    };
    Arc::new(plan::validate(&raw, &machine::machine()).expect("a plan"))
}

/// Requests a second of wall time, and a CPU second of each thread, summed up over the plan's threads; in one `round`.
fn rates(plan: &Arc<Plan>, round: Nanos) -> [f64; 2] {
    let shards = plan::shards(plan);
    let control = Arc::new(Control::default());
    let ready = Arc::new(Barrier::new(shards.len() + 1));
    let workers: Vec<_> = shards
        .into_iter()
        .map(|shard| {
            let (plan, control, ready) = (Arc::clone(plan), Arc::clone(&control), Arc::clone(&ready));
            thread::spawn(move || work(plan, shard, control, &ready))
        })
        .collect();
    ready.wait();
    // Far enough ahead that all threads wait for it.
    let start = Nanos(clock::now().0 + Nanos::from_millis(2).0);
    control.schedule(start, start, Nanos(start.0 + round.0));
    let done: Vec<_> = workers.into_iter().map(|worker| worker.join().expect("a worker ends")).collect();
    let requests: u64 = done.iter().map(|(requests, _)| requests).sum();
    let by_cpu = done.iter().map(|&(requests, cpu)| requests as f64 / cpu.as_secs_f64()).sum();
    [requests as f64 / round.as_secs_f64(), by_cpu]
}

/// What a slot does between its awaits, in a row; the requests, and their CPU time.
fn work(plan: Arc<Plan>, shard: Shard, control: Arc<Control>, ready: &Barrier) -> (u64, Nanos) {
    core_affinity::set_for_current(core_affinity::CoreId { id: shard.cpu });
    let load = Load::new(plan, shard, Arc::clone(&control), Box::new(|page| page.reset(page.id)));
    let mut decoder = Decoder::new();
    let mut request = Rc::default();
    let mut requests = 0u64;
    ready.wait();
    while clock::now() < control.start() {}
    let started = clock::thread_cpu();
    let mut now = clock::now();
    loop {
        let ticket = match load.next(now) {
            Next::Ticket(ticket) => ticket,
            Next::WaitUntil(_) => {
                now = clock::now();
                continue;
            }
            Next::End => return (requests, Nanos(clock::thread_cpu().0 - started.0)),
        };
        load.render(&ticket, 0, &mut request);
        let sent = clock::now();
        load.sent(&ticket, sent);
        let submitted = clock::now();
        let status = subjects::decode(&mut decoder, subjects::ANSWER);
        now = clock::now();
        let stamps = Stamps {
            intended: ticket.intended,
            ready: ticket.intended,
            sent: Some(sent),
            submitted: Some(submitted),
            first_byte: Some(now),
            done: now,
            ..Stamps::default()
        };
        let moved = Moved { sent: request.len() as u64, received: subjects::ANSWER.len() as u64 };
        load.done(&ticket, Outcome::Answered(status), &stamps, moved);
        requests += 1;
    }
}
