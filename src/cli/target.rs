//! `ringload target`: the embedded server on its own.

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc;

use super::driver::{self, DriverArg};
use super::signals;
use crate::plan::PlanError;
use crate::plan::shard::Machine;
use crate::target::{Options, Target};
use crate::units::Nanos;

/// What can be typed after `target`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Threads, each pinned to a core of its own [default: the allowed cores]
    #[arg(short = 't', long, value_name = "N")]
    threads: Option<usize>,
    /// What carries the bytes [default: auto]
    #[arg(long, value_name = "DRIVER")]
    driver: Option<DriverArg>,
    /// Stop after this time [default: at SIGTERM or SIGINT]
    #[arg(long = "for", value_name = "TIME")]
    stop_after: Option<String>,
}

/// Serves until told to stop; prints `listening on http://…` first, and what was served on standard error at the end.
///
/// # Errors
/// Bad options, a driver that is refused, or an address that cannot be listened on.
pub fn run(args: &Args, machine: &Machine) -> Result<u8, Box<dyn std::error::Error>> {
    let stop_after =
        args.stop_after.as_deref().map(Nanos::parse).transpose().map_err(|p| PlanError::new("--for", p))?;
    let allowed = machine.cpus.len();
    let threads = args.threads.unwrap_or(allowed);
    if threads == 0 || threads > allowed {
        let problem = format!("the target runs on 1 to {allowed} threads here, one an allowed core");
        return Err(PlanError::new(format!("-t {threads}"), problem).into());
    }
    let decision = driver::decide(args.driver.unwrap_or_default().into())?;
    if let Some(refused) = &decision.refused {
        super::note(&driver::fallback(refused));
    }
    let (stop, stopped) = mpsc::channel();
    // The receiver is gone once the target has stopped by itself.
    signals::on_first(move || stop.send(()).unwrap_or_default())?;
    let cores = machine.spread(threads);
    let target = Target::start(&Options { listen: args.listen, cores, driver: decision.driver })?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on http://{}/", target.addr()).and_then(|()| stdout.flush())?;
    match stop_after {
        // Either the time is over or a signal came; both mean the same.
        Some(time) => stopped.recv_timeout(time.to_std()).unwrap_or_default(),
        None => stopped.recv().unwrap_or_default(),
    }
    let stats = target.stop();
    writeln!(io::stderr(), "served {} requests on {} connections", stats.requests, stats.connections)?;
    Ok(0)
}
