//! What each core has of one host: of its requests in flight an equal part where several cores want it, and of its
//! connections together no more than it is to have.
//!
//! Counts what may be open and opens nothing: a core that gives a connection up has closed it first.

use crate::units::Nanos;

/// A core that was refused a request is thought to want one for so long; it asks again sooner.
pub(super) const WANTED: Nanos = Nanos::from_millis(5);

/// All of one host, by core.
#[derive(Debug, Default)]
pub(super) struct Parts(Vec<Part>);

/// A core's part of a host.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    in_flight: u32,
    /// When it last wanted a request and could have none.
    refused: Nanos,
    /// Connections that it may have open, busy or idle; those of all cores sum to at most the host's limit.
    held: u32,
    /// Those of them that are about to be closed.
    leaving: u32,
}

impl Parts {
    /// A core begins a request.
    pub(super) fn begin(&mut self, core: usize) {
        self.part(core).in_flight += 1;
    }

    /// A request of a core has ended.
    pub(super) fn end(&mut self, core: usize) {
        self.part(core).in_flight -= 1;
    }

    /// Requests of all cores.
    pub(super) fn in_flight(&self) -> u32 {
        self.0.iter().map(|part| part.in_flight).sum()
    }

    /// A core wants a request and can have none.
    pub(super) fn refuse(&mut self, core: usize, now: Nanos) {
        self.part(core).refused = now;
    }

    /// Another core wants a request, too, and has fewer of them.
    pub(super) fn leaves_it(&mut self, core: usize, now: Nanos) -> bool {
        let own = self.part(core).in_flight;
        self.others(core).any(|part| part.in_flight < own && part.wants(now))
    }

    /// Whether a core has a connection for one more request, or may open one, where the host is to have at most so many.
    pub(super) fn has_connection(&mut self, core: usize, most: u32) -> bool {
        let all: u32 = self.0.iter().map(|part| part.held).sum();
        let part = self.part(core);
        if part.is_short() && all >= most {
            return false;
        }
        part.held += u32::from(part.is_short());
        true
    }

    /// Whether a core, which has lines for the host or none, is to close an idle connection as another one lacks it; if so
    /// it is about to.
    pub(super) fn gives_one_up(&mut self, core: usize, has_lines: bool, now: Nanos) -> bool {
        let own = *self.part(core);
        let held = own.held.saturating_sub(own.leaving);
        // Where both have lines, the one that has more of them is left with no fewer.
        let lacks = |part: &Part| part.is_short() && part.wants(now) && (!has_lines || held > part.held + 1);
        let gives = !own.is_short() && self.others(core).any(lacks);
        self.part(core).leaving += u32::from(gives);
        gives
    }

    /// A core has closed it.
    pub(super) fn gave_one_up(&mut self, core: usize) {
        let part = self.part(core);
        part.held = part.held.saturating_sub(1);
        part.leaving = part.leaving.saturating_sub(1);
    }

    /// A core closes all of its connections.
    pub(super) fn leave(&mut self, core: usize) {
        *self.part(core) = Part::default();
    }

    fn part(&mut self, core: usize) -> &mut Part {
        if self.0.len() <= core {
            self.0.resize(core + 1, Part::default());
        }
        &mut self.0[core]
    }

    fn others(&self, core: usize) -> impl Iterator<Item = &Part> {
        self.0.iter().enumerate().filter(move |(other, _)| *other != core).map(|(_, part)| part)
    }
}

impl Part {
    fn wants(&self, now: Nanos) -> bool {
        self.refused > Nanos::ZERO && now.0 < self.refused.0 + WANTED.0
    }

    /// All of its connections are in use.
    fn is_short(&self) -> bool {
        self.in_flight + self.leaving >= self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Nanos = Nanos::from_secs(1);

    /// How many requests a core can begin on at most 5 connections.
    fn begun(parts: &mut Parts, core: usize) -> usize {
        let more = (0..20).take_while(|_| parts.has_connection(core, 5).then(|| parts.begin(core)).is_some()).count();
        parts.refuse(core, NOW);
        more
    }

    #[test]
    fn all_cores_together_have_no_more_connections_than_the_host_is_to_have() {
        let mut parts = Parts::default();
        assert_eq!((begun(&mut parts, 0), begun(&mut parts, 1)), (5, 0));
        assert!(!parts.gives_one_up(0, true, NOW), "all are in use");
        parts.end(0);
        assert!(parts.gives_one_up(0, true, NOW) && !parts.has_connection(0, 5) && !parts.has_connection(1, 5));
        parts.gave_one_up(0);
        assert_eq!((begun(&mut parts, 1), begun(&mut parts, 0)), (1, 0));
        (0..4).for_each(|_| parts.end(0));
        parts.leave(0);
        assert_eq!(begun(&mut parts, 1), 4);
    }

    #[test]
    fn a_core_gives_up_what_another_has_less_of_and_all_of_it_without_lines() {
        let mut parts = Parts::default();
        begun(&mut parts, 0);
        (0..5).for_each(|_| parts.end(0));
        assert!(!parts.gives_one_up(0, false, NOW), "nobody else wants it");
        begun(&mut parts, 1);
        assert!(!parts.gives_one_up(0, false, Nanos(NOW.0 + WANTED.0)), "that was long ago");
        let mut given = 0;
        while parts.gives_one_up(0, true, NOW) {
            parts.gave_one_up(0);
            given += begun(&mut parts, 1);
        }
        assert_eq!(given, 2, "three are left");
        assert!(parts.gives_one_up(0, false, NOW));
    }
}
