//! A proxy that hands bytes on and does to the server's what a bad network does: holds them back, breaks them up, cuts
//! them off. What befalls which connection follows from a seed.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;

use super::dice::Dice;

/// No read or write of the proxy waits for longer: its threads end with the test.
const PATIENCE: Duration = Duration::from_secs(10);

/// What befalls the server's bytes on one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Each piece comes so much later.
    Delay(Duration),
    /// Each piece comes later by up to this.
    Jitter(Duration),
    /// They come in pieces of so many bytes, and for a while in one at a time.
    Trickle(usize),
    /// RST after so many bytes.
    Reset(usize),
    /// FIN after so many bytes.
    Truncate(usize),
    /// Silence after so many bytes, until the client has enough.
    Stall(usize),
}

/// Kinds of faults that a proxy may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Delay,
    Jitter,
    Trickle,
    Reset,
    Truncate,
    Stall,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] =
        [Self::None, Self::Delay, Self::Jitter, Self::Trickle, Self::Reset, Self::Truncate, Self::Stall];
}

/// A running proxy; takes no more connections when dropped.
pub(crate) struct Faults {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    fate: Fate,
    stopped: AtomicBool,
    accepted: AtomicU64,
    handed_on: AtomicU64,
}

/// Which connection has which fault.
enum Fate {
    /// One of these kinds, as the seed has it.
    Drawn { seed: u64, kinds: Vec<Kind> },
    /// The first ones have these, the others none.
    Listed(Vec<Fault>),
}

impl Faults {
    /// Proxies to `server`; each connection has one of `kinds`.
    pub(crate) fn start(server: SocketAddr, seed: u64, kinds: Vec<Kind>) -> Self {
        Self::with(server, Fate::Drawn { seed, kinds })
    }

    /// Proxies to `server`; the first connections have these faults.
    pub(crate) fn listed(server: SocketAddr, faults: &[Fault]) -> Self {
        Self::with(server, Fate::Listed(faults.to_vec()))
    }

    fn with(server: SocketAddr, fate: Fate) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            server,
            fate,
            stopped: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            handed_on: AtomicU64::new(0),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &of_thread));
        Self { addr, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Bytes of the server that the client's kernel has taken so far.
    pub(crate) fn handed_on(&self) -> u64 {
        self.shared.handed_on.load(Ordering::SeqCst)
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.addr);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let number = shared.accepted.fetch_add(1, Ordering::SeqCst);
        let (fault, dice) = shared.fate.of(number);
        let shared = Arc::clone(shared);
        // What ends a connection ends it for both sides, and is no failure of the proxy's.
        thread::spawn(move || connection(&client, fault, dice, &shared).unwrap_or_default());
    }
}

impl Fate {
    /// What befalls the connection of this number, and what chance does to it besides.
    fn of(&self, number: u64) -> (Fault, Dice) {
        match self {
            Self::Drawn { seed, kinds } => {
                let mut dice = Dice::new(*seed, number);
                (Fault::draw(dice.one_of(kinds), &mut dice), dice)
            }
            Self::Listed(faults) => (faults.get(number as usize).copied().unwrap_or(Fault::None), Dice::new(0, number)),
        }
    }
}

impl Fault {
    /// Places lie within the first answers, whose heads have some 150 bytes.
    fn draw(kind: Kind, dice: &mut Dice) -> Self {
        let place = dice.below(1_500) as usize;
        let time = Duration::from_micros(dice.below(12_000));
        match kind {
            Kind::None => Self::None,
            Kind::Delay => Self::Delay(time),
            Kind::Jitter => Self::Jitter(time),
            Kind::Trickle => Self::Trickle(dice.below(40) as usize + 1),
            Kind::Reset => Self::Reset(place),
            Kind::Truncate => Self::Truncate(place),
            Kind::Stall => Self::Stall(place),
        }
    }

    /// After how many bytes it strikes.
    fn place(self) -> usize {
        match self {
            Self::Reset(place) | Self::Truncate(place) | Self::Stall(place) => place,
            _ => usize::MAX,
        }
    }
}

/// One connection, to its end.
fn connection(client: &TcpStream, fault: Fault, mut dice: Dice, shared: &Shared) -> io::Result<()> {
    let server = TcpStream::connect(shared.server)?;
    for stream in [client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
    }
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    let there = thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let outcome = back(client, &server, fault, &mut dice, shared);
    match fault {
        // The other thread, which reads from the client, ends, and the socket's last close is a RST.
        Fault::Reset(_) => {
            let _ = sockopt::set_socket_linger(client, Some(Duration::ZERO));
            let _ = client.shutdown(Shutdown::Read);
            let _ = server.shutdown(Shutdown::Both);
        }
        Fault::Truncate(_) => client.shutdown(Shutdown::Write).unwrap_or_default(),
        _ => client.shutdown(Shutdown::Both).unwrap_or_default(),
    }
    let _ = there.join();
    outcome
}

/// Hands the server's bytes on until the fault strikes or one side ends.
fn back(client: &TcpStream, server: &TcpStream, fault: Fault, dice: &mut Dice, shared: &Shared) -> io::Result<()> {
    let (mut client, mut server) = (client, server);
    let (mut buffer, mut left) = ([0; 16_384], fault.place());
    while left > 0 {
        let count = server.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        match fault {
            Fault::Delay(time) => thread::sleep(time),
            Fault::Jitter(most) => thread::sleep(most.mul_f64(dice.below(1_000) as f64 / 1e3)),
            _ => {}
        }
        let piece = if let Fault::Trickle(size) = fault { size } else { count };
        for (number, bytes) in buffer[..count.min(left)].chunks(piece).enumerate() {
            // Counted before, so that the client has never more than that.
            shared.handed_on.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            client.write_all(bytes)?;
            if matches!(fault, Fault::Trickle(_)) && number < 8 {
                thread::sleep(Duration::from_micros(200));
            }
        }
        left = left.saturating_sub(count);
    }
    if matches!(fault, Fault::Stall(_)) {
        // Until the client ends, or there is no reading any more.
        while server.read(&mut buffer)? > 0 {}
    }
    Ok(())
}
