//! The connection loop: read a request, answer it, and go on until either side has enough.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use monoio::io::AsyncReadRent;
use monoio::io::stream::Stream;
use monoio::net::TcpStream;
use monoio_http::h1::FramedRead;

use super::answer::{Connection, Head, TEXT, allows_body, reason};
use super::body::{BodyDecoder, ECHO_MAX};
use super::delay::Delays;
use super::fault;
use super::request::{BodyLength, HeadDecoder, Request, RequestError};
use super::route::Route;
use super::socket::Socket;
use super::thread::Core;
use crate::clock;
use crate::units::Nanos;

/// A connection's read buffer at first; it grows with long heads and bodies.
const READ_BUFFER: usize = 4 * 1024;

pub(super) const GREETING: &[u8] = b"hello world\n";

/// How much, and for how long, a client is listened to once the target has hung up, so that it gets to read why.
const LINGER_BYTES: usize = 1 << 20;
const LINGER: Nanos = Nanos::from_secs(1);

type Reader<'core> = FramedRead<Socket<'core>, HeadDecoder>;

/// Serves one connection to its end.
pub(super) async fn connection(stream: TcpStream, core: &Core) {
    let socket = Socket::new(stream, core.counters());
    let mut reader = FramedRead::with_capacity(socket, HeadDecoder::default(), READ_BUFFER);
    if let Err(error) = requests(&mut reader, core).await
        && let Some(status) = error.status()
    {
        core.counters().refused.add(1);
        // A client that is gone already has nothing to be told.
        let _ = refuse(reader.get_mut(), core.delays(), status, &error).await;
    }
}

/// Answers requests in order until the client or one of its requests ends the connection.
async fn requests(reader: &mut Reader<'_>, core: &Core) -> Result<(), RequestError> {
    while let Some(request) = reader.next().await {
        let request = request?;
        let counter = &core.counters().requests[request.route.kind() as usize];
        let number = counter.value();
        counter.add(1);
        let received = reader.get_ref().read_at();
        let body = match BodyDecoder::of(&request) {
            None => Vec::new(),
            Some(decoder) => match read_body(reader, &request, decoder).await? {
                Some(body) => body,
                None => return Ok(()),
            },
        };
        answer(reader.get_mut(), core, &request, number, received, body).await?;
        if fault::breaks_off(request.route) {
            return Ok(fault::break_off(reader.get_mut(), core.delays(), request.route).await?);
        }
        if !request.keep_alive {
            break;
        }
    }
    Ok(reader.get_mut().flush().await?)
}

/// Reads the request's body to its end; `None` when the client ends first.
async fn read_body(
    reader: &mut Reader<'_>,
    request: &Request,
    mut decoder: BodyDecoder,
) -> Result<Option<Vec<u8>>, RequestError> {
    if request.route == Route::Echo && matches!(request.body, BodyLength::Sized(len) if len > ECHO_MAX as u64) {
        return Err(RequestError::BodyTooLarge);
    }
    if request.expects_continue {
        reader.get_mut().push_continue();
    }
    match reader.next_with(&mut decoder).await {
        None => Ok(None),
        Some(Err(error)) => Err(error),
        Some(Ok(())) => Ok(Some(decoder.into_kept())),
    }
}

/// Answers one request, the thread's `number`th for its path; `body` is what the client sent where the route wants it.
async fn answer(
    socket: &mut Socket<'_>,
    core: &Core,
    request: &Request,
    number: u64,
    received: Nanos,
    body: Vec<u8>,
) -> io::Result<()> {
    match request.route {
        Route::Hello => greet(socket, request, received).await,
        Route::Bytes(len) => {
            socket.push_head(&Head::ok(request, received, len));
            if request.head_only { Ok(()) } else { socket.push_pattern(0, len).await }
        }
        Route::Delay(delay) => greet_at(Nanos(received.0 + delay.0), socket, core, request, received).await,
        Route::Delays(spread) => {
            let release = Nanos(received.0 + spread.at(number).0);
            greet_at(release, socket, core, request, received).await
        }
        Route::Queue(spread) => match core.enqueue(received, spread.at(number)) {
            Some(release) => greet_at(release, socket, core, request, received).await,
            None => say(socket, request, received, 503, "the queue is a minute long").await,
        },
        Route::Stall(stall) => greet_at(stall.release(received), socket, core, request, received).await,
        Route::Echo => {
            let mut head = Head::ok(request, received, body.len() as u64);
            head.content_type = "application/octet-stream";
            socket.push_head(&head);
            if request.head_only { Ok(()) } else { socket.push_body(body).await }
        }
        Route::Stats => {
            let json = core.stats().to_json();
            let mut head = Head::ok(request, received, json.len() as u64);
            head.content_type = "application/json";
            socket.push_head(&head);
            if request.head_only { Ok(()) } else { socket.push_short(json.as_bytes()).await }
        }
        Route::Status(status) => say(socket, request, received, status, reason(status)).await,
        Route::Chunked(len) => chunked(socket, request, received, len).await,
        Route::Slow(bytes, over) => fault::slow(socket, core.delays(), request, received, bytes, over).await,
        Route::Truncate => fault::truncate(socket, request, received).await,
        Route::Garbage => fault::garbage(socket).await,
        // What they do comes with the end of the connection.
        Route::Reset | Route::Close => Ok(()),
        Route::Invalid(remedy) => say(socket, request, received, 400, remedy).await,
        Route::Unknown => say(socket, request, received, 404, "no such path").await,
    }
}

/// The twelve bytes that everything is measured with.
#[inline]
async fn greet(socket: &mut Socket<'_>, request: &Request, received: Nanos) -> io::Result<()> {
    socket.push_head(&Head::ok(request, received, GREETING.len() as u64));
    if request.head_only { Ok(()) } else { socket.push_short(GREETING).await }
}

/// The greeting, at `release` and not before.
async fn greet_at(
    release: Nanos,
    socket: &mut Socket<'_>,
    core: &Core,
    request: &Request,
    received: Nanos,
) -> io::Result<()> {
    if release > received {
        // Earlier answers do not wait for this one.
        socket.flush().await?;
        core.delays().until(release).await;
    }
    greet(socket, request, received).await
}

/// The pattern in the chunked coding, which HTTP/1.0 does not have: its clients get the same bytes with a length.
async fn chunked(socket: &mut Socket<'_>, request: &Request, received: Nanos, len: u64) -> io::Result<()> {
    let mut head = Head::ok(request, received, len);
    if !request.http_1_0 {
        head.body = BodyLength::Chunked;
    }
    socket.push_head(&head);
    match (request.head_only, request.http_1_0) {
        (true, _) => Ok(()),
        (false, true) => socket.push_pattern(0, len).await,
        (false, false) => socket.push_chunked(len).await,
    }
}

/// A status with a line of text: the number and `text`, where the status allows a body.
async fn say(socket: &mut Socket<'_>, request: &Request, received: Nanos, status: u16, text: &str) -> io::Result<()> {
    let mut line = String::new();
    // 205 allows a body but must have none of any length.
    if allows_body(status) && status != 205 {
        line = format!("{status} {text}\n");
    }
    let head = Head { status, ..Head::ok(request, received, line.len() as u64) };
    socket.push_head(&head);
    if request.head_only { Ok(()) } else { socket.push_short(line.as_bytes()).await }
}

/// Tells the client why it is refused.
async fn refuse(socket: &mut Socket<'_>, delays: &Delays, status: u16, error: &RequestError) -> io::Result<()> {
    let line = format!("{status} {error}\n");
    let received = socket.read_at();
    let body = BodyLength::Sized(line.len() as u64);
    let head = Head { status, body, content_type: TEXT, received, connection: Connection::Closes };
    socket.push_head(&head);
    socket.push_short(line.as_bytes()).await?;
    hang_up(socket, delays).await
}

/// Writes what waits, says that this was all, and reads on for a while: closing over unread input would be a RST.
pub(super) async fn hang_up(socket: &mut Socket<'_>, delays: &Delays) -> io::Result<()> {
    socket.flush().await?;
    socket.end_writing().await?;
    let unread = async {
        let mut left = LINGER_BYTES;
        let mut buf = vec![0; READ_BUFFER];
        while let (Ok(len @ 1..), used) = socket.read(buf).await {
            buf = used;
            left = left.saturating_sub(len);
            if left == 0 {
                break;
            }
        }
    };
    let (mut unread, mut patience) = (pin!(unread), pin!(delays.until(Nanos(clock::now().0 + LINGER.0))));
    poll_fn(|context| match unread.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => patience.as_mut().poll(context),
    })
    .await;
    Ok(())
}
