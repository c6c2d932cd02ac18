//! basic.publish: checked, routed, logged once for all durable queues, put into each queue, confirmed.
//! All or nothing: if the log refuses the record, no queue has the message.

use super::channels::Until;
use super::errors::{self, ExchangeIn};
use super::log::{LogRefused, LoggedPublish, Stored};
use super::routing::NoSuchWay;
use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::exchange::ExchangeKind;
use crate::message::Message;
use crate::protocol::reply::{ChannelError, NO_ROUTE};
use crate::queue::ChannelSlot;
use crate::vhost::command::{Notice, Publish};
use ledgermq_storage::{Lsn, Slot};
use std::sync::Arc;

impl Vhost {
    pub(super) fn publish(
        &mut self,
        slot: ChannelSlot,
        mut publish: Publish,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        self.totals.published_count += 1;
        self.sizes.note(publish.message.body.len());
        if publish.topic_refusal.is_some() {
            self.refuse_topic_publish(&publish.message.exchange, publish.topic_refusal.take())?;
        }
        let Some(channel) = self.channels.slots.get_mut(slot) else { return Ok(()) };
        let mut route = std::mem::take(&mut channel.route);
        let keeps = channel.transaction.is_some();
        let found = route.find(&mut self.topology, &publish.message);
        if let Err(problem) = found {
            return Err(self.no_way(problem, &publish.message.exchange));
        }
        channel.counts.publish += 1;
        if let Some(record) = route.entered.and_then(|entered| self.topology.exchanges.get_mut(entered)) {
            record.counts.publish_in += 1;
            record.counts.publish_out += route.queues.len() as u64;
        }
        if publish.wants_reply {
            publish.message = self.name_reply_to(slot, &publish.message)?;
        }
        if self.traces {
            self.trace_publish(slot, &publish.message, &route.queues, cx);
        }
        let kept = if keeps {
            self.keep_for_commit(slot, publish, &route.queues)
        } else {
            self.publish_now(slot, publish, &route.queues, cx);
            Ok(())
        };
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            channel.route = route;
        }
        kept
    }

    /// A message that no queue takes: for a reply consumer, or nobody's, and sent back if that was asked for.
    pub(super) fn return_unroutable(
        &mut self,
        slot: ChannelSlot,
        message: Arc<Message>,
        mandatory: bool,
        cx: &mut Context<'_>,
    ) {
        if self.deliver_reply(&message, cx) {
            return;
        }
        self.totals.unroutable_count += 1;
        self.count_unroutable(slot, &message.exchange, mandatory);
        if mandatory {
            self.totals.returned_count += 1;
            let (code, text) = NO_ROUTE;
            self.tell(slot, Notice::Returned { code, text, message }, Until::NOW, cx);
        }
    }

    fn count_unroutable(&mut self, slot: ChannelSlot, exchange: &str, mandatory: bool) {
        if let Some(channel) = self.channels.slots.get_mut(slot) {
            let counts = &mut channel.counts;
            *(if mandatory { &mut counts.return_unroutable } else { &mut counts.drop_unroutable }) += 1;
        }
        let found = self.topology.exchange_named(exchange);
        if let Some(record) = found.and_then(|slot| self.topology.exchanges.get_mut(slot)) {
            let counts = &mut record.counts;
            *(if mandatory { &mut counts.return_unroutable } else { &mut counts.drop_unroutable }) += 1;
        }
    }

    /// What a publish with impossible properties fails with: an exchange that takes no publishes is said first.
    pub(super) fn publish_refused(
        &self,
        exchange: &str,
        error: ChannelError,
        topic_refusal: Option<Box<ChannelError>>,
    ) -> ChannelError {
        match self.topology.exchange_named(exchange).and_then(|slot| self.topology.exchanges.get(slot)) {
            Some(record) if record.exchange.internal => self.no_way(NoSuchWay::InternalExchange, exchange),
            None if !exchange.is_empty() => self.no_way(NoSuchWay::NoExchange, exchange),
            Some(_) | None => self.refuse_topic(exchange, topic_refusal).err().unwrap_or(error),
        }
    }

    fn publish_now(
        &mut self,
        slot: ChannelSlot,
        publish: Publish,
        queues: &[QueueSlot],
        cx: &mut Context<'_>,
    ) {
        let Publish { message, publish_seq, mandatory, .. } = publish;
        let mut is_refused = false;
        let stored = if queues.is_empty() {
            self.return_unroutable(slot, message, mandatory, cx);
            Ok(Lsn::NONE)
        } else if self.refusing_count > 0 {
            let (takers, refusers) = self.takers_of(&message, queues.to_vec());
            is_refused = !refusers.is_empty();
            let stored = self.store(&message, &takers, cx);
            let refused = refusers.into_iter().map(|refuser| (Arc::clone(&message), refuser));
            self.refuse_letters(refused.collect(), cx);
            stored
        } else {
            self.store(&message, queues, cx)
        };
        if let Ok(lsn) = stored
            && lsn != Lsn::NONE
            && let Some(channel) = self.channels.slots.get_mut(slot)
        {
            channel.published = lsn;
        }
        // A queue without room refuses for all of them, as a log without room does.
        let stored = if is_refused { Err(()) } else { stored.map_err(drop) };
        match (stored, publish_seq) {
            (Ok(lsn), Some(publish_seq)) => self.channels.confirm(slot, publish_seq, lsn),
            (Err(()), Some(publish_seq)) => {
                self.totals.refused_count += 1;
                self.channels.refuse(slot, publish_seq);
            }
            (Err(()), None) => self.totals.refused_count += 1,
            (Ok(_), None) => {}
        }
    }

    /// Logs a message if it must survive, and puts it into its queues. Answers the position of its record.
    pub(super) fn store(
        &mut self,
        message: &Arc<Message>,
        queues: &[QueueSlot],
        cx: &mut Context<'_>,
    ) -> Result<Lsn, LogRefused> {
        self.fill_slots(message, queues);
        let stored = if self.slots.is_empty() {
            Stored::default()
        } else {
            cx.log.publish(LoggedPublish { message, slots: &self.slots })?
        };
        if self.enqueue(message, queues, stored.lsn, stored.record_bytes) {
            queues.iter().for_each(|&slot| self.tend_if_needed(slot, cx));
        }
        Ok(stored.lsn)
    }

    /// Puts what the broker itself publishes into queues. Those that are full and refuse go without it, as do all if the
    /// log has no space: nobody waits for a confirm.
    pub(super) fn put_own(&mut self, message: &Arc<Message>, queues: Vec<QueueSlot>, cx: &mut Context<'_>) {
        let (takers, _) = self.takers_of(message, queues);
        if !takers.is_empty() && self.store(message, &takers, cx).is_err() {
            self.totals.refused_count += 1;
        }
    }

    /// Fills `slots` with the places of a message in the queues that log it.
    pub(super) fn fill_slots(&mut self, message: &Message, queues: &[QueueSlot]) {
        self.slots.clear();
        // Of transient messages only streams have a place in the log, and these let nothing expire.
        let own_ms = if message.persistent { message.expiration_ms() } else { None };
        for &slot in queues {
            if let Some(record) = self.topology.queues.get(slot)
                && record.logs(message)
            {
                self.slots.push(Slot {
                    queue: record.queue.id(),
                    seq: record.queue.next_seq(),
                    priority: record.queue.priority_of(message),
                    expire_unix_ms: record.expire_at(message, own_ms, &self.clock),
                });
            }
        }
    }

    /// Puts a message into queues; only those that log it have it in the log. Answers whether one of them is to be tended.
    pub(super) fn enqueue(
        &mut self,
        message: &Arc<Message>,
        queues: &[QueueSlot],
        lsn: Lsn,
        record_bytes: u32,
    ) -> bool {
        let own_ms = message.expiration_ms();
        let mut is_tended = false;
        for &slot in queues {
            let Some(record) = self.topology.queues.get_mut(slot) else { continue };
            record.counts.publish += 1;
            record.active_unix_ms = self.clock.unix_ms();
            if record.stream.is_some() {
                is_tended |= self.enqueue_in_stream(slot, message, (lsn, record_bytes));
                continue;
            }
            let expire_unix_ms = record.expire_at(message, own_ms, &self.clock);
            if record.life.is_tended || expire_unix_ms != 0 {
                record.message_came(record.queue.next_seq(), expire_unix_ms);
                is_tended = true;
            }
            let (lsn, record_bytes) = if record.logs(message) { (lsn, record_bytes) } else { (Lsn::NONE, 0) };
            record.queue.enqueue(message, lsn, record_bytes, expire_unix_ms);
            if !record.is_waiting && !record.is_runnable && record.has_demand() {
                record.is_runnable = true;
                self.runnable.push_back(slot);
            }
        }
        is_tended
    }

    /// Lets go at once of what a new message pushes out: whoever asks next must not see it.
    pub(super) fn tend_if_needed(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let Some(record) = self.topology.queues.get(slot) else { return };
        if record.life.is_tended {
            self.tend(slot, cx);
        } else if record.stream.as_ref().is_some_and(|stream| stream.wants_trim()) {
            self.trim_stream(slot, cx);
        }
    }

    /// The same for a publish: to an internal exchange there is none, whatever its key, and that is what is said.
    fn refuse_topic_publish(
        &self,
        exchange: &str,
        refusal: Option<Box<ChannelError>>,
    ) -> Result<(), ChannelError> {
        let found = self.topology.exchange_named(exchange);
        let record = found.and_then(|slot| self.topology.exchanges.get(slot));
        let refusal = refusal.filter(|_| record.is_some_and(|record| !record.exchange.internal));
        self.refuse_topic(exchange, refusal)
    }

    /// Gives the channel's refusal of a key, if it is a topic exchange.
    pub(super) fn refuse_topic(
        &self,
        exchange: &str,
        refusal: Option<Box<ChannelError>>,
    ) -> Result<(), ChannelError> {
        let Some(refusal) = refusal else { return Ok(()) };
        let found = self.topology.exchange_named(exchange);
        let is_topic = found
            .and_then(|slot| self.topology.exchanges.get(slot))
            .is_some_and(|record| record.exchange.kind == ExchangeKind::Topic);
        if is_topic { Err(*refusal) } else { Ok(()) }
    }

    fn no_way(&self, problem: NoSuchWay, exchange: &str) -> ChannelError {
        let described = ExchangeIn(exchange, &self.config.name);
        match problem {
            NoSuchWay::NoExchange => errors::not_found(described),
            NoSuchWay::InternalExchange => errors::internal_exchange(&described),
        }
    }
}
