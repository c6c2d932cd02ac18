//! Durable definitions: vhosts, users, exchanges, queues, bindings as they stand in the WAL.
//! A definition is a key (kind and name, unique within its group) and a value of versioned bytes. Setting a key again
//! replaces the value. The kinds' numbers and the values' layouts are on disk: they are added to, never changed.
//! Knows the bytes; what the definitions mean is the vhost's and the accounts' business.

mod accounts;
mod parameter;
mod policy;
mod topology;

pub use accounts::{PermissionDefinition, TopicPermissionDefinition, UserDefinition, VhostDefinition};
pub use parameter::GlobalParameterDefinition;
pub use policy::{
    ApplyTo, LimitScope, LimitsDefinition, PolicyDefinition, VhostMetadataDefinition,
    VhostProtectionDefinition,
};
pub use topology::{BindingDefinition, DestinationKind, ExchangeDefinition, QueueDefinition};

use ledgermq_storage::DefinitionKey;
use ledgermq_storage::encoding;
use ledgermq_storage::limits::DEFINITION_VALUE_BYTES_MAX;
use std::fmt;
use topology::argument_identity;

/// What a definition is about; the number leads its key on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DefinitionKind {
    /// A vhost, in the global group.
    Vhost = 1,
    /// A user, in the global group.
    User = 2,
    /// What a user may do in a vhost, in the global group.
    Permission = 3,
    /// An exchange, in its vhost's group.
    Exchange = 4,
    /// A queue, in its vhost's group.
    Queue = 5,
    /// A binding, in the group of its source's vhost.
    Binding = 6,
    /// A policy, in its vhost's group.
    Policy = 16,
    /// A policy of operators, in its vhost's group.
    OperatorPolicy = 17,
    /// Limits of a vhost or a user, in the global group.
    Limits = 18,
    /// What people say about a vhost, in the global group.
    VhostMetadata = 19,
    /// Which keys a user may publish and bind with at a topic exchange, in the global group.
    TopicPermission = 20,
    /// A parameter of the broker as a whole, in the global group.
    GlobalParameter = 21,
    /// A vhost that may not be deleted, in the global group.
    VhostProtection = 22,
}

/// A definition of any kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// A vhost.
    Vhost(VhostDefinition),
    /// A user.
    User(UserDefinition),
    /// What a user may do in a vhost.
    Permission(PermissionDefinition),
    /// What a user may do at a topic exchange.
    TopicPermission(TopicPermissionDefinition),
    /// An exchange.
    Exchange(ExchangeDefinition),
    /// A queue.
    Queue(QueueDefinition),
    /// A binding.
    Binding(BindingDefinition),
    /// A policy.
    Policy(PolicyDefinition),
    /// A policy of operators.
    OperatorPolicy(PolicyDefinition),
    /// Limits of a vhost or a user.
    Limits(LimitsDefinition),
    /// What people say about a vhost.
    VhostMetadata(VhostMetadataDefinition),
    /// A parameter of the broker as a whole.
    GlobalParameter(GlobalParameterDefinition),
    /// A vhost that may not be deleted.
    VhostProtection(VhostProtectionDefinition),
}

/// A change to persist: sets (`Some`) or removes a definition, as the WAL takes it.
pub type DefinitionChange = (DefinitionKey, Option<Vec<u8>>);

/// Why bytes are no definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefinitionError {
    /// A sentence for a person.
    pub reason: String,
}

impl fmt::Display for DefinitionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged definition: {}", self.reason)
    }
}

impl std::error::Error for DefinitionError {}

impl DefinitionKind {
    /// The kind with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Vhost),
            2 => Some(Self::User),
            3 => Some(Self::Permission),
            4 => Some(Self::Exchange),
            5 => Some(Self::Queue),
            6 => Some(Self::Binding),
            16 => Some(Self::Policy),
            17 => Some(Self::OperatorPolicy),
            18 => Some(Self::Limits),
            19 => Some(Self::VhostMetadata),
            20 => Some(Self::TopicPermission),
            21 => Some(Self::GlobalParameter),
            22 => Some(Self::VhostProtection),
            _ => None,
        }
    }

    /// A key of this kind.
    fn key(self, parts: &[&[u8]]) -> DefinitionKey {
        let mut name = Vec::new();
        match parts {
            [single] => name.extend_from_slice(single),
            parts => parts.iter().for_each(|part| {
                name.extend_from_slice(&(part.len() as u16).to_le_bytes());
                name.extend_from_slice(part);
            }),
        }
        DefinitionKey { kind: self as u8, name }
    }
}

impl Definition {
    /// Its key: the name, or the names that make it unique, each led by its length (u16, little-endian).
    pub fn key(&self) -> DefinitionKey {
        match self {
            Self::Vhost(vhost) => DefinitionKind::Vhost.key(&[vhost.name.as_bytes()]),
            Self::User(user) => DefinitionKind::User.key(&[user.name.as_bytes()]),
            Self::Permission(permission) => {
                DefinitionKind::Permission.key(&[permission.user.as_bytes(), permission.vhost.as_bytes()])
            }
            Self::TopicPermission(permission) => DefinitionKind::TopicPermission.key(&[
                permission.user.as_bytes(),
                permission.vhost.as_bytes(),
                permission.exchange.as_bytes(),
            ]),
            Self::Exchange(exchange) => DefinitionKind::Exchange.key(&[exchange.name.as_bytes()]),
            Self::Queue(queue) => DefinitionKind::Queue.key(&[queue.name.as_bytes()]),
            Self::Binding(binding) => DefinitionKind::Binding.key(&[
                binding.source.as_bytes(),
                &[binding.destination_kind as u8],
                binding.destination.as_bytes(),
                binding.binding_key.as_bytes(),
                &argument_identity(&binding.arguments),
            ]),
            Self::Policy(policy) => DefinitionKind::Policy.key(&[policy.name.as_bytes()]),
            Self::OperatorPolicy(policy) => DefinitionKind::OperatorPolicy.key(&[policy.name.as_bytes()]),
            Self::Limits(limits) => {
                DefinitionKind::Limits.key(&[&[limits.scope as u8], limits.name.as_bytes()])
            }
            Self::VhostMetadata(metadata) => DefinitionKind::VhostMetadata.key(&[metadata.vhost.as_bytes()]),
            Self::GlobalParameter(parameter) => {
                DefinitionKind::GlobalParameter.key(&[parameter.name.as_bytes()])
            }
            Self::VhostProtection(protection) => {
                DefinitionKind::VhostProtection.key(&[protection.vhost.as_bytes()])
            }
        }
    }

    /// Its value: a version byte, then the fields in the order of the struct.
    pub fn value(&self) -> Vec<u8> {
        let fields = match self {
            Self::Vhost(vhost) => vhost.encode(),
            Self::User(user) => user.encode(),
            Self::Permission(permission) => permission.encode(),
            Self::TopicPermission(permission) => permission.encode(),
            Self::Exchange(exchange) => exchange.encode(),
            Self::Queue(queue) => queue.encode(),
            Self::Binding(binding) => binding.encode(),
            Self::Policy(policy) | Self::OperatorPolicy(policy) => policy.encode(),
            Self::Limits(limits) => limits.encode(),
            Self::VhostMetadata(metadata) => metadata.encode(),
            Self::GlobalParameter(parameter) => parameter.encode(),
            Self::VhostProtection(protection) => protection.encode(),
        };
        let mut value = vec![VERSION];
        value.extend(fields);
        value
    }

    /// The change that sets it.
    pub fn set(&self) -> DefinitionChange {
        (self.key(), Some(self.value()))
    }

    /// The change that removes it.
    pub fn removed(&self) -> DefinitionChange {
        (self.key(), None)
    }

    /// Reads a definition back.
    ///
    /// # Errors
    /// If the kind or version is unknown (written by a later release), the bytes are damaged, or the value belongs to
    /// another key.
    pub fn decode(key: &DefinitionKey, value: &[u8]) -> Result<Self, DefinitionError> {
        let kind = DefinitionKind::from_number(key.kind)
            .ok_or_else(|| damaged(format!("kind {} is unknown", key.kind)))?;
        let (&version, fields) = value.split_first().ok_or_else(|| damaged("no value"))?;
        if version != VERSION {
            return Err(damaged(format!("version {version} of {kind:?} is unknown")));
        }
        let definition = Self::decode_fields(kind, fields)?;
        if definition.key() == *key {
            Ok(definition)
        } else {
            Err(damaged(format!("the value under a key of kind {kind:?} belongs to another key")))
        }
    }

    fn decode_fields(kind: DefinitionKind, fields: &[u8]) -> Result<Self, DefinitionError> {
        Ok(match kind {
            DefinitionKind::Vhost => Self::Vhost(VhostDefinition::decode(fields)?),
            DefinitionKind::User => Self::User(UserDefinition::decode(fields)?),
            DefinitionKind::Permission => Self::Permission(PermissionDefinition::decode(fields)?),
            DefinitionKind::TopicPermission => {
                Self::TopicPermission(TopicPermissionDefinition::decode(fields)?)
            }
            DefinitionKind::Exchange => Self::Exchange(ExchangeDefinition::decode(fields)?),
            DefinitionKind::Queue => Self::Queue(QueueDefinition::decode(fields)?),
            DefinitionKind::Binding => Self::Binding(BindingDefinition::decode(fields)?),
            DefinitionKind::Policy => Self::Policy(PolicyDefinition::decode(fields)?),
            DefinitionKind::OperatorPolicy => Self::OperatorPolicy(PolicyDefinition::decode(fields)?),
            DefinitionKind::Limits => Self::Limits(LimitsDefinition::decode(fields)?),
            DefinitionKind::VhostMetadata => Self::VhostMetadata(VhostMetadataDefinition::decode(fields)?),
            DefinitionKind::GlobalParameter => {
                Self::GlobalParameter(GlobalParameterDefinition::decode(fields)?)
            }
            DefinitionKind::VhostProtection => {
                Self::VhostProtection(VhostProtectionDefinition::decode(fields)?)
            }
        })
    }
}

/// Version of the values' layout.
const VERSION: u8 = 1;

fn decode<T: encoding::Decode<()>>(fields: &[u8]) -> Result<T, DefinitionError> {
    encoding::decode(fields, DEFINITION_VALUE_BYTES_MAX).map_err(|error| damaged(error.to_string()))
}

fn damaged(reason: impl Into<String>) -> DefinitionError {
    DefinitionError { reason: reason.into() }
}

#[cfg(test)]
mod tests;
