//! A vhost comes back: exchanges, queues and bindings from their definitions, messages from what the log kept of each
//! queue. At a clean stop it notes what was delivered, so that the next start can say so.

use super::delayed::{exchange_of_room, waiting_room};
use super::topology::{QueueRecord, Target};
use super::{Context, PolicyLayer, Vhost, VhostConfig};
use crate::budget::Budget;
use crate::definitions::{
    BindingDefinition, Definition, DestinationKind, ExchangeDefinition, QueueDefinition,
};
use crate::exchange::{Exchange, ExchangeKind};
use crate::protocol::table::Table;
use crate::queue::{Queue, QueueArguments, QueueKind, Ranges, Redelivered, Stream, WaitingRun};
use ledgermq_storage::{QueueId, RecoveredQueue, Seq, SettledSet};
use std::collections::HashMap;
use std::fmt;

/// Why a vhost cannot come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreError {
    /// A sentence for a person.
    pub problem: String,
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for RestoreError {}

impl Vhost {
    /// A vhost as it stood: `definitions` and `queues` in any order, those of this vhost's group. `clean` says whether the
    /// last stop noted what was delivered; if not, every message may have been. The bytes of a queue are near its
    /// truth and become exact as its entries are read; its messages are exact at once.
    ///
    /// # Errors
    /// If a definition makes no sense: an unknown type, arguments that are no table, or a binding without its ends.
    pub fn restore(
        config: VhostConfig,
        definitions: impl IntoIterator<Item = Definition>,
        queues: impl IntoIterator<Item = RecoveredQueue>,
        clean: bool,
    ) -> Result<Self, RestoreError> {
        let mut vhost = Self::new(config);
        let mut messages: HashMap<QueueId, RecoveredQueue> =
            queues.into_iter().map(|queue| (queue.id, queue)).collect();
        let mut bindings = Vec::new();
        // What a policy says is in force from the first moment of what it governs.
        let (policies, others): (Vec<_>, Vec<_>) = definitions.into_iter().partition(|definition| {
            matches!(definition, Definition::Policy(_) | Definition::OperatorPolicy(_))
        });
        policies.into_iter().try_for_each(|policy| vhost.restore_policy_definition(policy))?;
        vhost.govern_exchanges();
        for definition in others {
            match definition {
                Definition::Exchange(exchange) => vhost.restore_exchange(exchange)?,
                Definition::Queue(queue) => {
                    let messages = messages.remove(&queue.queue);
                    vhost.restore_queue(queue, messages, clean)?;
                }
                Definition::Binding(binding) => bindings.push(binding),
                // What stands above vhosts is restored elsewhere; policies were first.
                Definition::Vhost(_)
                | Definition::User(_)
                | Definition::Permission(_)
                | Definition::TopicPermission(_)
                | Definition::Limits(_)
                | Definition::VhostMetadata(_)
                | Definition::VhostProtection(_)
                | Definition::GlobalParameter(_)
                | Definition::Policy(_)
                | Definition::OperatorPolicy(_) => {}
            }
        }
        bindings.into_iter().try_for_each(|binding| vhost.restore_binding(binding))?;
        vhost.topology.find_waiting_rooms();
        Ok(vhost)
    }

    /// Tells the log what was delivered and not settled.
    pub(super) fn note_delivered(&mut self, cx: &mut Context<'_>) {
        for record in self.topology.queues.values_mut().filter(|record| record.durable) {
            for (first, last, count) in record.queue.delivered_ranges() {
                cx.log.delivered(record.queue.id(), first, last, count);
            }
        }
        cx.log.flush();
    }

    fn restore_policy_definition(&mut self, definition: Definition) -> Result<(), RestoreError> {
        let (layer, policy) = match definition {
            Definition::Policy(policy) => (PolicyLayer::User, policy),
            Definition::OperatorPolicy(policy) => (PolicyLayer::Operator, policy),
            _ => return Ok(()),
        };
        self.restore_policy(layer, &policy)
            .map_err(|why| self.problem(&format!("policy '{}'", policy.name), why.trim().replace('\n', " ")))
    }

    fn restore_exchange(&mut self, definition: ExchangeDefinition) -> Result<(), RestoreError> {
        let described = format!("exchange '{}'", definition.name);
        let kind = ExchangeKind::from_name(&definition.kind)
            .ok_or_else(|| self.problem(&described, format_args!("unknown type '{}'", definition.kind)))?;
        let arguments = self.table(&described, &definition.arguments)?;
        let ExchangeDefinition { name, auto_delete, internal, .. } = definition;
        let exchange = Exchange { name: name.into(), kind, durable: true, auto_delete, internal, arguments };
        let slot = self.topology.add_exchange(exchange).map_err(|error| self.problem(&described, error))?;
        self.govern_exchange(slot);
        Ok(())
    }

    fn restore_queue(
        &mut self,
        definition: QueueDefinition,
        messages: Option<RecoveredQueue>,
        clean: bool,
    ) -> Result<(), RestoreError> {
        let described = format!("queue '{}'", definition.name);
        let arguments = self.table(&described, &definition.arguments)?;
        let declared =
            QueueArguments::parse(&arguments, &described).map_err(|error| self.problem(&described, error))?;
        let budget = self.config.budget.clone();
        let stream = (declared.kind == QueueKind::Stream).then(|| match &messages {
            Some(kept) => Stream::restore(budget.clone(), kept.next_seq, &kept.runs, &kept.settled),
            None => Stream::new(budget.clone()),
        });
        let queue = match messages {
            Some(kept) if stream.is_some() => beside_stream(definition.queue, kept.next_seq, budget),
            Some(messages) => restored(messages, clean, budget),
            None => Queue::new(definition.queue, budget),
        };
        if let Some(exchange) = exchange_of_room(&definition.name, &arguments) {
            self.topology.insert_nameless_queue(waiting_room(queue, &exchange, true));
            return Ok(());
        }
        let mut record = QueueRecord::new(definition.name.into(), queue, arguments, declared);
        record.stream = stream.map(Box::new);
        record.durable = true;
        record.auto_delete = definition.auto_delete;
        self.govern_queue(&mut record);
        self.topology.insert_queue(record);
        Ok(())
    }

    fn restore_binding(&mut self, binding: BindingDefinition) -> Result<(), RestoreError> {
        let described = format!("binding from exchange '{}' to '{}'", binding.source, binding.destination);
        let arguments = self.table(&described, &binding.arguments)?;
        let source = self.topology.exchange_named(&binding.source);
        let target = match binding.destination_kind {
            DestinationKind::Queue => self.topology.queue_named(&binding.destination).map(Target::Queue),
            DestinationKind::Exchange => {
                self.topology.exchange_named(&binding.destination).map(Target::Exchange)
            }
        };
        let (Some(source), Some(target)) = (source, target) else {
            return Err(self.problem(&described, "one of its ends is missing"));
        };
        let bound = self.topology.bind(source, target, &binding.binding_key.into(), &arguments);
        bound.map(drop).map_err(|error| self.problem(&described, error))
    }

    fn table(&self, described: &str, bytes: &[u8]) -> Result<Table, RestoreError> {
        Table::from_wire(bytes)
            .map_err(|error| self.problem(described, format_args!("bad arguments: {error}")))
    }

    fn problem(&self, described: &str, problem: impl fmt::Display) -> RestoreError {
        RestoreError { problem: format!("{described} in vhost '{}': {problem}", self.config.name) }
    }
}

/// The queue that holds the consumers of a stream, and no messages.
fn beside_stream(id: QueueId, next_seq: Seq, budget: Budget) -> Queue {
    Queue::restore(id, budget, next_seq, [], SettledSet::new(), Redelivered::None)
}

/// A queue with its messages, none of them in memory.
fn restored(messages: RecoveredQueue, clean: bool, budget: Budget) -> Queue {
    let RecoveredQueue { id, next_seq, live, runs, settled, delivered, .. } = messages;
    let redelivered = if clean {
        let ranges = delivered.iter().map(|range| (range.first, range.last)).collect();
        Redelivered::Ranges(Ranges::new(ranges))
    } else {
        Redelivered::Before(next_seq)
    };
    let runs = WaitingRun::counted(&runs, &settled, live);
    let mut queue = Queue::restore(id, budget, next_seq, runs, settled, redelivered);
    queue.restore_returns(&delivered);
    queue
}
