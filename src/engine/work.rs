//! The two seams between the engine and the kinds of work it does: where requests come from, and where answers go.
//!
//! A worker is monomorphic in them: load inlines to a schedule and a recorder.

use std::fmt::Display;
use std::rc::Rc;

use crate::record::{Failure, Outcome, Stamps, Tally};
use crate::units::Nanos;
use crate::wire::decode::Head;

/// One request to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// What to ask for: a number that the work understands; equal numbers are equal requests.
    pub line: u64,
    /// Index of the origin.
    pub origin: u32,
    /// A HEAD: its answer has no body.
    pub head_request: bool,
    /// May be sent again after a dead connection (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// When it fell due, or was taken.
    pub intended: Nanos,
    /// Before T0: made, and not counted.
    pub warmup: bool,
    /// More goes out after [`Source::render`]'s bytes.
    pub large_body: bool,
}

/// What a free slot is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make this request.
    Ticket(Ticket),
    /// Nothing is due before this instant.
    WaitUntil(Nanos),
    /// Nothing will be due any more.
    End,
}

/// What the pacer needs to know of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// How many tickets could be taken now.
    pub tickets: u64,
    /// When the next one falls due.
    pub next: Nanos,
}

/// Where a worker's requests come from. Times are instants of the program's clock.
pub trait Source {
    /// The next ticket for a slot that is free at `now`.
    fn next(&self, now: Nanos) -> Next;

    /// What is due at `now`, and when more will be; at the end of sending, as many as there are slots.
    fn due(&self, now: Nanos) -> Due;

    /// All slots were busy until now, when one becomes free: what fell due meanwhile, nobody could take. By itself that
    /// changes nothing: it is taken late.
    fn nobody_was_free(&self, _waits: Waits) {}

    /// From this instant on, requests in flight are given up. [`Nanos`] of `u64::MAX` until that is known.
    fn give_up_at(&self) -> Nanos;

    /// Makes `request` the bytes of the ticket's request in the form of this number, body included where it is small:
    /// written anew in place, or shared by all slots that ask for the same.
    fn render(&self, ticket: &Ticket, form: u32, request: &mut Rc<Vec<u8>>);

    /// The body of a ticket with a large one, which goes out after [`Source::render`]'s bytes instead of being copied
    /// for each request.
    fn large_body(&self, ticket: &Ticket) -> bytes::Bytes;
}

/// What is to become of an answer's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body<I> {
    /// Counted and thrown away.
    #[default]
    Discard,
    /// Handed over, piece by piece, to be taken in by this.
    Stream(I),
}

/// HTTP bytes of one request, both tries of a redialled one included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

/// The opening of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// When it was ready for a request.
    pub opened: Nanos,
    /// Length of the TCP connect; to a proxy, with all that is said to it until it lets us through.
    pub connect: Nanos,
    /// How requests on it are addressed (`plan::Proxies::form`).
    pub form: u32,
    /// The handshake over it, where the origin is an https one.
    pub tls: Option<Handshake>,
}

/// A TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Its length.
    pub took: Nanos,
    /// An earlier session was resumed.
    pub resumed: bool,
}

/// Where a worker's answers go.
pub trait Sink {
    /// What takes in the body of one answer: the sink's own, kept by whoever reads the answer.
    type Intake;

    /// Time passes: called at least once a millisecond, unless the core was kept from running.
    fn beat(&self, now: Nanos);

    /// A connection was opened.
    fn connected(&self, dial: &Dial);

    /// A dead pooled connection is replaced and the ticket tried once more.
    fn redialled(&self, ticket: &Ticket);

    /// The first byte of a request is being handed to the ring; once a ticket.
    fn sent(&self, ticket: &Ticket, now: Nanos);

    /// Whether heads of answers are of any use beyond their status: making one readable may cost something.
    fn reads_heads(&self) -> bool;

    /// The head of the answer; not called where its making can be spared and nobody reads it.
    ///
    /// # Errors
    /// What the ticket fails with, the answer being no good; explained already. So are those of the next two.
    fn head(&self, ticket: &Ticket, head: &Head<'_>) -> Result<Body<Self::Intake>, Failure>;

    /// A piece of a streamed body, without its framing.
    ///
    /// # Errors
    /// What the ticket fails with.
    fn body(
        &self,
        ticket: &Ticket,
        intake: &mut Self::Intake,
        piece: &[u8],
    ) -> impl Future<Output = Result<(), Failure>>;

    /// The end of a streamed body, once it is whole by its framing.
    ///
    /// # Errors
    /// What the ticket fails with.
    fn end(&self, ticket: &Ticket, intake: Self::Intake) -> Result<(), Failure>;

    /// A streamed body broke off, with what has come of it; the ticket fails, or is tried once more.
    fn broken_off(&self, _: &Ticket, _: Self::Intake) {}

    /// Why a connection or an answer failed, in words; the first of each kind is what people read.
    fn explain(&self, failure: Failure, reason: &dyn Display);

    /// The end of the ticket; once for every ticket taken.
    fn done(&self, ticket: &Ticket, outcome: Outcome, stamps: &Stamps, moved: Moved);
}

/// A kind of work: what a worker asks of it besides its requests and answers.
pub(crate) trait Work: Source + Sink + 'static {
    /// The origin that the worker's `k`-th request goes to, where that is known: its connections are opened before the
    /// start.
    fn origin_of(&self, k: u64) -> Option<u32>;

    /// Counts what was never taken up and hands everything over; `abandoned`: the worker died with requests in flight.
    fn finish(&self, abandoned: bool, waits: Waits) -> Finished;
}

/// Whose fault it is where requests were not taken up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// When a slot was last found free after all were busy: from then on nothing but the client kept requests back.
    pub(crate) free_at: Nanos,
    /// How much of an earlier wait the stalls of the core made.
    pub(crate) owed: Nanos,
}

impl Waits {
    /// How much of the wait of a request that was intended at `intended` and not taken up until `end` is the client's.
    pub(crate) fn client(self, intended: Nanos, end: Nanos) -> Nanos {
        let ready = intended.max(self.free_at).min(end);
        Nanos((end.0 - ready.0) + (ready.0.saturating_sub(intended.0)).min(self.owed.0))
    }
}

/// What finished work hands over.
pub(crate) struct Finished {
    pub(crate) tally: Tally,
    /// Since T0.
    pub(crate) last_done: Nanos,
    /// Every request of the shard's share was taken before the end.
    pub(crate) exhausted: bool,
}
