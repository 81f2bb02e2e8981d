//! Both drivers: what the other topics hold of io_uring, held of epoll, and what happens where io_uring is refused.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use rustix::process::Signal;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, SeccompRule};

use crate::support::program::{Finished, command};
use crate::support::{OK, Program, Report, Server, TargetProgram, bench, measure, measured, note, on_driver, ringload};

/// Tests of other topics, which run on the driver that the machine offers, again on epoll.
macro_rules! on_epoll {
    ($($topic:ident: $($test:ident)+;)+) => {
        $(mod $topic {
            $(#[test]
            fn $test() {
                crate::support::on_driver("epoll", crate::$topic::$test);
            })+
        })+
    };
}

mod epoll {
    on_epoll! {
        failures:
            a_body_shorter_than_its_length_fails_as_closed_early
            a_chunked_body_without_its_end_fails_as_closed_early
            a_close_instead_of_an_answer_fails_as_closed_early
            a_dead_port_fails_as_connect_where_another_origin_answers
            a_full_backlog_fails_as_connect_timeout
            a_request_in_flight_past_its_deadline_fails_as_deadline
            a_reset_in_the_middle_of_a_body_fails_as_reset
            a_reset_instead_of_an_answer_fails_as_reset
            a_reset_while_a_body_is_being_sent_fails_as_write
            bytes_that_keep_coming_are_no_silence_and_fail_as_timeout
            bytes_with_nothing_outstanding_fail_as_protocol
            garbage_fails_as_protocol
            no_answer_fails_as_timeout
            silence_before_an_answer_fails_as_read_timeout_too
            silence_in_the_middle_of_an_answer_fails_as_read_timeout;
        hostile:
            a_body_of_nearly_2_to_the_64_ends_by_its_timeout
            a_rate_that_no_machine_sends_ends_in_time_and_adds_up
            an_endless_body_in_small_chunks_ends_by_its_timeout
            an_endless_body_is_given_up_at_an_interruption
            an_endless_body_is_in_flight_when_the_drain_ends
            an_endless_body_until_close_ends_by_its_timeout
            an_idle_open_load_costs_little
            connections_that_time_out_are_closed_and_not_leaked
            every_way_to_answer_badly_adds_up
            thousands_of_connections_open_and_add_up
            waiting_for_a_silent_server_costs_little;
        http:
            a_large_body_is_sent_whole
            a_megabyte_in_chunks_is_counted_and_thrown_away
            a_megabyte_of_known_length_is_counted_and_thrown_away
            a_megabyte_until_close_is_counted_and_thrown_away
            an_answer_that_comes_byte_by_byte_is_whole_at_its_last_byte
            an_endless_head_is_refused_and_costs_no_memory
            interim_answers_are_not_the_answer
            large_answers_of_the_target_are_counted_to_the_byte;
        lifecycle:
            an_interrupted_run_reports_what_it_measured
            an_interruption_while_connecting_ends_the_run
            without_a_url_the_embedded_target_is_measured;
        load:
            a_connection_that_the_server_closed_while_idle_is_replaced_before_anything_is_sent
            a_connection_that_was_reset_while_idle_is_replaced_too
            a_duration_ends_the_sending
            a_post_that_was_sent_is_not_tried_again
            a_server_that_comes_back_is_found_again
            a_server_that_refuses_from_the_start_sees_no_storm
            a_stalled_server_is_charged_from_the_intended_time
            an_idempotent_request_on_a_dead_connection_is_tried_once_more
            an_open_load_intends_exactly_its_rate
            each_line_is_sent_exactly_once
            exactly_n_requests_are_sent_on_any_number_of_threads
            the_drain_awaits_what_is_in_flight
            what_is_due_and_not_sent_at_the_end_is_unsent
            what_the_drain_does_not_see_the_end_of_is_in_flight_at_end
            without_keep_alive_each_request_has_its_own_connection;
        target:
            it_says_first_where_it_listens_and_stops_at_a_signal
            it_stops_while_requests_are_under_way
            its_chunked_and_slow_bodies_are_whole_to_the_byte
            its_fault_paths_each_make_their_own_failure_move
            its_paths_answer_as_documented
            its_stall_is_charged_to_all_that_arrive_in_it;
    }
}

/// Runs the program on a thread of its own where the kernel answers EPERM to io_uring_setup, as in a container.
fn refused(args: &'static [&'static str]) -> Finished {
    thread::spawn(move || {
        refuse_io_uring();
        Program::spawn(&mut command(args)).finish()
    })
    .join()
    .expect("the program ends")
}

/// For the calling thread and its children.
fn refuse_io_uring() {
    // The same number on every architecture.
    const IO_URING_SETUP: i64 = 425;
    let rules: BTreeMap<i64, Vec<SeccompRule>> = [(IO_URING_SETUP, Vec::new())].into();
    let refusal = SeccompAction::Errno(rustix::io::Errno::PERM.raw_os_error() as u32);
    let arch = std::env::consts::ARCH.try_into().expect("an architecture with seccomp");
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refusal, arch).expect("a valid filter");
    let program: BpfProgram = filter.try_into().expect("a small program");
    seccompiler::apply_filter(&program).expect("a process may always refuse itself more");
}

/// What a refusal says, whether or not the run goes on: the reason, and every way out.
#[track_caller]
fn assert_told_once(stderr: &str) {
    for part in [
        "io_uring is refused",
        "Operation not permitted",
        "Linux 5.6",
        "kernel.io_uring_disabled=0",
        "seccomp=unconfined",
        "ringload help containers",
    ] {
        assert_eq!(stderr.matches(part).count(), 1, "{part}: {stderr}");
    }
}

#[test]
fn where_io_uring_is_refused_auto_goes_on_with_epoll_and_says_so() {
    let finished = refused(&["bench", "--format", "json", "-n", "200", "-c", "8"]);
    finished.assert_code(0);
    assert_told_once(&finished.stderr);
    let report = Report::of(&finished);
    report.assert_ok(200);
    assert_eq!((report.at("environment.driver"), report.at("plan.driver")), (&"epoll".into(), &"auto".into()));
    assert!(report.list("environment.ring_flags").is_empty() && report.warns("epoll_driver"));
    assert!(!report.warns("ring_flags"), "there is no ring");
    let shards = report.list("shards");
    assert!(shards.iter().all(|shard| shard["ring_flags"].as_array().is_some_and(Vec::is_empty)));

    let text = refused(&["bench", "-n", "200", "-c", "8", "-q", "--driver", "auto"]);
    text.assert_code(0);
    assert_eq!(text.stderr, "", "quiet means quiet; the report says it all the same");
    assert!(text.stdout.contains("through epoll, not io_uring"), "{}", text.stdout);
    assert!(text.stdout.contains("[epoll_driver]"), "{}", text.stdout);
}

#[test]
fn where_io_uring_is_refused_and_nothing_else_will_do_the_remedy_is_named() {
    for args in [
        &["bench", "--driver", "io_uring", "-n", "1"][..],
        &["bench", "--driver", "io_uring", "-n", "1", "http://127.0.0.1:9/"],
        &["target", "--driver", "io_uring", "--for", "1ms"],
    ] {
        let finished = refused(args);
        finished.assert_code(2);
        assert_eq!(finished.stdout, "");
        assert!(finished.stderr.starts_with("ringload: --driver io_uring: "), "{}", finished.stderr);
        assert_told_once(&finished.stderr);
    }
}

#[test]
fn where_io_uring_is_refused_the_target_serves_on_epoll_and_says_so() {
    let (warned, stopped) = thread::spawn(|| {
        refuse_io_uring();
        let target = TargetProgram::start();
        let report = measured(&["-n", "100", "-c", "4", &target.url]).0;
        report.assert_ok(100);
        target.signal(Signal::TERM);
        (report.warns("epoll_driver"), target.finish())
    })
    .join()
    .expect("it serves");
    assert!(warned, "the client was refused too");
    stopped.assert_code(0);
    assert_told_once(&stopped.stderr);
}

#[test]
fn where_io_uring_is_refused_epoll_is_taken_without_a_word() {
    let finished = refused(&["bench", "--format", "json", "-n", "20", "-q", "--driver", "epoll"]);
    finished.assert_code(0);
    assert_eq!(finished.stderr, "");
    let report = Report::of(&finished);
    assert!(!report.warns("epoll_driver"), "it was asked for");
}

#[test]
fn the_report_names_the_driver_that_was_used() {
    let server = Server::answering(OK);
    let url = server.url("/");
    let report = measure(&["-n", "5", "--driver", "epoll", &url]);
    assert_eq!((report.at("environment.driver"), report.at("plan.driver")), (&"epoll".into(), &"epoll".into()));
    assert!(report.list("environment.ring_flags").is_empty());
    assert!(!report.warns("epoll_driver") && !report.warns("ring_flags"));
    let text = bench(&["-n", "5", "--driver", "epoll", &url]);
    assert!(text.stdout.contains("through epoll, not io_uring"), "{}", text.stdout);
    assert_eq!(text.stderr, "");
}

#[test]
fn where_io_uring_is_allowed_it_is_taken_and_no_other() {
    let server = Server::answering(OK);
    let url = server.url("/");
    let asked = bench(&["-n", "5", "--driver", "io_uring", "--format", "json", &url]);
    if asked.code() == Some(2) {
        return note(&format!("SKIPPED: io_uring is refused here: {}", asked.stderr));
    }
    for (report, driver) in [(Report::of(&asked), "io_uring"), (measure(&["-n", "5", &url]), "auto")] {
        assert_eq!((report.at("environment.driver"), report.at("plan.driver")), (&"io_uring".into(), &driver.into()));
        assert!(!report.warns("epoll_driver"));
    }
}

#[test]
fn an_unknown_driver_is_refused() {
    for subcommand in ["bench", "target"] {
        let finished = ringload(&[subcommand, "--driver", "kqueue"]);
        finished.assert_code(2);
        for part in ["--driver", "kqueue", "auto, io_uring, epoll"] {
            assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
        }
    }
}

/// Requests without end on one connection, answers taken as fast as they come: on epoll each of the target's operations
/// is complete at once, and yet other connections are served, and the target stops when it is told to.
#[test]
fn a_client_that_is_always_ready_does_not_keep_the_target_to_itself() {
    for driver in ["auto", "epoll"] {
        on_driver(driver, || {
            let target = TargetProgram::start();
            let mut requests = TcpStream::connect(target.url.trim_start_matches("http://")).expect("it listens");
            let mut answers = requests.try_clone().expect("a descriptor");
            let batch = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2_000);
            let flood = thread::spawn(move || while requests.write_all(&batch).is_ok() {});
            let drain = thread::spawn(move || while matches!(answers.read(&mut [0; 65_536]), Ok(1..)) {});
            measure(&["-n", "20", "-c", "2", "-t", "1", &target.url]).assert_ok(20);
            target.signal(Signal::TERM);
            target.finish().assert_code(0);
            flood.join().expect("it ends with its connection");
            drain.join().expect("it ends with its connection");
        });
    }
}
