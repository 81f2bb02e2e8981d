//! What may be inferred of one run from its windows: how sure its figures are, and whether the run was steady. Pure
//! functions of counts and series; who asks, and what is said of the answers, is not known here.
//!
//! Everything is "within this run": what another start of the server would differ by is not in it.

pub mod binomial;
pub mod design;
pub mod modes;
pub mod quantile;
pub mod steady;
pub mod student;
pub mod throughput;

pub use design::{Effective, effective};
pub use modes::{Mode, Modes, modes};
pub use quantile::{Ranks, needed, ranks};
pub use steady::{Drift, OutlierSecond, WarmUp};
pub use throughput::{BatchMeans, batch_means};

#[cfg(test)]
mod tests;
