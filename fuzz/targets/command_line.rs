//! Command lines, and what a report repeats of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::cli::fuzz_argv(bytes);
});
