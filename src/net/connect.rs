//! The way that one connection takes: where it goes, from which address of ours and through which interface.
//!
//! TCP with nothing chosen is left to the driver. Drivers make their sockets themselves, so that all other ways begin here:
//! a socket is made, bound and told to connect without blocking, and the driver is handed the connected one. monoio's
//! operations on a TCP stream are send and recv, which a unix socket has as well.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use monoio::net::TcpStream;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{BindToDevice, IpBindAddressNoPort};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use super::ready;
use super::stream::borrow;
use super::timer::Timer;
use crate::clock;
use crate::plan::Network;
use crate::plan::network::UnixSocket;
use crate::units::Nanos;

/// How long a unix socket whose backlog is full is left alone: nothing tells when it has room again.
const BACKLOG_FULL: Nanos = Nanos::from_millis(1);

/// Where a connection goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(Box<SocketAddrUnix>),
}

impl Peer {
    /// A unix socket.
    ///
    /// # Panics
    /// Where its name is longer than a plan admits: a bug.
    pub fn unix(socket: &UnixSocket) -> Self {
        let address = match socket {
            UnixSocket::Path(path) => SocketAddrUnix::new(path),
            UnixSocket::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        };
        Self::Unix(Box::new(address.expect("the plan has checked its name")))
    }

    /// Its address, where it has one.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(addr) => Some(*addr),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(unix) => match unix.abstract_name() {
                Some(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name).escape_debug()),
                None => write!(f, "unix:{}", unix.path().unwrap_or_default().to_string_lossy().escape_debug()),
            },
        }
    }
}

/// The way of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// Its end.
    pub to: &'a Peer,
    /// The address of ours that it begins at; `None` leaves it to the system. Of the same family as `to`.
    pub from: Option<IpAddr>,
    /// The only interface that it may leave by.
    pub interface: Option<&'a str>,
}

impl<'a> Route<'a> {
    /// The way to `to` by what the plan says of the network, the `turn`th time.
    pub fn new(network: &'a Network, to: &'a Peer, turn: u64) -> Self {
        let from = to.address().and_then(|addr| network.sources.turn(addr.ip(), turn));
        Self { to, from, interface: network.interface.as_deref() }
    }

    /// The address, where nothing but it was chosen.
    pub(super) fn plain(&self) -> Option<SocketAddr> {
        self.to.address().filter(|_| self.from.is_none() && self.interface.is_none())
    }

    /// Connects through the thread's driver.
    ///
    /// # Errors
    /// The kernel's refusal; an address or an interface of ours that cannot be used, by its name.
    pub(super) async fn open(&self) -> io::Result<TcpStream> {
        let (mut socket, mut begun) = self.begin()?;
        while matches!(begun, Begun::Full) {
            // Whoever waits has no more descriptors open than whoever is connected.
            drop(socket);
            Timer::new()?.wait_until(Nanos(clock::now().0 + BACKLOG_FULL.0)).await?;
            (socket, begun) = self.begin()?;
        }
        let stream = TcpStream::from_std(std::net::TcpStream::from(socket))?;
        if matches!(begun, Begun::UnderWay) {
            ready::writable(&stream).await?;
            sockopt::socket_error(borrow(&stream, stream.as_raw_fd()))??;
        }
        // As the driver makes its own: the ring of an older kernel would answer EAGAIN instead of waiting.
        ioctl_fionbio(borrow(&stream, stream.as_raw_fd()), monoio::utils::is_legacy())?;
        Ok(stream)
    }

    /// Connects on the calling thread within `limit`; what comes of it blocks, and may be a unix socket by another name.
    ///
    /// # Errors
    /// As with the driver; TimedOut after `limit`.
    pub fn open_blocking(&self, limit: Duration) -> io::Result<std::net::TcpStream> {
        let until = Instant::now() + limit;
        let left = || until.saturating_duration_since(Instant::now());
        let socket = loop {
            let (socket, begun) = self.begin()?;
            match begun {
                Begun::Connected => break socket,
                Begun::UnderWay => {
                    let mut connected = [PollFd::new(&socket, PollFlags::OUT)];
                    let timeout = Timespec::try_from(left()).map_err(|_| Errno::INVAL)?;
                    if poll(&mut connected, Some(&timeout))? == 0 {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    sockopt::socket_error(&socket)??;
                    break socket;
                }
                Begun::Full if left().is_zero() => return Err(io::ErrorKind::TimedOut.into()),
                Begun::Full => std::thread::sleep(BACKLOG_FULL.to_std()),
            }
        };
        ioctl_fionbio(&socket, false)?;
        Ok(std::net::TcpStream::from(socket))
    }

    /// A socket that does not block, bound as the route asks for; nothing is sent.
    ///
    /// # Errors
    /// An address that is not ours, an interface that does not exist or may not be chosen.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        let family = match self.to {
            Peer::Tcp(SocketAddr::V4(_)) => AddressFamily::INET,
            Peer::Tcp(SocketAddr::V6(_)) => AddressFamily::INET6,
            Peer::Unix(_) => AddressFamily::UNIX,
        };
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
        if let Some(name) = self.interface {
            setsockopt(&socket, BindToDevice, &name.into()).map_err(|error| not_by(name, error.into()))?;
        }
        if let Some(ip) = self.from {
            // The port is chosen when the connection's other end is known: each of them has all ports of this address.
            setsockopt(&socket, IpBindAddressNoPort, &true).map_err(io::Error::from)?;
            bind(&socket, &SocketAddr::new(ip, 0)).map_err(|error| not_from(ip, error.into()))?;
        }
        Ok(socket)
    }

    /// A socket that was told to connect.
    fn begin(&self) -> io::Result<(OwnedFd, Begun)> {
        let socket = self.socket()?;
        let (told, is_unix) = match self.to {
            Peer::Tcp(addr) => (connect(&socket, addr), false),
            Peer::Unix(unix) => (connect(&socket, &**unix), true),
        };
        let begun = match told {
            Ok(()) => Begun::Connected,
            Err(Errno::INPROGRESS) => Begun::UnderWay,
            Err(Errno::AGAIN) if is_unix => Begun::Full,
            Err(error) => return Err(error.into()),
        };
        Ok((socket, begun))
    }
}

/// How far a connect has come at once.
enum Begun {
    Connected,
    UnderWay,
    /// Only a unix socket: there is no room in its backlog.
    Full,
}

/// Why no connection can leave by an interface, and the remedy. The kind of the error is lost, or it would pass for the
/// connection's.
fn not_by(interface: &str, error: io::Error) -> io::Error {
    let problem = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NODEV) => "there is no such interface; ip link lists them".to_owned(),
        Some(Errno::PERM) => {
            "this user may not choose it; run as root, or once: setcap cap_net_raw+ep on the program".to_owned()
        }
        _ => error.to_string(),
    };
    io::Error::other(format!("--interface {interface}: {problem}"))
}

/// Why no connection can begin at an address, and the remedy.
fn not_from(ip: IpAddr, error: io::Error) -> io::Error {
    let problem = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ADDRNOTAVAIL) => {
            format!("is no address of this machine; add it with: ip addr add {ip} dev INTERFACE")
        }
        _ => error.to_string(),
    };
    io::Error::other(format!("--source {ip}: {problem}"))
}
