//! Answers of proxies to CONNECT and to SOCKS 5.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::wire::proxy::fuzz_tunnel(bytes);
});
