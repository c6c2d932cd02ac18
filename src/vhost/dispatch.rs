//! Messages go out: queues that something happened to are looked at in turn; consumers come first, round robin, each while
//! its prefetch, its channel's and its connection's outbox allow; what they cannot take is there for basic.get.
//! A queue whose first message is not durable yet, or not in memory, is left alone until the log or the disk answers.
//! Work is bounded: a queue delivers at most a turn before the next one is looked at, and outboxes end every loop.

use super::channels::Until;
use super::command::{ConnectionId, Deliver, Notice, Reply};
use super::counts::HandedOut;
use super::input::Effect;
use super::log::LoggedSettle;
use super::returns::with_return_count;
use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::limits::{DELIVERIES_PER_TURN, OUTBOX_BYTES_MAX};
use crate::message::Message;
use crate::queue::{Availability, ChannelSlot, Owner, Taken};
use ledgermq_storage::{QueueId, Run, Seq, SettleReason, StoredEntry};
use std::sync::Arc;

/// What became of an attempt to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// One message went out, or one consumer went to sleep.
    Again,
    /// Nothing more can be done here now.
    Done,
}

impl Vhost {
    /// Notes that something happened to a queue.
    pub(super) fn look_at(&mut self, slot: QueueSlot) {
        if let Some(record) = self.topology.queues.get_mut(slot)
            && !record.is_runnable
            && record.wants_a_look()
        {
            record.is_runnable = true;
            self.runnable.push_back(slot);
        }
    }

    /// Looks at all queues that something happened to.
    pub(super) fn run_queues(&mut self, cx: &mut Context<'_>) {
        while let Some(slot) = self.runnable.pop_front() {
            if let Some(record) = self.topology.queues.get_mut(slot) {
                record.is_runnable = false;
            }
            self.run_queue(slot, cx);
        }
    }

    /// Hands out what a queue has, for at most a turn.
    pub(super) fn run_queue(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        if self.topology.queues.get(slot).is_some_and(|record| record.stream.is_some()) {
            return self.run_stream(slot, cx);
        }
        for _ in 0..DELIVERIES_PER_TURN {
            if self.step(slot, cx) == Step::Done {
                if self.topology.queues.get(slot).is_some_and(|record| record.life.is_tended) {
                    self.end_grace(slot);
                    self.tend(slot, cx);
                }
                return;
            }
        }
        self.look_at(slot);
    }

    fn step(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> Step {
        let marks = self.watermarks();
        let Some(record) = self.topology.queues.get_mut(slot) else { return Step::Done };
        if !record.has_demand() {
            return Step::Done;
        }
        if record.life.is_tended && record.is_head_expired(&self.clock) {
            return self.let_the_dead_go(slot, cx);
        }
        match record.queue.availability(marks) {
            Availability::Ready if record.gets.is_empty() || record.queue.next_consumer().is_some() => {
                self.deliver_next(slot, cx)
            }
            Availability::Ready | Availability::Empty => self.answer_get(slot, cx),
            Availability::Later => {
                if !record.is_waiting {
                    record.is_waiting = true;
                    self.waiting.push(slot);
                }
                Step::Done
            }
            Availability::Reading => {
                self.read(slot, cx);
                Step::Done
            }
        }
    }

    /// The first message is not to be handed out any more.
    fn let_the_dead_go(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> Step {
        self.tend(slot, cx);
        let still = self.topology.queues.get(slot).is_some_and(|record| record.is_head_expired(&self.clock));
        if still { Step::Done } else { Step::Again }
    }

    /// Answers the oldest basic.get with the first message, or says that there is none.
    fn answer_get(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> Step {
        let since_s = self.timeouts.second();
        let Some(record) = self.topology.queues.get_mut(slot) else { return Step::Done };
        let Some(get) = record.gets.pop_front() else { return Step::Done };
        let owner = (!get.no_ack).then_some(Owner { channel: get.channel, consumer: None, since_s });
        let reply = if record.queue.ready_count() == 0 {
            record.counts.out.get_empty += 1;
            if let Some(channel) = self.channels.slots.get_mut(get.channel) {
                channel.counts.out.get_empty += 1;
            }
            Reply::GetEmpty
        } else {
            let Some(taken) = record.queue.take(owner) else { return Step::Done };
            let how = HandedOut { is_get: true, no_ack: get.no_ack, redelivered: taken.redelivered };
            record.counts.out.note(how);
            record.active_unix_ms = self.clock.unix_ms();
            let queue = record.queue.id();
            let Taken { seq, redelivered, logged, message, return_count } = taken;
            let message = with_return_count(message, return_count);
            // What it stood before is not to be counted if it is over.
            self.tend_if_needed(slot, cx);
            let left = self.topology.queues.get(slot).map_or(0, |record| record.queue.ready_count());
            let message_count = super::queues::short_count(left);
            self.count_delivery(get.channel, (owner, how), (logged, queue, seq), cx);
            if self.traces {
                self.trace_delivery(get.channel, &message, slot, redelivered, cx);
            }
            Reply::GetOk { queue, seq, no_ack: get.no_ack, redelivered, message_count, message }
        };
        self.channels.settle_get(get.channel, get.ticket, reply, &self.progress, cx.effects);
        Step::Again
    }

    /// Delivers the first message to the consumer in turn, or puts that consumer to sleep.
    fn deliver_next(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> Step {
        let Some(record) = self.topology.queues.get_mut(slot) else { return Step::Done };
        let Some((consumer_slot, consumer)) = record.queue.next_consumer() else { return Step::Done };
        let Some(channel) = self.channels.slots.get_mut(consumer.channel) else { return Step::Done };
        let Some(connection) = self.channels.connections.get_mut(channel.connection) else {
            return Step::Done;
        };
        let outbox_full = connection.outbox_bytes >= OUTBOX_BYTES_MAX;
        // The channel's prefetch also holds back those who acknowledge nothing, though what they get is not counted.
        if outbox_full || !channel.has_credit() {
            connection.has_sleepers |= outbox_full;
            if record.queue.consumer_sleeps(consumer_slot) {
                channel.sleepers.push((slot, consumer_slot));
            }
            return Step::Again;
        }
        let (channel_slot, no_ack, tag) = (consumer.channel, consumer.no_ack, Arc::clone(&consumer.tag));
        let owner = (!no_ack).then_some(Owner {
            channel: channel_slot,
            consumer: Some(consumer_slot),
            since_s: self.timeouts.second(),
        });
        let Some(Taken { seq, message, redelivered, logged, return_count }) = record.queue.take(owner) else {
            return Step::Done;
        };
        let message = with_return_count(message, return_count);
        record.queue.consumer_took(consumer_slot);
        let how = HandedOut { is_get: false, no_ack, redelivered };
        record.counts.out.note(how);
        record.active_unix_ms = self.clock.unix_ms();
        connection.outbox_bytes += message.resident_bytes();
        let queue = record.queue.id();
        self.count_delivery(channel_slot, (owner, how), (logged, queue, seq), cx);
        if self.traces {
            self.trace_delivery(channel_slot, &message, slot, redelivered, cx);
        }
        let deliver = Deliver { tag, queue, seq, redelivered, no_ack, message };
        self.tell(channel_slot, Notice::Deliver(deliver), Until::NOW, cx);
        Step::Again
    }

    /// Counts a message handed out; one that needs no settling is settled.
    fn count_delivery(
        &mut self,
        slot: ChannelSlot,
        (owner, how): (Option<Owner>, HandedOut),
        (logged, queue, seq): (bool, QueueId, Seq),
        cx: &mut Context<'_>,
    ) {
        self.totals.delivered_count += 1;
        let Some(channel) = self.channels.slots.get_mut(slot) else { return };
        channel.counts.out.note(how);
        match owner {
            Some(Owner { consumer, .. }) => {
                channel.unacked_count += 1;
                channel.consumed_count += u64::from(consumer.is_some());
            }
            None if logged => {
                cx.log.settle(LoggedSettle { queue, seq, reason: SettleReason::Ack });
            }
            None => {}
        }
    }

    /// Asks for what must be read before the queue can go on.
    pub(super) fn read(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let marks = self.watermarks();
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        let queue = record.queue.id();
        let (run, wanted) = record.queue.wanted(marks);
        cx.effects.effects.extend(run.map(|run| Effect::ReadEntries { queue, run }));
        cx.effects.effects.extend(wanted.map(|wanted| Effect::ReadBodies { queue, wanted }));
    }

    /// A connection wrote deliveries to its socket. Its consumers wake once half of the outbox is free, so that they are
    /// not woken for every message.
    pub(super) fn drained(&mut self, id: ConnectionId, bytes: usize) {
        let Some(slot) = self.channels.connection_slot(id) else { return };
        let Some(connection) = self.channels.connections.get_mut(slot) else { return };
        connection.outbox_bytes = connection.outbox_bytes.saturating_sub(bytes);
        if !connection.has_sleepers || connection.outbox_bytes > OUTBOX_BYTES_MAX / 2 {
            return;
        }
        connection.has_sleepers = false;
        let channels: Vec<_> = connection.channels.iter().copied().collect();
        for channel in channels {
            self.wake(channel);
        }
    }

    /// Bodies were read back.
    pub(super) fn bodies_read(
        &mut self,
        queue: QueueId,
        bodies: Vec<(Seq, Result<Arc<Message>, String>)>,
        cx: &mut Context<'_>,
    ) {
        if self.parked.is_empty() {
            return self.take_bodies(queue, bodies, cx);
        }
        let read: Vec<_> = bodies.iter().map(|(seq, _)| *seq).collect();
        self.take_bodies(queue, bodies, cx);
        self.resume_commits(queue, &read, cx);
    }

    fn take_bodies(
        &mut self,
        queue: QueueId,
        bodies: Vec<(Seq, Result<Arc<Message>, String>)>,
        cx: &mut Context<'_>,
    ) {
        let Some(slot) = self.topology.queue_numbered(queue) else { return };
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        if record.stream.is_some() {
            return self.stream_bodies_read(slot, bodies, cx);
        }
        for (seq, body) in bodies {
            match body {
                Ok(message) => record.queue.body_read(seq, message),
                Err(problem) => {
                    if record.queue.set_aside(seq) {
                        self.totals.damaged_count += 1;
                        let queue = Arc::clone(&record.name);
                        cx.effects.effects.push(Effect::Damaged {
                            queue,
                            first: seq,
                            last: seq,
                            count: 1,
                            problem,
                        });
                    }
                }
            }
        }
        record.queue.bodies_done();
        self.look_at(slot);
        self.read_ahead(slot, cx);
    }

    /// The entries of a run were read back.
    pub(super) fn entries_read(
        &mut self,
        queue: QueueId,
        run: Run,
        entries: Result<Vec<StoredEntry>, String>,
        cx: &mut Context<'_>,
    ) {
        let Some(slot) = self.topology.queue_numbered(queue) else { return };
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        match entries {
            Ok(entries) => {
                // A start does not know which messages expire before it has read their entries.
                record.life.is_tended |= entries.iter().any(|entry| entry.expire_unix_ms != 0);
                record.queue.entries_read(run, &entries);
            }
            Err(problem) => {
                let count = record.queue.entries_damaged(run);
                if count > 0 {
                    self.totals.damaged_count += count;
                    let queue = Arc::clone(&record.name);
                    let (first, last) = (run.first, run.last);
                    cx.effects.effects.push(Effect::Damaged { queue, first, last, count, problem });
                }
            }
        }
        self.look_at(slot);
    }

    /// While consumers work on one window of bodies, the next is read.
    fn read_ahead(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        self.run_queue(slot, cx);
        if self.topology.queues.get(slot).is_some_and(super::topology::QueueRecord::has_demand) {
            self.read(slot, cx);
        }
    }
}
