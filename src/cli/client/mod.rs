//! A small AMQP 0-9-1 client for the tools of the command line: threads and sockets without a runtime, frames read where they lie. Any
//! broker may be at the other end. Knows what travels, not what it is for.

pub(super) mod connection;
pub(super) mod error;
pub(super) mod signal;
pub(super) mod socket;
pub(super) mod target;
pub(super) mod topology;
pub(super) mod wire;
