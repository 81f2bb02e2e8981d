//! Around one load run: what must be there before it, and what must happen after it.

use std::cell::RefCell;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;

use super::bench::Args;
use super::outputs::Outputs;
use super::plan_file::Said;
use super::spool::Spool;
use super::{driver, embedded, exit, note, plan_print, progress, signals};
use crate::engine::{Control, Progress};
use crate::net::runtime::Decision;
use crate::plan::shard::Machine;
use crate::plan::{Plan, PlanError, RawPlan};
use crate::record::Finding;
use crate::report::{self, Summary};
use crate::target::Target;

/// One load run, from the command line to the exit code.
pub struct Session {
    /// What the user said.
    raw: RawPlan,
    said: Said,
    /// The driver of all threads.
    pub decision: Decision,
    /// The run's timeline; signals end it.
    pub control: Arc<Control>,
    outputs: Outputs,
    /// Where a histogram log is wanted; shared with what watches the run.
    spool: Option<Rc<RefCell<Spool>>>,
    target: Option<Target>,
}

impl Session {
    /// Reads what the command line names, decides on the driver, and starts the embedded target where it names nothing to measure.
    ///
    /// # Errors
    /// A file that cannot be read or written, a driver that is refused, a target that cannot start.
    pub fn open(mut args: Args, machine: &Machine) -> Result<Self, Box<dyn Error>> {
        let said = std::mem::take(&mut args.plan.said);
        let embedded = !args.names_a_target();
        let (mut raw, outputs) = args.gather().map_err(|error| said.blame(error))?;
        let decision = driver::decide(raw.driver)?;
        if let Some(refused) = &decision.refused {
            outputs.note(&driver::fallback(refused));
        }
        let mut target = None;
        if embedded {
            let (started, note) = embedded::start(&mut raw, machine, decision.driver)?;
            target = Some(started);
            outputs.note(&note);
        }
        Ok(Self { raw, said, decision, control: Arc::default(), outputs, spool: None, target })
    }

    /// What the user said, handed over: a large body is not kept beside the plan made of it.
    pub fn take_raw(&mut self) -> RawPlan {
        std::mem::take(&mut self.raw)
    }

    /// The error, by the plan file's line where that is what said it.
    pub fn blame(&self, error: PlanError) -> PlanError {
        self.said.blame(error)
    }

    /// Opens what is written while the plan is run, and after. From now on a signal ends the sending, and a second one the
    /// program. Returns what draws the progress line and keeps the seconds that logs are made of.
    ///
    /// # Errors
    /// A folder that cannot be made, a plan that no file can hold; the system's, when handlers cannot be set up.
    pub fn watch(&mut self, plan: &Arc<Plan>) -> Result<impl FnMut(Progress<'_>) + use<>, Box<dyn Error>> {
        if self.outputs.want_plan() {
            self.outputs.open_bundle(plan_print::of_run(&self.said, plan)?)?;
        }
        self.spool = self.outputs.spool()?.map(|spool| Rc::new(RefCell::new(spool)));
        signals::end(&self.control, plan, self.outputs.notes)?;
        let line = progress::Line::new(self.outputs.progress);
        let (plan, spool) = (Arc::clone(plan), self.spool.clone());
        Ok(move |state: Progress<'_>| {
            spool.iter().for_each(|spool| spool.borrow_mut().add(state.seconds));
            line.show(report::progress::line(&plan, state.elapsed, state.points));
        })
    }

    /// Says before the run what is likely to go wrong in it, a line each; the report has it too.
    pub fn warn(&self, findings: &[Finding]) {
        findings.iter().for_each(|finding| self.outputs.note(&finding.text));
    }

    /// Writes the report; returns the exit code.
    ///
    /// # Errors
    /// A report that could not be written somewhere.
    pub fn close(self, summary: &Summary<'_>) -> Result<u8, Box<dyn Error>> {
        if let Some(target) = self.target {
            target.stop();
        }
        let mut spool = self.spool.as_ref().map(|spool| spool.borrow_mut());
        self.outputs.write(summary, spool.as_deref_mut())?;
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
