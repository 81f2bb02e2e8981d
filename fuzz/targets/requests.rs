//! Request heads, from the line and the headers that ask for them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::wire::encode::fuzz_render(bytes);
});
