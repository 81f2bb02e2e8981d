//! Answers to requests for the rest of a body.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::fetch::range::fuzz_range(bytes);
});
