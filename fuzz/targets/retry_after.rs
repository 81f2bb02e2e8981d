//! `Retry-After`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::fetch::retry_after::fuzz_retry_after(bytes);
});
