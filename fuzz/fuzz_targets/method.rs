//! See tests/fuzz_targets/method.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::method, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(method::run, input));
