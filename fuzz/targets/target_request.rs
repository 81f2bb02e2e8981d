//! Requests that clients send to the embedded target, and the paths in them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    ringload::target::request::fuzz_request(bytes);
    ringload::target::route::fuzz_route(bytes);
});
