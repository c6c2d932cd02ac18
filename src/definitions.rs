//! Durable definitions: vhosts, users, exchanges, queues, bindings as they stand in the WAL.
//! A definition is a key (kind and name, unique within its group) and a value of versioned bytes. Setting a key again
//! replaces the value. The kinds' numbers and the values' layouts are on disk: they are added to, never changed.
//! Knows the bytes; what the definitions mean is the vhost's and the accounts' business.

mod policy;

pub use policy::{ApplyTo, LimitScope, LimitsDefinition, PolicyDefinition, VhostMetadataDefinition};

use crate::protocol::table::Table;
use ledgermq_storage::encoding;
use ledgermq_storage::limits::DEFINITION_VALUE_BYTES_MAX;
use ledgermq_storage::{DefinitionKey, GroupId, QueueId};
use sha2::{Digest, Sha256};
use std::fmt;

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
}

/// A vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostDefinition {
    /// Name.
    pub name: String,
    /// Group of its records.
    pub group: GroupId,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserDefinition {
    /// Name.
    pub name: String,
    /// `base64(salt ‖ SHA-256(salt ‖ password))`; empty = no login by password.
    pub password_hash: String,
    /// Tags, e.g. `administrator`.
    pub tags: Vec<String>,
}

/// What a user may do in a vhost: patterns that names of queues and exchanges are searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionDefinition {
    /// User.
    pub user: String,
    /// Vhost.
    pub vhost: String,
    /// Declare and delete.
    pub configure: String,
    /// Publish, bind to.
    pub write: String,
    /// Consume, bind from.
    pub read: String,
}

/// Which keys a user may publish and bind with at a topic exchange: patterns that keys are searched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPermissionDefinition {
    /// User.
    pub user: String,
    /// Vhost.
    pub vhost: String,
    /// Exchange.
    pub exchange: String,
    /// Publish.
    pub write: String,
    /// Bind.
    pub read: String,
}

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
        }
    }

    /// Its value: a version byte, then the fields in the order of the struct.
    pub fn value(&self) -> Vec<u8> {
        let fields = match self {
            Self::Vhost(VhostDefinition { name, group }) => encoding::encode(&(name, group.0)),
            Self::User(UserDefinition { name, password_hash, tags }) => {
                encoding::encode(&(name, password_hash, tags))
            }
            Self::Permission(PermissionDefinition { user, vhost, configure, write, read }) => {
                encoding::encode(&(user, vhost, configure, write, read))
            }
            Self::TopicPermission(TopicPermissionDefinition { user, vhost, exchange, write, read }) => {
                encoding::encode(&(user, vhost, exchange, write, read))
            }
            Self::Exchange(ExchangeDefinition { name, kind, auto_delete, internal, arguments }) => {
                encoding::encode(&(name, kind, auto_delete, internal, arguments))
            }
            Self::Queue(QueueDefinition { name, queue, auto_delete, arguments }) => {
                encoding::encode(&(name, queue.0, auto_delete, arguments))
            }
            Self::Binding(BindingDefinition {
                source,
                destination_kind,
                destination,
                binding_key,
                arguments,
            }) => encoding::encode(&(source, *destination_kind as u8, destination, binding_key, arguments)),
            Self::Policy(policy) | Self::OperatorPolicy(policy) => policy.encode(),
            Self::Limits(limits) => limits.encode(),
            Self::VhostMetadata(metadata) => metadata.encode(),
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
            DefinitionKind::Vhost => {
                let (name, group) = decode(fields)?;
                Self::Vhost(VhostDefinition { name, group: GroupId(group) })
            }
            DefinitionKind::User => {
                let (name, password_hash, tags) = decode(fields)?;
                Self::User(UserDefinition { name, password_hash, tags })
            }
            DefinitionKind::Permission => {
                let (user, vhost, configure, write, read) = decode(fields)?;
                Self::Permission(PermissionDefinition { user, vhost, configure, write, read })
            }
            DefinitionKind::TopicPermission => {
                let (user, vhost, exchange, write, read) = decode(fields)?;
                Self::TopicPermission(TopicPermissionDefinition { user, vhost, exchange, write, read })
            }
            DefinitionKind::Exchange => {
                let (name, kind, auto_delete, internal, arguments) = decode(fields)?;
                Self::Exchange(ExchangeDefinition { name, kind, auto_delete, internal, arguments })
            }
            DefinitionKind::Queue => {
                let (name, queue, auto_delete, arguments) = decode(fields)?;
                Self::Queue(QueueDefinition { name, queue: QueueId(queue), auto_delete, arguments })
            }
            DefinitionKind::Binding => {
                let (source, destination_kind, destination, binding_key, arguments) = decode(fields)?;
                let destination_kind = match destination_kind {
                    0u8 => DestinationKind::Queue,
                    1 => DestinationKind::Exchange,
                    other => return Err(damaged(format!("destination kind {other} is unknown"))),
                };
                Self::Binding(BindingDefinition {
                    source,
                    destination_kind,
                    destination,
                    binding_key,
                    arguments,
                })
            }
            DefinitionKind::Policy => Self::Policy(PolicyDefinition::decode(fields)?),
            DefinitionKind::OperatorPolicy => Self::OperatorPolicy(PolicyDefinition::decode(fields)?),
            DefinitionKind::Limits => Self::Limits(LimitsDefinition::decode(fields)?),
            DefinitionKind::VhostMetadata => Self::VhostMetadata(VhostMetadataDefinition::decode(fields)?),
        })
    }
}

/// Version of the values' layout.
const VERSION: u8 = 1;
/// Longest argument table that stands in a key as it is; a longer one is represented by its digest.
const ARGUMENT_BYTES_IN_KEY_MAX: usize = 1024;

fn decode<T: encoding::Decode<()>>(fields: &[u8]) -> Result<T, DefinitionError> {
    encoding::decode(fields, DEFINITION_VALUE_BYTES_MAX).map_err(|error| damaged(error.to_string()))
}

fn damaged(reason: impl Into<String>) -> DefinitionError {
    DefinitionError { reason: reason.into() }
}

/// What stands for a binding's arguments in its key: the pairs in sorted order, because their order is no part of
/// the binding's identity; or the SHA-256 of that, where it would be too long.
fn argument_identity(arguments: &[u8]) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::value::Value;
    use proptest::prelude::*;

    fn vhost() -> Definition {
        Definition::Vhost(VhostDefinition { name: "/".into(), group: GroupId(1) })
    }

    fn user() -> Definition {
        let tags = vec!["administrator".into()];
        Definition::User(UserDefinition { name: "guest".into(), password_hash: "aGk=".into(), tags })
    }

    fn permission() -> Definition {
        Definition::Permission(PermissionDefinition {
            user: "u".into(),
            vhost: "/".into(),
            configure: String::new(),
            write: "^w".into(),
            read: ".*".into(),
        })
    }

    fn topic_permission() -> Definition {
        Definition::TopicPermission(TopicPermissionDefinition {
            user: "u".into(),
            vhost: "/".into(),
            exchange: "e".into(),
            write: "^w".into(),
            read: String::new(),
        })
    }

    fn exchange() -> Definition {
        Definition::Exchange(ExchangeDefinition {
            name: "e".into(),
            kind: "topic".into(),
            auto_delete: false,
            internal: true,
            arguments: vec![],
        })
    }

    fn queue() -> Definition {
        let arguments = Table::from_pairs(&[("a", Value::Bool(true))]).as_bytes().to_vec();
        Definition::Queue(QueueDefinition {
            name: "q".into(),
            queue: QueueId(258),
            auto_delete: true,
            arguments,
        })
    }

    fn binding(pairs: &[(&str, Value<'_>)]) -> Definition {
        Definition::Binding(BindingDefinition {
            source: "e".into(),
            destination_kind: DestinationKind::Queue,
            destination: "q".into(),
            binding_key: "k.*".into(),
            arguments: Table::from_pairs(pairs).as_bytes().to_vec(),
        })
    }

    fn policy() -> PolicyDefinition {
        PolicyDefinition {
            name: "p".into(),
            pattern: "^q".into(),
            apply_to: ApplyTo::QuorumQueues,
            priority: -1,
            definition: "{\"expires\":1}".into(),
        }
    }

    fn limits() -> Definition {
        let limits = vec![("max-channels".into(), 7)];
        Definition::Limits(LimitsDefinition { scope: LimitScope::User, name: "u".into(), limits })
    }

    fn metadata() -> Definition {
        Definition::VhostMetadata(VhostMetadataDefinition {
            vhost: "/".into(),
            description: "d".into(),
            tags: vec!["t".into()],
            default_queue_type: "quorum".into(),
        })
    }

    fn check_golden(definition: &Definition, kind: u8, name: &[u8], value: &[u8]) {
        let key = definition.key();
        assert_eq!((key.kind, &*key.name), (kind, name), "{definition:?}");
        assert_eq!(definition.value(), value, "{definition:?}");
        assert_eq!(Definition::decode(&key, value).as_ref(), Ok(definition));
        for cut in 0..value.len() {
            assert!(Definition::decode(&key, &value[..cut]).is_err(), "cut at {cut}: {definition:?}");
        }
        let longer = [value, &[0]].concat();
        assert!(Definition::decode(&key, &longer).is_err(), "{definition:?}");
    }

    /// These bytes are in stores: a test that fails here means that a new version is needed.
    #[test]
    fn bytes_stay_as_they_are() {
        check_golden(&vhost(), 1, b"/", b"\x01\x01\0\0\0\0\0\0\0/\x01\0\0\0");
        check_golden(
            &user(),
            2,
            b"guest",
            b"\x01\x05\0\0\0\0\0\0\0guest\x04\0\0\0\0\0\0\0aGk=\x01\0\0\0\0\0\0\0\x0d\0\0\0\0\0\0\0administrator",
        );
        check_golden(
            &permission(),
            3,
            b"\x01\0u\x01\0/",
            b"\x01\x01\0\0\0\0\0\0\0u\x01\0\0\0\0\0\0\0/\0\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0^w\x02\0\0\0\0\0\0\0.*",
        );
        check_golden(
            &topic_permission(),
            20,
            b"\x01\0u\x01\0/\x01\0e",
            b"\x01\x01\0\0\0\0\0\0\0u\x01\0\0\0\0\0\0\0/\x01\0\0\0\0\0\0\0e\x02\0\0\0\0\0\0\0^w\0\0\0\0\0\0\0\0",
        );
        check_golden(
            &exchange(),
            4,
            b"e",
            b"\x01\x01\0\0\0\0\0\0\0e\x05\0\0\0\0\0\0\0topic\0\x01\0\0\0\0\0\0\0\0",
        );
        check_golden(
            &queue(),
            5,
            b"q",
            b"\x01\x01\0\0\0\0\0\0\0q\x02\x01\0\0\x01\x04\0\0\0\0\0\0\0\x01at\x01",
        );
        check_golden(
            &binding(&[("a", Value::Bool(true))]),
            6,
            b"\x01\0e\x01\0\0\x01\0q\x03\0k.*\x05\0\0\x01at\x01",
            b"\x01\x01\0\0\0\0\0\0\0e\0\x01\0\0\0\0\0\0\0q\x03\0\0\0\0\0\0\0k.*\x04\0\0\0\0\0\0\0\x01at\x01",
        );
        let policy_bytes = b"\x01\x01\0\0\0\0\0\0\0p\x02\0\0\0\0\0\0\0^q\x04\xff\xff\xff\xff\xff\xff\xff\xff\x0d\0\0\0\0\0\0\0{\"expires\":1}";
        check_golden(&Definition::Policy(policy()), 16, b"p", policy_bytes);
        check_golden(&Definition::OperatorPolicy(policy()), 17, b"p", policy_bytes);
        check_golden(
            &limits(),
            18,
            b"\x01\0\x01\x01\0u",
            b"\x01\x01\x01\0\0\0\0\0\0\0u\x01\0\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0max-channels\x07\0\0\0\0\0\0\0",
        );
        check_golden(
            &metadata(),
            19,
            b"/",
            b"\x01\x01\0\0\0\0\0\0\0/\x01\0\0\0\0\0\0\0d\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0t\x06\0\0\0\0\0\0\0quorum",
        );
    }

    #[test]
    fn the_order_of_arguments_is_no_part_of_a_binding() {
        let (a, b) = (("a", Value::Bool(true)), ("b", Value::I32(7)));
        assert_eq!(binding(&[a, b]).key(), binding(&[b, a]).key());
        assert_ne!(binding(&[a]).key(), binding(&[b]).key());
        assert_ne!(binding(&[]).key(), binding(&[b]).key());
    }

    #[test]
    fn long_arguments_have_short_keys() {
        let (long, other) = ("x".repeat(100_000), "y".repeat(100_000));
        let key = binding(&[("a", Value::text(&long))]).key();
        assert!(key.name.len() < 100);
        assert_ne!(key, binding(&[("a", Value::text(&other))]).key());
        let name = "n".repeat(255);
        let longest = Definition::Binding(BindingDefinition {
            source: name.clone(),
            destination_kind: DestinationKind::Exchange,
            destination: name.clone(),
            binding_key: name,
            arguments: Table::from_pairs(&[("a", Value::text(&long[..1000]))]).as_bytes().to_vec(),
        });
        assert!(longest.key().name.len() <= ledgermq_storage::limits::DEFINITION_NAME_BYTES_MAX);
        assert_eq!(Definition::decode(&longest.key(), &longest.value()), Ok(longest));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        let key = |kind, name: &[u8]| DefinitionKey { kind, name: name.to_vec() };
        for (key, value, reason) in [
            (key(99, b"q"), &b"\x01"[..], "kind 99 is unknown"),
            (key(5, b"q"), b"", "no value"),
            (key(5, b"q"), b"\x02", "version 2 of Queue is unknown"),
            (
                key(1, b"other"),
                &vhost().value(),
                "the value under a key of kind Vhost belongs to another key",
            ),
        ] {
            assert_eq!(Definition::decode(&key, value).unwrap_err().reason, reason);
        }
    }

    proptest! {
        #[test]
        fn damaged_bytes_never_panic(
            kind in 0u8..24,
            name in prop::collection::vec(any::<u8>(), 0..20),
            mut value in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            value.insert(0, VERSION);
            let _ = Definition::decode(&DefinitionKey { kind, name }, &value);
        }
    }
}
