//! Parameters of the broker as a whole: JSON under names, kept for operators and their tools. The broker itself reads one,
//! the name of the cluster.

use super::broker::Broker;
use super::directory::{Directory, lock};
use crate::auth::{AccountsError, check_name};
use crate::definitions::{Definition, DefinitionChange, GlobalParameterDefinition};
use crate::limits::GLOBAL_PARAMETERS_MAX;
use ledgermq_storage::limits::DEFINITION_VALUE_BYTES_MAX;
use ledgermq_storage::{GroupId, Lsn};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// By name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GlobalParameters(BTreeMap<String, Value>);

/// The parameter that names the cluster.
pub(crate) const CLUSTER_NAME: &str = "cluster_name";

/// Room for the name of a parameter and the lengths beside its value, bytes.
const BESIDE_VALUE_BYTES: usize = 1024;

/// Why a parameter cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterError {
    /// What names cannot be.
    Name(AccountsError),
    /// There are too many.
    TooMany,
    /// It is too large.
    TooLarge,
}

impl fmt::Display for ParameterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::TooMany => write!(f, "there are at most {GLOBAL_PARAMETERS_MAX} global parameters"),
            Self::TooLarge => f.write_str("the value of the global parameter is too large"),
        }
    }
}

impl std::error::Error for ParameterError {}

impl GlobalParameters {
    /// Those among the definitions of the global group. One whose value is no JSON was not written by us and is not there.
    pub(super) fn restore(global: &[Definition]) -> Self {
        let restored = global.iter().filter_map(|definition| match definition {
            Definition::GlobalParameter(parameter) => {
                Some((parameter.name.clone(), serde_json::from_str(&parameter.value).ok()?))
            }
            _ => None,
        });
        Self(restored.collect())
    }

    /// Sets one; answers whether it is new, and what to write.
    fn set(&mut self, name: &str, value: Value) -> Result<(bool, Option<Definition>), ParameterError> {
        check_name(name).map_err(ParameterError::Name)?;
        let is_new = !self.0.contains_key(name);
        if is_new && self.0.len() >= GLOBAL_PARAMETERS_MAX {
            return Err(ParameterError::TooMany);
        }
        let text = value.to_string();
        if text.len() + BESIDE_VALUE_BYTES > DEFINITION_VALUE_BYTES_MAX {
            return Err(ParameterError::TooLarge);
        }
        if self.0.get(name) == Some(&value) {
            return Ok((false, None));
        }
        self.0.insert(name.to_owned(), value);
        let definition = GlobalParameterDefinition { name: name.to_owned(), value: text };
        Ok((is_new, Some(Definition::GlobalParameter(definition))))
    }
}

impl Directory {
    async fn set_global_parameter(&self, name: &str, value: Value) -> Result<bool, ParameterError> {
        let (is_new, lsn) = {
            let mut parameters = lock(&self.parameters);
            let (is_new, definition) = parameters.set(name, value)?;
            let change = definition.map(|definition| definition.set());
            (is_new, change.map(|change| self.write(change)))
        };
        self.nursery.durable(lsn.unwrap_or(Lsn::NONE)).await;
        Ok(is_new)
    }

    async fn clear_global_parameter(&self, name: &str) -> bool {
        let lsn = {
            let mut parameters = lock(&self.parameters);
            if parameters.0.remove(name).is_none() {
                return false;
            }
            let gone = GlobalParameterDefinition { name: name.to_owned(), value: String::new() };
            self.write(Definition::GlobalParameter(gone).removed())
        };
        self.nursery.durable(lsn).await;
        true
    }

    fn write(&self, change: DefinitionChange) -> Lsn {
        let changes = [change];
        let lsn = self.nursery.wal().define(GroupId::GLOBAL, &changes);
        self.nursery.events.tell_changes(&self.accounts(), &changes);
        lsn
    }
}

impl Broker {
    /// The parameters of the broker as a whole, by name.
    pub fn global_parameters(&self) -> Vec<(String, Value)> {
        let parameters = lock(&self.directory.parameters);
        parameters.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Sets a parameter of the broker as a whole; answers whether it is new, once it is durable.
    pub async fn set_global_parameter(&self, name: &str, value: Value) -> Result<bool, ParameterError> {
        self.directory.set_global_parameter(name, value).await
    }

    /// Removes a parameter of the broker as a whole; answers whether it was there, once that is durable.
    pub async fn clear_global_parameter(&self, name: &str) -> bool {
        self.directory.clear_global_parameter(name).await
    }

    /// The name of the cluster: what an operator set, or else what is configured.
    pub fn cluster_name(&self) -> String {
        let parameters = lock(&self.directory.parameters);
        let set = parameters.0.get(CLUSTER_NAME).and_then(Value::as_str);
        set.unwrap_or(&self.config.cluster_name).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_set_comes_back() {
        let mut parameters = GlobalParameters::default();
        let (is_new, definition) = parameters.set("n", json!({"a": [1, null]})).unwrap();
        assert!(is_new);
        assert_eq!(GlobalParameters::restore(&[definition.unwrap()]), parameters);
        assert_eq!(parameters.set("n", json!({"a": [1, null]})).unwrap(), (false, None), "nothing to write");
        let (is_new, definition) = parameters.set("n", json!(5)).unwrap();
        assert!(!is_new && definition.is_some());
    }

    #[test]
    fn number_and_size_are_bounded() {
        let mut parameters = GlobalParameters::default();
        for number in 0..GLOBAL_PARAMETERS_MAX {
            parameters.set(&number.to_string(), json!(number)).unwrap();
        }
        assert_eq!(parameters.set("more", json!(1)), Err(ParameterError::TooMany));
        assert!(parameters.set("0", json!("other")).is_ok(), "one that is there may change");
        let large = json!("x".repeat(DEFINITION_VALUE_BYTES_MAX));
        assert_eq!(parameters.set("0", large), Err(ParameterError::TooLarge));
        assert!(matches!(parameters.set("", json!(1)), Err(ParameterError::Name(_))));
    }
}
