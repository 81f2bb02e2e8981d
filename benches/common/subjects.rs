//! The operations of the per-request path without sockets, and what a second, an input line and the end of a run cost:
//! one list, for the bench that times them and for the one whose instructions are counted.

use std::hint::black_box;

use ringload::plan::request::Common;
use ringload::plan::urlset::Builder;
use ringload::plan::{Arrivals, Order, Schedule, Shape, Stages, UrlSet, Walk};
use ringload::record::timeline::Timeline;
use ringload::record::{Interval, Latency, Outcome, Stamps, Tally};
use ringload::units::{Nanos, Rate};
use ringload::wire::decode::{Decoder, Event};
use ringload::wire::encode;

pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 21:00:00 GMT\r\n\
    Content-Type: application/octet-stream\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n";
/// A second later.
const OTHER_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 22 Nov 2026 21:00:01 GMT\r\n\
    Content-Type: application/octet-stream\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n";
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7\r\n world\n\r\n0\r\n\r\n";
/// Lines of the input that is read at a time.
const LINES: u64 = 1_000;

/// What is done with each operation.
pub(crate) trait Visitor {
    /// One operation, which does its work `parts` times.
    fn subject(&mut self, name: &str, parts: u64, operation: impl FnMut());
}

/// Shows all operations to `visitor`.
pub(crate) fn visit(visitor: &mut impl Visitor) {
    decoding(visitor);
    encoding(visitor);
    scheduling(visitor);
    recording(visitor);
    reading(visitor);
}

/// Decodes one whole answer; returns its status.
pub(crate) fn decode(decoder: &mut Decoder, bytes: &[u8]) -> u16 {
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

fn decoding(visitor: &mut impl Visitor) {
    let mut decoder = Decoder::new();
    visitor.subject("decode/same_head", 1, || {
        black_box(decode(&mut decoder, black_box(ANSWER)));
    });
    visitor.subject("decode/new_head", 2, || {
        black_box(decode(&mut decoder, black_box(ANSWER)));
        black_box(decode(&mut decoder, black_box(OTHER_ANSWER)));
    });
    visitor.subject("decode/chunked", 1, || {
        black_box(decode(&mut decoder, black_box(CHUNKED)));
    });
}

/// So many lines of one site.
pub(crate) fn urls(lines: u64) -> UrlSet {
    let common = Common { keep_alive: true, ..Common::default() };
    let mut builder = Builder::new(&common, "GET");
    for line in 0..lines {
        builder.push(None, &format!("http://127.0.0.1:8080/items/{line}?view=full")).expect("a URL");
    }
    builder.finish()
}

fn encoding(visitor: &mut impl Visitor) {
    let urls = urls(10_000);
    let (mut out, mut k) = (Vec::with_capacity(256), 0);
    for order in [Order::Seq, Order::Shuffle, Order::Random] {
        let walk = Walk::new(order, urls.len(), 0, 0, 2);
        visitor.subject(&format!("encode/10k_lines_{}", order.name()), 1, || {
            let line = walk.line(&urls, k);
            k += 1;
            encode::render(&mut out, urls.template(line), urls.target(line), None);
            black_box(&out);
        });
    }
}

fn scheduling(visitor: &mut impl Visitor) {
    let constant = Shape::Constant(Rate { num: 1_000_000, den: 1 });
    // So long that it does not end.
    let ramp = Shape::Stages(Stages::parse("1:10M@50h").expect("a ramp").into());
    for (name, shape, arrivals) in [
        ("uniform", &constant, Arrivals::Uniform),
        ("poisson", &constant, Arrivals::Poisson),
        ("ramp", &ramp, Arrivals::Uniform),
        ("ramp poisson", &ramp, Arrivals::Poisson),
    ] {
        let mut schedule = Schedule::new(shape, arrivals, 0, 0, 2);
        visitor.subject(&format!("schedule/{name}"), 1, || {
            black_box(schedule.peek());
            schedule.take();
        });
    }
}

/// A request that was answered after `us` microseconds.
fn stamps(number: u64, us: u64) -> Stamps {
    let intended = Nanos(number * 10_000);
    let sent = Nanos(intended.0 + 300);
    let done = Nanos(sent.0 + us * 1_000);
    let sent = Some(sent);
    Stamps { intended, ready: intended, sent, submitted: sent, first_byte: Some(done), done, ..Stamps::default() }
}

fn recording(visitor: &mut impl Visitor) {
    let mut tally = Tally::default();
    let number = &mut 0u64;
    let mut record = |tally: &mut Tally| {
        *number += 1;
        tally.record(Outcome::Answered(200), &stamps(*number, 100 + *number * 7919 % 900));
    };
    (0..10_000).for_each(|_| record(&mut tally));
    visitor.subject("record/answer", 1, || record(&mut tally));
    let other = tally.clone();
    visitor.subject("record/merge", 1, || tally.add(black_box(&other)));
    visitor.subject("record/quantile", 1, || {
        black_box(tally.latencies[Latency::Response].quantile(black_box(0.99)));
    });
    let (mut timeline, mut interval) = (Timeline::new(2), Interval::default());
    (0..10_000).for_each(|number| interval.response.record(Nanos(100_000 + number * 7919 % 900_000)));
    visitor.subject("record/page_of_two_shards", 1, || {
        for shard in 0..2 {
            timeline.add(shard, black_box(&interval));
        }
        interval.id = interval.id.next();
    });
}

fn reading(visitor: &mut impl Visitor) {
    let common = Common { keep_alive: true, ..Common::default() };
    let mut read = |name: &str, text: &str| {
        visitor.subject(name, LINES, || {
            let mut builder = Builder::new(&common, "GET");
            builder.push_file("urls.txt", text.as_bytes()).expect("URLs");
            black_box(builder.finish());
        });
    };
    let plain = (0..LINES).map(|line| format!("http://127.0.0.1:8080/items/{line}?view=full\n"));
    read("urlset/1000_plain_lines", &plain.collect::<String>());
    let json =
        (0..LINES).map(|line| format!("{{\"method\":\"GET\",\"url\":\"http://127.0.0.1:8080/items/{line}\"}}\n"));
    read("urlset/1000_json_lines", &json.collect::<String>());
    let full = (0..LINES).map(|line| {
        format!(
            "{{\"method\":\"POST\",\"url\":\"http://127.0.0.1:8080/items/{line}\",\
             \"header\":{{\"Content-Type\":[\"text/plain\"]}},\"body\":\"{line:08}\",\"weight\":{}}}\n",
            line % 7 + 1
        )
    });
    read("urlset/1000_json_lines_with_all", &full.collect::<String>());
    let own = (0..LINES).map(|line| {
        format!(
            "{{\"method\":\"PUT\",\"url\":\"http://127.0.0.1:8080/items/{line:08}?view=full\",\
             \"header\":{{\"X-A\":[\"b\"]}},\"body\":\"AAAA{line:012}\"}}\n"
        )
    });
    read("urlset/1000_json_lines_with_own_bodies", &own.collect::<String>());
}
