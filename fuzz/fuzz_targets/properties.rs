//! See tests/fuzz_targets/properties.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::properties, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(properties::run, input));
