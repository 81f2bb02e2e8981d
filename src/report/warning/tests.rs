//! Each warning in the run that gives rise to it.

use expect_test::{Expect, expect};

use super::super::fixture::{self, FLAGS, MS, Run, US, raw};
use super::*;
use crate::plan::RawPlan;
use crate::plan::raw::RawShape;
use crate::record::{FindingKind, Latency, Outcome, RunRecord};

fn check((plan, record): &(Plan, RunRecord), expect: Expect) {
    let summary = Summary::new(plan, record);
    let lines: String =
        summary.warnings.iter().map(|warning| format!("{}: {}\n", warning.code(), warning.text)).collect();
    expect.assert_eq(&lines);
}

fn answered(statuses: &[u16]) -> Run {
    let mut run = Run::new(&raw());
    for (number, &status) in (0..).zip(statuses.iter().cycle().take(1_000)) {
        run.request(0, number * MS, 0, 100 * US, Outcome::Answered(status));
    }
    run
}

#[test]
fn a_clean_run_has_none() {
    check(&fixture::closed(), expect![""]);
}

#[test]
fn an_overloaded_open_run_names_what_fell_behind() {
    check(
        &fixture::open(),
        expect![[r#"
            failures: 400 of 10001 requests failed (4.0 %): timeout 400. The server was slower than --timeout: lower the load, or raise it.
            http_errors: 200 of 9201 answers (2.2 %) were 400 or above, most often 503; they are not in ok/s. Check URL, method and headers, or the server's log.
            lower_bounds: response times from p90 on are lower bounds (> x): 800 requests (8.0 %) timed out, were in flight at the end or unsent, and count with the time they had waited. A quantile can be off by as many ranks, no more.
            unsent: 380 of 10001 requests (3.8 %) fell due and were never sent: 8 connections did not keep up with the rate. Raise -c, or lower -R to what the server takes.
            rate_missed: 4810/s were sent of 5000/s intended: service times are those of the lighter load.
            connection_limited: requests waited for a free connection (pool lag p99 300ms): the open load ran as a closed one of c=8. Raise -c until pool lag is gone.
            in_flight_at_end: 20 requests had no end 2s after the sending stopped; they count with the time they had waited. Raise --drain to see them through.
        "#]],
    );
}

#[test]
fn a_run_without_an_answer_says_so_first() {
    check(
        &fixture::nothing(),
        expect![[r#"
        no_success: not one request was answered below 400: check the URL, and that the server is up.
        failures: 200 of 200 requests failed (100.0 %): connect 200. Check that the server is up, its backlog, and the limits on open files (ulimit -n).
    "#]],
    );
}

#[test]
fn a_lost_worker_an_interruption_and_a_poor_ring_are_told() {
    check(
        &fixture::broken(),
        expect![[r#"
        worker_lost: the worker of shard 1 of 2 died (assertion failed: \u{1b}[31mgot\u{1b}[0m "x"\nat line 3): its part of the load is missing, so no figure holds for the whole. Please report this bug.
        interrupted: a signal ended the run after 700ms; the figures cover that part alone.
        ring_flags: of the ring flags COOP_TASKRUN, SINGLE_ISSUER and DEFER_TASKRUN the kernel granted only COOP_TASKRUN: the client needs about 26 % more CPU. Linux 6.1 or later has all.
    "#]],
    );
}

#[test]
fn redirects_are_no_success_to_be_proud_of() {
    check(
        &answered(&[301, 302, 200]).finish(),
        expect![[r#"
        redirects: 66.7 % of the answers were redirects (3xx), which are not followed: the load measured redirects. Ask for the URL they lead to.
    "#]],
    );
    check(&answered(&[301, 200]).finish(), expect![""]);
}

#[test]
fn http_errors_name_the_most_frequent_status() {
    check(
        &answered(&[200, 500, 503, 404, 503]).finish(),
        expect![[r#"
        http_errors: 800 of 1000 answers (80.0 %) were 400 or above, most often 503; they are not in ok/s. Check URL, method and headers, or the server's log.
    "#]],
    );
}

#[test]
fn reconnecting_clients_and_busy_ones_are_told() {
    let mut run = answered(&[200]);
    run.shard(0).tally.counts.connections_opened = 105;
    run.shard(0).tally.counts.connections_opened_before_t0 = 4;
    run.shard(1).cpu = crate::units::Nanos::from_millis(1_800);
    run.shard(1).tally.latencies[Latency::Connect].record(crate::units::Nanos(u64::MAX));
    check(
        &run.finish(),
        expect![[r#"
            client_saturated: the client kept its core 1 busy more than 85 % of the time: throughput is a lower bound. Give it more cores (-t, --cores).
            churn: 101 connections were opened for 1000 requests although keep-alive is on: response times include connecting. The server closed them (raise its keep-alive limits), or requests on them failed.
            clamped: above the 24 h that are told apart, and counted as 24 h: 1 times.
        "#]],
    );
}

#[test]
fn connections_that_were_to_be_closed_are_no_churn() {
    let reconnected = |connections| {
        let mut run = Run::new(&RawPlan { requests_per_connection: Some("4".into()), ..raw() });
        (0..1_000).for_each(|number| run.request(0, number * MS, 0, 100 * US, Outcome::Answered(200)));
        run.shard(0).tally.counts.connections_opened = connections;
        run.finish()
    };
    check(&reconnected(350), expect![""]);
    check(
        &reconnected(351),
        expect![[r#"
            churn: 351 connections were opened for 1000 requests although keep-alive is on: response times include connecting. The server closed them (raise its keep-alive limits), or requests on them failed.
        "#]],
    );
}

#[test]
fn a_target_on_the_same_machine_is_told() {
    let embedded = RawPlan { embedded_target: true, requests: Some("3".into()), ..raw() };
    let mut run = Run::new(&embedded);
    run.answers(3);
    run.shard(0).ring_flags = &[];
    check(
        &run.finish(),
        expect![[r#"
        few_samples: 3 requests are too few for a p99; run longer (-d) or send more (-n).
        ring_flags: of the ring flags COOP_TASKRUN, SINGLE_ISSUER and DEFER_TASKRUN the kernel granted none: the client needs about 26 % more CPU. Linux 6.1 or later has all.
        shared_machine: the target was started by this process and shares its machine: the figures exercise the client and are no benchmark of a server.
    "#]],
    );
    let (plan, mut record) = fixture::closed();
    record.origins[0].addresses = vec!["[::ffff:127.0.0.1]:80".parse().expect("an address")];
    assert_eq!(record.shards[0].ring_flags, FLAGS);
    check(
        &(plan, record),
        expect![[r#"
        loopback: the target is on this machine: client and server compete for its cores. Keep them apart (--cores, taskset), or use two machines.
    "#]],
    );
}

#[test]
fn a_driver_that_stood_in_for_io_uring_is_told_and_no_ring_is_missed() {
    let mut run = answered(&[200]);
    run.shard(0).ring_flags = &[];
    let (plan, mut record) = run.finish();
    record.driver = "epoll";
    check(&(plan, record.clone()), expect![""]);
    record.io_uring_refused = Some("Operation not permitted (os error 1)".to_owned());
    check(
        &(fixture::closed().0, record),
        expect![[r#"
            epoll_driver: io_uring was refused (Operation not permitted (os error 1)) and epoll took its place: the client needs more CPU a request, and its figures do not compare with those of io_uring. See: ringload help containers.
        "#]],
    );
}

#[test]
fn a_broken_rule_and_too_many_errors_are_named_with_their_limits() {
    let mut run = Run::new(&RawPlan { max_error_rate: Some("1%".into()), ..raw() });
    run.answers(988);
    for number in 0..10 {
        run.request(0, number * MS, 0, 100 * US, Outcome::Answered(500));
    }
    run.refused(0, 0, Failure::Connect);
    run.stop_at(crate::units::Nanos::from_millis(1_500));
    run.interrupted = false;
    run.aborted = Some(crate::plan::Rule::parse("errors>50%").expect("a rule"));
    check(
        &run.finish(),
        expect![[r#"
        aborted: --abort-on 'errors>50% for 1s' ended the run after 1.50s; the figures cover that part alone. Find its cause, or lower the load.
        error_rate: 11 of 999 requests (1.1 %) failed or were answered with 400 or above, more than --max-error-rate 1% allows.
        failures: 1 of 999 requests failed (0.1 %): connect 1. Check that the server is up, its backlog, and the limits on open files (ulimit -n).
        http_errors: 10 of 998 answers (1.0 %) were 400 or above, most often 500; they are not in ok/s. Check URL, method and headers, or the server's log.
    "#]],
    );
}

#[test]
fn as_many_errors_as_are_allowed_are_no_warning() {
    let mut run = Run::new(&RawPlan { max_error_rate: Some("1%".into()), ..raw() });
    run.answers(990);
    (0..10).for_each(|number| run.request(0, number * MS, 0, 100 * US, Outcome::Answered(500)));
    let (plan, record) = run.finish();
    assert!(!Summary::new(&plan, &record).too_many_errors);
}

#[test]
fn what_was_found_before_the_run_stands_in_its_place() {
    let (plan, mut record) = fixture::broken();
    let found = [(FindingKind::CpuQuota, "the quota."), (FindingKind::PortsTaken, "the ports.")];
    record.findings = found.map(|(kind, text)| crate::record::Finding { kind, text: text.into() }).to_vec();
    let codes: Vec<_> = Summary::new(&plan, &record).warnings.iter().map(Warning::code).collect();
    assert!(codes.ends_with(&["ports_taken", "cpu_quota", "ring_flags"]), "{codes:?}");
}

#[test]
fn shares_are_never_rounded_to_nothing_or_all() {
    assert_eq!(percent(1, 1_000_000), "< 0.1 %");
    assert_eq!(percent(999_999, 1_000_000), "> 99.9 %");
    assert_eq!((percent(0, 5), percent(5, 5), percent(1, 3)), ("0.0 %".into(), "100.0 %".into(), "33.3 %".into()));
    assert_eq!(percent(0, 0), "0.0 %");
}

#[test]
fn cores_are_listed_as_ranges() {
    assert_eq!(ranges(&[7, 0, 2, 1, 10, 11]), "0-2,7,10-11");
    assert_eq!(ranges(&[]), "");
}

#[test]
fn names_are_unique_and_in_order() {
    assert!(Code::ALL.is_sorted());
    let mut names = Code::ALL.map(Code::name).to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Code::ALL.len());
}

#[test]
fn what_a_dead_origin_held_back_is_not_blamed_on_the_connections() {
    let mut run = Run::new(&RawPlan { shape: RawShape { rate: Some("1k".into()), ..RawShape::default() }, ..raw() });
    for number in 0..100 {
        run.refused(0, number * MS, Failure::Connect);
        run.unsent(1, number * MS);
    }
    let (plan, record) = run.finish();
    let summary = Summary::new(&plan, &record);
    let unsent = summary.warnings.iter().find(|warning| warning.code() == "unsent").expect("the warning");
    assert!(unsent.text.contains("dead origin") && !unsent.text.contains("Raise -c"), "{}", unsent.text);
}

#[test]
fn what_the_client_kept_back_itself_is_not_blamed_on_the_connections() {
    let mut run = Run::new(&RawPlan { shape: RawShape { rate: Some("1k".into()), ..RawShape::default() }, ..raw() });
    for number in 0..200 {
        run.stalled_request(0, number * MS, 300 * MS, MS);
    }
    run.unsent(1, 200 * MS);
    let (plan, record) = run.finish();
    let summary = Summary::new(&plan, &record);
    let unsent = summary.warnings.iter().find(|warning| warning.code() == "unsent").expect("the warning");
    assert!(unsent.text.contains("kept most of them back itself"), "{}", unsent.text);
    assert!(summary.warnings.iter().all(|warning| warning.code() != "connection_limited"), "{:?}", summary.warnings);
}

/// 60 s of 100 answers a second, which take as many microseconds as `service_us` says of second and number.
fn minute(service_us: impl Fn(u64, u64) -> u64) -> (Plan, RunRecord) {
    let mut run = Run::new(&RawPlan { duration: Some("60s".into()), ..raw() });
    for number in 0..6_000 {
        let scattered = service_us(number / 100, number) * (900 + number * 7_919 % 200) / 1_000;
        run.request((number % 2) as usize, number * 10 * MS, 0, scattered * US, Outcome::Answered(200));
    }
    run.finish()
}

#[test]
fn a_steady_minute_has_none() {
    check(&minute(|_, _| 1_000), expect![""]);
}

#[test]
fn a_cold_start_is_told_with_the_warm_up_that_it_takes() {
    check(
        &minute(|second, _| if second < 10 { 1_400 } else { 1_000 }),
        expect![[r#"
            warmup_too_short: the first 10s were unlike the rest: response times were 1.40 times theirs, and are in the figures. Use --warmup 10s or more.
        "#]],
    );
}

#[test]
fn response_times_that_rise_are_told() {
    check(
        &minute(|second, _| 1_000 + second * 10),
        expect![[r#"
            drift: response times rose over the run (rank correlation of p99 with time 1.00): from its first to its last third p50 by a factor of 1.36, p99 of 1.37. Quantiles mix early and late: find what builds up or warms up, or run longer with a longer --warmup.
        "#]],
    );
}

#[test]
fn a_second_unlike_the_others_is_told_and_the_first_one_by_its_cause() {
    check(
        &minute(|second, _| if second == 40 { 3_000 } else { 1_000 }),
        expect![[r#"
        outlier_second: the second at 40s was unlike the others: its p99 was 3.29ms, theirs 1.10ms in the median. The tail is that event's: look at the server's log and at the intervals of the JSON report, and run again.
        bimodal: response times of ok are of 2 kinds: 98.3 % around 962us, 1.7 % around 3.23ms. Mean and quantiles between them describe none: measure the kinds of requests apart, or find what makes some slow.
    "#]],
    );
    check(
        &minute(|second, _| if second == 0 { 3_000 } else { 1_000 }),
        expect![[r#"
        outlier_second: the first second was unlike the others: its p99 was 3.29ms, theirs 1.10ms in the median. Use --warmup to keep the start out of the figures.
        bimodal: response times of ok are of 2 kinds: 98.3 % around 962us, 1.7 % around 3.23ms. Mean and quantiles between them describe none: measure the kinds of requests apart, or find what makes some slow.
    "#]],
    );
}

#[test]
fn answers_of_two_kinds_are_told_with_their_shares() {
    check(
        &minute(|_, number| if number.is_multiple_of(5) { 9_000 } else { 1_000 }),
        expect![[r#"
        bimodal: response times of ok are of 2 kinds: 80.0 % around 962us, 20.0 % around 9.15ms. Mean and quantiles between them describe none: measure the kinds of requests apart, or find what makes some slow.
    "#]],
    );
}
