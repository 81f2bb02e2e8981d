//! The target over real sockets, on free ports of the loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::route::Kind;
use super::*;
use crate::clock;
use crate::net::runtime::Decision;
use crate::plan::DriverChoice;

/// One target at a time: a test counts the descriptors of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn started(threads: usize) -> Target {
    started_on(Decision::of(DriverChoice::Auto).unwrap().driver, threads)
}

fn started_on(driver: Driver, threads: usize) -> Target {
    let allowed: Vec<usize> = core_affinity::get_core_ids().unwrap().iter().map(|core| core.id).collect();
    let cores = allowed.iter().copied().cycle().take(threads).collect();
    Target::start(&Options { listen: "127.0.0.1:0".parse().unwrap(), cores, driver }).unwrap()
}

/// A client that reads answers one by one.
struct Client(BufReader<TcpStream>);

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    fn nanos(&self, name: &str) -> u64 {
        self.header(name).unwrap().parse().unwrap()
    }
}

impl Client {
    fn of(target: &Target) -> Self {
        let stream = TcpStream::connect(target.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.answer(true)
    }

    fn answer(&mut self, has_body: bool) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "the connection ended in {head:?}");
        }
        let status = head[9..12].parse().unwrap();
        let mut answer = Answer { status, head, body: Vec::new() };
        let len = answer.header("Content-Length").map_or(0, |len| len.parse().unwrap());
        if has_body {
            answer.body.resize(len, 0);
            self.0.read_exact(&mut answer.body).unwrap();
        }
        answer
    }

    fn ended(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0))
    }
}

#[test]
fn one_connection_serves_many_requests_and_all_are_counted() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"hello world\n"[..]));
        assert!(answer.nanos("X-Send-Ns") >= answer.nanos("X-Recv-Ns"));
        assert!(clock::now().0 >= answer.nanos("X-Send-Ns"));
    }
    assert_eq!(client.get("/nowhere").status, 404);
    assert_eq!(client.get("/bytes/x").status, 400);
    let stats: serde_json::Value = serde_json::from_slice(&client.get("/stats").body).unwrap();
    assert_eq!((&stats["requests"], &stats["open"], &stats["paths"]["/"]), (&6.into(), &1.into(), &3.into()));
    drop(client);
    let stats = target.stop();
    assert_eq!((stats.requests, stats.connections, stats.refused, stats.open), (6, 1, 0, 0));
    assert_eq!((stats.requests_for(Kind::Hello), stats.requests_for(Kind::Other)), (3, 2));
    assert!(stats.bytes_in > 6 * 20 && stats.bytes_out > 6 * 80);
}

#[test]
fn a_pipelined_batch_is_answered_in_order_and_in_one_write() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    let codes: Vec<u16> = (200..240).filter(|&code| code != 204 && code != 205).collect();
    let batch: String = codes.iter().map(|code| format!("GET /status/{code} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(&batch);
    let answers: Vec<Answer> = codes.iter().map(|_| client.answer(true)).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), codes);
    // One write has one time of sending. The kernel may hand the batch over in a few reads, each with its own.
    let mut times: Vec<u64> = answers.iter().map(|answer| answer.nanos("X-Send-Ns")).collect();
    times.dedup();
    assert!(times.len() <= 3, "{} writes", times.len());
}

#[test]
fn a_delay_in_a_batch_holds_back_only_what_follows_it() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    let paths = ["/", "/delay/30.5", "/"];
    client.send(paths.map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).concat());
    let [before, delayed, after] = paths.map(|_| client.answer(true));
    let sent = |answer: &Answer| answer.nanos("X-Send-Ns");
    assert!(sent(&delayed) >= delayed.nanos("X-Recv-Ns") + 30_500_000);
    assert!(sent(&before) < sent(&delayed) && sent(&delayed) <= sent(&after));
    assert_eq!(delayed.body, b"hello world\n");
}

#[test]
fn many_delays_at_once_are_each_kept() {
    let _alone = alone();
    let target = started(2);
    // Longest first, so that each arrival is earlier than what the timer is set to.
    let mut clients: Vec<(u64, Client)> = (1..=20).rev().map(|millis| (millis, Client::of(&target))).collect();
    for (millis, client) in &mut clients {
        client.send(format!("GET /delay/{millis} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    for (millis, client) in &mut clients {
        let answer = client.answer(true);
        let waited = answer.nanos("X-Send-Ns") - answer.nanos("X-Recv-Ns");
        assert!(waited >= *millis * 1_000_000, "{millis} ms became {waited} ns");
    }
}

#[test]
fn times_of_a_distribution_are_dealt_by_the_request_s_number() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    let spread = spread::Spread::parse(b"uniform=8ms").unwrap();
    for number in 0..20 {
        let answer = client.get("/delays?uniform=8ms");
        let waited = answer.nanos("X-Send-Ns") - answer.nanos("X-Recv-Ns");
        assert!(waited >= spread.at(number).0, "request {number} waited {waited} ns, not {:?}", spread.at(number));
        assert_eq!(answer.body, b"hello world\n");
    }
    assert_eq!(target.stats().requests_for(Kind::Delays), 20);
}

#[test]
fn a_queue_serves_one_after_the_other_and_is_never_too_long() {
    let _alone = alone();
    let target = started(1);
    let mut clients: Vec<Client> = (0..5).map(|_| Client::of(&target)).collect();
    for client in &mut clients {
        client.send("GET /queue?fixed=10ms HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let answers: Vec<Answer> = clients.iter_mut().map(|client| client.answer(true)).collect();
    let mut sent: Vec<u64> = answers.iter().map(|answer| answer.nanos("X-Send-Ns")).collect();
    sent.sort_unstable();
    let first = answers.iter().map(|answer| answer.nanos("X-Recv-Ns")).min().unwrap();
    for (place, sent) in (1..).zip(sent) {
        assert!(sent >= first + place * 10_000_000, "the {place}th was answered after {} ns", sent - first);
    }
    let mut waiting = Client::of(&target);
    waiting.send("GET /queue?fixed=60s HTTP/1.1\r\nHost: a\r\n\r\n");
    // The same thread reads both, in either order: the second to come is refused.
    clients[0].send("GET /queue?fixed=60s HTTP/1.1\r\nHost: a\r\n\r\n");
    let (sender, refused) = mpsc::channel();
    for mut client in [waiting, clients.swap_remove(0)] {
        let sender = sender.clone();
        std::thread::spawn(move || sender.send(client.answer(true).status).unwrap_or_default());
    }
    assert_eq!(refused.recv_timeout(Duration::from_secs(20)), Ok(503));
}

#[test]
fn head_statuses_and_old_clients_get_what_the_protocol_says() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    for path in ["/", "/bytes/100000", "/stats", "/status/404", "/echo"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(client.answer(false).header("Content-Length").is_some(), "{path}");
    }
    for code in [204, 304] {
        let answer = client.get(&format!("/status/{code}"));
        assert_eq!((answer.status, answer.header("Content-Length")), (code, None));
    }
    assert_eq!(client.get("/status/205").header("Content-Length"), Some("0"));
    assert_eq!(client.get("/status/503").body, b"503 Service Unavailable\n");

    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.answer(true).header("Connection"), Some("keep-alive"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer(true).header("Connection"), Some("close"));
    assert!(client.ended());
    let mut client = Client::of(&target);
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer(true).header("Connection"), Some("close"));
    assert!(client.ended());
}

#[test]
fn bytes_come_in_any_number_and_follow_the_pattern() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    for len in [0, 1, 63, 64, 16_384, 16_385, 131_072 + 16_384 + 5, 3_000_001] {
        let body = client.get(&format!("/bytes/{len}")).body;
        assert_eq!(body.len(), len);
        let line = &b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n"[..];
        assert!(body.chunks(64).all(|part| part == &line[..part.len()]), "{len}");
    }
}

#[test]
fn echo_returns_the_body_in_either_framing() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    for len in [0, 5, 20_000, 1_000_000] {
        let body: Vec<u8> = (0..len).map(|at: u32| (at % 251) as u8).collect();
        client.send(format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n"));
        client.send(&body);
        assert!(client.answer(true).body == body, "{len}");
    }
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    client.send("2\r\nde\r\n0\r\n\r\n");
    assert_eq!(client.answer(true).body, b"abcde");
    // A body that nobody asked for is read over.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client.send(vec![b'x'; 100_000]);
    assert_eq!(client.answer(true).body, b"hello world\n");
}

#[test]
fn a_client_that_expects_continue_is_told_to() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.answer(false).status, 100);
    client.send("abc");
    assert_eq!(client.answer(true).body, b"abc");
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 8388609\r\n\r\n");
    assert_eq!(client.answer(true).status, 413);
    assert!(client.ended());
}

#[test]
fn the_refused_are_told_why_and_closed() {
    let _alone = alone();
    let target = started(1);
    let huge_name = format!("GET / HTTP/1.1\r\nHost: a\r\n{}: x\r\n\r\n", "n".repeat(70_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(200));
    let refusals = [
        (huge_name.as_str(), 431),
        (many.as_str(), 431),
        ("nonsense\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ];
    for (request, status) in refusals {
        let mut client = Client::of(&target);
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{request}"));
        assert_eq!(client.answer(true).status, 200, "what came before the refused request is answered");
        let answer = client.answer(true);
        assert_eq!((answer.status, answer.header("Connection")), (status, Some("close")));
        assert!(answer.nanos("X-Send-Ns") >= answer.nanos("X-Recv-Ns"));
        assert!(client.ended());
    }
    assert_eq!(target.stop().refused, refusals.len() as u64);
}

#[test]
fn clients_that_leave_in_the_middle_harm_nobody() {
    let _alone = alone();
    let target = started(1);
    for start in ["", "GE", "GET / HTTP/1.1\r\nHo", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc"] {
        Client::of(&target).send(start);
    }
    Client::of(&target).send("GET /bytes/1073741824 HTTP/1.1\r\nHost: a\r\n\r\n");
    Client::of(&target).send("GET /delay/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(Client::of(&target).get("/").status, 200);
    // A client that has said all it will still gets its answer.
    let mut client = Client::of(&target);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client.answer(true).status, 200);
    assert!(client.ended());
}

#[test]
fn ipv6_is_served_too() {
    let _alone = alone();
    let listen = "[::1]:0".parse().unwrap();
    let core = core_affinity::get_core_ids().unwrap()[0].id;
    match Target::start(&Options { listen, cores: vec![core], driver: Driver::Epoll }) {
        Ok(target) => assert_eq!(Client::of(&target).get("/").status, 200),
        // A machine without IPv6.
        Err(TargetError::Listen { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_cannot_start_says_why() {
    let _alone = alone();
    let target = started(1);
    let start = |listen, cores| {
        Target::start(&Options { listen, cores, driver: Driver::Epoll }).err().map(|error| error.to_string())
    };
    let free = "127.0.0.1:0".parse().unwrap();
    let core = core_affinity::get_core_ids().unwrap()[0].id;
    assert_eq!(start(free, vec![]).unwrap(), "the target needs at least one core");
    assert!(start(free, vec![core, 1_000_000]).unwrap().starts_with("cannot run on CPU 1000000"));
    assert!(start(target.addr(), vec![core]).unwrap().starts_with("cannot listen on 127.0.0.1:"), "a taken port");
    // The port is free again once the target has stopped, though connections to it linger.
    let addr = target.addr();
    assert_eq!(Client::of(&target).get("/").status, 200);
    target.stop();
    assert_eq!(start(addr, vec![core]), None);
}

#[test]
fn starting_and_stopping_leaks_no_descriptors() {
    let _alone = alone();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let cycle = |driver| {
        let target = started_on(driver, 2);
        // Stopped while one connection is idle, one in a delay, one in a long answer that nobody reads.
        let mut clients: Vec<Client> = (0..8).map(|_| Client::of(&target)).collect();
        for client in &mut clients {
            assert_eq!(client.get("/").status, 200);
        }
        clients[0].send("GET /delay/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
        clients[1].send("GET /bytes/1073741824 HTTP/1.1\r\nHost: a\r\n\r\n");
        while target.stats().requests < 10 {
            std::thread::yield_now();
        }
        let stats = target.stop();
        assert_eq!((stats.requests, stats.connections, stats.open), (10, 8, 0));
        assert!(clients[2].ended());
    };
    // The same driver twice where the machine has but one.
    let drivers = [Decision::of(DriverChoice::Auto).unwrap().driver, Driver::Epoll];
    drivers.into_iter().for_each(cycle);
    let before = descriptors();
    for _ in 0..10 {
        drivers.into_iter().for_each(cycle);
    }
    // Ten cycles that leaked one descriptor each would show; other tests of this process open and close theirs meanwhile.
    let leaked = || descriptors() >= before + 10;
    for _ in 0..100 {
        if leaked() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert!(!leaked(), "{before} descriptors became {}", descriptors());
}

#[path = "fault_tests.rs"]
mod faults;
