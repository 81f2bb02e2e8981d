//! `Set-Cookie`, and the file of `--cookie-jar`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::fetch::cookies::fuzz_set_cookie(bytes);
});
