//! A slot's exchange on a stream of an HTTP/2 connection: the same stamps, limits and outcomes as on a connection of
//! its own.

use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use http::Request;
use http::uri::Scheme;

use super::{Body, Broken, Sink, Slot, Source};
use crate::clock;
use crate::net::h2::{self, Exchange, Session};
use crate::plan::origin::Scheme as OriginScheme;
use crate::record::Failure;
use crate::wire::message;

/// A line's request as HTTP/2 takes it.
pub(in crate::engine) struct Message {
    line: u64,
    request: Request<()>,
    /// That goes out with the head; a large one is asked for at each request.
    small_body: Option<Bytes>,
}

impl<W: Source + Sink> Slot<'_, W> {
    /// Makes the ticket's request on a stream of `session`. Whatever cuts it short, the stream is reset and the connection
    /// stays.
    pub(super) async fn converse(&mut self, session: &Session) -> Result<(), Broken> {
        let mut exchange = self.ask(session)?;
        let result = self.listen(&mut exchange).await;
        // What the connection carried since its last answer is counted with this one: frames of all streams mix.
        let (sent, received) = session.take_moved();
        self.moved.sent += sent;
        self.moved.received += received;
        result
    }

    async fn listen(&mut self, exchange: &mut Exchange) -> Result<(), Broken> {
        let head = self.watch.until(self.limit(), pin!(exchange.head())).await?;
        let status = head.map_err(|broken| self.broken(broken))?;
        let now = clock::now();
        (self.stamps.first_byte, self.answer.last_byte) = (Some(now), now);
        (self.answer.status, self.answer.keep_alive) = (status.as_u16(), true);
        if self.core.work.reads_heads() {
            let text = &mut *self.core.head_text.borrow_mut();
            let told = message::head(self.answer.status, exchange.headers(), text);
            self.body = self.core.work.head(&self.ticket, &told).map_err(Broken::Failed)?;
        }
        loop {
            let Some(piece) = self.watch.until(self.limit(), pin!(exchange.data())).await? else { break };
            let piece = piece.map_err(|broken| self.broken(broken))?;
            if matches!(self.body, Body::Discard) {
                // What is there at once had come together with what was before it.
                if !piece.at_once {
                    self.answer.last_byte = clock::now();
                }
                continue;
            }
            self.answer.last_byte = clock::now();
            self.hand_over(&piece.bytes).await?;
        }
        self.end_body()
    }

    /// Sends the ticket's request; it is translated anew only for another line.
    fn ask(&mut self, session: &Session) -> Result<Exchange, Broken> {
        if self.message.as_ref().is_none_or(|message| message.line != self.ticket.line) {
            self.message = Some(self.translated()?);
        }
        let message = self.message.as_ref().expect("it was just made");
        let large_body = self.ticket.large_body.then(|| self.core.work.large_body(&self.ticket));
        let body = large_body.or_else(|| message.small_body.clone());
        session.send(&message.request, body).map_err(|broken| self.broken(broken))
    }

    /// The ticket's request, translated. Slots that share its bytes share this too.
    #[inline(never)]
    fn translated(&self) -> Result<Rc<Message>, Broken> {
        let last = &mut *self.core.translated.borrow_mut();
        if let Some((_, message)) = last.as_ref().filter(|(request, _)| Rc::ptr_eq(request, &self.request)) {
            return Ok(Rc::clone(message));
        }
        let message = Rc::new(self.translate()?);
        if Rc::strong_count(&self.request) > 1 {
            *last = Some((Rc::clone(&self.request), Rc::clone(&message)));
        }
        Ok(message)
    }

    fn translate(&self) -> Result<Message, Broken> {
        let translated = self.core.pool.origins().with(self.ticket.origin, |origin| {
            let scheme = match origin.scheme {
                OriginScheme::Http => Scheme::HTTP,
                OriginScheme::Https => Scheme::HTTPS,
            };
            message::request(&self.request, scheme, &origin.authority())
        });
        let (request, body_at) = translated.map_err(|problem| self.failed(Failure::Protocol, &problem))?;
        let body = &self.request[body_at..];
        let small_body = (!body.is_empty()).then(|| Bytes::copy_from_slice(body));
        Ok(Message { line: self.ticket.line, request, small_body })
    }

    fn broken(&self, broken: h2::Broken) -> Broken {
        match broken {
            h2::Broken::Refused(reason) => {
                self.core.work.explain(Failure::StreamReset, &reason);
                Broken::Untouched { gone: false }
            }
            h2::Broken::GoneAway(reason) => {
                self.core.work.explain(Failure::StreamReset, &reason);
                Broken::Untouched { gone: true }
            }
            h2::Broken::Reset(reason) => self.failed(Failure::StreamReset, &reason),
            h2::Broken::Malformed(reason) => self.failed(Failure::Protocol, &reason),
            h2::Broken::Tls(reason) => self.failed(Failure::Tls, &reason),
            h2::Broken::Closed => Broken::Failed(Failure::ClosedEarly),
            h2::Broken::Died => Broken::Failed(Failure::Reset),
        }
    }

    fn failed(&self, failure: Failure, reason: &str) -> Broken {
        self.core.work.explain(failure, &reason);
        Broken::Failed(failure)
    }
}
