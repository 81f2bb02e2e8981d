//! Tests of cookies and of their file.

use super::*;
use crate::plan::origin::parse_site;

fn origin(site: &str) -> Origin {
    parse_site(site).expect(site).origin
}

/// A jar that this site has sent these to, in answers to `/a/b`.
fn jar_of(site: &str, cookies: &[&str]) -> Jar {
    let mut jar = Jar::default();
    cookies.iter().for_each(|cookie| jar.store(&origin(site), "/a/b", cookie.as_bytes()));
    jar
}

fn sent(jar: &mut Jar, url: &str) -> Option<String> {
    let (site, target) = crate::plan::origin::split(url).expect(url);
    jar.header(&origin(site), if target.is_empty() { "/" } else { target })
}

#[test]
fn cookies_go_back_to_their_host_and_path_longer_paths_first() {
    let mut jar =
        jar_of("http://h.example", &["b=2; Path=/", "a=1; Path=/", "deep=3; Path=/a", "own=4", "x=5; Path=/other"]);
    assert_eq!(sent(&mut jar, "http://h.example/a/c").as_deref(), Some("deep=3; own=4; a=1; b=2"));
    assert_eq!(sent(&mut jar, "http://h.example/").as_deref(), Some("a=1; b=2"));
    assert_eq!(sent(&mut jar, "http://h.example/ab").as_deref(), Some("a=1; b=2"), "/a is no prefix of /ab");
    assert_eq!(sent(&mut jar, "http://h.example:8080/").as_deref(), Some("a=1; b=2"), "ports share cookies");
    for other in ["http://www.h.example/", "http://other.example/", "http://127.0.0.1/"] {
        assert_eq!(sent(&mut jar, other), None, "{other}");
    }
}

#[test]
fn a_domain_shares_with_its_subdomains_and_with_nobody_else() {
    let mut jar =
        jar_of("http://www.shop.example.com", &["a=1; Domain=.Example.com; Path=/", "b=2; Domain=other.com; Path=/"]);
    for (url, cookies) in [
        ("http://example.com/", Some("a=1")),
        ("http://x.y.example.com/", Some("a=1")),
        ("http://badexample.com/", None),
        ("http://other.com/", None),
    ] {
        assert_eq!(sent(&mut jar, url).as_deref(), cookies, "{url}");
    }
}

#[test]
fn nobody_sets_cookies_for_a_public_suffix() {
    let mut jar = jar_of("http://me.github.io", &["a=1; Domain=github.io; Path=/", "b=2; Domain=io; Path=/"]);
    assert!(sent(&mut jar, "http://you.github.io/").is_none() && sent(&mut jar, "http://me.github.io/").is_none());
    let mut own = jar_of("http://localhost", &["a=1; Domain=localhost; Path=/"]);
    assert_eq!(sent(&mut own, "http://localhost/").as_deref(), Some("a=1"), "its own host is no harm");
    assert_eq!(sent(&mut own, "http://x.localhost/"), None);
}

#[test]
fn what_was_set_under_tls_is_not_replaced_in_cleartext() {
    let mut jar =
        jar_of("https://www.h.example", &["a=1; Secure; Path=/; Domain=h.example", "b=2; Path=/; Domain=h.example"]);
    let clear = origin("http://www.h.example");
    for cookie in ["a=evil; Path=/; Domain=h.example", "a=evil; Path=/a", "b=3; Path=/; Domain=h.example"] {
        jar.store(&clear, "/a/b", cookie.as_bytes());
    }
    assert_eq!(sent(&mut jar, "https://www.h.example/a/b").as_deref(), Some("a=1; b=3"));
    assert_eq!(sent(&mut jar, "http://www.h.example/a/b").as_deref(), Some("b=3"));
}

#[test]
fn secure_cookies_and_prefixes_are_held() {
    let cookies = [
        "s=1; Secure; Path=/",
        "__Secure-a=1; Secure; Path=/",
        "__Secure-b=1; Path=/",
        "__Host-c=1; Secure; Path=/",
        "__Host-d=1; Secure; Path=/x",
        "__host-e=1; Secure; Path=/; Domain=h.example",
        "plain=1; Path=/",
    ];
    let mut secure = jar_of("https://h.example", &cookies);
    assert_eq!(sent(&mut secure, "https://h.example/").as_deref(), Some("__Host-c=1; __Secure-a=1; plain=1; s=1"));
    assert_eq!(sent(&mut secure, "http://h.example/").as_deref(), Some("plain=1"));
    let mut clear = jar_of("http://h.example", &cookies);
    assert_eq!(sent(&mut clear, "https://h.example/").as_deref(), Some("plain=1"));
}

#[test]
fn a_cookie_ends_when_it_says_and_is_taken_back_by_an_end_in_the_past() {
    let mut jar = jar_of("http://h", &["a=1; Max-Age=1000; Path=/", "b=2; Path=/", "c=3; Max-Age=0; Path=/"]);
    assert_eq!(sent(&mut jar, "http://h/").as_deref(), Some("a=1; b=2"));
    jar.store(&origin("http://h"), "/", b"a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/");
    jar.store(&origin("http://h"), "/", b"b=new; Path=/");
    assert_eq!(sent(&mut jar, "http://h/").as_deref(), Some("b=new"));
}

#[test]
fn what_is_no_cookie_or_too_large_is_ignored() {
    let large = format!("a={}", "x".repeat(COOKIE_BYTES_MAX));
    let long = format!("a=1; Comment={}", "x".repeat(SET_COOKIE_BYTES_MAX));
    let mut jar = jar_of("http://h", &["", "=", "novalue", "a\u{1}=1", "a=1\u{7f}", &large, &long]);
    assert_eq!(sent(&mut jar, "http://h/a/b"), None);
    jar.store(&origin("http://h"), "/", b"a=\xff; Path=/");
    assert_eq!(sent(&mut jar, "http://h/"), None);
}

#[test]
fn a_site_has_so_many_cookies_and_no_more_until_some_have_expired() {
    let mut jar = Jar::default();
    let home = origin("http://h.example");
    for number in 0..COOKIES_A_SITE_MAX + 50 {
        jar.store(&home, "/", format!("c{number}=1; Max-Age=1000").as_bytes());
    }
    let count = |jar: &mut Jar| sent(jar, "http://h.example/").map_or(0, |header| header.split("; ").count());
    assert_eq!(count(&mut jar), COOKIES_A_SITE_MAX);
    // Taken back with others' names they would be ignored, for there is no room to look into.
    let mut some = jar_of("http://h.example", &[]);
    for number in 0..COOKIES_A_SITE_MAX - 1 {
        some.store(&home, "/", format!("c{number}=1").as_bytes());
    }
    some.store(&home, "/", b"c0=; Max-Age=0");
    some.store(&home, "/", b"x=1");
    some.store(&home, "/", b"y=1");
    assert_eq!(count(&mut some), COOKIES_A_SITE_MAX);
}

#[test]
fn memory_is_bounded_and_the_site_asked_longest_ago_goes() {
    let mut jar = Jar::default();
    let value = "v".repeat(4_000);
    for host in 0..420 {
        let home = origin(&format!("http://h{host}.example"));
        (0..40).for_each(|number| jar.store(&home, "/", format!("c{number}={value}").as_bytes()));
        assert!(jar.bytes <= KEPT_BYTES_MAX);
    }
    assert_eq!(jar.bytes, jar.sites.iter().map(|(_, site)| site.bytes).sum::<usize>());
    assert!(sent(&mut jar, "http://h0.example/").is_none() && sent(&mut jar, "http://h419.example/").is_some());
    let header = sent(&mut jar, "http://h419.example/").expect("cookies");
    assert!(header.len() <= HEADER_BYTES_MAX && header.starts_with("c0="));
}

#[test]
fn a_file_of_curl_is_read_and_written_back() {
    let text = "# Netscape HTTP Cookie File\n\
                #HttpOnly_.example.com\tTRUE\t/\tTRUE\t4102444800\tsid\ta=b\n\
                127.0.0.1\tFALSE\t/\tFALSE\t0\tip\t1\n\
                h.example\tFALSE\t/a\tFALSE\t4102444800\tx\t\n";
    let mut jar = Jar::default();
    jar.read(&format!("\u{23} more\n\n{text}gone.example\tFALSE\t/\tFALSE\t1\tx\t1\n")).expect("a file");
    assert_eq!(sent(&mut jar, "https://www.example.com/").as_deref(), Some("sid=a=b"));
    assert_eq!(sent(&mut jar, "http://www.example.com/"), None);
    assert_eq!(sent(&mut jar, "http://127.0.0.1/").as_deref(), Some("ip=1"));
    assert_eq!(sent(&mut jar, "http://h.example/a/b").as_deref(), Some("x="));
    assert_eq!(sent(&mut jar, "http://gone.example/"), None);
    assert_eq!(jar.write(), text);
}

#[test]
fn a_file_that_is_none_is_refused_without_showing_it() {
    for line in [
        "hush",
        "h\tFALSE\t/\tFALSE\tsoon\tx\thush",
        "h\tmaybe\t/\tFALSE\t0\tx\thush",
        "h h\tFALSE\t/\tFALSE\t0\tx\thush",
        "h\tFALSE\t/\tFALSE\t0\tx\thush\tmore",
    ] {
        let problem = Jar::default().read(&format!("\n{line}\n")).expect_err(line);
        assert!(problem.starts_with("line 2 is no cookie") && !problem.contains("hush"), "{problem}");
    }
}

#[test]
fn nothing_shows_a_cookie_in_passing() {
    let jar = jar_of("http://h", &["a=hush"]);
    assert!(!format!("{jar:?}").contains("hush"));
}

#[test]
fn what_must_always_hold_holds_for_mutated_cookies() {
    let corpus: [&[u8]; 6] = [
        b"a=1; Path=/; Domain=example.co.uk; Max-Age=100; Secure; HttpOnly",
        b"__Host-a=1; Secure; Path=/\nb=2; Expires=Wed, 09 Jun 2100 10:18:14 GMT",
        b"a=\"x y\"; Path=/a; SameSite=Lax",
        b"a=1; Domain=co.uk\nb=1; Domain=.\nc=1; Domain=www.shop.example.co.uk",
        b"#HttpOnly_.example.com\tTRUE\t/\tTRUE\t4102444800\tsid\ta=b",
        b"a=1; Max-Age=9223372036854775807; Expires=Fri, 31 Dec 9999 23:59:59 GMT",
    ];
    let telling: [&[u8]; 11] =
        [b";", b"=", b"; Path=", b"; Domain=", b"\t", b"\n", b"\"", b"\xc3\xbc", b"__Secure-", b" ", b"\\"];
    crate::mutation::run("set_cookie", &corpus, &telling, 2_000, fuzz_set_cookie);
}
