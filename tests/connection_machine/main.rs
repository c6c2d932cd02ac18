//! One connection machine as its driver sees it: whole conversations as bytes, a vhost played by the test, no sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on panics")]

mod chance;
mod closing;
mod content;
mod handshake;
mod played;
mod refusals;
mod settling;
mod states;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod waiting;
