//! The targets of `tests/fuzz_targets`, as a library that every fuzzing binary links, and the bounds of what they may use.

mod bounded;
mod watch;

#[path = "../../tests/fuzz_targets/mod.rs"]
pub mod fuzz_targets;
#[path = "../../tests/support/mod.rs"]
pub mod support;

pub use watch::watched;
