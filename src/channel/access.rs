//! What the user of a channel may do: permissions by kind of access, and a small cache of what was found allowed.
//!
//! Only allowances are cached, and the cache is emptied when accounts change, so a right taken away is gone at once.
//! Checks come before the vhost is asked, so a refusal never tells whether a thing exists.

use super::Context;
use crate::auth::Access;
use crate::limits::CHANNEL_PERMISSIONS_MAX;
use crate::protocol::reply::{ChannelCode, ChannelError};
use std::fmt;
use std::sync::Arc;

/// Who is logged in, and where.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    pub(crate) user: Arc<str>,
    pub(crate) vhost: Arc<str>,
}

/// What an access is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource<'a> {
    Exchange(&'a str),
    Queue(&'a str),
}

impl Resource<'_> {
    /// The name permissions are matched with: the default exchange, which has none, goes by `amq.default`.
    fn name(&self) -> &str {
        match self {
            Self::Exchange("") => "amq.default",
            Self::Exchange(name) | Self::Queue(name) => name,
        }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Exchange(_) => "exchange",
            Self::Queue(_) => "queue",
        };
        write!(f, "{kind} '{}'", self.name())
    }
}

/// Allowances found lately, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Permissions {
    allowed: Vec<(Access, Box<str>)>,
}

impl Permissions {
    /// 403 unless the user has this access.
    pub(super) fn check(
        &mut self,
        access: Access,
        resource: Resource<'_>,
        cx: &Context<'_>,
    ) -> Result<(), ChannelError> {
        if self.may(access, resource, cx) { Ok(()) } else { Err(refusal(access, resource, cx.actor)) }
    }

    /// 403 unless the user has any access at all: enough to ask whether a thing exists.
    pub(super) fn check_any(&mut self, resource: Resource<'_>, cx: &Context<'_>) -> Result<(), ChannelError> {
        let any = [Access::Configure, Access::Write, Access::Read]
            .into_iter()
            .any(|access| self.may(access, resource, cx));
        if any { Ok(()) } else { Err(refusal(Access::Configure, resource, cx.actor)) }
    }

    pub(super) fn clear(&mut self) {
        self.allowed.clear();
    }

    fn may(&mut self, access: Access, resource: Resource<'_>, cx: &Context<'_>) -> bool {
        let name = resource.name();
        if self.allowed.iter().any(|(known, to)| *known == access && **to == *name) {
            return true;
        }
        let may = cx.accounts.may(&cx.actor.user, &cx.actor.vhost, access, name);
        if may {
            if self.allowed.len() >= CHANNEL_PERMISSIONS_MAX {
                self.allowed.remove(0);
            }
            self.allowed.push((access, name.into()));
        }
        may
    }
}

/// What the vhost is to answer if `exchange` is a topic exchange and one of the keys is not the user's to use there.
/// Source: RabbitMQ `rabbit_channel:check_topic_authorisation`.
pub(super) fn topic_refusal<'a>(
    access: Access,
    exchange: &str,
    mut keys: impl Iterator<Item = &'a str>,
    cx: &Context<'_>,
) -> Option<Box<ChannelError>> {
    let Actor { user, vhost } = cx.actor;
    let key = keys.find(|key| !cx.accounts.may_use_key(user, vhost, exchange, access, key))?;
    let access = access.name();
    let text = format!(
        "{access} access to topic '{key}' in exchange '{exchange}' in vhost '{vhost}' refused for user '{user}'"
    );
    Some(Box::new(ChannelError::new(ChannelCode::AccessRefused, text)))
}

fn refusal(access: Access, resource: Resource<'_>, actor: &Actor) -> ChannelError {
    let access = access.name();
    let (vhost, user) = (&actor.vhost, &actor.user);
    ChannelError::new(
        ChannelCode::AccessRefused,
        format!("{access} access to {resource} in vhost '{vhost}' refused for user '{user}'"),
    )
}
