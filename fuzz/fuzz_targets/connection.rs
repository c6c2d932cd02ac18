//! See tests/fuzz_targets/connection/mod.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ledgermq_fuzz::fuzz_targets::connection::run(input));
