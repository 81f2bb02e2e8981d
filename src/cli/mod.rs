//! The command line: what can be typed, and what becomes of it. One file a subcommand; no defaults hidden here.

mod artefacts;
mod auth;
pub mod bench;
mod driver;
mod embedded;
pub mod exit;
mod expect;
pub mod fetch;
mod foreign;
pub mod help;
mod http;
mod mask;
mod network;
mod observation;
mod outputs;
pub mod pages;
mod plan_file;
pub mod plan_print;
mod progress;
mod proxy;
pub mod session;
mod shape;
mod signals;
mod spool;
pub mod target;
mod tls;

pub use mask::fuzz_argv;

use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Parser, Subcommand};

use crate::plan::PlanError;

/// A load generator whose numbers can be trusted: thread-per-core, io_uring, HTTP/1.1 and HTTP/2.
///
/// Alone, or with `bench` and no URL, it starts a small server of its own on this machine and measures that for 10 s.
#[derive(Debug, Parser)]
#[command(name = "ringload", version, subcommand_required = false, disable_help_subcommand = true)]
#[command(after_help = help::list())]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send requests and report what came back
    Bench(Box<bench::Args>),
    /// Fetch a list of URLs, each once, and write a record of each
    Fetch(Box<fetch::Args>),
    /// Serve the embedded target until SIGTERM or SIGINT
    Target(target::Args),
    /// Print the overview, a topic, or the help of a subcommand
    Help(help::Args),
    /// Print the completions for a shell
    Completions(pages::Args),
    /// Print the manual page in roff: ringload man | man -l -
    Man,
}

/// Reads the command line and the plan file that it names; prints help, version and usage errors itself, and then ends
/// the program as clap does.
///
/// # Errors
/// A plan file that cannot be used, an option of another tool.
pub fn parse() -> Result<Command, PlanError> {
    let parsed = match Cli::try_parse() {
        Ok(parsed) => parsed,
        Err(error) => return Err(refused(error)),
    };
    // No option can stand before the subcommand.
    let typed = std::env::args_os().skip(2).collect();
    Ok(match parsed.command.unwrap_or_else(|| Command::Bench(Box::default())) {
        Command::Bench(args) => Command::Bench(Box::new(plan_file::complete(*args, typed)?)),
        Command::Fetch(args) => Command::Fetch(Box::new(plan_file::complete(*args, typed)?)),
        command => command,
    })
}

/// What an option of another tool is here; all else ends the program as clap does.
fn refused(error: clap::Error) -> PlanError {
    let first = std::env::args().nth(1).unwrap_or_default();
    if let Some(hint) = foreign::hint(&error, &first) {
        return hint;
    }
    let meant = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
    if meant && (first.contains("://") || first.starts_with('-')) {
        let _ = writeln!(io::stderr(), "ringload: options and URLs follow a subcommand: ringload bench ...\n");
    }
    masked(error).exit()
}

/// A usage error without the credentials of a URL that was typed where none belongs, and without the advice to take an
/// option for a URL.
fn masked(mut error: clap::Error) -> clap::Error {
    if error.kind() == ErrorKind::UnknownArgument {
        error.remove(ContextKind::Suggested);
    }
    let texts = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => Some((kind, ContextValue::String(mask::message(text)))),
        _ => None,
    });
    let texts: Vec<_> = texts.collect();
    for (kind, value) in texts {
        error.insert(kind, value);
    }
    error
}

/// A line on standard error, without the credentials of URLs; where it cannot be written, that is not worth ending a run for.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "ringload: {}", mask::message(text));
}

/// Writes text that was asked for; a reader that went away is no error.
fn stdout(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
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
