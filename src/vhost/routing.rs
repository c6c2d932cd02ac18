//! From a message to its queues: the walk over bindings, each exchange entered once, each queue found once, whatever
//! paths lead there, for the message's routing key and those that its headers `CC` and `BCC` add. An exchange that has
//! no destination for a message passes it to its alternate exchange. A channel that publishes to the same place again
//! finds the way in its [`RouteCache`], as long as keys alone decide it.
//! Source: RabbitMQ `rabbit_exchange:route`.

use super::delayed::delay_ms;
use super::topology::{ExchangeSlot, QueueSlot, Target, Topology};
use crate::exchange::Label;
use crate::message::Message;
use crate::protocol::properties::Properties;
use std::sync::Arc;

/// The way of a channel's last publish, as long as nothing was bound or unbound since.
#[derive(Debug, Default)]
pub(super) struct RouteCache {
    generation: u64,
    exchange: Option<Arc<str>>,
    routing_key: Option<Arc<str>>,
    /// Where the last message was published to.
    pub(super) entered: Option<ExchangeSlot>,
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
    pub(super) fn find(&mut self, topology: &mut Topology, message: &Arc<Message>) -> Result<(), NoSuchWay> {
        if self.generation == topology.generation
            && !message.has_more_keys()
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
        self.entered = Some(exchange);
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
        message: &Arc<Message>,
        found: &mut Vec<QueueSlot>,
    ) -> bool {
        let more_keys: Vec<&str> = message.more_keys().collect();
        self.walk += 1;
        if message.exchange.is_empty() {
            for key in std::iter::once(&*message.routing_key).chain(more_keys.iter().copied()) {
                let queue = self.queue_named(key);
                self.reach(queue, found);
            }
            return more_keys.is_empty();
        }
        let mut by_key = more_keys.is_empty();
        let mut exchanges = std::mem::take(&mut self.walk_exchanges);
        let mut targets = std::mem::take(&mut self.walk_targets);
        self.enter(exchange, &mut exchanges);
        while let Some(exchange) = exchanges.pop() {
            let Some(record) = self.exchanges.get_mut(exchange) else { continue };
            by_key &= record.routes.is_by_key() && record.delays_in.is_none();
            if record.delays_in.is_some() && delay_ms(message).is_some() {
                let delays_in = record.delays_in;
                self.reach(delays_in, found);
                continue;
            }
            if let Some(history) = &mut record.history {
                by_key = false;
                history.keep(message);
            }
            let label = Label {
                routing_key: &message.routing_key,
                more_keys: &more_keys,
                properties: Properties::new(&message.properties),
                chance: &self.chance,
            };
            record.routes.route(&label, &mut |target| targets.push(target));
            if targets.is_empty()
                && let Some(alternate) = record.alternate_exchange.clone()
                && let Some(alternate) = self.exchange_named(&alternate)
            {
                self.enter(alternate, &mut exchanges);
            }
            for target in targets.drain(..) {
                match target {
                    Target::Exchange(slot) => self.enter(slot, &mut exchanges),
                    Target::Queue(slot) => self.reach(Some(slot), found),
                }
            }
        }
        self.walk_exchanges = exchanges;
        self.walk_targets = targets;
        by_key
    }

    /// Adds a queue, once in a walk.
    fn reach(&mut self, slot: Option<QueueSlot>, found: &mut Vec<QueueSlot>) {
        if let Some(slot) = slot
            && let Some(record) = self.queues.get_mut(slot)
            && record.reached_in != self.walk
        {
            record.reached_in = self.walk;
            found.push(slot);
        }
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
