//! robots.txt.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::fetch::robots::fuzz_robots(bytes);
});
