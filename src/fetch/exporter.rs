//! `--metrics`: a thread that answers Prometheus, one connection after the other.
//!
//! Whoever asks is a stranger: a request has a size and a time, and gets one answer. Says what it is told to say.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::metrics::CONTENT_TYPE;

/// A longer request is not read.
const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// A request and its answer take at most so long.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Where metrics are.
const TARGET: &str = "/metrics";

/// What answers. Dropped, it stops.
#[derive(Debug)]
pub struct Exporter {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Answers what comes to `listener` with what `text` says then.
    ///
    /// # Errors
    /// There is no thread left.
    pub fn start(listener: TcpListener, text: impl Fn() -> String + Send + 'static) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let serve = move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                match stream {
                    // A connection that breaks is the stranger's loss.
                    Ok(stream) => drop(answer(stream, &text)),
                    // Most likely there is no descriptor left; soon there may be.
                    Err(_) => thread::sleep(Duration::from_millis(100)),
                }
            }
        };
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(serve)?;
        Ok(Self { address, stop, thread: Some(thread) })
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let mut own = self.address;
        if own.ip().is_unspecified() {
            own.set_ip(if own.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
        }
        // Wakes the thread. Where that is not possible it ends with the process.
        let woken = TcpStream::connect_timeout(&own, TIME_MAX);
        if let Some(thread) = self.thread.take().filter(|_| woken.is_ok()) {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, text: &dyn Fn() -> String) -> io::Result<()> {
    let deadline = Instant::now() + TIME_MAX;
    let head = read_head(&mut stream, deadline)?;
    let mut words = head.split(|&byte| byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let (status, allow, body) = match (method, path == TARGET.as_bytes()) {
        (b"GET" | b"HEAD", true) => ("200 OK", "", text()),
        (_, true) => ("405 Method Not Allowed", "Allow: GET, HEAD\r\n", String::new()),
        _ => ("404 Not Found", "", format!("metrics are at {TARGET}\n")),
    };
    let length = body.len();
    let mut out = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    if method != b"HEAD" {
        out += &body;
    }
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(out.as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// The head of a request, whole.
fn read_head(stream: &mut TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while memchr::memmem::find(&head, b"\r\n\r\n").is_none() {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = stream.read(&mut piece)?;
        if read == 0 || head.len() + read > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&piece[..read]);
    }
    Ok(head)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exporter() -> Exporter {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("any port");
        Exporter::start(listener, || "a_total 1\n".to_owned()).expect("a listener")
    }

    fn ask(exporter: &Exporter, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(exporter.address).expect("it listens");
        stream.write_all(request).expect("it reads");
        let mut answer = String::new();
        // One that is refused may be reset with bytes unread.
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn metrics_are_answered_again_and_again() {
        let exporter = exporter();
        for _ in 0..3 {
            let answer = ask(&exporter, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\na_total 1\n"), "{answer}");
            assert!(answer.contains("Content-Length: 10\r\n") && answer.contains(CONTENT_TYPE));
        }
        assert!(ask(&exporter, b"HEAD /metrics HTTP/1.1\r\n\r\n").ends_with("\r\n\r\n"));
        assert!(ask(&exporter, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(ask(&exporter, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(&exporter, b"GET /metrics?x=1 HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn strangers_take_little_and_keep_nobody_waiting_for_long() {
        let exporter = exporter();
        let silent = TcpStream::connect(exporter.address).expect("it listens");
        let long = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 20_000]].concat();
        assert_eq!(ask(&exporter, &long), "");
        let started = Instant::now();
        assert!(ask(&exporter, b"GET /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
        assert!(started.elapsed() < 10 * TIME_MAX);
        drop(silent);
    }

    #[test]
    fn it_stops_when_it_is_dropped_and_the_port_is_free() {
        let exporter = exporter();
        let address = exporter.address;
        drop(exporter);
        assert!(TcpStream::connect(address).is_err());
    }
}
