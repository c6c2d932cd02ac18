//! Messages that came back: the log is told how often, so that a restart does not forget it, and consumers are told in
//! the header `x-delivery-count`, where the queue counts. Source: RabbitMQ's quorum queues.

use super::topology::QueueSlot;
use super::{Context, Vhost};
use crate::message::Message;
use crate::protocol::properties::Properties;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use std::sync::Arc;

const HEADER: &str = "x-delivery-count";

impl Vhost {
    /// Tells the log how often messages came back, if that is new.
    pub(super) fn log_returns(&mut self, slot: QueueSlot, cx: &mut Context<'_>) {
        let Some(record) = self.topology.queues.get_mut(slot) else { return };
        for (first, last, count) in record.queue.take_returned() {
            cx.log.delivered(record.queue.id(), first, last, count);
        }
    }
}

/// The message as a consumer sees it that gets it again.
pub(super) fn with_return_count(message: Arc<Message>, return_count: u32) -> Arc<Message> {
    if return_count == 0 {
        return message;
    }
    let properties = Properties::new(&message.properties);
    let headers = properties.headers();
    let mut pairs: Vec<_> = headers.iter().filter(|(name, _)| *name != HEADER).collect();
    pairs.push((HEADER, Value::I64(return_count.into())));
    let properties = properties.with_headers(&Table::from_pairs(&pairs));
    Arc::new(Message { properties, ..Message::clone(&message) })
}
