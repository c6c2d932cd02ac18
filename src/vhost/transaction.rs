//! tx.select, tx.commit, tx.rollback. Publishes are checked and routed when they come, kept until the commit, and then
//! logged together with the settlements as one record: after any crash all of a transaction is there, or nothing.

use super::errors;
use super::log::{LogRefused, LoggedPublish, LoggedSettle, Stored};
use super::settle::reason;
use super::topology::{QueueRecord, QueueSlot};
use super::{Context, Vhost};
use crate::limits::TRANSACTION_BYTES_MAX;
use crate::message::Message;
use crate::protocol::reply::ChannelError;
use crate::queue::ChannelSlot;
use crate::vhost::command::{Outcome, Publish, Reply};
use ledgermq_storage::{Lsn, QueueId, Seq, Slot};
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
struct Placed {
    queues: Vec<QueueSlot>,
    slots: Range<usize>,
}

/// Settlements as the channel lists them.
type Settles = [(Outcome, Vec<(QueueId, Seq)>)];

impl Transaction {
    /// Publishes kept.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
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

    pub(super) fn commit(
        &mut self,
        slot: ChannelSlot,
        settles: &Settles,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let mut transaction = self.take_transaction(slot)?;
        self.resolve_names(&mut transaction);
        self.check_room(&transaction)?;
        let mut slots = Vec::new();
        let placed: Vec<_> = transaction
            .kept
            .iter()
            .map(|kept| {
                let ids = transaction.queues.get(kept.queues.clone()).unwrap_or_default();
                self.place(&kept.message, ids, &mut slots)
            })
            .collect();
        // The seqs drawn for the record are drawn again, for good, when the messages enter their queues.
        for queue in placed.iter().flat_map(|placed| &placed.queues) {
            if let Some(record) = self.topology.queues.get_mut(*queue) {
                record.queue.undo_draw();
            }
        }
        let ends = self.logged_ends(slot, settles);
        let (lsn, stored) = log_transaction(&transaction.kept, &placed, &slots, &ends, cx)
            .map_err(errors::transaction_refused)?;
        let mut stored = stored.into_iter();
        for (kept, placed) in transaction.kept.into_iter().zip(placed) {
            if placed.queues.is_empty() {
                self.return_unroutable(slot, kept.message, kept.mandatory, cx);
                continue;
            }
            let Stored { lsn, record_bytes } =
                if placed.slots.is_empty() { Stored::default() } else { stored.next().unwrap_or_default() };
            self.enqueue(&kept.message, &placed.queues, lsn, record_bytes);
            placed.queues.iter().for_each(|&queue| self.tend_if_needed(queue, cx));
        }
        for (outcome, deliveries) in settles {
            for &(queue, seq) in deliveries {
                self.settle_one(slot, *outcome, queue, seq);
            }
        }
        // A rejection that makes a dead letter is a record of its own, which the answer waits for as well.
        let rejected = settles.iter().filter(|(outcome, _)| *outcome != Outcome::Ack);
        let lsn = rejected.fold(lsn, |lsn, (_, deliveries)| lsn.max(self.let_rejected_go(deliveries, cx)));
        self.wake_if_asleep(slot);
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.published = channel.published.max(lsn);
        }
        self.answer_when(slot, false, Reply::TxCommitted, lsn, cx);
        Ok(())
    }

    fn take_transaction(&mut self, slot: ChannelSlot) -> Result<Transaction, ChannelError> {
        let channel = self.channels.slots.get_mut(slot);
        let transaction = channel.and_then(|channel| channel.transaction.as_mut());
        transaction.map(std::mem::take).ok_or_else(errors::not_transactional)
    }

    /// A queue that would refuse one of the publishes for want of room refuses them all.
    fn check_room(&mut self, transaction: &Transaction) -> Result<(), ChannelError> {
        if self.refusing_count == 0 {
            return Ok(());
        }
        let mut coming: HashMap<QueueId, (u64, u64)> = HashMap::new();
        for kept in &transaction.kept {
            for &id in transaction.queues.get(kept.queues.clone()).unwrap_or_default() {
                let Some(slot) = self.topology.queue_numbered(id) else { continue };
                let Some(record) = self.topology.queues.get(slot) else { continue };
                let (count, bytes) = coming.entry(id).or_default();
                if record.refuses(&kept.message, (*count, *bytes)) {
                    return Err(errors::partial_commit());
                }
                *count += 1;
                *bytes += kept.message.body.len() as u64;
            }
        }
        Ok(())
    }

    /// Leads what was published to the default exchange to the queues that have its names now: no binding has decided
    /// where it goes, so RabbitMQ, too, looks the queue up when it delivers.
    fn resolve_names(&mut self, transaction: &mut Transaction) {
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
    fn place(&mut self, message: &Arc<Message>, ids: &[QueueId], slots: &mut Vec<Slot>) -> Placed {
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

    /// The settlements that the log must know of.
    fn logged_ends(&mut self, slot: ChannelSlot, settles: &Settles) -> Vec<LoggedSettle> {
        let mut ends = Vec::new();
        for (outcome, deliveries) in settles {
            let Some(reason) = reason(*outcome) else { continue };
            for &(queue, seq) in deliveries {
                let record = self.topology.queue_numbered(queue).and_then(|at| self.topology.queues.get(at));
                let dies = |record: &&QueueRecord| {
                    *outcome == Outcome::Discard && record.settings.dead_letter_exchange.is_some()
                };
                let record = record.filter(|record| !dies(record));
                if record.is_some_and(|record| record.queue.is_held_and_logged(seq, slot)) {
                    ends.push(LoggedSettle { queue, seq, reason });
                }
            }
        }
        ends
    }
}

/// Writes a transaction as one record, if any of it must survive.
fn log_transaction(
    kept: &[Kept],
    placed: &[Placed],
    slots: &[Slot],
    ends: &[LoggedSettle],
    cx: &mut Context<'_>,
) -> Result<(Lsn, Vec<Stored>), LogRefused> {
    if slots.is_empty() && ends.is_empty() {
        return Ok((Lsn::NONE, Vec::new()));
    }
    let logged = kept.iter().zip(placed).filter(|(_, placed)| !placed.slots.is_empty());
    let publishes: Vec<_> = logged
        .map(|(kept, placed)| LoggedPublish {
            message: &kept.message,
            slots: slots.get(placed.slots.clone()).unwrap_or_default(),
        })
        .collect();
    cx.log.transaction(&publishes, ends)
}
