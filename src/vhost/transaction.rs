//! tx.select, tx.rollback, and what is kept for tx.commit ([`super::commit`]). Publishes are checked and routed when they
//! come, kept until the commit, and then logged together with the settlements as one record: after any crash all of a
//! transaction is there, or nothing.

use super::errors;
use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::limits::TRANSACTION_BYTES_MAX;
use crate::message::Message;
use crate::protocol::reply::ChannelError;
use crate::queue::ChannelSlot;
use crate::vhost::command::{Outcome, Publish, Reply};
use ledgermq_storage::{QueueId, Seq, Slot};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The publishes of an open transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    kept: Vec<Kept>,
    /// The queues of all of them, one after another; by id, for a queue may go before the commit.
    queues: Vec<QueueId>,
    bytes: usize,
}

/// A publish that waits for its commit.
#[derive(Debug)]
struct Kept {
    message: Arc<Message>,
    mandatory: bool,
    queues: Range<usize>,
}

/// Where a kept publish goes: its queues, and which of the transaction's slots are its own.
pub(super) struct Placed {
    pub(super) queues: Vec<QueueSlot>,
    pub(super) slots: Range<usize>,
}

impl Placed {
    /// Of a message that no queue takes.
    pub(super) fn nowhere() -> Self {
        Self { queues: Vec::new(), slots: 0..0 }
    }
}

/// Settlements as the channel lists them.
pub(super) type Settles = [(Outcome, Vec<(QueueId, Seq)>)];

/// Messages and body bytes on their way to queues.
pub(super) type Coming = HashMap<QueueId, (u64, u64)>;

impl Transaction {
    /// Publishes kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The messages, and the queues each goes to.
    pub(super) fn messages(&self) -> impl Iterator<Item = (&Arc<Message>, &[QueueId])> {
        let queues = |kept: &Kept| self.queues.get(kept.queues.clone()).unwrap_or_default();
        self.kept.iter().map(move |kept| (&kept.message, queues(kept)))
    }

    /// The messages, and whether each wants to come back if no queue takes it.
    pub(super) fn into_messages(self) -> impl Iterator<Item = (Arc<Message>, bool)> {
        self.kept.into_iter().map(|kept| (kept.message, kept.mandatory))
    }
}

impl Vhost {
    pub(super) fn select_transaction(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.transaction.get_or_insert_default();
        }
        self.answer_now(slot, false, Reply::TxSelected, cx);
    }

    pub(super) fn select_confirms(&mut self, slot: ChannelSlot, nowait: bool, cx: &mut Context<'_>) {
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.confirms = true;
            channel.counts.publish_before_confirms.get_or_insert(channel.counts.publish);
        }
        self.answer_now(slot, nowait, Reply::ConfirmSelected, cx);
    }

    pub(super) fn roll_back(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) -> Result<(), ChannelError> {
        self.take_transaction(slot)?;
        self.answer_now(slot, false, Reply::TxRolledBack, cx);
        Ok(())
    }

    /// Keeps a publish until its commit.
    pub(super) fn keep_for_commit(
        &mut self,
        slot: ChannelSlot,
        publish: Publish,
        queues: &[QueueSlot],
    ) -> Result<(), ChannelError> {
        let Some(channel) = self.channels.slots.get_mut(slot) else { return Ok(()) };
        let Some(transaction) = &mut channel.transaction else { return Ok(()) };
        transaction.bytes += publish.message.resident_bytes();
        if transaction.bytes > TRANSACTION_BYTES_MAX {
            return Err(errors::transaction_too_large());
        }
        let start = transaction.queues.len();
        let ids = queues.iter().filter_map(|&queue| Some(self.topology.queues.get(queue)?.queue.id()));
        transaction.queues.extend(ids);
        transaction.kept.push(Kept {
            message: publish.message,
            mandatory: publish.mandatory,
            queues: start..transaction.queues.len(),
        });
        Ok(())
    }

    /// Takes what a transaction keeps; it begins anew.
    ///
    /// # Errors
    /// 406 if the channel is not transactional.
    pub(super) fn take_transaction(&mut self, slot: ChannelSlot) -> Result<Transaction, ChannelError> {
        let channel = self.channels.slots.get_mut(slot);
        let transaction = channel.and_then(|channel| channel.transaction.as_mut());
        transaction.map(std::mem::take).ok_or_else(errors::not_transactional)
    }

    /// A queue that would refuse one of the publishes for want of room refuses them all. Answers what is coming to each.
    ///
    /// # Errors
    /// 406 `partial tx completion`.
    pub(super) fn check_room(&mut self, transaction: &Transaction) -> Result<Coming, ChannelError> {
        let mut coming = Coming::new();
        if self.refusing_count == 0 {
            return Ok(coming);
        }
        for (message, ids) in transaction.messages() {
            for &id in ids {
                let Some(slot) = self.topology.queue_numbered(id) else { continue };
                if self.take_room(message, slot, &mut coming).is_none() {
                    return Err(errors::partial_commit());
                }
            }
        }
        Ok(coming)
    }

    /// Notes that a message is coming to a queue, if it has room behind all that is `coming`; answers its number.
    pub(super) fn take_room(
        &self,
        message: &Message,
        slot: QueueSlot,
        coming: &mut Coming,
    ) -> Option<QueueId> {
        let record = self.topology.queues.get(slot)?;
        let id = record.queue.id();
        if self.refusing_count == 0 {
            return Some(id);
        }
        let (count, bytes) = coming.entry(id).or_default();
        if record.refuses(message, (*count, *bytes)) {
            return None;
        }
        *count += 1;
        *bytes += message.body.len() as u64;
        Some(id)
    }

    /// Leads what was published to the default exchange to the queues that have its names now: no binding has decided
    /// where it goes, so RabbitMQ, too, looks the queue up when it delivers.
    pub(super) fn resolve_names(&mut self, transaction: &mut Transaction) {
        let Transaction { kept, queues, .. } = transaction;
        for kept in kept.iter_mut().filter(|kept| kept.message.exchange.is_empty()) {
            let Some(exchange) = self.topology.exchange_named(&kept.message.exchange) else { continue };
            let mut found = Vec::new();
            self.topology.route(exchange, &kept.message, &mut found);
            let start = queues.len();
            queues.extend(
                found.into_iter().filter_map(|slot| Some(self.topology.queues.get(slot)?.queue.id())),
            );
            kept.queues = start..queues.len();
        }
    }

    /// Draws the places of a message in those of its queues that still exist.
    pub(super) fn place(&mut self, message: &Arc<Message>, ids: &[QueueId], slots: &mut Vec<Slot>) -> Placed {
        let start = slots.len();
        let queues: Vec<_> = ids.iter().filter_map(|&id| self.topology.queue_numbered(id)).collect();
        let own_ms = message.expiration_ms();
        for &queue in &queues {
            let Some(record) = self.topology.queues.get_mut(queue) else { continue };
            // Every message takes a seq, logged or not.
            let seq = record.queue.draw_seq();
            if record.logs(message) {
                let priority = record.queue.priority_of(message);
                let expire_unix_ms = record.expire_at(message, own_ms, &self.clock);
                slots.push(Slot { queue: record.queue.id(), seq, priority, expire_unix_ms });
            }
        }
        Placed { queues, slots: start..slots.len() }
    }
}
