//! What users read of made-up runs.

use expect_test::{Expect, expect};

use super::super::fixture::{self, MS, Run, US, raw};
use super::*;
use crate::plan::{Plan, RawPlan};
use crate::record::{Outcome, RunRecord};

fn text((plan, record): &(Plan, RunRecord)) -> String {
    let mut out = Vec::new();
    write(&Summary::new(plan, record), &mut out).expect("a vector takes everything");
    let text = String::from_utf8(out).expect("ASCII");
    assert!(text.bytes().all(|b| b == b'\n' || (32..127).contains(&b)), "{text}");
    assert!(text.lines().all(|line| line.len() <= COLUMNS && line.trim_end() == line), "{text}");
    text
}

fn check(run: &(Plan, RunRecord), expect: Expect) {
    expect.assert_eq(&text(run));
}

#[test]
fn a_closed_run() {
    check(
        &fixture::closed(),
        expect![[r#"
            ringload: GET http://10.0.0.2:8080/index.html
              closed load, measured for 2.00s
              8 connections, 2 threads on cores 0-1

            Requests/sec: 10000.00 ok
                          10000.00 completed, 10000.00 sent, 10000.00 intended
            Transfer/sec: 8.11MiB in (16.2MiB in all), 879KiB out (1.72MiB in all)
            Requests:     20000 intended
                          = 20000 ok + 0 http_error + 0 failed + 0 unsent + 0 in_flight
            Status:       200: 20000
            Client:       OK: p99.9, p99.99 SUSPECT; run longer: p99.99 needs >= 100s

            Latency       response      service   first byte     pool lag   client lag
              min            102us      100.0us       90.0us       0.00us       2.00us
              mean           601us        599us        539us       0.00us       2.00us
              p50            601us        599us        539us       0.00us       2.00us
              p75            851us        849us        765us       0.00us       2.00us
              p90           1.00ms       1.00ms        900us       0.00us       2.00us
              p95           1.05ms       1.05ms        945us       0.00us       2.00us
              p99           1.09ms       1.09ms        981us       0.00us       2.00us
              p99.9         1.10ms?      1.10ms        989us       0.00us       2.00us
              p99.99        1.10ms?      1.10ms        990us       0.00us       2.00us
              max           1.10ms       1.10ms        990us       0.00us       2.00us
              of             20000        20000        20000        20000        20000
              response: from the intended start; of all answered, timed out or left waiting
              service, first byte: from sending; of all answered. n/a: not measured
              pool lag: wait for a connection; client lag: the client's own; of all sent
              ?, !: suspect, invalid; Client above says why
              of the time above p99: service 99.8 %, pool lag 0.0 %, client 0.2 %

            95 % intervals: n/a, they take a run of 5s or more

            Core  conns        sent      sent/s  response p50  response p99 cpu/request
            0         4       10000     5000.00         601us        1.09ms      40.0us
            1         4       10000     5000.00         601us        1.09ms      40.0us

            Measured on:  Linux 6.8.0, CPU n/a, SMT n/a, governor n/a, memory n/a, virtual
                          machine (KVM \u{1b}[31m), clock n/a
        "#]],
    );
}

#[test]
fn an_open_run_with_lower_bounds() {
    let text = text(&fixture::open());
    let (figures, _) = text.split_once("\nWarning: ").expect("warnings");
    expect![[r#"
        ringload: GET http://10.0.0.2:8080/index.html
          open load of 5000/s, Poisson arrivals, measured for 2.00s
          8 connections, 2 threads on cores 0-1
          after a warm-up of 1s (4990 requests, 3 failed), in no figure below

        Requests/sec: 4500.00 ok
                      4600.00 completed, 4810.50 sent, 5000.50 intended
        Transfer/sec: 3.73MiB in (7.46MiB in all), 423KiB out (846KiB in all)
        Requests:     10001 intended
                      = 9001 ok + 200 http_error + 400 failed + 380 unsent + 20
                      in_flight
        Status:       200: 9001, 503: 200
        Failures:     timeout: 400
        Client:       SUSPECT (pool): p99.9, p99.99 SUSPECT; 3.8 % were due and found no
                      connection; one core queued for connections that another had free;
                      one core's p99 is 732.3 times another's; run longer: p99.99 needs
                      >= 100s

        Latency       response      service   first byte     pool lag   client lag
          min            102us      100.0us       90.0us       0.00us       2.00us
          mean        > 60.8ms       11.5ms       10.4ms       18.8ms       2.00us
          p50            656us        610us        549us       0.00us       2.00us
          p75            935us        866us        779us       0.00us       2.00us
          p90         > 21.0ms       1.02ms        918us       0.00us       2.00us
          p95          > 800ms       1.07ms        964us        300ms       2.00us
          p99          > 800ms        500ms        450ms        300ms       2.00us
          p99.9        > 2.10s?       500ms        450ms        300ms       2.00us
          p99.99       > 2.10s?         n/a          n/a          n/a          n/a
          max          > 2.10s        800ms        720ms        300ms       2.00us
          of             10001         9201         9201         9621         9621
          response: from the intended start; of all answered, timed out or left waiting
          service, first byte: from sending; of all answered. n/a: not measured
          pool lag: wait for a connection; client lag: the client's own; of all sent
          ?, !: suspect, invalid; Client above says why
          of the time above p99: service 65.5 %, pool lag 34.5 %, client 0.0 %

        95 % intervals: n/a, they take a run of 5s or more

        Core  conns        sent      sent/s  response p50  response p99 cpu/request
        0         4        4500     2250.00         600us        1.09ms      88.9us
        1         4        5121     2560.50         712us       > 800ms      78.1us

        Measured on:  Linux 6.8.0, CPU n/a, SMT n/a, governor n/a, memory n/a, virtual
                      machine (KVM \u{1b}[31m), clock n/a
    "#]]
    .assert_eq(figures);
}

#[test]
fn an_open_run_is_told_what_makes_it_doubtful() {
    let text = text(&fixture::open());
    let from = text.find("Warning: ").expect("warnings");
    expect![[r#"
        Warning: [failures] 400 of 10001 requests failed (4.0 %): timeout 400. The
                 server was slower than --timeout: lower the load, or raise it.
        Warning: [http_errors] 200 of 9201 answers (2.2 %) were 400 or above, most often
                 503; they are not in ok/s. Check URL, method and headers, or the
                 server's log.
        Warning: [lower_bounds] response times from p90 on are lower bounds (> x): 800
                 requests (8.0 %) timed out, were in flight at the end or unsent, and
                 count with the time they had waited. A quantile can be off by as many
                 ranks, no more.
        Warning: [unsent] 380 of 10001 requests (3.8 %) fell due and were never sent: 8
                 connections did not keep up with the rate. Raise -c, or lower -R to
                 what the server takes.
        Warning: [rate_missed] 4810/s were sent of 5000/s intended: service times are
                 those of the lighter load.
        Warning: [connection_limited] requests waited for a free connection (pool lag
                 p99 300ms): the open load ran as a closed one of c=8. Raise -c until
                 pool lag is gone.
        Warning: [in_flight_at_end] 20 requests had no end 2s after the sending stopped;
                 they count with the time they had waited. Raise --drain to see them
                 through.
    "#]]
    .assert_eq(&text[from..]);
}

#[test]
fn a_long_run_has_intervals() {
    let text = text(&fixture::long());
    let block = text.split("\n\n").find(|block| block.starts_with("Response")).expect("intervals");
    expect![[r#"
        Response          95 % within this run        n_eff         deff
          p50              605us to      616us        31861          1.8
          p75              857us to      872us        12317          4.7
          p90             1.01ms to     1.03ms         4190         13.9
          p95             1.06ms to     1.08ms         1563         37.3
          p99             3.00ms to     8.00ms         1204         48.4
          p99.9           9.00ms to     9.00ms         4880         12.0
          p99.99  interval n/a (n_eff 4880, needs 36887: a run of about 227s)
          ok/s           2140.59 to    2295.78
          errors         0.031 % to    0.072 %        49386          1.0
          n_eff: independent requests that would tell as much; deff: n / n_eff, about"#]]
    .assert_eq(block);
}

#[test]
fn a_run_with_nothing_answered() {
    check(
        &fixture::nothing(),
        expect![[r#"
            ringload: GET http://10.0.0.2:8080/index.html
              closed load, measured for 2.00s
              8 connections, 2 threads on cores 0-1

            Requests/sec: 0.00 ok
                          0.00 completed, 0.00 sent, 100.00 intended
            Transfer/sec: 0B in (0B in all), 0B out (0B in all)
            Requests:     200 intended
                          = 0 ok + 0 http_error + 200 failed + 0 unsent + 0 in_flight
            Failures:     connect: 200
            Client:       OK

            Latency       response      service   first byte     pool lag   client lag
              min              n/a          n/a          n/a          n/a          n/a
              mean             n/a          n/a          n/a          n/a          n/a
              p50              n/a          n/a          n/a          n/a          n/a
              p75              n/a          n/a          n/a          n/a          n/a
              p90              n/a          n/a          n/a          n/a          n/a
              p95              n/a          n/a          n/a          n/a          n/a
              p99              n/a          n/a          n/a          n/a          n/a
              p99.9            n/a          n/a          n/a          n/a          n/a
              p99.99           n/a          n/a          n/a          n/a          n/a
              max              n/a          n/a          n/a          n/a          n/a
              of                 0            0            0            0            0
              response: from the intended start; of all answered, timed out or left waiting
              service, first byte: from sending; of all answered. n/a: not measured
              pool lag: wait for a connection; client lag: the client's own; of all sent

            Core  conns        sent      sent/s  response p50  response p99 cpu/request
            0         4           0        0.00           n/a           n/a         n/a
            1         4           0        0.00           n/a           n/a         n/a

            Measured on:  Linux 6.8.0, CPU n/a, SMT n/a, governor n/a, memory n/a, virtual
                          machine (KVM \u{1b}[31m), clock n/a

            Warning: [no_success] not one request was answered below 400: check the URL, and
                     that the server is up.
            Warning: [failures] 200 of 200 requests failed (100.0 %): connect 200. Check
                     that the server is up, its backlog, and the limits on open files
                     (ulimit -n).
        "#]],
    );
}

#[test]
fn a_run_interrupted_with_a_lost_worker() {
    check(
        &fixture::broken(),
        expect![[r#"
            ringload: GET http://10.0.0.2:8080/index.html
              closed load, measured for 700ms
              8 connections, 2 threads on cores 0-1

            Requests/sec: 7142.86 ok
                          7142.86 completed, 7142.86 sent, 7142.86 intended
            Transfer/sec: 5.79MiB in (4.05MiB in all), 628KiB out (439KiB in all)
            Requests:     5000 intended
                          = 5000 ok + 0 http_error + 0 failed + 0 unsent + 0 in_flight
            Status:       200: 5000
            Client:       SUSPECT: p99, p99.9 SUSPECT; run longer: p99.9 needs >= 10.00s

            Latency       response      service   first byte     pool lag   client lag
              min            102us      100.0us       90.0us       0.00us       2.00us
              mean           599us        597us        537us       0.00us       2.00us
              p50            597us        595us        536us       0.00us       2.00us
              p75            848us        846us        762us       0.00us       2.00us
              p90           1.00ms        998us        899us       0.00us       2.00us
              p95           1.05ms       1.05ms        945us       0.00us       2.00us
              p99           1.09ms?      1.09ms        981us       0.00us       2.00us
              p99.9         1.10ms?      1.10ms        989us       0.00us       2.00us
              p99.99           n/a          n/a          n/a          n/a          n/a
              max           1.10ms       1.10ms        990us       0.00us       2.00us
              of              5000         5000         5000         5000         5000
              response: from the intended start; of all answered, timed out or left waiting
              service, first byte: from sending; of all answered. n/a: not measured
              pool lag: wait for a connection; client lag: the client's own; of all sent
              ?, !: suspect, invalid; Client above says why
              of the time above p99: service 99.8 %, pool lag 0.0 %, client 0.2 %

            95 % intervals: n/a, they take a run of 5s or more

            Core  conns        sent      sent/s  response p50  response p99 cpu/request
            0         4        2500     3571.43         597us        1.09ms       160us
            1         4        2500     3571.43         597us        1.09ms       160us LOST

            Measured on:  Linux 6.8.0, CPU n/a, SMT n/a, governor n/a, memory n/a, virtual
                          machine (KVM \u{1b}[31m), clock n/a

            Warning: [worker_lost] the worker of shard 1 of 2 died (assertion failed:
                     \u{1b}[31mgot\u{1b}[0m "x"\nat line 3): its part of the load is
                     missing, so no figure holds for the whole. Please report this bug.
            Warning: [interrupted] a signal ended the run after 700ms; the figures cover
                     that part alone.
            Warning: [ring_flags] of the ring flags COOP_TASKRUN, SINGLE_ISSUER and
                     DEFER_TASKRUN the kernel granted only COOP_TASKRUN: the client needs
                     about 26 % more CPU. Linux 6.1 or later has all.
        "#]],
    );
}

#[test]
fn long_urls_are_cut_and_the_rest_of_them_counted() {
    let url = format!("http://10.0.0.2/{}", "x".repeat(200));
    let urls = vec![url, "http://10.0.0.3/".into()];
    let raw = RawPlan { urls, keep_alive: Some(false), shard: Some("2/3".into()), ..raw() };
    let text = text(&Run::new(&raw).finish());
    assert!(text.lines().next().is_some_and(|line| line.ends_with("xxx... and 1 more")), "{text}");
    assert!(text.contains("closed after each answer"));
    assert!(text.contains("  2 lines, seq order\n  part 2 of 3 of this load\n"), "{text}");
}

#[test]
fn decoded_bytes_and_the_end_of_connections_are_told_where_asked_for() {
    let raw = RawPlan { decode: true, requests_per_connection: Some("100".into()), ..raw() };
    let mut run = Run::new(&raw);
    run.shard(1).tally.traffic.decoded = 3 << 20;
    let text = text(&run.finish());
    assert!(text.contains("\nDecoded/sec:  1.50MiB of bodies (3.00MiB in all)\n"), "{text}");
    assert!(text.contains("\n  each connection closed after 100 requests\n"), "{text}");
}

#[test]
fn a_server_that_answers_with_many_statuses_fills_no_screen() {
    let mut run = Run::new(&raw());
    for number in 0..900 {
        run.request(0, number * MS, 0, 100 * US, Outcome::Answered(100 + number as u16));
    }
    let text = text(&run.finish());
    assert!(text.contains("884 more kinds") && text.lines().count() < 50, "{text}");
}
