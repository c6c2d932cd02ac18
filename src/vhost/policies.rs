//! What policies do to the queues and exchanges of a vhost: which govern them when they are declared or come back, and
//! what changes for those that stand when a policy comes or goes.

use super::channels::Until;
use super::event_terms;
use super::input::{AdminId, AdminReply, Effect};
use super::policy::{Governing, Kind, Policy, PolicyLayer};
use super::policy_keys;
use super::report::PolicyReport;
use super::topology::{ExchangeRecord, ExchangeSlot, QueueRecord, QueueSlot, declared_alternate};
use super::{Context, Vhost};
use crate::definitions::{DefinitionChange, PolicyDefinition};
use crate::protocol::value::Value;

impl Vhost {
    /// The settings in force of a queue ([`QueueRecord::settings`]) have just changed: what it holds must be brought into
    /// line, e.g. messages that are too old or too many now. Called once for each queue whose settings differ, after they
    /// were replaced; not for a queue that is being declared.
    pub(super) fn settings_changed(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        self.apply_settings(slot, cx);
    }

    /// Sets a policy, for all that stands and all that comes; answers once it is durable.
    pub(super) fn answer_set_policy(
        &mut self,
        id: AdminId,
        layer: PolicyLayer,
        definition: &PolicyDefinition,
        cx: &mut Context<'_>,
    ) {
        let policy = match Policy::parse(definition, layer) {
            Ok(policy) => policy,
            Err(why) => return cx.effects.effects.push(Effect::Answer(id, AdminReply::Refused(why))),
        };
        let change = layer.definition(policy.to_definition()).set();
        match self.policies.set(layer, policy) {
            Ok(()) => {
                let said = event_terms::definition(&definition.definition);
                let headers = [
                    ("name", Value::text(&definition.name)),
                    ("vhost", Value::text(&self.config.name)),
                    ("pattern", Value::text(&definition.pattern)),
                    ("apply-to", Value::text(definition.apply_to.name())),
                    ("priority", Value::I64(definition.priority)),
                    ("definition", Value::Table(said.fields())),
                ];
                self.announce("policy.set", &headers, cx);
                self.policies_changed(id, change, cx);
            }
            Err(why) => cx.effects.effects.push(Effect::Answer(id, AdminReply::Refused(why))),
        }
    }

    /// Removes a policy; answers once that is durable.
    pub(super) fn answer_clear_policy(
        &mut self,
        id: AdminId,
        layer: PolicyLayer,
        name: &str,
        cx: &mut Context<'_>,
    ) {
        match self.policies.clear(layer, name) {
            Some(policy) => {
                let change = layer.definition(policy.to_definition()).removed();
                let headers = [("name", Value::text(name)), ("vhost", Value::text(&self.config.name))];
                let key = match layer {
                    PolicyLayer::User => "policy.cleared",
                    PolicyLayer::Operator => "operator.policy.cleared",
                };
                self.announce(key, &headers, cx);
                self.policies_changed(id, change, cx);
            }
            None => {
                let why = "Parameter does not exist".to_owned();
                cx.effects.effects.push(Effect::Answer(id, AdminReply::Refused(why)));
            }
        }
    }

    fn policies_changed(&mut self, id: AdminId, change: DefinitionChange, cx: &mut Context<'_>) {
        self.define(&[change], cx);
        let defined = self.defined;
        self.govern_all(cx);
        self.defer(Until::durable(defined), Effect::Answer(id, AdminReply::Done), cx);
    }

    /// A policy as it was persisted.
    ///
    /// # Errors
    /// If it cannot be one.
    pub(super) fn restore_policy(
        &mut self,
        layer: PolicyLayer,
        definition: &PolicyDefinition,
    ) -> Result<(), String> {
        let policy = Policy::parse(definition, layer)?;
        self.policies.set(layer, policy)
    }

    /// Finds the policies of a queue that is about to join the vhost, and what then is in force.
    pub(super) fn govern_queue(&self, record: &mut QueueRecord) {
        let kind = Kind::Queue(record.declared.kind);
        let governing = self.policies.governing(kind, &record.name);
        if !governing.is_none() {
            record.settings = record.declared.under(&policy_keys::queue_values(&governing.settings()));
            record.governing = governing;
        }
    }

    /// Finds the policies of an exchange that has just joined the vhost. Answers whether its alternate changed.
    pub(super) fn govern_exchange(&mut self, slot: ExchangeSlot) -> bool {
        let Some(record) = self.topology.exchanges.get_mut(slot) else { return false };
        let governing = self.policies.governing(Kind::Exchange, &record.exchange.name);
        record.is_governed_by(governing)
    }

    pub(super) fn govern_exchanges(&mut self) {
        let exchanges: Vec<_> = self.topology.exchanges.iter().map(|(slot, _)| slot).collect();
        for slot in exchanges {
            if self.govern_exchange(slot) {
                // Messages may go elsewhere from now on.
                self.topology.generation += 1;
            }
        }
    }

    fn govern_all(&mut self, cx: &mut Context<'_>) {
        let mut changed = Vec::new();
        for (slot, record) in self.topology.queues.iter_mut() {
            let kind = Kind::Queue(record.declared.kind);
            let governing = self.policies.governing(kind, &record.name);
            if governing.is_same(&record.governing) {
                continue;
            }
            let settings = record.declared.under(&policy_keys::queue_values(&governing.settings()));
            record.governing = governing;
            if settings != record.settings {
                record.settings = settings;
                changed.push(slot);
            }
        }
        self.govern_exchanges();
        for slot in changed {
            self.settings_changed(slot, cx);
        }
    }

    /// The policies of a layer, for operators to see.
    pub(super) fn policy_reports(&self, layer: PolicyLayer) -> Vec<PolicyReport> {
        let reports = self.policies.sorted(layer).into_iter().map(|policy| {
            let PolicyDefinition { name, pattern, apply_to, priority, definition } = policy.to_definition();
            PolicyReport { name, pattern, apply_to: apply_to.name(), definition, priority }
        });
        reports.collect()
    }
}

impl ExchangeRecord {
    /// Answers whether the alternate exchange changed.
    fn is_governed_by(&mut self, governing: Governing) -> bool {
        if governing.is_same(&self.governing) {
            return false;
        }
        let alternate = declared_alternate(&self.exchange.arguments)
            .or_else(|| policy_keys::alternate_exchange(&governing.settings()).map(Into::into));
        self.governing = governing;
        let changed = alternate != self.alternate_exchange;
        self.alternate_exchange = alternate;
        changed
    }
}
