//! Lets a proxy open a tunnel on a connection to it: the words are `wire::proxy`'s, here they are carried.
//!
//! Knows nothing of time limits or of who waits.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream as StdTcpStream;
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use monoio::buf::IoBufMut as _;

use super::stream::Stream;
use super::tls;
use crate::wire::proxy::{Refusal, Step, Tunnel};

/// Speaks to the proxy at the other end of `stream` until the tunnel stands; what is then read comes from the target.
///
/// # Errors
/// Why there is no tunnel; the stream is of no use then.
pub async fn open(stream: &mut Stream, mut tunnel: Tunnel) -> Result<(), Refusal> {
    let mut step = tunnel.begin();
    while let Step::Ask { send, most } = step {
        send_all(stream, send).await?;
        let (result, slice) = stream.read(Vec::with_capacity(most).slice_mut(..most)).await;
        let count = result.map_err(|error| broke(&error))?;
        if count == 0 {
            return Err(Refusal::closed());
        }
        step = tunnel.receive(&slice.into_inner()[..count])?;
    }
    Ok(())
}

/// The same on the calling thread, within `limit`.
///
/// # Errors
/// Why there is no tunnel, or not in time.
pub fn open_blocking(tcp: &mut StdTcpStream, mut tunnel: Tunnel, limit: Duration) -> Result<(), Refusal> {
    let until = Instant::now() + limit;
    let mut buffer = Vec::new();
    let mut step = tunnel.begin();
    while let Step::Ask { send, most } = step {
        // Of all of it: a proxy that sends a byte now and then must not hold up the run. Nothing would mean for ever.
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let within = tcp.set_read_timeout(Some(left)).and_then(|()| tcp.set_write_timeout(Some(left)));
        within.and_then(|()| tcp.write_all(&send)).map_err(|error| broke(&error))?;
        buffer.resize(most, 0);
        let count = tcp.read(&mut buffer).map_err(|error| broke(&error))?;
        if count == 0 || Instant::now() >= until {
            return Err(Refusal::closed());
        }
        step = tunnel.receive(&buffer[..count])?;
    }
    Ok(())
}

async fn send_all(stream: &mut Stream, bytes: Vec<u8>) -> Result<(), Refusal> {
    let mut rest = Bytes::from(bytes);
    while !rest.is_empty() {
        let (result, _) = stream.write(rest.clone()).await;
        rest.advance(result.map_err(|error| broke(&error))?);
    }
    Ok(())
}

fn broke(error: &io::Error) -> Refusal {
    let reason = match error.kind() {
        io::ErrorKind::UnexpectedEof => return Refusal::closed(),
        io::ErrorKind::InvalidData => tls::io_reason(error),
        io::ErrorKind::ConnectionReset => "it reset the connection".to_owned(),
        _ => error.to_string(),
    };
    Refusal { of_target: false, reason }
}
