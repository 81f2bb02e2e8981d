//! HTTP/2: streams, what becomes of a request when its stream or its connection fails, and servers that break the rules.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::version::TLS13;

use crate::support::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, INTERNAL_ERROR,
    MAX_CONCURRENT_STREAMS, NO_ERROR, PING, REFUSED_STREAM, RST_STREAM, STATUS_200, frame, ok,
};
use crate::support::tls::Authority;
use crate::support::{OK, Peer, Program, Report, Server, bench, measure, on_driver};

const H2: &[&str] = &["--http", "2", "-t", "1"];

/// A run against a server that does as `script` says.
#[track_caller]
fn run(script: impl Fn(&mut Peer) + Send + Sync + 'static, args: &[&str]) -> (Report, Server) {
    let server = Server::start(script);
    let report = measure(&[&[server.url("/").as_str()], H2, args].concat());
    (report, server)
}

#[test]
fn both_drivers_speak_http_2_by_prior_knowledge() {
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            let (report, server) =
                run(frames::answering(|_, stream| Some(ok(stream))), &["-n", "500", "-c", "2", "--streams", "8"]);
            report.assert_ok(500);
            assert_eq!((server.accepted(), report.count("redials")), (2, 0));
            assert_eq!((report.at("plan.http").as_str(), report.number("plan.streams")), (Some("2"), 8));
            assert!(
                report.number("bytes.in") >= 500 * 21 && report.number("bytes.out") > 500 * 9,
                "{}",
                report.at("bytes")
            );
        });
    }
}

#[test]
fn a_request_says_over_http_2_what_it_says_over_http_1() {
    let seen = Arc::<Mutex<Vec<frames::Frame>>>::default();
    let of_script = Arc::clone(&seen);
    let script = move |peer: &mut Peer| {
        frames::greet(peer, &[]);
        while let Some(frame) = frames::next(peer) {
            frames::polite(peer, &frame);
            if frame.kind == DATA {
                peer.send(&ok(frame.stream));
            }
            of_script.lock().expect("one thread").push(frame);
        }
    };
    let (report, _server) =
        run(script, &["-n", "1", "-c", "1", "-b", "hello", "-H", "X-Up: 1", "-H", "Connection: close"]);
    report.assert_ok(1);
    let seen = seen.lock().expect("the run is over");
    let head = seen.iter().find(|frame| frame.kind == HEADERS).expect("a request");
    let body: Vec<u8> =
        seen.iter().filter(|frame| frame.kind == DATA).flat_map(|frame| frame.payload.clone()).collect();
    // Indexed `:method: POST` and `:scheme: http`, `:path: /`; no header of a connection.
    assert!([0x83, 0x86, 0x84].iter().all(|indexed| head.payload.contains(indexed)), "{head:?}");
    assert_eq!((head.flags & END_STREAM, body.as_slice()), (0, &b"hello"[..]));
}

#[test]
fn more_streams_than_the_server_allows_wait_as_pool_lag() {
    let most = Arc::<AtomicU64>::default();
    let of_script = Arc::clone(&most);
    let script = move |peer: &mut Peer| {
        frames::greet(peer, &[(MAX_CONCURRENT_STREAMS, 2)]);
        let mut open = 0;
        while let Some(stream) = frames::request(peer) {
            open += 1;
            of_script.fetch_max(open, Ordering::SeqCst);
            if open == 2 {
                peer.sleep(Duration::from_millis(20));
                peer.send(&[ok(stream - 2), ok(stream)].concat());
                open = 0;
            }
        }
    };
    let (report, server) = run(script, &["-n", "16", "-c", "1", "--streams", "8"]);
    report.assert_ok(16);
    assert_eq!((server.accepted(), most.load(Ordering::SeqCst)), (1, 2));
    assert!(report.slower_than("pool_lag", Duration::from_millis(15)) >= 8, "{}", report.at("latency_us.pool_lag"));
    assert_eq!(report.slower_than("service", Duration::from_millis(500)), 0);
}

#[test]
fn a_limit_that_is_raised_is_used_by_those_who_wait() {
    let most = Arc::<AtomicU64>::default();
    let of_script = Arc::clone(&most);
    let script = move |peer: &mut Peer| {
        frames::greet(peer, &[(MAX_CONCURRENT_STREAMS, 1)]);
        let Some(first) = frames::request(peer) else { return };
        peer.send(&[frames::settings(&[(MAX_CONCURRENT_STREAMS, 100)]), ok(first)].concat());
        let mut open = Vec::new();
        while let Some(stream) = frames::request(peer) {
            open.push(stream);
            of_script.fetch_max(open.len() as u64, Ordering::SeqCst);
            if open.len() == 8 {
                open.drain(..).for_each(|stream| assert!(peer.send(&ok(stream))));
            }
        }
    };
    let (report, server) = run(script, &["-n", "33", "-c", "1", "--streams", "8"]);
    report.assert_ok(33);
    assert_eq!((server.accepted(), most.load(Ordering::SeqCst)), (1, 8));
}

#[test]
fn a_connection_that_allows_no_stream_any_more_is_replaced() {
    let script = |peer: &mut Peer| {
        frames::greet(peer, &[]);
        let mut streams = Vec::new();
        while let Some(stream) = frames::request(peer) {
            streams.push(stream);
            if peer.number > 0 {
                peer.send(&ok(stream));
            } else if streams.len() == 2 {
                let limit = |most| frames::settings(&[(MAX_CONCURRENT_STREAMS, most)]);
                peer.send(&[limit(0), ok(streams[0])].concat());
                peer.sleep(Duration::from_millis(50));
                peer.send(&[limit(100), ok(streams[1])].concat());
            }
        }
    };
    let (report, server) = run(script, &["-n", "12", "-c", "1", "--streams", "2"]);
    report.assert_ok(12);
    assert_eq!(server.accepted(), 2);
}

#[test]
fn an_origin_that_has_come_back_is_asked_again() {
    let good = Server::start(frames::answering(|_, stream| Some(ok(stream))));
    let started = Instant::now();
    let flaky = Server::start(move |peer| {
        if started.elapsed() < Duration::from_millis(700) {
            return peer.close();
        }
        frames::answering(|_, stream| Some(ok(stream)))(peer);
    });
    let urls = [good.url("/"), flaky.url("/")];
    let args = ["-c", "1", "--streams", "4", "-R", "100", "-d", "3s"];
    let report = measure(&[&[urls[0].as_str(), urls[1].as_str()], H2, &args].concat());
    assert!(report.failure("closed_early") > 0 && report.count("ok") > 200, "{}", report.at("counts"));
}

#[test]
fn a_reset_stream_is_counted_and_its_connection_kept() {
    let answer = |_: &mut Peer, stream: u32| {
        Some(if stream % 4 == 1 { frames::reset(stream, INTERNAL_ERROR) } else { ok(stream) })
    };
    let (report, server) = run(frames::answering(answer), &["-n", "100", "-c", "1"]);
    report.assert_failures("stream_reset", 50);
    assert_eq!((server.accepted(), report.count("ok")), (1, 50));
}

#[test]
fn an_answer_that_is_cut_short_is_none() {
    // In one write, so that its end is known before a byte of it is looked at.
    let begun =
        |stream: u32| [frame(HEADERS, END_HEADERS, stream, &[STATUS_200]), frame(DATA, 0, stream, b"o")].concat();
    let answer = move |_: &mut Peer, stream: u32| Some([begun(stream), frames::reset(stream, INTERNAL_ERROR)].concat());
    let (report, server) = run(frames::answering(answer), &["-n", "20", "-c", "1"]);
    report.assert_failures("stream_reset", 20);
    assert_eq!(server.accepted(), 1);
    let closing = move |peer: &mut Peer| {
        frames::greet(peer, &[]);
        if let Some(stream) = frames::request(peer) {
            peer.send(&begun(stream));
            peer.close();
        }
    };
    let (report, _) = run(closing, &["-n", "5", "-c", "1"]);
    report.assert_failures("closed_early", 5);
}

#[test]
fn a_whole_answer_counts_though_the_server_takes_no_more_of_the_request() {
    // `content-length: 2`, a literal that is not indexed.
    const LENGTH_2: &[u8] = &[STATUS_200, 0x0f, 0x0d, 1, b'2'];
    let sized =
        |stream| [frame(HEADERS, END_HEADERS, stream, LENGTH_2), frame(DATA, END_STREAM, stream, b"ok")].concat();
    let script = move |peer: &mut Peer| {
        // The body of a request never goes out.
        frames::greet(peer, &[(INITIAL_WINDOW_SIZE, 0)]);
        while let Some(stream) = frames::request(peer) {
            let (answer, reason) =
                if stream % 4 == 1 { (ok(stream), NO_ERROR) } else { (sized(stream), INTERNAL_ERROR) };
            peer.send(&[answer, frames::reset(stream, reason)].concat());
        }
    };
    let (report, _) = run(script, &["-n", "20", "-c", "1", "-X", "POST", "-b", "not wanted"]);
    report.assert_ok(20);
}

#[test]
fn what_the_server_did_not_touch_is_sent_once_more() {
    let answer = |_: &mut Peer, stream: u32| {
        Some(if stream % 4 == 1 { frames::reset(stream, REFUSED_STREAM) } else { ok(stream) })
    };
    let (report, server) = run(frames::answering(answer), &["-n", "50", "-c", "1", "-X", "POST"]);
    report.assert_ok(50);
    assert_eq!((server.accepted(), report.count("redials")), (1, 50));
    let refusing = |_: &mut Peer, stream: u32| Some(frames::reset(stream, REFUSED_STREAM));
    let (report, _) = run(frames::answering(refusing), &["-n", "10", "-c", "1"]);
    report.assert_failures("stream_reset", 10);
    assert_eq!(report.count("redials"), 10);
}

#[test]
fn a_connection_that_goes_away_is_replaced_and_what_it_refused_sent_there() {
    // Answers the first request and goes away with the others open.
    let script = |peer: &mut Peer| {
        frames::greet(peer, &[]);
        let Some(first) = frames::request(peer) else { return };
        peer.sleep(Duration::from_millis(20));
        let farewell = if peer.number == 0 { frames::go_away(first) } else { Vec::new() };
        peer.send(&[farewell, ok(first)].concat());
        while peer.number > 0
            && let Some(stream) = frames::request(peer)
        {
            peer.send(&ok(stream));
        }
        peer.stall();
    };
    let (report, server) = run(script, &["-n", "40", "-c", "1", "--streams", "4", "-X", "POST"]);
    report.assert_ok(40);
    assert_eq!((server.accepted(), report.count("redials")), (2, 3));
}

#[test]
fn a_timeout_resets_the_stream_and_keeps_the_connection() {
    let resets = Arc::<AtomicU64>::default();
    let of_script = Arc::clone(&resets);
    let script = move |peer: &mut Peer| {
        frames::greet(peer, &[]);
        while let Some(frame) = frames::next(peer) {
            frames::polite(peer, &frame);
            match frame.kind {
                HEADERS if frame.stream % 8 != 1 => drop(peer.send(&ok(frame.stream))),
                RST_STREAM => drop(of_script.fetch_add(1, Ordering::SeqCst)),
                _ => {}
            }
        }
    };
    let (report, server) = run(script, &["-n", "40", "-c", "1", "--streams", "2", "--timeout", "200ms"]);
    report.assert_failures("timeout", 10);
    assert_eq!((report.count("ok"), server.accepted()), (30, 1));
    server.wait_until(|_| resets.load(Ordering::SeqCst) == 10);
}

#[test]
fn a_connection_that_dies_fails_one_with_the_cause_and_the_others_as_reset() {
    let script = |end: fn(&mut Peer)| {
        move |peer: &mut Peer| {
            frames::greet(peer, &[]);
            (0..4).for_each(|_| assert!(frames::request(peer).is_some()));
            end(peer);
        }
    };
    let args = ["-n", "4", "-c", "1", "--streams", "4"];
    for (kind, end) in [
        ("closed_early", (|peer| peer.close()) as fn(&mut Peer)),
        ("protocol", |peer| {
            peer.send(&frame(DATA, 0, 0, b"no stream"));
            peer.stall();
        }),
    ] {
        let (report, _) = run(script(end), &args);
        assert_eq!((report.failure(kind), report.failure("reset")), (1, 3), "{kind}: {}", report.at("failures"));
    }
    let (report, _) = run(script(|peer| peer.reset()), &args);
    report.assert_failures("reset", 4);
}

#[test]
fn a_server_that_does_not_speak_http_2_is_named_before_the_run() {
    let said = |script: fn(&mut Peer)| {
        let server = Server::start(script);
        let done = bench(&[&[server.url("/").as_str(), "-n", "1", "--connect-timeout", "300ms"], H2].concat());
        done.assert_code(2);
        done.stderr
    };
    let http1 = said(|peer| while peer.request().is_some() && peer.send(OK) {});
    assert!(http1.contains("speaks no HTTP/2 here"), "{http1}");
    let closing = said(|peer| peer.close());
    assert!(closing.contains("closed the connection instead of speaking HTTP/2"), "{closing}");
    let silent = said(Peer::stall);
    assert!(silent.contains("no connection within 300ms"), "{silent}");
    let none_allowed = said(|peer| {
        frames::greet(peer, &[(MAX_CONCURRENT_STREAMS, 0)]);
        while frames::request(peer).is_some() {}
    });
    assert!(none_allowed.contains("no connection within 300ms"), "{none_allowed}");
}

#[test]
fn http_2_over_tls_is_what_both_sides_agree_on() {
    let authority = Authority::new();
    let server_of = |protocols: &[&str], script: fn(&mut Peer)| {
        let mut config = (*authority.server(&authority.issue(&["127.0.0.1"]), &[&TLS13], false)).clone();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Server::encrypted(Arc::new(config), script)
    };
    let h2 = |peer: &mut Peer| frames::answering(|_, stream| Some(ok(stream)))(peer);
    let http1 = |peer: &mut Peer| while peer.request().is_some() && peer.send(OK) {};
    let ca = authority.file();
    let url = |server: &Server| format!("https://{}/", server.addr());
    let both = server_of(&["h2", "http/1.1"], h2);
    let report = measure(&[&url(&both), "--cacert", &ca, "-n", "50", "-c", "2", "-t", "1", "--streams", "4"]);
    report.assert_ok(50);
    assert_eq!((report.at("origins.0.tls.alpn").as_str(), both.requests().len()), (Some("h2"), 0));
    let old = server_of(&["http/1.1"], http1);
    let report = measure(&[&url(&old), "--cacert", &ca, "-n", "50", "-c", "2", "-t", "1", "--streams", "4"]);
    report.assert_ok(50);
    assert_eq!((report.at("origins.0.tls.alpn").as_str(), old.requests().len()), (Some("http/1.1"), 50));
    assert!(report.count("connections_opened") == 2, "requests that find both taken wait for one");
    let both = server_of(&["h2", "http/1.1"], http1);
    measure(&[&url(&both), "--cacert", &ca, "-n", "10", "--http", "1.1"]).assert_ok(10);
    let refused = bench(&[&url(&old), "--cacert", &ca, "-n", "1", "--http", "2"]);
    refused.assert_code(2);
    // A server with protocols of its own refuses by alert; one without any agrees to none.
    assert!(refused.stderr.contains("none of the protocols offered"), "{}", refused.stderr);
    let none = bench(&[&url(&server_of(&[], http1)), "--cacert", &ca, "-n", "1", "--http", "2"]);
    assert!(none.stderr.contains("does not agree to HTTP/2 (ALPN); --http auto"), "{}", none.stderr);
}

/// Three requests to a server that misbehaves once one has come: every one is accounted for, by the kinds named, within its
/// time limit and in bounded memory.
#[track_caller]
fn misbehave(kinds: &[&str], behave: impl Fn(&mut Peer, u32) + Send + Sync + 'static) -> Report {
    let script = move |peer: &mut Peer| {
        frames::greet(peer, &[]);
        if let Some(stream) = frames::request(peer) {
            behave(peer, stream);
        }
    };
    let server = Server::start(script);
    let url = server.url("/");
    let all = [&[url.as_str(), "-n", "3", "-c", "1", "--timeout", "400ms", "--start-anyway", "--format", "json"], H2]
        .concat();
    let started = Instant::now();
    let mut program = Program::start(&[&["bench"], &all[..]].concat());
    let mut memory = 0;
    while !program.has_ended() {
        memory = program.peak_memory().unwrap_or(memory);
        std::thread::sleep(Duration::from_millis(2));
    }
    let finished = program.finish();
    let report = Report::of(&finished);
    let failed: u64 = kinds.iter().map(|kind| report.failure(kind)).sum();
    assert_eq!((failed, report.count("failed")), (3, 3), "{}", report.at("failures"));
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    assert!(started.elapsed() < Duration::from_secs(20), "a hang");
    assert!((1..256 << 20).contains(&memory), "{memory} bytes of memory");
    report
}

#[test]
fn endless_continuation_is_a_counted_failure() {
    for padding in [&b""[..], &[0x40, 1, b'x', 1, b'y']] {
        misbehave(&["timeout", "protocol", "reset", "closed_early"], move |peer, stream| {
            peer.send(&frame(HEADERS, 0, stream, &[STATUS_200]));
            while peer.send(&frame(CONTINUATION, 0, stream, padding).repeat(500)) {}
        });
    }
}

#[test]
fn endless_settings_and_pings_are_a_counted_failure_and_take_no_memory() {
    // Nothing of ours is read: the answers to these must not pile up.
    for piece in [frames::settings(&[(INITIAL_WINDOW_SIZE, 70_000)]), frame(PING, 0, 0, b"12345678")] {
        misbehave(&["timeout"], move |peer, _| while peer.send(&piece.repeat(1_000)) {});
    }
}

#[test]
fn a_head_that_is_too_large_is_protocol() {
    let report = misbehave(&["protocol", "stream_reset"], |peer, stream| {
        // A literal header of 20,000 bytes, four times: beyond the 64 KiB that we say we take.
        let value = [&[0x00, 1, b'x', 0x7f, 0xa1, 0x9b, 0x01][..], &[b'v'; 20_000]].concat();
        let payload = |first: &[u8]| [first, &value].concat();
        for piece in payload(&[STATUS_200])
            .chunks(16_000)
            .enumerate()
            .map(|(at, piece)| frame(if at == 0 { HEADERS } else { CONTINUATION }, 0, stream, piece))
        {
            peer.send(&piece);
        }
        for at in 0..4 {
            for piece in value.chunks(16_000) {
                peer.send(&frame(CONTINUATION, 0, stream, piece));
            }
            if at == 3 {
                peer.send(&frame(CONTINUATION, END_HEADERS, stream, &[]));
            }
        }
        while let Some(stream) = frames::request(peer) {
            peer.send(&frames::reset(stream, INTERNAL_ERROR));
        }
    });
    assert_eq!(report.failure("protocol"), 1);
}

#[test]
fn garbage_in_the_place_of_frames_is_protocol() {
    let garbage: [&[u8]; 5] = [
        &[0xff; 64],
        // Compression that points nowhere, a frame for no stream, a window of more than there is, a push we ruled out.
        &[0, 0, 1, HEADERS, END_HEADERS, 0, 0, 0, 1, 0xff],
        &[0, 0, 4, RST_STREAM, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 5, 5, END_HEADERS, 0, 0, 0, 1, 0, 0, 0, 2, 0x88],
    ];
    for bytes in garbage {
        misbehave(&["protocol"], move |peer, _| {
            peer.send(bytes);
            peer.stall();
        });
    }
}

#[test]
fn a_window_of_zero_for_ever_is_a_timeout() {
    let script = |peer: &mut Peer| {
        frames::greet(peer, &[(INITIAL_WINDOW_SIZE, 0)]);
        while frames::request(peer).is_some() {}
    };
    let (report, server) = run(script, &["-n", "4", "-c", "1", "--streams", "2", "-b", "hello", "--timeout", "200ms"]);
    report.assert_failures("timeout", 4);
    assert_eq!(server.accepted(), 1);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    for (args, part) in [
        (&["http://h/", "--streams", "8"][..], "add --http 2"),
        (&["https://h/", "--streams", "8", "--http", "1.1"], "leave --http 1.1 out"),
        (&["https://h/", "--streams", "8", "--keep-alive", "false"], "--keep-alive false"),
        (&["https://h/", "--streams", "0"], "at least 1"),
        (&["https://h/", "--streams", "1M"], "the limit is"),
        (&["https://h/", "--http", "1.1", "--alpn", "h2"], "--http 1.1 rules out"),
    ] {
        let done = bench(args);
        done.assert_code(2);
        assert!(done.stderr.contains(part), "{args:?}: {}", done.stderr);
    }
}
