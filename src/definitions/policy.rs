//! Definitions that say something about many objects at once: policies, limits, and what a vhost is like. A policy is
//! in its vhost's group; limits and the metadata of vhosts are in the global group.

use super::{DefinitionError, damaged, decode};
use ledgermq_storage::encoding;

/// A policy of users or of operators: arguments for every queue or exchange whose name matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDefinition {
    /// Name, unique within its layer.
    pub name: String,
    /// Searched for in names.
    pub pattern: String,
    /// What it is for.
    pub apply_to: ApplyTo,
    /// Of those that match, the highest governs.
    pub priority: i64,
    /// A JSON object, its keys in order.
    pub definition: String,
}

/// What a policy is for; the number is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ApplyTo {
    /// Queues of all types and exchanges.
    #[default]
    All = 0,
    /// Queues of all types.
    Queues = 1,
    /// Exchanges.
    Exchanges = 2,
    /// Classic queues.
    ClassicQueues = 3,
    /// Quorum queues.
    QuorumQueues = 4,
    /// Streams.
    Streams = 5,
}

/// How many of something a vhost or a user may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsDefinition {
    /// Whose kind of limits.
    pub scope: LimitScope,
    /// Name of the vhost or user.
    pub name: String,
    /// By name, e.g. `max-connections`; negative = no limit.
    pub limits: Vec<(String, i64)>,
}

/// What limits are for; the number is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LimitScope {
    /// A vhost.
    Vhost = 0,
    /// A user.
    User = 1,
}

/// What people say about a vhost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostMetadataDefinition {
    /// Name of the vhost.
    pub vhost: String,
    /// For people.
    pub description: String,
    /// For people.
    pub tags: Vec<String>,
    /// The type of queues that name none: `classic`, `quorum`, `stream`; empty = what is configured.
    pub default_queue_type: String,
}

/// A vhost that may not be deleted; one that may has none of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostProtectionDefinition {
    /// Name of the vhost.
    pub vhost: String,
}

const APPLY_TO: [ApplyTo; 6] = [
    ApplyTo::All,
    ApplyTo::Queues,
    ApplyTo::Exchanges,
    ApplyTo::ClassicQueues,
    ApplyTo::QuorumQueues,
    ApplyTo::Streams,
];

impl ApplyTo {
    /// The word operators use.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Queues => "queues",
            Self::Exchanges => "exchanges",
            Self::ClassicQueues => "classic_queues",
            Self::QuorumQueues => "quorum_queues",
            Self::Streams => "streams",
        }
    }

    /// What this word means.
    pub fn from_name(name: &str) -> Option<Self> {
        APPLY_TO.into_iter().find(|apply_to| apply_to.name() == name)
    }

    fn from_number(number: u8) -> Option<Self> {
        APPLY_TO.into_iter().find(|apply_to| *apply_to as u8 == number)
    }
}

impl PolicyDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { name, pattern, apply_to, priority, definition } = self;
        encoding::encode(&(name, pattern, *apply_to as u8, *priority, definition))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (name, pattern, apply_to, priority, definition) = decode(fields)?;
        let unknown = || damaged(format!("a policy for objects of kind {apply_to} is unknown"));
        let apply_to = ApplyTo::from_number(apply_to).ok_or_else(unknown)?;
        Ok(Self { name, pattern, apply_to, priority, definition })
    }
}

impl LimitsDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { scope, name, limits } = self;
        encoding::encode(&(*scope as u8, name, limits))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (scope, name, limits) = decode(fields)?;
        let scope = match scope {
            0u8 => LimitScope::Vhost,
            1 => LimitScope::User,
            other => return Err(damaged(format!("limits of kind {other} are unknown"))),
        };
        Ok(Self { scope, name, limits })
    }
}

impl VhostProtectionDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        encoding::encode(&self.vhost)
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        Ok(Self { vhost: decode(fields)? })
    }
}

impl VhostMetadataDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { vhost, description, tags, default_queue_type } = self;
        encoding::encode(&(vhost, description, tags, default_queue_type))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (vhost, description, tags, default_queue_type) = decode(fields)?;
        Ok(Self { vhost, description, tags, default_queue_type })
    }
}
