//! What operators ask of a vhost and order it to do, each handed to the part that knows.

use super::errands::Errand;
use super::events::Acting;
use super::input::{AdminCommand, AdminId, AdminReply, Effect, Operator};
use super::queues::OnlyIf;
use super::{Context, Vhost};

impl Vhost {
    /// What follows is done because an operator wants it.
    pub(super) fn act_for(&mut self, operator: Operator) {
        self.acting = Acting::Operator;
        self.operator = operator;
    }

    pub(super) fn carry_out(&mut self, id: AdminId, command: AdminCommand, cx: &mut Context<'_>) {
        match command {
            AdminCommand::BindingsBetween { source, kind, destination } => {
                let bindings = AdminReply::Bindings(self.bindings_between(&source, kind, &destination));
                cx.effects.effects.push(Effect::Answer(id, bindings));
            }
            AdminCommand::Holds(named) => {
                cx.effects.effects.push(Effect::Answer(id, AdminReply::Holds(self.holds(&named))));
            }
            AdminCommand::Look(look) => self.answer_look(id, &look, cx),
            AdminCommand::Trace(is_on) => {
                self.traces = is_on;
                cx.effects.effects.push(Effect::Answer(id, AdminReply::Done));
            }
            AdminCommand::PurgeQueue(name) => self.answer_purge(id, &name, cx),
            AdminCommand::DeleteQueue { name, if_unused, if_empty } => {
                let only = OnlyIf { unused: if_unused, empty: if_empty };
                self.answer_delete(id, &name, only, cx);
            }
            AdminCommand::Peek { queue, count } => {
                self.run_errand(Errand::Peek { id, queue, count }, cx);
            }
            AdminCommand::Move { from, to, count } => {
                self.run_errand(Errand::Move { id, from, to, count }, cx);
            }
            AdminCommand::SetPolicy(layer, policy) => {
                self.answer_set_policy(id, layer, &policy, cx);
            }
            AdminCommand::ClearPolicy(layer, name) => {
                self.answer_clear_policy(id, layer, &name, cx);
            }
            AdminCommand::Configure(settings) => {
                self.configure(settings);
                cx.effects.effects.push(Effect::Answer(id, AdminReply::Done));
            }
        }
    }
}
