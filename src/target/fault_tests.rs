//! The fault paths over real sockets.

use super::*;

const LINE: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";

fn follows_the_pattern(body: &[u8]) -> bool {
    body.chunks(LINE.len()).all(|part| part == &LINE[..part.len()])
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

impl Client {
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert!(line.ends_with("\r\n"), "{line:?}");
        line.trim_end().to_owned()
    }

    /// The chunks of a body, to its end.
    fn chunks(&mut self) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        loop {
            let mut data = vec![0; usize::from_str_radix(&self.line(), 16).unwrap()];
            self.0.read_exact(&mut data).unwrap();
            assert_eq!(self.line(), "");
            if data.is_empty() {
                return chunks;
            }
            chunks.push(data);
        }
    }

    /// All that comes until the connection ends cleanly.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("a clean end");
        rest
    }
}

#[test]
fn a_chunked_body_has_its_bytes_in_several_chunks_and_the_connection_goes_on() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    for len in [0, 1, 5, 1_000, 65_536, 131_071, 131_072, 131_073, 1_000_001] {
        client.send(get(&format!("/chunked/{len}")));
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.header("Transfer-Encoding")), (200, Some("chunked")));
        assert_eq!(answer.header("Content-Length"), None);
        let chunks = client.chunks();
        assert!(chunks.len() >= len.min(4) && chunks.iter().all(|chunk| chunk.len() <= 16_384), "{len}");
        let body = chunks.concat();
        assert!(body.len() == len && follows_the_pattern(&body), "{len}");
    }
    client.send("HEAD /chunked/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(false).header("Transfer-Encoding"), Some("chunked"));
    client.send("GET /chunked/70 HTTP/1.0\r\n\r\n");
    let answer = client.answer(true);
    assert_eq!((answer.header("Transfer-Encoding"), answer.header("Content-Length")), (None, Some("70")));
    assert!(follows_the_pattern(&answer.body) && client.ended());
    assert_eq!(target.stop().requests_for(Kind::Chunked), 11);
}

#[test]
fn a_slow_body_starts_at_once_and_ends_when_its_time_is_over() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    for (bytes, millis) in [(1, 30), (1_000, 30), (100_001, 25), (300_000, 0)] {
        let answer = client.get(&format!("/slow/{bytes}/{millis}"));
        let ended = clock::now().0;
        assert!(answer.body.len() == bytes && follows_the_pattern(&answer.body), "{bytes}");
        assert!(ended >= answer.nanos("X-Recv-Ns") + millis * 1_000_000, "{bytes} bytes came early");
    }
    // A head that waited for the body's time would come after a minute, and this client gives up before.
    client.send("HEAD /slow/9/60000 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(false).header("Content-Length"), Some("9"));
    client.send(get("/slow/1/60000"));
    assert_eq!(client.answer(false).header("Content-Length"), Some("1"));
    assert_eq!(target.stop().requests_for(Kind::Slow), 6);
}

#[test]
fn what_arrives_in_a_stall_is_answered_at_its_end() {
    let _alone = alone();
    let target = started(1);
    let mut clients: Vec<Client> = (0..4).map(|_| Client::of(&target)).collect();
    for (query, every, length) in [("every=40ms&for=40ms", 40, 40), ("for=30ms&every=60ms", 60, 30)] {
        let (every, length) = (every * 1_000_000, length * 1_000_000);
        for client in &mut clients {
            client.send(get(&format!("/stall?{query}")));
        }
        for client in &mut clients {
            let answer = client.answer(true);
            assert_eq!(answer.body, b"hello world\n");
            let (arrived, sent) = (answer.nanos("X-Recv-Ns"), answer.nanos("X-Send-Ns"));
            let phase = arrived % every;
            let release = if phase < every - length { arrived } else { arrived - phase + every };
            assert!(sent >= release, "arrived in phase {phase} and sent {} ns early", release - sent);
        }
    }
    // Nothing stalls here; the answer in front of a stalled one does not wait for it.
    assert_eq!(clients[0].get("/stall?every=60s&for=0").status, 200);
    clients[0].send([get("/"), get("/stall?every=1h&for=60s"), get("/stall?every=1m&for=60s")].concat());
    assert_eq!(clients[0].answer(true).status, 200);
    assert_eq!(clients[1].get("/stall?every=1s").status, 400);
    drop(clients);
    assert!(target.stop().requests_for(Kind::Stall) >= 9);
}

#[test]
fn a_reset_is_a_reset_and_comes_behind_the_earlier_answers() {
    let _alone = alone();
    let target = started(1);
    for requests in [get("/reset"), "POST /reset HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab".to_owned()] {
        let mut client = Client::of(&target);
        client.send(requests);
        let error = client.0.read(&mut [0]).expect_err("no clean end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    let mut client = Client::of(&target);
    client.send([get("/"), get("/reset"), get("/")].concat());
    assert_eq!(client.answer(true).status, 200);
    assert_eq!(client.0.read(&mut [0]).expect_err("no clean end").kind(), io::ErrorKind::ConnectionReset);
    let stats = target.stop();
    assert_eq!((stats.requests_for(Kind::Reset), stats.requests_for(Kind::Hello)), (3, 1));
    assert_eq!((stats.connections, stats.open), (3, 0));
}

#[test]
fn a_truncated_answer_ends_before_the_length_that_it_announced() {
    let _alone = alone();
    let target = started(1);
    let mut client = Client::of(&target);
    client.send([get("/"), get("/truncate"), get("/")].concat());
    assert_eq!(client.answer(true).status, 200);
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.header("Content-Length")), (200, Some("24")));
    assert_eq!(client.rest(), b"hello world\n");
    let mut client = Client::of(&target);
    client.send("HEAD /truncate HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer(false).header("Content-Length"), Some("24"));
    assert_eq!(client.rest(), b"");
    let stats = target.stop();
    assert_eq!((stats.requests_for(Kind::Truncate), stats.requests_for(Kind::Hello)), (2, 1));
}

#[test]
fn garbage_is_no_http_and_the_connection_ends() {
    let _alone = alone();
    let target = started(1);
    for method in ["GET", "HEAD"] {
        let mut client = Client::of(&target);
        client.send(format!("{}{method} /garbage HTTP/1.1\r\nHost: a\r\n\r\n{}", get("/"), get("/")));
        assert_eq!(client.answer(true).status, 200);
        let rest = client.rest();
        assert!(!rest.is_empty() && !rest.starts_with(b"HTTP/"), "{rest:?}");
    }
    assert_eq!(target.stop().requests_for(Kind::Garbage), 2);
}

#[test]
fn a_close_is_clean_even_over_input_that_is_never_answered() {
    let _alone = alone();
    let target = started(1);
    for method in ["GET", "HEAD", "POST"] {
        let mut client = Client::of(&target);
        client.send(format!("{}{method} /close HTTP/1.1\r\nHost: a\r\n\r\n", get("/")));
        // More than a buffer full, so that the target closes over input that it has not read.
        client.send(get("/").repeat(1_000));
        assert_eq!(client.answer(true).status, 200);
        assert_eq!(client.rest(), b"");
    }
    let stats = target.stop();
    assert_eq!((stats.requests_for(Kind::Close), stats.requests_for(Kind::Hello)), (3, 3));
}
