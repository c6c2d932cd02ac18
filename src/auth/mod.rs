//! Users, passwords and permissions. Pure: randomness is handed in, changes are handed out to be persisted.

mod accounts;
mod limits;
mod password;
mod pattern;
mod refusals;
mod secret;
mod tally;
mod topic_permissions;

pub use accounts::{
    Access, Accounts, AccountsError, LoginRefused, PermissionView, Salt, UserView, check_name,
};
pub use limits::{Limits, MAX_CHANNELS, MAX_CONNECTIONS, MAX_QUEUES};
pub(crate) use pattern::Pattern;
pub use refusals::Refusals;
pub use secret::Secret;
pub use tally::{Counted, Tally};
