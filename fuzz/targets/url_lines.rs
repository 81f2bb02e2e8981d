//! URL sets, a URL a line.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::plan::urlset::fuzz_url_lines(bytes);
});
