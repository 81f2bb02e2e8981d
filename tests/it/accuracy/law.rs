//! The pause law (method (f)): what a process that stands still does to an open load at a constant rate.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Attempt, Miss, load, near};
use crate::support::Report;

/// Stops of a server, or of the client, in a run at a constant rate.
pub(super) struct Law {
    /// How long each of them was, in seconds.
    pub(super) stops_s: Vec<f64>,
    pub(super) duration_s: f64,
    /// The rate as a share of what client and server can do: how fast a backlog is worked off.
    pub(super) utilisation: f64,
}

impl Law {
    /// p_q = T − (1 − q) · (1 − rho) · D / k, where the stop is seen at all.
    fn quantile_s(&self, q: f64) -> f64 {
        let stops = self.stops_s.len() as f64;
        let mean = self.stops_s.iter().sum::<f64>() / stops;
        mean - (1.0 - q) * (1.0 - self.utilisation) * self.duration_s / stops
    }

    /// The sum of T² / (2 D (1 − rho)).
    fn mean_s(&self) -> f64 {
        let squares: f64 = self.stops_s.iter().map(|stop| stop * stop).sum();
        squares / (2.0 * self.duration_s * (1.0 - self.utilisation))
    }

    fn longest_s(&self) -> f64 {
        self.stops_s.iter().copied().fold(0.0, f64::max)
    }

    /// The larger of 10 ms and 1 % of a stop.
    fn tolerance_s(&self) -> f64 {
        (self.longest_s() * 0.01).max(0.01)
    }

    /// The response times of a report follow the law: half of them are as without a stop, and the tail as it says.
    /// Quantiles near the edge, from which on the stop is seen, depend on every hiccup.
    pub(super) fn holds(&self, report: &Report) -> Attempt {
        let tolerance = self.tolerance_s();
        let response = |name: &str| report.float(&format!("latency_us.response.{name}")) / 1e6;
        near("response p50", response("p50"), 0.0, tolerance)?;
        near("response p75", response("p75"), 0.0, tolerance)?;
        for (name, q) in [("p99", 0.99), ("p99_9", 0.999), ("p99_99", 0.9999)] {
            near(&format!("response {name}"), response(name), self.quantile_s(q), tolerance)?;
        }
        near("the largest response", response("max"), self.longest_s(), tolerance)?;
        near("the mean response", response("mean"), self.mean_s(), self.mean_s() * 0.03 + 0.001)
    }
}

/// The rate as a share of what is answered in a second at most, with so many connections.
pub(super) fn utilisation(rate: u64, connections: &str, url: &str) -> Result<f64, Miss> {
    let report = load::run(&["-d", "500ms", "-c", connections, url]);
    let share = rate as f64 / report.float("rate_per_s.completed");
    if share < 0.5 { Ok(share) } else { Err(Miss::Unfit(format!("{rate} a second are {share:.2} of all"))) }
}

/// Stops a process for about this time; for how long, in seconds, by the clock of who stops it.
pub(super) fn stop(pid: Pid, time: Duration) -> f64 {
    kill_process(pid, Signal::STOP).expect("it has not been waited for");
    let stopped = Instant::now();
    std::thread::sleep(time);
    let length = stopped.elapsed();
    kill_process(pid, Signal::CONT).expect("it has not been waited for");
    length.as_secs_f64()
}
