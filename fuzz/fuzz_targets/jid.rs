//! An address in a stanza: see `host_demo::fuzz`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| host_demo::fuzz::jid(bytes));
