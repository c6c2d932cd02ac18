//! What a dead letter says of its deaths: the headers `x-death`, `x-first-death-*` and `x-last-death-*`, and the properties it
//! loses. One entry for each pair of queue and reason, the newest first; a pair that comes again moves to the front with
//! its count increased and all else as it was.
//! Only the broker's own history is read: a publisher's `x-death` is replaced, as in RabbitMQ 4.
//! Source: RabbitMQ `mc:record_death`, `mc:is_cycle_v2`, `mc_amqpl:death_table`.

use crate::limits::DEATHS_MAX;
use crate::message::{Holders, Message};
use crate::protocol::properties::Properties;
use crate::protocol::table::{Fields, Table};
use crate::protocol::value::{Array, Value};
use crate::queue::Death;
use std::sync::Arc;

/// Headers the broker writes anew.
const OWN_HEADERS: [&str; 7] = [
    "x-death",
    "x-first-death-reason",
    "x-first-death-queue",
    "x-first-death-exchange",
    "x-last-death-reason",
    "x-last-death-queue",
    "x-last-death-exchange",
];

/// Where, why and when a message died.
#[derive(Clone, Copy, Debug)]
pub(super) struct Obituary<'a> {
    pub(super) queue: &'a str,
    pub(super) death: Death,
    pub(super) unix_ms: u64,
}

/// Where a dead letter is published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address<'a> {
    pub(super) exchange: &'a Arc<str>,
    /// `None`: the keys it had.
    pub(super) routing_key: Option<&'a str>,
}

/// The deaths of a message, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History(Vec<Entry>);

/// All deaths of a message in one queue for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    original_expiration: Option<String>,
    count: i64,
    reason: String,
    queue: String,
    /// Of the first one, seconds since 1970.
    time_s: u64,
    exchange: String,
    routing_keys: Vec<String>,
}

/// A message after its death.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) message: Message,
    pub(super) history: History,
}

impl History {
    /// What the broker wrote into this message before.
    fn of(message: &Message) -> Self {
        if !message.dead_lettered {
            return Self::default();
        }
        match Properties::new(&message.properties).headers().get("x-death") {
            Some(Value::Array(entries)) => {
                Self(entries.iter().filter_map(|entry| Entry::read(entry.as_table()?)).collect())
            }
            _ => Self::default(),
        }
    }

    fn add(&mut self, message: &Message, obituary: &Obituary<'_>) {
        let reason = obituary.death.name();
        let known = self.0.iter().position(|entry| entry.queue == obituary.queue && entry.reason == reason);
        let entry = match known {
            Some(position) => {
                let mut entry = self.0.remove(position);
                entry.count += 1;
                entry
            }
            None => Entry {
                original_expiration: message.expiration_ms().map(|ms| ms.to_string()),
                count: 1,
                reason: reason.into(),
                queue: obituary.queue.into(),
                time_s: obituary.unix_ms / 1000,
                exchange: message.exchange.as_ref().into(),
                routing_keys: routing_keys(message),
            },
        };
        self.0.insert(0, entry);
    }

    /// Whether the message came from this queue before without anybody having rejected it since: it would turn for ever.
    pub(super) fn is_cycle(&self, queue: &str) -> bool {
        let Some(last) = self.0.iter().position(|entry| entry.queue == queue) else { return false };
        self.0.iter().take(last + 1).all(|entry| entry.reason != Death::Rejected.name())
    }

    /// Whether it died in more places than are remembered.
    pub(super) fn is_too_long(&self) -> bool {
        self.0.len() > DEATHS_MAX
    }

    fn to_array(&self) -> Array {
        let tables: Vec<_> = self.0.iter().map(Entry::to_table).collect();
        Array::from_values(tables.iter().map(|table| Value::Table(table.fields())))
    }
}

impl Entry {
    fn read(fields: Fields<'_>) -> Option<Self> {
        let text = |name| Some(fields.get(name)?.as_str()?.to_owned());
        let routing_keys = match fields.get("routing-keys")? {
            Value::Array(keys) => keys.iter().filter_map(|key| Some(key.as_str()?.to_owned())).collect(),
            _ => return None,
        };
        let Some(Value::Timestamp(time_s)) = fields.get("time") else { return None };
        Some(Self {
            original_expiration: text("original-expiration"),
            count: fields.get("count")?.as_i64()?,
            reason: text("reason")?,
            queue: text("queue")?,
            time_s,
            exchange: text("exchange")?,
            routing_keys,
        })
    }

    /// The fields in RabbitMQ's order, with its types.
    fn to_table(&self) -> Table {
        let keys = Array::from_values(self.routing_keys.iter().map(|key| Value::text(key)));
        let expiration = self.original_expiration.as_ref();
        let mut pairs = Vec::with_capacity(7);
        pairs.extend(expiration.map(|ms| ("original-expiration", Value::text(ms))));
        pairs.extend([
            ("count", Value::I64(self.count)),
            ("reason", Value::text(&self.reason)),
            ("queue", Value::text(&self.queue)),
            ("time", Value::Timestamp(self.time_s)),
            ("exchange", Value::text(&self.exchange)),
            ("routing-keys", Value::Array(keys.elements())),
        ]);
        Table::from_pairs(&pairs)
    }
}

/// What becomes of a message that died: the same body, addressed anew, with its history.
pub(super) fn letter(message: &Message, obituary: &Obituary<'_>, address: Address<'_>) -> Letter {
    let properties = Properties::new(&message.properties);
    let headers = properties.headers();
    let mut history = History::of(message);
    let is_first = history.0.is_empty();
    history.add(message, obituary);
    let deaths = history.to_array();
    let first = |name, now| {
        let known = if is_first { None } else { headers.get(name) };
        (name, known.unwrap_or(now))
    };
    let (reason, queue) = (Value::text(obituary.death.name()), Value::text(obituary.queue));
    let exchange = Value::text(&message.exchange);
    let mut pairs: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !OWN_HEADERS.contains(name) && !is_spent(name, address.routing_key.is_some()))
        .collect();
    pairs.extend([
        ("x-death", Value::Array(deaths.elements())),
        first("x-first-death-reason", reason),
        first("x-first-death-queue", queue),
        first("x-first-death-exchange", exchange),
        ("x-last-death-reason", reason),
        ("x-last-death-queue", queue),
        ("x-last-death-exchange", exchange),
    ]);
    let mut properties = properties.with_headers(&Table::from_pairs(&pairs));
    if address.routing_key.is_some() {
        properties = Properties::new(&properties).without_mark();
    }
    let routing_key = match address.routing_key {
        Some(key) => key.into(),
        None => Arc::clone(&message.routing_key),
    };
    let message = Message {
        exchange: Arc::clone(address.exchange),
        routing_key,
        properties: Properties::new(&properties).without_expiration(),
        body: message.body.clone(),
        persistent: message.persistent,
        dead_lettered: true,
        holders: Holders::default(),
    };
    Letter { message, history }
}

/// A dead-letter routing key replaces all keys. Without one the letter keeps even `BCC`, which no client is shown.
fn is_spent(header: &str, has_key: bool) -> bool {
    has_key && matches!(header, "CC" | "BCC")
}

/// The keys it was published with: its routing key, then those of `CC`, but not those of `BCC`.
fn routing_keys(message: &Message) -> Vec<String> {
    let mut keys = vec![message.routing_key.as_ref().to_owned()];
    if message.has_more_keys()
        && let Some(Value::Array(copies)) = Properties::new(&message.properties).headers().get("CC")
    {
        keys.extend(copies.iter().filter_map(|key| Some(key.as_str()?.to_owned())));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::properties::PropertyList;
    use bytes::Bytes;

    fn message(headers: &[(&str, Value<'_>)], expiration: Option<&str>) -> Message {
        let headers = Some(Table::from_pairs(headers));
        let list = PropertyList { headers, expiration, app_id: Some("a"), ..PropertyList::default() };
        let properties = list.encode();
        let properties = Properties::new(&properties).admit().expect("arrays").unwrap_or(properties);
        Message {
            exchange: "orders".into(),
            routing_key: "new".into(),
            properties,
            body: Bytes::from_static(b"body"),
            persistent: true,
            dead_lettered: false,
            holders: Holders::default(),
        }
    }

    fn die(message: &Message, queue: &str, death: Death, unix_ms: u64, routing_key: Option<&str>) -> Letter {
        letter(message, &Obituary { queue, death, unix_ms }, Address { exchange: &"dlx".into(), routing_key })
    }

    fn headers(message: &Message) -> Table {
        Properties::new(&message.properties).headers().to_table()
    }

    /// Its history as `reason queue count time`.
    fn deaths(letter: &Letter) -> Vec<String> {
        let entries = letter.history.0.iter();
        entries.map(|one| format!("{} {} {} {}", one.reason, one.queue, one.count, one.time_s)).collect()
    }

    #[test]
    fn the_first_death_is_told_with_rabbitmqs_fields_and_types() {
        let keys = Array::from_values([Value::text("copy")]);
        let cc = ("CC", Value::Array(keys.elements()));
        let before = message(&[("n", Value::I32(5)), cc, ("BCC", cc.1)], Some("+0060"));
        let letter = die(&before, "q", Death::Expired, 1_700_000_000_999, None);
        let after = &letter.message;
        assert_eq!((&*after.exchange, &*after.routing_key, after.dead_lettered), ("dlx", "new", true));
        assert_eq!((&after.body, after.persistent), (&before.body, true));
        let properties = Properties::new(&after.properties);
        assert_eq!((properties.expiration(), properties.app_id()), (None, Some("a")));
        let headers = headers(after);
        let names: Vec<_> = headers.iter().map(|(name, _)| name.to_owned()).collect();
        assert_eq!(names[..4], ["n", "CC", "BCC", "x-death"]);
        let shown = after.shown_properties();
        assert_eq!(Properties::new(&shown).headers().get("BCC"), None);
        assert_eq!(after.more_keys().collect::<Vec<_>>(), ["copy", "copy"], "they go on");
        let Some(Value::Array(entries)) = headers.get("x-death") else { panic!("an array") };
        let entry = entries.iter().next().and_then(|entry| entry.as_table()).expect("a table");
        let keys = Array::from_values([Value::text("new"), Value::text("copy")]);
        let expected = [
            ("original-expiration", Value::text("60")),
            ("count", Value::I64(1)),
            ("reason", Value::text("expired")),
            ("queue", Value::text("q")),
            ("time", Value::Timestamp(1_700_000_000)),
            ("exchange", Value::text("orders")),
            ("routing-keys", Value::Array(keys.elements())),
        ];
        assert_eq!(entry.iter().collect::<Vec<_>>(), expected);
        for (name, value) in [("reason", "expired"), ("queue", "q"), ("exchange", "orders")] {
            for which in ["first", "last"] {
                let header = headers.get(&format!("x-{which}-death-{name}"));
                assert_eq!(header, Some(Value::text(value)), "{which} {name}");
            }
        }
    }

    #[test]
    fn a_pair_that_comes_again_counts_up_and_moves_to_the_front() {
        let first = die(&message(&[], Some("5")), "a", Death::Expired, 1000, None);
        let second = die(&first.message, "b", Death::Rejected, 2000, None);
        let third = die(&second.message, "a", Death::Expired, 3000, None);
        let fourth = die(&third.message, "a", Death::MaxLength, 4000, None);
        assert_eq!(deaths(&second), ["rejected b 1 2", "expired a 1 1"]);
        assert_eq!(deaths(&third), ["expired a 2 1", "rejected b 1 2"], "the time is the first one's");
        assert_eq!(deaths(&fourth), ["maxlen a 1 4", "expired a 2 1", "rejected b 1 2"]);
        let headers = headers(&fourth.message);
        let text = |name: &str| headers.get(name).and_then(|value| value.as_str().map(str::to_owned));
        assert_eq!(text("x-first-death-queue").as_deref(), Some("a"));
        assert_eq!(text("x-first-death-exchange").as_deref(), Some("orders"));
        assert_eq!(text("x-last-death-reason").as_deref(), Some("maxlen"));
        assert_eq!(text("x-last-death-exchange").as_deref(), Some("dlx"));
        assert_eq!(
            fourth.history.0[1].original_expiration.as_deref(),
            Some("5"),
            "kept from its first death"
        );
    }

    #[test]
    fn a_publishers_history_is_not_believed() {
        let letter = die(&message(&[], None), "q", Death::Rejected, 1000, None);
        let again = Message { dead_lettered: false, ..letter.message };
        let letter = die(&again, "q", Death::Rejected, 9000, None);
        assert_eq!(deaths(&letter), ["rejected q 1 9"]);
        assert_eq!(headers(&letter.message).iter().filter(|(name, _)| *name == "x-death").count(), 1);
        let nonsense = message(&[("x-death", Value::Void), ("x-first-death-queue", Value::I32(1))], None);
        let letter = die(&nonsense, "q", Death::Rejected, 1000, None);
        assert_eq!(headers(&letter.message).get("x-first-death-queue"), Some(Value::text("q")));
    }

    #[test]
    fn a_dead_letter_routing_key_replaces_all_keys() {
        let keys = Array::from_values([Value::text("copy")]);
        let letter = die(
            &message(&[("CC", Value::Array(keys.elements()))], None),
            "q",
            Death::Rejected,
            0,
            Some("dead"),
        );
        assert_eq!((&*letter.message.routing_key, headers(&letter.message).get("CC")), ("dead", None));
        assert_eq!(letter.history.0[0].routing_keys, ["new", "copy"], "as it was published");
    }

    #[test]
    fn only_a_rejection_lets_a_message_turn() {
        let one = die(&message(&[], None), "a", Death::Expired, 0, None);
        assert!(one.history.is_cycle("a") && !one.history.is_cycle("b"));
        let two = die(&one.message, "b", Death::Rejected, 0, None);
        assert!(!two.history.is_cycle("a") && !two.history.is_cycle("b"));
        let three = die(&two.message, "c", Death::DeliveryLimit, 0, None);
        assert!(three.history.is_cycle("c") && !three.history.is_cycle("a"));
    }
}
