//! The vhost as its driver sees it: conversations that spell out every behaviour and refusal, and random operations
//! against a simple model. The log is a list in memory whose progress the tests decide.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may panic")]

mod backlog;
mod commits;
mod consumer_timeout;
mod consumers;
mod counts;
mod dead_letters;
mod definitions;
mod delayed;
mod deletion;
mod deliveries;
mod direct_reply;
mod durability;
mod errands;
mod expiry;
mod fates;
mod limits;
#[path = "../support/memory_log.rs"]
mod memory_log;
mod model;
mod objects;
mod policies;
mod power_cuts;
mod priorities;
mod publishing;
mod routing;
mod rules_of_number;
mod script;
mod simulation;
mod streams;
mod tracing;
mod transactions;
mod watching;
