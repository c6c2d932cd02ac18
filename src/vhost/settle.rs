//! basic.ack, basic.nack, basic.reject and basic.recover: deliveries end or go back, and credit returns.
//! What is rejected for good, or comes back too often, leaves its queue through [`super::dead_letter`].

use super::log::LoggedSettle;
use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::queue::{ChannelSlot, Death};
use crate::vhost::command::{Outcome, Reply};
use ledgermq_storage::{Lsn, QueueId, Seq, SettleReason};

impl Vhost {
    pub(super) fn settle(
        &mut self,
        slot: ChannelSlot,
        outcome: Outcome,
        deliveries: &[(QueueId, Seq)],
        cx: &mut Context<'_>,
    ) {
        let mut settled = Lsn::NONE;
        for &(queue, seq) in deliveries {
            if self.settle_one(slot, outcome, queue, seq)
                && let Some(reason) = reason(outcome)
            {
                settled = cx.log.settle(LoggedSettle { queue, seq, reason });
            }
        }
        if outcome != Outcome::Ack {
            settled = settled.max(self.let_rejected_go(deliveries, cx));
        }
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.settled = channel.settled.max(settled);
        }
        self.wake_if_asleep(slot);
    }

    /// Lets go of what these deliveries were, if that is what became of them, and of what those that were put back push
    /// out of a full queue. Answers the record that says so.
    pub(super) fn let_rejected_go(&mut self, deliveries: &[(QueueId, Seq)], cx: &mut Context<'_>) -> Lsn {
        self.buried = Lsn::NONE;
        let mut last = None;
        for &(queue, _) in deliveries {
            if last == Some(queue) {
                continue;
            }
            last = Some(queue);
            if let Some(slot) = self.topology.queue_numbered(queue) {
                self.tend_returned(slot, cx);
            }
        }
        self.buried
    }

    /// Lets go of what must leave a queue to which something came back: one that is full makes room before it hands out again.
    /// Source: RabbitMQ 3.10, classic and quorum queues.
    pub(super) fn tend_returned(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let Some(record) = self.topology.queues.get(slot) else { return };
        let is_stream = record.stream.is_some();
        if !is_stream && (record.life.is_tended || record.queue.next_leaver().is_some()) {
            self.tend(slot, cx);
        }
    }

    /// Settles a delivery in its queue. Answers whether its end must be logged.
    pub(super) fn settle_one(
        &mut self,
        slot: ChannelSlot,
        outcome: Outcome,
        queue: QueueId,
        seq: Seq,
    ) -> bool {
        let Some(queue_slot) = self.topology.queue_numbered(queue) else { return false };
        let Some(record) = self.topology.queues.get_mut(queue_slot) else { return false };
        if record.stream.is_some() {
            if outcome == Outcome::Ack {
                record.counts.out.ack += 1;
                if let Some(channel) = self.channels.slots.get_mut(slot) {
                    channel.counts.out.ack += 1;
                }
            }
            self.settle_in_stream(slot, queue_slot, seq);
            self.totals.acked_count += u64::from(outcome == Outcome::Ack);
            return false;
        }
        let Some(held) = record.queue.settle(seq, slot) else { return false };
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.unacked_count -= 1;
            channel.consumed_count -= u64::from(held.owner.consumer.is_some());
            channel.counts.out.ack += u64::from(outcome == Outcome::Ack);
        }
        let logged = held.entry.is_logged();
        let ends = match outcome {
            Outcome::Ack => {
                self.totals.acked_count += 1;
                record.counts.out.ack += 1;
                record.active_unix_ms = self.clock.unix_ms();
                record.queue.forget(held);
                logged
            }
            Outcome::Discard if record.settings.dead_letter_exchange.is_some() => {
                record.queue.leave(held, Death::Rejected);
                false
            }
            Outcome::Discard => {
                record.queue.forget(held);
                logged
            }
            Outcome::Requeue => {
                self.totals.requeued_count += 1;
                record.queue.put_back(held);
                false
            }
        };
        if !record.is_runnable
            && (record.life.is_tended || record.queue.ready_count() > 0 && record.has_demand())
        {
            record.is_runnable = true;
            self.runnable.push_back(queue_slot);
        }
        ends
    }

    /// Returns what a channel holds: everything, or `only` these.
    pub(super) fn recover(
        &mut self,
        slot: ChannelSlot,
        only: Option<&[(QueueId, Seq)]>,
        reply: bool,
        cx: &mut Context<'_>,
    ) {
        match only {
            None => self.put_back_all_of(slot, cx),
            Some(only) => self.settle(slot, Outcome::Requeue, only, cx),
        }
        self.wake_if_asleep(slot);
        self.answer_now(slot, !reply, Reply::Recovered, cx);
    }

    /// Returns everything a channel holds to its place. A full queue makes room before it hands out again.
    pub(super) fn put_back_all_of(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.slots.get_mut(slot) else { return };
        if channel.unacked_count == 0 {
            return;
        }
        let queues: Vec<_> = channel.queues.iter().copied().collect();
        for queue in queues {
            let Some(record) = self.topology.queues.get_mut(queue) else { continue };
            let (count, consumed_count) = if record.stream.is_some() {
                let count = self.settle_all_in_stream(slot, queue);
                (count, count)
            } else {
                let (count, consumed_count) = record.queue.put_back_all_of(slot);
                self.totals.requeued_count += count;
                (count, consumed_count)
            };
            if let Some(channel) = self.channels.slots.get_mut(slot) {
                channel.unacked_count -= count;
                channel.consumed_count -= consumed_count;
            }
            if count > 0 {
                self.tend_returned(queue, cx);
            }
            self.look_at(queue);
        }
    }

    /// The channel got credit back: its sleeping consumers may try again.
    pub(super) fn wake_if_asleep(&mut self, slot: ChannelSlot) {
        let Some(channel) = self.channels.slots.get_mut(slot) else { return };
        if !channel.sleepers.is_empty() && channel.has_credit() {
            self.wake(slot);
        }
    }

    /// Wakes the consumers of a channel, first the one that would have been served first, but those of the queue that
    /// used up the credit last, so that no queue of the channel is left behind.
    pub(super) fn wake(&mut self, slot: ChannelSlot) {
        let Some(channel) = self.channels.slots.get_mut(slot) else { return };
        if let Some(&(served, _)) = channel.sleepers.first() {
            let count = channel.sleepers.iter().take_while(|(queue, _)| *queue == served).count();
            channel.sleepers.rotate_left(count);
        }
        for (queue, consumer) in channel.sleepers.drain(..) {
            let Some(record) = self.topology.queues.get_mut(queue) else { continue };
            record.queue.rouse_consumer(consumer);
            if !record.is_runnable && record.ready_count() > 0 && record.has_demand() {
                record.is_runnable = true;
                self.runnable.push_back(queue);
            }
        }
    }
}

/// What the log is told of a delivery's end; nothing if it goes back.
pub(super) fn reason(outcome: Outcome) -> Option<SettleReason> {
    match outcome {
        Outcome::Ack => Some(SettleReason::Ack),
        Outcome::Discard => Some(SettleReason::Rejected),
        Outcome::Requeue => None,
    }
}
