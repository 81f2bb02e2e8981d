//! Around one load run: what must be there before it, and what must happen after it.

use std::error::Error;
use std::io::{self, Write as _};
use std::sync::Arc;

use super::bench::{Args, Outputs};
use super::{embedded, exit, progress, signals};
use crate::engine::{Control, Progress};
use crate::plan::shard::Machine;
use crate::plan::{Plan, RawPlan};
use crate::report::Summary;
use crate::target::Target;

/// One load run, from the command line to the exit code.
pub struct Session {
    /// What the user said.
    raw: RawPlan,
    /// The run's timeline; signals end it.
    pub control: Arc<Control>,
    outputs: Outputs,
    target: Option<Target>,
}

impl Session {
    /// Reads what the command line names and starts the embedded target where it names nothing to measure.
    ///
    /// # Errors
    /// A file that cannot be read or written, a target that cannot start.
    pub fn open(args: Args, machine: &Machine) -> Result<Self, Box<dyn Error>> {
        let embedded = !args.names_a_target();
        let (mut raw, outputs) = args.gather()?;
        let mut target = None;
        if embedded {
            let (started, note) = embedded::start(&mut raw, machine)?;
            target = Some(started);
            outputs.note(&note);
        }
        Ok(Self { raw, control: Arc::default(), outputs, target })
    }

    /// What the user said, handed over: a large body is not kept beside the plan made of it.
    pub fn take_raw(&mut self) -> RawPlan {
        std::mem::take(&mut self.raw)
    }

    /// From now on a signal ends the sending, and a second one the program; returns what draws the progress line.
    ///
    /// # Errors
    /// The system's, when handlers cannot be set up.
    pub fn watch(&self, plan: &Arc<Plan>) -> io::Result<impl FnMut(Progress<'_>) + use<>> {
        let (control, drain, notes) = (Arc::clone(&self.control), plan.drain, self.outputs.notes);
        signals::on_first(move || {
            control.interrupt();
            if notes {
                note(&format!("interrupted: awaiting answers for up to {drain}; once more to stop at once"));
            }
        })?;
        let line = progress::Line::new(self.outputs.progress);
        let plan = Arc::clone(plan);
        Ok(move |state: Progress<'_>| line.show(&plan, &state))
    }

    /// Writes the report; returns the exit code.
    ///
    /// # Errors
    /// A report that could not be written somewhere.
    pub fn close(self, summary: &Summary<'_>) -> Result<u8, Box<dyn Error>> {
        if let Some(target) = self.target {
            target.stop();
        }
        self.outputs.write(summary)?;
        Ok(exit::of(summary))
    }
}

impl Outputs {
    fn note(&self, text: &str) {
        if self.notes {
            note(text);
        }
    }
}

/// A note that cannot be written is not worth ending a run for.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "ringload: {text}");
}
