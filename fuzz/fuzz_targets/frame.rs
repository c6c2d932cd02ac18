//! See tests/fuzz_targets/frame.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::frame, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(frame::run, input));
