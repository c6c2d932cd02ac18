//! Where messages go that were not consumed: to the dead-letter exchange of their queue, or nowhere. A message leaves its
//! queue and enters the others in one record of the log, so that after any crash it is in the old place or in the new
//! ones, never in both and never in none. Clients are told nothing; a letter that no queue takes is gone.
//! Deleting or purging a queue makes no letters. Source: RabbitMQ `rabbit_dead_letter`.

use super::deaths::{Address, Letter, Obituary, letter};
use super::lifetime::NO_ROOM;
use super::log::{LogRefused, LoggedPublish, LoggedSettle, Stored};
use super::topology::{ExchangeSlot, QueueSlot};
use super::{Context, Vhost};
use crate::message::Message;
use crate::queue::{Death, Leaver, Overflow};
use ledgermq_storage::SettleReason;
use std::sync::Arc;

/// What became of an attempt to let a message go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// It is gone.
    Gone,
    /// Its body must be read first.
    Unread,
    /// Not now; to be tried again.
    Refused {
        /// After this time, ms.
        retry_ms: u64,
    },
}

/// What a message that goes nowhere counts for, bytes.
const BYTES_WITHOUT_LETTER: usize = 64;

impl Vhost {
    /// Lets a message leave its queue, to its dead-letter exchange if there is one.
    pub(super) fn bury(&mut self, slot: QueueSlot, leaver: &Leaver, cx: &mut Context<'_>) -> Farewell {
        if self.topology.queues.get(slot).is_some_and(|record| record.delays_for.is_some()) {
            return self.release(slot, leaver, cx);
        }
        let Some(exchange) = self.dead_letter_exchange(slot) else {
            self.drop_leaver(slot, leaver, cx);
            return Farewell::Gone;
        };
        let Some(message) = &leaver.message else { return Farewell::Unread };
        let Some((letter, targets)) = self.address(slot, message, leaver.death, exchange) else {
            self.drop_leaver(slot, leaver, cx);
            return Farewell::Gone;
        };
        self.move_on(slot, leaver, &letter, targets, cx)
    }

    /// Moves a message, changed as it may be, from its queue to others; if none takes it, it is gone.
    pub(super) fn move_on(
        &mut self,
        slot: QueueSlot,
        leaver: &Leaver,
        letter: &Arc<Message>,
        targets: Vec<QueueSlot>,
        cx: &mut Context<'_>,
    ) -> Farewell {
        let (takers, refusers) = self.takers_of(letter, targets);
        if takers.is_empty() {
            self.drop_leaver(slot, leaver, cx);
        } else {
            match self.pass_on(slot, leaver, letter, &takers, cx) {
                Some(Farewell::Gone) => self.count_leaver(slot, leaver.death),
                Some(farewell) => return farewell,
                // Its history made it larger than any record can be.
                None => {
                    self.drop_leaver(slot, leaver, cx);
                    return Farewell::Gone;
                }
            }
        }
        self.refuse_letters(refusers.into_iter().map(|refuser| (Arc::clone(letter), refuser)).collect(), cx);
        Farewell::Gone
    }

    /// Takes a message out of its queue and puts it into others, in one record; `None` if no record can hold it.
    pub(super) fn pass_on(
        &mut self,
        slot: QueueSlot,
        leaver: &Leaver,
        letter: &Arc<Message>,
        takers: &[QueueSlot],
        cx: &mut Context<'_>,
    ) -> Option<Farewell> {
        let stored = match self.log_letter(slot, leaver, letter, takers, cx) {
            Ok(stored) => stored,
            Err(LogRefused::NoSpace) => return Some(NO_ROOM),
            Err(LogRefused::TooLarge) => return None,
        };
        if let Some(record) = self.topology.queues.get_mut(slot) {
            record.queue.left(leaver);
        }
        self.deliver_letter(letter, takers, stored);
        Some(Farewell::Gone)
    }

    /// Queues that will not take a message because they are full dead-letter it, if they were told to.
    pub(super) fn refuse_letters(
        &mut self,
        mut refused: Vec<(Arc<Message>, QueueSlot)>,
        cx: &mut Context<'_>,
    ) {
        // A list, not recursion: a chain of full queues may be long.
        while let Some((message, slot)) = refused.pop() {
            let sends_on = self
                .topology
                .queues
                .get(slot)
                .is_some_and(|record| record.settings.overflow == Overflow::RejectPublishDeadLetter);
            if !sends_on {
                continue;
            }
            let Some(exchange) = self.dead_letter_exchange(slot) else { continue };
            let Some((letter, targets)) = self.address(slot, &message, Death::MaxLength, exchange) else {
                continue;
            };
            let (takers, refusers) = self.takers_of(&letter, targets);
            // Nobody was promised anything: without room in the log the letter is lost, as the publish is.
            if let Ok(stored) = self.log_alone(&letter, &takers, cx) {
                self.deliver_letter(&letter, &takers, stored);
            }
            self.count_death(Death::MaxLength);
            refused.extend(refusers.into_iter().map(|refuser| (Arc::clone(&letter), refuser)));
        }
    }

    /// Splits queues into those that take a message and those that are full and refuse it.
    pub(super) fn takers_of(
        &self,
        message: &Message,
        queues: Vec<QueueSlot>,
    ) -> (Vec<QueueSlot>, Vec<QueueSlot>) {
        if self.refusing_count == 0 {
            return (queues, Vec::new());
        }
        queues.into_iter().partition(|&slot| {
            let record = self.topology.queues.get(slot);
            !record.is_some_and(|record| record.refuses(message, (0, 0)))
        })
    }

    pub(super) fn dead_letter_exchange(&self, slot: QueueSlot) -> Option<ExchangeSlot> {
        let name = self.topology.queues.get(slot)?.settings.dead_letter_exchange.as_deref()?;
        self.topology.exchange_named(name)
    }

    /// Writes the letter of a message that died here, and finds who gets it; `None` if it is to go nowhere.
    pub(super) fn address(
        &mut self,
        slot: QueueSlot,
        message: &Message,
        death: Death,
        exchange: ExchangeSlot,
    ) -> Option<(Arc<Message>, Vec<QueueSlot>)> {
        self.leaving_bytes_left = self.leaving_bytes_left.saturating_sub(message.resident_bytes());
        let record = self.topology.queues.get(slot)?;
        let obituary = Obituary { queue: &record.name, death, unix_ms: self.clock.unix_ms() };
        let address = Address {
            exchange: &self.topology.exchanges.get(exchange)?.exchange.name,
            routing_key: record.settings.dead_letter_routing_key.as_deref(),
        };
        let Letter { message: letter, history } = letter(message, &obituary, address);
        if history.is_too_long() {
            return None;
        }
        let letter = Arc::new(letter);
        let mut targets = Vec::new();
        self.topology.route(exchange, &letter, &mut targets);
        if death != Death::Rejected {
            let names = |slot: QueueSlot| self.topology.queues.get(slot).map(|record| &record.name);
            targets.retain(|&target| names(target).is_some_and(|name| !history.is_cycle(name)));
        }
        (!targets.is_empty()).then_some((letter, targets))
    }

    /// One record: the message leaves its queue and enters the others.
    fn log_letter(
        &mut self,
        slot: QueueSlot,
        leaver: &Leaver,
        letter: &Arc<Message>,
        takers: &[QueueSlot],
        cx: &mut Context<'_>,
    ) -> Result<Stored, LogRefused> {
        self.fill_slots(letter, takers);
        let publish = LoggedPublish { message: letter, slots: &self.slots };
        let source = self.topology.queues.get(slot).map(|record| record.queue.id());
        let settle = source.filter(|_| leaver.logged).map(|queue| LoggedSettle {
            queue,
            seq: leaver.seq,
            reason: SettleReason::DeadLettered,
        });
        match (settle, self.slots.is_empty()) {
            (Some(settle), true) => {
                self.buried = cx.log.settle(settle);
                Ok(Stored::default())
            }
            (Some(settle), false) => {
                let (lsn, stored) = cx.log.transaction(&[publish], &[settle])?;
                self.buried = lsn;
                Ok(stored.first().copied().unwrap_or_default())
            }
            (None, true) => Ok(Stored::default()),
            (None, false) => cx.log.publish(publish),
        }
    }

    /// One record for a letter whose message was never in a queue.
    fn log_alone(
        &mut self,
        letter: &Arc<Message>,
        takers: &[QueueSlot],
        cx: &mut Context<'_>,
    ) -> Result<Stored, LogRefused> {
        self.fill_slots(letter, takers);
        if self.slots.is_empty() {
            return Ok(Stored::default());
        }
        cx.log.publish(LoggedPublish { message: letter, slots: &self.slots })
    }

    fn deliver_letter(&mut self, letter: &Arc<Message>, takers: &[QueueSlot], stored: Stored) {
        self.enqueue(letter, takers, stored.lsn, stored.record_bytes);
        // In their turn: a letter may push out another, and so on.
        takers.iter().for_each(|&taker| self.look_at(taker));
    }

    /// Lets a message go without a letter.
    fn drop_leaver(&mut self, slot: QueueSlot, leaver: &Leaver, cx: &mut Context<'_>) {
        self.leaving_bytes_left = self.leaving_bytes_left.saturating_sub(BYTES_WITHOUT_LETTER);
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        if leaver.logged {
            let (queue, seq, reason) = (record.queue.id(), leaver.seq, leaver.death.settle_reason());
            self.buried = cx.log.settle(LoggedSettle { queue, seq, reason });
        }
        record.queue.left(leaver);
        self.count_leaver(slot, leaver.death);
    }

    /// Who was only let go by a delayed exchange did not die.
    pub(super) fn count_leaver(&mut self, slot: QueueSlot, death: Death) {
        if self.topology.queues.get(slot).is_some_and(|record| record.delays_for.is_none()) {
            self.count_death(death);
        }
    }

    fn count_death(&mut self, death: Death) {
        match death {
            Death::Rejected => self.totals.rejected_count += 1,
            Death::Expired => self.totals.expired_count += 1,
            Death::MaxLength => self.totals.overflowed_count += 1,
            Death::DeliveryLimit => self.totals.undeliverable_count += 1,
        }
    }
}
