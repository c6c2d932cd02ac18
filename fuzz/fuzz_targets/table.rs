//! See tests/fuzz_targets/table.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| ledgermq_fuzz::fuzz_targets::table::run(input));
