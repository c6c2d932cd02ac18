//! How many connections, channels or queues a user or a vhost may have, as operators write it: a JSON object of whole
//! numbers, negative ones meaning no limit. Knows names and texts, not what they limit.
//! Source: RabbitMQ `rabbit_vhost_limit`, `rabbit_auth_backend_internal`, `rabbit_parameter_validation`.

use crate::erlang_term::Term;
use serde_json::{Map, Value};

/// Connections of a user or a vhost.
pub const MAX_CONNECTIONS: &str = "max-connections";
/// Channels of a user, all connections together.
pub const MAX_CHANNELS: &str = "max-channels";
/// Queues of a vhost.
pub const MAX_QUEUES: &str = "max-queues";

/// Limits by name, in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits(Vec<(String, i64)>);

impl Limits {
    /// Limits that were kept.
    pub fn new(mut limits: Vec<(String, i64)>) -> Self {
        limits.sort_unstable();
        Self(limits)
    }

    /// Reads what an operator wrote. `known` names there are; `subject` is what RabbitMQ calls the whole.
    ///
    /// # Errors
    /// RabbitMQ's sentence.
    pub fn parse(text: &str, known: &[&str], subject: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| format!("JSON decoding error. Reason: {error}"))?;
        let Value::Object(fields) = value else {
            return Err(format!("{subject} not a list {}", Term(&value)));
        };
        let mut limits = Vec::new();
        for (name, value) in &fields {
            if !known.contains(&name.as_str()) {
                let term = format!("{{{},{}}}", Term(&Value::from(name.as_str())), Term(value));
                return Err(format!("Unrecognised terms [{term}] in {subject}"));
            }
            let number = value
                .as_i64()
                .ok_or_else(|| format!("{name} should be a number, actually was {}", Term(value)))?;
            limits.push((name.clone(), number));
        }
        Ok(Self::new(limits))
    }

    /// The limit of this name; `None` if there is none, or a negative one.
    pub fn get(&self, name: &str) -> Option<u64> {
        let (_, number) = self.0.iter().find(|(known, _)| known == name)?;
        u64::try_from(*number).ok()
    }

    /// The limit of this name, or `default` where nothing is said; `None` if a negative number says that there is none.
    pub fn get_or(&self, name: &str, default: u64) -> Option<u64> {
        let is_said = self.0.iter().any(|(known, _)| known == name);
        if is_said { self.get(name) } else { Some(default) }
    }

    /// Takes over what others say, and keeps the rest.
    pub fn merge(&mut self, others: Self) {
        self.0.retain(|(name, _)| others.0.iter().all(|(other, _)| other != name));
        self.0.extend(others.0);
        self.0.sort_unstable();
    }

    /// Removes the limit of this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By name.
    pub fn as_slice(&self) -> &[(String, i64)] {
        &self.0
    }

    /// The JSON object.
    pub fn to_json(&self) -> String {
        let fields: Map<String, Value> =
            self.0.iter().map(|(name, number)| (name.clone(), Value::from(*number))).collect();
        Value::Object(fields).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = [MAX_CONNECTIONS, MAX_QUEUES];

    #[test]
    fn limits_are_read_and_shown_in_order() {
        let mut limits =
            Limits::parse("{\"max-queues\":3,\"max-connections\":-1}", &KNOWN, "limits").unwrap();
        assert_eq!(limits.to_json(), "{\"max-connections\":-1,\"max-queues\":3}");
        assert_eq!((limits.get(MAX_CONNECTIONS), limits.get(MAX_QUEUES)), (None, Some(3)));
        limits.merge(Limits::parse("{\"max-queues\":0}", &KNOWN, "limits").unwrap());
        assert_eq!(limits.to_json(), "{\"max-connections\":-1,\"max-queues\":0}");
        limits.remove(MAX_QUEUES);
        assert_eq!((limits.get(MAX_QUEUES), limits.is_empty()), (None, false));
        assert_eq!(limits.get_or(MAX_QUEUES, 7), Some(7), "nothing is said");
        assert_eq!(limits.get_or(MAX_CONNECTIONS, 7), None, "a negative number says: none");
    }

    #[test]
    fn what_cannot_be_is_named_in_rabbitmqs_words() {
        for (text, expected) in [
            ("{\"max-queues\":\"x\"}", "max-queues should be a number, actually was <<\"x\">>"),
            ("{\"max-queues\":1.5}", "max-queues should be a number, actually was 1.5"),
            ("{\"foo\":1}", "Unrecognised terms [{<<\"foo\">>,1}] in limits"),
            ("[1]", "limits not a list [1]"),
            ("x", "JSON decoding error. Reason: expected value at line 1 column 1"),
        ] {
            assert_eq!(Limits::parse(text, &KNOWN, "limits"), Err(expected.to_owned()), "{text}");
        }
    }
}
