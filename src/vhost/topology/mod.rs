//! What a vhost consists of: its exchanges, its queues, and the bindings between them, found by name or by number.
//! Says which definitions a change touches; writing them is the caller's business. A binding is durable if both its ends
//! are. `generation` grows with every change that can lead a message elsewhere.
//! Invariants: `sources` lists an exchange under a target at least while it has a binding to it; `binding_count` is what the
//! routes of all exchanges hold.

mod records;
mod removal;

pub(super) use records::{ALTERNATE_EXCHANGE, ExchangeRecord, QueueRecord, declared_alternate};
pub(super) use removal::Gone;

use super::counts::ExchangeCounts;
use super::policy::Governing;
use super::slab::{Slab, slab_key};
use crate::definitions::{BindingDefinition, Definition, DestinationKind};
use crate::exchange::{
    BoundTo, Chance, EVENT_EXCHANGE, Exchange, ExchangeKind, History, PREDECLARED, Routes,
};
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use ledgermq_storage::QueueId;
use std::collections::HashMap;
use std::sync::Arc;

/// A queue of this vhost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct QueueSlot(pub(super) u32);

/// An exchange of this vhost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ExchangeSlot(pub(super) u32);

slab_key!(QueueSlot);
slab_key!(ExchangeSlot);

/// What a binding leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Target {
    Queue(QueueSlot),
    Exchange(ExchangeSlot),
}

/// What became of a wish to bind.
#[derive(Debug)]
pub(super) struct Bound {
    /// It was not there before.
    pub(super) is_new: bool,
    /// What to write, if it is new and durable.
    pub(super) definition: Option<Definition>,
}

/// Exchanges, queues, bindings.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) queues: Slab<QueueSlot, QueueRecord>,
    pub(super) exchanges: Slab<ExchangeSlot, ExchangeRecord>,
    queue_names: HashMap<Arc<str>, QueueSlot>,
    exchange_names: HashMap<Arc<str>, ExchangeSlot>,
    queue_ids: HashMap<QueueId, QueueSlot, foldhash::fast::FixedState>,
    last_id: Option<(QueueId, QueueSlot)>,
    sources: HashMap<Target, Vec<ExchangeSlot>>,
    binding_count: u64,
    pub(super) generation: u64,
    pub(super) walk: u64,
    /// For exchanges that choose by it.
    pub(super) chance: Chance,
    /// Somebody wants to know what goes.
    pub(super) observed: bool,
    /// What went since it was last taken, while observed.
    pub(super) gone: Vec<Gone>,
    pub(super) walk_exchanges: Vec<ExchangeSlot>,
    pub(super) walk_targets: Vec<Target>,
    /// Queues whose exchange is gone, to be removed.
    pub(super) orphans: Vec<QueueSlot>,
}

impl Topology {
    /// The predeclared exchanges and nothing else. `seed` is for exchanges that choose by chance; `has_events` says whether
    /// the event exchange is here.
    pub(super) fn new(seed: u64, has_events: bool) -> Self {
        let mut topology = Self {
            queues: Slab::default(),
            exchanges: Slab::default(),
            queue_names: HashMap::new(),
            exchange_names: HashMap::new(),
            queue_ids: HashMap::default(),
            last_id: None,
            sources: HashMap::new(),
            binding_count: 0,
            generation: 1,
            walk: 0,
            chance: Chance::new(seed),
            observed: false,
            gone: Vec::new(),
            walk_exchanges: Vec::new(),
            walk_targets: Vec::new(),
            orphans: Vec::new(),
        };
        for predeclared in PREDECLARED.iter().chain(has_events.then_some(&EVENT_EXCHANGE)) {
            let exchange = Exchange {
                name: predeclared.name.into(),
                kind: predeclared.kind,
                durable: true,
                auto_delete: false,
                internal: predeclared.internal,
                arguments: Table::default(),
            };
            topology.insert_exchange(exchange, Routes::new(predeclared.kind), None);
        }
        topology
    }

    /// How many queues there are.
    pub(super) fn queue_count(&self) -> u64 {
        self.queue_names.len() as u64
    }

    /// How many exchanges there are, the predeclared ones included.
    pub(super) fn exchange_count(&self) -> u64 {
        self.exchange_names.len() as u64
    }

    /// How many bindings there are.
    pub(super) fn binding_count(&self) -> u64 {
        self.binding_count
    }

    pub(super) fn queue_named(&self, name: &str) -> Option<QueueSlot> {
        self.queue_names.get(name).copied()
    }

    pub(super) fn exchange_named(&self, name: &str) -> Option<ExchangeSlot> {
        self.exchange_names.get(name).copied()
    }

    pub(super) fn queue_numbered(&mut self, id: QueueId) -> Option<QueueSlot> {
        if let Some((known, slot)) = self.last_id
            && known == id
        {
            return Some(slot);
        }
        let slot = self.queue_ids.get(&id).copied()?;
        self.last_id = Some((id, slot));
        Some(slot)
    }

    pub(super) fn insert_queue(&mut self, record: QueueRecord) -> QueueSlot {
        let (name, id) = (Arc::clone(&record.name), record.queue.id());
        let slot = self.queues.insert(record);
        self.queue_names.insert(name, slot);
        self.queue_ids.insert(id, slot);
        self.generation += 1;
        slot
    }

    /// Adds a queue that clients cannot name.
    pub(super) fn insert_nameless_queue(&mut self, record: QueueRecord) -> QueueSlot {
        let id = record.queue.id();
        let slot = self.queues.insert(record);
        self.queue_ids.insert(id, slot);
        slot
    }

    /// After a start: ties the queues of delayed exchanges to these. One whose exchange is gone is to go as well.
    pub(super) fn find_waiting_rooms(&mut self) {
        let rooms = self.queues.iter().filter_map(|(slot, record)| Some((slot, record.delays_for.clone()?)));
        for (room, exchange) in rooms.collect::<Vec<_>>() {
            let exchange = self.exchange_named(&exchange).and_then(|slot| self.exchanges.get_mut(slot));
            match exchange.filter(|record| record.exchange.kind == ExchangeKind::Delayed) {
                Some(record) => record.delays_in = Some(room),
                None => self.orphans.push(room),
            }
        }
    }

    /// Adds an exchange as it was declared.
    ///
    /// # Errors
    /// 406 if its arguments mean nothing to its type; nothing is changed then.
    pub(super) fn add_exchange(&mut self, exchange: Exchange) -> Result<ExchangeSlot, ChannelError> {
        let routes = Routes::declared(exchange.kind, &exchange.arguments)?;
        let keeps = exchange.kind == ExchangeKind::RecentHistory;
        let history = if keeps { Some(History::parse(&exchange.arguments)?) } else { None };
        Ok(self.insert_exchange(exchange, routes, history))
    }

    fn insert_exchange(
        &mut self,
        exchange: Exchange,
        routes: Routes<Target>,
        history: Option<History>,
    ) -> ExchangeSlot {
        let name = Arc::clone(&exchange.name);
        let alternate_exchange = declared_alternate(&exchange.arguments);
        let governing = Governing::default();
        let record = ExchangeRecord {
            exchange,
            alternate_exchange,
            governing,
            routes,
            history,
            delays_in: None,
            reached_in: 0,
            counts: ExchangeCounts::default(),
        };
        let slot = self.exchanges.insert(record);
        self.exchange_names.insert(name, slot);
        self.generation += 1;
        slot
    }

    /// Adds a binding.
    ///
    /// # Errors
    /// 406 if key or arguments mean nothing to the exchange.
    pub(super) fn bind(
        &mut self,
        source: ExchangeSlot,
        target: Target,
        binding_key: &Arc<str>,
        arguments: &Table,
    ) -> Result<Bound, ChannelError> {
        let nothing = Bound { is_new: false, definition: None };
        let (name, queue_type) = match target {
            Target::Queue(slot) => {
                let Some(queue) = self.queues.get(slot) else { return Ok(nothing) };
                (Arc::clone(&queue.name), Some(queue.settings.kind.module()))
            }
            Target::Exchange(slot) => {
                let Some(exchange) = self.exchanges.get(slot) else { return Ok(nothing) };
                (Arc::clone(&exchange.exchange.name), None)
            }
        };
        let Some(record) = self.exchanges.get_mut(source) else { return Ok(nothing) };
        let to = BoundTo { destination: target, name: &name, queue_type };
        if !record.routes.bind(binding_key, arguments, to)? {
            return Ok(nothing);
        }
        let sources = self.sources.entry(target).or_default();
        if !sources.contains(&source) {
            sources.push(source);
        }
        self.binding_count += 1;
        self.generation += 1;
        let definition = self.binding_definition(source, target, binding_key, arguments);
        Ok(Bound { is_new: true, definition })
    }

    /// Whether a queue could be bound this way: RabbitMQ tells of a binding that means nothing before it tells of a queue
    /// that is another's.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub(super) fn check_binding(
        &self,
        source: ExchangeSlot,
        queue: QueueSlot,
        binding_key: &str,
        arguments: &Table,
    ) -> Result<(), ChannelError> {
        let (Some(record), Some(bound)) = (self.exchanges.get(source), self.queues.get(queue)) else {
            return Ok(());
        };
        let queue_type = Some(bound.settings.kind.module());
        let to = BoundTo { destination: Target::Queue(queue), name: &bound.name, queue_type };
        record.routes.accepts(binding_key, arguments, &to)
    }

    /// Exchanges that have bindings to this, or had some.
    pub(super) fn sources_of(&self, target: Target) -> &[ExchangeSlot] {
        self.sources.get(&target).map(Vec::as_slice).unwrap_or_default()
    }

    /// The name of what a binding leads to.
    pub(super) fn target_name(&self, target: Target) -> Option<(DestinationKind, &Arc<str>)> {
        match target {
            Target::Queue(slot) => Some((DestinationKind::Queue, &self.queues.get(slot)?.name)),
            Target::Exchange(slot) => {
                Some((DestinationKind::Exchange, &self.exchanges.get(slot)?.exchange.name))
            }
        }
    }

    /// The definition of a binding, if both its ends are durable.
    fn binding_definition(
        &self,
        source: ExchangeSlot,
        target: Target,
        binding_key: &str,
        arguments: &Table,
    ) -> Option<Definition> {
        let source = &self.exchanges.get(source)?.exchange;
        let target_is_durable = match target {
            Target::Queue(slot) => self.queues.get(slot)?.durable,
            Target::Exchange(slot) => self.exchanges.get(slot)?.exchange.durable,
        };
        if !source.durable || !target_is_durable {
            return None;
        }
        let (destination_kind, destination) = self.target_name(target)?;
        Some(Definition::Binding(BindingDefinition {
            source: source.name.to_string(),
            destination_kind,
            destination: destination.to_string(),
            binding_key: binding_key.into(),
            arguments: arguments.as_bytes().to_vec(),
        }))
    }
}
