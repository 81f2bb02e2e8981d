//! The look at the machine before the first packet: what cannot work is refused, what may not is said. Here on limits
//! that a test can set for real; all rules are tested on made-up facts beside them.

use std::process::{Command, Stdio};

use crate::support::program::Finished;
use crate::support::{OK, Program, Report, Server, note};

/// What a script ends with when it may not set up what it needs.
const CANNOT: i32 = 77;

/// Runs a script of the shell, in which `$0` is the program and `$1` the argument.
fn shell(wrapper: &[&str], script: &str, argument: &str) -> Finished {
    let all = [wrapper, &["sh", "-c", script, env!("CARGO_BIN_EXE_ringload"), argument]].concat();
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Program::spawn(&mut command).finish()
}

/// Runs a script in a network of its own with 500 local ports and no reuse of them; `None`, and a note, where the system
/// does not let this process have one.
fn with_500_ports(name: &str, script: &str) -> Option<Finished> {
    let set_up = "{ ip link set lo up && echo 40000 40499 > /proc/sys/net/ipv4/ip_local_port_range && \
                  echo 0 > /proc/sys/net/ipv4/tcp_tw_reuse; } 2> /dev/null || exit 77\n";
    let allowed = Command::new("unshare").args(["-rn", "true"]).stderr(Stdio::null()).status();
    let finished = match allowed {
        Ok(status) if status.success() => shell(&["unshare", "-rn"], &format!("{set_up}{script}"), ""),
        _ => {
            note(&format!("SKIPPED {name}: no network namespace here"));
            return None;
        }
    };
    if finished.code() == Some(CANNOT) {
        note(&format!("SKIPPED {name}: the network namespace cannot be set up"));
        return None;
    }
    Some(finished)
}

#[test]
fn the_soft_limit_of_open_files_is_raised() {
    let server = Server::answering(OK);
    let script = "ulimit -Sn 64; exec \"$0\" bench -c 100 -n 200 -t 1 --format json \"$1\"";
    let finished = shell(&[], script, &server.url("/"));
    Report::of(finished.assert_code(0)).assert_ok(200);
    assert_eq!(finished.stderr, "", "there is nothing to say");
}

#[test]
fn more_connections_than_open_files_are_refused_before_the_first() {
    let server = Server::answering(OK);
    let finished = shell(&[], "ulimit -Sn 90; ulimit -Hn 100; exec \"$0\" bench -c 100 \"$1\"", &server.url("/"));
    finished.assert_code(2);
    assert!(finished.stderr.contains("-c 100: the hard limit of open files is 100; raise it with: ulimit -Hn 1"));
    assert_eq!((finished.stdout.as_str(), server.accepted()), ("", 0));
}

#[test]
fn more_connections_than_local_ports_are_refused_before_the_first() {
    let name = "more_connections_than_local_ports_are_refused_before_the_first";
    let Some(finished) = with_500_ports(name, "exec \"$0\" bench -c 501 -d 1s -q http://127.0.0.1:9/") else { return };
    finished.assert_code(2);
    let parts = ["-c 501", "500 connections", "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\""];
    assert!(parts.iter().all(|part| finished.stderr.contains(part)), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
}

#[test]
fn an_open_load_without_keep_alive_that_uses_up_its_ports_is_foretold() {
    let name = "an_open_load_without_keep_alive_that_uses_up_its_ports_is_foretold";
    let script = "exec \"$0\" bench -R 600 -d 1s -c 8 -t 1 --keep-alive false --format json --no-progress";
    let Some(finished) = with_500_ports(name, script) else { return };
    assert!(finished.stderr.contains("sysctl -w net.ipv4.tcp_tw_reuse=1"), "{}", finished.stderr);
    assert!(Report::of(&finished).warns("port_churn"));
}

#[test]
fn more_addresses_of_ours_and_unix_sockets_do_not_use_up_ports() {
    let name = "more_addresses_of_ours_and_unix_sockets_do_not_use_up_ports";
    let script =
        "\"$0\" bench -R 600 -d 1s -c 8 -t 1 --keep-alive false --source 127.0.0.0/29 --no-progress -q --format json";
    let Some(finished) = with_500_ports(name, script) else { return };
    let report = Report::of(finished.assert_code(0));
    assert!(!report.warns("port_churn") && report.count("failed") == 0, "{}", report.at("failures"));
    let script = "\"$0\" bench -c 501 -d 1s -q --unix-socket /nowhere/x.sock http://host/";
    let Some(finished) = with_500_ports(name, script) else { return };
    finished.assert_code(2);
    assert!(finished.stderr.contains("connect to unix:/nowhere/x.sock"), "no word of ports: {}", finished.stderr);
    let script = "\"$0\" bench -c 3001 -d 1s -q --source 127.0.0.0/29 http://127.0.0.1:9/";
    let Some(finished) = with_500_ports(name, script) else { return };
    finished.assert_code(2);
    assert!(finished.stderr.contains("the local ports suffice for 3000 connections"), "{}", finished.stderr);
}

#[test]
fn a_quiet_run_says_what_was_foretold_in_its_report_alone() {
    let name = "a_quiet_run_says_what_was_foretold_in_its_report_alone";
    let script = "exec \"$0\" bench -R 600 -d 1s -c 8 -t 1 --keep-alive false --format json -q";
    let Some(finished) = with_500_ports(name, script) else { return };
    assert_eq!(finished.stderr, "");
    assert!(Report::of(&finished).warns("port_churn"));
}

#[test]
fn ports_that_an_earlier_run_left_waiting_are_seen() {
    let name = "ports_that_an_earlier_run_left_waiting_are_seen";
    // The pause ends the wait for the target; the first run closes its 400 connections itself.
    let script = "\"$0\" target --listen 127.0.0.1:9000 -t 1 --for 30s > /dev/null 2>&1 & target=$!\n\
                  until \"$0\" bench -n 1 -q http://127.0.0.1:9000/ > /dev/null 2>&1; do sleep 0.1; done\n\
                  \"$0\" bench -n 400 -c 400 -t 1 -q http://127.0.0.1:9000/ > /dev/null\n\
                  \"$0\" bench -n 300 -c 300 -t 1 --format json --no-progress http://127.0.0.1:9000/\n\
                  code=$?; kill $target; exit $code";
    let Some(finished) = with_500_ports(name, script) else { return };
    let parts = ["-c 300: of 500 local ports", "in TIME_WAIT", "sysctl -w net.ipv4.tcp_tw_reuse=1"];
    assert!(parts.iter().all(|part| finished.stderr.contains(part)), "{}", finished.stderr);
    let report = Report::of(&finished);
    assert!(report.warns("ports_taken") && report.count("connections_opened") < 300);
}
