//! One connection's byte stream: the driver's operations, and the calls that go past it because the bytes are there.
//!
//! Knows nothing of HTTP, of who leases it or of time limits.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::Either;
use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, Split};
use monoio::net::TcpStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use rustls::pki_types::ServerName;

use super::account::{self, Counted};
use super::connect::Route;
use super::ready;
use super::tls::{Client, Encrypted, Nested, farewell};
use super::turn::fair;

/// How many bytes one discarding receive asks for at most.
const DISCARD_BYTES: usize = 1 << 20;

/// An open connection.
#[derive(Debug)]
pub struct Stream {
    /// Of the socket under whatever else; open as long as `wire` is, and asked before it ends.
    socket: Counted,
    wire: Wire,
}

/// What the bytes of a request go through.
#[derive(Debug)]
enum Wire {
    /// A TCP socket, or a unix one.
    Plain(TcpStream),
    Encrypted(Box<Encrypted>),
    /// TLS in the TLS of a proxy.
    Nested(Box<Nested>),
}

/// A read or write under TLS.
type Operation<'a, B> = Pin<Box<dyn Future<Output = (io::Result<usize>, B)> + 'a>>;

/// What a non-blocking look at the socket found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// Nothing yet.
    Nothing,
    /// So many bytes, at least 1.
    Bytes(usize),
    /// The peer closed.
    Closed,
}

impl Stream {
    /// Connects, over TCP with TCP_NODELAY: a request is never held back for more.
    ///
    /// # Errors
    /// The kernel's refusal: ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL, EMFILE, …; what else [`Route`] names.
    pub async fn connect(route: Route<'_>) -> io::Result<Self> {
        let socket = match route.plain() {
            Some(addr) => TcpStream::connect_addr(addr).await,
            None => Box::pin(route.open()).await,
        };
        let socket = socket.inspect_err(account::refused)?;
        if route.to.address().is_some() {
            socket.set_nodelay(true)?;
        }
        Ok(Self { socket: Counted(socket.as_raw_fd()), wire: Wire::Plain(socket) })
    }

    /// Puts TLS over a fresh connection, or over that with a proxy; true where an earlier session was resumed.
    ///
    /// # Errors
    /// What went wrong with the handshake, and the remedy where there is one.
    ///
    /// # Panics
    /// Where it is encrypted twice already: a bug.
    pub async fn encrypt(self, client: &Client, name: ServerName<'static>) -> Result<(Self, bool), String> {
        let Self { socket, wire } = self;
        let encrypted = match wire {
            Wire::Plain(tcp) => {
                client.handshake(tcp, name).await.map(|(tls, resumed)| (Wire::Encrypted(Box::new(tls)), resumed))
            }
            Wire::Encrypted(outer) => {
                // In a box: it is rare, and larger than the handshake of all others.
                let encrypted = Box::pin(client.handshake(*outer, name)).await;
                encrypted.map(|(tls, resumed)| (Wire::Nested(Box::new(tls)), resumed))
            }
            Wire::Nested(_) => panic!("a connection is encrypted for a proxy and for an origin"),
        };
        match encrypted {
            Ok((wire, resumed)) => Ok((Self { socket, wire }, resumed)),
            Err(reason) => {
                socket.forget();
                Err(reason)
            }
        }
    }

    /// The protocol that TLS with the other end agreed on (ALPN), where it did.
    pub fn protocol(&self) -> Option<Vec<u8>> {
        match &self.wire {
            Wire::Plain(_) => None,
            Wire::Encrypted(tls) => tls.alpn_protocol(),
            Wire::Nested(tls) => tls.alpn_protocol(),
        }
    }

    /// Under TLS only [`Stream::read`] can receive: the calls that go past the driver would see ciphertext.
    pub fn is_encrypted(&self) -> bool {
        !matches!(self.wire, Wire::Plain(_))
    }

    /// Writes a prefix of `buf` through the driver; the buffer comes back with the number of bytes taken.
    #[inline]
    pub fn write<B: IoBuf>(&mut self, buf: B) -> impl Future<Output = (io::Result<usize>, B)> {
        match &mut self.wire {
            Wire::Plain(tcp) => Either::Left(fair(tcp.write(buf))),
            // In a box: by value it would make the future of every cleartext request as large.
            Wire::Encrypted(tls) => Either::Right(Box::pin(fair(tls.write(buf))) as Operation<'_, B>),
            Wire::Nested(tls) => Either::Right(Box::pin(fair(tls.write(buf))) as Operation<'_, B>),
        }
    }

    /// Reads into `buf` through the driver; the buffer comes back with the number of bytes, 0 when the peer closed.
    #[inline]
    pub fn read<B: IoBufMut>(&mut self, buf: B) -> impl Future<Output = (io::Result<usize>, B)> {
        match &mut self.wire {
            Wire::Plain(tcp) => Either::Left(fair(tcp.read(buf))),
            Wire::Encrypted(tls) => Either::Right(Box::pin(fair(tls.read(buf))) as Operation<'_, B>),
            Wire::Nested(tls) => Either::Right(Box::pin(fair(tls.read(buf))) as Operation<'_, B>),
        }
    }

    /// Closes in good order, without waiting: under TLS with the farewell that its rules ask for (RFC 8446 section 6.1), if
    /// the socket has room for it.
    pub fn close(self) {
        let Self { socket, wire } = self;
        let fd = socket.0;
        drop(socket);
        if let Wire::Encrypted(tls) = wire {
            let (tcp, session) = tls.into_parts();
            // Whether it was heard changes nothing.
            let _ = send(borrow(&tcp, fd), &farewell(session), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        }
    }

    /// Waits until there is something to receive; other tasks and the driver have had a turn by then.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn readable(&self) -> io::Result<()> {
        match &self.wire {
            Wire::Plain(tcp) => ready::readable(tcp).await,
            Wire::Encrypted(_) | Wire::Nested(_) => panic!("TLS may hold bytes that no socket shows"),
        }
    }

    /// Receives what has arrived, without the driver and without waiting.
    ///
    /// # Errors
    /// The kernel's; ECONNRESET where the peer reset.
    pub fn receive_now(&self, buf: &mut [u8]) -> io::Result<Now> {
        self.now(recv(self.fd(), buf, RecvFlags::DONTWAIT).map(|(_, received)| received))
    }

    /// Throws away up to `most` bytes that have arrived, over TCP without copying them out of the kernel (MSG_TRUNC,
    /// tcp(7)).
    ///
    /// # Errors
    /// The kernel's; ECONNRESET where the peer reset.
    pub fn discard_now(&self, most: u64, scratch: &mut Scratch) -> io::Result<Now> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(DISCARD_BYTES);
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        self.now(recv(self.fd(), &mut scratch.0[..most], flags).map(|(_, received)| received))
    }

    /// Looks for a byte, or the peer's close, on a connection that should be silent; takes nothing away. Under TLS bytes
    /// may always come (session tickets), and only the close is seen.
    ///
    /// # Errors
    /// The kernel's; ECONNRESET where the peer reset.
    pub fn peek(&self) -> io::Result<Now> {
        if self.is_encrypted() {
            let mut hung_up = [PollFd::from_borrowed_fd(self.fd(), PollFlags::RDHUP)];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            return Ok(if poll(&mut hung_up, Some(&at_once))? > 0 { Now::Closed } else { Now::Nothing });
        }
        let mut byte = [0u8; 1];
        let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
        self.now(recv(self.fd(), &mut byte, flags).map(|(_, received)| received))
    }

    fn now(&self, received: Result<usize, rustix::io::Errno>) -> io::Result<Now> {
        match received {
            Ok(0) => Ok(Now::Closed),
            Ok(bytes) => Ok(Now::Bytes(bytes)),
            Err(error) if error == rustix::io::Errno::AGAIN || error == rustix::io::Errno::INTR => Ok(Now::Nothing),
            Err(error) => Err(error.into()),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        borrow(self, self.socket.0)
    }
}

// Both sides at once, for connections that carry several requests: HTTP/2.

#[allow(unsafe_code, reason = "monoio splits what says that it can be split")]
// SAFETY: each kind of wire can be split itself: its reads and its writes share no state that either holds while it waits.
unsafe impl Split for Stream {}

impl AsyncReadRent for Stream {
    fn read<T: IoBufMut>(&mut self, buf: T) -> impl Future<Output = BufResult<usize, T>> {
        Self::read(self, buf)
    }

    async fn readv<T: IoVecBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        match &mut self.wire {
            Wire::Plain(tcp) => tcp.readv(buf).await,
            Wire::Encrypted(tls) => tls.readv(buf).await,
            Wire::Nested(tls) => tls.readv(buf).await,
        }
    }
}

impl AsyncWriteRent for Stream {
    fn write<T: IoBuf>(&mut self, buf: T) -> impl Future<Output = BufResult<usize, T>> {
        Self::write(self, buf)
    }

    async fn writev<T: IoVecBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        match &mut self.wire {
            Wire::Plain(tcp) => tcp.writev(buf).await,
            Wire::Encrypted(tls) => tls.writev(buf).await,
            Wire::Nested(tls) => tls.writev(buf).await,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match &mut self.wire {
            Wire::Plain(tcp) => tcp.shutdown().await,
            Wire::Encrypted(tls) => tls.shutdown().await,
            Wire::Nested(tls) => tls.shutdown().await,
        }
    }
}

/// An accepted connection as the thread's runtime takes it.
///
/// # Errors
/// The system's, when it cannot be polled.
pub fn accepted(tcp: std::net::TcpStream) -> io::Result<TcpStream> {
    // On epoll a socket that blocks would stop the whole thread; the ring does not care, and older kernels have it answer
    // EAGAIN instead of waiting where it does not block.
    if monoio::utils::is_legacy() {
        tcp.set_nonblocking(true)?;
    }
    TcpStream::from_std(tcp)
}

/// Makes closing `tcp` send a RST, and drop what the kernel has not sent yet (SO_LINGER of 0, socket(7)).
///
/// # Errors
/// The kernel's; none is expected of a socket.
pub fn reset_on_close(tcp: &TcpStream) -> io::Result<()> {
    Ok(sockopt::set_socket_linger(borrow(tcp, tcp.as_raw_fd()), Some(Duration::ZERO))?)
}

/// Borrows the descriptor `fd` that `owner` keeps open.
#[allow(unsafe_code, reason = "monoio's streams lend their descriptors only as numbers")]
pub(super) fn borrow<T>(_owner: &T, fd: RawFd) -> BorrowedFd<'_> {
    // SAFETY: all callers pass the descriptor of a socket that `_owner` owns; the borrow is tied to it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Room that a discarding receive names and the kernel never writes to, but for a unix socket's bytes; one a core is
/// enough.
#[derive(Debug)]
pub struct Scratch(Vec<u8>);

impl Default for Scratch {
    fn default() -> Self {
        // Zeroed by the allocator page by page on touch, and never touched: it costs address space only.
        Self(vec![0; DISCARD_BYTES])
    }
}
