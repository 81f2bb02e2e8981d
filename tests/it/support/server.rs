//! A scripted server on a free port: one plain thread a connection, which does exactly what the test says.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};

/// A small whole answer.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A running server; dropping it stops it.
pub(crate) struct Server {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicU64,
    stopped: AtomicBool,
    requests: Mutex<Vec<Request>>,
}

/// A request as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// `GET / HTTP/1.1`
    pub(crate) line: String,
    /// Lines as typed, without their ends.
    pub(crate) headers: Vec<String>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, from 0.
    pub(crate) connection: u64,
}

/// The server's end of one connection.
pub(crate) struct Peer {
    stream: Wire,
    shared: Arc<Shared>,
    buffer: Vec<u8>,
    /// Which one, from 0.
    pub(crate) number: u64,
}

/// What the bytes of a connection go through.
enum Wire {
    Plain(TcpStream),
    Encrypted(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Server {
    /// Runs `script` for each connection, on a thread of its own.
    pub(crate) fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", script)
    }

    pub(crate) fn on(addr: &str, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::try_on(addr, script).expect("a free port")
    }

    /// Runs `script` under TLS.
    pub(crate) fn encrypted(config: Arc<ServerConfig>, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        Self::begin("127.0.0.1:0", Some(config), script).expect("a free port")
    }

    pub(crate) fn try_on(addr: &str, script: impl Fn(&mut Peer) + Send + Sync + 'static) -> io::Result<Self> {
        Self::begin(addr, None, script)
    }

    fn begin(
        addr: &str,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(addr)?;
        let addr = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let (of_thread, script) = (Arc::clone(&shared), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if of_thread.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = of_thread.accepted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_nodelay(true);
                let stream = Wire::new(stream, tls.as_ref());
                let mut peer = Peer { stream, shared: Arc::clone(&of_thread), buffer: Vec::new(), number };
                let script = Arc::clone(&script);
                thread::spawn(move || script(&mut peer));
            }
        });
        Ok(Self { addr, shared })
    }

    /// Answers every request with the same bytes and keeps connections open.
    pub(crate) fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |peer| while peer.request().is_some() && peer.send(&answer) {})
    }

    /// Answers one request a connection with these bytes, then closes.
    pub(crate) fn answering_once(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |peer| {
            if peer.request().is_some() && peer.send(&answer) {
                peer.close();
            }
        })
    }

    /// Reads and never answers.
    pub(crate) fn silent() -> Self {
        Self::start(Peer::stall)
    }

    /// Takes no more connections; its port is free again.
    pub(crate) fn stop(self) {
        drop(self);
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Requests so far, in the order of their arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("no script panics with the lock").clone()
    }

    /// The request targets so far.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.line.split(' ').nth(1).unwrap_or_default().to_owned()).collect()
    }

    /// Waits until `condition` holds of this server.
    #[track_caller]
    pub(crate) fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..20_000 {
            if condition(self) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("the server waited 20 s in vain");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.addr);
    }
}

impl Peer {
    /// The next request with its body, `None` when the peer has closed.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.receive()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end - 4]).into_owned();
        let mut lines = head.split("\r\n").map(str::to_owned);
        let line = lines.next().unwrap_or_default();
        let headers: Vec<String> = lines.collect();
        let length = headers.iter().find_map(|header| header.strip_prefix("Content-Length: ")?.parse().ok());
        let length: usize = length.unwrap_or(0);
        while self.buffer.len() < end + length {
            self.receive()?;
        }
        let body = self.buffer[end..end + length].to_vec();
        self.buffer.drain(..end + length);
        let request = Request { line, headers, body, connection: self.number };
        self.shared.requests.lock().expect("no script panics with the lock").push(request.clone());
        Some(request)
    }

    /// The next `count` bytes, whatever they are; `None` when the peer has closed.
    pub(crate) fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.receive()?;
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Puts what came in another way than as a request among the requests, as a body.
    pub(crate) fn told(&self, bytes: &[u8]) {
        let request = Request { body: bytes.to_vec(), connection: self.number, ..Request::default() };
        self.shared.requests.lock().expect("no script panics with the lock").push(request);
    }

    /// Hands everything on to `to` and back, until one of them closes; no request may have been begun.
    pub(crate) fn relay(&mut self, to: SocketAddr) {
        let (Wire::Plain(near), Ok(far)) = (&self.stream, TcpStream::connect(to)) else { return };
        let clone = |tcp: &TcpStream| tcp.try_clone().expect("a socket has room for one more");
        let (mut from, mut to) = (clone(near), clone(&far));
        let there = thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let (mut from, mut to) = (clone(&far), clone(near));
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = there.join();
    }

    /// Sends; false when the peer is gone.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends past TLS, if there is any.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> bool {
        self.stream.tcp().write_all(bytes).is_ok()
    }

    /// Sends one byte at a time, `pause` apart.
    pub(crate) fn trickle(&mut self, bytes: &[u8], pause: Duration) -> bool {
        bytes.chunks(1).all(|byte| {
            thread::sleep(pause);
            self.send(byte)
        })
    }

    /// Ends the connection with FIN, having read what had come.
    pub(crate) fn close(&mut self) {
        if let Wire::Encrypted(tls) = &mut self.stream {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        self.hang_up();
    }

    /// Ends the connection with FIN; under TLS without the farewell that its rules ask for.
    pub(crate) fn hang_up(&mut self) {
        let _ = self.stream.tcp().shutdown(Shutdown::Write);
        self.stall();
    }

    /// Reads until the peer ends; whether that was in good order, under TLS with a farewell.
    pub(crate) fn hears_the_end(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// How the handshake went; `None` before it and without TLS.
    pub(crate) fn handshake(&self) -> Option<HandshakeKind> {
        match &self.stream {
            Wire::Plain(_) => None,
            Wire::Encrypted(tls) => tls.conn.handshake_kind(),
        }
    }

    /// Ends the connection with RST, once the script returns.
    pub(crate) fn reset(&self) {
        let _ = sockopt::set_socket_linger(self.stream.tcp(), Some(Duration::ZERO));
    }

    /// Reads and says nothing until the peer closes.
    pub(crate) fn stall(&mut self) {
        let mut buffer = [0; 65_536];
        while matches!(self.stream.read(&mut buffer), Ok(1..)) {}
    }

    /// Neither reads nor writes for so long.
    pub(crate) fn sleep(&self, time: Duration) {
        thread::sleep(time);
    }

    fn receive(&mut self) -> Option<()> {
        let mut buffer = [0; 65_536];
        let count = self.stream.read(&mut buffer).ok().filter(|&count| count > 0)?;
        self.buffer.extend_from_slice(&buffer[..count]);
        Some(())
    }
}

impl Wire {
    fn new(tcp: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Self {
        let Some(config) = tls else { return Self::Plain(tcp) };
        let session = ServerConnection::new(Arc::clone(config)).expect("a server's configuration");
        Self::Encrypted(Box::new(StreamOwned::new(session, tcp)))
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Encrypted(tls) => &tls.sock,
        }
    }
}

impl io::Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Encrypted(tls) => tls.read(buffer),
        }
    }
}

impl io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Encrypted(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Encrypted(tls) => tls.flush(),
        }
    }
}
