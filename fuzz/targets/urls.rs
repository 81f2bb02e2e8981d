//! URLs, and the credentials in them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::plan::origin::fuzz_url(bytes);
});
