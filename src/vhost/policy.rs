//! Policies: arguments for all queues and exchanges whose names match a pattern. At most one policy of users and one of
//! operators governs an object: of those that match and suit, the one of the highest priority; of equals, the first by
//! name. Knows names and types of objects, not the objects.
//! Source: RabbitMQ `rabbit_policy`.

use super::policy_keys::{self, Settings};
use crate::auth::Pattern;
use crate::definitions::{ApplyTo, Definition, PolicyDefinition};
use crate::limits::POLICIES_MAX;
use crate::queue::QueueKind;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose policies: those of operators are merged over those of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyLayer {
    /// Anybody who may make policies.
    User,
    /// Operators.
    Operator,
}

/// A policy that can be.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: Arc<str>,
    pub(super) pattern: Pattern,
    pub(super) apply_to: ApplyTo,
    pub(super) priority: i64,
    pub(super) settings: Settings,
}

/// What a policy may govern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Queue(QueueKind),
    Exchange,
}

/// The policies of a vhost.
#[derive(Debug, Default)]
pub(super) struct Policies {
    user: BTreeMap<Arc<str>, Arc<Policy>>,
    operator: BTreeMap<Arc<str>, Arc<Policy>>,
}

/// The policies that govern an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Governing {
    pub(super) user: Option<Arc<Policy>>,
    pub(super) operator: Option<Arc<Policy>>,
}

impl PolicyLayer {
    /// The definition of a policy of this layer.
    pub(super) fn definition(self, policy: PolicyDefinition) -> Definition {
        match self {
            Self::User => Definition::Policy(policy),
            Self::Operator => Definition::OperatorPolicy(policy),
        }
    }
}

impl Policy {
    /// Checks a policy and puts the keys of its definition in order.
    ///
    /// # Errors
    /// What is wrong, in RabbitMQ's words.
    pub(super) fn parse(policy: &PolicyDefinition, layer: PolicyLayer) -> Result<Self, String> {
        let value: Value = serde_json::from_str(&policy.definition)
            .map_err(|error| format!("Could not parse JSON document: {error}"))?;
        let settings: Settings = match value {
            Value::Object(fields) => fields.into_iter().collect(),
            other => return Err(invalid(&format!("definition must be a dictionary: {other}"))),
        };
        policy_keys::check(&settings, layer == PolicyLayer::Operator).map_err(|why| invalid(&why))?;
        let pattern = Pattern::anywhere(&policy.pattern)
            .map_err(|why| invalid(&format!("pattern should be regular expression but is invalid: {why}")))?;
        Ok(Self {
            name: policy.name.as_str().into(),
            pattern,
            apply_to: policy.apply_to,
            priority: policy.priority,
            settings,
        })
    }

    pub(super) fn to_definition(&self) -> PolicyDefinition {
        PolicyDefinition {
            name: self.name.to_string(),
            pattern: self.pattern.source().to_owned(),
            apply_to: self.apply_to,
            priority: self.priority,
            definition: Value::Object(self.settings.clone().into_iter().collect()).to_string(),
        }
    }

    fn governs(&self, kind: Kind, name: &str) -> bool {
        let is_for = match kind {
            Kind::Exchange => matches!(self.apply_to, ApplyTo::All | ApplyTo::Exchanges),
            Kind::Queue(kind) => {
                let is_of_kind = match self.apply_to {
                    ApplyTo::All | ApplyTo::Queues => true,
                    ApplyTo::Exchanges => false,
                    ApplyTo::ClassicQueues => kind == QueueKind::Classic,
                    ApplyTo::QuorumQueues => kind == QueueKind::Quorum,
                    ApplyTo::Streams => kind == QueueKind::Stream,
                };
                is_of_kind && policy_keys::suit(&self.settings, kind)
            }
        };
        is_for && self.pattern.allows(name)
    }
}

impl Policies {
    /// Adds a policy or replaces the one of its name.
    ///
    /// # Errors
    /// If there are too many.
    pub(super) fn set(&mut self, layer: PolicyLayer, policy: Policy) -> Result<(), String> {
        let policies = self.layer_mut(layer);
        if policies.len() >= POLICIES_MAX && !policies.contains_key(&policy.name) {
            return Err(format!("a virtual host has at most {POLICIES_MAX} policies"));
        }
        policies.insert(Arc::clone(&policy.name), Arc::new(policy));
        Ok(())
    }

    /// Removes a policy.
    pub(super) fn clear(&mut self, layer: PolicyLayer, name: &str) -> Option<Arc<Policy>> {
        self.layer_mut(layer).remove(name)
    }

    /// Whether there is one of this name.
    pub(super) fn has(&self, layer: PolicyLayer, name: &str) -> bool {
        self.layer(layer).contains_key(name)
    }

    /// By priority, the lowest first; equal ones by name.
    pub(super) fn sorted(&self, layer: PolicyLayer) -> Vec<&Policy> {
        let mut policies: Vec<_> = self.layer(layer).values().map(Arc::as_ref).collect();
        policies.sort_by_key(|policy| policy.priority);
        policies
    }

    /// The policies that govern an object.
    pub(super) fn governing(&self, kind: Kind, name: &str) -> Governing {
        let best = |layer: &BTreeMap<Arc<str>, Arc<Policy>>| {
            let matching = layer.values().filter(|policy| policy.governs(kind, name));
            // Of equal maxima `max_by_key` takes the last, and names ascend.
            matching.rev().max_by_key(|policy| policy.priority).map(Arc::clone)
        };
        Governing { user: best(&self.user), operator: best(&self.operator) }
    }

    fn layer(&self, layer: PolicyLayer) -> &BTreeMap<Arc<str>, Arc<Policy>> {
        match layer {
            PolicyLayer::User => &self.user,
            PolicyLayer::Operator => &self.operator,
        }
    }

    fn layer_mut(&mut self, layer: PolicyLayer) -> &mut BTreeMap<Arc<str>, Arc<Policy>> {
        match layer {
            PolicyLayer::User => &mut self.user,
            PolicyLayer::Operator => &mut self.operator,
        }
    }
}

impl Governing {
    /// The name of the policy of users; empty if there is none.
    pub(super) fn user_name(&self) -> String {
        self.user.as_ref().map(|policy| policy.name.to_string()).unwrap_or_default()
    }

    /// The name of the policy of operators; empty if there is none.
    pub(super) fn operator_name(&self) -> String {
        self.operator.as_ref().map(|policy| policy.name.to_string()).unwrap_or_default()
    }

    /// What both say together.
    pub(super) fn settings(&self) -> Settings {
        policy_keys::joined(
            self.user.as_ref().map(|policy| &policy.settings),
            self.operator.as_ref().map(|policy| &policy.settings),
        )
    }

    /// Whether nothing governs.
    pub(super) fn is_none(&self) -> bool {
        self.user.is_none() && self.operator.is_none()
    }

    /// Whether these are the same policies.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = |one: &Option<Arc<Policy>>, other: &Option<Arc<Policy>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same(&self.user, &other.user) && same(&self.operator, &other.operator)
    }
}

/// Whether a policy can be.
///
/// # Errors
/// What is wrong with it, in RabbitMQ's words.
pub fn check_policy(layer: PolicyLayer, policy: &PolicyDefinition) -> Result<(), String> {
    Policy::parse(policy, layer).map(drop)
}

fn invalid(why: &str) -> String {
    format!("Validation failed\n\n{why}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, pattern: &str, apply_to: ApplyTo, priority: i64, definition: &str) -> Policy {
        let definition = PolicyDefinition {
            name: name.into(),
            pattern: pattern.into(),
            apply_to,
            priority,
            definition: definition.into(),
        };
        Policy::parse(&definition, PolicyLayer::User).unwrap()
    }

    fn governing(policies: &[(&str, &str, ApplyTo, i64, &str)], kind: Kind, name: &str) -> String {
        let mut all = Policies::default();
        for (policy_name, pattern, apply_to, priority, definition) in policies {
            let policy = policy(policy_name, pattern, *apply_to, *priority, definition);
            all.set(PolicyLayer::User, policy).unwrap();
        }
        all.governing(kind, name).user.map(|policy| policy.name.to_string()).unwrap_or_default()
    }

    const TTL: &str = "{\"message-ttl\":1}";
    const CLASSIC: Kind = Kind::Queue(QueueKind::Classic);
    const QUORUM: Kind = Kind::Queue(QueueKind::Quorum);
    const STREAM: Kind = Kind::Queue(QueueKind::Stream);

    #[test]
    fn the_highest_priority_governs_and_of_equals_the_first_name() {
        let policies = [
            ("b", "^q", ApplyTo::All, 5, TTL),
            ("a", "^q", ApplyTo::All, 1, TTL),
            ("c", "^q", ApplyTo::All, 5, TTL),
            ("d", "^other", ApplyTo::All, 9, TTL),
        ];
        assert_eq!(governing(&policies, CLASSIC, "q1"), "b");
        assert_eq!(governing(&policies, CLASSIC, "my-q1"), "");
        assert_eq!(governing(&policies, CLASSIC, "other"), "d");
    }

    #[test]
    fn patterns_are_searched_for() {
        for (pattern, name, expected) in [
            ("", "q", "p"),
            (".*", "q", "p"),
            ("q", "my-queue", "p"),
            ("^q$", "qq", ""),
            ("^(?!amq\\.)", "amq.x", ""),
        ] {
            let policies = [("p", pattern, ApplyTo::All, 0, TTL)];
            assert_eq!(governing(&policies, CLASSIC, name), expected, "{pattern:?} on {name:?}");
        }
    }

    #[test]
    fn a_policy_is_for_some_kinds_of_objects() {
        for (apply_to, expected) in [
            (ApplyTo::All, [true, true, true, true]),
            (ApplyTo::Queues, [true, true, true, false]),
            (ApplyTo::Exchanges, [false, false, false, true]),
            (ApplyTo::ClassicQueues, [true, false, false, false]),
            (ApplyTo::QuorumQueues, [false, true, false, false]),
            (ApplyTo::Streams, [false, false, true, false]),
        ] {
            let definition = "{\"max-length-bytes\":1}";
            let governs = [CLASSIC, QUORUM, STREAM, Kind::Exchange]
                .map(|kind| governing(&[("p", "", apply_to, 0, definition)], kind, "x") == "p");
            assert_eq!(governs, expected, "{apply_to:?}");
        }
        // One key too many, and the next policy governs.
        let policies = [
            ("limited", "", ApplyTo::Queues, 9, "{\"message-ttl\":1,\"delivery-limit\":3}"),
            ("plain", "", ApplyTo::Queues, 0, TTL),
        ];
        assert_eq!(governing(&policies, CLASSIC, "q"), "plain");
        assert_eq!(governing(&policies, QUORUM, "q"), "limited");
    }

    #[test]
    fn what_cannot_be_a_policy() {
        for (pattern, definition, expected) in [
            (
                "(",
                TTL,
                "Validation failed\n\npattern should be regular expression but is invalid: unclosed group\n",
            ),
            ("", "[1]", "Validation failed\n\ndefinition must be a dictionary: [1]\n"),
            ("", "{}", "Validation failed\n\nno policy provided\n"),
            ("", "x", "Could not parse JSON document: expected value at line 1 column 1"),
        ] {
            let definition = PolicyDefinition {
                name: "p".into(),
                pattern: pattern.into(),
                apply_to: ApplyTo::All,
                priority: 0,
                definition: definition.into(),
            };
            assert_eq!(Policy::parse(&definition, PolicyLayer::User).unwrap_err(), expected);
        }
    }

    #[test]
    fn the_definition_is_kept_in_order() {
        let policy = policy("p", "^q", ApplyTo::Queues, 7, "{ \"max-length\" : 5, \"expires\": 1 }");
        let kept = policy.to_definition();
        assert_eq!(kept.definition, "{\"expires\":1,\"max-length\":5}");
        assert_eq!((kept.priority, kept.apply_to, kept.pattern.as_str()), (7, ApplyTo::Queues, "^q"));
    }

    #[test]
    fn there_are_not_too_many() {
        let mut all = Policies::default();
        for number in 0..POLICIES_MAX {
            all.set(PolicyLayer::User, policy(&number.to_string(), "", ApplyTo::All, 0, TTL)).unwrap();
        }
        all.set(PolicyLayer::User, policy("0", "", ApplyTo::All, 0, TTL)).unwrap();
        assert!(all.set(PolicyLayer::User, policy("more", "", ApplyTo::All, 0, TTL)).is_err());
        all.set(PolicyLayer::Operator, policy("more", "", ApplyTo::All, 0, TTL)).unwrap();
    }
}
