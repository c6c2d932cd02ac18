//! tx.commit: what a transaction published, settled and rejected as one record of the log, and then as one change of the
//! queues. Dead letters are part of it: a message that was rejected leaves its queue and enters the others with the rest.
//!
//! A letter needs its body. If that left memory, the commit is *parked* while it is read; what the client sends behind it
//! waits as well. Should the client be impatient (too many commands, or it goes), the commit is done without these bodies,
//! and their messages move in records of their own.

use super::command::Envelope;
use super::errors;
use super::events::Acting;
use super::input::Effect;
use super::log::{LogRefused, LoggedPublish, LoggedSettle, Stored};
use super::settle::reason;
use super::topology::QueueSlot;
use super::transaction::{Coming, Placed, Settles};
use super::{Context, Vhost};
use crate::limits::{PARKED_COMMANDS_MAX, TRANSACTION_BYTES_MAX};
use crate::message::Message;
use crate::protocol::reply::ChannelError;
use crate::queue::{ChannelSlot, Death, Leaver, WantedBodies};
use crate::vhost::command::{MethodId, Outcome, Reply};
use ledgermq_storage::{Lsn, QueueId, Seq, SettleReason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A command that waits for bodies.
#[derive(Debug)]
pub(super) struct Parked {
    waiting: Waiting,
    /// What the channel said since.
    behind: Vec<Envelope>,
}

#[derive(Debug)]
enum Waiting {
    /// A commit, and what is still to be read for it.
    Commit { method: MethodId, settles: Box<Settles>, unread: BTreeSet<(QueueId, Seq)> },
    /// The deletion of a queue that owes letters.
    Deletion(Envelope),
}

impl Parked {
    /// Whether it is a deletion.
    pub(super) fn is_deletion(&self) -> bool {
        matches!(self.waiting, Waiting::Deletion(_))
    }
}

/// A message that the transaction rejects, and where it goes.
struct DeadLetter {
    from: QueueSlot,
    queue: QueueId,
    leaver: Leaver,
    /// As it is written; `None` if it goes nowhere.
    letter: Option<Arc<Message>>,
    takers: Vec<QueueId>,
    refusers: Vec<QueueSlot>,
}

impl Vhost {
    /// tx.commit, now or once everything is read that it needs.
    pub(super) fn commit(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        settles: Box<Settles>,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let wanted = self.unread_rejects(slot, &settles)?;
        if wanted.is_empty() {
            return self.commit_now(slot, &settles, cx);
        }
        let unread = wanted.iter().flat_map(|(queue, bodies)| bodies.iter().map(|body| (*queue, body.0)));
        self.park(slot, Waiting::Commit { method, settles, unread: unread.collect() });
        let reads = wanted.into_iter().map(|(queue, wanted)| Effect::ReadBodies { queue, wanted });
        cx.effects.effects.extend(reads);
        Ok(())
    }

    /// Keeps a deletion until its queue owes no letters any more.
    pub(super) fn park_command(&mut self, slot: ChannelSlot, envelope: Envelope) {
        self.park(slot, Waiting::Deletion(envelope));
    }

    fn park(&mut self, slot: ChannelSlot, waiting: Waiting) {
        let Some(channel) = self.channels.slots.get_mut(slot) else { return };
        channel.parked = Some(Box::new(Parked { waiting, behind: Vec::new() }));
        self.parked.push(slot);
    }

    /// Keeps a command of a channel that has one parked; gives it back if it has none.
    pub(super) fn keep_behind_parked(
        &mut self,
        slot: ChannelSlot,
        envelope: Envelope,
        cx: &mut Context<'_>,
    ) -> Option<Envelope> {
        let parked = self.channels.slots.get_mut(slot).and_then(|channel| channel.parked.as_mut());
        let Some(parked) = parked else { return Some(envelope) };
        parked.behind.push(envelope);
        if parked.behind.len() > PARKED_COMMANDS_MAX {
            self.force_parked(slot, cx);
        }
        None
    }

    /// Bodies of a queue were read, or cannot be: commits that waited for them go on.
    pub(super) fn resume_commits(&mut self, queue: QueueId, read: &[Seq], cx: &mut Context<'_>) {
        for slot in self.parked.clone() {
            let parked = self.channels.slots.get_mut(slot).and_then(|channel| channel.parked.as_mut());
            let Some(Waiting::Commit { unread, .. }) = parked.map(|parked| &mut parked.waiting) else {
                continue;
            };
            read.iter().for_each(|seq| {
                unread.remove(&(queue, *seq));
            });
            if unread.is_empty() {
                self.finish_parked(slot, cx);
            }
        }
    }

    /// Does what a channel has parked, and what the channel said since.
    pub(super) fn finish_parked(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        let behind = self.do_parked(slot, cx);
        behind.into_iter().for_each(|envelope| self.command(envelope, cx));
    }

    /// The same, without waiting any longer.
    fn force_parked(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        self.is_impatient = true;
        let behind = self.do_parked(slot, cx);
        self.is_impatient = false;
        behind.into_iter().for_each(|envelope| self.command(envelope, cx));
    }

    /// The channel is about to go: it waits for nothing.
    pub(super) fn leave_parked(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        let Some(channel) = self.channels.slots.get_mut(slot) else { return };
        let is_last =
            channel.parked.as_ref().is_some_and(|parked| parked.is_deletion() && parked.behind.is_empty());
        if !is_last {
            return self.force_parked(slot, cx);
        }
        // Nobody asks for the queue any more, so it may go later.
        if let Some(Waiting::Deletion(envelope)) = channel.parked.take().map(|parked| parked.waiting) {
            self.leave_deletion(&envelope.command);
        }
    }

    /// Does what a channel has parked with what is there; answers what the channel said since.
    fn do_parked(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) -> Vec<Envelope> {
        self.parked.retain(|parked| *parked != slot);
        let Some(parked) = self.channels.slots.get_mut(slot).and_then(|channel| channel.parked.take()) else {
            return Vec::new();
        };
        let Parked { waiting, behind } = *parked;
        self.acting = Acting::Channel(slot);
        match waiting {
            Waiting::Commit { method, settles, .. } => {
                if let Err(error) = self.commit_now(slot, &settles, cx) {
                    self.fail_channel(slot, error, method, cx);
                }
            }
            Waiting::Deletion(envelope) => self.command(envelope, cx),
        }
        behind
    }

    fn commit_now(
        &mut self,
        slot: ChannelSlot,
        settles: &Settles,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let mut transaction = self.take_transaction(slot)?;
        self.resolve_names(&mut transaction);
        let mut coming = self.check_room(&transaction)?;
        let letters = self.dead_letters(slot, settles, &mut coming, transaction.bytes())?;
        let mut slots = Vec::new();
        let placed: Vec<_> =
            transaction.messages().map(|(message, ids)| self.place(message, ids, &mut slots)).collect();
        let placed_letters: Vec<_> = letters
            .iter()
            .map(|dead| match &dead.letter {
                Some(letter) => self.place(letter, &dead.takers, &mut slots),
                None => Placed::nowhere(),
            })
            .collect();
        // The seqs drawn for the record are drawn again, for good, when the messages enter their queues.
        for queue in placed.iter().chain(&placed_letters).flat_map(|placed| &placed.queues) {
            if let Some(record) = self.topology.queues.get_mut(*queue) {
                record.queue.undo_draw();
            }
        }
        let publishes = transaction.messages().map(|(message, _)| message).zip(&placed);
        let written = letters.iter().zip(&placed_letters);
        let publishes: Vec<_> = publishes
            .chain(written.filter_map(|(dead, placed)| Some((dead.letter.as_ref()?, placed))))
            .filter(|(_, placed)| !placed.slots.is_empty())
            .map(|(message, placed)| LoggedPublish {
                message,
                slots: slots.get(placed.slots.clone()).unwrap_or_default(),
            })
            .collect();
        let mut ends = self.logged_ends(slot, settles);
        ends.extend(letters.iter().filter_map(DeadLetter::end));
        let (lsn, stored) = log_transaction(&publishes, &ends, cx).map_err(errors::transaction_refused)?;
        let mut stored = stored.into_iter();
        let mut stored_of = |placed: &Placed| {
            if placed.slots.is_empty() { Stored::default() } else { stored.next().unwrap_or_default() }
        };
        // Everything enters its queues before any of them pushes something out: the record has named the places.
        let mut entered: Vec<QueueSlot> = Vec::new();
        for ((message, mandatory), placed) in transaction.into_messages().zip(&placed) {
            if placed.queues.is_empty() {
                self.return_unroutable(slot, message, mandatory, cx);
                continue;
            }
            let Stored { lsn, record_bytes } = stored_of(placed);
            self.enqueue(&message, &placed.queues, lsn, record_bytes);
            entered.extend(&placed.queues);
        }
        for (outcome, deliveries) in settles {
            for &(queue, seq) in deliveries {
                self.settle_one(slot, *outcome, queue, seq);
            }
        }
        for (dead, placed) in letters.iter().zip(&placed_letters) {
            let Stored { lsn, record_bytes } = stored_of(placed);
            self.bury_with_commit(dead, placed, (lsn, record_bytes));
            entered.extend(&placed.queues);
        }
        entered.into_iter().for_each(|queue| self.tend_if_needed(queue, cx));
        for dead in letters {
            if let Some(letter) = dead.letter {
                let refused = dead.refusers.into_iter().map(|refuser| (Arc::clone(&letter), refuser));
                self.refuse_letters(refused.collect(), cx);
            }
        }
        // What could not be read in time moves in a record of its own, which the answer waits for as well.
        let rejected = settles.iter().filter(|(outcome, _)| *outcome != Outcome::Ack);
        let lsn = rejected.fold(lsn, |lsn, (_, deliveries)| lsn.max(self.let_rejected_go(deliveries, cx)));
        self.wake_if_asleep(slot);
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.published = channel.published.max(lsn);
        }
        self.answer_when(slot, false, Reply::TxCommitted, lsn, cx);
        Ok(())
    }

    /// Bodies that the dead letters of a transaction need and that are on disk only.
    fn unread_rejects(
        &mut self,
        slot: ChannelSlot,
        settles: &Settles,
    ) -> Result<BTreeMap<QueueId, WantedBodies>, ChannelError> {
        let marks = self.watermarks();
        let mut wanted: BTreeMap<_, WantedBodies> = BTreeMap::new();
        let mut bytes = 0;
        for (queue, seq) in rejects(settles) {
            let from = self.topology.queue_numbered(queue);
            let Some(from) = from.filter(|from| self.dead_letter_exchange(*from).is_some()) else { continue };
            let Some(record) = self.topology.queues.get(from) else { continue };
            if let Some(body) = record.queue.wanted_held(seq, slot, marks) {
                bytes += body.2 as usize;
                wanted.entry(queue).or_default().push(body);
            }
        }
        if bytes > TRANSACTION_BYTES_MAX { Err(errors::transaction_too_large()) } else { Ok(wanted) }
    }

    /// The dead letters of a transaction, as far as their messages are in memory. `coming` is what its publishes bring.
    fn dead_letters(
        &mut self,
        slot: ChannelSlot,
        settles: &Settles,
        coming: &mut Coming,
        mut bytes: usize,
    ) -> Result<Vec<DeadLetter>, ChannelError> {
        let mut letters = Vec::new();
        for (queue, seq) in rejects(settles) {
            let Some(from) = self.topology.queue_numbered(queue) else { continue };
            let Some(record) = self.topology.queues.get(from) else { continue };
            if record.settings.dead_letter_exchange.is_none() {
                continue;
            }
            let Some(leaver) = record.queue.rejected(seq, slot) else { continue };
            let mut dead =
                DeadLetter { from, queue, leaver, letter: None, takers: Vec::new(), refusers: Vec::new() };
            if let Some(exchange) = self.dead_letter_exchange(from) {
                let Some(message) = dead.leaver.message.take() else { continue };
                if let Some((letter, targets)) = self.address(from, &message, Death::Rejected, exchange) {
                    bytes += letter.resident_bytes();
                    if bytes > TRANSACTION_BYTES_MAX {
                        return Err(errors::transaction_too_large());
                    }
                    for target in targets {
                        match self.take_room(&letter, target, coming) {
                            Some(id) => dead.takers.push(id),
                            None => dead.refusers.push(target),
                        }
                    }
                    dead.letter = Some(letter);
                }
            }
            letters.push(dead);
        }
        Ok(letters)
    }

    /// A rejected message of a transaction leaves its queue; its letter, if it has one, enters others.
    fn bury_with_commit(&mut self, dead: &DeadLetter, placed: &Placed, (lsn, record_bytes): (Lsn, u32)) {
        if let Some(record) = self.topology.queues.get_mut(dead.from) {
            record.queue.left(&dead.leaver);
        }
        self.count_leaver(dead.from, Death::Rejected);
        if let Some(letter) = &dead.letter {
            self.enqueue(letter, &placed.queues, lsn, record_bytes);
            placed.queues.iter().for_each(|&taker| self.look_at(taker));
        }
    }

    /// The settlements that the log must know of, but for those of dead letters.
    fn logged_ends(&mut self, slot: ChannelSlot, settles: &Settles) -> Vec<LoggedSettle> {
        let mut ends = Vec::new();
        for (outcome, deliveries) in settles {
            let Some(reason) = reason(*outcome) else { continue };
            for &(queue, seq) in deliveries {
                let record = self.topology.queue_numbered(queue).and_then(|at| self.topology.queues.get(at));
                let record = record.filter(|record| {
                    *outcome == Outcome::Ack || record.settings.dead_letter_exchange.is_none()
                });
                if record.is_some_and(|record| record.queue.is_held_and_logged(seq, slot)) {
                    ends.push(LoggedSettle { queue, seq, reason });
                }
            }
        }
        ends
    }
}

impl DeadLetter {
    /// What the log is told of the message.
    fn end(&self) -> Option<LoggedSettle> {
        let reason =
            if self.takers.is_empty() { Death::Rejected.settle_reason() } else { SettleReason::DeadLettered };
        self.leaver.logged.then_some(LoggedSettle { queue: self.queue, seq: self.leaver.seq, reason })
    }
}

/// What a transaction rejects for good.
fn rejects(settles: &Settles) -> impl Iterator<Item = (QueueId, Seq)> {
    settles
        .iter()
        .filter(|(outcome, _)| *outcome == Outcome::Discard)
        .flat_map(|(_, deliveries)| deliveries.iter().copied())
}

/// Writes a transaction as one record, if any of it must survive.
fn log_transaction(
    publishes: &[LoggedPublish<'_>],
    ends: &[LoggedSettle],
    cx: &mut Context<'_>,
) -> Result<(Lsn, Vec<Stored>), LogRefused> {
    if publishes.is_empty() && ends.is_empty() {
        return Ok((Lsn::NONE, Vec::new()));
    }
    cx.log.transaction(publishes, ends)
}
