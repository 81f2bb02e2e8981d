//! Names to addresses on plain threads: getaddrinfo blocks and must never do so on a worker's core.
//!
//! Before a run all names are looked up at once; during it a worker asks for one and awaits the answer, which is kept
//! nowhere. Knows nothing of which addresses may be used.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::ready::Pollable;
use crate::plan::network::Place;
use crate::units::Nanos;

/// Look-ups under way at once.
const LOOKUPS_AT_ONCE: usize = 32;

/// What a look-up came to: one address or more, or why there is none.
type Found = Result<Vec<SocketAddr>, String>;

/// All addresses of each place, or why it has none; each look-up may take `limit`.
///
/// A look-up over its limit counts as failed; its thread cannot be stopped and is left behind.
pub fn resolve(places: &[Place], limit: Nanos) -> Vec<Result<Vec<SocketAddr>, String>> {
    let mut found: Vec<Option<Found>> = vec![None; places.len()];
    let mut waiting = (0..places.len()).rev().collect::<Vec<_>>();
    let mut under_way: HashMap<usize, Instant> = HashMap::new();
    let (sender, receiver) = mpsc::channel();
    while !waiting.is_empty() || !under_way.is_empty() {
        while under_way.len() < LOOKUPS_AT_ONCE {
            let Some(index) = waiting.pop() else { break };
            under_way.insert(index, Instant::now() + limit.to_std());
            let (place, sender) = (places[index].clone(), sender.clone());
            // Where no thread can be had, the sender is gone with it: the look-up fails by its limit.
            let _ = spawn(move || {
                // The receiver is gone when the run was given up.
                let _ = sender.send((index, look_up(&place)));
            });
        }
        let earliest = under_way.values().min().copied().unwrap_or_else(Instant::now);
        match receiver.recv_timeout(earliest.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))) {
            // An answer after its limit is dropped: its place was given away.
            Ok((index, result)) if under_way.remove(&index).is_some() => found[index] = Some(result),
            _ => {}
        }
        under_way.retain(|&index, &mut until| {
            let in_time = until > Instant::now();
            if !in_time {
                found[index] = Some(Err(format!("no answer within {limit}")));
            }
            in_time
        });
    }
    found.into_iter().map(|result| result.expect("every place was looked up")).collect()
}

/// Threads that look names up during a run, for all workers: as many as there ever were questions at once. They end when
/// the last of these is gone.
#[derive(Clone, Debug)]
pub struct Resolver {
    questions: mpsc::SyncSender<Question>,
    crew: Arc<Crew>,
}

/// What the threads share.
#[derive(Debug)]
struct Crew {
    questions: Mutex<mpsc::Receiver<Question>>,
    look_up: fn(&Place) -> Found,
    /// Questions that are not answered yet, or about to come.
    open: AtomicUsize,
    /// One costs 2 MiB where the allocator's first page of a thread is a huge one: none is started in vain.
    threads: AtomicUsize,
    threads_max: usize,
}

/// What a worker asks.
#[derive(Debug)]
struct Question {
    place: Place,
    /// Dead where the worker waits no longer.
    answer: Weak<Answer>,
}

/// Where the answer is put for the one who asked.
#[derive(Debug)]
struct Answer {
    found: OnceLock<Found>,
    /// An eventfd: readable when `found` is there.
    told: OwnedFd,
}

impl Resolver {
    /// Starts the first thread; `waiting` questions may wait for one.
    ///
    /// # Errors
    /// The system's, when it has no thread left.
    pub fn start(waiting: usize) -> io::Result<Self> {
        Self::with(waiting, look_up)
    }

    fn with(waiting: usize, look_up: fn(&Place) -> Found) -> io::Result<Self> {
        let (questions, receiver) = mpsc::sync_channel(waiting.max(1));
        let crew = Arc::new(Crew {
            questions: Mutex::new(receiver),
            look_up,
            open: AtomicUsize::new(0),
            threads: AtomicUsize::new(1),
            threads_max: waiting.clamp(1, LOOKUPS_AT_ONCE),
        });
        crew.start_thread()?;
        Ok(Self { questions, crew })
    }

    /// All addresses of `place`, looked up for this call alone; other tasks of the thread go on meanwhile.
    ///
    /// # Errors
    /// Why it has none, in the resolver's words; too many questions wait already, or no descriptor is left.
    pub async fn find(&self, place: &Place) -> Result<Vec<SocketAddr>, String> {
        let failed = |error: io::Error| error.to_string();
        let told = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
        let pollable = told.try_clone().and_then(Pollable::new).map_err(failed)?;
        let answer = Arc::new(Answer { found: OnceLock::new(), told });
        let question = Question { place: place.clone(), answer: Arc::downgrade(&answer) };
        self.crew.expect_question();
        self.questions.try_send(question).map_err(|_| {
            self.crew.open.fetch_sub(1, Ordering::Relaxed);
            "the resolver does not keep up with the connections".to_owned()
        })?;
        pollable.readable().await.map_err(failed)?;
        answer.found.get().cloned().expect("the answer is there before it is told")
    }
}

impl Crew {
    /// A question is about to come: where all threads may be busy, there is one more for it.
    fn expect_question(self: &Arc<Self>) {
        let open = self.open.fetch_add(1, Ordering::Relaxed) + 1;
        let one_more = |threads: usize| (threads < open.min(self.threads_max)).then_some(threads + 1);
        let grown = self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if grown && self.start_thread().is_err() {
            // Those that are there answer by and by.
            self.threads.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let crew = Arc::clone(self);
        spawn(move || crew.answer_all())
    }

    /// Answers questions until nobody can ask any more.
    fn answer_all(&self) {
        loop {
            let next = self.questions.lock().expect("no thread panics while it waits for a question").recv();
            let Ok(Question { place, answer }) = next else { return };
            // Whoever waits no longer costs no look-up.
            let found = (answer.strong_count() > 0).then(|| (self.look_up)(&place));
            // Before the answer is told: who then asks the next question needs no other thread.
            self.open.fetch_sub(1, Ordering::Relaxed);
            if let Some((found, answer)) = found.zip(answer.upgrade()) {
                answer.found.set(found).expect("a question is answered once");
                // An eventfd takes a one at any time.
                let _ = rustix::io::write(&answer.told, &1u64.to_ne_bytes());
            }
        }
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("resolve".to_owned()).spawn(work).map(drop)
}

/// Blocks for as long as the system's resolver does.
fn look_up(place: &Place) -> Found {
    let addresses = (place.host.to_string().as_str(), place.port).to_socket_addrs();
    let mut unique: Vec<SocketAddr> = Vec::new();
    addresses.map_err(|error| reason(&error))?.for_each(|addr| {
        if !unique.contains(&addr) {
            unique.push(addr)
        }
    });
    if unique.is_empty() { Err("the name has no address".to_owned()) } else { Ok(unique) }
}

fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU16;

    use url::Host;

    use super::*;
    use crate::net::runtime::{self, Driver};

    fn place(name: &str) -> Place {
        Place { host: Host::Domain(name.to_owned()), port: 83 }
    }

    #[track_caller]
    fn is_local(found: &Found) {
        let local = |addresses: &Vec<SocketAddr>| addresses.iter().all(|a| a.ip().is_loopback() && a.port() == 83);
        assert!(found.as_ref().is_ok_and(local), "{found:?}");
    }

    #[test]
    fn names_get_their_addresses_or_the_reason() {
        let found = resolve(&[place("localhost"), place("no-such-host.invalid")], Nanos::from_secs(20));
        is_local(&found[0]);
        assert!(found[1].is_err());
        assert_eq!(resolve(&[], Nanos::from_secs(1)), []);
    }

    #[test]
    fn a_worker_is_answered_on_both_drivers() {
        for driver in [Driver::IoUring, Driver::Epoll] {
            let Ok(mut runtime) = runtime::build(driver, 256) else { continue };
            let resolver = Resolver::start(4).expect("threads");
            runtime.block_on(async {
                is_local(&resolver.find(&place("localhost")).await);
                assert!(resolver.find(&place("no-such-host.invalid")).await.is_err());
            });
        }
    }

    #[test]
    fn each_question_is_asked_anew() {
        static ASKED: AtomicU16 = AtomicU16::new(0);
        let count = |_: &Place| Ok(vec![([127, 0, 0, 1], ASKED.fetch_add(1, Ordering::Relaxed)).into()]);
        let mut runtime = runtime::build(Driver::Epoll, 256).expect("a runtime");
        runtime.block_on(async {
            let resolver = Resolver::with(1, count).expect("a thread");
            for asked in 0..3 {
                let found = resolver.find(&place("name")).await.expect("an address");
                assert_eq!(found[0].port(), asked);
            }
        });
    }

    #[test]
    fn there_are_as_many_threads_as_questions_at_once_up_to_their_most() {
        let slow = |_: &Place| {
            thread::sleep(Duration::from_millis(20));
            Err("none".to_owned())
        };
        let mut runtime = runtime::build(Driver::Epoll, 256).expect("a runtime");
        runtime.block_on(async {
            let resolver = Resolver::with(64, slow).expect("a thread");
            assert!(resolver.find(&place("name")).await.is_err());
            assert_eq!(resolver.crew.threads.load(Ordering::Relaxed), 1);
            let ask = |_| {
                let resolver = resolver.clone();
                monoio::spawn(async move { resolver.find(&place("name")).await })
            };
            let asking: Vec<_> = (0..64).map(ask).collect();
            for answer in asking {
                assert_eq!(answer.await, Err("none".to_owned()));
            }
            assert_eq!(resolver.crew.threads.load(Ordering::Relaxed), LOOKUPS_AT_ONCE);
        });
    }

    #[test]
    fn no_more_questions_wait_than_may() {
        let slow = |_: &Place| {
            thread::sleep(Duration::from_millis(100));
            Err("none".to_owned())
        };
        let mut runtime = runtime::build(Driver::Epoll, 256).expect("a runtime");
        runtime.block_on(async {
            let resolver = Resolver::with(1, slow).expect("a thread");
            let asking: Vec<_> = (0..8)
                .map(|_| {
                    let resolver = resolver.clone();
                    monoio::spawn(async move { resolver.find(&place("name")).await })
                })
                .collect();
            let mut refused = 0;
            for answer in asking {
                refused += usize::from(answer.await.expect_err("none").contains("does not keep up"));
            }
            // One is being looked up and one waits; the thread may have taken the first only after the second came.
            assert!((6..=7).contains(&refused), "{refused}");
        });
    }
}
