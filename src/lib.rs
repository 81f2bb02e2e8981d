//! ringload: a thread-per-core io_uring HTTP load generator whose numbers can be trusted.
//!
//! Data flows one way, each arrow one function; read the modules in this order:
//! [`units`] → [`plan`] → [`record`] → [`wire`] → [`net`] → [`engine`] → [`fetch`] → [`report`] → [`cli`].
//! The embedded server, [`target`], stands apart. `ARCHITECTURE.md` has the map and the rules.

pub mod cli;
pub mod clock;
pub mod engine;
pub mod fetch;
pub mod files;
#[cfg(test)]
mod mutation;
pub mod net;
pub mod plan;
pub mod record;
pub mod report;
pub mod target;
pub mod units;
pub mod wire;
