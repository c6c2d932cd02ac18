//! From a message to its queues: the walk over bindings, each exchange entered once, each queue found once, whatever
//! paths lead there. A channel that publishes to the same place again finds the way in its [`RouteCache`].
//! Alternate exchanges, CC and BCC will widen the walk here.

use super::topology::{ExchangeSlot, QueueSlot, Target, Topology};
use crate::exchange::ExchangeKind;
use crate::message::Message;
use crate::protocol::properties::Properties;
use std::sync::Arc;

/// The way of a channel's last publish, as long as nothing was bound or unbound since.
#[derive(Debug, Default)]
pub(super) struct RouteCache {
    generation: u64,
    exchange: Option<Arc<str>>,
    routing_key: Option<Arc<str>>,
    pub(super) queues: Vec<QueueSlot>,
}

/// Why a message cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoSuchWay {
    NoExchange,
    InternalExchange,
}

impl RouteCache {
    /// Fills `queues` with the queues of a message that a client publishes.
    pub(super) fn find(&mut self, topology: &mut Topology, message: &Message) -> Result<(), NoSuchWay> {
        if self.generation == topology.generation
            && is_same(self.routing_key.as_ref(), &message.routing_key)
            && is_same(self.exchange.as_ref(), &message.exchange)
        {
            return Ok(());
        }
        self.generation = 0;
        let exchange = topology.exchange_named(&message.exchange).ok_or(NoSuchWay::NoExchange)?;
        if topology.exchanges.get(exchange).is_some_and(|record| record.exchange.internal) {
            return Err(NoSuchWay::InternalExchange);
        }
        self.queues.clear();
        if topology.route(exchange, message, &mut self.queues) {
            self.generation = topology.generation;
            self.exchange = Some(Arc::clone(&message.exchange));
            self.routing_key = Some(Arc::clone(&message.routing_key));
        }
        Ok(())
    }
}

fn is_same(known: Option<&Arc<str>>, name: &Arc<str>) -> bool {
    known.is_some_and(|known| Arc::ptr_eq(known, name) || known == name)
}

impl Topology {
    /// Adds the queues that `message` reaches from `exchange`. Answers whether exchange and routing key alone decided.
    pub(super) fn route(
        &mut self,
        exchange: ExchangeSlot,
        message: &Message,
        found: &mut Vec<QueueSlot>,
    ) -> bool {
        if message.exchange.is_empty() {
            found.extend(self.queue_named(&message.routing_key));
            return true;
        }
        self.walk += 1;
        let mut by_key = true;
        let mut exchanges = std::mem::take(&mut self.walk_exchanges);
        let mut targets = std::mem::take(&mut self.walk_targets);
        self.enter(exchange, &mut exchanges);
        while let Some(exchange) = exchanges.pop() {
            let Some(record) = self.exchanges.get(exchange) else { continue };
            by_key &= record.exchange.kind != ExchangeKind::Headers;
            let headers = || Properties::new(&message.properties).headers().to_table();
            record.routes.route(&message.routing_key, headers, &mut |target| targets.push(target));
            for target in targets.drain(..) {
                match target {
                    Target::Exchange(slot) => self.enter(slot, &mut exchanges),
                    Target::Queue(slot) => {
                        if let Some(record) = self.queues.get_mut(slot)
                            && record.reached_in != self.walk
                        {
                            record.reached_in = self.walk;
                            found.push(slot);
                        }
                    }
                }
            }
        }
        self.walk_exchanges = exchanges;
        self.walk_targets = targets;
        by_key
    }

    fn enter(&mut self, slot: ExchangeSlot, exchanges: &mut Vec<ExchangeSlot>) {
        if let Some(record) = self.exchanges.get_mut(slot)
            && record.reached_in != self.walk
        {
            record.reached_in = self.walk;
            exchanges.push(slot);
        }
    }
}
