//! The origins that one core connects to: those of the plan, by their index in it, and those that come up while it runs.
//!
//! Lives on one thread. Knows where connections go and nothing of connections.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::destination::Destination;
use crate::net::connect::Peer;
use crate::net::tls::Client;
use crate::plan::{Origin, Plan};

/// One core's origins, by index.
#[derive(Debug)]
pub(crate) struct Origins {
    plan: Arc<Plan>,
    /// For https origins; `None` where there are none.
    tls: Option<Client>,
    list: RefCell<Vec<Rc<Known>>>,
    /// Indexes of those that nobody needs any more, as long as there may be connections to them.
    forgotten: RefCell<Vec<u32>>,
    /// Indexes that may be given away again.
    free: RefCell<Vec<u32>>,
    /// Indexes of those that are to lose an idle connection, once for each.
    spared: RefCell<Vec<u32>>,
}

/// What a core knows of one origin.
#[derive(Debug)]
pub(crate) struct Known {
    pub(super) to: Arc<Destination>,
    /// How many of its addresses have been tried.
    pub(super) turn: Cell<usize>,
    /// What a look-up during the run found, where it counts for the rest of that.
    pub(super) found: OnceCell<Vec<Peer>>,
}

impl Origins {
    /// Those of the plan, which lead to `destinations`.
    pub(super) fn new(plan: Arc<Plan>, tls: Option<Client>, destinations: &[Arc<Destination>]) -> Self {
        let list = destinations.iter().map(|to| Rc::new(Known::new(Arc::clone(to)))).collect();
        Self {
            plan,
            tls,
            list: RefCell::new(list),
            forgotten: RefCell::default(),
            free: RefCell::default(),
            spared: RefCell::default(),
        }
    }

    /// One that the plan does not name: its index from now on.
    ///
    /// # Errors
    /// A host that no certificate can name.
    pub(crate) fn add(&self, origin: Origin) -> Result<u32, String> {
        let to = Destination::later(&self.plan, origin, self.tls.as_ref())?;
        let (known, list) = (Rc::new(Known::new(Arc::new(to))), &mut *self.list.borrow_mut());
        if let Some(index) = self.free.borrow_mut().pop() {
            list[index as usize] = known;
            return Ok(index);
        }
        list.push(known);
        Ok(list.len() as u32 - 1)
    }

    /// Nobody needs the origin of this index any more, which [`Origins::add`] gave; it has no request in flight.
    pub(crate) fn forget(&self, index: u32) {
        self.forgotten.borrow_mut().push(index);
    }

    /// The next one that nobody needs; its index is free once its connections are closed, which the caller does at once.
    pub(super) fn next_forgotten(&self) -> Option<u32> {
        let index = self.forgotten.borrow_mut().pop()?;
        self.free.borrow_mut().push(index);
        Some(index)
    }

    /// One idle connection to the origin of this index is to be closed, if there is one; that is done after the beat.
    pub(crate) fn spare(&self, index: u32) {
        self.spared.borrow_mut().push(index);
    }

    /// The next one that is to lose an idle connection.
    pub(super) fn next_spared(&self) -> Option<u32> {
        self.spared.borrow_mut().pop()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.borrow().len()
    }

    /// Whether there are others than one, or may be.
    pub(super) fn several(&self) -> bool {
        self.len() > 1 || self.plan.is_fetched()
    }

    pub(super) fn at(&self, index: u32) -> Rc<Known> {
        Rc::clone(&self.list.borrow()[index as usize])
    }

    /// Whether what a look-up during the run finds counts for the rest of it.
    pub(super) fn keeps_addresses(&self) -> bool {
        self.plan.network.dns == crate::plan::network::Dns::Once
    }

    /// The origin of this index itself.
    pub(super) fn with<T>(&self, index: u32, see: impl FnOnce(&Origin) -> T) -> T {
        see(origin(&self.plan, index, &self.at(index).to))
    }
}

/// The origin of this index, which is found at `to`.
pub(super) fn origin<'a>(plan: &'a Plan, index: u32, to: &'a Destination) -> &'a Origin {
    to.later.as_deref().unwrap_or_else(|| &plan.urls.origins()[index as usize])
}

impl Known {
    fn new(to: Arc<Destination>) -> Self {
        Self { to, turn: Cell::new(0), found: OnceCell::new() }
    }
}
