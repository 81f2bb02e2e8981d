//! Conversations with proxies, good and bad ones.

use super::fuzz::{fuzz_tunnel, play};
use super::*;
use crate::plan::origin::parse_site;

fn target(url: &str) -> Place {
    Place::of(&parse_site(url).expect("a site").origin)
}

fn who() -> Credentials {
    Credentials { user: "me".to_owned(), password: "pw".to_owned() }
}

/// What a refusal says of CONNECT's answer.
#[track_caller]
fn refused(answer: &[u8], of_target: bool, part: &str) {
    let tunnel = Tunnel::connect(&target("https://host"), "");
    let refusal = play(tunnel, answer, usize::MAX).0.expect_err(part);
    assert!(refusal.of_target == of_target && refusal.reason.contains(part), "{refusal:?}");
}

#[test]
fn connect_names_host_and_port_and_says_who_we_are() {
    for (url, authority) in [("https://host", "host:443"), ("https://[::1]:8443", "[::1]:8443"), ("http://a", "a:80")] {
        let Step::Ask { send, .. } = Tunnel::connect(&target(url), "Proxy-Authorization: x\r\n").begin() else {
            panic!("something is sent");
        };
        let sent = String::from_utf8(send).expect("text");
        let start = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: ringload/");
        assert!(sent.starts_with(&start) && sent.ends_with("\r\nProxy-Authorization: x\r\n\r\n"), "{sent}");
    }
}

#[test]
fn any_2xx_opens_a_tunnel_whatever_it_says_of_a_body() {
    for answer in [
        &b"HTTP/1.1 200 Connection established\r\n\r\n"[..],
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 299 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        for piece in [1, usize::MAX] {
            let played = play(Tunnel::connect(&target("https://host"), ""), answer, piece);
            assert_eq!(played, (Ok(()), answer.len()), "{}", answer.escape_ascii());
        }
    }
}

#[test]
fn refusals_of_connect_are_told_apart() {
    refused(b"HTTP/1.1 502 Bad\r\nContent-Length: 3\r\n\r\nbad", true, "status 502");
    refused(b"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n", true, "status 302");
    refused(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"\x80\"\r\n\r\n", false, "user and password");
    refused(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Digest x\r\n\r\n", false, "wants Digest");
    refused(b"HTTP/1.1 407 No\r\nProxy-Authenticate: Digest x\r\nProxy-Authenticate: basic\r\n\r\n", false, "user and");
    refused(b"HTTP/1.1 407 No\r\n\r\n", false, "user and password");
    refused(b"\x05\x00garbage", false, "not HTTP/1");
    refused(b"HTTP/1.1 101 Switching\r\n\r\n", false, "101");
    refused(b"HTTP/1.1 200 OK\r\n\r\nunasked", false, "unasked");
    refused(b"HTTP/1.1 200 OK\r\n", false, "closed");
    refused(b"", false, "closed");
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 2 * ANSWER_BYTES_MAX]].concat();
    refused(&endless, false, "larger than 16 KiB");
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
    refused(&interim, false, "interim");
}

#[test]
fn socks_is_told_what_the_proxy_is_to_find() {
    let v6 = |last: u8| [[0; 15].as_slice(), &[last]].concat();
    for (url, address, kind) in [
        ("http://host:258", None, b"\x03\x04host".to_vec()),
        ("http://127.0.0.1:258", None, b"\x01\x7f\0\0\x01".to_vec()),
        ("http://[::2]:258", None, [b"\x04".as_slice(), &v6(2)].concat()),
        ("http://host:258", Some("10.0.0.1:258"), b"\x01\x0a\0\0\x01".to_vec()),
        ("http://host:258", Some("[::3]:258"), [b"\x04".as_slice(), &v6(3)].concat()),
    ] {
        let address = address.map(|text| text.parse().expect("an address"));
        let mut tunnel = Tunnel::socks(&target(url), address, None).expect("a target");
        assert_eq!(tunnel.begin(), Step::Ask { send: b"\x05\x01\x00".to_vec(), most: 2 });
        let asked = tunnel.receive(b"\x05\x00").expect("no refusal");
        let request = [b"\x05\x01\x00", kind.as_slice(), b"\x01\x02"].concat();
        assert_eq!(asked, Step::Ask { send: request, most: 5 }, "{url}");
    }
    let long = format!("http://{}/", "a".repeat(300));
    assert!(Tunnel::socks(&target(&long[..long.len() - 1]), None, None).expect_err("too long").of_target);
}

#[test]
fn socks_takes_user_and_password_where_the_proxy_wants_them() {
    let mut tunnel = Tunnel::socks(&target("http://host"), None, Some(&who())).expect("a target");
    assert_eq!(tunnel.begin(), Step::Ask { send: b"\x05\x02\x00\x02".to_vec(), most: 2 });
    let asked = tunnel.receive(b"\x05\x02").expect("no refusal");
    assert_eq!(asked, Step::Ask { send: b"\x01\x02me\x02pw".to_vec(), most: 2 });
    assert!(matches!(tunnel.receive(b"\x01\x00").expect("no refusal"), Step::Ask { most: 5, .. }));
    assert_eq!(tunnel.receive(b"\x05\x00\x00\x01\x00").expect("more"), Step::Ask { send: Vec::new(), most: 5 });
    assert_eq!(tunnel.receive(b"\x00\x00\x00\x00\x00"), Ok(Step::Open));
}

#[test]
fn every_reply_of_socks_is_read_to_its_end_and_no_further() {
    for reply in [
        b"\x05\x00\x00\x01\x01\x02\x03\x04\x00\x50".to_vec(),
        b"\x05\x00\x00\x03\x04host\x00\x50".to_vec(),
        b"\x05\x00\x00\x03\x00\x00\x50".to_vec(),
        [b"\x05\x00\x00\x04".as_slice(), &[1; 18]].concat(),
    ] {
        for piece in [1, 2, usize::MAX] {
            let answers = [b"\x05\x00".as_slice(), &reply, b"beyond"].concat();
            let tunnel = Tunnel::socks(&target("http://host"), None, None).expect("a target");
            assert_eq!(play(tunnel, &answers, piece), (Ok(()), 2 + reply.len()), "{}", reply.escape_ascii());
        }
    }
}

#[test]
fn refusals_of_socks_are_told_apart() {
    for (answers, with, of_target, part) in [
        (&b"\x05\xff"[..], false, false, "nobody without credentials"),
        (b"\x05\xff", true, false, "neither"),
        (b"\x05\x02", false, false, "method 2, which was not offered"),
        (b"\x05\x01", true, false, "method 1"),
        (b"\x05\x02\x01\x01", true, false, "refused user and password"),
        (b"\x05\x02\x05\x00", true, false, "not SOCKS 5"),
        (b"\x04\x00", false, false, "not SOCKS 5"),
        (b"HTTP/1.1 400 Bad\r\n\r\n", false, false, "not SOCKS 5"),
        (b"\x05\x00\x05\x05", false, true, "connection refused (SOCKS reply 5)"),
        (b"\x05\x00\x05\x63", false, true, "unknown (SOCKS reply 99)"),
        (b"\x05\x00\x05\x00\x00\x02\x00", false, false, "unknown kind"),
        (b"\x05\x00\x05\x00\x00", false, false, "closed"),
    ] {
        let credentials = who();
        let tunnel = Tunnel::socks(&target("http://host"), None, with.then_some(&credentials)).expect("a target");
        let refusal = play(tunnel, answers, usize::MAX).0.expect_err(part);
        assert!(refusal.of_target == of_target && refusal.reason.contains(part), "{refusal:?}");
    }
}

#[test]
fn what_must_always_hold_holds_for_mutated_answers() {
    let corpus: [&[u8]; 8] = [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.1 407 No\r\nProxy-Authenticate: Digest realm=x\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.0 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50",
        b"\x05\x02\x01\x00\x05\x00\x00\x03\x04host\x00\x50",
        b"\x05\x00\x05\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50",
        b"\x05\xff",
        b"\x05\x02\x01\x01",
    ];
    let telling: [&[u8]; 9] = [b"\r\n", b"\x05", b"\x00", b"\x02", b"\xff", b"HTTP/1.1 ", b"407", b"\x1b", b": "];
    crate::mutation::run("proxy_answers", &corpus, &telling, 20_000, fuzz_tunnel);
}
