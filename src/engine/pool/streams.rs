//! Connections to one origin that carry several requests at once, and what of them is lent: streams of HTTP/2, places in a
//! pipeline of HTTP/1.1.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::GiveBack;
use crate::engine::pipe::Pipe;
use crate::net::h2::Session;
use crate::units::Nanos;

/// A connection that several leases share; closed when the last of them, and the pool, let go of it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) carrier: Carrier,
    origin: u32,
    opened: Nanos,
    lent: Cell<u32>,
    /// So many more requests may be made on it, those under way not included.
    left: Cell<u64>,
    /// In line to be lent from.
    lined_up: Cell<bool>,
    /// Not to be lent from any more.
    retired: Cell<bool>,
    /// Position in the order of use.
    used: Cell<u64>,
}

/// What carries several requests at once.
#[derive(Debug)]
pub(crate) enum Carrier {
    /// HTTP/2.
    Session(Session),
    /// HTTP/1.1, pipelined.
    Pipe(Pipe),
}

/// The shared connections to one origin that have a stream to lend, or had one when last looked at.
#[derive(Debug, Default)]
pub(super) struct Streams {
    line: VecDeque<Rc<Shared>>,
}

impl Shared {
    /// Index of its origin.
    pub(crate) fn origin(&self) -> u32 {
        self.origin
    }

    /// When it was ready for a first request.
    pub(super) fn opened(&self) -> Nanos {
        self.opened
    }

    /// Whether a stream can be lent, of at most `most` at a time.
    fn has_room(&self, most: u32) -> bool {
        self.left.get() > 0 && self.lent.get() < most && (self.lent.get() as usize) < self.most_streams()
    }

    /// Lends a stream, where one can be.
    pub(super) fn try_lend(&self, most: u32, used: u64) -> bool {
        let can = !self.retired.get() && self.has_room(most) && self.is_usable();
        if can {
            self.lend(used);
        }
        can
    }

    /// Nobody wanted the stream that was lent.
    pub(super) fn unlend(&self) {
        self.lent.set(self.lent.get() - 1);
        self.left.set(self.left.get() + 1);
    }

    fn is_usable(&self) -> bool {
        match &self.carrier {
            Carrier::Session(session) => session.is_usable(),
            Carrier::Pipe(pipe) => pipe.is_usable(),
        }
    }

    fn most_streams(&self) -> usize {
        match &self.carrier {
            Carrier::Session(session) => session.most_streams(),
            Carrier::Pipe(_) => usize::MAX,
        }
    }

    /// No stream of it is lent.
    pub(super) fn is_idle(&self) -> bool {
        self.lent.get() == 0
    }

    fn is_done_with(&self) -> bool {
        self.retired.get() && self.lent.get() == 0
    }

    fn lend(&self, used: u64) {
        self.lent.set(self.lent.get() + 1);
        self.left.set(self.left.get() - 1);
        self.used.set(used);
    }
}

impl Streams {
    /// Takes a connection in, with the most streams and requests that it may carry; its first stream is lent.
    pub(super) fn add(
        &mut self,
        carrier: Carrier,
        origin: u32,
        opened: Nanos,
        (most, requests): (u32, u64),
    ) -> Rc<Shared> {
        let shared = Rc::new(Shared {
            carrier,
            origin,
            opened,
            lent: Cell::new(1),
            left: Cell::new(requests - 1),
            lined_up: Cell::new(false),
            retired: Cell::new(false),
            used: Cell::new(0),
        });
        self.line_up(&shared, most);
        shared
    }

    /// A stream of the next connection that has one and was opened at `after` or later, each in its turn; and how many
    /// connections turned out to be over.
    pub(super) fn lend(&mut self, after: Nanos, most: u32, used: u64) -> (Option<Rc<Shared>>, u32) {
        let mut closed = 0;
        for _ in 0..self.line.len() {
            let shared = self.line.pop_front().expect("so many are in line");
            shared.lined_up.set(false);
            if !shared.is_usable() {
                shared.retired.set(true);
                closed += u32::from(shared.is_done_with());
                continue;
            }
            let meant = shared.opened >= after && shared.has_room(most);
            if meant {
                shared.lend(used);
            }
            self.line_up(&shared, most);
            if meant {
                return (Some(shared), closed);
            }
        }
        (None, closed)
    }

    /// Takes a stream back; gives how many connections were closed by that, and whether the connection is idle now.
    pub(super) fn give_back(&mut self, shared: &Rc<Shared>, how: GiveBack, most: u32) -> (u32, bool) {
        shared.lent.set(shared.lent.get() - 1);
        if how == GiveBack::Unused {
            shared.left.set(shared.left.get() + 1);
        }
        let over = shared.retired.get() || shared.left.get() == 0 || !shared.is_usable();
        if how == GiveBack::Close || over {
            shared.retired.set(true);
            self.line.retain(|other| !Rc::ptr_eq(other, shared));
            return (u32::from(shared.is_done_with()), false);
        }
        self.line_up(shared, most);
        (0, shared.lent.get() == 0)
    }

    fn line_up(&mut self, shared: &Rc<Shared>, most: u32) {
        if !shared.retired.get() && shared.has_room(most) && !shared.lined_up.replace(true) {
            self.line.push_back(Rc::clone(shared));
        }
    }

    /// When the connection was last used that has gone unused for longest, of those with no stream lent.
    pub(super) fn idle_since(&self) -> Option<u64> {
        self.line.iter().filter(|shared| shared.lent.get() == 0).map(|shared| shared.used.get()).min()
    }

    /// Closes that connection.
    pub(super) fn evict(&mut self) {
        let Some(least) = self.idle_since() else { return };
        let is_least = |shared: &Rc<Shared>| shared.lent.get() == 0 && shared.used.get() == least;
        if let Some(at) = self.line.iter().position(is_least) {
            self.line.remove(at);
        }
    }

    /// Closes all with no stream lent; gives how many that were.
    pub(super) fn close_all(&mut self) -> u32 {
        let before = self.line.len();
        self.line.retain(|shared| shared.lent.get() > 0);
        (before - self.line.len()) as u32
    }
}
