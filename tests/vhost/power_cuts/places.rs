//! Where messages are, as the store itself says after a recovery: queue by queue, each with the deaths it tells of. And
//! what must be true of that, whatever happened before.

use super::store_log::bodies;
use ledgermq::definitions::Definition;
use ledgermq::message::Message;
use ledgermq::protocol::properties::Properties;
use ledgermq::protocol::value::Value;
use ledgermq_storage::{Reader, Recovered};
use std::collections::BTreeMap;

/// A message in a queue, known by the number in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) number: u64,
    /// Reason, queue and count of each death, the newest first.
    pub(super) deaths: Vec<(String, String, i64)>,
}

/// Messages by queue, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places(pub(super) BTreeMap<String, Vec<Found>>);

/// What the publisher and the consumer know of a message.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// It has been confirmed, or was there after a recovery.
    pub(super) is_safe: bool,
    /// It has been acknowledged, or was rejected where rejected messages go nowhere: it may be gone.
    pub(super) is_settled: bool,
    /// It was not there after a recovery.
    pub(super) is_gone: bool,
}

/// The queue that keeps what it is given; in the others a message is in one at a time.
pub(super) const STREAM: &str = "s";
/// Where messages end that nobody consumes.
pub(super) const SINK: &str = "sink";

impl Places {
    /// Reads everything that waits.
    pub(super) fn read(recovered: &Recovered, reader: &Reader) -> Self {
        let definitions = recovered.definitions.iter();
        let names: BTreeMap<_, _> = definitions
            .filter_map(|(_, key, value)| match Definition::decode(key, value) {
                Ok(Definition::Queue(queue)) => Some((queue.queue, queue.name)),
                _ => None,
            })
            .collect();
        let mut places = BTreeMap::new();
        for queue in &recovered.queues {
            let mut entries = Vec::new();
            for run in &queue.runs {
                entries.extend(reader.entries(queue.id, run).expect("a run can be read"));
            }
            entries.retain(|entry| !queue.settled.contains(entry.seq));
            entries.sort_by_key(|entry| entry.seq);
            assert_eq!(entries.len() as u64, queue.live, "{}: as many as are said", names[&queue.id]);
            let wanted: Vec<_> =
                entries.iter().map(|entry| (entry.seq, entry.lsn, entry.record_bytes)).collect();
            let found = bodies(reader, queue.id, &wanted).into_iter();
            let found = found.map(|(_, message)| Found::of(&message.expect("what waits can be read")));
            places.insert(names[&queue.id].clone(), found.collect());
        }
        Self(places)
    }

    pub(super) fn count(&self, queue: &str) -> u64 {
        self.0.get(queue).map_or(0, |found| found.len() as u64)
    }

    /// Each message is in exactly one queue, and says truly how it came there.
    pub(super) fn check(&self, known: &BTreeMap<u64, Known>) {
        let mut at: BTreeMap<u64, &str> = BTreeMap::new();
        for (queue, found) in self.0.iter().filter(|(queue, _)| *queue != STREAM) {
            for message in found {
                let before = at.insert(message.number, queue);
                assert_eq!(before, None, "{} is in two places: also in {queue}", message.number);
                message.check_deaths(queue);
            }
        }
        let streamed = self.0.get(STREAM).into_iter().flatten();
        let mut in_stream: BTreeMap<u64, u64> = BTreeMap::new();
        streamed.for_each(|message| *in_stream.entry(message.number).or_default() += 1);
        for (number, known) in known {
            let place = at.get(number).copied();
            if known.is_safe && !known.is_settled {
                assert!(place.is_some(), "{number} was confirmed and is nowhere");
            }
            assert!(!known.is_gone || place.is_none(), "{number} came back into {place:?}");
            let copies = in_stream.get(number).copied().unwrap_or(0);
            match place {
                Some(SINK) => assert_eq!(copies, 1, "{number} went to both, in one record"),
                Some(_) => assert_eq!(copies, 0, "{number} has not died in b yet"),
                None => assert!(copies <= 1, "{number} died in b once"),
            }
        }
        for number in at.keys() {
            assert!(known.contains_key(number), "{number} was never published");
        }
    }
}

impl Found {
    fn of(message: &Message) -> Self {
        let text = String::from_utf8_lossy(&message.body);
        let number = text.trim_end_matches('.').parse().expect("a body begins with its number");
        let headers = Properties::new(&message.properties).headers();
        let deaths = match headers.get("x-death") {
            Some(Value::Array(deaths)) => deaths
                .iter()
                .filter_map(|death| {
                    let death = death.as_table()?;
                    let text = |name| death.get(name).and_then(|value| value.as_str()).map(str::to_owned);
                    Some((text("reason")?, text("queue")?, death.get("count")?.as_i64()?))
                })
                .collect(),
            _ => Vec::new(),
        };
        Self { number, deaths }
    }

    /// The way here: from the first queues to `b`, from there to the sink; no step is told twice or left out.
    fn check_deaths(&self, queue: &str) {
        let reasons = |queue: &str| -> &[&str] {
            match queue {
                "a" => &["expired", "maxlen", "rejected"],
                "p" => &["expired", "rejected"],
                "q" => &["delivery_limit", "rejected"],
                "r" | "b" => &["maxlen", "rejected"],
                other => panic!("{other} lets nothing go"),
            }
        };
        let way: Vec<&str> = self.deaths.iter().map(|(_, queue, _)| queue.as_str()).collect();
        let is_right = match queue {
            SINK => way.first() == Some(&"b") && way.len() <= 2 && way.get(1) != Some(&"b"),
            "b" => way.len() <= 1 && way.first() != Some(&"b"),
            _ => way.is_empty(),
        };
        assert!(is_right, "{} in {queue} came by {way:?}", self.number);
        for (reason, queue, count) in &self.deaths {
            assert!(reasons(queue).contains(&reason.as_str()), "{reason} in {queue}");
            assert_eq!(*count, 1, "{} died in {queue} once", self.number);
        }
    }
}
