//! Waiting until a descriptor of any kind is readable, through whichever driver the thread's runtime has.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::pin::pin;

use monoio::net::TcpStream;

use super::stream::borrow;
use super::turn;

/// Any descriptor as monoio can poll it: the only public way to a readiness request is through its stream type.
#[derive(Debug)]
pub struct Pollable(TcpStream);

impl Pollable {
    /// Takes `fd`, which must not block; must be made on the thread whose runtime waits for it.
    ///
    /// # Errors
    /// The system's, when the descriptor cannot be polled.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(TcpStream::from_std(std::net::TcpStream::from(fd))?))
    }

    /// Waits until there is something to read; other tasks and the driver have had a turn by then.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn readable(&self) -> io::Result<()> {
        readable(&self.0).await
    }
}

impl AsFd for Pollable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.0, self.0.as_raw_fd())
    }
}

/// Waits until `tcp`, which is being connected, is so or has failed.
pub(super) async fn writable(tcp: &TcpStream) -> io::Result<()> {
    loop {
        match tcp.writable(false).await {
            // As below.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Waits until `tcp` is readable; other tasks and the driver have had a turn by then.
///
/// The ring polls the descriptor afresh each time. On epoll monoio remembers an edge until an operation *of its own* finds
/// nothing; reads that go past it do not. The strict request (`readable(false)`) asks poll(2) whether the memory still
/// holds and forgets it otherwise: what was read elsewhere, or a timer that was armed again, cannot make a wait spin.
pub(super) async fn readable(tcp: &TcpStream) -> io::Result<()> {
    loop {
        let mut at_once = true;
        let mut ready = pin!(tcp.readable(false));
        let result = std::future::poll_fn(|context| {
            let polled = ready.as_mut().poll(context);
            at_once &= polled.is_ready();
            polled
        })
        .await;
        if at_once {
            turn::pass().await;
        }
        match result {
            // A signal handler ran on this thread just then: poll(2) is never restarted.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
