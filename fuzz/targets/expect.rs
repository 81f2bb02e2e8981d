//! Answers held against expectations.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::wire::expect::fuzz_expect(bytes);
});
