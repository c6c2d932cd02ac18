//! The event exchange: what happens to queues, exchanges, bindings, consumers, channels, connections, users, rights and
//! policies, told as messages to whoever is bound to `amq.rabbitmq.event` in vhost `/`. A message has no body; its routing key
//! names the event (`queue.created`), its headers say the rest. Events are made only while somebody is bound: an
//! [`EventTap`] that all vhosts share says so. They travel through the driver, as other vhosts' come from elsewhere.
//! Source: RabbitMQ's document "Event Exchange", `rabbit_exchange_type_event`, and the calls of `rabbit_event:notify`.

use super::channels::ConnectionSlot;
use super::event_terms;
use super::input::{Effect, Identity, Operator};
use super::topology::{ExchangeSlot, Gone, QueueRecord, QueueSlot, Target};
use super::{Context, Vhost};
use crate::exchange::EVENT_EXCHANGE;
use crate::message::{Holders, Message};
use crate::protocol::properties::PropertyList;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use crate::queue::{ChannelSlot, Consumer};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The vhost that has the event exchange.
pub const EVENT_VHOST: &str = "/";
/// Who acts when nobody is logged in; the name is RabbitMQ's.
const INTERNAL: &str = "rmq-internal";
/// The header with the name that a client gave its connection.
pub const PROVIDED_NAME: &str = "user_provided_name";

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Routing key: `queue.created`.
    pub key: &'static str,
    /// All there is to say of it.
    pub headers: Table,
    /// The connection of who did it, if it was a client: for the audit log, not for those who are bound.
    pub connection: Option<Arc<str>>,
}

/// Whether anybody is bound to the event exchange, as all of the broker can ask. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct EventTap {
    is_wanted: Arc<AtomicBool>,
    /// They are written down whether anybody is bound or not.
    is_audited: bool,
}

impl EventTap {
    /// One whose events are written down.
    pub fn audited() -> Self {
        Self { is_audited: true, ..Self::default() }
    }

    /// Whether events are worth making.
    pub fn is_wanted(&self) -> bool {
        self.is_audited || self.has_audience()
    }

    /// Whether anybody is bound.
    pub fn has_audience(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    fn set_wanted(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }
}

impl Event {
    /// What an operator did, told without a channel: `user_who_performed_action` is added.
    pub fn by_operator(operator: &Operator, key: &'static str, headers: &[(&str, Value<'_>)]) -> Self {
        let actor = ("user_who_performed_action", Value::text(&operator.user));
        let headers: Vec<_> = headers.iter().copied().chain([actor]).collect();
        Self { key, headers: Table::from_pairs(&headers), connection: operator.connection.clone() }
    }
}

/// Who makes things happen now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Acting {
    /// Time, or the end of something else.
    #[default]
    Internal,
    Operator,
    Channel(ChannelSlot),
    Connection(ConnectionSlot),
}

impl Vhost {
    /// An event of this or another vhost goes to those who are bound to the event exchange here.
    pub(super) fn publish_event(&mut self, event: &Event, cx: &mut Context<'_>) {
        let Some(exchange) = self.topology.exchange_named(EVENT_EXCHANGE.name) else { return };
        let unix_ms = self.clock.unix_ms();
        let at = ("timestamp_in_ms", Value::I64(unix_ms.cast_signed()));
        let headers: Vec<_> = std::iter::once(at).chain(event.headers.iter()).collect();
        let list = PropertyList {
            headers: Some(Table::from_pairs(&headers)),
            delivery_mode: Some(2),
            timestamp: Some(unix_ms / 1000),
            ..PropertyList::default()
        };
        let message = Arc::new(Message {
            exchange: EVENT_EXCHANGE.name.into(),
            routing_key: event.key.into(),
            properties: list.encode(),
            body: Bytes::new(),
            persistent: true,
            dead_lettered: false,
            holders: Holders::default(),
        });
        let mut queues = Vec::new();
        self.topology.route(exchange, &message, &mut queues);
        self.put_own(&message, queues, cx);
    }

    /// Notes whether anybody is bound to the event exchange, if it is here and bindings changed.
    pub(super) fn note_audience(&mut self) {
        if self.audience_at == self.topology.generation {
            return;
        }
        self.audience_at = self.topology.generation;
        if *self.config.name == *EVENT_VHOST
            && let Some(exchange) = self.topology.exchange_named(EVENT_EXCHANGE.name)
            && let Some(record) = self.topology.exchanges.get(exchange)
        {
            self.config.events.set_wanted(!record.routes.is_empty());
        }
    }

    /// This vhost ends. If the event exchange is here, its audience ends with it: events would only be made to be dropped.
    pub(super) fn end_audience(&self) {
        if *self.config.name == *EVENT_VHOST {
            self.config.events.set_wanted(false);
        }
    }

    /// Whether anybody wants events. From now on the topology notes what goes.
    pub(super) fn has_audience(&mut self) -> bool {
        self.topology.observed = self.config.events.is_wanted();
        self.topology.observed
    }

    pub(super) fn announce_queue_created(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        if !self.has_audience() {
            return;
        }
        let Some(record) = self.topology.queues.get(slot) else { return };
        let QueueRecord { name, durable, auto_delete, arguments, declared, owner, .. } = record;
        let owner = owner.and_then(|id| self.channels.connection_slot(id));
        let owner = owner.map(|slot| self.channels.identity(slot).name);
        let arguments = event_terms::arguments(arguments);
        let headers = [
            ("name", Value::text(name)),
            ("vhost", Value::text(&self.config.name)),
            ("durable", Value::Bool(*durable)),
            ("auto_delete", Value::Bool(*auto_delete)),
            ("exclusive", Value::Bool(owner.is_some())),
            ("arguments", Value::Array(arguments.elements())),
            ("owner_pid", Value::text(owner.as_deref().unwrap_or_default())),
            ("type", Value::text(declared.kind.module())),
        ];
        self.announce("queue.created", &headers, cx);
    }

    /// A queue is gone, and what went with it.
    pub(super) fn announce_queue_deleted(&mut self, record: &QueueRecord, cx: &mut Context<'_>) {
        self.announce_gone(cx);
        if self.has_audience() {
            let headers = [
                ("name", Value::text(&record.name)),
                ("vhost", Value::text(&self.config.name)),
                ("type", Value::text(record.declared.kind.module())),
            ];
            self.announce("queue.deleted", &headers, cx);
        }
    }

    pub(super) fn announce_exchange_created(&mut self, slot: ExchangeSlot, cx: &mut Context<'_>) {
        if !self.has_audience() {
            return;
        }
        let Some(record) = self.topology.exchanges.get(slot) else { return };
        let exchange = &record.exchange;
        let arguments = event_terms::arguments(&exchange.arguments);
        let policy = record.governing.user_name();
        let headers = [
            ("name", Value::text(&exchange.name)),
            ("vhost", Value::text(&self.config.name)),
            ("type", Value::text(exchange.kind.name())),
            ("durable", Value::Bool(exchange.durable)),
            ("auto_delete", Value::Bool(exchange.auto_delete)),
            ("internal", Value::Bool(exchange.internal)),
            ("arguments", Value::Array(arguments.elements())),
            ("policy", Value::text(&policy)),
        ];
        self.announce("exchange.created", &headers, cx);
    }

    pub(super) fn announce_binding_created(
        &mut self,
        source: ExchangeSlot,
        target: Target,
        (binding_key, arguments): (&Arc<str>, &Table),
        cx: &mut Context<'_>,
    ) {
        if !self.has_audience() {
            return;
        }
        let Some(source) = self.topology.exchanges.get(source) else { return };
        let Some((kind, destination)) = self.topology.target_name(target) else { return };
        let binding = Gone::Binding {
            source: Arc::clone(&source.exchange.name),
            kind,
            destination: Arc::clone(destination),
            binding_key: Arc::clone(binding_key),
            arguments: arguments.clone(),
        };
        self.announce_one("binding.created", &binding, cx);
    }

    /// Tells of the bindings and exchanges that the topology noted as gone.
    pub(super) fn announce_gone(&mut self, cx: &mut Context<'_>) {
        for gone in std::mem::take(&mut self.topology.gone) {
            match &gone {
                Gone::Binding { .. } => self.announce_one("binding.deleted", &gone, cx),
                Gone::Exchange(name) => {
                    let headers = [("name", Value::text(name)), ("vhost", Value::text(&self.config.name))];
                    self.announce("exchange.deleted", &headers, cx);
                }
            }
        }
    }

    fn announce_one(&self, key: &'static str, binding: &Gone, cx: &mut Context<'_>) {
        let Gone::Binding { source, kind, destination, binding_key, arguments } = binding else { return };
        let arguments = event_terms::arguments(arguments);
        let headers = [
            ("source_name", Value::text(source)),
            ("source_kind", Value::text("exchange")),
            ("destination_name", Value::text(destination)),
            ("destination_kind", Value::text(kind.name())),
            ("routing_key", Value::text(binding_key)),
            ("arguments", Value::Array(arguments.elements())),
            ("vhost", Value::text(&self.config.name)),
        ];
        self.announce(key, &headers, cx);
    }

    pub(super) fn announce_consumer_created(
        &mut self,
        queue: QueueSlot,
        consumer: &Consumer,
        cx: &mut Context<'_>,
    ) {
        if !self.has_audience() {
            return;
        }
        let Some(record) = self.topology.queues.get(queue) else { return };
        let channel = self.channel_name(consumer.channel);
        let arguments = event_terms::arguments(&consumer.arguments);
        let headers = [
            ("consumer_tag", Value::text(&consumer.tag)),
            ("exclusive", Value::Bool(consumer.exclusive)),
            ("ack_required", Value::Bool(!consumer.no_ack)),
            ("channel", Value::text(&channel)),
            ("queue", Value::text(&record.name)),
            ("vhost", Value::text(&self.config.name)),
            ("prefetch_count", Value::I64(consumer.prefetch_count.into())),
            ("arguments", Value::Array(arguments.elements())),
        ];
        self.announce("consumer.created", &headers, cx);
    }

    pub(super) fn announce_consumer_deleted(
        &mut self,
        queue: &str,
        channel: ChannelSlot,
        tag: &str,
        cx: &mut Context<'_>,
    ) {
        if !self.has_audience() {
            return;
        }
        let channel = self.channel_name(channel);
        let headers = [
            ("consumer_tag", Value::text(tag)),
            ("channel", Value::text(&channel)),
            ("queue", Value::text(queue)),
            ("vhost", Value::text(&self.config.name)),
        ];
        self.announce("consumer.deleted", &headers, cx);
    }

    /// The same by the number of the queue, which still is there.
    pub(super) fn announce_consumer_left(
        &mut self,
        queue: QueueSlot,
        channel: ChannelSlot,
        tag: &str,
        cx: &mut Context<'_>,
    ) {
        if self.has_audience()
            && let Some(name) = self.topology.queues.get(queue).map(|record| Arc::clone(&record.name))
        {
            self.announce_consumer_deleted(&name, channel, tag, cx);
        }
    }

    pub(super) fn announce_channel_created(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        if !self.has_audience() {
            return;
        }
        let Some(channel) = self.channels.slots.get(slot) else { return };
        let Identity { name, user, .. } = self.channels.identity(channel.connection);
        let (number, pid) = (channel.key.number, self.channel_name(slot));
        let headers = [
            ("pid", Value::text(&pid)),
            ("name", Value::text(&pid)),
            ("connection", Value::text(&name)),
            ("number", Value::I64(number.into())),
            ("user", Value::text(&user)),
            ("vhost", Value::text(&self.config.name)),
        ];
        self.announce("channel.created", &headers, cx);
    }

    pub(super) fn announce_channel_closed(&mut self, slot: ChannelSlot, cx: &mut Context<'_>) {
        if self.has_audience() {
            self.announce("channel.closed", &[("pid", Value::text(&self.channel_name(slot)))], cx);
        }
    }

    pub(super) fn announce_connection_created(&mut self, slot: ConnectionSlot, cx: &mut Context<'_>) {
        if !self.has_audience() {
            return;
        }
        let Identity { name, user, about } = self.channels.identity(slot);
        let own = [
            ("pid", Value::text(&name)),
            ("name", Value::text(&name)),
            ("user", Value::text(&user)),
            ("vhost", Value::text(&self.config.name)),
            ("node", Value::text(super::trace::NODE)),
        ];
        let headers: Vec<_> = own.into_iter().chain(about.iter()).collect();
        self.announce("connection.created", &headers, cx);
    }

    /// RabbitMQ does not say who made it happen.
    pub(super) fn announce_connection_closed(&mut self, slot: ConnectionSlot, cx: &mut Context<'_>) {
        if !self.has_audience() {
            return;
        }
        let Identity { name, about, .. } = self.channels.identity(slot);
        let own = [
            ("pid", Value::text(&name)),
            ("name", Value::text(&name)),
            ("node", Value::text(super::trace::NODE)),
        ];
        let given = about.get(PROVIDED_NAME).map(|given| (PROVIDED_NAME, given));
        let headers: Vec<_> = own.into_iter().chain(given).collect();
        let event =
            Event { key: "connection.closed", headers: Table::from_pairs(&headers), connection: None };
        cx.effects.effects.push(Effect::Event(event));
    }

    /// Tells the driver of an event, with who made it happen.
    pub(super) fn announce(&self, key: &'static str, headers: &[(&str, Value<'_>)], cx: &mut Context<'_>) {
        if !self.config.events.is_wanted() {
            return;
        }
        let actor = self.acting_user();
        let actor = ("user_who_performed_action", Value::text(&actor));
        let headers: Vec<_> = headers.iter().copied().chain([actor]).collect();
        let connection = match self.acting {
            Acting::Operator => self.operator.connection.clone(),
            _ => self.acting_connection().map(|slot| self.channels.identity(slot).name),
        };
        let event = Event { key, headers: Table::from_pairs(&headers), connection };
        cx.effects.effects.push(Effect::Event(event));
    }

    fn acting_connection(&self) -> Option<ConnectionSlot> {
        match self.acting {
            Acting::Internal | Acting::Operator => None,
            Acting::Connection(slot) => Some(slot),
            Acting::Channel(slot) => self.channels.slots.get(slot).map(|channel| channel.connection),
        }
    }

    fn acting_user(&self) -> Arc<str> {
        match self.acting {
            Acting::Internal => INTERNAL.into(),
            Acting::Operator => Arc::clone(&self.operator.user),
            Acting::Connection(slot) => self.channels.identity(slot).user,
            Acting::Channel(slot) => self
                .channels
                .slots
                .get(slot)
                .map_or_else(|| INTERNAL.into(), |channel| self.channels.identity(channel.connection).user),
        }
    }

    /// What operators call a channel.
    fn channel_name(&self, slot: ChannelSlot) -> String {
        self.channels.slots.get(slot).map_or_else(String::new, |channel| {
            format!("{} ({})", self.channels.identity(channel.connection).name, channel.key.number)
        })
    }
}
