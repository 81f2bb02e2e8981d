//! The line that shows a retrieval under way, and what holds it up; whoever has the terminal draws it.

use super::snapshot::{SlowHost, Snapshot};
use crate::units::{NANOS_PER_S, Nanos, format_bytes};

/// So many hosts are named.
const HOSTS_MAX: usize = 3;
/// A host is named when its oldest request has taken so long.
const SLOW: Nanos = Nanos::from_secs(2);

/// `12s, 4200 of 10000 lines (42%), 350/s, 16s left, 3 errors, 12 waiting, 64 in flight, 12.0MiB`, and then the slowest
/// hosts.
pub fn line(now: &Snapshot) -> String {
    let done = now.ended + now.skipped;
    let mut parts = vec![format!("{}s", now.elapsed.0 / NANOS_PER_S)];
    parts.push(if now.input_ended {
        let share = (done.saturating_mul(100)).checked_div(now.read).unwrap_or(100);
        format!("{done} of {} lines ({share}%)", now.read)
    } else {
        format!("{done} lines of {} and more", now.read)
    });
    parts.push(format!("{}/s", now.latest));
    parts.extend(left(now).map(|time| format!("{} left", clock_face(time))));
    let errors = now.failed() + now.http_errors;
    parts.push(format!("{errors} error{}", if errors == 1 { "" } else { "s" }));
    for (count, what) in [(now.waiting, "waiting"), (now.in_flight, "in flight")] {
        parts.extend((count > 0).then(|| format!("{count} {what}")));
    }
    parts.push(format_bytes(now.bytes as f64));
    let hosts: Vec<_> = now.slowest.iter().filter_map(slow).take(HOSTS_MAX).collect();
    if !hosts.is_empty() {
        parts.push(format!("slowest: {}", hosts.join("; ")));
    }
    parts.join(", ")
}

/// How long the rest takes at the mean rate so far; none before there is one, or where nobody knows how much is left.
fn left(now: &Snapshot) -> Option<Nanos> {
    let rest = now.read.saturating_sub(now.ended + now.skipped);
    if !now.input_ended || rest == 0 || now.ended == 0 || now.elapsed < Nanos::from_secs(1) {
        return None;
    }
    let time = u128::from(now.elapsed.0) * u128::from(rest) / u128::from(now.ended);
    u64::try_from(time).ok().map(Nanos)
}

/// `16s`, `4m 05s`, `3h 07m`.
fn clock_face(time: Nanos) -> String {
    let secs = time.0.div_ceil(NANOS_PER_S);
    match (secs / 3_600, secs / 60 % 60, secs % 60) {
        (0, 0, secs) => format!("{secs}s"),
        (0, minutes, secs) => format!("{minutes}m {secs:02}s"),
        (hours, minutes, _) => format!("{hours}h {minutes:02}m"),
    }
}

/// A host that is slow, with its lines and what it does; a host has a plain name, for it was looked up.
fn slow(host: &SlowHost) -> Option<String> {
    let what = match host.rests {
        Some(time) => format!("rests {}", clock_face(time)),
        None if host.oldest >= SLOW => format!("silent for {}", clock_face(host.oldest)),
        None => return None,
    };
    Some(format!("{} ({} line{}, {what})", host.host, host.lines, if host.lines == 1 { "" } else { "s" }))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::line::Kind;
    use super::*;

    fn check(snapshot: &Snapshot, expect: Expect) {
        expect.assert_eq(&line(snapshot));
    }

    #[test]
    fn a_line_shows_counts_rate_what_is_left_and_the_slowest_hosts() {
        let slow = |host: &str, oldest, rests| SlowHost { host: host.to_owned(), lines: 40, oldest, rests };
        let snapshot = Snapshot {
            elapsed: Nanos(12_300_000_000),
            read: 10_000,
            input_ended: true,
            ended: 4_200,
            ok: 4_190,
            http_errors: 7,
            errors: vec![(Kind::HostDown, 3)],
            latest: 350,
            waiting: 12,
            in_flight: 64,
            bytes: 12 << 20,
            slowest: vec![
                slow("a.example:81", Nanos::from_secs(75), None),
                slow("b.example", Nanos::ZERO, Some(Nanos::from_millis(3_100))),
                slow("quick.example", Nanos::from_millis(3), None),
            ],
            ..Snapshot::default()
        };
        check(
            &snapshot,
            expect![
                "12s, 4200 of 10000 lines (42%), 350/s, 17s left, 10 errors, 12 waiting, 64 in flight, 12.0MiB, slowest: a.example:81 (40 lines, silent for 1m 15s); b.example (40 lines, rests 4s)"
            ],
        );
    }

    #[test]
    fn where_the_end_is_not_known_none_is_said() {
        check(&Snapshot::default(), expect!["0s, 0 lines of 0 and more, 0/s, 0 errors, 0B"]);
        let streaming = Snapshot {
            elapsed: Nanos::from_secs(9),
            read: 70,
            ended: 1,
            errors: vec![(Kind::Robots, 1)],
            skipped: 5,
            ..Snapshot::default()
        };
        check(&streaming, expect!["9s, 6 lines of 70 and more, 0/s, 1 error, 0B"]);
        let done = Snapshot { read: 0, input_ended: true, ..streaming };
        check(&done, expect!["9s, 6 of 0 lines (100%), 0/s, 1 error, 0B"]);
    }

    #[test]
    fn times_are_short() {
        for (secs, text) in [(0, "0s"), (59, "59s"), (60, "1m 00s"), (3_599, "59m 59s"), (11_220, "3h 07m")] {
            assert_eq!(clock_face(Nanos::from_secs(secs)), text);
        }
    }
}
