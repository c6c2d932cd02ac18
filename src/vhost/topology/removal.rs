//! What goes when a queue, an exchange or a binding goes: bindings with their ends, and exchanges that were to go with their
//! last binding. Adds the definitions to remove to the changes of the caller.

use super::{ExchangeSlot, QueueRecord, QueueSlot, Target, Topology};
use crate::definitions::{DefinitionChange, DestinationKind};
use crate::exchange::{ExchangeKind, Routes};
use crate::protocol::table::Table;
use std::sync::Arc;

/// What an observer hears of when it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::vhost) enum Gone {
    Binding {
        source: Arc<str>,
        kind: DestinationKind,
        destination: Arc<str>,
        binding_key: Arc<str>,
        arguments: Table,
    },
    Exchange(Arc<str>),
}

impl Topology {
    /// Removes a binding, and its source if that was to go with its last one. Adds the definitions to remove.
    pub(in crate::vhost) fn unbind(
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
    pub(in crate::vhost) fn remove_queue(
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
    pub(in crate::vhost) fn remove_exchange(
        &mut self,
        slot: ExchangeSlot,
        changes: &mut Vec<DefinitionChange>,
    ) {
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
}
