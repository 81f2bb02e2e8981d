//! The embedded target: the HTTP/1 server that the tool is measured and demonstrated against.
//!
//! One thread a core, each with its ring and its listener on the shared port (SO_REUSEPORT: the kernel deals connections
//! by hash, not evenly). Every answer says when its request's head had been read and when it was about to be written, as
//! `X-Recv-Ns` and `X-Send-Ns` on CLOCK_MONOTONIC, so that a client on the same machine can be held against the truth.
//! A request in a pipelined batch shares the times of the batch's read and write. `X-Send-Ns` is read as the write is
//! queued; the ring submits it at the end of the same turn.
//!
//! | path | answer |
//! |---|---|
//! | `/` | `hello world` and a newline |
//! | `/bytes/N` | N bytes of a pattern, up to 1 GiB |
//! | `/delay/MS` | the greeting, that many milliseconds (decimals allowed) after `X-Recv-Ns`; never early |
//! | `/delays?DISTRIBUTION` | the greeting, after a time of that distribution |
//! | `/queue?DISTRIBUTION` | the greeting, served one after the other, each for a time of that distribution |
//! | `/status/CODE` | that status, 200 to 599 |
//! | `/echo` | the request's body, up to 8 MiB |
//! | `/stats` | the counts of [`Stats`] as JSON |
//! | `/chunked/N` | N bytes of the pattern, up to 1 GiB, in four or more chunks of up to 16 KiB |
//! | `/slow/BYTES/MS` | the head at once, then 1 to 1048576 bytes evenly over MS, up to a minute |
//! | `/stall?every=DURATION&for=DURATION` | the greeting, held back in the last FOR of every EVERY |
//! | `/reset` | none: RST |
//! | `/truncate` | the greeting, announced as twice as long, then the end of the connection |
//! | `/garbage` | a line that is no HTTP, then the end of the connection |
//! | `/close` | none: the end of the connection |
//!
//! HTTP/1.0 knows no chunks and gets `/chunked` with a length. All times are CLOCK_MONOTONIC's and count from `X-Recv-Ns`: a
//! stall is where that, modulo EVERY, is in the last FOR, a minute at most, and all that arrived in it is answered at its end.
//! A distribution is `fixed=TIME`, `uniform=TIME` (from 0), `exp=TIME` (the mean) or `fast=TIME&slow=TIME` (slow: one in a
//! hundred). Nothing is drawn by chance: a thread's requests are dealt the quantiles of its distribution, in an order that
//! looks random, each once in 65,536 requests of that path. Each thread has a queue of its own, in which one request is served
//! at a time and in order of arrival; the service is a wait, so that it costs no CPU. One that would have to wait for more than a
//! minute gets 503.
//!
//! HEAD gets the head alone, held back by `/delay`, `/delays`, `/queue` and `/stall`, at once from `/slow`, with the end of the connection behind
//! it from `/truncate`; `/reset`, `/garbage` and `/close` treat it like any method. In a pipelined batch what comes before a
//! path that waits or ends the connection is sent first; what comes behind one that ends it is not answered. But for
//! `/reset`, the connection ends cleanly: input is read on for up to a second, because closing over it would be a RST.
//!
//! Any method will do; bodies, sized or chunked, are read and, but for `/echo`, thrown away. A head of more than 64 KiB or
//! 128 headers, a malformed or ambiguous request, and an HTTP/1.1 request without exactly one `Host` are refused and
//! their connection closed. There is no idle time-out, and no `Date`. A panic in a task ends its thread and is raised
//! again by [`Target::stop`].
//!
//! Inside: [`route`] (path to answer) and [`request`] (bytes to request) are pure; `body` takes bodies off the buffer,
//! `answer` writes heads, `pattern` has long bodies, `spread` distributions, `socket` gathers answers into writes, `serve` is the connection loop,
//! `fault` what it does wrong on purpose, `delay` the queue behind the timerfd, `thread` a thread's life, `stop` its end,
//! `stats` the counts.

mod answer;
mod body;
mod decimal;
mod delay;
mod fault;
mod pattern;
pub mod request;
pub mod route;
mod serve;
mod socket;
pub mod spread;
mod stats;
mod stop;
mod thread;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use self::stats::Counters;
pub use self::stats::Stats;
use self::thread::Seed;
use crate::net::runtime::Driver;

/// Connections that may wait to be accepted, on each listener; the system may allow fewer.
const BACKLOG: i32 = 4096;

/// Where the target listens and on what it runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address; port 0 takes any free one.
    pub listen: SocketAddr,
    /// One thread each, pinned to that CPU; at least one.
    pub cores: Vec<usize>,
    /// Of all threads.
    pub driver: Driver,
}

/// Why the target could not start.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No cores were given.
    #[error("the target needs at least one core")]
    NoCores,
    /// The address is taken, not this machine's, or not allowed.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address as far as it was known.
        addr: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The CPU does not exist or is not this process's to use.
    #[error("cannot run on CPU {core}: it does not exist or is not allowed to this process")]
    Pin {
        /// The CPU as it was given.
        core: usize,
    },
    /// The driver was refused, or a descriptor for its timer.
    #[error("cannot set up {} for the target: {source}; {}", driver.name(), driver.remedy())]
    Driver {
        /// Which.
        driver: Driver,
        /// The system's reason.
        source: io::Error,
    },
    /// No thread, or no descriptor to stop it by.
    #[error("cannot start the target's threads: {source}")]
    Thread {
        /// The system's reason.
        source: io::Error,
    },
}

/// A running target; dropping it stops it.
pub struct Target {
    addr: SocketAddr,
    counters: Arc<[Counters]>,
    /// An eventfd that every thread polls; never read, so that one write reaches them all.
    stop: OwnedFd,
    threads: Vec<JoinHandle<()>>,
}

impl Target {
    /// Binds, starts the threads, and returns once all of them listen.
    ///
    /// # Errors
    /// The first thread's that cannot start; the others are stopped again.
    pub fn start(options: &Options) -> Result<Self, TargetError> {
        let listeners = listen(options.listen, options.cores.len())?;
        let first = listeners.first().ok_or(TargetError::NoCores)?;
        let addr = first.local_addr().map_err(|source| TargetError::Listen { addr: options.listen, source })?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(no_thread)?;
        let counters = options.cores.iter().map(|_| Counters::default()).collect();
        let mut target = Self { addr, counters, stop, threads: Vec::new() };
        let (ready, started) = mpsc::channel();
        for (index, (&core, listener)) in options.cores.iter().zip(listeners).enumerate() {
            let stop = target.stop.try_clone().map_err(no_thread)?;
            let counters = Arc::clone(&target.counters);
            let seed = Seed { core, driver: options.driver, listener, stop, counters, index };
            let ready = ready.clone();
            let thread = std::thread::Builder::new()
                .name(format!("target-{index}"))
                .spawn(move || thread::run(seed, &ready))
                .map_err(no_thread)?;
            target.threads.push(thread);
        }
        drop(ready);
        for _ in 0..target.threads.len() {
            let gone = || TargetError::Thread { source: io::Error::other("a thread ended before it could serve") };
            started.recv().map_err(|_| gone())??;
        }
        Ok(target)
    }

    /// The address it listens on, with the port that was found.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The counts so far.
    pub fn stats(&self) -> Stats {
        Stats::sum(&self.counters)
    }

    /// Stops accepting, closes the connections where they stand, and joins the threads, within about half a second.
    ///
    /// # Panics
    /// With the panic of a thread that had one.
    pub fn stop(mut self) -> Stats {
        if let Some(panic) = self.halt() {
            std::panic::resume_unwind(panic);
        }
        self.stats()
    }

    /// Ends and joins the threads; what the first of them to panic said.
    fn halt(&mut self) -> Option<Box<dyn std::any::Any + Send>> {
        // Writing 1 to an eventfd that nobody has written 2^64 - 2 to cannot fail.
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
        let ends: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        ends.into_iter().find_map(Result::err)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.halt();
    }
}

fn no_thread(source: impl Into<io::Error>) -> TargetError {
    TargetError::Thread { source: source.into() }
}

/// So many listeners on one port, the first of which finds it.
fn listen(addr: SocketAddr, count: usize) -> Result<Vec<TcpListener>, TargetError> {
    let mut addr = addr;
    let mut listeners = Vec::with_capacity(count);
    let failed = |addr, source| TargetError::Listen { addr, source };
    if addr.port() != 0 {
        // With SO_REUSEPORT a second target would share the port unnoticed; without it the taken port shows.
        bind(addr, false).map_err(|source| failed(addr, source))?;
    }
    for _ in 0..count {
        let socket = bind(addr, true).map_err(|source| failed(addr, source))?;
        net::listen(&socket, BACKLOG).map_err(|source| failed(addr, source.into()))?;
        let listener = TcpListener::from(socket);
        addr = listener.local_addr().map_err(|source| failed(addr, source))?;
        listeners.push(listener);
    }
    Ok(listeners)
}

/// A socket bound to `addr` that does not block.
fn bind(addr: SocketAddr, reuse_port: bool) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, reuse_port)?;
    net::bind(&socket, &addr)?;
    Ok(socket)
}

#[cfg(test)]
mod tests;
