//! exchange.declare and exchange.delete.

use super::errors::{self, ExchangeIn};
use super::topology::ALTERNATE_EXCHANGE;
use super::{Context, Vhost};
use crate::exchange::{Exchange, ExchangeKind};
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use crate::queue::{ChannelSlot, check_same, inequivalent};
use crate::vhost::command::Reply;
use std::sync::Arc;

/// What a client wants its exchange to be.
#[expect(clippy::struct_excessive_bools, reason = "the flags of the method")]
pub(super) struct Asked {
    pub(super) kind: Arc<str>,
    pub(super) passive: bool,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
    pub(super) arguments: Table,
}

/// Begins the names that only the broker gives.
pub(super) const RESERVED_PREFIX: &str = "amq.";

impl Vhost {
    pub(super) fn declare_exchange(
        &mut self,
        slot: ChannelSlot,
        name: &Arc<str>,
        asked: Asked,
        nowait: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let name = without_line_ends(name);
        if asked.passive {
            self.topology.exchange_named(&name).ok_or_else(|| self.no_exchange(&name))?;
        } else {
            let kind = ExchangeKind::from_name(&asked.kind)
                .ok_or_else(|| errors::unknown_exchange_type(&asked.kind))?;
            if name.is_empty() {
                return Err(errors::default_exchange());
            }
            match self.topology.exchange_named(&name).and_then(|known| self.topology.exchanges.get(known)) {
                Some(record) => {
                    let described = ExchangeIn(&name, &self.config.name).to_string();
                    check_equivalent(&record.exchange, kind, &asked, &described)?;
                }
                None => self.create_exchange(&name, kind, asked, cx)?,
            }
        }
        self.answer(slot, nowait, Reply::ExchangeDeclared, cx);
        Ok(())
    }

    pub(super) fn delete_exchange(
        &mut self,
        slot: ChannelSlot,
        name: &Arc<str>,
        if_unused: bool,
        nowait: bool,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        let described = ExchangeIn(name, &self.config.name);
        if name.is_empty() {
            return Err(errors::default_exchange());
        }
        if name.starts_with(RESERVED_PREFIX) {
            return Err(errors::system_exchange(&described));
        }
        if let Some(known) = self.topology.exchange_named(name) {
            let used = self.topology.exchanges.get(known).is_some_and(|record| !record.routes.is_empty());
            if if_unused && used {
                return Err(errors::in_use(described));
            }
            let mut changes = Vec::new();
            self.has_audience();
            self.topology.remove_exchange(known, &mut changes);
            self.define(&changes, cx);
            self.announce_gone(cx);
        }
        self.answer(slot, nowait, Reply::ExchangeDeleted, cx);
        Ok(())
    }

    pub(super) fn no_exchange(&self, name: &str) -> ChannelError {
        errors::not_found(ExchangeIn(name, &self.config.name))
    }

    /// Writes changes of definitions, if there are any.
    pub(super) fn define(&mut self, changes: &[crate::definitions::DefinitionChange], cx: &mut Context<'_>) {
        if !changes.is_empty() {
            self.defined = cx.log.define(changes);
        }
        self.remove_orphans(cx);
    }

    fn create_exchange(
        &mut self,
        name: &Arc<str>,
        kind: ExchangeKind,
        asked: Asked,
        cx: &mut Context<'_>,
    ) -> Result<(), ChannelError> {
        if name.starts_with(RESERVED_PREFIX) {
            return Err(errors::reserved_name("exchange", name));
        }
        let limit = self.settings.exchanges_max;
        if self.topology.exchange_count() >= limit {
            return Err(errors::exchange_limit(&ExchangeIn(name, &self.config.name), limit));
        }
        if let Some(value) = asked.arguments.get(ALTERNATE_EXCHANGE)
            && value.as_str().is_none()
        {
            let described = ExchangeIn(name, &self.config.name);
            return Err(errors::alternate_exchange_type(value.type_name(), &described));
        }
        let Asked { durable, auto_delete, internal, arguments, .. } = asked;
        let exchange = Exchange { name: Arc::clone(name), kind, durable, auto_delete, internal, arguments };
        let slot = self.topology.add_exchange(exchange)?;
        self.govern_exchange(slot);
        let room = self.add_waiting_room(slot, cx).and_then(|room| self.topology.queues.get(room));
        if durable && let Some(record) = self.topology.exchanges.get(slot) {
            let mut changes = vec![record.definition().set()];
            changes.extend(room.map(|room| room.definition().set()));
            self.define(&changes, cx);
        }
        self.announce_exchange_created(slot, cx);
        Ok(())
    }
}

fn check_equivalent(
    current: &Exchange,
    kind: ExchangeKind,
    asked: &Asked,
    described: &str,
) -> Result<(), ChannelError> {
    let quoted = |value: &dyn std::fmt::Display| format!("'{value}'");
    if current.kind != kind {
        return Err(inequivalent("type", described, &quoted(&kind), &quoted(&current.kind)));
    }
    for (field, received, current) in [
        ("durable", asked.durable, current.durable),
        ("auto_delete", asked.auto_delete, current.auto_delete),
        ("internal", asked.internal, current.internal),
    ] {
        if received != current {
            return Err(inequivalent(field, described, &quoted(&received), &quoted(&current)));
        }
    }
    // Of the arguments only these are compared. Source: RabbitMQ `rabbit_exchange:assert_args_equivalence`.
    let own = if kind == ExchangeKind::Delayed { &["x-delayed-type"][..] } else { &[] };
    for name in [ALTERNATE_EXCHANGE].iter().chain(own) {
        let (received, current) = (asked.arguments.get(name), current.arguments.get(name));
        check_same(name, received.as_ref(), current.as_ref(), described)?;
    }
    Ok(())
}

/// Names are declared without carriage returns and line feeds. Source: RabbitMQ `rabbit_channel:strip_cr_lf`.
pub(super) fn without_line_ends(name: &Arc<str>) -> Arc<str> {
    if name.contains(['\r', '\n']) { name.replace(['\r', '\n'], "").into() } else { Arc::clone(name) }
}
