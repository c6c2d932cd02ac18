//! What a user of a directory may do: the answers of queries about it, which were configured, with the groups it was in
//! when it logged in. And who logged in a moment ago, so that a directory is not asked for every connection of a client.

use super::Access;
use super::ldap_query::{Facts, LdapQuery};
use crate::limits::LDAP_CACHE_MAX;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// What is asked of users.
#[derive(Clone, Debug)]
pub struct LdapQueries {
    /// Whether they may enter a vhost.
    pub vhost_access: LdapQuery,
    /// Whether they may do something with a queue or exchange.
    pub resource_access: LdapQuery,
    /// Whether they may use a key at a topic exchange.
    pub topic_access: LdapQuery,
    /// Whether they have a tag.
    pub tags: Vec<(String, LdapQuery)>,
}

/// A user that a directory knows.
#[derive(Clone, Debug)]
pub struct LdapRights {
    user: Arc<str>,
    user_dn: String,
    groups: Vec<(String, String)>,
    tags: Vec<String>,
    queries: Arc<LdapQueries>,
}

impl LdapQueries {
    /// The attributes by which groups name their members in them.
    pub fn attributes(&self) -> Vec<String> {
        let mut attributes = Vec::new();
        let of_tags = self.tags.iter().map(|(_, query)| query);
        for query in
            [&self.vhost_access, &self.resource_access, &self.topic_access].into_iter().chain(of_tags)
        {
            query.attributes(&mut attributes);
        }
        attributes
    }
}

impl LdapRights {
    /// The user that logged in by this name, with its name in the directory and the groups that name it: by which attribute,
    /// and the group's name.
    pub fn new(
        user: Arc<str>,
        user_dn: String,
        groups: Vec<(String, String)>,
        queries: Arc<LdapQueries>,
    ) -> Self {
        let mut rights = Self { user, user_dn, groups, tags: Vec::new(), queries };
        let has = |(_, query): &&(String, LdapQuery)| query.holds(&rights.facts());
        rights.tags = rights.queries.tags.iter().filter(has).map(|(tag, _)| tag.clone()).collect();
        rights
    }

    /// Its name.
    pub fn user(&self) -> &Arc<str> {
        &self.user
    }

    /// Its tags.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether it may enter the vhost.
    pub fn has_access(&self, vhost: &str) -> bool {
        self.queries.vhost_access.holds(&Facts { vhost, ..self.facts() })
    }

    /// Whether it may do that with the queue or exchange of this name.
    pub fn may(&self, vhost: &str, access: Access, name: &str) -> bool {
        let facts = Facts { vhost, name, permission: access.name(), ..self.facts() };
        self.queries.resource_access.holds(&facts)
    }

    /// Whether it may do that with this key at a topic exchange.
    pub fn may_use_key(&self, vhost: &str, exchange: &str, access: Access, key: &str) -> bool {
        let facts =
            Facts { vhost, name: exchange, permission: access.name(), routing_key: key, ..self.facts() };
        self.queries.topic_access.holds(&facts)
    }

    fn facts(&self) -> Facts<'_> {
        Facts { username: &self.user, user_dn: &self.user_dn, groups: &self.groups, ..Facts::default() }
    }
}

/// Who logged in a moment ago, by a keyed digest of name and password.
#[derive(Debug)]
pub struct LdapCache {
    secret: [u8; 32],
    lifetime_ms: u64,
    known: HashMap<[u8; 32], (u64, Arc<LdapRights>)>,
}

impl LdapCache {
    /// Nobody yet; who logged in is known for `lifetime_ms`.
    pub fn new(secret: [u8; 32], lifetime_ms: u64) -> Self {
        Self { secret, lifetime_ms, known: HashMap::new() }
    }

    /// The one who logged in with these, not too long ago.
    pub fn find(&self, user: &str, password: &str, now_ms: u64) -> Option<Arc<LdapRights>> {
        let (until_ms, rights) = self.known.get(&self.digest(user, password))?;
        (now_ms < *until_ms).then(|| Arc::clone(rights))
    }

    /// He logged in now. If too many did, one of those who did first gives way.
    pub fn learn(&mut self, user: &str, password: &str, rights: Arc<LdapRights>, now_ms: u64) {
        if self.lifetime_ms == 0 {
            return;
        }
        if self.known.len() >= LDAP_CACHE_MAX {
            self.known.retain(|_, (until_ms, _)| now_ms < *until_ms);
        }
        if self.known.len() >= LDAP_CACHE_MAX
            && let Some(oldest) =
                self.known.iter().min_by_key(|(_, (until_ms, _))| *until_ms).map(|(key, _)| *key)
        {
            self.known.remove(&oldest);
        }
        self.known.insert(self.digest(user, password), (now_ms + self.lifetime_ms, rights));
    }

    fn digest(&self, user: &str, password: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        hash.update((user.len() as u64).to_le_bytes());
        hash.update(user);
        hash.update(password);
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(groups: &[&str]) -> LdapRights {
        let query = |text| LdapQuery::parse(text).unwrap();
        let queries = LdapQueries {
            vhost_access: query("{in_group, \"cn=${vhost}\"}"),
            resource_access: query("{for, [{permission, read, {constant, true}}]}"),
            topic_access: query("{match, \"${routing_key}\", \"^eu\"}"),
            tags: LdapQuery::parse_by_tag("[{administrator, {in_group, \"cn=admins\"}}]").unwrap(),
        };
        assert_eq!(queries.attributes(), ["member"]);
        let groups = groups.iter().map(|name| ("member".to_owned(), (*name).to_owned())).collect();
        LdapRights::new("ann".into(), "uid=ann".into(), groups, Arc::new(queries))
    }

    #[test]
    fn the_groups_say_what_a_user_may() {
        let ann = rights(&["cn=v"]);
        assert!(ann.has_access("v") && !ann.has_access("w") && ann.tags().is_empty());
        assert!(ann.may("v", Access::Read, "q") && !ann.may("v", Access::Write, "q"));
        assert!(ann.may_use_key("v", "t", Access::Write, "eu.x"));
        assert!(!ann.may_use_key("v", "t", Access::Write, "us.x"));
        assert_eq!(rights(&["cn=Admins"]).tags(), ["administrator"]);
    }

    #[test]
    fn who_logged_in_is_known_for_a_while_and_only_with_his_password() {
        let mut cache = LdapCache::new([7; 32], 1_000);
        cache.learn("ann", "secret", Arc::new(rights(&[])), 5_000);
        assert!(cache.find("ann", "secret", 5_999).is_some());
        assert!(cache.find("ann", "secret", 6_000).is_none());
        for (user, password) in [("ann", "Secret"), ("anns", "ecret"), ("an", "nsecret"), ("ann", "")] {
            assert!(cache.find(user, password, 5_001).is_none(), "{user} {password}");
        }
        for number in 0..LDAP_CACHE_MAX {
            cache.learn(&number.to_string(), "x", Arc::new(rights(&[])), 5_500);
        }
        assert_eq!(cache.known.len(), LDAP_CACHE_MAX);
        assert!(cache.find("ann", "secret", 5_500).is_none(), "the oldest gave way");
        let mut off = LdapCache::new([7; 32], 0);
        off.learn("ann", "secret", Arc::new(rights(&[])), 0);
        assert!(off.find("ann", "secret", 0).is_none());
    }
}
