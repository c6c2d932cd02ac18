//! Users, passwords and permissions. Pure: randomness is handed in, changes are handed out to be persisted.

mod accounts;
mod known_logins;
mod ldap_names;
mod ldap_query;
mod ldap_rights;
mod ldap_wire;
mod limits;
mod password;
mod pattern;
mod refresh;
mod refusals;
mod secret;
mod tally;
mod token;
mod token_keys;
mod topic_permissions;

pub use accounts::{Access, Accounts, AccountsError, LoginRefused, PermissionView, UserView, check_name};
pub use known_logins::{KnownLogins, LoginKey};
pub use ldap_names::escaped_dn;
pub use ldap_query::{Expression, Facts, LdapQuery, Template, Variable};
pub use ldap_rights::{LdapCache, LdapQueries, LdapRights};
pub use ldap_wire::{
    LdapMalformed, LdapReply, LdapRequest, LdapResult, message_length as ldap_message_length,
};
pub use limits::{Limits, MAX_CHANNELS, MAX_CONNECTIONS, MAX_QUEUES};
pub use password::{Hashing, PasswordHash, Salt};
pub(crate) use pattern::Pattern;
pub use refresh::RefreshPlan;
pub use refusals::{Refusals, neighbourhood};
pub use secret::Secret;
pub use tally::{Counted, Tally};
pub use token::Token;
pub use token_keys::{TokenKeys, TokenRefused, TokenRules, looks_like_token};
