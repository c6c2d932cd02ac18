//! See tests/fuzz_targets/wal.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::wal, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(wal::run, input));
