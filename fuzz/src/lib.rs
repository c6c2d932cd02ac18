//! The targets of `tests/fuzz_targets`, as a library that every fuzzing binary links.

#[path = "../../tests/fuzz_targets/mod.rs"]
pub mod fuzz_targets;
#[path = "../../tests/support/mod.rs"]
pub mod support;
