//! The progress line on standard error, drawn by indicatif when it is a terminal that can: without colours, and cut to
//! the terminal's width.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The line of one run; draws nothing where nobody would see it.
pub(super) struct Line {
    bar: ProgressBar,
}

impl Line {
    pub(super) fn new(wanted: bool) -> Self {
        // A dumb terminal cannot go back to a line's beginning.
        let dumb = std::env::var_os("TERM").is_none_or(|name| name == "dumb");
        let seen = wanted && !dumb && std::io::stderr().is_terminal();
        let target = if seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(super) fn show(&self, text: String) {
        self.bar.set_message(text);
        self.bar.tick();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
