//! Definitions in the global group: vhosts, users, and what users may do.

use super::{DefinitionError, decode};
use ledgermq_storage::{GroupId, encoding};

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
    /// A PHC string of argon2id, or `base64(salt ‖ H(salt ‖ password))` with four bytes of salt and SHA-256 or SHA-512 for
    /// H, told apart by their length; empty = no login by password.
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

impl VhostDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { name, group } = self;
        encoding::encode(&(name, group.0))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (name, group) = decode(fields)?;
        Ok(Self { name, group: GroupId(group) })
    }
}

impl UserDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { name, password_hash, tags } = self;
        encoding::encode(&(name, password_hash, tags))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (name, password_hash, tags) = decode(fields)?;
        Ok(Self { name, password_hash, tags })
    }
}

impl PermissionDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { user, vhost, configure, write, read } = self;
        encoding::encode(&(user, vhost, configure, write, read))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (user, vhost, configure, write, read) = decode(fields)?;
        Ok(Self { user, vhost, configure, write, read })
    }
}

impl TopicPermissionDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { user, vhost, exchange, write, read } = self;
        encoding::encode(&(user, vhost, exchange, write, read))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (user, vhost, exchange, write, read) = decode(fields)?;
        Ok(Self { user, vhost, exchange, write, read })
    }
}
