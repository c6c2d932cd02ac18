//! What operators do with the messages of a queue besides purging it: look at the first ones, and move them to another
//! queue. Looking takes nothing and marks nothing. A moved message leaves its queue and enters the other in one record of
//! the log, as a dead letter does, so that after any crash it is in one of them and only there.
//!
//! An errand whose messages are on disk only waits until they are read; it is tried again after each input.

use super::channels::Until;
use super::dead_letter::Farewell;
use super::errors::{self, QueueIn};
use super::events::Acting;
use super::input::{AdminId, AdminReply, Effect};
use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::limits::{MOVED_PER_ORDER_MAX, PEEK_BYTES_MAX, PEEK_MESSAGES_MAX};
use crate::protocol::value::Value;
use crate::queue::{Death, Entry, Leaver};
use ledgermq_storage::Lsn;
use std::sync::Arc;

/// Something an operator wants that may have to wait for the disk.
#[derive(Debug)]
pub(super) enum Errand {
    /// To see the first messages.
    Peek { id: AdminId, queue: Arc<str>, count: usize },
    /// To have them elsewhere.
    Move { id: AdminId, from: Arc<str>, to: Arc<str>, count: u64 },
}

impl Vhost {
    /// Begins an errand: does it at once if nothing must be read.
    pub(super) fn run_errand(&mut self, errand: Errand, cx: &mut Context<'_>) {
        let is_over = match &errand {
            Errand::Peek { id, queue, count } => self.peek(*id, queue, *count, cx),
            Errand::Move { id, from, to, count } => self.move_messages(*id, from, to, *count, cx),
        };
        if !is_over {
            self.errands.push((self.operator.clone(), errand));
        }
    }

    /// Tries again what waits for the disk.
    pub(super) fn retry_errands(&mut self, cx: &mut Context<'_>) {
        for (operator, errand) in std::mem::take(&mut self.errands) {
            self.act_for(operator);
            self.run_errand(errand, cx);
        }
        self.acting = Acting::Internal;
    }

    /// Answers whether it is over; if not, what it needs is being read.
    fn peek(&mut self, id: AdminId, name: &str, count: usize, cx: &mut Context<'_>) -> bool {
        let Some(slot) = self.errand_queue(id, name, "peek", cx) else { return true };
        let Some(record) = self.topology.queues.get(slot) else { return true };
        let queue = &record.queue;
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let is_first = bytes == 0;
            bytes += entry.body_bytes().max(1);
            is_first || bytes <= PEEK_BYTES_MAX
        };
        let entries: Vec<Entry> =
            queue.first_entries().take(count.min(PEEK_MESSAGES_MAX)).take_while(fits).cloned().collect();
        if entries.is_empty() && queue.ready_count() > 0 {
            self.read(slot, cx);
            return false;
        }
        let answer = AdminReply::Peeked(queue.id(), entries);
        cx.effects.effects.push(Effect::Answer(id, answer));
        true
    }

    /// Moves what is in memory of the first `count` messages, at most [`MOVED_PER_ORDER_MAX`]. Answers whether it is over.
    fn move_messages(&mut self, id: AdminId, from: &str, to: &str, count: u64, cx: &mut Context<'_>) -> bool {
        let Some(source) = self.errand_queue(id, from, "move", cx) else { return true };
        let Some(target) = self.errand_queue(id, to, "move", cx) else { return true };
        if source == target {
            refuse(id, "a queue's messages cannot be moved to itself".to_owned(), cx);
            return true;
        }
        let mut moved = 0;
        while moved < count.min(MOVED_PER_ORDER_MAX) && self.leaving_bytes_left > 0 {
            let Some(record) = self.topology.queues.get(source) else { break };
            if record.is_head_expired(&self.clock) {
                self.tend(source, cx);
                break;
            }
            // The reason is of no matter: a message that moves does not die.
            let leaver = record.queue.leaving_head(Death::Rejected);
            let Some(leaver) = leaver.filter(|leaver| leaver.message.is_some()) else {
                if moved == 0 && record.queue.ready_count() > 0 {
                    self.read(source, cx);
                    return false;
                }
                break;
            };
            match self.move_to(source, &leaver, target, cx) {
                Ok(()) => moved += 1,
                Err(_) if moved > 0 => break,
                Err(why) => {
                    refuse(id, why, cx);
                    return true;
                }
            }
        }
        if moved > 0 {
            let headers = [
                ("name", Value::text(from)),
                ("vhost", Value::text(&self.config.name)),
                ("to", Value::text(to)),
                ("messages", Value::I64(moved.cast_signed())),
            ];
            self.announce("queue.messages.moved", &headers, cx);
        }
        let lsn = if moved > 0 { self.buried } else { Lsn::NONE };
        self.defer(Until::durable(lsn), Effect::Answer(id, AdminReply::Removed(moved)), cx);
        true
    }

    /// Moves the first message; an error is a sentence for a person.
    fn move_to(
        &mut self,
        source: QueueSlot,
        leaver: &Leaver,
        target: QueueSlot,
        cx: &mut Context<'_>,
    ) -> Result<(), String> {
        let Some(message) = &leaver.message else { return Ok(()) };
        let (takers, _) = self.takers_of(message, vec![target]);
        if takers.is_empty() {
            let full = self.topology.queues.get(target).map(|record| Arc::clone(&record.name));
            return Err(format!(
                "{} is full",
                QueueIn(full.as_deref().unwrap_or_default(), &self.config.name)
            ));
        }
        self.leaving_bytes_left = self.leaving_bytes_left.saturating_sub(message.resident_bytes());
        match self.pass_on(source, leaver, message, &takers, cx) {
            Some(Farewell::Refused { .. }) => Err("the disk has no room for it".to_owned()),
            Some(Farewell::Unread) | None => Err("the message is too large for the log".to_owned()),
            Some(Farewell::Gone) => Ok(()),
        }
    }

    /// A queue that an operator named; refuses if there is none, it belongs to a connection, or it is a stream.
    fn errand_queue(
        &mut self,
        id: AdminId,
        name: &str,
        what: &str,
        cx: &mut Context<'_>,
    ) -> Option<QueueSlot> {
        let slot = self.topology.queue_named(name);
        let Some(record) = slot.and_then(|slot| self.topology.queues.get(slot)) else {
            refuse(id, format!("no {}", QueueIn(name, &self.config.name)), cx);
            return None;
        };
        if record.owner.is_some() {
            refuse(id, errors::locked(&QueueIn(name, &self.config.name)).explanation, cx);
            return None;
        }
        if record.stream.is_some() {
            let error = errors::not_by_streams(what, &QueueIn(name, &self.config.name));
            refuse(id, error.explanation, cx);
            return None;
        }
        slot
    }
}

fn refuse(id: AdminId, why: String, cx: &mut Context<'_>) {
    cx.effects.effects.push(Effect::Answer(id, AdminReply::Refused(why)));
}
