//! The firehose: while an operator has tracing on, every message that a client publishes and every message that is handed
//! to one is copied to the exchange `amq.rabbitmq.trace`, with keys `publish.<exchange>` and `deliver.<queue>`, the same
//! body, and headers that say what it was. Copies are transient and are not traced themselves; acknowledgements are not
//! traced. Off after a restart. Costs one test per message while it is off.
//! Source: RabbitMQ's document "Firehose Tracer", `rabbit_trace`.

use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::message::{Holders, Message};
use crate::protocol::properties::{Properties, PropertyList};
use crate::protocol::table::Table;
use crate::protocol::value::{Array, Value};
use crate::protocol::wire::cut_to_short_string;
use crate::queue::ChannelSlot;
use std::sync::Arc;

/// Where copies go.
const TRACE_EXCHANGE: &str = "amq.rabbitmq.trace";
/// What stands for the name of the node: there is one.
pub(super) const NODE: &str = "ledgermq@localhost";

/// The header that copies of one kind alone have: before those that all have, or behind them.
struct Special<'a> {
    before: Option<(&'a str, Value<'a>)>,
    behind: Option<(&'a str, Value<'a>)>,
}

impl Vhost {
    /// A client published a message, and it goes to these queues.
    pub(super) fn trace_publish(
        &mut self,
        channel: ChannelSlot,
        message: &Arc<Message>,
        queues: &[QueueSlot],
        cx: &mut Context<'_>,
    ) {
        let names: Vec<_> = queues
            .iter()
            .filter_map(|&queue| Some(Arc::clone(&self.topology.queues.get(queue)?.name)))
            .collect();
        let routed = Array::from_values(names.iter().map(|name| Value::text(name)));
        let key = format!("publish.{}", message.exchange);
        let special =
            Special { behind: Some(("routed_queues", Value::Array(routed.elements()))), before: None };
        self.trace(channel, message, &key, &special, cx);
    }

    /// A message of this queue is handed to a client.
    pub(super) fn trace_delivery(
        &mut self,
        channel: ChannelSlot,
        message: &Arc<Message>,
        queue: QueueSlot,
        redelivered: bool,
        cx: &mut Context<'_>,
    ) {
        let Some(record) = self.topology.queues.get(queue) else { return };
        let key = format!("deliver.{}", record.name);
        let special = Special { before: Some(("redelivered", Value::I32(redelivered.into()))), behind: None };
        self.trace(channel, message, &key, &special, cx);
    }

    fn trace(
        &mut self,
        channel: ChannelSlot,
        message: &Arc<Message>,
        key: &str,
        special: &Special<'_>,
        cx: &mut Context<'_>,
    ) {
        if *message.exchange == *TRACE_EXCHANGE {
            return;
        }
        let Some(exchange) = self.topology.exchange_named(TRACE_EXCHANGE) else { return };
        if self.topology.exchanges.get(exchange).is_none_or(|record| record.routes.is_empty()) {
            return;
        }
        let Some(channel) = self.channels.slots.get(channel) else { return };
        let number = channel.key.number;
        let identity = self.channels.identity(channel.connection);
        let keys = std::iter::once(&*message.routing_key).chain(message.more_keys());
        let keys = Array::from_values(keys.map(Value::text));
        let shown = message.shown_properties();
        let properties = properties_table(Properties::new(&shown));
        let mut headers = vec![
            ("exchange_name", Value::text(&message.exchange)),
            ("routing_keys", Value::Array(keys.elements())),
            ("properties", Value::Table(properties.fields())),
            ("node", Value::text(NODE)),
        ];
        headers.extend(special.before);
        headers.extend([
            ("vhost", Value::text(&self.config.name)),
            ("connection", Value::text(&identity.name)),
            ("channel", Value::I32(number.into())),
            ("user", Value::text(&identity.user)),
        ]);
        headers.extend(special.behind);
        let list = PropertyList { headers: Some(Table::from_pairs(&headers)), ..PropertyList::default() };
        let copy = Arc::new(Message {
            exchange: TRACE_EXCHANGE.into(),
            routing_key: cut_to_short_string(key).into(),
            properties: list.encode(),
            body: message.body.clone(),
            persistent: false,
            dead_lettered: false,
            holders: Holders::default(),
        });
        let mut queues = Vec::new();
        self.topology.route(exchange, &copy, &mut queues);
        self.put_own(&copy, queues, cx);
    }
}

/// Properties as a table, the last first as RabbitMQ has them.
fn properties_table(properties: Properties<'_>) -> Table {
    let headers = properties.headers();
    let octet = |octet: Option<u8>| octet.map(|octet| Value::I32(octet.into()));
    let seconds = |seconds: u64| i32::try_from(seconds).map_or(Value::Timestamp(seconds), Value::I32);
    let pairs = [
        ("cluster_id", properties.cluster_id().map(Value::text)),
        ("app_id", properties.app_id().map(Value::text)),
        ("user_id", properties.user_id().map(Value::text)),
        ("type", properties.kind().map(Value::text)),
        ("timestamp", properties.timestamp().map(seconds)),
        ("message_id", properties.message_id().map(Value::text)),
        ("expiration", properties.expiration().map(Value::text)),
        ("reply_to", properties.reply_to().map(Value::text)),
        ("correlation_id", properties.correlation_id().map(Value::text)),
        ("priority", octet(properties.priority())),
        ("delivery_mode", octet(properties.delivery_mode())),
        ("headers", (!headers.is_empty()).then_some(Value::Table(headers))),
        ("content_encoding", properties.content_encoding().map(Value::text)),
        ("content_type", properties.content_type().map(Value::text)),
    ];
    let there: Vec<_> = pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    Table::from_pairs(&there)
}
