//! The per-request path without sockets: decode, encode, schedule, record; and what a second and an end of run cost.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ringload::plan::request::Common;
use ringload::plan::urlset::Builder;
use ringload::plan::{Arrivals, Order, Schedule, UrlSet, Walk};
use ringload::record::{Latency, Outcome, Stamps, Tally};
use ringload::units::{Nanos, Rate};
use ringload::wire::decode::{Decoder, Event};
use ringload::wire::encode;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 21:00:00 GMT\r\n\
    Content-Type: application/octet-stream\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n world\n\r\n0\r\n\r\n";

/// Decodes one whole answer; returns its status.
fn decode(decoder: &mut Decoder, bytes: &[u8]) -> u16 {
    decoder.start(false);
    let (mut position, mut status) = (0, 0);
    loop {
        let (count, event) = decoder.next(&bytes[position..]).expect("a well-formed answer");
        position += count;
        match event {
            Event::Head(head) => status = head.status,
            Event::End | Event::NeedMore => return status,
            Event::Interim(_) | Event::Body(_) => {}
        }
    }
}

fn decoding(c: &mut Criterion) {
    let mut decoder = Decoder::new();
    c.bench_function("decode/nginx", |b| b.iter(|| decode(&mut decoder, black_box(ANSWER))));
    c.bench_function("decode/chunked", |b| b.iter(|| decode(&mut decoder, black_box(CHUNKED))));
}

fn urls(lines: u64) -> UrlSet {
    let common = Common { keep_alive: true, ..Common::default() };
    let mut builder = Builder::new(&common, "GET");
    for line in 0..lines {
        builder.push(None, &format!("http://127.0.0.1:8080/items/{line}?view=full")).expect("a URL");
    }
    builder.finish()
}

fn encoding(c: &mut Criterion) {
    let urls = urls(10_000);
    let (mut out, mut k) = (Vec::with_capacity(256), 0);
    for order in [Order::Seq, Order::Shuffle, Order::Random] {
        let walk = Walk::new(order, urls.len(), 0, 0, 2);
        c.bench_function(&format!("encode/10k_lines_{}", order.name()), |b| {
            b.iter(|| {
                let line = walk.line(&urls, k);
                k += 1;
                encode::render(&mut out, urls.template(line), urls.target(line), None);
                out.len()
            });
        });
    }
}

fn scheduling(c: &mut Criterion) {
    for (name, arrivals) in [("uniform", Arrivals::Uniform), ("poisson", Arrivals::Poisson)] {
        let mut schedule = Schedule::new(Rate { num: 1_000_000, den: 1 }, arrivals, 0, 0, 2);
        c.bench_function(&format!("schedule/{name}"), |b| {
            b.iter(|| {
                let at = schedule.peek();
                schedule.take();
                at
            });
        });
    }
}

/// A request that was answered after `us` microseconds.
fn stamps(number: u64, us: u64) -> Stamps {
    let intended = Nanos(number * 10_000);
    let sent = Nanos(intended.0 + 300);
    let done = Nanos(sent.0 + us * 1_000);
    Stamps { intended, ready: intended, sent: Some(sent), submitted: Some(sent), first_byte: Some(done), done }
}

fn recording(c: &mut Criterion) {
    let (mut tally, mut number) = (Tally::default(), 0u64);
    c.bench_function("record/answer", |b| {
        b.iter(|| {
            number += 1;
            tally.record(Outcome::Answered(200), &stamps(number, 100 + number * 7919 % 900));
        });
    });
    let other = tally.clone();
    c.bench_function("record/merge", |b| b.iter(|| tally.add(black_box(&other))));
    c.bench_function("record/quantile", |b| b.iter(|| tally.latencies[Latency::Response].quantile(black_box(0.99))));
}

fn reading(c: &mut Criterion) {
    let text: String = (0..10_000).map(|line| format!("http://127.0.0.1:8080/items/{line}?view=full\n")).collect();
    let common = Common { keep_alive: true, ..Common::default() };
    c.bench_function("urlset/10k_lines", |b| {
        b.iter_batched(
            || Builder::new(&common, "GET"),
            |mut builder| {
                builder.push_file("urls.txt", text.as_bytes()).expect("URLs");
                builder.finish().len()
            },
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, decoding, encoding, scheduling, recording, reading);
criterion_main!(benches);
