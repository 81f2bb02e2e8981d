//! What a terminal is shown while a run lasts: a line that fits, without colours, and nothing where it cannot be drawn.

use std::process::Command;

use crate::support::{OK, Program, Server};

/// What a terminal of 40 columns is sent on standard error during a run of 1.5 s.
fn shown(variables: &[(&str, &str)]) -> String {
    let server = Server::answering(OK);
    let program = env!("CARGO_BIN_EXE_ringload");
    // It has many words, as it tells time, requests, rate, p99 and errors.
    let run = format!(
        "stty columns 40 rows 10; exec '{program}' bench -d 1500ms -n 1M -R 40 -c 1 -t 1 '{}' >/dev/null",
        server.url("/")
    );
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &run, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
    command.envs(variables.iter().copied());
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let finished = Program::spawn(&mut command).finish();
    finished.assert_code(0);
    finished.stdout
}

/// The text without a terminal's control sequences.
fn plain(text: &str) -> String {
    let mut pieces = text.split("\u{1b}[");
    let first = pieces.next().unwrap_or_default().to_owned();
    let rest = pieces.map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit() || ";?".contains(c)));
    // One letter ends a sequence.
    first + &rest.map(|piece| piece.get(1..).unwrap_or_default()).collect::<Vec<_>>().join("")
}

#[test]
fn the_progress_line_fits_a_narrow_terminal_and_has_no_colours() {
    for variables in [&[][..], &[("NO_COLOR", "1")], &[("CLICOLOR_FORCE", "1")]] {
        let text = shown(variables);
        assert!(text.contains("1s of 1.5s"), "{text:?}");
        assert!(
            !text
                .split("\u{1b}[")
                .skip(1)
                .any(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')),
            "{text:?}"
        );
        for line in plain(&text).split(['\r', '\n']) {
            assert!(line.chars().count() <= 40, "{line:?}");
        }
    }
}

#[test]
fn a_dumb_terminal_is_shown_no_progress() {
    let text = shown(&[("TERM", "dumb")]);
    assert!(!text.contains('\u{1b}') && !text.contains("1s of"), "{text:?}");
}
