//! A message as the broker holds it: what the publisher sent, byte for byte.
//! Properties stay the bytes that came in; who needs one property decodes it through `protocol::properties`.
//! Does not know where it is stored or who waits for it.

use bytes::Bytes;
use std::sync::Arc;

/// A published message. Shared by all queues it was routed to; never changed after routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Exchange it was published to; empty for the default exchange. At most 255 bytes.
    pub exchange: Arc<str>,
    /// Routing key of the publish. At most 255 bytes.
    pub routing_key: Arc<str>,
    /// Content header payload from the property flags on (flags and property list), as received.
    pub properties: Bytes,
    /// Body, as received.
    pub body: Bytes,
    /// `delivery_mode` = 2.
    pub persistent: bool,
    /// It was dead-lettered: the history in its `x-death` header is the broker's own. A publisher's is not believed.
    pub dead_lettered: bool,
}

impl Message {
    /// Bytes this message holds in memory, for budgets.
    pub fn resident_bytes(&self) -> usize {
        size_of::<Self>() + self.properties.len() + self.body.len() + self.routing_key.len()
    }
}
