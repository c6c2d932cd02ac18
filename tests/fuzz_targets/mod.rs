//! What fuzzing runs: one function for everything that reads a stranger's bytes. Each takes any bytes and must come back; what
//! it claims about the broker it asserts. They live here once: `fuzz/` lets libFuzzer call them, `tests/fuzz_corpus.rs`
//! replays the inputs that were kept, and `tests/protocol_fuzz.rs` shares what it can.
//!
//! Where an input is a script rather than bytes of a peer, its bytes choose from lists of fixed size whose unused places are
//! empty: a list may grow without kept inputs losing their meaning.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test uses its part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test data is small"
)]

pub mod connection;
pub mod content;
pub mod definitions;
pub mod frame;
pub mod method;
pub mod properties;
pub mod script;
pub mod table;
pub mod topic;
pub mod wal;

/// Takes any bytes.
pub type Target = fn(&[u8]);

/// Every target by the name of its file here, its binary in `fuzz/` and its directories of inputs.
pub const TARGETS: [(&str, Target); 9] = [
    ("frame", frame::run),
    ("table", table::run),
    ("method", method::run),
    ("properties", properties::run),
    ("content", content::run),
    ("connection", connection::run),
    ("topic", topic::run),
    ("wal", wal::run),
    ("definitions", definitions::run),
];
