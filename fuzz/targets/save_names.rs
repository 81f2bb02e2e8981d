//! Names of saved bodies.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::fetch::save_name::fuzz_save_name(bytes);
});
