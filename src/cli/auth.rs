//! The options about credentials, and the files and variables they name.

use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};

use crate::plan::PlanError;
use crate::plan::raw::RawAuth;

/// The longest first line of a file with credentials, in bytes; heads of requests are read with similar limits.
const LINE_BYTES_MAX: u64 = 16 * 1024;

/// Who asks.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Requests")]
pub(super) struct AuthArgs {
    /// Send this user and password with every request (Basic), instead of those of a URL; @FILE takes them from its first
    /// line, env:NAME from the environment. An Authorization header of -H or of a line wins
    #[arg(short = 'u', long, value_name = "USER:PASSWORD", allow_hyphen_values = true)]
    user: Option<String>,
    /// Send this token with every request (Bearer); @FILE, env:NAME and other headers as with -u
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    bearer: Option<String>,
}

impl AuthArgs {
    /// Values that must never be shown.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.user.iter().chain(&self.bearer).map(String::as_str).filter(|typed| reference(typed).is_none())
    }

    /// What was said, with every file and variable read.
    ///
    /// # Errors
    /// One that cannot be read.
    pub(super) fn gather(self) -> Result<RawAuth, PlanError> {
        Ok(RawAuth {
            user: self.user.map(|typed| read("-u", typed)).transpose()?,
            bearer: self.bearer.map(|typed| read("--bearer", typed)).transpose()?,
        })
    }
}

/// Where a secret stands that was not typed itself.
#[derive(Clone, Copy)]
enum Reference<'a> {
    File(&'a str),
    Variable(&'a str),
}

fn reference(typed: &str) -> Option<Reference<'_>> {
    let file = typed.strip_prefix('@').map(Reference::File);
    file.or_else(|| typed.strip_prefix("env:").map(Reference::Variable))
}

/// Whether what was typed says where a secret stands, and is none itself.
pub(super) fn is_reference(typed: &str) -> bool {
    reference(typed).is_some()
}

/// What was typed, or what stands where it says.
///
/// # Errors
/// A file or a variable that cannot be read.
pub(super) fn read(option: &str, typed: String) -> Result<String, PlanError> {
    let refused = |problem: String| PlanError::new(format!("{option} {typed}"), problem);
    match reference(&typed) {
        None => Ok(typed),
        Some(Reference::File(path)) => first_line(path).map_err(refused),
        Some(Reference::Variable(name)) => match env::var(name) {
            Ok(value) => Ok(value),
            Err(env::VarError::NotPresent) => Err(refused("this variable is not set; export it, or use @FILE".into())),
            // Its Display quotes the value.
            Err(env::VarError::NotUnicode(_)) => Err(refused("the variable's value is not text (UTF-8)".into())),
        },
    }
}

/// The first line of a file without its end.
fn first_line(path: &str) -> Result<String, String> {
    let unreadable = |error| format!("cannot read it: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let mut line = Vec::new();
    BufReader::new(file.take(LINE_BYTES_MAX + 1)).read_until(b'\n', &mut line).map_err(unreadable)?;
    if line.len() as u64 > LINE_BYTES_MAX {
        return Err("its first line is over 16 KiB; is it the right file?".into());
    }
    let line = String::from_utf8(line).map_err(|_| "its first line is not text (UTF-8)".to_owned())?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_the_first_line_counts() {
        for (content, expected) in [
            ("me:pw\r\nmore\n", Ok("me:pw")),
            ("me:pw ", Ok("me:pw ")),
            ("", Ok("")),
            ("\u{fffd}", Ok("\u{fffd}")),
            (&*"x".repeat(16 * 1024 + 1), Err("over 16 KiB")),
        ] {
            let file = tempfile::NamedTempFile::new().expect("a file");
            std::fs::write(file.path(), content).expect("our own file");
            let read = first_line(file.path().to_str().expect("a path in UTF-8"));
            match expected {
                Ok(line) => assert_eq!(read.as_deref(), Ok(line)),
                Err(part) => assert!(read.expect_err(part).contains(part)),
            }
        }
        assert!(first_line("/no/such/file").expect_err("no file").contains("cannot read"));
    }
}
