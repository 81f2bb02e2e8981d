//! JSON bodies and what is extracted from them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::fetch::extract::fuzz_extract(bytes);
});
