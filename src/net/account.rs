//! What the kernel did to the thread's own connections: segments that it sent again, connections that it had no room for.
//!
//! A connection is closed in many places, and its halves may live in tasks of their own; what they share is that the socket
//! ends with them. So a guard that stands before the socket asks it for its segments, and the sums belong to the thread.

use std::cell::Cell;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::RawFd;

use rustix::io::Errno;

use crate::record::vitals::{Segments, Shortages};

thread_local! {
    static SEGMENTS: Cell<Option<Segments>> = const { Cell::new(None) };
    static SHORTAGES: Cell<Shortages> = const { Cell::new(Shortages { files: 0, ports: 0, buffers: 0 }) };
}

/// Asks its socket what it sent when it is dropped; to be dropped before the socket is.
#[derive(Debug)]
pub(super) struct Counted(pub(super) RawFd);

impl Counted {
    /// Its socket is gone already.
    pub(super) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(segments) = of(self.0) {
            let mut sum = SEGMENTS.get().unwrap_or_default();
            sum.add(segments);
            SEGMENTS.set(Some(sum));
        }
    }
}

/// What the thread's connections that have ended since the last call sent; `None` where none of them could be asked.
pub fn take_segments() -> Option<Segments> {
    SEGMENTS.take()
}

/// Counts a connection that could not be had, where the machine ran out of something.
pub(super) fn refused(error: &io::Error) {
    let mut sum = SHORTAGES.get();
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE) => sum.files += 1,
        Some(Errno::ADDRNOTAVAIL) => sum.ports += 1,
        Some(Errno::NOBUFS | Errno::NOMEM) => sum.buffers += 1,
        _ => return,
    }
    SHORTAGES.set(sum);
}

/// What the thread's connections ran out of since the last call.
pub fn take_shortages() -> Shortages {
    SHORTAGES.take()
}

/// What a socket sent so far (TCP_INFO, tcp(7)); `None` where it is no TCP socket, or the kernel is too old to say (4.2).
#[allow(unsafe_code, reason = "no safe wrapper knows the fields that newer kernels have")]
fn of(fd: RawFd) -> Option<Segments> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `info`, which is so long; it refuses what is no open socket.
    let result =
        unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut length) };
    // SAFETY: all fields are numbers, for which zeros are as good as what the kernel wrote over them.
    let info = unsafe { info.assume_init() };
    (result == 0 && info.tcpi_segs_out > 0)
        .then(|| Segments { sent: info.tcpi_segs_out.into(), retransmitted: info.tcpi_total_retrans.into() })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_connection_s_segments_are_counted_when_it_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let mut ours = TcpStream::connect(listener.local_addr().expect("an address")).expect("it listens");
        let (mut theirs, _) = listener.accept().expect("a connection");
        assert_eq!(take_segments(), None);
        for _ in 0..3 {
            ours.write_all(b"x").expect("sent");
            theirs.read_exact(&mut [0]).expect("received");
        }
        drop(Counted(ours.as_raw_fd()));
        let segments = take_segments().expect("it was asked");
        assert!((4..=8).contains(&segments.sent) && segments.retransmitted == 0, "{segments:?}");
        assert_eq!(take_segments(), None);
    }

    #[test]
    fn only_what_the_machine_ran_out_of_is_a_shortage() {
        for errno in [Errno::MFILE, Errno::ADDRNOTAVAIL, Errno::ADDRNOTAVAIL, Errno::CONNREFUSED, Errno::NOBUFS] {
            refused(&errno.into());
        }
        assert_eq!(take_shortages(), Shortages { files: 1, ports: 2, buffers: 1 });
        assert!(!take_shortages().any());
    }

    #[test]
    fn what_is_no_tcp_socket_has_no_segments() {
        let (unix, _other) = UnixStream::pair().expect("a pair");
        assert_eq!((of(unix.as_raw_fd()), of(-1)), (None, None));
    }
}
