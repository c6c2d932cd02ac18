//! Recent history: an exchange that passes on like a fanout, keeps the last messages that came through it, and gives them
//! to every destination that is newly bound. Messages are shared with the queues, not copied. Kept in memory only, as in a
//! RabbitMQ whose metadata are in Mnesia (a table of `ram_copies`; in Khepri it is on disk): after a restart a history
//! begins anew.
//! Source: RabbitMQ `rabbit_exchange_type_recent_history`.

use super::refusals::{precondition, term};
use crate::limits::RECENT_HISTORY_BYTES_MAX;
use crate::message::Message;
use crate::protocol::properties::Properties;
use crate::protocol::reply::ChannelError;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use std::collections::VecDeque;
use std::sync::Arc;

/// The last messages of an exchange. Invariants: `kept.len() <= length_max`, `bytes <= RECENT_HISTORY_BYTES_MAX`.
#[derive(Debug)]
pub struct History {
    kept: VecDeque<Arc<Message>>,
    length_max: usize,
    bytes: usize,
}

/// Messages kept when the declaration does not say.
const LENGTH_DEFAULT: usize = 20;

impl History {
    /// The empty history that a declaration asks for.
    ///
    /// # Errors
    /// 406 if `x-recent-history-length` is no integer above 0.
    pub fn parse(arguments: &Table) -> Result<Self, ChannelError> {
        let length_max = match arguments.get("x-recent-history-length") {
            None => LENGTH_DEFAULT,
            Some(value) => value
                .as_i64()
                .and_then(|length| usize::try_from(length).ok())
                .filter(|&length| length > 0)
                .ok_or_else(|| {
                    precondition(format!(
                        "Invalid argument {}, 'x-recent-history-length' must be a positive integer",
                        term(value)
                    ))
                })?,
        };
        Ok(Self { kept: VecDeque::new(), length_max, bytes: 0 })
    }

    /// Keeps a message, unless it says otherwise or is larger than all that may be kept; the oldest give way.
    pub fn keep(&mut self, message: &Arc<Message>) {
        let headers = Properties::new(&message.properties).headers();
        let bytes = message.resident_bytes();
        if headers.get("x-recent-history-no-store") == Some(Value::Bool(true))
            || bytes > RECENT_HISTORY_BYTES_MAX
        {
            return;
        }
        while self.kept.len() >= self.length_max || self.bytes + bytes > RECENT_HISTORY_BYTES_MAX {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.bytes -= oldest.resident_bytes();
        }
        self.bytes += bytes;
        self.kept.push_back(Arc::clone(message));
    }

    /// What is kept, the oldest first.
    pub fn messages(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.kept.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Holders;
    use crate::protocol::properties::PropertyList;
    use bytes::Bytes;

    fn message(body: impl Into<Bytes>, headers: &[(&str, Value<'_>)]) -> Arc<Message> {
        let list = PropertyList { headers: Some(Table::from_pairs(headers)), ..PropertyList::default() };
        Arc::new(Message {
            exchange: "e".into(),
            routing_key: "k".into(),
            properties: list.encode(),
            body: body.into(),
            persistent: false,
            dead_lettered: false,
            holders: Holders::default(),
        })
    }

    fn bodies(history: &History) -> Vec<&[u8]> {
        history.messages().map(|message| &*message.body).collect()
    }

    #[test]
    fn the_last_messages_are_kept() {
        let length = |value| History::parse(&Table::from_pairs(&[("x-recent-history-length", value)]));
        let mut history = length(Value::I32(2)).unwrap();
        for body in ["1", "2", "3"] {
            history.keep(&message(body, &[]));
        }
        assert_eq!(bodies(&history), [b"2", b"3"]);
        history.keep(&message("4", &[("x-recent-history-no-store", Value::Bool(true))]));
        assert_eq!(bodies(&history), [b"2", b"3"]);
        history.keep(&message("5", &[("x-recent-history-no-store", Value::Bool(false))]));
        assert_eq!(bodies(&history), [b"3", b"5"]);

        assert_eq!(History::parse(&Table::default()).unwrap().length_max, 20);
        for (value, shown) in [
            (Value::I32(0), "0"),
            (Value::I64(-1), "-1"),
            (Value::text("five"), "<<\"five\">>"),
            (Value::F64(2.0), "2.0"),
        ] {
            assert_eq!(
                length(value).unwrap_err().explanation,
                format!("Invalid argument {shown}, 'x-recent-history-length' must be a positive integer")
            );
        }
    }

    #[test]
    fn bytes_are_bounded_whatever_the_length_allows() {
        let arguments = Table::from_pairs(&[("x-recent-history-length", Value::I64(i64::MAX))]);
        let mut history = History::parse(&arguments).unwrap();
        let third = vec![0; RECENT_HISTORY_BYTES_MAX / 3];
        for _ in 0..5 {
            history.keep(&message(third.clone(), &[]));
            assert!(history.bytes <= RECENT_HISTORY_BYTES_MAX);
        }
        assert_eq!(history.kept.len(), 2);
        history.keep(&message(vec![0; RECENT_HISTORY_BYTES_MAX], &[]));
        assert_eq!(history.kept.len(), 2, "too large to be kept, and no reason to forget the others");
        for number in 0..100_000u32 {
            history.keep(&message(number.to_string(), &[]));
        }
        assert!(history.bytes <= RECENT_HISTORY_BYTES_MAX);
        let counted: usize = history.messages().map(|message| message.resident_bytes()).sum();
        assert_eq!(history.bytes, counted);
    }
}
