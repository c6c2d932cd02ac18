//! Queues that go while they owe letters. What died in a queue before it is deleted goes to its dead letters, also if its
//! body must be read from the disk first: the deletion waits for that, and so does its answer. Nothing of it is written
//! before it is done, so that a crash meanwhile finds the queue as it was.
//!
//! Only reading is waited for. A letter for which the disk has no space goes with its queue: to delete queues is how an
//! operator makes space.

use super::command::{Command, Envelope};
use super::events::Acting;
use super::input::{AdminId, Operator};
use super::queues::OnlyIf;
use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::queue::{ChannelSlot, LeavesFrom};
use crate::vhost::command::MethodId;
use ledgermq_storage::QueueId;
use std::sync::Arc;

/// A deletion that waits for letters to go, and that no channel waits for.
#[derive(Debug)]
pub(super) enum Deletion {
    /// An operator wants it.
    Ordered { id: AdminId, operator: Operator, name: Arc<str>, only: OnlyIf },
    /// A client wanted it and is gone.
    Left { queue: QueueId, only: OnlyIf },
    /// Its last consumer went.
    Unused(QueueId),
    /// Nobody used it for too long.
    Expired(QueueId),
}

impl Vhost {
    /// Lets go of what died in a queue. Answers whether some of it is still to be read, so that the queue must stay.
    pub(super) fn owes_letters(&mut self, slot: QueueSlot, cx: &mut Context<'_>) -> bool {
        if self.is_impatient || self.dead_letter_exchange(slot).is_none() {
            return false;
        }
        self.tend(slot, cx);
        let is_over = self.leaving_bytes_left == 0;
        let Some(record) = self.topology.queues.get(slot) else { return false };
        let leavers = [LeavesFrom::Hand, LeavesFrom::Head].map(|from| record.leaver(from, &self.clock));
        record.queue.has_unread()
            || leavers.iter().flatten().any(|leaver| leaver.message.is_none() || is_over)
    }

    /// A client's deletion waits, and what it says behind it.
    pub(super) fn park_deletion(
        &mut self,
        slot: ChannelSlot,
        method: MethodId,
        name: Arc<str>,
        only: OnlyIf,
        nowait: bool,
    ) {
        let Some(channel) = self.channels.slots.get(slot) else { return };
        let command = Command::DeleteQueue { name, if_unused: only.unused, if_empty: only.empty, nowait };
        let envelope = Envelope { channel: channel.key, method, command };
        self.park_command(slot, envelope);
    }

    /// Tries again what waits for letters.
    pub(super) fn retry_deletions(&mut self, cx: &mut Context<'_>) {
        for slot in self.parked.clone() {
            let channel = self.channels.slots.get(slot);
            if channel.and_then(|channel| channel.parked.as_ref()).is_some_and(|parked| parked.is_deletion())
            {
                self.finish_parked(slot, cx);
            }
        }
        self.acting = Acting::Internal;
        for deletion in std::mem::take(&mut self.deletions) {
            match deletion {
                Deletion::Ordered { id, operator, name, only } => {
                    self.act_for(operator);
                    self.answer_delete(id, &name, only, cx);
                    self.acting = Acting::Internal;
                }
                Deletion::Left { queue, only } => {
                    let Some(slot) = self.topology.queue_numbered(queue) else { continue };
                    if self.check_deletable(slot, only).is_err() {
                        continue;
                    }
                    if self.owes_letters(slot, cx) {
                        self.deletions.push(Deletion::Left { queue, only });
                    } else {
                        self.remove_queue(slot, cx);
                    }
                }
                Deletion::Unused(queue) => {
                    if let Some(slot) = self.topology.queue_numbered(queue) {
                        self.remove_if_unused(slot, cx);
                    }
                }
                Deletion::Expired(queue) => {
                    if let Some(slot) = self.topology.queue_numbered(queue) {
                        self.lease_ended(slot, cx);
                    }
                }
            }
        }
    }

    /// A client that waits for a deletion goes: the queue goes without it.
    pub(super) fn leave_deletion(&mut self, command: &Command) {
        let Command::DeleteQueue { name, if_unused, if_empty, .. } = command else { return };
        let Some(slot) = self.topology.queue_named(name) else { return };
        let Some(record) = self.topology.queues.get(slot) else { return };
        let only = OnlyIf { unused: *if_unused, empty: *if_empty };
        self.deletions.push(Deletion::Left { queue: record.queue.id(), only });
    }
}
