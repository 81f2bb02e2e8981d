//! Header lines of -H, and what is shown of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::plan::request::fuzz_header(bytes);
});
