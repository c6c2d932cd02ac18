//! LedgerMQ: a durable AMQP 0-9-1 broker. ARCHITECTURE.md is the map.

pub mod auth;
pub mod budget;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod definitions;
pub mod diagnostics;
mod erlang_term;
pub mod exchange;
pub mod fair_budget;
pub mod limits;
pub mod management;
pub mod message;
pub mod protocol;
pub mod queue;
pub mod server;
pub mod vhost;
