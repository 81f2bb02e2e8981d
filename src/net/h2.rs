//! One HTTP/2 connection (RFC 9113): monoio-http's client, driven by a task of its own, over gathered writes.
//!
//! Knows streams, windows and what a failure means for the others; nothing of pools, tickets or time limits: a stream whose
//! exchange is dropped is reset, a connection whose session is dropped is closed.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Request, StatusCode};
use monoio::io::Splitable as _;
use monoio_http::h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use monoio_http::h2::{Error, Ping, PingPong, Reason, RecvStream};

use self::transport::Transport;
use super::outbox::Gathered;
use super::running::Running;
use super::stream::Stream;

mod transport;

/// The largest head of an answer, as for HTTP/1.1.
const HEAD_BYTES_MAX: u32 = 64 * 1024;
/// What a server may send on one stream before it hears from us: large bodies flow without a pause.
const STREAM_WINDOW: u32 = 4 << 20;
/// The same of all streams of a connection together.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Streams that we reset and whose late frames are still known as such; beyond it a late frame would look like a
/// server's error and end the connection.
const RESET_STREAMS_MAX: usize = 4_096;
/// Stands for "the server's SETTINGS have not come".
const UNSETTLED: usize = u32::MAX as usize + 1;

/// One HTTP/2 connection; ends when dropped.
pub struct Session {
    requests: RefCell<SendRequest<Bytes>>,
    shared: Rc<Shared>,
}

/// What a session and its task share.
struct Shared {
    gathered: Rc<Gathered>,
    /// Bytes, since they were last asked for.
    received: Rc<Cell<u64>>,
    /// How many streams the server allows at a time.
    most_streams: Cell<usize>,
    settled: Cell<bool>,
    /// The session was dropped, or the connection has come to its end.
    ended: Cell<bool>,
    /// Who waits for `settled` or `ended`.
    waiting: RefCell<Option<Waker>>,
    /// The connection's own task.
    task: RefCell<Option<Waker>>,
    /// Some stream has been told why the connection died.
    told: Cell<bool>,
    /// The last words of the connection's task.
    last_words: RefCell<Option<Error>>,
}

/// Why a stream did not bring an answer.
#[derive(Debug)]
pub enum Broken {
    /// The server did nothing about it, and says so (REFUSED_STREAM).
    Refused(String),
    /// The same, and the connection takes no more (GOAWAY).
    GoneAway(String),
    /// The server reset the stream (RST_STREAM).
    Reset(String),
    /// What came breaks HTTP/2 or HTTP.
    Malformed(String),
    /// TLS broke under it.
    Tls(String),
    /// The connection was closed by the server.
    Closed,
    /// The connection died, of something that another stream was told.
    Died,
}

/// A request and its answer on one stream; resets the stream when dropped before the end.
pub struct Exchange {
    shared: Rc<Shared>,
    answer: ResponseFuture,
    headers: HeaderMap,
    body: Option<RecvStream>,
    /// Bytes of the body so far.
    received: u64,
}

/// A piece of an answer's body.
#[derive(Debug)]
pub struct Piece {
    /// At least one, but for an empty frame.
    pub bytes: Bytes,
    /// It had come by the time it was asked for.
    pub at_once: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("ended", &self.shared.ended).finish_non_exhaustive()
    }
}

impl Session {
    /// Begins HTTP/2 on a fresh connection and awaits the server's SETTINGS. `running` counts the tasks that it leaves.
    ///
    /// # Errors
    /// What came instead.
    pub async fn open(stream: Stream, running: Rc<Running>) -> Result<Self, Broken> {
        let (read_half, mut write_half) = stream.into_split();
        let gathered = Rc::<Gathered>::default();
        let received = Rc::<Cell<u64>>::default();
        let transport = Transport::new(read_half, Rc::clone(&gathered), Rc::clone(&received));
        let opened = settings().handshake::<_, Bytes>(transport).await;
        let (requests, mut connection) = opened.map_err(|error| Broken::Malformed(error.to_string()))?;
        let mut pings = connection.ping_pong().expect("it is asked for once");
        // Its answer comes after the server's SETTINGS, which need not say anything that could be seen.
        pings.send_ping(Ping::opaque()).map_err(|error| Broken::Malformed(error.to_string()))?;
        let shared = Rc::new(Shared {
            gathered: Rc::clone(&gathered),
            received,
            most_streams: Cell::new(UNSETTLED),
            settled: Cell::new(false),
            ended: Cell::new(false),
            waiting: RefCell::default(),
            task: RefCell::default(),
            told: Cell::new(false),
            last_words: RefCell::default(),
        });
        let session = Self { requests: RefCell::new(requests), shared: Rc::clone(&shared) };
        running.begin();
        monoio::spawn(async move {
            {
                let mut writing = pin!(gathered.write_to(&mut write_half));
                poll_fn(|cx| shared.drive(&mut connection, &mut pings, writing.as_mut(), cx)).await;
            }
            drop((connection, write_half));
            shared.end();
            running.end();
        });
        poll_fn(|cx| session.shared.poll_settled(cx)).await;
        if session.shared.ended.get() { Err(session.shared.last_words()) } else { Ok(session) }
    }

    /// Whether another stream may be opened, now or when one has ended.
    pub fn is_usable(&self) -> bool {
        !self.shared.ended.get() && !self.requests.borrow().has_conn_error() && self.most_streams() > 0
    }

    /// How many streams the server allows at a time.
    pub fn most_streams(&self) -> usize {
        self.shared.most_streams.get()
    }

    /// Sends a request on a stream of its own, its body whole.
    ///
    /// # Errors
    /// The connection takes no more: nothing was sent.
    pub fn send(&self, request: &Request<()>, body: Option<Bytes>) -> Result<Exchange, Broken> {
        let untouched = |error: Error| Broken::GoneAway(error.to_string());
        let mut requests = self.requests.borrow_mut();
        let (answer, mut stream) = requests.send_request(request.clone(), body.is_none()).map_err(untouched)?;
        if let Some(body) = body {
            stream.send_data(body, true).map_err(untouched)?;
        }
        let shared = Rc::clone(&self.shared);
        Ok(Exchange { shared, answer, headers: HeaderMap::new(), body: None, received: 0 })
    }

    /// Bytes of the connection, frames and all, since the last call: sent and received.
    pub fn take_moved(&self) -> (u64, u64) {
        (self.shared.gathered.take_sent(), self.shared.received.take())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Exchange {
    /// Awaits the head of the answer; gives its status.
    ///
    /// # Errors
    /// What came instead.
    pub fn head(&mut self) -> impl Future<Output = Result<StatusCode, Broken>> {
        poll_fn(|cx| {
            let answer = ready!(Pin::new(&mut self.answer).poll(cx));
            let (parts, body) = answer.map_err(|error| self.shared.broken(&error))?.into_parts();
            (self.headers, self.body) = (parts.headers, Some(body));
            Poll::Ready(Ok(parts.status))
        })
    }

    /// The headers of the answer, once its head has come.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Awaits the next piece of the body; `None` at its end. To be called after [`Exchange::head`].
    ///
    /// # Errors
    /// What came instead.
    pub fn data(&mut self) -> impl Future<Output = Option<Result<Piece, Broken>>> {
        let mut at_once = true;
        poll_fn(move |cx| {
            let body = self.body.as_mut().expect("the head has come");
            let Poll::Ready(piece) = body.poll_data(cx) else {
                at_once = false;
                return Poll::Pending;
            };
            Poll::Ready(match piece {
                Some(Ok(bytes)) => {
                    // What is taken in makes room for more at once. A stream that has just ended needs none.
                    let _ = body.flow_control().release_capacity(bytes.len());
                    self.received += bytes.len() as u64;
                    Some(Ok(Piece { bytes, at_once }))
                }
                Some(Err(error)) if self.was_whole(&error) => None,
                Some(Err(error)) => Some(Err(self.shared.broken(&error))),
                None => None,
            })
        })
    }

    /// Whether the answer had come to its end before `error`, which took its place: a server may be done with a stream, or
    /// with the connection, while our side of it is still open (RFC 9113 section 8.1).
    #[cold]
    fn was_whole(&self, error: &Error) -> bool {
        let length = self.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let without_error = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        without_error || length == Some(self.received)
    }
}

fn settings() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .max_header_list_size(HEAD_BYTES_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(UNSETTLED)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX);
    builder
}

impl Shared {
    /// One turn of the connection: frames in, frames out, and one write for all that is to be written.
    fn drive(
        &self,
        connection: &mut Connection<Transport, Bytes>,
        pings: &mut PingPong,
        mut writing: Pin<&mut impl Future<Output = io::Error>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        if self.ended.get() {
            return Poll::Ready(());
        }
        self.remember_task(cx);
        loop {
            // A server's frames must not be able to take the whole core down with a slip of the crate.
            let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *connection).poll(cx)));
            let failed = writing.as_mut().poll(cx).is_ready();
            match polled {
                Ok(Poll::Pending) if !failed => {}
                Ok(Poll::Ready(Err(error))) => {
                    self.last_words.replace(Some(error));
                    return Poll::Ready(());
                }
                _ => return Poll::Ready(()),
            }
            self.settle(connection, pings, cx);
            if !self.gathered.take_unblocked() {
                return Poll::Pending;
            }
        }
    }

    fn settle(&self, connection: &Connection<Transport, Bytes>, pings: &mut PingPong, cx: &mut Context<'_>) {
        let most = connection.max_concurrent_send_streams();
        self.most_streams.set(most);
        if !self.settled.get() && (most != UNSETTLED || pings.poll_pong(cx).is_ready()) {
            self.settled.set(true);
            self.wake_waiting();
        }
    }

    /// The server's SETTINGS are in and allow a stream, or it is over.
    fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended.get() || (self.settled.get() && self.most_streams.get() > 0) {
            return Poll::Ready(());
        }
        self.waiting.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn remember_task(&self, cx: &Context<'_>) {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    fn end(&self) {
        self.ended.set(true);
        if let Some(task) = self.task.take() {
            task.wake();
        }
        self.wake_waiting();
    }

    fn wake_waiting(&self) {
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    fn last_words(&self) -> Broken {
        self.last_words.take().map_or(Broken::Closed, |error| self.broken(&error))
    }

    /// What `error` means for the stream that it came to. What kills the connection is told to one stream.
    fn broken(&self, error: &Error) -> Broken {
        if error.is_reset() {
            return match error.reason() {
                Some(Reason::REFUSED_STREAM) if error.is_remote() => Broken::Refused(error.to_string()),
                _ if error.is_remote() => Broken::Reset(error.to_string()),
                _ => Broken::Malformed(error.to_string()),
            };
        }
        if error.is_go_away() && error.is_remote() {
            return Broken::GoneAway(error.to_string());
        }
        if self.told.replace(true) {
            return Broken::Died;
        }
        match error.get_io() {
            None => Broken::Malformed(error.to_string()),
            Some(error) => match error.kind() {
                io::ErrorKind::InvalidData => Broken::Tls(error.to_string()),
                io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Broken::Closed,
                _ => Broken::Died,
            },
        }
    }
}
