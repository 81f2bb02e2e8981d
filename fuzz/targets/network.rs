//! Where connections go and from where.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::plan::source::fuzz_source(bytes);
    ringload::plan::network::fuzz_network(bytes);
});
