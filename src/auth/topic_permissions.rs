//! What a user may do at topic exchanges beyond the rights on the exchange itself: which keys to publish with, and which to
//! bind with. A user without an entry for an exchange may use any key there. Patterns are searched for in the key;
//! `{username}` and `{vhost}` in them stand for the user's name and the vhost's, taken literally (RabbitMQ takes them as
//! parts of the pattern). Source: RabbitMQ's document "Access Control", `rabbit_auth_backend_internal:check_topic_access`.

use super::accounts::{Access, Accounts, AccountsError, no_such_user};
use super::pattern::Pattern;
use crate::definitions::{Definition, DefinitionChange, TopicPermissionDefinition};
use std::collections::BTreeMap;

/// The entries of one user, by vhost and exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicPermissions {
    entries: BTreeMap<(String, String), TopicPermission>,
}

#[derive(Clone, Debug)]
struct TopicPermission {
    write: Pattern,
    read: Pattern,
}

impl TopicPermissions {
    /// The changes that remove what `is_chosen` (by vhost and exchange).
    pub(super) fn removed(
        &self,
        user: &str,
        is_chosen: impl Fn(&str, &str) -> bool,
    ) -> Vec<DefinitionChange> {
        let chosen = self.entries.iter().filter(|((vhost, exchange), _)| is_chosen(vhost, exchange));
        chosen
            .map(|((vhost, exchange), entry)| {
                Definition::TopicPermission(entry.view(user, vhost, exchange)).removed()
            })
            .collect()
    }

    /// Removes what `is_chosen`; answers the changes.
    pub(super) fn remove(
        &mut self,
        user: &str,
        is_chosen: impl Fn(&str, &str) -> bool,
    ) -> Vec<DefinitionChange> {
        let changes = self.removed(user, &is_chosen);
        self.entries.retain(|(vhost, exchange), _| !is_chosen(vhost, exchange));
        changes
    }

    fn views(&self, user: &str) -> impl Iterator<Item = TopicPermissionDefinition> {
        self.entries.iter().map(move |((vhost, exchange), entry)| entry.view(user, vhost, exchange))
    }
}

impl TopicPermission {
    fn view(&self, user: &str, vhost: &str, exchange: &str) -> TopicPermissionDefinition {
        TopicPermissionDefinition {
            user: user.to_owned(),
            vhost: vhost.to_owned(),
            exchange: exchange.to_owned(),
            write: self.write.source().to_owned(),
            read: self.read.source().to_owned(),
        }
    }
}

impl Accounts {
    /// Whether the user's keys at this exchange are restricted at all.
    pub fn has_topic_permission(&self, user: &str, vhost: &str, exchange: &str) -> bool {
        self.token_of(user).is_some() || self.topic_permission(user, vhost, exchange).is_some()
    }

    /// Whether the user may use this key at this exchange, should it be a topic exchange: to publish
    /// ([`Access::Write`]) or to bind ([`Access::Read`]). There is nothing to configure.
    pub fn may_use_key(&self, user: &str, vhost: &str, exchange: &str, access: Access, key: &str) -> bool {
        if let Some(token) = self.token_of(user) {
            return access == Access::Configure || token.may_use_key(vhost, exchange, access, key);
        }
        self.topic_permission(user, vhost, exchange).is_none_or(|permission| match access {
            Access::Configure => true,
            Access::Write => permission.write.allows(key),
            Access::Read => permission.read.allows(key),
        })
    }

    fn topic_permission(&self, user: &str, vhost: &str, exchange: &str) -> Option<&TopicPermission> {
        let entries = &self.users.get(user)?.topics.entries;
        // Most users have none, and a look at the map would make two strings.
        if entries.is_empty() {
            return None;
        }
        entries.get(&(vhost.to_owned(), exchange.to_owned()))
    }

    /// Sets which keys a user may use at an exchange. The caller has made sure that the vhost exists.
    ///
    /// # Errors
    /// No such user, or a pattern that cannot be understood.
    pub fn set_topic_permissions(
        &mut self,
        permission: TopicPermissionDefinition,
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        let TopicPermissionDefinition { user: name, vhost, exchange, write, read } = &permission;
        let user = self.users_mut().get_mut(name).ok_or_else(|| no_such_user(name))?;
        let compile = |pattern: &str| {
            Pattern::expanded(pattern, name, vhost)
                .map_err(|reason| AccountsError::InvalidPattern { pattern: pattern.to_owned(), reason })
        };
        let compiled = TopicPermission { write: compile(write)?, read: compile(read)? };
        user.topics.entries.insert((vhost.clone(), exchange.clone()), compiled);
        Ok(vec![Definition::TopicPermission(permission).set()])
    }

    /// Lifts the restrictions of a user at an exchange, or at all exchanges of a vhost; it is fine if there were none.
    ///
    /// # Errors
    /// No such user.
    pub fn clear_topic_permissions(
        &mut self,
        name: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        let user = self.users_mut().get_mut(name).ok_or_else(|| no_such_user(name))?;
        Ok(user
            .topics
            .remove(name, |known, of| known == vhost && exchange.is_none_or(|exchange| exchange == of)))
    }

    /// The topic permissions in a vhost, by user and exchange.
    pub fn topic_permissions_in(&self, vhost: &str) -> Vec<TopicPermissionDefinition> {
        let all = self.users.iter().flat_map(|(name, user)| user.topics.views(name));
        let mut here: Vec<_> = all.filter(|permission| permission.vhost == vhost).collect();
        here.sort_unstable_by(|one, other| (&one.user, &one.exchange).cmp(&(&other.user, &other.exchange)));
        here
    }

    /// The topic permissions of a user, by vhost and exchange.
    ///
    /// # Errors
    /// No such user.
    pub fn topic_permissions_of(&self, name: &str) -> Result<Vec<TopicPermissionDefinition>, AccountsError> {
        let user = self.users.get(name).ok_or_else(|| no_such_user(name))?;
        Ok(user.topics.views(name).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Hashing, PasswordHash};

    fn secret() -> PasswordHash {
        PasswordHash::new("secret", Hashing::Sha256, [7; 16]).unwrap()
    }

    fn permission(vhost: &str, exchange: &str, write: &str, read: &str) -> TopicPermissionDefinition {
        TopicPermissionDefinition {
            user: "ann".to_owned(),
            vhost: vhost.to_owned(),
            exchange: exchange.to_owned(),
            write: write.to_owned(),
            read: read.to_owned(),
        }
    }

    fn accounts() -> Accounts {
        let mut accounts = Accounts::new(Vec::new(), Hashing::Sha256);
        accounts.add_user("ann", secret()).unwrap();
        accounts.add_user("bob", secret()).unwrap();
        accounts
    }

    #[test]
    fn keys_are_restricted_where_there_is_an_entry() {
        let mut accounts = accounts();
        assert!(!accounts.has_topic_permission("ann", "/", "e"));
        assert!(accounts.may_use_key("ann", "/", "e", Access::Write, "anything"));
        accounts.set_topic_permissions(permission("/", "e", "^{username}\\.", "^open\\.")).unwrap();
        for (user, vhost, exchange, access, key, expected) in [
            ("ann", "/", "e", Access::Write, "ann.orders", true),
            ("ann", "/", "e", Access::Write, "bob.orders", false),
            ("ann", "/", "e", Access::Read, "open.#", true),
            ("ann", "/", "e", Access::Read, "ann.orders", false),
            ("ann", "/", "e", Access::Configure, "x", true),
            ("ann", "/", "other", Access::Write, "bob.orders", true),
            ("ann", "other", "e", Access::Write, "bob.orders", true),
            ("bob", "/", "e", Access::Write, "x", true),
        ] {
            let may = accounts.may_use_key(user, vhost, exchange, access, key);
            assert_eq!(may, expected, "{user} {vhost} {exchange} {access:?} {key}");
        }
        accounts.set_topic_permissions(permission("/", "e", "", "")).unwrap();
        assert!(!accounts.may_use_key("ann", "/", "e", Access::Write, "ann.orders"), "replaced");
        assert!(
            accounts.may_use_key("ann", "/", "e", Access::Write, ""),
            "the empty pattern is the empty key"
        );
    }

    #[test]
    fn entries_are_cleared_one_by_one_by_vhost_and_with_their_user() {
        let all = [
            permission("/", "a", "1", ".*"),
            permission("/", "b", "2", ".*"),
            permission("v", "a", "3", ".*"),
        ];
        let set = || {
            let mut accounts = accounts();
            for permission in &all {
                accounts.set_topic_permissions(permission.clone()).unwrap();
            }
            accounts
        };
        let removed = |which: &[usize]| -> Vec<_> {
            which.iter().map(|&at| Definition::TopicPermission(all[at].clone()).removed()).collect()
        };
        let mut accounts = set();
        assert_eq!(accounts.topic_permissions_of("ann").unwrap(), all);
        assert_eq!(accounts.topic_permissions_in("/"), all[..2]);
        assert_eq!(accounts.clear_topic_permissions("ann", "/", Some("b")).unwrap(), removed(&[1]));
        assert_eq!(accounts.clear_topic_permissions("ann", "/", Some("b")).unwrap(), []);
        assert_eq!(accounts.topic_permissions_of("ann").unwrap(), [all[0].clone(), all[2].clone()]);
        assert_eq!(set().clear_topic_permissions("ann", "/", None).unwrap(), removed(&[0, 1]));
        assert_eq!(set().forget_vhost("v"), removed(&[2]));
        assert_eq!(set().delete_user("ann").unwrap()[1..], removed(&[0, 1, 2]));
    }

    #[test]
    fn wishes_that_cannot_be_met_are_refused() {
        let mut accounts = accounts();
        let nobody = TopicPermissionDefinition { user: "eve".to_owned(), ..permission("/", "e", "", "") };
        assert_eq!(accounts.set_topic_permissions(nobody), Err(no_such_user("eve")));
        assert_eq!(accounts.clear_topic_permissions("eve", "/", None), Err(no_such_user("eve")));
        assert_eq!(accounts.topic_permissions_of("eve"), Err(no_such_user("eve")));
        let refused = accounts.set_topic_permissions(permission("/", "e", "(", ".*"));
        assert!(matches!(refused, Err(AccountsError::InvalidPattern { .. })));
        assert_eq!(accounts.topic_permissions_in("/"), [], "nothing is changed");
    }

    #[test]
    fn what_was_persisted_is_taken_back() {
        let mut before = accounts();
        before.set_topic_permissions(permission("/", "e", "^a", "^b")).unwrap();
        let stored = [Definition::TopicPermission(permission("/", "e", "^a", "^b"))];
        let mut after = accounts();
        assert_eq!(after.restore(stored.iter()), Vec::<String>::new());
        assert_eq!(after.topic_permissions_in("/"), before.topic_permissions_in("/"));
        let orphan = [Definition::TopicPermission(TopicPermissionDefinition {
            user: "eve".to_owned(),
            ..permission("/", "e", "", "")
        })];
        let said = after.restore(orphan.iter());
        assert!(
            said[0].starts_with("topic permission of user 'eve' on exchange 'e' in vhost '/': "),
            "{said:?}"
        );
    }
}
