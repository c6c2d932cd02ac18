//! What the tests share.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test uses its part of it")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "test data is small"
)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

pub mod broker;
pub mod machine;
pub mod memory_log;
pub mod notation;
pub mod remote;
pub mod wire;
