//! Answers that do harm: a body that drips, one that is cut short, bytes that are no HTTP, and connections that end without
//! an answer. What is done is bounded; what the client makes of it is its own affair.

use std::io;

use super::answer::Head;
use super::delay::Delays;
use super::request::Request;
use super::route::Route;
use super::serve::{GREETING, hang_up};
use super::socket::Socket;
use crate::units::Nanos;

/// A body does not drip more often than this.
const DRIP: Nanos = Nanos::from_millis(1);

/// What `/truncate` announces; it sends the greeting, which is half of it.
const ANNOUNCED: u64 = 2 * GREETING.len() as u64;

/// What `/garbage` sends.
const GARBAGE: &[u8] = b"these bytes are no HTTP\r\n\r\n";

/// Whether the connection ends with this route, whatever the client wants.
pub(super) fn breaks_off(route: Route) -> bool {
    matches!(route, Route::Reset | Route::Truncate | Route::Garbage | Route::Close)
}

/// Sends what waits and ends the connection as `route` wants it: with a RST at the close that follows, or cleanly.
pub(super) async fn break_off(socket: &mut Socket<'_>, delays: &Delays, route: Route) -> io::Result<()> {
    if route == Route::Reset {
        socket.flush().await?;
        return socket.reset_on_close();
    }
    hang_up(socket, delays).await
}

/// The head at once, then `bytes` of the pattern evenly over the time `over` since the request's arrival.
pub(super) async fn slow(
    socket: &mut Socket<'_>,
    delays: &Delays,
    request: &Request,
    received: Nanos,
    bytes: u64,
    over: Nanos,
) -> io::Result<()> {
    socket.push_head(&Head::ok(request, received, bytes));
    if request.head_only {
        return Ok(());
    }
    socket.flush().await?;
    let mut sent = 0;
    for (after, until) in drips(bytes, over) {
        delays.until(Nanos(received.0 + after.0)).await;
        socket.push_pattern(sent, until).await?;
        socket.flush().await?;
        sent = until;
    }
    Ok(())
}

/// When, counted from the start, how much of the body has been sent; the last drip is all of it, after all of the time.
fn drips(bytes: u64, over: Nanos) -> impl Iterator<Item = (Nanos, u64)> {
    let count = bytes.min(over.0 / DRIP.0).max(1);
    // The limits of `Route::Slow` keep the products far below 2^64.
    (1..=count).map(move |drip| (Nanos(over.0 * drip / count), bytes * drip / count))
}

/// A head that announces more than follows it; HEAD gets that head alone, which is all it asked for.
pub(super) async fn truncate(socket: &mut Socket<'_>, request: &Request, received: Nanos) -> io::Result<()> {
    socket.push_head(&Head::ok(request, received, ANNOUNCED));
    if request.head_only { Ok(()) } else { socket.push_short(GREETING).await }
}

/// A line that no HTTP client can take for an answer, whatever it asked.
pub(super) async fn garbage(socket: &mut Socket<'_>) -> io::Result<()> {
    socket.push_short(GARBAGE).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::route::{DELAY_MAX, SLOW_MAX};

    #[test]
    fn a_body_drips_evenly_and_whole() {
        let drips = |bytes, over| drips(bytes, over).map(|(at, sent)| (at.0, sent)).collect::<Vec<_>>();
        assert_eq!(drips(5, Nanos::ZERO), [(0, 5)]);
        assert_eq!(drips(1, DELAY_MAX), [(DELAY_MAX.0, 1)]);
        assert_eq!(drips(4, Nanos(2_000_000)), [(1_000_000, 2), (2_000_000, 4)]);
        assert_eq!(drips(3, Nanos::from_secs(1)), [(333_333_333, 1), (666_666_666, 2), (1_000_000_000, 3)]);
        let longest = drips(SLOW_MAX, DELAY_MAX);
        assert_eq!((longest.len(), longest.last()), (60_000, Some(&(DELAY_MAX.0, SLOW_MAX))));
        assert!(longest.windows(2).all(|pair| pair[1].1 - pair[0].1 <= SLOW_MAX / 60_000 + 1));
    }
}
