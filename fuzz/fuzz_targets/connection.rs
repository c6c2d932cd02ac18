//! See tests/fuzz_targets/connection/mod.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::connection, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(connection::run, input));
