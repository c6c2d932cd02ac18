//! What an exchange may look at of a message: its keys, its properties, and a throw of dice where the type of the
//! exchange wants one. Borrowed, so that a type pays only for what it looks at.

use super::Chance;
use crate::protocol::properties::Properties;

/// The address side of a message.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// Routing key of the publish.
    pub routing_key: &'a str,
    /// Those that the headers `CC` and `BCC` add.
    pub more_keys: &'a [&'a str],
    /// Properties with the headers.
    pub properties: Properties<'a>,
    /// For types that choose by chance.
    pub chance: &'a Chance,
}

impl<'a> Label<'a> {
    /// All keys, the publish's own first.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        std::iter::once(self.routing_key).chain(self.more_keys.iter().copied())
    }
}
