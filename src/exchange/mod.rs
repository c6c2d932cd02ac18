//! Exchanges: where a message goes. Pure. One file per type, each with the table it routes by.
//! An exchange knows its bindings and nothing else: neither queues nor other exchanges, only ids of destinations that
//! the vhost chose, so that names are resolved once, at bind time. It follows no binding further than one step; the
//! vhost walks from exchange to exchange and drops doubles.
//! A further type gets a variant of [`ExchangeKind`], a file, and an arm in [`routes`].

mod binding;
mod chance;
mod direct;
mod fanout;
mod hash;
mod headers;
mod history;
mod kind;
mod label;
mod pick;
mod refusals;
mod routes;
mod topic;

pub use binding::{Binding, Destination};
pub use chance::Chance;
pub use history::History;
pub use kind::{EVENT_EXCHANGE, ExchangeKind, PREDECLARED, Predeclared};
pub use label::Label;
pub use routes::{BoundTo, DestinationId, Route, Routes};

use crate::protocol::table::Table;
use std::sync::Arc;

/// All arguments of exchange.declare that mean something to some type; docs/compatibility.md lists them.
pub const EXCHANGE_ARGUMENTS: [&str; 5] =
    ["alternate-exchange", "hash-header", "hash-property", "x-recent-history-length", "x-delayed-type"];

/// An exchange as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Name; empty for the default exchange. At most 255 bytes.
    pub name: Arc<str>,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Survives restart.
    pub durable: bool,
    /// Deleted when its last binding as a source goes.
    pub auto_delete: bool,
    /// Clients cannot publish to it.
    pub internal: bool,
    /// Arguments of the declaration.
    pub arguments: Table,
}
