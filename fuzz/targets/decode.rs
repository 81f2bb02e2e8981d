//! Answers of servers.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::wire::decode::fuzz_decode(bytes);
});
