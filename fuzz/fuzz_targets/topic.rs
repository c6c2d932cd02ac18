//! See tests/fuzz_targets/topic.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ledgermq_fuzz::fuzz_targets::topic::run(input));
