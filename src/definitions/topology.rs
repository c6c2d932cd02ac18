//! Definitions in the group of a vhost: its exchanges, queues and bindings.

use super::{DefinitionError, damaged, decode};
use crate::protocol::table::Table;
use ledgermq_storage::{QueueId, encoding};
use sha2::{Digest, Sha256};

/// A durable exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeDefinition {
    /// Name.
    pub name: String,
    /// Name of its type.
    pub kind: String,
    /// Deleted when its last binding as a source goes.
    pub auto_delete: bool,
    /// Clients cannot publish to it.
    pub internal: bool,
    /// Arguments, as the bytes of a field table.
    pub arguments: Vec<u8>,
}

/// A durable queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueDefinition {
    /// Name.
    pub name: String,
    /// Its number in the records of its messages.
    pub queue: QueueId,
    /// Deleted when its last consumer goes.
    pub auto_delete: bool,
    /// Arguments, as the bytes of a field table.
    pub arguments: Vec<u8>,
}

/// A binding between durable ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingDefinition {
    /// The exchange messages come from.
    pub source: String,
    /// What kind of thing they go to.
    pub destination_kind: DestinationKind,
    /// Its name.
    pub destination: String,
    /// Binding key.
    pub binding_key: String,
    /// Arguments, as the bytes of a field table.
    pub arguments: Vec<u8>,
}

/// What a binding leads to; the number is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DestinationKind {
    /// A queue.
    Queue = 0,
    /// Another exchange.
    Exchange = 1,
}

impl DestinationKind {
    /// As RabbitMQ calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Exchange => "exchange",
        }
    }
}

/// Longest argument table that stands in a key as it is; a longer one is represented by its digest.
const ARGUMENT_BYTES_IN_KEY_MAX: usize = 1024;

impl ExchangeDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { name, kind, auto_delete, internal, arguments } = self;
        encoding::encode(&(name, kind, auto_delete, internal, arguments))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (name, kind, auto_delete, internal, arguments) = decode(fields)?;
        Ok(Self { name, kind, auto_delete, internal, arguments })
    }
}

impl QueueDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { name, queue, auto_delete, arguments } = self;
        encoding::encode(&(name, queue.0, auto_delete, arguments))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (name, queue, auto_delete, arguments) = decode(fields)?;
        Ok(Self { name, queue: QueueId(queue), auto_delete, arguments })
    }
}

impl BindingDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { source, destination_kind, destination, binding_key, arguments } = self;
        encoding::encode(&(source, *destination_kind as u8, destination, binding_key, arguments))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (source, destination_kind, destination, binding_key, arguments) = decode(fields)?;
        let destination_kind = match destination_kind {
            0u8 => DestinationKind::Queue,
            1 => DestinationKind::Exchange,
            other => return Err(damaged(format!("destination kind {other} is unknown"))),
        };
        Ok(Self { source, destination_kind, destination, binding_key, arguments })
    }
}

/// What stands for a binding's arguments in its key: the pairs in sorted order, because their order is no part of
/// the binding's identity; or the SHA-256 of that, where it would be too long.
pub(super) fn argument_identity(arguments: &[u8]) -> Vec<u8> {
    let sorted = match Table::from_wire(arguments) {
        Ok(table) => {
            let mut pairs: Vec<Table> = table.iter().map(|pair| Table::from_pairs(&[pair])).collect();
            pairs.sort_unstable_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
            pairs.iter().flat_map(Table::as_bytes).copied().collect()
        }
        Err(_) => arguments.to_vec(),
    };
    let (form, bytes) = if sorted.len() <= ARGUMENT_BYTES_IN_KEY_MAX {
        (0, sorted)
    } else {
        (1, Sha256::digest(&sorted).to_vec())
    };
    if bytes.is_empty() { bytes } else { [vec![form], bytes].concat() }
}
