//! Class and method numbers. Error replies name the method that failed even when its fields could not be read.

use super::wire::Reader;

/// Class and method of the method a command came from; an error reply names them. 0/0 where there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MethodId {
    /// AMQP class id, e.g. 50 for queue.
    pub class: u16,
    /// AMQP method id within the class.
    pub method: u16,
}

impl MethodId {
    /// basic.publish, the failing method of everything wrong with a message.
    pub const BASIC_PUBLISH: Self = Self::new(60, 40);

    /// A class and a method number.
    pub const fn new(class: u16, method: u16) -> Self {
        Self { class, method }
    }

    /// The number a method frame's payload begins with; `None` if it is shorter than four bytes.
    pub fn of(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        Some(Self { class: reader.short().ok()?, method: reader.short().ok()? })
    }
}
