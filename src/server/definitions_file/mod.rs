//! Definitions files in RabbitMQ's form: everything operators and clients defined, as JSON that both brokers write and
//! read. [`export`] says how things stand; [`import`] adds what is missing, and changes users, permissions, limits and
//! policies to what the file says. It takes nothing away, and doing it twice is doing it once.
//!
//! ```text
//! JSON ─▶ document (types, names)  ─▶ import: does the world agree? ─▶ vhosts, users and rights, limits, policies,
//!                                                                       queues, exchanges, bindings; each durable
//! ```

mod document;
mod entries;
mod export;
mod import;

pub(crate) use document::{boolean, policy, tags, vhost, vhost_limits};
pub(crate) use export::COMPATIBLE_VERSION;
pub use export::Export;

use crate::definitions::PolicyDefinition;
use crate::vhost::{BindingObject, ExchangeObject, QueueObject};
use std::fmt;

/// What a file says of a vhost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct VhostObjects {
    queues: Vec<QueueObject>,
    exchanges: Vec<ExchangeObject>,
    bindings: Vec<BindingObject>,
    /// Of users.
    policies: Vec<PolicyDefinition>,
    operator_policies: Vec<PolicyDefinition>,
}

/// Why definitions were not brought in. What stood before the entry in the order of the import may have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportError {
    /// What is wrong.
    pub reason: String,
    /// With which entry.
    pub entry: Option<String>,
}

impl ImportError {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), entry: None }
    }

    fn of(entry: impl Into<String>, reason: &impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), entry: Some(entry.into()) }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.entry {
            Some(entry) => write!(f, "{entry}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl std::error::Error for ImportError {}
