//! `--log`: what happens to lines and hosts, an event a line of JSON, written by a thread of its own.
//!
//! Owns the subscriber and the names of the events' fields. Only our own events are written: the HTTP/2 client traces each
//! frame. A core never waits for the disk: what the thread cannot keep up with is counted and said at the end.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use tracing::dispatcher::DefaultGuard;
use tracing::{Dispatch, Level, info, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};

use super::line::Kind;
use crate::plan::origin::mask_userinfo;
use crate::units::Nanos;

/// Of all events of a retrieval.
const TARGET: &str = "ringload::fetch";
/// So many events may wait for the disk.
const WAITING_MAX: usize = 8_192;

/// The log of a run. Dropped, it writes what waits, and ends.
#[derive(Debug)]
pub struct Log {
    dispatch: Dispatch,
    sender: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Message {
    Event(Vec<u8>),
    End,
}

impl Log {
    /// Writes to `file`. Of a thread is logged what happens after [`Events::enter`].
    ///
    /// # Errors
    /// There is no thread left.
    pub fn start(file: File) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let lines = Lines { sender: sender.clone(), lost: Arc::clone(&lost) };
        let layer = tracing_subscriber::fmt::layer().json().with_writer(lines);
        let ours = Targets::new().with_target(TARGET, Level::INFO);
        let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer.with_filter(ours)));
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || write(file, &receiver, &lost))?;
        Ok(Self { dispatch, sender, thread: Some(thread) })
    }

    /// What threads need whose events go here.
    pub fn events(&self) -> Events {
        Events(self.dispatch.clone())
    }
}

/// The way into a log. It may outlive that: what comes later is lost.
#[derive(Clone, Debug)]
pub struct Events(Dispatch);

impl Events {
    /// Events of the calling thread go to the log as long as the guard lives.
    pub fn enter(&self) -> DefaultGuard {
        tracing::dispatcher::set_default(&self.0)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // An error means that the thread has ended, as after a disk that is full.
        let _ = self.sender.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes events until the end, whole batches at a time.
fn write(file: File, receiver: &Receiver<Message>, lost: &AtomicU64) {
    let mut out = BufWriter::new(file);
    while let Ok(Message::Event(line)) = receiver.recv() {
        let more = receiver.try_iter();
        let mut events = vec![line];
        let mut ended = false;
        for message in more {
            match message {
                Message::Event(line) => events.push(line),
                Message::End => ended = true,
            }
        }
        let written = events.iter().try_for_each(|line| out.write_all(line)).and_then(|()| out.flush());
        if ended || written.is_err() {
            break;
        }
    }
    let lost = lost.load(Ordering::Relaxed);
    if lost > 0 {
        let _ = writeln!(
            out,
            "{{\"level\":\"WARN\",\"target\":\"{TARGET}\",\"fields\":{{\"message\":\"events lost\",\"lost\":{lost}}}}}"
        );
    }
    let _ = out.flush();
}

/// Makes a writer for each event.
#[derive(Debug)]
struct Lines {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { lines: self, text: Vec::new() }
    }
}

/// One event, sent when it is whole.
struct Line<'a> {
    lines: &'a Lines,
    text: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let event = Message::Event(std::mem::take(&mut self.text));
        if self.lines.sender.try_send(event).is_err() {
            self.lines.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Line `line` ended after `attempts` attempts and `response` since its admission.
///
/// `url` is none where it is no URL: nobody knows what is secret in it.
pub fn line_ended(
    line: u64,
    url: Option<&str>,
    status: Option<u16>,
    error: Option<Kind>,
    attempts: u32,
    response: Nanos,
) {
    let (url, response_ms) = (url.map(shown), response.0 as f64 / 1e6);
    let error = error.map(Kind::name);
    info!(target: TARGET, line, url, status, error, attempts, response_ms, "line ended");
}

/// Attempt number `attempts` of line `line` came to `status` or `error`, and there will be another after `wait`.
pub fn retry(line: u64, url: &str, status: Option<u16>, error: Option<Kind>, attempts: u32, wait: Nanos) {
    let (url, wait_ms) = (shown(url), wait.0 as f64 / 1e6);
    let error = error.map(Kind::name);
    info!(target: TARGET, line, url, status, error, attempts, wait_ms, "retry");
}

/// A URL without credentials and query, which may hold some.
fn shown(url: &str) -> String {
    let masked = mask_userinfo(url);
    let path = masked.split(['?', '#']).next().unwrap_or_default();
    if path.len() < masked.len() { format!("{path}?***") } else { masked }
}

/// A host asked for time: it is held for `hold`.
pub fn host_held(host: &str, status: u16, hold: Nanos) {
    warn!(target: TARGET, host, status, hold_ms = hold.0 as f64 / 1e6, "host held");
}

/// A host does not answer: it rests.
pub fn host_rests(host: &str, rest: Nanos) {
    warn!(target: TARGET, host, rest_ms = rest.0 as f64 / 1e6, "host rests");
}

/// A host is given up.
pub fn host_down(host: &str) {
    warn!(target: TARGET, host, "host down");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::Value;

    use super::*;
    use crate::record::outcome::Failure;

    /// The events that `work` leaves behind on this thread.
    fn logged(work: impl FnOnce(&Log)) -> Vec<Value> {
        let place = tempfile::NamedTempFile::new().expect("a file");
        let log = Log::start(place.reopen().expect("the file")).expect("a thread");
        let guard = log.events().enter();
        work(&log);
        drop(guard);
        drop(log);
        let text = fs::read_to_string(place.path()).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[test]
    fn an_event_is_a_line_of_json_without_secrets() {
        let events = logged(|_| {
            line_ended(7, Some("http://me:hush@h/\u{1b}x?key=hush#hush"), Some(200), None, 2, Nanos(1_500_000));
            let error = Some(Kind::Failure(Failure::Timeout));
            retry(8, "http://h/", None, error, 1, Nanos::from_secs(1));
            host_held("h.example", 429, Nanos::from_secs(3));
            host_rests("h.example", Nanos::from_secs(2));
            host_down("h.example");
        });
        let fields: Vec<_> = events.iter().map(|event| &event["fields"]).collect();
        assert_eq!(fields.len(), 5);
        assert_eq!(fields[0]["message"], "line ended");
        assert_eq!((&fields[0]["url"], &fields[0]["status"]), (&"http://***@h/\u{1b}x?***".into(), &200.into()));
        assert_eq!((&fields[0]["response_ms"], &fields[0]["error"]), (&1.5.into(), &Value::Null));
        assert_eq!((&fields[1]["error"], &fields[1]["wait_ms"]), (&"timeout".into(), &1_000.0.into()));
        assert_eq!((&fields[2]["host"], &fields[2]["hold_ms"]), (&"h.example".into(), &3_000.0.into()));
        assert!(events.iter().all(|event| event["target"] == TARGET && event["timestamp"].is_string()));
        assert_eq!((&events[0]["level"], &events[4]["level"]), (&"INFO".into(), &"WARN".into()));
    }

    #[test]
    fn other_people_s_events_are_not_ours() {
        let events = logged(|_| {
            tracing::error!(target: "another::crate", "a frame");
            tracing::debug!(target: TARGET, "a detail");
            host_down("h");
        });
        assert_eq!(events.len(), 1);
    }

    #[test]
    fn events_of_several_threads_come_whole() {
        let events = logged(|log| {
            thread::scope(|scope| {
                for host in ["a", "b", "c"] {
                    scope.spawn(move || {
                        let _guard = log.events().enter();
                        (0..500).for_each(|_| host_down(host));
                    });
                }
            });
        });
        assert_eq!(events.len(), 1_500);
    }

    #[test]
    fn what_the_disk_cannot_take_is_lost_and_nobody_waits() {
        let full = File::options().write(true).open("/dev/full").expect("a device");
        let log = Log::start(full).expect("a thread");
        let _guard = log.events().enter();
        (0..3 * WAITING_MAX).for_each(|_| host_down("h"));
    }
}
