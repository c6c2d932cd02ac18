//! What answers the routes: one file per resource.

pub(super) mod about;
pub(super) mod accounts;
pub(super) mod health;
pub(super) mod session;
pub(super) mod vhosts;
