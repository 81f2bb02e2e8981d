//! Runs of a client that something disturbed, and what is said of them.

use super::super::fixture::{MS, Run, US, raw};
use super::*;
use crate::plan::RawPlan;
use crate::plan::raw::RawShape;
use crate::record::vitals::{Segments, Stall, Theft};
use crate::record::{Outcome, Strain};

/// 20 s at 1,000/s: p99 has room for 200 ms.
fn open() -> Run {
    let shape = RawShape { rate: Some("1000".into()), ..RawShape::default() };
    Run::new(&RawPlan { shape, duration: Some("20s".into()), ..raw() })
}

/// All requests of it, answered after a millisecond; those intended in the second from 5 s on after `late`.
fn send(run: &mut Run, late: impl Fn(&mut Run, usize, u64, u64)) {
    for number in 0..20_000u64 {
        let (shard, intended) = (number as usize % 2, number * MS);
        if (5_000..6_000).contains(&number) {
            late(run, shard, intended, 6_000 * MS - intended);
        } else {
            run.request(shard, intended, 0, MS, Outcome::Answered(200));
        }
    }
}

fn stall(run: &mut Run, start_ms: u64, length_ms: u64, busy: bool) {
    for shard in 0..2 {
        let (start, length) = (Nanos::from_millis(start_ms), Nanos::from_millis(length_ms));
        run.shard(shard).vitals.ledger.enter(Stall { start, length, busy });
    }
}

fn judged(run: Run) -> Health {
    let (plan, record) = run.finish();
    assert_eq!(record.bugs, [""; 0]);
    Health::new(&plan, &record)
}

fn signal<'a>(health: &'a Health, name: &str) -> &'a Signal {
    health.signals.iter().find(|signal| signal.name() == name).expect("a signal")
}

fn of(health: &Health, q: f64) -> Quantile {
    *health.quantiles.iter().find(|quantile| quantile.q == q).expect("it is judged")
}

#[test]
fn a_run_that_nothing_disturbed_is_believed_as_far_as_it_is_long_enough() {
    let mut run = open();
    send(&mut run, |run, shard, intended, _| run.request(shard, intended, 0, MS, Outcome::Answered(200)));
    let health = judged(run);
    assert_eq!((health.verdict, health.cause), (Verdict::Ok, None));
    let verdicts = health.quantiles.map(|quantile| quantile.verdict);
    assert_eq!(verdicts[..6], [Verdict::Ok; 6], "p99.9 has room for 20 ms");
    assert_eq!((verdicts[6], of(&health, 0.9999).needs_s.map(f64::round)), (Verdict::Suspect, Some(100.0)));
}

#[test]
fn a_server_that_stood_still_is_no_fault_of_the_client() {
    let mut run = open();
    send(&mut run, |run, shard, intended, left| run.request(shard, intended, left, MS, Outcome::Answered(200)));
    let health = judged(run);
    assert_eq!((health.verdict, health.cause), (Verdict::Ok, None));
    let tail = of(&health, 0.99).tail.expect("it has a value");
    assert!(tail.pool > 0.99 && tail.client < 0.001, "{tail:?}");
}

#[test]
fn a_client_that_stood_still_spoils_the_quantiles_whose_room_it_used_up() {
    let mut run = open();
    send(&mut run, |run, shard, intended, left| run.stalled_request(shard, intended, left, MS));
    stall(&mut run, 5_000, 1_000, false);
    let health = judged(run);
    assert_eq!((health.verdict, health.cause), (Verdict::Invalid, Some(Cause::ClientStall)));
    for (q, verdict) in [(0.99, Verdict::Invalid), (0.999, Verdict::Invalid), (0.9999, Verdict::Invalid)] {
        assert_eq!(of(&health, q).verdict, verdict, "{q}");
    }
    let budget = signal(&health, "stall_budget_p99");
    assert!((budget.value.expect("a value") - 5.0).abs() < 1e-9, "1 s of 200 ms: {budget:?}");
    let tail = of(&health, 0.99).tail.expect("it has a value");
    assert!(tail.client > 0.99 && tail.pool < 0.001, "the backlog of a stall is the client's: {tail:?}");
    let in_time = signal(&health, "sent_in_time");
    assert!(
        in_time.verdict == Verdict::Invalid && (in_time.value.expect("a value") - 0.95).abs() < 1e-3,
        "{in_time:?}"
    );
    assert_eq!(signal(&health, "sent_in_time_worst_second").verdict, Verdict::Invalid);
}

#[test]
fn stalls_that_others_made_are_called_by_them() {
    let with = |steal| {
        let mut run = open();
        send(&mut run, |run, shard, intended, _| run.request(shard, intended, 0, MS, Outcome::Answered(200)));
        stall(&mut run, 5_000, 300, false);
        let (plan, mut record) = run.finish();
        record.strain.steal = Some(steal);
        let stolen = Nanos((steal * 20e9) as u64);
        record.strain.thefts.enter(Theft { from: Nanos::ZERO, until: Nanos::from_millis(20_000), stolen });
        let health = Health::new(&plan, &record);
        (health.verdict, health.cause)
    };
    assert_eq!(with(0.014), (Verdict::Invalid, Some(Cause::Steal)), "280 of 300 ms");
    assert_eq!(with(0.010), (Verdict::Invalid, Some(Cause::ClientStall)), "200 of 300 ms");
}

#[test]
fn a_stall_that_is_longer_than_what_was_stolen_around_it_is_the_client_s() {
    let with = |stolen| {
        let mut run = open();
        send(&mut run, |run, shard, intended, left| run.stalled_request(shard, intended, left, MS));
        stall(&mut run, 5_000, 1_000, false);
        let (plan, mut record) = run.finish();
        record.strain.steal = Some(0.1);
        let ms = Nanos::from_millis;
        let mut theft = |from, until, stolen| {
            record.strain.thefts.enter(Theft { from: ms(from), until: ms(until), stolen: ms(stolen) });
        };
        theft(1_000, 1_500, 900);
        theft(4_500, 6_100, stolen);
        theft(9_000, 9_500, 900);
        Health::new(&plan, &record).cause
    };
    assert_eq!(with(240), Some(Cause::ClientStall), "240 ms of two cores' time in the second of the stall");
    assert_eq!(with(1_000), Some(Cause::Steal), "the whole second");
}

#[test]
fn a_small_stall_is_seen_by_far_quantiles_alone() {
    let mut run = open();
    send(&mut run, |run, shard, intended, _| run.request(shard, intended, 0, MS, Outcome::Answered(200)));
    stall(&mut run, 7_000, 12, false);
    let health = judged(run);
    assert_eq!(health.verdict, Verdict::Ok);
    assert_eq!(of(&health, 0.99).verdict, Verdict::Ok, "12 ms of 200");
    assert_eq!(of(&health, 0.999).verdict, Verdict::Invalid, "12 ms of 20");
}

#[test]
fn a_client_with_more_to_do_than_it_can_is_client_limited_in_an_open_load_and_a_lower_bound_in_a_closed_one() {
    let mut run = open();
    send(&mut run, |run, shard, intended, left| run.request(shard, intended, left, MS, Outcome::Answered(200)));
    let busy = Nanos::from_millis(19_800);
    (0..2).for_each(|shard| {
        let vitals = &mut run.shard(shard).vitals;
        (vitals.watched, vitals.cpu) = (Nanos::from_secs(20), busy);
    });
    stall(&mut run, 5_000, 150, true);
    let health = judged(run);
    assert_eq!((health.verdict, health.cause), (Verdict::Invalid, Some(Cause::ClientLimited)));

    let mut run = Run::new(&raw());
    run.answers(20_000);
    run.shard(0).vitals.cpu = Nanos::from_millis(1_900);
    let health = judged(run);
    assert_eq!((health.verdict, health.cause), (Verdict::Suspect, Some(Cause::ClientLimited)));
}

#[test]
fn what_the_machine_kept_back_is_named() {
    let with = |strain: Strain| {
        let mut run = open();
        send(&mut run, |run, shard, intended, _| run.request(shard, intended, 0, MS, Outcome::Answered(200)));
        let (plan, mut record) = run.finish();
        record.strain = strain;
        let health = Health::new(&plan, &record);
        (health.verdict, health.cause)
    };
    let steal = |steal| Strain { steal: Some(steal), ..Strain::default() };
    assert_eq!(with(steal(0.004)), (Verdict::Ok, None));
    assert_eq!(with(steal(0.02)), (Verdict::Suspect, Some(Cause::Steal)));
    assert_eq!(with(steal(0.04)), (Verdict::Invalid, Some(Cause::Steal)));
    let throttled = |ms| Strain { throttled: Some(Nanos::from_millis(ms)), ..Strain::default() };
    assert_eq!(with(throttled(15)), (Verdict::Suspect, Some(Cause::Throttled)));
    assert_eq!(with(throttled(30)), (Verdict::Invalid, Some(Cause::Throttled)));
    let drops = Strain { backlog_drops: Some(3), ..Strain::default() };
    assert_eq!(with(drops), (Verdict::Suspect, Some(Cause::Network)));
}

#[test]
fn what_a_core_was_refused_and_what_was_lost_is_named() {
    let with = |edit: fn(&mut crate::record::Vitals)| {
        let mut run = open();
        send(&mut run, |run, shard, intended, _| run.request(shard, intended, 0, MS, Outcome::Answered(200)));
        edit(&mut run.shard(1).vitals);
        let health = judged(run);
        (health.verdict, health.cause)
    };
    assert_eq!(with(|vitals| vitals.shortages.ports = 1), (Verdict::Invalid, Some(Cause::ClientLimited)));
    assert_eq!(
        with(|vitals| vitals.segments = Some(Segments { sent: 10_000, retransmitted: 10 })),
        (Verdict::Suspect, Some(Cause::Network))
    );
    assert_eq!(with(|vitals| vitals.major_faults = Some(2)), (Verdict::Suspect, Some(Cause::ClientStall)));
    assert_eq!(
        with(|vitals| (vitals.watched, vitals.run_delay) = (Nanos::from_secs(20), Some(Nanos::from_secs(1)))),
        (Verdict::Invalid, Some(Cause::Steal))
    );
}

#[test]
fn no_worst_second_is_better_than_the_run() {
    let mut run = open();
    send(&mut run, |run, shard, intended, _| run.request(shard, intended, 0, MS, Outcome::Answered(200)));
    run.shard(0).tally.counts.withheld = 500;
    let health = judged(run);
    let [all, worst] = ["sent_in_time", "sent_in_time_worst_second"].map(|name| signal(&health, name).value);
    assert!(all.is_some_and(|all| all < 1.0) && worst == all, "{worst:?} of {all:?}");
}

#[test]
fn a_wait_from_before_a_short_run_is_no_more_than_all_of_it() {
    let mut run = open();
    let vitals = &mut run.shard(0).vitals;
    (vitals.watched, vitals.run_delay) = (Nanos::from_millis(6), Some(Nanos::from_millis(11)));
    assert_eq!(signal(&judged(run), "run_delay").value, Some(1.0));
}

#[test]
fn lateness_that_no_timer_can_avoid_makes_a_fast_server_s_tail_suspect_and_not_invalid() {
    let with = |late_us: u64| {
        let mut run = open();
        for number in 0..20_000u64 {
            run.late_request(number as usize % 2, number * MS, late_us * US, 100 * US);
        }
        of(&judged(run), 0.99).verdict
    };
    assert_eq!(with(2), Verdict::Ok);
    assert_eq!(with(80), Verdict::Suspect, "80 of 180 us");
    assert_eq!(with(400), Verdict::Invalid, "400 of 500 us");
}

#[test]
fn a_core_that_queued_while_another_had_free_connections_is_told() {
    let mut run = open();
    for number in 0..20_000u64 {
        let shard = number as usize % 2;
        run.request(shard, number * MS, shard as u64 * 5 * MS, MS, Outcome::Answered(200));
    }
    let health = judged(run);
    assert_eq!((health.verdict, health.cause), (Verdict::Suspect, Some(Cause::Pool)));
    assert!(signal(&health, "imbalance_p99_ratio").value.is_some_and(|ratio| ratio > 5.0));
}
