//! queue.declare, queue.delete and queue.purge, and the ways a queue goes by itself.

use super::channels::Until;
use super::deletion::Deletion;
use super::direct_reply::is_reply_name;
use super::errors::{self, QueueIn};
use super::exchanges::{RESERVED_PREFIX, without_line_ends};
use super::topology::{QueueRecord, QueueSlot};
use super::{Context, Vhost};
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use crate::queue::{
    ChannelSlot, ConsumerView, Queue, QueueArguments, QueueKind, Stream, asked_kind, check_equivalent,
    inequivalent, with_kind,
};
use crate::vhost::command::{MethodId, Notice, Reply};
use ledgermq_storage::{Lsn, Seq};
use std::sync::Arc;

/// What a client wants its queue to be.
#[expect(clippy::struct_excessive_bools, reason = "the flags of the method")]
pub(super) struct Asked {
    pub(super) passive: bool,
    pub(super) durable: bool,
    pub(super) exclusive: bool,
    pub(super) auto_delete: bool,
    pub(super) arguments: Table,
}

/// What a queue leaves behind.
#[derive(Default)]
struct Gone {
    /// Messages it had ready.
    ready_count: u64,
    /// Its consumers, who are still to be told.
    cancelled: Vec<(ChannelSlot, Arc<str>)>,
}

/// Conditions of a deletion.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnlyIf {
    pub(super) unused: bool,
    pub(super) empty: bool,
}

impl Vhost {
    pub(super) fn declare_queue(
        &mut self,
        slot: ChannelSlot,
        name: &Arc<str>,
        asked: Asked,
        nowait: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let mut name = without_line_ends(name);
        if is_reply_name(&name) {
            return self.declare_reply_queue(slot, name, nowait, cx);
        }
        let is_generated = name.is_empty() && !asked.passive;
        if is_generated {
            let kind = asked_kind(&asked.arguments).unwrap_or_else(|| self.default_kind(&asked));
            if !kind.may_be_temporary() {
                return Err(errors::server_named(kind));
            }
            name = self.names.queue();
        } else if name.starts_with(RESERVED_PREFIX) && !asked.passive {
            return Err(errors::reserved_name("queue", &name));
        }
        let queue = match self.topology.queue_named(&name) {
            Some(queue) => {
                if asked.passive {
                    self.check_open_to(slot, queue)?;
                } else {
                    self.check_declared_again(slot, queue, &asked)?;
                }
                self.use_queue_by_declaring(queue);
                queue
            }
            None if asked.passive => return Err(self.no_queue(&name)),
            None => self.create_queue(slot, &name, asked, cx)?,
        };
        self.totals.queues_declared_count += 1;
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.last_queue = Some(Arc::clone(&name));
        }
        let Some(record) = self.topology.queues.get(queue) else { return Ok(()) };
        let message_count = short_count(record.ready_count());
        let consumer_count = short_count(record.queue.consumer_count() as u64);
        self.answer(slot, nowait, Reply::QueueDeclared { name, message_count, consumer_count }, cx);
        Ok(())
    }

    pub(super) fn delete_queue_named(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        name: &Arc<str>,
        only: OnlyIf,
        nowait: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let name = self.queue_name(slot, name)?;
        let mut gone = Gone::default();
        if let Some(queue) = self.topology.queue_named(&name) {
            self.check_open_to(slot, queue)?;
            self.check_deletable(queue, only)?;
            if self.owes_letters(queue, cx) {
                self.park_deletion(slot, method, name, only, nowait);
                return Ok(());
            }
            gone = self.take_queue(queue, cx);
        }
        // The answer comes first: a client that deletes the queue of its own consumer may take the news, while it
        // waits for the answer, as a failure (py-amqp does).
        let message_count = short_count(gone.ready_count);
        self.answer(slot, nowait, Reply::QueueDeleted { message_count }, cx);
        self.tell_cancelled(gone.cancelled, cx);
        Ok(())
    }

    pub(super) fn purge_queue_named(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        name: &Arc<str>,
        nowait: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let queue = self.open_queue(slot, name)?;
        if self.refuse_for_stream(slot, method, queue, "queue.purge", cx) {
            return Ok(());
        }
        let (count, lsn) = self.purge(queue, cx);
        let reply = Reply::QueuePurged { message_count: short_count(count) };
        self.answer_when(slot, nowait, reply, lsn.max(self.defined), cx);
        Ok(())
    }

    /// Checks the conditions of a deletion.
    pub(super) fn check_deletable(&self, slot: QueueSlot, only: OnlyIf) -> Result<(), ChannelError> {
        let Some(record) = self.topology.queues.get(slot) else { return Ok(()) };
        let described = QueueIn(&record.name, &self.config.name);
        // A stream goes whatever is asked, as in RabbitMQ.
        if record.stream.is_some() {
            return Ok(());
        }
        if only.empty && record.queue.ready_count() > 0 {
            return Err(errors::not_empty(&described));
        }
        if only.unused && record.queue.consumer_count() > 0 {
            return Err(errors::in_use(described));
        }
        Ok(())
    }

    /// Removes the ready messages of a queue; answers how many, and the record that must be durable first.
    pub(super) fn purge(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> (u64, Lsn) {
        let Some(record) = self.topology.queues.get_mut(slot) else { return (0, Lsn::NONE) };
        let count = record.queue.purge();
        let last = record.queue.next_seq().0.checked_sub(1);
        let lsn = match last {
            Some(last) if record.durable && count > 0 => {
                cx.log.purge(record.queue.id(), Seq(last), &record.queue.held_seqs())
            }
            Some(_) | None => Lsn::NONE,
        };
        let name = Arc::clone(&record.name);
        // Whoever waited for a message that is gone is to hear of it.
        self.look_at(slot);
        let headers = [
            ("name", Value::text(&name)),
            ("vhost", Value::text(&self.config.name)),
            ("messages", Value::I64(count.cast_signed())),
        ];
        // RabbitMQ tells nobody of it; an audit log must say who made messages go.
        self.announce("queue.purged", &headers, cx);
        (count, lsn)
    }

    /// Removes a queue with all it holds; answers how many messages were ready. Its consumers hear of it.
    pub(super) fn remove_queue(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> u64 {
        let gone = self.take_queue(slot, cx);
        self.tell_cancelled(gone.cancelled, cx);
        gone.ready_count
    }

    /// Tells consumers that their queue is gone.
    fn tell_cancelled(&mut self, cancelled: Vec<(ChannelSlot, Arc<str>)>, cx: &mut Context<'_>) {
        for (channel, tag) in cancelled {
            self.channels.tell(
                channel,
                Notice::ConsumerCancelled { tag },
                Until::NOW,
                &self.progress,
                cx.effects,
            );
        }
    }

    /// Removes a queue with all it holds. Its consumers end with it and are still to be told.
    fn take_queue(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> Gone {
        self.totals.queues_deleted_count += 1;
        self.end_life(slot, cx);
        self.has_audience();
        let mut changes = Vec::new();
        let Some(mut record) = self.topology.remove_queue(slot, &mut changes) else { return Gone::default() };
        self.gone.add(record.declared.kind, record.counts.into());
        if record.durable {
            changes.push(record.definition().removed());
            self.defined = cx.log.drop_queue(record.queue.id(), &changes);
        } else {
            self.define(&changes, cx);
        }
        self.remove_orphans(cx);
        if let Some(owner) = record.owner.and_then(|owner| self.channels.connection_slot(owner))
            && let Some(connection) = self.channels.connections.get_mut(owner)
        {
            connection.exclusive_queues.remove(&slot);
        }
        for get in record.gets.drain(..) {
            self.channels.settle_get(get.channel, get.ticket, Reply::GetEmpty, &self.progress, cx.effects);
        }
        let mut cancelled = Vec::new();
        for ConsumerView { consumer, .. } in record.queue.consumers() {
            if let Some(channel) = self.channels.slots.get_mut(consumer.channel) {
                channel.consumers.remove(&consumer.tag);
            }
            cancelled.push((consumer.channel, Arc::clone(&consumer.tag)));
        }
        for (channel, tag) in &cancelled {
            self.announce_consumer_deleted(&record.name, *channel, tag, cx);
        }
        self.announce_queue_deleted(&record, cx);
        for owner in record.queue.owners() {
            if let Some(channel) = self.channels.slots.get_mut(owner.channel) {
                channel.unacked_count -= 1;
                channel.consumed_count -= u64::from(owner.consumer.is_some());
            }
            self.wake_if_asleep(owner.channel);
        }
        for holder in record.stream.iter().flat_map(|stream| stream.holders()) {
            if let Some(channel) = self.channels.slots.get_mut(holder) {
                channel.unacked_count -= 1;
                channel.consumed_count -= 1;
            }
            self.wake_if_asleep(holder);
        }
        Gone { ready_count: record.ready_count(), cancelled }
    }

    /// Removes a queue that was to go with its last consumer, if that just went.
    pub(super) fn remove_if_unused(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        self.use_queue(slot);
        let unused = self
            .topology
            .queues
            .get(slot)
            .is_some_and(|record| record.auto_delete && record.queue.consumer_count() == 0);
        if !unused {
            self.look_at(slot);
        } else if self.owes_letters(slot, cx) {
            let queue = self.topology.queues.get(slot).map(|record| record.queue.id());
            self.deletions.extend(queue.map(Deletion::Unused));
        } else {
            self.remove_queue(slot, cx);
        }
    }

    /// The name a client means: an empty one stands for the last queue declared on the channel.
    pub(super) fn queue_name(&self, slot: ChannelSlot, name: &Arc<str>) -> Result<Arc<str>, ChannelError> {
        if !name.is_empty() {
            return Ok(Arc::clone(name));
        }
        let channel = self.channels.slots.get(slot);
        channel.and_then(|channel| channel.last_queue.clone()).ok_or_else(errors::no_previous_queue)
    }

    /// The queue a client means, if there is one and it may use it.
    pub(super) fn open_queue(&self, slot: ChannelSlot, name: &Arc<str>) -> Result<QueueSlot, ChannelError> {
        let name = self.queue_name(slot, name)?;
        let queue = self.topology.queue_named(&name).ok_or_else(|| self.no_queue(&name))?;
        self.check_open_to(slot, queue)?;
        Ok(queue)
    }

    /// Refuses the exclusive queue of another connection.
    pub(super) fn check_open_to(&self, slot: ChannelSlot, queue: QueueSlot) -> Result<(), ChannelError> {
        let (Some(channel), Some(record)) = (self.channels.slots.get(slot), self.topology.queues.get(queue))
        else {
            return Ok(());
        };
        if record.is_open_to(channel.key.connection) {
            return Ok(());
        }
        Err(errors::locked(&QueueIn(&record.name, &self.config.name)))
    }

    pub(super) fn no_queue(&self, name: &str) -> ChannelError {
        errors::not_found(QueueIn(name, &self.config.name))
    }

    fn check_declared_again(
        &self,
        slot: ChannelSlot,
        queue: QueueSlot,
        asked: &Asked,
    ) -> Result<(), ChannelError> {
        self.check_open_to(slot, queue)?;
        let Some(record) = self.topology.queues.get(queue) else { return Ok(()) };
        let described = QueueIn(&record.name, &self.config.name);
        if record.owner.is_some() != asked.exclusive {
            return Err(errors::locked(&described));
        }
        let described = described.to_string();
        let durable = asked.durable && !asked.exclusive;
        for (field, received, current) in
            [("durable", durable, record.durable), ("auto_delete", asked.auto_delete, record.auto_delete)]
        {
            if received != current {
                return Err(inequivalent(
                    field,
                    &described,
                    &format!("'{received}'"),
                    &format!("'{current}'"),
                ));
            }
        }
        let default = self.default_kind(asked);
        check_equivalent(record.settings.kind, default, &record.arguments, &asked.arguments, &described)
    }

    /// The type of a queue that names none.
    fn default_kind(&self, asked: &Asked) -> QueueKind {
        let default = self.settings.default_queue_kind;
        let is_lasting = asked.durable && !asked.exclusive && !asked.auto_delete;
        if is_lasting || default.may_be_temporary() { default } else { QueueKind::Classic }
    }

    fn create_queue(
        &mut self,
        slot: ChannelSlot,
        name: &Arc<str>,
        mut asked: Asked,
        cx: &mut Context<'_>,
    ) -> Result<QueueSlot, ChannelError> {
        let described = QueueIn(name, &self.config.name);
        if let Some(limit) = self.settings.queues_max
            && self.topology.queue_count() >= limit
        {
            return Err(errors::queue_limit(name, &self.config.name, limit));
        }
        let default = self.default_kind(&asked);
        if default != QueueKind::Classic && asked.arguments.get("x-queue-type").is_none() {
            asked.arguments = with_kind(&asked.arguments, default);
        }
        let declared = QueueArguments::parse(&asked.arguments, &described.to_string())?;
        if !declared.kind.may_be_temporary() {
            check_lasting(&asked, &described)?;
        }
        let budget = &self.config.budget;
        let queue = Queue::new(cx.log.next_queue_id(), budget.clone());
        let stream = (declared.kind == QueueKind::Stream).then(|| Box::new(Stream::new(budget.clone())));
        let mut record = QueueRecord::new(Arc::clone(name), queue, asked.arguments, declared);
        record.stream = stream;
        record.durable = asked.durable && !asked.exclusive;
        record.auto_delete = asked.auto_delete;
        let connection =
            self.channels.slots.get(slot).map(|channel| (channel.connection, channel.key.connection));
        if asked.exclusive {
            record.owner = connection.map(|(_, id)| id);
        }
        self.govern_queue(&mut record);
        let definition = record.durable.then(|| record.definition().set());
        let queue = self.topology.insert_queue(record);
        self.totals.queues_created_count += 1;
        if asked.exclusive
            && let Some(connection) = connection.and_then(|(slot, _)| self.channels.connections.get_mut(slot))
        {
            connection.exclusive_queues.insert(queue);
        }
        self.define(definition.as_slice(), cx);
        self.apply_settings(queue, cx);
        self.use_queue(queue);
        self.announce_queue_created(queue, cx);
        Ok(queue)
    }
}

/// A quorum queue or stream is lasting, shared and durable.
fn check_lasting(asked: &Asked, described: &QueueIn<'_>) -> Result<(), ChannelError> {
    for (property, is_wrong) in [
        ("auto-delete", asked.auto_delete),
        ("exclusive-owner", asked.exclusive),
        ("non-durable", !asked.durable),
    ] {
        if is_wrong {
            return Err(errors::invalid_property(property, described));
        }
    }
    Ok(())
}

/// A count as the wire carries it: more than it can say becomes the most it can.
pub(super) fn short_count(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
