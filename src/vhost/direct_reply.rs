//! Direct reply-to: a caller consumes from the queue that is none, `amq.rabbitmq.reply-to`, and publishes requests with that
//! name as `reply-to`; the broker puts an unguessable name of the caller's channel there, and what a server publishes to
//! it through the default exchange goes straight to the caller. Nothing is stored: a reply to nobody is unroutable, and so
//! is one to a client that does not read. Names are known in the whole vhost, whatever the connection.
//! Source: RabbitMQ `rabbit_channel` (`reply_consumer`), `rabbit_volatile_queue`.

use super::channels::Until;
use super::command::{DIRECT_REPLY_TO, Deliver, Notice, Reply};
use super::counts::HandedOut;
use super::errors::{self, QueueIn};
use super::{Context, Vhost};
use crate::limits::REPLY_OUTBOX_BYTES_MAX;
use crate::message::Message;
use crate::protocol::properties::Properties;
use crate::protocol::reply::ChannelError;
use crate::queue::ChannelSlot;
use ledgermq_storage::{QueueId, Seq};
use std::collections::HashMap;
use std::sync::Arc;

/// The consumers of replies.
#[derive(Debug, Default)]
pub(super) struct ReplyConsumers {
    by_name: HashMap<Arc<str>, ChannelSlot>,
    by_channel: HashMap<ChannelSlot, ReplyConsumer>,
}

/// Who receives the replies to one channel's requests.
#[derive(Debug)]
struct ReplyConsumer {
    tag: Arc<str>,
    /// What its requests carry.
    name: Arc<str>,
}

/// Whether a name stands for replies: that of the consumers, or one they have in requests.
pub(super) fn is_reply_name(name: &str) -> bool {
    name.starts_with(DIRECT_REPLY_TO)
}

impl ReplyConsumers {
    /// Forgets the consumer of a channel, with this tag or (`None`) any. Answers whether there was one.
    pub(super) fn remove(&mut self, slot: ChannelSlot, tag: Option<&str>) -> bool {
        let known = self.by_channel.get(&slot);
        if known.is_none_or(|known| tag.is_some_and(|tag| *known.tag != *tag)) {
            return false;
        }
        if let Some(gone) = self.by_channel.remove(&slot) {
            self.by_name.remove(&gone.name);
        }
        true
    }
}

impl Vhost {
    /// basic.consume of replies.
    pub(super) fn consume_replies(
        &mut self,
        slot: ChannelSlot,
        tag: Arc<str>,
        no_ack: bool,
        nowait: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        if !no_ack {
            return Err(errors::reply_consumer_acknowledges());
        }
        if self.replies.by_channel.contains_key(&slot) {
            return Err(errors::second_reply_consumer());
        }
        let name = self.names.reply();
        self.replies.by_name.insert(Arc::clone(&name), slot);
        self.replies.by_channel.insert(slot, ReplyConsumer { tag: Arc::clone(&tag), name });
        self.answer_now(slot, nowait, Reply::Consuming { tag }, cx);
        Ok(())
    }

    /// queue.declare of a name that stands for replies asks whether somebody would receive them.
    pub(super) fn declare_reply_queue(
        &mut self,
        slot: ChannelSlot,
        name: Arc<str>,
        nowait: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        if *name != *DIRECT_REPLY_TO && !self.replies.by_name.contains_key(&name) {
            return Err(errors::not_found(QueueIn(&name, &self.config.name)));
        }
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.last_queue = Some(Arc::clone(&name));
        }
        self.answer_now(slot, nowait, Reply::QueueDeclared { name, message_count: 0, consumer_count: 1 }, cx);
        Ok(())
    }

    /// A request, with the name of its sender's reply consumer.
    pub(super) fn name_reply_to(
        &self,
        slot: ChannelSlot,
        request: &Arc<Message>,
    ) -> Result<Arc<Message>, ChannelError> {
        let consumer = self.replies.by_channel.get(&slot).ok_or_else(errors::no_reply_consumer)?;
        let properties = Properties::new(&request.properties).with_reply_to(&consumer.name);
        Ok(Arc::new(Message { properties, ..Message::clone(request) }))
    }

    /// Hands a message that no queue takes to the reply consumer it is for. Answers whether there is one that can take it.
    pub(super) fn deliver_reply(&mut self, message: &Arc<Message>, cx: &mut Context<'_>) -> bool {
        if !message.exchange.is_empty() || !is_reply_name(&message.routing_key) {
            return false;
        }
        let Some(&slot) = self.replies.by_name.get(&message.routing_key) else { return false };
        let Some(consumer) = self.replies.by_channel.get(&slot) else { return false };
        let tag = Arc::clone(&consumer.tag);
        let Some(channel) = self.channels.slots.get_mut(slot) else { return false };
        let Some(connection) = self.channels.connections.get_mut(channel.connection) else { return false };
        if connection.outbox_bytes > REPLY_OUTBOX_BYTES_MAX {
            return false;
        }
        connection.outbox_bytes += message.resident_bytes();
        self.totals.delivered_count += 1;
        channel.counts.out.note(HandedOut { is_get: false, no_ack: true, redelivered: false });
        let deliver = Deliver {
            tag,
            // It needs no settling, so these mean nothing.
            queue: QueueId(0),
            seq: Seq(0),
            redelivered: false,
            no_ack: true,
            message: Arc::clone(message),
        };
        self.tell(slot, Notice::Deliver(deliver), Until::NOW, cx);
        true
    }
}
