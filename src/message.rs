//! A message as the broker holds it: what the publisher sent, byte for byte.
//! Properties stay the bytes that came in; who needs one property decodes it through `protocol::properties`.
//! Does not know where it is stored or who waits for it.

use crate::protocol::properties::Properties;
use bytes::Bytes;
use ledgermq_storage::StoredMessage;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A published message. Shared by all queues it was routed to; never changed after routing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Exchange it was published to; empty for the default exchange. At most 255 bytes.
    pub exchange: Arc<str>,
    /// Routing key of the publish. At most 255 bytes.
    pub routing_key: Arc<str>,
    /// Content header payload from the property flags on (flags and property list), as received but for the mark of
    /// further routing keys (see [`crate::protocol::header_keys`]): clients get [`Message::shown_properties`].
    pub properties: Bytes,
    /// Body, as received.
    pub body: Bytes,
    /// `delivery_mode` = 2.
    pub persistent: bool,
    /// It was dead-lettered: the history in its `x-death` header is the broker's own. A publisher's is not believed.
    pub dead_lettered: bool,
    /// Who keeps it in memory.
    pub holders: Holders,
}

/// How many entries of queues keep a message in memory, so that a message in many queues counts once against the memory that
/// there is for all of them. Says nothing of what a message is: a copy begins without holders, and all are equal.
#[derive(Debug, Default)]
pub struct Holders(AtomicU32);

impl Holders {
    /// An entry holds the message from now on. Answers whether it is the first.
    pub fn add(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) == 0
    }

    /// An entry that held the message does so no longer. Answers whether it was the last.
    pub fn remove(&self) -> bool {
        let before = self.0.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "who lets go of a message held it");
        before == 1
    }
}

impl Clone for Holders {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Holders {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Holders {}

impl From<StoredMessage> for Message {
    /// What the log holds of a message, as it was logged.
    fn from(stored: StoredMessage) -> Self {
        let StoredMessage { exchange, routing_key, properties, body, persistent, dead_lettered, .. } = stored;
        let holders = Holders::default();
        Self { exchange, routing_key, properties, body, persistent, dead_lettered, holders }
    }
}

impl Message {
    /// Whether the headers `CC` or `BCC` name further routing keys.
    pub fn has_more_keys(&self) -> bool {
        Properties::new(&self.properties).has_more_keys()
    }

    /// Those keys: the ones in `CC`, then the ones in `BCC`.
    pub fn more_keys(&self) -> impl Iterator<Item = &str> {
        Properties::new(&self.properties).more_keys()
    }

    /// The properties as clients see them: without `BCC`.
    pub fn shown_properties(&self) -> Cow<'_, [u8]> {
        Properties::new(&self.properties).shown()
    }

    /// Time to live asked for in its property `expiration`, ms. Without one this is a look at one bit.
    pub fn expiration_ms(&self) -> Option<u64> {
        if !Properties::new(&self.properties).has_expiration() {
            return None;
        }
        let text = Properties::new(&self.properties).expiration()?;
        text.strip_prefix(['+', '-']).unwrap_or(text).parse().ok()
    }

    /// Bytes this message holds in memory, for budgets.
    pub fn resident_bytes(&self) -> usize {
        size_of::<Self>() + self.properties.len() + self.body.len() + self.routing_key.len()
    }
}
