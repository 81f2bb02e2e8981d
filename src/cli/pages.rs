//! What the command line says of itself to shells and to `man`: completions and the manual page.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, stdout};

/// What can be typed after `completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completions of a shell.
///
/// # Errors
/// A standard output that takes nothing.
pub fn completions(args: &Args) -> io::Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ringload", &mut script);
    stdout(&script)?;
    Ok(0)
}

/// Prints the manual page in roff, subcommands with their options included.
///
/// # Errors
/// A standard output that takes nothing.
pub fn man() -> io::Result<u8> {
    stdout(page()?.as_bytes())?;
    Ok(0)
}

fn page() -> io::Result<String> {
    let mut command = Cli::command();
    // Gives the subcommands their full names.
    command.build();
    let mut page = Vec::new();
    let whole = Man::new(command.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    let mut page = text(page);
    for subcommand in command.get_subcommands() {
        page.push_str(&section(subcommand)?);
    }
    let mut end = Vec::new();
    whole.render_extra_section(&mut end)?;
    whole.render_version_section(&mut end)?;
    page.push_str(&text(end));
    page.push('\n');
    Ok(page)
}

/// A subcommand as a section, its own sections as parts of that.
fn section(command: &Command) -> io::Result<String> {
    let title = command.get_display_name().unwrap_or_else(|| command.get_name()).replace('-', " ").to_uppercase();
    let man = Man::new(command.clone());
    let mut body = Vec::new();
    man.render_synopsis_section(&mut body)?;
    man.render_description_section(&mut body)?;
    man.render_options_section(&mut body)?;
    let parts = text(body).replace("\n.SH ", "\n.SS ");
    Ok(format!(".SH \"{title}\"\n{parts}"))
}

fn text(roff: Vec<u8>) -> String {
    String::from_utf8(roff).expect("our own texts are UTF-8")
}
