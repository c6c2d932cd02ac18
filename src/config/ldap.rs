//! Settings of the directory (LDAP) that may decide logins, and in which order who is asked.

use crate::auth::{LdapQueries, LdapQuery, Secret, Template};
use std::path::PathBuf;
use std::sync::Arc;

/// Who decides logins by name and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthBackend {
    /// The users that are kept here.
    Internal,
    /// The directory, also what a user may do.
    Ldap,
    /// The directory; what a user may do is what is kept here of one of the same name, who must be there.
    LdapThenInternal,
}

impl AuthBackend {
    /// Reads a name; RabbitMQ's module names are understood.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "internal" | "rabbit_auth_backend_internal" => Self::Internal,
            "ldap" | "rabbit_auth_backend_ldap" => Self::Ldap,
            "ldap/internal" => Self::LdapThenInternal,
            _ => return None,
        })
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Ldap => "ldap",
            Self::LdapThenInternal => "ldap/internal",
        }
    }
}

/// How a directory is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LdapSecurity {
    /// As it is: whoever is on the way reads passwords.
    #[default]
    None,
    /// TLS from the beginning.
    Tls,
    /// TLS from the first request on.
    StartTls,
}

/// As whom the directory is searched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LdapBind {
    /// As the one who logs in.
    #[default]
    AsUser,
    /// As nobody.
    Anonymous,
    /// As the one of this name in the directory.
    As(String),
}

/// A directory.
#[derive(Clone, Debug)]
pub struct LdapConfig {
    /// Names or addresses; the first that can be reached is asked.
    pub servers: Vec<String>,
    /// Port of all of them.
    pub port: u16,
    /// With TLS or without.
    pub security: LdapSecurity,
    /// Who may sign their certificates, PEM; `None` = whom this system believes.
    pub authorities: Option<PathBuf>,
    /// Time for a login, ms.
    pub timeout_ms: u64,
    /// Name of a user in the directory, or the value by which it is looked up.
    pub user_dn_pattern: Template,
    /// The attribute by which it is looked up; empty = it is not, the pattern is its name.
    pub lookup_attribute: String,
    /// Below which name.
    pub lookup_base: String,
    /// Who searches.
    pub bind: LdapBind,
    /// With which password, if it is one of its own.
    pub bind_password: Secret,
    /// Below which name groups are.
    pub group_base: String,
    /// What a user may do.
    pub queries: Arc<LdapQueries>,
    /// How long a good login is known, seconds.
    pub cache_s: u64,
    /// The texts of what was parsed, as they were given.
    pub(super) texts: LdapTexts,
}

/// See [`LdapConfig::texts`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LdapTexts {
    pub(super) user_dn_pattern: String,
    pub(super) vhost_access: String,
    pub(super) resource_access: String,
    pub(super) topic_access: String,
    pub(super) tags: String,
}

impl PartialEq for LdapConfig {
    fn eq(&self, other: &Self) -> bool {
        let plain = |one: &Self| {
            (
                one.servers.clone(),
                one.port,
                one.security,
                one.authorities.clone(),
                one.timeout_ms,
                one.cache_s,
            )
        };
        let names = |one: &Self| {
            let bind = (one.bind.clone(), one.bind_password.clone());
            (one.lookup_attribute.clone(), one.lookup_base.clone(), bind, one.group_base.clone())
        };
        plain(self) == plain(other) && names(self) == names(other) && self.texts == other.texts
    }
}

impl Eq for LdapConfig {}

impl Default for LdapConfig {
    fn default() -> Self {
        let nobody = || LdapQuery::Constant(false);
        let texts = LdapTexts {
            user_dn_pattern: String::new(),
            vhost_access: "{constant, false}".to_owned(),
            resource_access: "{constant, false}".to_owned(),
            topic_access: "{constant, false}".to_owned(),
            tags: "[]".to_owned(),
        };
        Self {
            servers: Vec::new(),
            port: 389,
            security: LdapSecurity::default(),
            authorities: None,
            timeout_ms: 5_000,
            user_dn_pattern: Template::default(),
            lookup_attribute: String::new(),
            lookup_base: String::new(),
            bind: LdapBind::default(),
            bind_password: Secret::new(""),
            group_base: String::new(),
            queries: Arc::new(LdapQueries {
                vhost_access: nobody(),
                resource_access: nobody(),
                topic_access: nobody(),
                tags: Vec::new(),
            }),
            cache_s: 60,
            texts,
        }
    }
}

impl LdapConfig {
    /// Changes one of the queries, and keeps its text.
    pub(super) fn set_query(
        &mut self,
        text: &str,
        set: impl FnOnce(&mut LdapQueries, LdapQuery),
        keep: impl FnOnce(&mut LdapTexts) -> &mut String,
    ) -> Option<()> {
        let query = LdapQuery::parse(text).ok()?;
        set(Arc::make_mut(&mut self.queries), query);
        text.clone_into(keep(&mut self.texts));
        Some(())
    }

    /// What is missing, for a directory that is asked.
    pub(super) fn lacks(&self) -> Option<&'static str> {
        let wants_groups = !self.queries.attributes().is_empty();
        if self.servers.is_empty() {
            Some("auth_backends names ldap, and ldap_servers names no server")
        } else if self.texts.user_dn_pattern.is_empty() {
            Some("auth_backends names ldap, and ldap_user_dn_pattern does not say who users are there")
        } else if !self.lookup_attribute.is_empty() && self.lookup_base.is_empty() {
            Some("ldap_dn_lookup_attribute needs ldap_dn_lookup_base: below which name users are looked up")
        } else if wants_groups && self.group_base.is_empty() {
            Some("queries with in_group need ldap_group_base: below which name groups are")
        } else {
            None
        }
    }
}
