//! URL sets in JSON Lines, and their lines.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::plan::fuzz_json_line(bytes);
    ringload::plan::urlset::fuzz_url_lines(bytes);
});
