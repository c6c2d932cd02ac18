//! See tests/fuzz_targets/topic.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::topic, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(topic::run, input));
