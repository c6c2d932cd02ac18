//! See tests/fuzz_targets/content.rs.
#![no_main]

use ledgermq_fuzz::{fuzz_targets::content, watched};

libfuzzer_sys::fuzz_target!(|input: &[u8]| watched(content::run, input));
