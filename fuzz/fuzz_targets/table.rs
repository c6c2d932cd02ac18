//! See tests/fuzz_targets/table.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::table, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(table::run, input));
