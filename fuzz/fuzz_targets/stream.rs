//! The bytes of a client's stream: see `host_demo::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| host_demo::fuzz::stream(bytes));
