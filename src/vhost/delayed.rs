//! Exchanges of type `x-delayed-message`: a message with a header `x-delay` of more than 0 ms waits in the exchange, and is
//! routed when its time has come, as the type in `x-delayed-type` routes. Consumers see the header with its sign turned.
//! Source: RabbitMQ's plugin `rabbitmq_delayed_message_exchange`.
//!
//! What waits is in a queue of its own that has no name clients could use. So a persistent message of a durable exchange
//! is in the log with its time, survives a restart, and leaves in one record with its entry into the queues it is for;
//! its body may leave memory.

use super::dead_letter::Farewell;
use super::topology::{ExchangeSlot, QueueRecord, QueueSlot};
use super::{Context, Vhost};
use crate::exchange::{Exchange, ExchangeKind};
use crate::limits::EXPIRATION_MS_MAX;
use crate::message::Message;
use crate::protocol::properties::Properties;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use crate::queue::{Leaver, Queue, QueueArguments};
use std::sync::Arc;

/// The header.
const DELAY: &str = "x-delay";
/// The argument of such a queue that names its exchange; the queue's definition has it on disk, under a name that no client
/// may declare.
const DELAYS_FOR: &str = "x-delays-for";

fn room_name(exchange: &str) -> String {
    format!("amq.delayed.{exchange}")
}

/// The exchange whose messages a queue of this definition keeps; `None` if it is any other queue, whatever its arguments say.
pub(super) fn exchange_of_room(queue: &str, arguments: &Table) -> Option<Arc<str>> {
    let exchange = arguments.get(DELAYS_FOR)?.as_str()?;
    (queue == room_name(exchange)).then(|| exchange.into())
}

/// How long a message wants to wait, ms; `None` if not at all. At most ten years.
pub(super) fn delay_ms(message: &Message) -> Option<u64> {
    let delay = Properties::new(&message.properties).headers().get(DELAY)?.as_i64()?;
    u64::try_from(delay).ok().filter(|ms| *ms > 0).map(|ms| ms.min(EXPIRATION_MS_MAX))
}

/// The message as it goes on: its delay is over, which the sign says.
fn undelayed(message: &Message) -> Message {
    let properties = Properties::new(&message.properties);
    let headers = properties.headers();
    let turned: Vec<_> = headers
        .iter()
        .map(|(name, value)| match value {
            Value::I32(ms) if name == DELAY => (name, Value::I32(ms.saturating_neg())),
            value if name == DELAY => (name, Value::I64(value.as_i64().map_or(0, i64::saturating_neg))),
            value => (name, value),
        })
        .collect();
    Message { properties: properties.with_headers(&Table::from_pairs(&turned)), ..message.clone() }
}

/// The record of the queue in which messages of this exchange wait.
pub(super) fn waiting_room(mut queue: Queue, exchange: &Arc<str>, durable: bool) -> QueueRecord {
    queue.order_by_time();
    let arguments = Table::from_pairs(&[(DELAYS_FOR, Value::text(exchange))]);
    let mut record =
        QueueRecord::new(room_name(exchange).into(), queue, arguments, QueueArguments::default());
    record.durable = durable;
    record.delays_for = Some(Arc::clone(exchange));
    record
}

impl Vhost {
    /// Gives an exchange that is being declared the queue it needs, if it needs one.
    pub(super) fn add_waiting_room(&mut self, slot: ExchangeSlot, cx: &mut Context<'_>) -> Option<QueueSlot> {
        let record = self.topology.exchanges.get(slot)?;
        let Exchange { name, kind, durable, .. } = &record.exchange;
        if *kind != ExchangeKind::Delayed {
            return None;
        }
        let queue = Queue::new(cx.log.next_queue_id(), self.config.budget.clone());
        let room = waiting_room(queue, name, *durable);
        let room = self.topology.insert_nameless_queue(room);
        self.topology.exchanges.get_mut(slot)?.delays_in = Some(room);
        self.apply_settings(room, cx);
        Some(room)
    }

    /// Queues of exchanges that are gone go as well.
    pub(super) fn remove_orphans(&mut self, cx: &mut Context<'_>) {
        while let Some(orphan) = self.topology.orphans.pop() {
            self.remove_queue(orphan, cx);
        }
    }

    /// A message has waited long enough: it goes where its exchange sends it now.
    pub(super) fn release(&mut self, slot: QueueSlot, leaver: &Leaver, cx: &mut Context<'_>) -> Farewell {
        let Some(message) = &leaver.message else { return Farewell::Unread };
        let exchange = self.topology.queues.get(slot).and_then(|record| record.delays_for.clone());
        let exchange = exchange.and_then(|name| self.topology.exchange_named(&name));
        let message = Arc::new(undelayed(message));
        self.leaving_bytes_left = self.leaving_bytes_left.saturating_sub(message.resident_bytes());
        let mut targets = Vec::new();
        if let Some(exchange) = exchange {
            self.topology.route(exchange, &message, &mut targets);
        }
        self.move_on(slot, leaver, &message, targets, cx)
    }
}
