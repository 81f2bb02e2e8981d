//! What a proxy's URL may be, and who is spared.

use super::super::origin::parse_site;
use super::super::raw::{RawEnvironment, RawNetwork};
use super::*;

fn typed(urls: &[&str]) -> RawProxies {
    let raw = |url: &&str| RawProxy { subject: "--proxy".into(), url: (*url).to_owned() };
    RawProxies { list: urls.iter().map(raw).collect(), ..RawProxies::default() }
}

fn http(version: HttpVersion, pipeline: u32) -> Http {
    Http { version, streams: 1, pipeline }
}

fn origin(url: &str) -> Origin {
    parse_site(url).expect("a site").origin
}

#[test]
fn a_url_becomes_a_proxy_with_curl_s_default_ports() {
    for (url, shown) in [
        ("proxy", "http://proxy:1080"),
        ("proxy:3128", "http://proxy:3128"),
        ("HTTP://Proxy:80/", "http://proxy:80"),
        ("https://proxy", "https://proxy:443"),
        ("https://[::1]:8443", "https://[::1]:8443"),
        ("socks5://10.0.0.1", "socks5://10.0.0.1:1080"),
        ("socks5h://proxy:9", "socks5h://proxy:9"),
    ] {
        assert_eq!(Proxy::parse(url).expect(url).to_string(), shown, "{url}");
    }
    let proxy = Proxy::parse("socks5h://me%3A:p%40s:s@host").expect("credentials");
    let Some(Credentials { user, password }) = &proxy.credentials else { panic!("credentials") };
    assert_eq!(
        (user.as_str(), password.as_str(), proxy.masked().as_str()),
        ("me:", "p@s:s", "socks5h://***@host:1080")
    );
    assert_eq!(Proxy::parse("me@host").expect("a user").authorization(), "Proxy-Authorization: Basic bWU6\r\n");
}

#[test]
fn nonsense_is_refused_without_credentials() {
    let long = format!("socks5://{}:pw@host", "u".repeat(256));
    for (url, part) in [
        ("ftp://me:hush@host", "no known kind"),
        ("socks4://host", "no known kind"),
        ("me:hush://host", "no known kind"),
        ("http://me:hu/sh@host", "percent-encoded"),
        ("http://host/path", "ends with its port"),
        ("http://me:hush@host:0", "bad port"),
        ("http://me:hush@", "no host"),
        ("http://me:hush@ho<st", "bad host"),
        ("", "no host"),
        ("http://a b", "space"),
        ("socks5://:hush@host", "1 to 255"),
        (&long, "1 to 255"),
    ] {
        let problem = Proxy::parse(url).expect_err(url);
        assert!(problem.contains(part) && !problem.contains("hush") && !problem.contains("hu/"), "{problem}");
    }
}

#[test]
fn each_scheme_goes_through_its_own_proxies() {
    let environment = RawEnvironment {
        http: Some(RawProxy { subject: "http_proxy".into(), url: "a".into() }),
        https: Some(RawProxy { subject: "all_proxy".into(), url: "socks5h://b".into() }),
        no_proxy: Some("localhost:80,.spared.example".into()),
    };
    let proxies = Proxies::new(&RawProxies { from_environment: Some(environment), ..RawProxies::default() });
    let proxies = proxies.expect("proxies");
    assert_eq!((proxies.of(&origin("http://x")), proxies.of(&origin("https://x"))), (0..1, 1..2));
    assert_eq!(proxies.of(&origin("https://www.spared.example")), 0..0);
    assert!(proxies.forward());
    let proxies = Proxies::new(&typed(&["socks5://a", "http://me:pw@b", "c"])).expect("proxies");
    assert_eq!((proxies.of(&origin("http://x")), proxies.of(&origin("https://x"))), (0..3, 0..3));
    let forms = [0, 1, 2, 3].map(|form| proxies.form(form).clone());
    let absolute = |line: &str| Form::Absolute(line.to_owned());
    let basic = "Proxy-Authorization: Basic bWU6cHc=\r\n";
    assert_eq!(forms, [Form::Origin, Form::Origin, absolute(basic), absolute("")]);
    assert!(!Proxies::default().forward() && Proxies::default().of(&origin("http://x")).is_empty());
}

#[test]
fn hosts_are_spared_by_name_suffix_address_and_network() {
    let spared = |list: &str, host: &str| {
        let raw = RawProxies { no_proxy: Some(list.to_owned()), ..RawProxies::default() };
        Spared::new(&raw).expect(list).has(&origin(&format!("http://{host}")).host)
    };
    for (list, host, expected) in [
        ("*", "anything", true),
        ("*", "10.0.0.1", true),
        ("example.com", "example.com", true),
        ("example.com", "WWW.Example.com", true),
        (".example.com", "example.com", true),
        ("example.com.", "www.example.com.", true),
        ("example.com", "notexample.com", false),
        ("www.example.com", "example.com", false),
        ("a.example, b.example", "b.example", true),
        ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false),
        ("10.0.0.0/8", "10.255.0.1", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("B\u{fc}cher.example", "www.b\u{fc}cher.example", true),
        ("0.0.0.0/0", "11.0.0.1", true),
        ("0.0.0.0/0", "[::1]", false),
        ("::1", "[::1]", true),
        ("[fe80::]/10", "[febf::1]", true),
        ("fe80::/10", "[fec0::1]", false),
        ("", "example.com", false),
    ] {
        assert_eq!(spared(list, host), expected, "{list} and {host}");
    }
}

#[test]
fn what_cannot_be_meant_is_refused_by_the_option_s_name() {
    let refused = |raw: RawProxies, part: &str| {
        let error = Proxies::new(&raw).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    for (list, part) in
        [("host:80", "without ports"), ("*.x", "all below"), ("10.0.0.0/33", "bits"), ("10.0.0.0/", "bits")]
    {
        refused(RawProxies { no_proxy: Some(list.into()), ..typed(&["a"]) }, part);
    }
    refused(RawProxies { no_proxy: Some("a".into()), ..RawProxies::default() }, "add --proxy");
    let environment = Some(RawEnvironment::default());
    refused(RawProxies { from_environment: environment, ..typed(&["a"]) }, "--proxy-from-env: does not go with");
    refused(typed(&["ftp://a"]), "--proxy: is of no known kind");
}

#[test]
fn what_only_a_proxy_looks_for_cannot_be_sought_elsewhere() {
    let check = |url: &str, proxy: &str, network: RawNetwork| {
        let network = Network::new(&network, false).expect("a network");
        Proxies::new(&typed(&[proxy])).expect("a proxy").check(&network, &http(HttpVersion::Auto, 1), &[origin(url)])
    };
    let connect_to = || RawNetwork { connect_to: vec!["::other.example:".into()], ..RawNetwork::default() };
    let resolve = || RawNetwork { resolve: vec!["host.example:80:10.0.0.1".into()], ..RawNetwork::default() };
    let socket = RawNetwork { unix_socket: Some("/run/x".into()), ..RawNetwork::default() };
    let url = "http://host.example";
    for (refused, option) in [
        (check(url, "http://proxy", socket), "--unix-socket: is where all connections go"),
        (check(url, "http://proxy", connect_to()), "--connect-to: does not count for http://host.example"),
        (check(url, "http://proxy", resolve()), "--resolve: does not count for http://host.example"),
        (check(url, "socks5h://proxy", resolve()), "--resolve: does not count"),
    ] {
        let error = refused.expect_err(option).to_string();
        assert!(error.starts_with(option), "{error}");
    }
    let proxies = Proxies::new(&typed(&["http://proxy"])).expect("a proxy");
    for (http, option) in [(http(HttpVersion::Http2, 1), "--http 2: "), (http(HttpVersion::Http1, 8), "--pipeline 8: ")]
    {
        let check = |url: &str| proxies.check(&Network::default(), &http, &[origin(url)]);
        let error = check(url).expect_err("cleartext").to_string();
        assert!(error.starts_with(option) && error.contains("does not go with http://host.example"), "{error}");
        assert_eq!(check("https://host.example"), Ok(()), "a tunnel carries it");
    }
    assert_eq!(check(url, "socks5://proxy", resolve()), Ok(()));
    assert_eq!(check(url, "socks5h://proxy", connect_to()), Ok(()), "a tunnel leads where it is told");
    assert_eq!(check("https://host.example", "http://proxy", connect_to()), Ok(()));
    assert_eq!(check("http://10.0.0.1", "http://proxy", resolve()), Ok(()));
}

#[test]
fn what_must_always_hold_holds_for_mutated_proxies() {
    let corpus: [&[u8]; 9] = [
        b"http://proxy:3128",
        b"https://[::1]:8443/",
        b"socks5://me:p%40ss@10.0.0.1",
        b"socks5h://me@host:65535",
        b"proxy",
        b"example.com,.a.b, 10.0.0.0/8",
        b"fe80::/10,*,[::1]",
        b"localhost.",
        "\u{34f}.癏.,p0".as_bytes(),
    ];
    let telling: [&[u8]; 12] = [b"://", b"@", b":", b"/", b"?", b"[", b"]", b"%", b" ", b",", b".", b"*"];
    crate::mutation::run("proxies", &corpus, &telling, 20_000, fuzz_proxy);
}
