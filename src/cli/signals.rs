//! SIGINT and SIGTERM: the first ends the sending, a second one the program.

use std::io;
use std::sync::Arc;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use super::{exit, note};
use crate::engine::Control;
use crate::plan::Plan;

/// From now on the first signal ends the sending, after which answers are awaited as the plan has it and, where `notes` are
/// wanted, that is said; a second one ends the program.
///
/// # Errors
/// The system's, when handlers or the thread cannot be set up.
pub(super) fn end(control: &Arc<Control>, plan: &Plan, notes: bool) -> io::Result<()> {
    // A file that may not grow (ulimit -f) is an error of who writes it, and not the end of the program.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    let (control, drain) = (Arc::clone(control), plan.drain);
    on_first(move || {
        control.interrupt();
        if notes {
            note(&format!("interrupted: awaiting answers for up to {drain}; once more to stop at once"));
        }
    })
}

/// Calls `first` on the first signal, on a thread of its own; a second signal ends the program at once.
///
/// # Errors
/// The system's, when handlers or the thread cannot be set up.
pub(super) fn on_first(first: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listen = move || {
        let mut arrivals = signals.forever();
        if arrivals.next().is_some() {
            first();
        }
        if arrivals.next().is_some() {
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(())
}
