//! URLs of proxies, the credentials in them, and lists of hosts that are spared.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::plan::proxy::fuzz_proxy(bytes);
});
