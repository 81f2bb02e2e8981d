//! A server that answers after 20 ms by a timer of its own (method T8), held against its own clock: while the load runs,
//! a plain client asks the same server now and then and reads from its answers how long it held each of them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::timers::Timers;
use super::{Attempt, Miss, excuse_late, excuse_unhealthy, hold, load};
use crate::support::{Report, TargetProgram};

/// The target's delay is never early.
const DELAY_US: f64 = 20_000.0;
/// What the way there and back and waking up may add.
const LATE_US: f64 = 300.0;
/// Values are rounded to a bucket of 0.1 %.
const BUCKET: f64 = 1.001;
const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99)];

/// The report of the load, and how long the server held answers meanwhile, in microseconds, ascending.
fn observe() -> Result<(Report, Vec<f64>), Miss> {
    let target = TargetProgram::start();
    let addr = target.url.trim_start_matches("http://").to_owned();
    let witness = std::thread::spawn(move || witness(&addr, Instant::now() + Duration::from_secs(5)));
    let url = format!("{}/delay/20", target.url);
    let report = load::run(&["-R", "200", "-d", "5s", "-c", "32", &url]);
    let held = witness.join().expect("it does not panic").map_err(|error| Miss::Wrong(error.to_string()))?;
    hold(report.count("ok") == 1000 && held.len() >= 50, || {
        format!("{}, {} answers witnessed", report.at("counts"), held.len())
    })?;
    Ok((report, held))
}

fn witness(addr: &str, until: Instant) -> std::io::Result<Vec<f64>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut held = Vec::new();
    let mut buffer = [0; 4096];
    while Instant::now() < until {
        stream.write_all(b"GET /delay/20 HTTP/1.1\r\nHost: witness\r\n\r\n")?;
        // A small answer comes whole.
        let count = stream.read(&mut buffer)?;
        let answer = String::from_utf8_lossy(&buffer[..count]);
        let stamp = |name: &str| -> Option<f64> {
            answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":")?.trim().parse().ok())
        };
        held.extend(stamp("X-Send-Ns").zip(stamp("X-Recv-Ns")).map(|(sent, received)| (sent - received) / 1e3));
        std::thread::sleep(Duration::from_millis(7));
    }
    held.sort_unstable_by(f64::total_cmp);
    Ok(held)
}

/// Each quantile is at least the delay, and at most `late` more than the server took by its own clock.
fn agree(report: &Report, histogram: &str, held: &[f64], late: f64) -> Attempt {
    for (name, q) in QUANTILES {
        let path = format!("latency_us.{histogram}.{name}");
        let of_server = held[((held.len() - 1) as f64 * q).ceil() as usize].max(DELAY_US);
        within(report, &path, DELAY_US, of_server + late)?;
    }
    within(report, &format!("latency_us.{histogram}.min"), DELAY_US, DELAY_US + 2.0 * late)
}

fn within(report: &Report, path: &str, least: f64, most: f64) -> Attempt {
    let value = report.float(path);
    let holds = value >= least / BUCKET && value <= most * BUCKET;
    hold(holds, || format!("{path} is {value} us, not in [{least}, {most}] us"))
}

pub(super) fn times_are_the_delay() -> Attempt {
    let timers = Timers::start();
    let observed = observe();
    excuse_late(timers, Duration::from_micros(LATE_US as u64));
    let (report, held) = observed?;
    excuse_unhealthy(&report);
    agree(&report, "service", &held, LATE_US)?;
    // From the intended start, so with the client's own lag in it.
    agree(&report, "response", &held, 2.0 * LATE_US)?;
    within(&report, "latency_us.client_lag.p50", 0.0, 200.0)
}
