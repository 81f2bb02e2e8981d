//! What each option of the network means, and what is refused.

use super::super::origin::parse_site;
use super::*;

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn network(raw: RawNetwork) -> Network {
    Network::new(&raw, false).expect("a network")
}

fn origin(url: &str) -> Origin {
    parse_site(url).expect(url).origin
}

/// Where connections to `url` go, as `HOST:PORT`.
fn place(network: &Network, url: &str) -> String {
    let place = network.place(&origin(url));
    format!("{}:{}", place.host, place.port)
}

/// The addresses of `url` that need no looking up, with a space between.
fn known(network: &Network, url: &str) -> Option<String> {
    let addresses = network.known(&network.place(&origin(url)))?;
    Some(addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
}

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}

#[test]
fn the_first_redirect_that_fits_says_where_to_connect() {
    let connect_to =
        strings(&["a.example:80:b.example:8080", "A.example::[::1]:", ":443::8443", "b.example:::", "::c:"]);
    let network = network(RawNetwork { connect_to, ..RawNetwork::default() });
    for (url, expected) in [
        ("http://a.example", "b.example:8080"),
        ("http://A.EXAMPLE:81", "[::1]:81"),
        ("https://d.example", "d.example:8443"),
        ("http://b.example:1", "b.example:1"),
        ("http://d.example", "c:80"),
        ("http://127.0.0.1:9", "c:9"),
    ] {
        assert_eq!(place(&network, url), expected, "{url}");
    }
}

#[test]
fn given_addresses_take_the_place_of_the_resolver() {
    let resolve = strings(&[
        "a.example:80:127.0.0.1,[::1],fd00::1",
        "*:80:10.0.0.1",
        "b.example:443:10.0.0.2",
        "b.example:443:10.0.0.3",
        "127.0.0.1:90:10.0.0.4",
    ]);
    let network = network(RawNetwork { resolve, ..RawNetwork::default() });
    for (url, expected) in [
        ("http://a.example", Some("127.0.0.1:80 [::1]:80 [fd00::1]:80")),
        ("http://a.example:81", None),
        ("http://other.example", Some("10.0.0.1:80")),
        ("https://B.example", Some("10.0.0.3:443")),
        ("http://127.0.0.1:90", Some("10.0.0.4:90")),
        ("http://127.0.0.1:91", Some("127.0.0.1:91")),
        ("http://[::1]:91", Some("[::1]:91")),
    ] {
        assert_eq!(known(&network, url).as_deref(), expected, "{url}");
    }
}

#[test]
fn addresses_are_sought_for_where_a_redirect_leads() {
    let (connect_to, resolve) = (strings(&["a.example::b.example:81"]), strings(&["b.example:81:10.0.0.1"]));
    let network = network(RawNetwork { connect_to, resolve, ..RawNetwork::default() });
    assert_eq!(known(&network, "http://a.example").as_deref(), Some("10.0.0.1:81"));
}

#[test]
fn a_rule_that_is_for_no_url_is_refused() {
    let origins = [origin("http://a.example"), origin("https://b.example")];
    let check = |connect_to: &[&str], resolve: &[&str]| {
        let (connect_to, resolve) = (strings(connect_to), strings(resolve));
        let fits =
            network(RawNetwork { connect_to, resolve, ..RawNetwork::default() }).fits(&origins, &Proxies::default());
        fits.map_err(|error| error.to_string())
    };
    assert_eq!(
        check(&["a.example:80:c.example:81", ":443::"], &["c.example:81:::1", "*:443:::1", "B.example:443:::1"]),
        Ok(())
    );
    for (connect_to, resolve, part) in [
        (&["b.example:80::"][..], &[][..], "--connect-to b.example:80::: is for no URL"),
        (&["c.example:::"], &[], "--connect-to"),
        (&[], &["b.example:80:::1"], "--resolve b.example:80:[::1]: is for no URL"),
        (&[], &["*:81:::1"], "--resolve"),
        (&["::c.example:"], &["a.example:80:::1"], "--resolve"),
    ] {
        let error = check(connect_to, resolve).expect_err(part);
        assert!(error.starts_with(part), "{error}");
    }
}

#[test]
fn addresses_are_admitted_by_family_and_by_source() {
    let both = || addresses(&["[::1]:80", "127.0.0.1:80"]);
    let (v4, v6) = (addresses(&["127.0.0.1:80"]), addresses(&["[::1]:80"]));
    let only = |ipv4, ipv6, source: &[&str]| {
        network(RawNetwork { ipv4, ipv6, source: strings(source), ..RawNetwork::default() })
    };
    assert_eq!(only(false, false, &[]).admitted(both()), Ok(both()));
    assert_eq!(only(true, false, &[]).admitted(both()), Ok(v4.clone()));
    assert_eq!(only(false, true, &[]).admitted(both()), Ok(v6.clone()));
    assert_eq!(only(false, true, &[]).admitted(v4.clone()), Err(Unfit::Family(Family::V6)));
    assert_eq!(only(false, false, &["127.0.0.2"]).admitted(both()), Ok(v4));
    assert_eq!(only(false, false, &["127.0.0.2"]).admitted(v6), Err(Unfit::Source(Family::V6)));
    assert_eq!(only(true, false, &["::1"]).admitted(both()), Err(Unfit::Source(Family::V4)));
    assert_eq!(only(false, false, &["127.0.0.2", "::1"]).admitted(both()), Ok(both()));
}

#[test]
fn a_socket_is_a_path_or_an_abstract_name() {
    let socket = |text: &str| network(RawNetwork { unix_socket: Some(text.into()), ..RawNetwork::default() }).socket;
    assert_eq!(socket("/run/x.sock"), Some(UnixSocket::Path("/run/x.sock".into())));
    assert_eq!(socket("@x"), Some(UnixSocket::Abstract("x".into())));
    assert_eq!(socket(&"x".repeat(107)), Some(UnixSocket::Path("x".repeat(107).into())));
}

#[track_caller]
fn refused(raw: RawNetwork, embedded: bool, subject: &str, problem: &str) {
    let error = Network::new(&raw, embedded).expect_err(problem);
    assert!(error.subject.starts_with(subject) && error.problem.contains(problem), "{error}");
}

#[test]
fn nonsense_is_refused_by_the_option_s_name() {
    for text in
        ["", "h", "h:80", "h:80:", "h:80:x", "h:80:1.2.3.4,", ":80:1.2.3.4", "[::1:80:1.2.3.4", "h h:80:1.2.3.4"]
    {
        refused(RawNetwork { resolve: strings(&[text]), ..RawNetwork::default() }, false, "--resolve", "");
    }
    for text in ["h:0:1.2.3.4", "h:65536:1.2.3.4", "h::1.2.3.4", "h:+80:1.2.3.4"] {
        refused(RawNetwork { resolve: strings(&[text]), ..RawNetwork::default() }, false, "--resolve", "1 to 65535");
    }
    for text in ["", ":", "a:80:b", "a:80:b:80:", "a:b:c:d", "a:0:b:80", "a b:80:c:80", "[::1]80:c:80"] {
        refused(RawNetwork { connect_to: strings(&[text]), ..RawNetwork::default() }, false, "--connect-to", "");
    }
    let path = |text: &str| RawNetwork { unix_socket: Some(text.into()), ..RawNetwork::default() };
    refused(path(""), false, "--unix-socket", "names no socket");
    refused(path("@"), false, "--unix-socket", "names no socket");
    refused(path("a\0b"), false, "--unix-socket a\\0b", "NUL");
    refused(path(&"x".repeat(108)), false, "--unix-socket", "107 bytes");
    for text in ["", "sixteen-letters-", "a b", "a/b"] {
        refused(RawNetwork { interface: Some(text.into()), ..RawNetwork::default() }, false, "--interface", "ip link");
    }
    refused(RawNetwork { ipv4: true, ipv6: true, ..RawNetwork::default() }, false, "--ipv4", "--ipv6");
}

#[test]
fn a_socket_goes_with_nothing_that_is_about_addresses() {
    let socket = || RawNetwork { unix_socket: Some("x".into()), ..RawNetwork::default() };
    let problem = "a --unix-socket has none";
    refused(RawNetwork { source: strings(&["127.0.0.2"]), ..socket() }, false, "--source", problem);
    refused(RawNetwork { interface: Some("lo".into()), ..socket() }, false, "--interface", problem);
    refused(RawNetwork { ipv4: true, ..socket() }, false, "--ipv4", problem);
    refused(RawNetwork { ipv6: true, ..socket() }, false, "--ipv6", problem);
    refused(RawNetwork { resolve: strings(&["h:1:1.1.1.1"]), ..socket() }, false, "--resolve", problem);
    refused(RawNetwork { connect_to: strings(&[":::"]), ..socket() }, false, "--connect-to", problem);
    refused(RawNetwork { dns: Some(Dns::PerConnection), ..socket() }, false, "--dns per-connection", problem);
    let once = network(RawNetwork { dns: Some(Dns::Once), ..socket() });
    assert!(once.socket.is_some());
}

#[test]
fn nothing_leads_away_from_the_embedded_target() {
    for raw in [
        RawNetwork { unix_socket: Some("x".into()), ..RawNetwork::default() },
        RawNetwork { resolve: strings(&["*:80:1.1.1.1"]), ..RawNetwork::default() },
        RawNetwork { connect_to: strings(&["::a:"]), ..RawNetwork::default() },
    ] {
        refused(raw, true, "--", "name a URL");
    }
    let source = RawNetwork { source: strings(&["127.0.0.2"]), ..RawNetwork::default() };
    assert!(Network::new(&source, true).is_ok());
}

#[test]
fn what_must_always_hold_holds_for_mutated_values() {
    let corpus: [&[u8]; 9] = [
        b"example.com:443:127.0.0.1,[::1]",
        b"*:80:fd00::1",
        b"[::1]:80:10.0.0.1",
        b"example.com:443:localhost:8443",
        b"::[::1]:",
        b"a:80::81",
        b"/run/x.sock",
        b"@name",
        b"eth0",
    ];
    let telling: [&[u8]; 9] = [b":", b"[", b"]", b",", b"*", b"@", b"0", b"\0", b"\x1b"];
    crate::mutation::run("network", &corpus, &telling, 20_000, fuzz_network);
}
