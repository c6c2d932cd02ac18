//! What a vhost holds as definitions files describe it: queues, exchanges and bindings with their arguments as they were
//! given. And the small questions that an HTTP caller asks before it changes something.

use super::PolicyLayer;
use super::Vhost;
use super::topology::{ExchangeRecord, ExchangeSlot, QueueRecord, Target};
use super::views::Stretch;
use crate::definitions::DestinationKind;
use crate::exchange::Route;
use crate::protocol::table::Table;
use crate::queue::QueueKind;
use std::cmp::Ordering;
use std::sync::Arc;

/// A queue as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueObject {
    /// Name.
    pub name: Arc<str>,
    /// Type.
    pub kind: QueueKind,
    /// Survives restart.
    pub durable: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// Arguments.
    pub arguments: Table,
}

/// An exchange as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeObject {
    /// Name.
    pub name: Arc<str>,
    /// Name of its type.
    pub kind: String,
    /// Survives restart.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Clients cannot publish to it.
    pub internal: bool,
    /// Arguments.
    pub arguments: Table,
}

/// A binding as it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingObject {
    /// Source exchange.
    pub source: Arc<str>,
    /// What kind of thing receives.
    pub destination_kind: DestinationKind,
    /// Its name.
    pub destination: Arc<str>,
    /// Binding key.
    pub binding_key: Arc<str>,
    /// Arguments.
    pub arguments: Table,
}

impl BindingObject {
    /// The binding of the default exchange that every queue has.
    pub fn of_default_exchange(queue: &Arc<str>) -> Self {
        Self {
            source: "".into(),
            destination_kind: DestinationKind::Queue,
            destination: Arc::clone(queue),
            binding_key: Arc::clone(queue),
            arguments: Table::default(),
        }
    }

    /// By source, destination, key and arguments: two that are not the same have an order.
    pub fn order(&self, other: &Self) -> Ordering {
        self.sorted_by().cmp(&other.sorted_by())
    }

    fn sorted_by(&self) -> (&str, &str, u8, &str, &[u8]) {
        let Self { source, destination_kind, destination, binding_key, arguments } = self;
        (source, destination, *destination_kind as u8, binding_key, arguments.as_bytes())
    }
}

/// Where a stretch of the bindings of an exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingPlace {
    target: Target,
    binding_key: Arc<str>,
}

/// Something that has a name in a vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A queue.
    Queue(Arc<str>),
    /// An exchange.
    Exchange(Arc<str>),
    /// A policy.
    Policy(PolicyLayer, Arc<str>),
}

impl Vhost {
    /// The queues of a stretch that belong to no connection, and where the next stretch begins.
    pub(super) fn queue_objects(&self, stretch: Stretch) -> (Vec<QueueObject>, Option<usize>) {
        let (records, next) = self.topology.queues.stretch(stretch.from, stretch.places);
        (records.filter(|record| is_lasting(record)).map(queue_object).collect(), next)
    }

    /// The exchanges of a stretch that were made, and where the next stretch begins.
    pub(super) fn exchange_objects(&self, stretch: Stretch) -> (Vec<ExchangeObject>, Option<usize>) {
        let (records, next) = self.topology.exchanges.stretch(stretch.from, stretch.places);
        let made = records.filter(|record| {
            let name = &record.exchange.name;
            !name.is_empty() && !name.starts_with(PREDECLARED)
        });
        (made.map(exchange_object).collect(), next)
    }

    /// At least so many bindings of an exchange behind a place, or from the first on, and where the next stretch begins; of
    /// them `only_lasting` leaves out those to queues that belong to a connection.
    pub(super) fn bindings_behind(
        &self,
        source: &str,
        behind: Option<BindingPlace>,
        (only_lasting, count): (bool, usize),
    ) -> (Vec<BindingObject>, Option<BindingPlace>) {
        let slot = self.topology.exchange_named(source);
        let Some(record) = slot.and_then(|slot| self.topology.exchanges.get(slot)) else {
            return (Vec::new(), None);
        };
        let place = behind.map(|BindingPlace { target, binding_key }| (target, binding_key));
        let routes = record.routes.bindings_behind(place, count);
        let last = routes.last().filter(|_| routes.len() >= count);
        let next = last.map(|route| BindingPlace {
            target: route.destination,
            binding_key: Arc::clone(route.binding_key),
        });
        let wanted = routes.iter().filter(|route| !only_lasting || self.lasts(route.destination));
        (wanted.filter_map(|route| self.binding_object(record, route)).collect(), next)
    }

    /// The bindings from an exchange to a queue or another exchange; none if one of them is not there. Of the default
    /// exchange, which binds every queue by its name, that one.
    pub fn bindings_between(
        &self,
        source: &str,
        kind: DestinationKind,
        destination: &str,
    ) -> Vec<BindingObject> {
        let target = self.target_named(kind, destination);
        let source = self.topology.exchange_named(source);
        let Some((source, target)) = source.zip(target) else { return Vec::new() };
        self.bindings_from_to(source, target).collect()
    }

    /// The bindings to a queue or an exchange, that of the default exchange left out.
    pub(super) fn bindings_to(&self, kind: DestinationKind, name: &str) -> Vec<BindingObject> {
        let Some(target) = self.target_named(kind, name) else { return Vec::new() };
        let sources = self.topology.sources_of(target).iter();
        sources.flat_map(|source| self.bindings_from_to(*source, target)).collect()
    }

    /// Whether there is such a thing.
    pub fn holds(&self, named: &Named) -> bool {
        match named {
            Named::Queue(name) => self.topology.queue_named(name).is_some(),
            Named::Exchange(name) => self.topology.exchange_named(name).is_some(),
            Named::Policy(layer, name) => self.policies.has(*layer, name),
        }
    }

    fn bindings_from_to(&self, source: ExchangeSlot, target: Target) -> impl Iterator<Item = BindingObject> {
        let record = self.topology.exchanges.get(source).into_iter();
        record.flat_map(move |record| {
            record.routes.bindings_to(target).filter_map(|route| self.binding_object(record, &route))
        })
    }

    /// A binding of this exchange, if what it leads to is there.
    pub(super) fn binding_object(
        &self,
        source: &ExchangeRecord,
        route: &Route<'_, Target>,
    ) -> Option<BindingObject> {
        let (destination_kind, destination) = self.topology.target_name(route.destination)?;
        Some(BindingObject {
            source: Arc::clone(&source.exchange.name),
            destination_kind,
            destination: Arc::clone(destination),
            binding_key: Arc::clone(route.binding_key),
            arguments: route.arguments.clone(),
        })
    }

    fn target_named(&self, kind: DestinationKind, name: &str) -> Option<Target> {
        match kind {
            DestinationKind::Queue => self.topology.queue_named(name).map(Target::Queue),
            DestinationKind::Exchange => self.topology.exchange_named(name).map(Target::Exchange),
        }
    }

    fn lasts(&self, target: Target) -> bool {
        match target {
            Target::Exchange(_) => true,
            Target::Queue(slot) => self.topology.queues.get(slot).is_some_and(is_lasting),
        }
    }
}

/// Begins the names of exchanges that are always there.
const PREDECLARED: &str = "amq.";

/// Whether it is a queue that clients made and that goes with no connection.
fn is_lasting(record: &QueueRecord) -> bool {
    record.owner.is_none() && record.delays_for.is_none()
}

fn exchange_object(record: &ExchangeRecord) -> ExchangeObject {
    let exchange = &record.exchange;
    ExchangeObject {
        name: Arc::clone(&exchange.name),
        kind: exchange.kind.name().into(),
        durable: exchange.durable,
        auto_delete: exchange.auto_delete,
        internal: exchange.internal,
        arguments: exchange.arguments.clone(),
    }
}

fn queue_object(record: &QueueRecord) -> QueueObject {
    QueueObject {
        name: Arc::clone(&record.name),
        kind: record.declared.kind,
        durable: record.durable,
        auto_delete: record.auto_delete,
        arguments: record.arguments.clone(),
    }
}
