//! What answers the routes: one file per resource.

pub(super) mod about;
pub(super) mod accounts;
pub(super) mod bindings;
pub(super) mod channels;
pub(super) mod connections;
pub(super) mod consumers;
pub(super) mod exchanges;
pub(super) mod health;
pub(super) mod nodes;
pub(super) mod overview;
pub(super) mod policies;
pub(super) mod queues;
pub(super) mod session;
pub(super) mod vhosts;
pub(super) mod wal;
