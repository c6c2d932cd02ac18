//! A binding by names, as operators and definitions see it. Routing works on ids: see [`super::Routes`].

use crate::definitions::{BindingDefinition, DestinationKind};
use crate::protocol::table::Table;
use std::sync::Arc;

/// What a binding leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// A queue.
    Queue(Arc<str>),
    /// Another exchange.
    Exchange(Arc<str>),
}

impl Destination {
    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Queue(name) | Self::Exchange(name) => name,
        }
    }

    /// What it is.
    pub fn kind(&self) -> DestinationKind {
        match self {
            Self::Queue(_) => DestinationKind::Queue,
            Self::Exchange(_) => DestinationKind::Exchange,
        }
    }
}

/// A rule that leads from an exchange to a destination. All its fields together are its identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The exchange messages come from.
    pub source: Arc<str>,
    /// Where they go.
    pub destination: Destination,
    /// Binding key, at most 255 bytes.
    pub binding_key: Arc<str>,
    /// Arguments.
    pub arguments: Table,
}

impl From<&Binding> for BindingDefinition {
    fn from(binding: &Binding) -> Self {
        Self {
            source: (*binding.source).to_owned(),
            destination_kind: binding.destination.kind(),
            destination: (**binding.destination.name()).to_owned(),
            binding_key: (*binding.binding_key).to_owned(),
            arguments: binding.arguments.as_bytes().to_vec(),
        }
    }
}
