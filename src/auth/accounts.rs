//! Who may log in, and what a user may do in which vhost. Owns users and permissions; which vhosts exist is the
//! directory's business, which also persists the changes that come out of here before it answers.
//! Invariant: a permission belongs to a user that exists.

use super::limits::{Limits, MAX_CHANNELS};
use super::password::{self, Hashing, PasswordHash};
use super::pattern::Pattern;
use super::token::Token;
use super::topic_permissions::TopicPermissions;
use crate::definitions::{
    Definition, DefinitionChange, LimitScope, LimitsDefinition, PermissionDefinition, UserDefinition,
};
use crate::limits::CHANNELS_PER_USER_MAX;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

/// What a user wants to do with a queue or exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Declare, delete.
    Configure,
    /// Publish to, bind (as destination).
    Write,
    /// Consume, get, purge, bind (as source).
    Read,
}

impl Access {
    /// Its word in reply texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// Users and their permissions.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    pub(super) users: Arc<HashMap<String, User>>,
    loopback_users: Vec<String>,
    hashing: Hashing,
    /// Passwords set since the start.
    password_changes: u64,
    /// The one whose bearer these are for: what it says of its user goes before what is written here.
    token: Option<Arc<Token>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct User {
    password_hash: PasswordHash,
    /// Which of the changes of passwords gave it this one.
    password_stamp: u64,
    tags: Vec<String>,
    limits: Limits,
    /// By vhost.
    permissions: BTreeMap<String, Permission>,
    pub(super) topics: TopicPermissions,
}

#[derive(Clone, Debug)]
struct Permission {
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

/// A user as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    /// Name.
    pub name: String,
    /// Tags.
    pub tags: Vec<String>,
}

/// A permission as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermissionView {
    /// User.
    pub user: String,
    /// Vhost.
    pub vhost: String,
    /// Pattern for [`Access::Configure`].
    pub configure: String,
    /// Pattern for [`Access::Write`].
    pub write: String,
    /// Pattern for [`Access::Read`].
    pub read: String,
}

/// Why a change was refused; in rabbitmqctl's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountsError {
    /// The name is taken.
    UserExists(String),
    /// Nobody has this name.
    NoSuchUser(String),
    /// No vhost has this name (said by the directory, which knows them).
    NoSuchVhost(String),
    /// The vhost may not be deleted (said by the directory as well).
    VhostProtected(String),
    /// A pattern that cannot be understood.
    InvalidPattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Users need a password.
    EmptyPassword,
    /// A password hash that cannot be used, and why.
    InvalidPasswordHash(String),
    /// A name that is empty, too long, or holds control characters.
    InvalidName,
}

impl fmt::Display for AccountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserExists(user) => write!(f, "User \"{user}\" already exists"),
            Self::NoSuchUser(user) => write!(f, "User \"{user}\" does not exist"),
            Self::NoSuchVhost(vhost) => write!(f, "Virtual host '{vhost}' does not exist"),
            Self::VhostProtected(vhost) => {
                write!(f, "Refusing to delete virtual host '{vhost}' because it is protected from deletion")
            }
            Self::InvalidPattern { pattern, reason } => {
                write!(f, "regular expression '{pattern}' is invalid: {reason}")
            }
            Self::EmptyPassword => f.write_str("password cannot be an empty string"),
            Self::InvalidPasswordHash(why) => f.write_str(why),
            Self::InvalidName => f.write_str("a name must have 1 to 255 bytes and no control characters"),
        }
    }
}

impl std::error::Error for AccountsError {}

/// Why a login was refused; for the log, the client learns none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginRefused {
    /// Unknown user, or not the password; it is not told apart.
    InvalidCredentials,
    /// The user may log in only from this machine.
    LoopbackOnly,
}

impl LoginRefused {
    /// The sentence for the log.
    pub fn reason(self, user: &str) -> String {
        match self {
            Self::InvalidCredentials => format!("user '{}' - invalid credentials", user.escape_debug()),
            Self::LoopbackOnly => format!("user '{}' can only connect via localhost", user.escape_debug()),
        }
    }
}

impl Accounts {
    /// Nobody yet; `loopback_users` may log in only from this machine, and new passwords are hashed by `hashing`.
    pub fn new(loopback_users: Vec<String>, hashing: Hashing) -> Self {
        Self { loopback_users, hashing, ..Self::default() }
    }

    /// What a fresh store begins with: a user who administers and may do everything in one vhost.
    pub fn fresh(user: &str, vhost: &str, hash: &PasswordHash) -> Vec<Definition> {
        let everything = [".*", ".*", ".*"].map(str::to_owned);
        Self::fresh_with(user, vhost, hash, &["administrator".to_owned()], &everything)
    }

    /// The same with these tags, and with these permissions: configure, write, read.
    pub fn fresh_with(
        user: &str,
        vhost: &str,
        hash: &PasswordHash,
        tags: &[String],
        permissions: &[String; 3],
    ) -> Vec<Definition> {
        let [configure, write, read] = permissions.clone();
        vec![
            Definition::User(UserDefinition {
                name: user.to_owned(),
                password_hash: hash.as_stored().to_owned(),
                tags: tags.to_vec(),
            }),
            Definition::Permission(PermissionDefinition {
                user: user.to_owned(),
                vhost: vhost.to_owned(),
                configure,
                write,
                read,
            }),
        ]
    }

    /// Takes back definitions that were persisted: users first, then their permissions; other kinds are passed over.
    /// Returns a sentence for each that cannot be used (a permission of nobody, a pattern that is none).
    pub fn restore<'a>(&mut self, definitions: impl Iterator<Item = &'a Definition> + Clone) -> Vec<String> {
        for definition in definitions.clone() {
            if let Definition::User(user) = definition {
                let restored = User {
                    password_hash: PasswordHash::stored(user.password_hash.clone()),
                    password_stamp: 0,
                    tags: user.tags.clone(),
                    limits: Limits::default(),
                    permissions: BTreeMap::new(),
                    topics: TopicPermissions::default(),
                };
                self.users_mut().insert(user.name.clone(), restored);
            }
        }
        for definition in definitions.clone() {
            if let Definition::Limits(LimitsDefinition { scope: LimitScope::User, name, limits }) = definition
                && let Some(user) = self.users_mut().get_mut(name)
            {
                user.limits = Limits::new(limits.clone());
            }
        }
        let mut unusable = Vec::new();
        for definition in definitions {
            if let Definition::Permission(permission) = definition
                && let Err(error) = self.set_permissions(permission.clone())
            {
                unusable.push(format!(
                    "permission of user '{}' in vhost '{}': {error}",
                    permission.user, permission.vhost
                ));
            }
            if let Definition::TopicPermission(permission) = definition
                && let Err(error) = self.set_topic_permissions(permission.clone())
            {
                unusable.push(format!(
                    "topic permission of user '{}' on exchange '{}' in vhost '{}': {error}",
                    permission.user, permission.exchange, permission.vhost
                ));
            }
        }
        unusable
    }

    /// Checks a login. Costs the same for a user that does not exist, and with argon2id about 20 ms: not for threads
    /// that serve others.
    pub fn login(&self, user: &str, password: &[u8], from_loopback: bool) -> Result<(), LoginRefused> {
        if !password::verify(password, self.password_hash(user), self.dearest_hashing()) {
            return Err(LoginRefused::InvalidCredentials);
        }
        self.login_without_password(user, from_loopback)
    }

    /// The kind of hash that costs most of those that are kept or will be.
    fn dearest_hashing(&self) -> Hashing {
        let is_kept = |user: &User| user.password_hash.hashing() == Some(Hashing::Argon2id);
        if self.users.values().any(is_kept) { Hashing::Argon2id } else { self.hashing }
    }

    /// Checks a login that needs no password, because something better says who it is.
    pub fn login_without_password(&self, user: &str, from_loopback: bool) -> Result<(), LoginRefused> {
        if !self.users.contains_key(user) {
            return Err(LoginRefused::InvalidCredentials);
        }
        if !from_loopback && self.is_loopback_user(user) {
            return Err(LoginRefused::LoopbackOnly);
        }
        Ok(())
    }

    /// Whether this user may log in only from this machine.
    pub fn is_loopback_user(&self, user: &str) -> bool {
        self.loopback_users.iter().any(|local| local == user)
    }

    /// What is kept of a user's password.
    pub fn password_hash(&self, user: &str) -> Option<&PasswordHash> {
        self.users.get(user).map(|user| &user.password_hash)
    }

    /// A number that changes whenever the user gets another password, and not when the same one is kept in another way;
    /// it says nothing across a restart.
    pub fn password_stamp(&self, user: &str) -> Option<u64> {
        self.users.get(user).map(|user| user.password_stamp)
    }

    /// How new passwords are hashed.
    pub fn hashing(&self) -> Hashing {
        self.hashing
    }

    /// The same, for the bearer of a token: it says what its user may do, whoever else is called so.
    #[must_use]
    pub fn with_token(&self, token: Arc<Token>) -> Self {
        Self { token: Some(token), ..self.clone() }
    }

    pub(super) fn token_of(&self, user: &str) -> Option<&Token> {
        self.token.as_deref().filter(|token| *token.user == *user)
    }

    pub(super) fn users_mut(&mut self) -> &mut HashMap<String, User> {
        Arc::make_mut(&mut self.users)
    }

    fn next_password_stamp(&mut self) -> u64 {
        self.password_changes += 1;
        self.password_changes
    }

    /// The tags of a user; none of one that does not exist.
    pub fn tags(&self, user: &str) -> &[String] {
        if let Some(token) = self.token_of(user) {
            return token.tags();
        }
        self.users.get(user).map(|user| user.tags.as_slice()).unwrap_or_default()
    }

    /// Whether there is such a user.
    pub fn exists(&self, user: &str) -> bool {
        self.token_of(user).is_some() || self.users.contains_key(user)
    }

    /// Whether the user has this tag.
    pub fn has_tag(&self, user: &str, tag: &str) -> bool {
        self.tags(user).iter().any(|known| known == tag)
    }

    /// Whether the user may enter the vhost at all.
    pub fn has_access(&self, user: &str, vhost: &str) -> bool {
        match self.token_of(user) {
            Some(token) => token.has_access(vhost),
            None => self.permission(user, vhost).is_some(),
        }
    }

    /// Whether the user may do that with the queue or exchange of this name (`amq.default` for the default exchange).
    pub fn may(&self, user: &str, vhost: &str, access: Access, resource: &str) -> bool {
        if let Some(token) = self.token_of(user) {
            return token.may(vhost, access, resource);
        }
        self.permission(user, vhost).is_some_and(|permission| {
            match access {
                Access::Configure => &permission.configure,
                Access::Write => &permission.write,
                Access::Read => &permission.read,
            }
            .allows(resource)
        })
    }

    fn permission(&self, user: &str, vhost: &str) -> Option<&Permission> {
        self.users.get(user)?.permissions.get(vhost)
    }

    /// Adds a user without tags and permissions.
    pub fn add_user(
        &mut self,
        name: &str,
        password: PasswordHash,
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        if self.users.contains_key(name) {
            check_name(name)?;
            return Err(AccountsError::UserExists(name.to_owned()));
        }
        self.put_user(name, Some(password), Vec::new())
    }

    /// Sets a user's password and tags, as the management API and definitions files do: the user is added if there is
    /// none of this name, and keeps limits and permissions else. `None` leaves the password as it is; a new user then has
    /// none.
    pub fn put_user(
        &mut self,
        name: &str,
        password: Option<PasswordHash>,
        tags: Vec<String>,
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        check_name(name)?;
        tags.iter().try_for_each(|tag| check_name(tag))?;
        let stamp = self.next_password_stamp();
        let user = self.users_mut().entry(name.to_owned()).or_default();
        if let Some(password) = password {
            user.password_hash = password;
            user.password_stamp = stamp;
        }
        user.tags = tags;
        Ok(vec![user.definition(name).set()])
    }

    /// Deletes a user with all permissions.
    pub fn delete_user(&mut self, name: &str) -> Result<Vec<DefinitionChange>, AccountsError> {
        let user = self.users_mut().remove(name).ok_or_else(|| no_such_user(name))?;
        let mut changes = vec![user.definition(name).removed()];
        if !user.limits.is_empty() {
            changes.push(limits_of(name, &user.limits).removed());
        }
        changes.extend(
            user.permissions.iter().map(|(vhost, permission)| permission.definition(name, vhost).removed()),
        );
        changes.extend(user.topics.removed(name, |_, _| true));
        Ok(changes)
    }

    /// Gives a user another password; [`PasswordHash::none`] takes it away.
    pub fn change_password(
        &mut self,
        name: &str,
        password: PasswordHash,
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        let stamp = self.next_password_stamp();
        let user = self.users_mut().get_mut(name).ok_or_else(|| no_such_user(name))?;
        user.password_hash = password;
        user.password_stamp = stamp;
        Ok(vec![user.definition(name).set()])
    }

    /// Keeps the same password in another way. Nothing happens if it is no longer the one `known` was made of.
    pub fn rehash(
        &mut self,
        name: &str,
        known: &PasswordHash,
        better: PasswordHash,
    ) -> Vec<DefinitionChange> {
        match self.users_mut().get_mut(name) {
            Some(user) if user.password_hash == *known => {
                user.password_hash = better;
                vec![user.definition(name).set()]
            }
            Some(_) | None => Vec::new(),
        }
    }

    /// Replaces a user's tags.
    pub fn set_tags(
        &mut self,
        name: &str,
        tags: Vec<String>,
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        let user = self.users_mut().get_mut(name).ok_or_else(|| no_such_user(name))?;
        tags.iter().try_for_each(|tag| check_name(tag))?;
        user.tags = tags;
        Ok(vec![user.definition(name).set()])
    }

    /// Changes what a user may have.
    pub fn change_limits(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Limits),
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        let user = self.users_mut().get_mut(name).ok_or_else(|| no_such_user(name))?;
        let before = user.limits.clone();
        change(&mut user.limits);
        let definition = limits_of(name, &user.limits);
        Ok(match (before == user.limits, user.limits.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => vec![definition.removed()],
            (false, false) => vec![definition.set()],
        })
    }

    /// What a user may have; nothing is said of one that does not exist.
    pub fn limits(&self, user: &str) -> Option<&Limits> {
        self.users.get(user).map(|user| &user.limits)
    }

    /// One limit of a user.
    pub fn limit(&self, user: &str, limit: &str) -> Option<u64> {
        self.limits(user)?.get(limit)
    }

    /// Channels a user may have, on all connections; `None` = as many as fit.
    pub fn channels_max(&self, user: &str) -> Option<u64> {
        self.limits(user)
            .map_or(Some(CHANNELS_PER_USER_MAX), |limits| limits.get_or(MAX_CHANNELS, CHANNELS_PER_USER_MAX))
    }

    /// Sets what a user may do in a vhost. The caller has made sure that the vhost exists.
    pub fn set_permissions(
        &mut self,
        permission: PermissionDefinition,
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        let user =
            self.users_mut().get_mut(&permission.user).ok_or_else(|| no_such_user(&permission.user))?;
        let compile = |pattern: &str| {
            Pattern::new(pattern)
                .map_err(|reason| AccountsError::InvalidPattern { pattern: pattern.to_owned(), reason })
        };
        let compiled = Permission {
            configure: compile(&permission.configure)?,
            write: compile(&permission.write)?,
            read: compile(&permission.read)?,
        };
        user.permissions.insert(permission.vhost.clone(), compiled);
        Ok(vec![Definition::Permission(permission).set()])
    }

    /// Takes all rights in a vhost from a user; it is fine if there were none.
    pub fn clear_permissions(
        &mut self,
        user: &str,
        vhost: &str,
    ) -> Result<Vec<DefinitionChange>, AccountsError> {
        let permissions = &mut self.users_mut().get_mut(user).ok_or_else(|| no_such_user(user))?.permissions;
        let removed = permissions.remove(vhost);
        Ok(removed.iter().map(|permission| permission.definition(user, vhost).removed()).collect())
    }

    /// Takes back all permissions in a vhost that goes away.
    pub fn forget_vhost(&mut self, vhost: &str) -> Vec<DefinitionChange> {
        let mut changes = Vec::new();
        for (name, user) in self.users_mut() {
            if let Some(permission) = user.permissions.remove(vhost) {
                changes.push(permission.definition(name, vhost).removed());
            }
            changes.extend(user.topics.remove(name, |known, _| known == vhost));
        }
        changes
    }

    /// All users, by name.
    pub fn users(&self) -> Vec<UserView> {
        let mut users: Vec<_> = self
            .users
            .iter()
            .map(|(name, user)| UserView { name: name.clone(), tags: user.tags.clone() })
            .collect();
        users.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        users
    }

    /// The permissions in a vhost, by user.
    pub fn permissions_in(&self, vhost: &str) -> Vec<PermissionView> {
        let mut permissions: Vec<_> = self
            .users
            .iter()
            .filter_map(|(name, user)| Some(user.permissions.get(vhost)?.view(name, vhost)))
            .collect();
        permissions.sort_unstable_by(|one, other| one.user.cmp(&other.user));
        permissions
    }

    /// The permissions of a user, by vhost.
    pub fn permissions_of(&self, user: &str) -> Result<Vec<PermissionView>, AccountsError> {
        let permissions = &self.users.get(user).ok_or_else(|| no_such_user(user))?.permissions;
        Ok(permissions.iter().map(|(vhost, permission)| permission.view(user, vhost)).collect())
    }
}

impl User {
    fn definition(&self, name: &str) -> Definition {
        Definition::User(UserDefinition {
            name: name.to_owned(),
            password_hash: self.password_hash.as_stored().to_owned(),
            tags: self.tags.clone(),
        })
    }
}

impl Permission {
    fn view(&self, user: &str, vhost: &str) -> PermissionView {
        PermissionView {
            user: user.to_owned(),
            vhost: vhost.to_owned(),
            configure: self.configure.source().to_owned(),
            write: self.write.source().to_owned(),
            read: self.read.source().to_owned(),
        }
    }

    fn definition(&self, user: &str, vhost: &str) -> Definition {
        let PermissionView { user, vhost, configure, write, read } = self.view(user, vhost);
        Definition::Permission(PermissionDefinition { user, vhost, configure, write, read })
    }
}

fn limits_of(user: &str, limits: &Limits) -> Definition {
    let limits = limits.as_slice().to_vec();
    Definition::Limits(LimitsDefinition { scope: LimitScope::User, name: user.to_owned(), limits })
}

/// Names of users, tags and vhosts stand in logs, listings and URLs.
///
/// # Errors
/// If the name is empty, longer than an AMQP short string, or holds control characters.
pub fn check_name(name: &str) -> Result<(), AccountsError> {
    let fits = (1..=crate::limits::SHORT_STRING_BYTES_MAX).contains(&name.len());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(AccountsError::InvalidName) }
}

pub(super) fn no_such_user(name: &str) -> AccountsError {
    AccountsError::NoSuchUser(name.to_owned())
}

#[cfg(test)]
mod tests;
