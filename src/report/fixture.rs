//! Made-up runs for the tests of all formats: requests go through the recording functions, so that everything agrees.

use std::collections::BTreeMap;

use crate::plan::raw::RawShape;
use crate::plan::shard::{Cpu, Machine};
use crate::plan::{Arrivals, Plan, RawPlan, shards, validate};
use crate::record::environment::{Platform, Way};
use crate::record::timeline::{PageId, Timeline, WINDOW};
use crate::record::vitals::Segments;
use crate::record::{
    Environment, Failure, Interval, Latency, Outcome, Reached, RunRecord, ShardRecord, Stamps, Strain, Tally, Vitals,
    merge,
};
use crate::units::{NANOS_PER_S, Nanos};

/// All flags of a current kernel.
pub(super) const FLAGS: &[&str] = &["COOP_TASKRUN", "SINGLE_ISSUER", "DEFER_TASKRUN"];

/// A microsecond.
pub(super) const US: u64 = 1_000;
/// A millisecond.
pub(super) const MS: u64 = 1_000 * US;

/// A run under construction; instants are nanoseconds since T0.
pub(super) struct Run {
    plan: Plan,
    shards: Vec<ShardRecord>,
    pages: Vec<BTreeMap<PageId, Interval>>,
    /// The window's length.
    window: Nanos,
    pub(super) interrupted: bool,
    pub(super) aborted: Option<crate::plan::Rule>,
}

/// What a run is asked for unless a test says otherwise: two cores, 8 connections, 2 s.
pub(super) fn raw() -> RawPlan {
    RawPlan {
        urls: vec!["http://10.0.0.2:8080/index.html".into()],
        connections: Some("8".into()),
        duration: Some("2s".into()),
        argv: ["ringload", "-c", "8", "-d", "2s", "http://10.0.0.2:8080/index.html"].map(String::from).to_vec(),
        ..RawPlan::default()
    }
}

/// A core that had nothing to complain of.
fn vitals() -> Vitals {
    Vitals {
        watched: Nanos::from_secs(2),
        cpu: Nanos::from_millis(400),
        run_delay: Some(Nanos::ZERO),
        major_faults: Some(0),
        segments: Some(Segments { sent: 10_000, retransmitted: 0 }),
        ..Vitals::default()
    }
}

impl Run {
    /// A run of `raw` that counted nothing yet.
    pub(super) fn new(raw: &RawPlan) -> Self {
        let machine = Machine { cpus: (0..2).map(|id| Cpu { id, core: id }).collect(), quota: None };
        let plan = validate(raw, &machine).expect("a plan");
        let records = shards(&plan).into_iter().map(|shard| ShardRecord {
            shard,
            tally: Tally::default(),
            last_done: Nanos::ZERO,
            cpu: Nanos::from_millis(400),
            vitals: vitals(),
            ring_flags: FLAGS,
            lost: None,
        });
        let shards: Vec<_> = records.collect();
        let window = plan.end.duration.unwrap_or(Nanos::from_secs(1));
        Self { pages: vec![BTreeMap::new(); shards.len()], plan, shards, window, interrupted: false, aborted: None }
    }

    /// The shard under `index`, for what is no request.
    pub(super) fn shard(&mut self, index: usize) -> &mut ShardRecord {
        &mut self.shards[index]
    }

    /// Ends the window early.
    pub(super) fn stop_at(&mut self, window: Nanos) {
        self.window = window;
        self.interrupted = true;
    }

    /// A request that waited `pool_ns` for its connection and ended `service_ns` after it was sent.
    pub(super) fn request(&mut self, shard: usize, intended: u64, pool_ns: u64, service_ns: u64, outcome: Outcome) {
        self.any_request(shard, intended, [pool_ns, 0, 2 * US, service_ns], outcome);
    }

    /// The same, where a stall of the client made it wait for its connection.
    pub(super) fn stalled_request(&mut self, shard: usize, intended: u64, pool_ns: u64, service_ns: u64) {
        self.any_request(shard, intended, [pool_ns, pool_ns, 2 * US, service_ns], Outcome::Answered(200));
    }

    /// A request that the client sent late.
    pub(super) fn late_request(&mut self, shard: usize, intended: u64, late_ns: u64, service_ns: u64) {
        self.any_request(shard, intended, [0, 0, late_ns, service_ns], Outcome::Answered(200));
    }

    /// A request that waited, of it for a stall's backlog, was late and was served, in nanoseconds.
    fn any_request(&mut self, shard: usize, intended: u64, lags: [u64; 4], outcome: Outcome) {
        let [pool_ns, stalled_ns, late_ns, service_ns] = lags;
        let ready = intended + pool_ns;
        let sent = ready + late_ns;
        let done = sent + service_ns;
        let stamps = Stamps {
            intended: Nanos(intended),
            ready: Nanos(ready),
            stalled: Nanos(stalled_ns),
            sent: Some(Nanos(sent)),
            submitted: Some(Nanos(sent + 5 * US)),
            first_byte: Some(Nanos(done - service_ns / 10)),
            done: Nanos(done),
        };
        let tally = &mut self.shards[shard].tally;
        tally.counts.intended += 1;
        tally.traffic.sent += 90;
        tally.flow.enter(stamps.intended);
        tally.record(outcome, &stamps);
        tally.flow.leave(stamps.done);
        self.page(shard, intended).counts.intended += 1;
        self.page(shard, sent).counts.sent += 1;
        let end = self.page(shard, done);
        end.counts.withheld += u64::from(stamps.withheld());
        match outcome {
            Outcome::Answered(status) => {
                end.counts.completed += 1;
                end.counts.ok += u64::from(status < 400);
                end.response.record(Nanos(done - intended));
                self.shards[shard].tally.traffic.received += 850;
            }
            Outcome::Failed(failure) => {
                end.counts.failed += 1;
                if failure.waited() {
                    end.response.record(Nanos(done - intended));
                }
            }
            Outcome::InFlightAtEnd => {}
        }
    }

    /// A request whose connection could not be had.
    pub(super) fn refused(&mut self, shard: usize, intended: u64, failure: Failure) {
        let at = Nanos(intended);
        let stamps = Stamps { intended: at, ready: at, done: at, ..Stamps::default() };
        let tally = &mut self.shards[shard].tally;
        tally.counts.intended += 1;
        tally.flow.enter(at);
        tally.record(Outcome::Failed(failure), &stamps);
        tally.flow.leave(at);
        let page = self.page(shard, intended);
        page.counts.intended += 1;
        page.counts.failed += 1;
    }

    /// A request that fell due and was never taken up.
    pub(super) fn unsent(&mut self, shard: usize, intended: u64) {
        let tally = &mut self.shards[shard].tally;
        tally.counts.intended += 1;
        tally.record_unsent(Nanos(self.window.0 - intended), Nanos::ZERO, 1);
        self.page(shard, intended).counts.intended += 1;
    }

    /// `n` answers of 200 in a row, spread evenly over the window and over shards: 100 to 1,100 us.
    pub(super) fn answers(&mut self, n: u64) {
        let step = self.window.0 * 9 / 10 / n.max(1);
        for number in 0..n {
            let shard = (number % self.shards.len() as u64) as usize;
            let service = 100 * US + number * 7_919 % (1_000 * US);
            self.request(shard, number * step, 0, service, Outcome::Answered(200));
        }
        for shard in &mut self.shards {
            shard.tally.counts.connections_opened = u64::from(shard.shard.connections);
            shard.tally.counts.connections_opened_before_t0 = u64::from(shard.shard.connections);
            shard.tally.latencies[Latency::Connect].record_n(Nanos(80 * US), u64::from(shard.shard.connections));
        }
    }

    /// The merged run.
    pub(super) fn finish(self) -> (Plan, RunRecord) {
        let mut timeline = Timeline::new(self.shards.len());
        for (index, pages) in self.pages.iter().enumerate() {
            pages.values().for_each(|interval| {
                timeline.add(index, interval);
            });
        }
        let (total, bugs) = merge(&self.shards);
        let (timeline, windows) = timeline.finish();
        let record = RunRecord {
            total,
            bugs,
            shards: self.shards,
            timeline,
            windows,
            window: self.window,
            interrupted: self.interrupted,
            aborted: self.aborted,
            t0_unix: Nanos(1_767_225_600 * NANOS_PER_S + 123_456_789),
            ended_unix: Nanos(1_767_225_600 * NANOS_PER_S + 123_456_789 + self.window.0),
            environment: Environment {
                kernel: Some("6.8.0".into()),
                cores_allowed: vec![0, 1],
                cores_used: self.plan.cores.clone(),
                nofile: Some(1_024),
                clock_resolution_ns: Some(1),
                platform: Platform {
                    product: Some("KVM \u{1b}[31m".into()),
                    hypervisor: Some(true),
                    ..Platform::default()
                },
                sysctls: vec![("core.somaxconn", Some("4096".into())), ("ipv4.tcp_tw_reuse", None)],
                port_range: Some((32_768, 60_999)),
                ..Environment::default()
            },
            strain: Strain { steal: Some(0.0), backlog_drops: Some(0), ..Strain::default() },
            driver: "io_uring",
            io_uring_refused: None,
            origins: vec![
                Reached { addresses: vec!["10.0.0.2:8080".parse().expect("an address")], tls: None };
                self.plan.urls.origins().len()
            ],
            findings: Vec::new(),
            fetched: None,
        };
        (self.plan, record)
    }

    fn page(&mut self, shard: usize, at: u64) -> &mut Interval {
        let drain = at >= self.window.0;
        let since = if drain { at - self.window.0 } else { at };
        let id = PageId { drain, number: since / WINDOW.0 };
        let interval = self.pages[shard].entry(id).or_default();
        interval.id = id;
        interval
    }
}

/// To the target, through a virtual interface.
pub(super) fn way() -> Way {
    Way {
        to: "10.0.0.2".parse().expect("an address"),
        from: None,
        interface: Some("eth0".into()),
        driver: Some("virtio_net".into()),
        speed_mbit: None,
        mtu: Some(1_500),
    }
}

/// 20,000 requests, all answered 200 in time, as fast as answers came.
pub(super) fn closed() -> (Plan, RunRecord) {
    let mut run = Run::new(&raw());
    run.answers(20_000);
    run.finish()
}

/// Half a minute of 2,000 answers a second, of which some are slow together every third second, and a few are errors.
pub(super) fn long() -> (Plan, RunRecord) {
    let mut run = Run::new(&RawPlan { duration: Some("30s".into()), ..raw() });
    run.answers(60_000);
    for number in 0..1_000 {
        run.request(0, number / 100 * 3_000 * MS + number % 100 * MS, 0, (3 + number % 7) * MS, Outcome::Answered(200));
    }
    for number in 0..30 {
        run.request(1, number * 900 * MS, 0, 500 * US, Outcome::Answered(503));
    }
    run.finish()
}

/// 5,000/s intended, of which one core's share stalls: late sending, timeouts, errors, and some never sent.
pub(super) fn open() -> (Plan, RunRecord) {
    let mut run = Run::new(&RawPlan {
        shape: RawShape { rate: Some("5k".into()), arrivals: Some(Arrivals::Poisson), ..RawShape::default() },
        timeout: Some("500ms".into()),
        warmup: Some("1s".into()),
        ..raw()
    });
    run.answers(9_000);
    for number in 0..600 {
        let outcome = if number % 3 == 0 { Outcome::Answered(503) } else { Outcome::Failed(Failure::Timeout) };
        run.request(1, number * MS, 300 * MS, 500 * MS, outcome);
    }
    for number in 0..20 {
        run.request(1, 1_900 * MS + number, 20 * MS, 2_080 * MS, Outcome::InFlightAtEnd);
    }
    run.request(1, 1_500 * MS, 0, 800 * MS, Outcome::Answered(200));
    for number in 0..380 {
        run.unsent(1, 1_600 * MS + number * MS);
    }
    run.shard(0).tally.warmup = crate::record::tally::Warmup { requests: 4_990, failed: 3 };
    run.finish()
}

/// Nobody listens.
pub(super) fn nothing() -> (Plan, RunRecord) {
    let mut run = Run::new(&RawPlan { start_anyway: true, ..raw() });
    for number in 0..200 {
        run.refused((number % 2) as usize, number * 10 * MS, Failure::Connect);
    }
    run.finish()
}

/// One worker died and the user gave up; the other ran on a ring with fewer flags.
pub(super) fn broken() -> (Plan, RunRecord) {
    let mut run = Run::new(&raw());
    run.stop_at(Nanos::from_millis(700));
    run.answers(5_000);
    run.shard(1).lost = Some("assertion failed: \u{1b}[31mgot\u{1b}[0m \"x\"\nat line 3".into());
    run.shard(0).ring_flags = &FLAGS[..1];
    run.finish()
}

/// Not a single request.
pub(super) fn empty() -> (Plan, RunRecord) {
    Run::new(&raw()).finish()
}
