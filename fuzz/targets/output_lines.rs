//! Lines of the output, written and read back.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::fetch::line::fuzz_line(bytes);
});
