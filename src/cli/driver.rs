//! `--driver`: how it is typed, and what is said where io_uring is refused.

use clap::ValueEnum;

use crate::net::runtime::{Decision, Refused};
use crate::plan::{DriverChoice, PlanError};

/// As typed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum DriverArg {
    /// io_uring, or epoll where that is refused; the report says which
    #[default]
    Auto,
    /// io_uring or nothing
    #[value(name = "io_uring")]
    IoUring,
    /// epoll: more CPU a request, and its figures do not compare with those of io_uring
    Epoll,
}

impl From<DriverArg> for DriverChoice {
    fn from(arg: DriverArg) -> Self {
        match arg {
            DriverArg::Auto => Self::Auto,
            DriverArg::IoUring => Self::IoUring,
            DriverArg::Epoll => Self::Epoll,
        }
    }
}

/// Decides for the whole process, before any of its threads has a runtime.
///
/// # Errors
/// io_uring was asked for and is refused.
pub(super) fn decide(asked: DriverChoice) -> Result<Decision, PlanError> {
    Decision::of(asked).map_err(|refused| {
        PlanError::new(format!("--driver {}", asked.name()), format!("{refused}; --driver auto does without"))
    })
}

/// The note for a fallback.
pub(super) fn fallback(refused: &Refused) -> String {
    format!("{refused}. Going on with epoll, which needs more CPU a request")
}
