//! What a vhost holds as definitions files describe it: queues, exchanges and bindings with their arguments as they were
//! given, and its policies. And the small questions that an HTTP caller asks before it changes something.

use super::PolicyLayer;
use super::Vhost;
use super::topology::{QueueRecord, Target};
use crate::definitions::{DestinationKind, PolicyDefinition};
use crate::protocol::table::Table;
use crate::queue::QueueKind;
use std::sync::Arc;

/// Everything that a definitions file says of a vhost, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostObjects {
    /// Queues that belong to no connection.
    pub queues: Vec<QueueObject>,
    /// Exchanges that were made.
    pub exchanges: Vec<ExchangeObject>,
    /// Bindings that were made, between any ends.
    pub bindings: Vec<BindingObject>,
    /// Policies of users.
    pub policies: Vec<PolicyDefinition>,
    /// Policies of operators.
    pub operator_policies: Vec<PolicyDefinition>,
}

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
    /// Everything that a definitions file says of this vhost.
    pub fn objects(&self) -> VhostObjects {
        let mut objects = VhostObjects {
            queues: self.lasting_queues().map(queue_object).collect(),
            policies: self.policies.definitions(PolicyLayer::User),
            operator_policies: self.policies.definitions(PolicyLayer::Operator),
            ..VhostObjects::default()
        };
        for (_, record) in self.topology.exchanges.iter() {
            let exchange = &record.exchange;
            if !exchange.name.is_empty() && !exchange.name.starts_with(PREDECLARED) {
                objects.exchanges.push(ExchangeObject {
                    name: Arc::clone(&exchange.name),
                    kind: exchange.kind.name().into(),
                    durable: exchange.durable,
                    auto_delete: exchange.auto_delete,
                    internal: exchange.internal,
                    arguments: exchange.arguments.clone(),
                });
            }
        }
        objects.bindings = self.bindings_where(|_, target| match target {
            Target::Exchange(_) => true,
            Target::Queue(slot) => self.topology.queues.get(slot).is_some_and(|queue| queue.owner.is_none()),
        });
        objects.queues.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        objects.exchanges.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        objects
    }

    /// The bindings from an exchange to a queue or another exchange; none if one of them is not there. Of the default
    /// exchange, which binds every queue by its name, that one.
    pub fn bindings_between(
        &self,
        source: &str,
        kind: DestinationKind,
        destination: &str,
    ) -> Vec<BindingObject> {
        let target = match kind {
            DestinationKind::Queue => self.topology.queue_named(destination).map(Target::Queue),
            DestinationKind::Exchange => self.topology.exchange_named(destination).map(Target::Exchange),
        };
        let Some(target) = target else { return Vec::new() };
        self.bindings_where(|from, to| *from == *source && to == target)
    }

    /// Whether there is such a thing.
    pub fn holds(&self, named: &Named) -> bool {
        match named {
            Named::Queue(name) => self.topology.queue_named(name).is_some(),
            Named::Exchange(name) => self.topology.exchange_named(name).is_some(),
            Named::Policy(layer, name) => self.policies.has(*layer, name),
        }
    }

    fn lasting_queues(&self) -> impl Iterator<Item = &QueueRecord> {
        self.topology
            .queues
            .iter()
            .map(|(_, record)| record)
            .filter(|record| record.owner.is_none() && record.delays_for.is_none())
    }

    fn bindings_where(&self, is_wanted: impl Fn(&str, Target) -> bool) -> Vec<BindingObject> {
        let mut bindings = Vec::new();
        for (_, record) in self.topology.exchanges.iter() {
            let source = &record.exchange.name;
            for route in record.routes.bindings() {
                if !is_wanted(source, route.destination) {
                    continue;
                }
                let Some((destination_kind, name)) = self.topology.target_name(route.destination) else {
                    continue;
                };
                bindings.push(BindingObject {
                    source: Arc::clone(source),
                    destination_kind,
                    destination: Arc::clone(name),
                    binding_key: route.binding_key.as_ref().into(),
                    arguments: route.arguments.clone(),
                });
            }
        }
        let key = |binding: &BindingObject| {
            let BindingObject { source, destination_kind, destination, binding_key, arguments } = binding;
            let (source, destination, binding_key) =
                (Arc::clone(source), Arc::clone(destination), Arc::clone(binding_key));
            (source, *destination_kind as u8, destination, binding_key, arguments.as_bytes().to_vec())
        };
        bindings.sort_by_cached_key(key);
        bindings
    }
}

/// Begins the names of exchanges that are always there.
const PREDECLARED: &str = "amq.";

fn queue_object(record: &QueueRecord) -> QueueObject {
    QueueObject {
        name: Arc::clone(&record.name),
        kind: record.declared.kind,
        durable: record.durable,
        auto_delete: record.auto_delete,
        arguments: record.arguments.clone(),
    }
}
