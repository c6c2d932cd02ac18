//! Consumers of one channel by their tags, and the basic methods around them: qos, consume, cancel, get.
//!
//! Knows which queue a consumer reads, for the day its user loses the right to, and which queue the channel declared
//! last, because an empty name stands for it and permissions are asked by name. Does not know queues.

use super::access::Resource;
use super::{Context, Failure, Open};
use crate::auth::Access;
use crate::protocol::frame::ChannelId;
use crate::protocol::method_id::MethodId;
use crate::protocol::reply::{ChannelCode, ChannelError, ConnectionCode, ConnectionError};
use crate::protocol::server_method::ServerMethod;
use crate::protocol::table::Table;
use crate::vhost::command::{ChannelKey, Command, DIRECT_REPLY_TO, Envelope};
use std::collections::HashMap;
use std::sync::Arc;

/// Consumers by tag, with the queue each reads.
pub(super) type Consumers = HashMap<Arc<str>, Arc<str>>;

/// The queue this channel declared last.
#[derive(Debug, Default)]
pub(super) enum LastQueue {
    /// None yet: the vhost answers 404.
    #[default]
    None,
    /// Its name.
    Named(Arc<str>),
    /// One of the broker's making whose name has not come yet; permissions are asked with this name of the same form.
    Nameless(Arc<str>),
}

impl LastQueue {
    /// The name that permissions are asked with.
    ///
    /// # Errors
    /// 404 if an empty name stands for nothing. RabbitMQ says so before anything else.
    pub(super) fn resolve<'a>(&'a self, name: &'a str) -> Result<&'a str, ChannelError> {
        match (name, self) {
            ("", Self::None) => Err(ChannelError::new(ChannelCode::NotFound, "no previously declared queue")),
            ("", Self::Named(last) | Self::Nameless(last)) => Ok(last),
            (name, _) => Ok(name),
        }
    }

    /// A queue was declared: the name a nameless one was waiting for, if it looks like one of the broker's making.
    pub(super) fn declared(&mut self, name: &Arc<str>) {
        if matches!(self, Self::Nameless(_)) && name.starts_with(GENERATED_PREFIX) {
            *self = Self::Named(Arc::clone(name));
        }
    }
}

/// What names of the broker's making begin with.
pub(super) const GENERATED_PREFIX: &str = "amq.gen-";

/// Fields of basic.consume that matter.
#[derive(Debug)]
pub(super) struct Consume<'a> {
    pub(super) queue: &'a str,
    pub(super) tag: &'a str,
    pub(super) no_ack: bool,
    pub(super) exclusive: bool,
    pub(super) nowait: bool,
    pub(super) arguments: Table,
}

impl Open {
    /// basic.qos
    pub(super) fn qos(prefetch_size: u32, prefetch_count: u16, global: bool) -> Result<Command, Failure> {
        if prefetch_size != 0 {
            let text = format!("prefetch_size!=0 ({prefetch_size})");
            return Err(ConnectionError::new(ConnectionCode::NotImplemented, text).into());
        }
        Ok(Command::Qos { prefetch_count, global })
    }

    /// basic.consume
    pub(super) fn consume(&mut self, consume: Consume<'_>, cx: &mut Context<'_>) -> Result<Command, Failure> {
        let Consume { queue, tag, no_ack, exclusive, nowait, arguments } = consume;
        // The tag of a reply consumer, used for another, is the lesser fault: the vhost tells of the greater.
        let reads = self.consumers.get(tag);
        if reads.is_some_and(|reads| **reads != *DIRECT_REPLY_TO || queue != DIRECT_REPLY_TO) {
            return Err(not_allowed(format!("attempt to reuse consumer tag '{tag}'")));
        }
        let consumers_max = cx.consumers_max;
        if self.consumers.len() >= consumers_max {
            return Err(not_allowed(format!("reached maximum ({consumers_max}) of consumers per channel")));
        }
        let reads: Arc<str> = self.last_queue.resolve(queue)?.into();
        if *reads != *DIRECT_REPLY_TO {
            self.permissions.check(Access::Read, Resource::Queue(&reads), cx)?;
        }
        let tag: Arc<str> = if tag.is_empty() { cx.tags.name("amq.ctag-") } else { tag.into() };
        self.consumers.insert(Arc::clone(&tag), reads);
        let queue = queue.into();
        Ok(Command::Consume { queue, tag, no_ack, exclusive, nowait, arguments })
    }

    /// basic.cancel. The tag is free at once: what the vhost still does with it comes before what it is used for next.
    pub(super) fn cancel(&mut self, tag: &str, nowait: bool) -> Command {
        let tag = self.consumers.remove_entry(tag).map_or_else(|| tag.into(), |(tag, _)| tag);
        Command::Cancel { tag, nowait }
    }

    /// basic.get
    pub(super) fn get(&mut self, queue: &str, no_ack: bool, cx: &Context<'_>) -> Result<Command, Failure> {
        let queue = self.readable_queue(queue, cx)?;
        Ok(Command::Get { queue, no_ack })
    }

    /// The name of a queue the user may read, as the vhost is to be given it: as it came, with its line breaks.
    pub(super) fn readable_queue(&mut self, queue: &str, cx: &Context<'_>) -> Result<Arc<str>, Failure> {
        let name = self.last_queue.resolve(queue)?;
        self.permissions.check(Access::Read, Resource::Queue(name), cx)?;
        Ok(queue.into())
    }

    /// Ends the consumers whose queue the user may no longer read.
    pub(super) fn cancel_unreadable(&mut self, key: ChannelKey, id: ChannelId, cx: &mut Context<'_>) {
        let permissions = &mut self.permissions;
        self.consumers.retain(|tag, queue| {
            if **queue == *DIRECT_REPLY_TO
                || permissions.check(Access::Read, Resource::Queue(queue), cx).is_ok()
            {
                return true;
            }
            let command = Command::Cancel { tag: Arc::clone(tag), nowait: true };
            cx.out.commands.push(Envelope { channel: key, method: BASIC_CANCEL, command });
            if cx.capabilities.consumer_cancel_notify {
                cx.out.outbound.method(id.get(), &ServerMethod::BasicCancel { consumer_tag: tag });
            }
            false
        });
    }
}

/// A name without carriage returns and line feeds, which RabbitMQ takes out, too, where names are declared, bound and
/// deleted; not where a queue is read from.
pub(super) fn without_line_breaks(name: &str) -> Arc<str> {
    if name.contains(['\r', '\n']) { name.replace(['\r', '\n'], "").into() } else { name.into() }
}

fn not_allowed(text: String) -> Failure {
    ConnectionError::new(ConnectionCode::NotAllowed, text).into()
}

const BASIC_CANCEL: MethodId = MethodId { class: 60, method: 30 };
