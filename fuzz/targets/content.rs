//! Encoded bodies of answers.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::wire::content::fuzz_content(bytes);
});
