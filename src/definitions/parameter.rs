//! Parameters of the broker as a whole: JSON that operators keep under a name, such as the name of the cluster. In the
//! global group; what a name means is not known here.

use super::{DefinitionError, decode};
use ledgermq_storage::encoding;

/// A global parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalParameterDefinition {
    /// Name.
    pub name: String,
    /// JSON text.
    pub value: String,
}

impl GlobalParameterDefinition {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { name, value } = self;
        encoding::encode(&(name, value))
    }

    pub(super) fn decode(fields: &[u8]) -> Result<Self, DefinitionError> {
        let (name, value) = decode(fields)?;
        Ok(Self { name, value })
    }
}
