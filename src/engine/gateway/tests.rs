//! Whose turn it is, and who rests.

use super::*;
use crate::engine::machine;
use crate::plan::raw::{RawProxies, RawProxy};
use crate::plan::{self, RawPlan};

/// A way through so many proxies with an address each.
fn gateway(proxies: u32) -> Gateway {
    let raw = |index| RawProxy { subject: "--proxy".into(), url: format!("socks5h://127.0.0.1:{}", index + 1) };
    let raw = RawPlan {
        urls: vec!["https://a.example/".into(), "https://b.example/".into()],
        proxies: RawProxies { list: (0..proxies).map(raw).collect(), ..RawProxies::default() },
        ..RawPlan::default()
    };
    let plan = plan::validate(&raw, &machine::machine()).expect("a plan");
    let peers = vec![Peer::Tcp(([127, 0, 0, 1], 1).into())];
    let at = vec![Destination { peers, ..Destination::default() }; proxies as usize];
    let shard = plan::shards(&plan)[0];
    Gateway::new(Arc::new(plan), &shard, Arc::new(at), None, None)
}

/// An origin behind the first so many proxies.
fn behind(proxies: u32) -> Destination {
    Destination { proxies: 0..proxies, ..Destination::default() }
}

const PROXY: (Stage, Failure) = (Stage::Proxy, Failure::Connect);
const TUNNEL: (Stage, Failure) = (Stage::Tunnel, Failure::Proxy);

fn ms(ms: u64) -> Nanos {
    Nanos::from_millis(ms)
}

#[test]
fn proxies_take_turns() {
    let gateway = gateway(3);
    let taken: Vec<_> = (0..6).map(|_| gateway.next(0, &behind(3), ms(0))).collect();
    assert_eq!(taken, [0, 1, 2, 0, 1, 2].map(Some));
}

#[test]
fn one_that_fails_rests_for_all_and_then_one_tries_it_for_all() {
    let gateway = gateway(2);
    assert_eq!(gateway.next(0, &behind(2), ms(0)), Some(0));
    gateway.failed(0, 0, PROXY, ms(0), ms(0));
    for origin in [0, 1] {
        assert_eq!(
            (gateway.next(origin, &behind(2), ms(1)), gateway.next(origin, &behind(2), ms(9))),
            (Some(1), Some(1))
        );
        assert_eq!(gateway.rest(origin, &behind(2), ms(1)), None, "the other one can be had");
        assert_eq!(gateway.rest(origin, &behind(1), ms(1)), Some((ms(10), Failure::Connect)));
    }
    let taken: Vec<_> = (0..4).map(|_| gateway.next(1, &behind(2), ms(10))).collect();
    assert_eq!(taken.iter().filter(|&&taken| taken == Some(0)).count(), 1, "{taken:?}");
    assert_eq!(gateway.rest(0, &behind(1), ms(10)), Some((ms(20), Failure::Connect)), "it is being tried");
    gateway.failed(0, 1, PROXY, ms(10), ms(10));
    assert_eq!(gateway.rest(0, &behind(1), ms(29)), Some((ms(30), Failure::Connect)), "twice as long");
    assert_eq!(gateway.rest(0, &behind(1), ms(30)), None);
    gateway.succeeded(0, 0, 0);
    gateway.failed(0, 0, PROXY, ms(40), ms(40));
    assert_eq!(gateway.rest(0, &behind(1), ms(41)), Some((ms(50), Failure::Connect)), "from the beginning");
}

#[test]
fn one_that_does_not_lead_to_an_origin_rests_for_that_origin_alone() {
    let gateway = gateway(1);
    gateway.failed(0, 0, TUNNEL, ms(0), ms(0));
    assert_eq!((gateway.next(0, &behind(1), ms(1)), gateway.next(1, &behind(1), ms(1))), (None, Some(0)));
    gateway.succeeded(0, 1, 0);
    assert_eq!(gateway.rest(0, &behind(1), ms(1)), Some((ms(10), Failure::Proxy)));
    gateway.failed(0, 0, (Stage::Origin, Failure::Tls), ms(10), ms(10));
    assert_eq!(gateway.rest(0, &behind(1), ms(11)), None, "the origin was reached");
}

#[test]
fn a_connection_taken_by_a_proxy_that_forwards_does_not_say_that_it_forwards_for_us() {
    let gateway = gateway(1);
    gateway.failed(0, 0, (Stage::Proxy, Failure::Proxy), ms(0), ms(0));
    assert_eq!(gateway.next(0, &behind(1), ms(10)), Some(0));
    gateway.succeeded(0, 0, 1);
    assert_eq!(gateway.rest(0, &behind(1), ms(10)), None);
    gateway.failed(0, 0, (Stage::Proxy, Failure::Proxy), ms(10), ms(10));
    assert_eq!(gateway.rest(0, &behind(1), ms(11)), Some((ms(30), Failure::Proxy)));
    gateway.failed(0, 0, PROXY, ms(30), ms(30));
    gateway.succeeded(0, 0, 1);
    assert_eq!(gateway.rest(0, &behind(1), ms(31)), None, "it takes connections again");
}
