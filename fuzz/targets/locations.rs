//! `Location` of a redirect.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::fetch::redirect::fuzz_location(bytes);
});
