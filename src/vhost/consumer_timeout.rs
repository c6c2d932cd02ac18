//! Consumers that hold a delivery for too long: what such a consumer holds goes back to its queue and the consumer is ended,
//! so that a program that hangs does not hang its queue as well. The timeout is the consumer's (`x-consumer-timeout` of
//! basic.consume), else the queue's, else the broker's.
//!
//! Nothing is done per message: a delivery carries the second it went out, and the deliveries are looked at when the
//! first of them can have timed out. Source: RabbitMQ 4.3, documentation on consumers; `rabbit_channel` for the text.

use super::channels::{Consuming, Until};
use super::command::Notice;
use super::topology::{QueueRecord, QueueSlot};
use super::{Context, Vhost};
use crate::queue::{ChannelSlot, ConsumerSlot, Overdue};
use std::sync::Arc;

/// Least time between two looks, ms: deliveries know their second.
const LOOK_MS: u64 = 1_000;

/// When to look.
#[derive(Debug, Default)]
pub(super) struct ConsumerTimeouts {
    /// Monotonic ms of the input.
    now_ms: u64,
    next_ms: Option<u64>,
}

impl ConsumerTimeouts {
    pub(super) fn note_time(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// The second a delivery goes out, or the one after it: none is ever older than it seems.
    pub(super) fn second(&self) -> u32 {
        self.now_ms.div_ceil(1000) as u32
    }

    pub(super) fn next_ms(&self) -> Option<u64> {
        self.next_ms
    }

    /// Something may be delivered from now on that times out after this.
    pub(super) fn expect(&mut self, timeout_ms: Option<u64>) {
        if let Some(timeout_ms) = timeout_ms {
            let at_ms = self.now_ms.saturating_add(timeout_ms.max(LOOK_MS));
            self.next_ms = Some(self.next_ms.map_or(at_ms, |next_ms| next_ms.min(at_ms)));
        }
    }
}

/// 0 stands for never.
pub(super) fn limit(timeout_ms: u64) -> Option<u64> {
    (timeout_ms > 0).then_some(timeout_ms)
}

impl Vhost {
    /// How long a delivery of this queue may stay unacknowledged if its consumer does not say.
    pub(super) fn timeout_of(&self, record: &QueueRecord) -> Option<u64> {
        limit(record.settings.consumer_timeout_ms.unwrap_or(self.config.consumer_timeout_ms))
    }

    /// Looks at all deliveries, if one of them can have timed out.
    pub(super) fn time_out_consumers(&mut self, cx: &mut Context<'_>) {
        let now_ms = self.timeouts.now_ms;
        if self.timeouts.next_ms.is_none_or(|next_ms| now_ms < next_ms) {
            return;
        }
        let overdue = self.find_overdue();
        if overdue.is_empty() {
            return;
        }
        for (queue, overdue) in overdue {
            self.time_out(queue, overdue, cx);
        }
        // Those that are gone count no more. What nobody consumed stays overdue until its channel closes.
        self.find_overdue();
    }

    /// Who holds deliveries for too long; sets when to look again.
    fn find_overdue(&mut self) -> Vec<(QueueSlot, Overdue)> {
        let now_ms = self.timeouts.now_ms;
        self.timeouts.next_ms = None;
        let mut all = Vec::new();
        for (slot, record) in self.topology.queues.iter() {
            let (overdue, next_ms) = record.queue.overdue(now_ms, self.timeout_of(record));
            self.timeouts.expect(next_ms.map(|next_ms| next_ms.saturating_sub(now_ms)));
            all.extend(overdue.into_iter().map(|overdue| (slot, overdue)));
        }
        all
    }

    fn time_out(&mut self, queue: QueueSlot, overdue: Overdue, cx: &mut Context<'_>) {
        let Overdue { owner, timeout_ms } = overdue;
        let tag = owner.consumer.and_then(|consumer| self.end_consumer(queue, owner.channel, consumer, cx));
        self.tell(owner.channel, Notice::TimedOut { tag, timeout_ms }, Until::NOW, cx);
    }

    /// Returns what a consumer holds, and ends it. Answers its tag, if it was not cancelled before.
    fn end_consumer(
        &mut self,
        queue: QueueSlot,
        channel_slot: ChannelSlot,
        consumer: ConsumerSlot,
        cx: &mut Context<'_>,
    ) -> Option<Arc<str>> {
        let channel = self.channels.slots.get_mut(channel_slot)?;
        let is_it = |consuming: &Consuming| (consuming.queue, consuming.consumer) == (queue, consumer);
        let (tag, _) = channel.consumers.iter().find(|(_, consuming)| is_it(consuming))?;
        let tag = Arc::clone(tag);
        channel.consumers.remove(&tag);
        let record = self.topology.queues.get_mut(queue)?;
        record.queue.cancel_consumer(consumer);
        let count = record.queue.put_back_all_of_consumer(channel_slot, consumer);
        channel.unacked_count -= count;
        channel.consumed_count -= count;
        self.totals.requeued_count += count;
        self.announce_consumer_left(queue, channel_slot, &tag, cx);
        self.tend_returned(queue, cx);
        self.look_at(queue);
        self.wake_if_asleep(channel_slot);
        self.remove_if_unused(queue, cx);
        Some(tag)
    }
}
