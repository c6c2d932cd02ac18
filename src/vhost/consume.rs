//! basic.consume, basic.cancel, basic.qos and basic.get: who wants messages, and how many at once.

use super::channels::{GetTicket, Until};
use super::errors::{self, QueueIn};
use super::{Context, Vhost};
use crate::limits::CONSUMERS_PER_CHANNEL_MAX;
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use crate::queue::{ChannelSlot, Consumer};
use crate::vhost::command::{MethodId, Notice, Reply};
use std::sync::Arc;

/// The consumer a client wants.
pub(super) struct Asked {
    pub(super) tag: Arc<str>,
    pub(super) no_ack: bool,
    pub(super) exclusive: bool,
    pub(super) nowait: bool,
    pub(super) arguments: Table,
}

/// A basic.get that waits for the disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingGet {
    pub(super) channel: ChannelSlot,
    pub(super) ticket: GetTicket,
    pub(super) no_ack: bool,
}

impl Vhost {
    pub(super) fn consume(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        queue: &Arc<str>,
        asked: Asked,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let queue = self.open_queue(slot, queue)?;
        let Some(channel) = self.channels.slots.get_mut(slot) else { return Ok(()) };
        if channel.consumers.len() >= CONSUMERS_PER_CHANNEL_MAX {
            let notice = Notice::ConnectionFailed(errors::too_many_consumers(), method);
            self.tell(slot, notice, Until::NOW, cx);
            self.shut_channel(slot, cx);
            return Ok(());
        }
        let Some(record) = self.topology.queues.get_mut(queue) else { return Ok(()) };
        let is_shared = record.queue.consumer_count() > 0;
        if record.queue.has_exclusive_consumer() || asked.exclusive && is_shared {
            return Err(errors::in_exclusive_use(&QueueIn(&record.name, &self.config.name)));
        }
        let Asked { tag, no_ack, exclusive, nowait, arguments } = asked;
        let prefetch_count = channel.prefetch_count;
        let consumer =
            Consumer { channel: slot, tag: Arc::clone(&tag), no_ack, exclusive, prefetch_count, arguments };
        let consumer = record.queue.add_consumer(consumer);
        channel.consumers.insert(Arc::clone(&tag), (queue, consumer));
        channel.queues.insert(queue);
        self.answer_now(slot, nowait, Reply::Consuming { tag }, cx);
        self.look_at(queue);
        Ok(())
    }

    pub(super) fn cancel(&mut self, slot: ChannelSlot, tag: &Arc<str>, nowait: bool, cx: &mut Context<'_>) {
        let consumer = self.channels.slots.get_mut(slot).and_then(|channel| channel.consumers.remove(tag));
        if let Some((queue, consumer)) = consumer
            && let Some(record) = self.topology.queues.get_mut(queue)
        {
            record.queue.cancel_consumer(consumer);
            self.remove_if_unused(queue, cx);
        }
        self.answer(slot, nowait, Reply::Cancelled { tag: Arc::clone(tag) }, cx);
    }

    pub(super) fn set_prefetch(
        &mut self,
        slot: ChannelSlot,
        prefetch_count: u16,
        global: bool,
        cx: &mut Context<'_>,
    ) {
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            if global {
                channel.global_prefetch_count = prefetch_count;
            } else {
                channel.prefetch_count = prefetch_count;
            }
        }
        self.wake_if_asleep(slot);
        self.answer_now(slot, false, Reply::QosSet, cx);
    }

    pub(super) fn get(
        &mut self,
        slot: ChannelSlot,
        queue: &Arc<str>,
        no_ack: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let queue = self.open_queue(slot, queue)?;
        let ticket = self.channels.expect_get(slot);
        let Some(channel) = self.channels.slots.get_mut(slot) else { return Ok(()) };
        channel.queues.insert(queue);
        if !channel.settlements_written().is_reached(&self.progress) {
            cx.log.flush();
        }
        if let Some(record) = self.topology.queues.get_mut(queue) {
            record.gets.push_back(PendingGet { channel: slot, ticket, no_ack });
        }
        self.look_at(queue);
        self.run_queue(queue, cx);
        Ok(())
    }
}
