//! The command line: what can be typed, and what becomes of it. One file a subcommand; no defaults hidden here.

pub mod bench;
mod embedded;
pub mod exit;
mod mask;
mod progress;
pub mod session;
mod signals;
pub mod target;

use clap::{Parser, Subcommand};

/// A load generator whose numbers can be trusted: thread-per-core, io_uring, HTTP/1.1.
///
/// Alone, or with `bench` and no URL, it starts a small server of its own on this machine and measures that for 10 s.
#[derive(Debug, Parser)]
#[command(name = "ringload", version, subcommand_required = false, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send requests and report what came back
    Bench(Box<bench::Args>),
    /// Serve the embedded target until SIGTERM or SIGINT
    Target(target::Args),
}

/// Reads the command line; prints help, version and usage errors itself, and then ends the program as clap does.
pub fn parse() -> Command {
    Cli::parse().command.unwrap_or_else(|| Command::Bench(Box::default()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
