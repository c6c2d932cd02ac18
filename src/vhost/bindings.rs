//! queue.bind, exchange.bind and their opposites. What is not there need not be unbound: that succeeds.

use super::direct_reply::is_reply_name;
use super::errors::{self, QueueIn};
use super::topology::{ExchangeSlot, Target, Topology};
use super::{Context, Vhost};
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use crate::queue::ChannelSlot;
use crate::vhost::command::Reply;
use std::sync::Arc;

/// The binding a client wants to add or remove.
pub(super) struct Asked {
    pub(super) add: bool,
    pub(super) binding_key: Arc<str>,
    pub(super) arguments: Table,
    pub(super) nowait: bool,
    /// The answer if the source is a topic exchange.
    pub(super) topic_refusal: Option<Box<ChannelError>>,
}

impl Topology {
    fn is_bound(&self, source: ExchangeSlot, target: Target, asked: &Asked) -> bool {
        let record = self.exchanges.get(source);
        record.is_some_and(|record| record.routes.contains(&asked.binding_key, &asked.arguments, target))
    }
}

impl Vhost {
    pub(super) fn bind_queue(
        &mut self,
        slot: ChannelSlot,
        exchange: &Arc<str>,
        queue: &Arc<str>,
        mut asked: Asked,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let name = self.queue_name(slot, queue)?;
        if is_reply_name(&name) {
            return Err(errors::bound_reply_queue());
        }
        if queue.is_empty() && asked.binding_key.is_empty() {
            asked.binding_key = Arc::clone(&name);
        }
        if exchange.is_empty() {
            return Err(errors::default_exchange());
        }
        let source = self.topology.exchange_named(exchange);
        self.refuse_topic(exchange, asked.topic_refusal.take())?;
        let target = self.topology.queue_named(&name);
        if asked.add && source.is_none() {
            return Err(self.no_exchange(exchange));
        }
        if let Some(target) = target {
            let bound = |source| self.topology.is_bound(source, Target::Queue(target), &asked);
            if let Some(source) = source.filter(|_| asked.add) {
                self.topology.check_binding(source, target, &asked.binding_key, &asked.arguments)?;
            }
            // Who unbinds what is not bound succeeds, also at a queue that is another's.
            if asked.add || source.is_some_and(bound) {
                self.check_open_to(slot, target)?;
            }
        } else if asked.add {
            return Err(errors::not_found(QueueIn(&name, &self.config.name)));
        }
        self.change_binding(source, target.map(Target::Queue), &asked, cx)?;
        let reply = if asked.add { Reply::QueueBound } else { Reply::QueueUnbound };
        self.answer(slot, asked.nowait && asked.add, reply, cx);
        Ok(())
    }

    pub(super) fn bind_exchange(
        &mut self,
        slot: ChannelSlot,
        source_name: &Arc<str>,
        destination_name: &Arc<str>,
        mut asked: Asked,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        if source_name.is_empty() || destination_name.is_empty() {
            return Err(errors::default_exchange());
        }
        let source = self.topology.exchange_named(source_name);
        self.refuse_topic(source_name, asked.topic_refusal.take())?;
        let target = self.topology.exchange_named(destination_name);
        for (name, found) in [(source_name, source), (destination_name, target)] {
            if asked.add && found.is_none() {
                return Err(self.no_exchange(name));
            }
        }
        self.change_binding(source, target.map(Target::Exchange), &asked, cx)?;
        let reply = if asked.add { Reply::ExchangeBound } else { Reply::ExchangeUnbound };
        self.answer(slot, asked.nowait, reply, cx);
        Ok(())
    }

    fn change_binding(
        &mut self,
        source: Option<ExchangeSlot>,
        target: Option<Target>,
        asked: &Asked,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let (Some(source), Some(target)) = (source, target) else { return Ok(()) };
        if !asked.add {
            let mut changes = Vec::new();
            self.has_audience();
            self.topology.unbind(source, target, &asked.binding_key, &asked.arguments, &mut changes);
            self.define(&changes, cx);
            self.announce_gone(cx);
            return Ok(());
        }
        let limit = self.settings.bindings_max;
        if self.topology.binding_count() >= limit && !self.topology.is_bound(source, target, asked) {
            return Err(errors::binding_limit(&self.config.name, limit));
        }
        let bound = self.topology.bind(source, target, &asked.binding_key, &asked.arguments)?;
        let change = bound.definition.map(|definition| definition.set());
        self.define(change.as_slice(), cx);
        if bound.is_new {
            self.announce_binding_created(source, target, (&asked.binding_key, &asked.arguments), cx);
            self.give_history(source, target, cx);
        }
        Ok(())
    }

    /// Gives a new destination what its source remembers, the oldest first.
    fn give_history(&mut self, source: ExchangeSlot, target: Target, cx: &mut Context<'_>) {
        let history = self.topology.exchanges.get(source).and_then(|record| record.history.as_ref());
        let Some(history) = history else { return };
        let messages: Vec<_> = history.messages().cloned().collect();
        for message in messages {
            let mut queues = Vec::new();
            match target {
                Target::Queue(slot) => queues.push(slot),
                Target::Exchange(slot) => {
                    self.topology.route(slot, &message, &mut queues);
                }
            }
            self.put_own(&message, queues, cx);
        }
    }
}
