//! See tests/fuzz_targets/definitions.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::definitions, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(definitions::run, input));
