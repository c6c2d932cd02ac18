//! Users, passwords and permissions. Pure: randomness is handed in, changes are handed out to be persisted.

mod accounts;
mod password;
mod pattern;
mod secret;

pub use accounts::{
    Access, Accounts, AccountsError, LoginRefused, PermissionView, Salt, UserView, check_name,
};
pub use secret::Secret;
