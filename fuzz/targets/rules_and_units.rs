//! Quantities, stages, the rules of --abort-on, lists of cores.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::units::fuzz_units(bytes);
    ringload::plan::schedule::fuzz_stages(bytes);
    ringload::plan::limit::fuzz_rule(bytes);
    ringload::plan::shard::fuzz_core_list(bytes);
});
