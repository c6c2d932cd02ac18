//! What operators say of a vhost: a description, tags, the type of queues that name none, and limits. Kept in the global
//! group, because connections are counted here; what the vhost itself must know it is told.

use crate::auth::{Limits, MAX_QUEUES};
use crate::definitions::{
    Definition, DefinitionChange, LimitScope, LimitsDefinition, VhostMetadataDefinition,
    VhostProtectionDefinition,
};
use crate::limits::QUEUES_PER_VHOST_MAX;
use crate::queue::QueueKind;
use crate::vhost::VhostSettings;

/// See the file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostAbout {
    /// For people.
    pub description: String,
    /// For people.
    pub tags: Vec<String>,
    /// The type of queues that name none; `None` = what is configured.
    pub default_queue_kind: Option<QueueKind>,
    /// `max-connections` and `max-queues`.
    pub limits: Limits,
    /// It may not be deleted.
    pub is_protected: bool,
}

impl VhostAbout {
    /// What the definitions of the global group say of a vhost.
    pub(super) fn restore(vhost: &str, global: &[Definition]) -> Self {
        let mut about = Self::default();
        for definition in global {
            match definition {
                Definition::VhostMetadata(metadata) if metadata.vhost == vhost => {
                    about.description.clone_from(&metadata.description);
                    about.tags.clone_from(&metadata.tags);
                    about.default_queue_kind = QueueKind::from_name(&metadata.default_queue_type);
                }
                Definition::Limits(LimitsDefinition { scope: LimitScope::Vhost, name, limits })
                    if name == vhost =>
                {
                    about.limits = Limits::new(limits.clone());
                }
                Definition::VhostProtection(protection) if protection.vhost == vhost => {
                    about.is_protected = true;
                }
                _ => {}
            }
        }
        about
    }

    /// What the vhost must know; `default` is what is configured.
    pub(super) fn settings(&self, default: QueueKind) -> VhostSettings {
        VhostSettings {
            default_queue_kind: self.default_queue_kind.unwrap_or(default),
            queues_max: self.limits.get_or(MAX_QUEUES, QUEUES_PER_VHOST_MAX),
            ..VhostSettings::default()
        }
    }

    /// Everything said, as it is kept.
    pub(super) fn definitions(&self, vhost: &str) -> Vec<Definition> {
        self.metadata(vhost).into_iter().chain(self.limits(vhost)).chain(self.protection(vhost)).collect()
    }

    /// What to write so that this stands and no longer `before`.
    pub(super) fn changes_since(&self, before: &Self, vhost: &str) -> Vec<DefinitionChange> {
        let pairs = [
            (before.metadata(vhost), self.metadata(vhost)),
            (before.limits(vhost), self.limits(vhost)),
            (before.protection(vhost), self.protection(vhost)),
        ];
        let changed = pairs.into_iter().filter(|(before, after)| before != after);
        changed
            .filter_map(|(before, after)| {
                after.map(|after| after.set()).or_else(|| before.map(|before| before.removed()))
            })
            .collect()
    }

    fn metadata(&self, vhost: &str) -> Option<Definition> {
        let Self { description, tags, default_queue_kind, .. } = self;
        let is_empty = description.is_empty() && tags.is_empty() && default_queue_kind.is_none();
        (!is_empty).then(|| {
            Definition::VhostMetadata(VhostMetadataDefinition {
                vhost: vhost.to_owned(),
                description: description.clone(),
                tags: tags.clone(),
                default_queue_type: default_queue_kind.map(QueueKind::name).unwrap_or_default().to_owned(),
            })
        })
    }

    fn protection(&self, vhost: &str) -> Option<Definition> {
        let vhost = || vhost.to_owned();
        self.is_protected.then(|| Definition::VhostProtection(VhostProtectionDefinition { vhost: vhost() }))
    }

    fn limits(&self, vhost: &str) -> Option<Definition> {
        (!self.limits.is_empty()).then(|| {
            Definition::Limits(LimitsDefinition {
                scope: LimitScope::Vhost,
                name: vhost.to_owned(),
                limits: self.limits.as_slice().to_vec(),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_back() {
        let about = VhostAbout {
            description: "orders".into(),
            tags: vec!["production".into()],
            default_queue_kind: Some(QueueKind::Quorum),
            limits: Limits::new(vec![("max-queues".into(), 3), ("max-connections".into(), -1)]),
            is_protected: true,
        };
        let mut kept = about.definitions("v");
        kept.extend(VhostAbout { description: "others".into(), ..VhostAbout::default() }.definitions("w"));
        assert_eq!(VhostAbout::restore("v", &kept), about);
        assert_eq!(VhostAbout::restore("x", &kept), VhostAbout::default());
        let settings = VhostSettings {
            default_queue_kind: QueueKind::Quorum,
            queues_max: Some(3),
            ..VhostSettings::default()
        };
        assert_eq!(about.settings(QueueKind::Classic), settings);
        assert_eq!(VhostAbout::default().settings(QueueKind::Quorum).default_queue_kind, QueueKind::Quorum);
    }

    #[test]
    fn queues_are_limited_unless_an_operator_says_otherwise() {
        for (limits, expected) in [
            (vec![], Some(QUEUES_PER_VHOST_MAX)),
            (vec![("max-queues".into(), 3)], Some(3)),
            (vec![("max-queues".into(), -1)], None),
        ] {
            let about = VhostAbout { limits: Limits::new(limits), ..VhostAbout::default() };
            assert_eq!(about.settings(QueueKind::Classic).queues_max, expected);
        }
    }

    #[test]
    fn only_changes_are_written() {
        let empty = VhostAbout::default();
        let described = VhostAbout { description: "d".into(), ..VhostAbout::default() };
        let limited = VhostAbout { limits: Limits::new(vec![("max-queues".into(), 3)]), ..described.clone() };
        assert_eq!(empty.changes_since(&empty, "v"), []);
        let changes = limited.changes_since(&described, "v");
        assert_eq!(changes.len(), 1);
        assert!(matches!(changes.first(), Some((key, Some(_))) if key.kind == 18));
        let removed = empty.changes_since(&limited, "v");
        assert_eq!(removed.iter().filter(|(_, value)| value.is_none()).count(), 2);
        let protected = VhostAbout { is_protected: true, ..VhostAbout::default() };
        assert!(matches!(&protected.changes_since(&empty, "v")[..], [(key, Some(_))] if key.kind == 22));
        assert!(matches!(&empty.changes_since(&protected, "v")[..], [(key, None)] if key.kind == 22));
    }
}
