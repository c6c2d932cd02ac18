//! What a vhost consists of: its exchanges, its queues, and the bindings between them, found by name or by number.
//! Says which definitions a change touches; writing them is the caller's business. A binding is durable if both its ends
//! are. `generation` grows with every change that can lead a message elsewhere.
//! Invariants: `sources` lists an exchange under a target at least while it has a binding to it; `binding_count` is what the
//! routes of all exchanges hold.

use super::command::ConnectionId;
use super::consume::PendingGet;
use super::lifetime::Life;
use super::policy::Governing;
use super::slab::{Slab, slab_key};
use crate::definitions::{
    BindingDefinition, Definition, DefinitionChange, DestinationKind, ExchangeDefinition, QueueDefinition,
};
use crate::exchange::{
    BoundTo, Chance, EVENT_EXCHANGE, Exchange, ExchangeKind, History, PREDECLARED, Routes,
};
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use crate::queue::{Queue, QueueArguments, QueueKind, QueueSettings, QueueValues, Serving, Stream};
use ledgermq_storage::QueueId;
use std::collections::{HashMap, VecDeque};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    Queue(QueueSlot),
    Exchange(ExchangeSlot),
}

/// A queue with what the vhost knows of it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, two of them marks of list membership")]
pub(super) struct QueueRecord {
    pub(super) name: Arc<str>,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    /// The connection it is exclusive to.
    pub(super) owner: Option<ConnectionId>,
    pub(super) arguments: Table,
    /// The arguments, parsed.
    pub(super) declared: QueueArguments,
    /// What is in force: the arguments, and what policies say beside them. Behaviours read it here; whoever changes it
    /// calls [`super::Vhost::settings_changed`].
    pub(super) settings: QueueSettings,
    pub(super) governing: Governing,
    pub(super) queue: Queue,
    /// What makes it a stream. Its messages are here; its consumers are in `queue` like those of others.
    pub(super) stream: Option<Box<Stream>>,
    /// Calls of basic.get that wait for the disk, oldest first. They come before consumers.
    pub(super) gets: VecDeque<PendingGet>,
    /// In the list of queues to be looked at.
    pub(super) is_runnable: bool,
    /// In the list of queues that wait for the log.
    pub(super) is_waiting: bool,
    /// The walk that last reached it.
    pub(super) reached_in: u64,
    pub(super) life: Life,
    /// The exchange whose messages wait here for their time. Such a queue has no name for clients.
    pub(super) delays_for: Option<Arc<str>>,
}

/// An exchange with its bindings.
#[derive(Debug)]
pub(super) struct ExchangeRecord {
    pub(super) exchange: Exchange,
    /// Where messages go that no binding takes: what the arguments say, or else a policy.
    pub(super) alternate_exchange: Option<Arc<str>>,
    pub(super) governing: Governing,
    pub(super) routes: Routes<Target>,
    /// The last messages, if it keeps any.
    pub(super) history: Option<History>,
    /// Where messages wait for their time, if it lets them.
    pub(super) delays_in: Option<QueueSlot>,
    /// The walk that last reached it.
    pub(super) reached_in: u64,
}

/// What an observer hears of when it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Binding {
        source: Arc<str>,
        kind: DestinationKind,
        destination: Arc<str>,
        binding_key: Arc<str>,
        arguments: Table,
    },
    Exchange(Arc<str>),
}

/// What became of a wish to bind.
#[derive(Debug)]
pub(super) struct Bound {
    /// It was not there before.
    pub(super) is_new: bool,
    /// What to write, if it is new and durable.
    pub(super) definition: Option<Definition>,
}

/// The argument of an exchange that names its alternate.
pub(super) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

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

impl QueueRecord {
    /// A queue nobody waits at yet.
    pub(super) fn new(name: Arc<str>, mut queue: Queue, arguments: Table, declared: QueueArguments) -> Self {
        let settings = declared.under(&QueueValues::default());
        queue.rank(settings.priority_max.unwrap_or(0));
        queue.serve(match (settings.single_active_consumer, settings.kind) {
            (false, _) => Serving::All,
            (true, QueueKind::Classic) => Serving::One,
            (true, QueueKind::Quorum | QueueKind::Stream) => Serving::OneByPriority,
        });
        Self {
            name,
            durable: false,
            auto_delete: false,
            owner: None,
            arguments,
            declared,
            settings,
            governing: Governing::default(),
            queue,
            stream: None,
            gets: VecDeque::new(),
            is_runnable: false,
            is_waiting: false,
            reached_in: 0,
            life: Life::default(),
            delays_for: None,
        }
    }

    pub(super) fn definition(&self) -> Definition {
        Definition::Queue(QueueDefinition {
            name: self.name.to_string(),
            queue: self.queue.id(),
            auto_delete: self.auto_delete,
            arguments: self.arguments.as_bytes().to_vec(),
        })
    }

    /// Whether this connection may do more with it than publish.
    pub(super) fn is_open_to(&self, connection: ConnectionId) -> bool {
        self.owner.is_none_or(|owner| owner == connection)
    }

    /// Whether something is to be done when something happened to it.
    pub(super) fn wants_a_look(&self) -> bool {
        self.life.is_tended
            || self.has_demand()
            || self.stream.as_ref().is_some_and(|stream| stream.wants_trim())
    }

    /// Whether somebody waits for its messages.
    pub(super) fn has_demand(&self) -> bool {
        self.queue.has_ready_consumer() || !self.gets.is_empty()
    }
}

impl ExchangeRecord {
    pub(super) fn definition(&self) -> Definition {
        let exchange = &self.exchange;
        Definition::Exchange(ExchangeDefinition {
            name: exchange.name.to_string(),
            kind: exchange.kind.name().into(),
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments: exchange.arguments.as_bytes().to_vec(),
        })
    }
}

/// The alternate exchange that the arguments of exchange.declare name.
pub(super) fn declared_alternate(arguments: &Table) -> Option<Arc<str>> {
    Some(arguments.get(ALTERNATE_EXCHANGE)?.as_str()?.into())
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

    /// Removes a binding, and its source if that was to go with its last one. Adds the definitions to remove.
    pub(super) fn unbind(
        &mut self,
        source: ExchangeSlot,
        target: Target,
        binding_key: &str,
        arguments: &Table,
        changes: &mut Vec<DefinitionChange>,
    ) {
        let Some(record) = self.exchanges.get_mut(source) else { return };
        if !record.routes.unbind(binding_key, arguments, target) {
            return;
        }
        self.generation += 1;
        self.unbound(source, target, (binding_key, arguments), changes);
        self.remove_if_unbound(source, changes);
    }

    /// Removes a queue with its bindings. Adds the definitions to remove, but for the queue's own.
    pub(super) fn remove_queue(
        &mut self,
        slot: QueueSlot,
        changes: &mut Vec<DefinitionChange>,
    ) -> Option<QueueRecord> {
        self.remove_bindings_to(Target::Queue(slot), changes);
        let record = self.queues.remove(slot)?;
        self.queue_names.remove(&record.name);
        self.queue_ids.remove(&record.queue.id());
        self.last_id = None;
        self.generation += 1;
        Some(record)
    }

    /// Removes an exchange with its bindings, and those exchanges that were to go with their last binding. Adds the
    /// definitions to remove.
    pub(super) fn remove_exchange(&mut self, slot: ExchangeSlot, changes: &mut Vec<DefinitionChange>) {
        let mut doomed = vec![slot];
        while let Some(slot) = doomed.pop() {
            if self.exchanges.get(slot).is_none() {
                continue;
            }
            self.remove_bindings_from(slot, changes);
            doomed.extend(self.unbind_everywhere(Target::Exchange(slot), changes));
            let Some(record) = self.exchanges.remove(slot) else { continue };
            self.exchange_names.remove(&record.exchange.name);
            if self.observed {
                self.gone.push(Gone::Exchange(Arc::clone(&record.exchange.name)));
            }
            self.orphans.extend(record.delays_in);
            if record.exchange.durable {
                changes.push(record.definition().removed());
            }
        }
        self.generation += 1;
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

    fn remove_bindings_to(&mut self, target: Target, changes: &mut Vec<DefinitionChange>) {
        for source in self.unbind_everywhere(target, changes) {
            self.remove_exchange(source, changes);
        }
    }

    /// Removes every binding to a target; answers the exchanges that are to go with them.
    fn unbind_everywhere(
        &mut self,
        target: Target,
        changes: &mut Vec<DefinitionChange>,
    ) -> Vec<ExchangeSlot> {
        let mut doomed = Vec::new();
        for source in self.sources.remove(&target).unwrap_or_default() {
            let Some(record) = self.exchanges.get_mut(source) else { continue };
            let removed = record.routes.remove_destination(target);
            if !removed.is_empty() && record.exchange.auto_delete && record.routes.is_empty() {
                doomed.push(source);
            }
            for (binding_key, arguments) in removed {
                self.unbound(source, target, (&binding_key, &arguments), changes);
            }
        }
        doomed
    }

    fn remove_bindings_from(&mut self, source: ExchangeSlot, changes: &mut Vec<DefinitionChange>) {
        let Some(record) = self.exchanges.get_mut(source) else { return };
        let routes = std::mem::replace(&mut record.routes, Routes::new(ExchangeKind::Fanout));
        for route in routes.bindings() {
            self.unbound(source, route.destination, (route.binding_key, route.arguments), changes);
            self.forget_source(route.destination, source);
        }
    }

    fn remove_if_unbound(&mut self, slot: ExchangeSlot, changes: &mut Vec<DefinitionChange>) {
        let unbound = self
            .exchanges
            .get(slot)
            .is_some_and(|record| record.exchange.auto_delete && record.routes.is_empty());
        if unbound {
            self.remove_exchange(slot, changes);
        }
    }

    fn forget_source(&mut self, target: Target, source: ExchangeSlot) {
        if let Some(sources) = self.sources.get_mut(&target) {
            sources.retain(|&other| other != source);
            if sources.is_empty() {
                self.sources.remove(&target);
            }
        }
    }

    /// A binding is gone, its ends are still there: adds the definition to remove, and notes it for observers.
    fn unbound(
        &mut self,
        source: ExchangeSlot,
        target: Target,
        (binding_key, arguments): (&str, &Table),
        changes: &mut Vec<DefinitionChange>,
    ) {
        self.binding_count -= 1;
        let definition = self.binding_definition(source, target, binding_key, arguments);
        changes.extend(definition.map(|gone| gone.removed()));
        if self.observed
            && let Some(source) = self.exchanges.get(source)
            && let Some((kind, destination)) = self.target_name(target)
        {
            let gone = Gone::Binding {
                source: Arc::clone(&source.exchange.name),
                kind,
                destination: Arc::clone(destination),
                binding_key: binding_key.into(),
                arguments: arguments.clone(),
            };
            self.gone.push(gone);
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
