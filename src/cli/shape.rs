//! The options about when requests start.

use clap::ValueEnum;

use crate::plan::raw::RawShape;
use crate::plan::{Arrivals, CatchUp};

#[derive(Debug, Default, clap::Args)]
pub(super) struct ShapeArgs {
    /// Requests a second in total (10k, 0.5, 600/m), whether or not answers come: an open load; FROM:TO changes the rate
    /// linearly over -d. Without it the load is closed, as fast as answers come
    #[arg(short = 'R', long, value_name = "RATE", alias = "qps", alias = "rps", allow_hyphen_values = true)]
    rate: Option<String>,
    /// An open load in stages, each RATE@TIME or FROM:TO@TIME: 100@10s,100:1k@1m,1k@30s; 0 is a pause. The run lasts as
    /// long as all of them, or less with -d or -n
    #[arg(long, value_name = "LIST", allow_hyphen_values = true)]
    stages: Option<String>,
    /// How the requests of an open load are spaced [default: uniform]
    #[arg(long, value_name = "HOW")]
    arrivals: Option<ArrivalsArg>,
    /// Replay a trace so many times as fast (2x, 0.5x) [default: 1x]
    #[arg(long, value_name = "FACTOR", allow_hyphen_values = true)]
    speed: Option<String>,
    /// What becomes of requests that fell due while all connections were busy [default: all]
    #[arg(long, value_name = "WHICH")]
    catch_up: Option<CatchUpArg>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ArrivalsArg {
    /// Evenly
    Uniform,
    /// Independently of each other, as from many users
    Poisson,
    /// Each line of -i at the time with which it begins, once; the first line at once
    Trace,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CatchUpArg {
    /// All are sent, late
    All,
    /// The newest is sent, the others count as unsent
    Skip,
}

impl ShapeArgs {
    /// What was said.
    pub(super) fn gather(self) -> RawShape {
        RawShape {
            rate: self.rate,
            stages: self.stages,
            arrivals: self.arrivals.map(Arrivals::from),
            speed: self.speed,
            catch_up: self.catch_up.map(CatchUp::from),
        }
    }
}

impl From<ArrivalsArg> for Arrivals {
    fn from(arg: ArrivalsArg) -> Self {
        match arg {
            ArrivalsArg::Uniform => Self::Uniform,
            ArrivalsArg::Poisson => Self::Poisson,
            ArrivalsArg::Trace => Self::Trace,
        }
    }
}

impl From<CatchUpArg> for CatchUp {
    fn from(arg: CatchUpArg) -> Self {
        match arg {
            CatchUpArg::All => Self::All,
            CatchUpArg::Skip => Self::Skip,
        }
    }
}
