//! basic.consume, basic.cancel, basic.qos and basic.get: who wants messages, and how many at once.

use super::channels::{Consuming, GetTicket, Until};
use super::consumer_timeout::limit;
use super::errors::{self, QueueIn};
use super::{Context, Vhost};
use crate::limits::CONSUMERS_PER_CHANNEL_MAX;
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use crate::queue::{ChannelSlot, Consumer, QueueKind};
use crate::vhost::command::{DIRECT_REPLY_TO, MethodId, Notice, Reply};
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
        if **queue == *DIRECT_REPLY_TO {
            return self.consume_replies(slot, asked.tag, asked.no_ack, asked.nowait, cx);
        }
        let queue = self.open_queue(slot, queue)?;
        let Some(channel) = self.channels.slots.get_mut(slot) else { return Ok(()) };
        if channel.consumers.len() >= CONSUMERS_PER_CHANNEL_MAX {
            let notice = Notice::ConnectionFailed(errors::too_many_consumers(), method);
            self.tell(slot, notice, Until::NOW, cx);
            self.shut_channel(slot, cx);
            return Ok(());
        }
        let Some(record) = self.topology.queues.get_mut(queue) else { return Ok(()) };
        if record.stream.is_some() {
            return self.consume_stream(slot, method, queue, asked, cx);
        }
        let described = QueueIn(&record.name, &self.config.name);
        if let Some(name) = STREAM_ARGUMENTS.into_iter().find(|name| asked.arguments.get(name).is_some()) {
            return Err(errors::argument_not_of(record.settings.kind, name, &described));
        }
        let priority = integer(&asked.arguments, PRIORITY, &described)?.unwrap_or(0);
        let timeout_ms = match integer(&asked.arguments, TIMEOUT, &described)? {
            Some(ms) => Some(u64::try_from(ms).map_err(|_| errors::negative(TIMEOUT, ms, &described))?),
            None => None,
        };
        let is_shared = record.queue.consumer_count() > 0 || record.queue.has_single_active_consumer();
        if record.queue.has_exclusive_consumer() || asked.exclusive && is_shared {
            return Err(errors::in_exclusive_use(&described));
        }
        let counted = self.consumers.take(Some(self.settings.consumers_max));
        let counted = counted.map_err(|limit| errors::consumer_limit(&described, limit))?;
        let Asked { tag, no_ack, exclusive, nowait, arguments } = asked;
        let consumer = Consumer {
            channel: slot,
            tag: Arc::clone(&tag),
            no_ack,
            exclusive,
            prefetch_count: channel.prefetch_count,
            priority,
            timeout_ms,
            arguments,
        };
        let told = self.config.events.is_wanted().then(|| consumer.clone());
        let consumer = record.queue.add_consumer(consumer);
        let consuming = Consuming { queue, consumer, _counted: counted };
        channel.consumers.insert(Arc::clone(&tag), consuming);
        channel.queues.insert(queue);
        if !no_ack && let Some(record) = self.topology.queues.get(queue) {
            self.timeouts.expect(timeout_ms.map_or_else(|| self.timeout_of(record), limit));
        }
        if let Some(told) = told {
            self.announce_consumer_created(queue, &told, cx);
        }
        self.answer_now(slot, nowait, Reply::Consuming { tag }, cx);
        self.look_at(queue);
        Ok(())
    }

    pub(super) fn cancel(&mut self, slot: ChannelSlot, tag: &Arc<str>, nowait: bool, cx: &mut Context<'_>) {
        let consumer = self.channels.slots.get_mut(slot).and_then(|channel| channel.consumers.remove(tag));
        if let Some(Consuming { queue, .. }) = consumer {
            // What was published before is still its.
            self.run_queue(queue, cx);
        }
        if let Some(Consuming { queue, consumer, .. }) = consumer
            && let Some(record) = self.topology.queues.get_mut(queue)
        {
            record.cancel_consumer(consumer);
            self.announce_consumer_left(queue, slot, tag, cx);
            self.remove_if_unused(queue, cx);
        } else {
            self.replies.remove(slot, Some(tag));
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
                // A limit for each consumer lifts one that all had together, as in RabbitMQ (`unlimit_prefetch`).
                channel.global_prefetch_count = 0;
            }
        }
        self.wake_if_asleep(slot);
        self.answer_now(slot, false, Reply::QosSet, cx);
    }

    pub(super) fn get(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        queue: &Arc<str>,
        no_ack: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let queue = self.open_queue(slot, queue)?;
        if self.refuse_for_stream(slot, method, queue, "basic.get", cx) {
            return Ok(());
        }
        if let Some(record) = self.topology.queues.get(queue)
            && record.settings.kind == QueueKind::Quorum
            && record.queue.has_single_active_consumer()
        {
            return Err(errors::get_beside_single_active(&QueueIn(&record.name, &self.config.name)));
        }
        self.use_queue(queue);
        // What consumers can take is theirs, and they hear of it before this is answered.
        self.run_queue(queue, cx);
        let ticket = self.channels.expect_get(slot);
        let Some(channel) = self.channels.slots.get_mut(slot) else { return Ok(()) };
        channel.queues.insert(queue);
        if !channel.settlements_written().is_reached(&self.progress) {
            cx.log.flush_written();
        }
        if !no_ack && let Some(record) = self.topology.queues.get(queue) {
            self.timeouts.expect(self.timeout_of(record));
        }
        if let Some(record) = self.topology.queues.get_mut(queue) {
            record.gets.push_back(PendingGet { channel: slot, ticket, no_ack });
        }
        self.look_at(queue);
        self.run_queue(queue, cx);
        Ok(())
    }
}

/// Arguments of basic.consume.
const PRIORITY: &str = "x-priority";
const TIMEOUT: &str = "x-consumer-timeout";
/// Those of streams; other queues refuse them.
const STREAM_ARGUMENTS: [&str; 3] = ["x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"];
/// All arguments of basic.consume that mean something here; docs/compatibility.md lists them.
pub const CONSUMER_ARGUMENTS: [&str; 5] =
    [PRIORITY, TIMEOUT, "x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered"];

/// An argument of basic.consume that must be an integer if it is there.
fn integer(arguments: &Table, name: &str, queue: &QueueIn<'_>) -> Result<Option<i64>, ChannelError> {
    let Some(value) = arguments.get(name) else { return Ok(None) };
    let number = value.as_i64();
    number.map(Some).ok_or_else(|| errors::not_an_integer(name, value.type_name(), queue))
}
