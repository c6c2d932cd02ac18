//! A store as plain maps: what it must hold after a list of operations. The log is one sequence, so whatever a crash
//! leaves must be the state after some prefix of the operations that holds at least every confirmed one. That says at
//! once: nothing confirmed is lost, nothing is invented, order holds, a transaction is whole or absent, what was settled
//! or deleted durably does not come back.

use ledgermq_storage::{
    Change, DefinitionKey, DeliveredRange, GroupId, Lsn, QueueId, Reader, Recovered, Seq, Settle, Slot,
    Wanted,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A message, byte for byte.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) persistent: bool,
    pub(crate) dead_lettered: bool,
}

/// One operation, as appended.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Publish(Arc<Message>, Vec<Slot>),
    Settle(Settle),
    Transaction(Vec<(Arc<Message>, Vec<Slot>)>, Vec<Settle>),
    Define(GroupId, Vec<Change>),
    Purge(QueueId, Seq, Vec<Seq>),
    DropQueue(GroupId, QueueId, Vec<Change>),
    Delivered(Vec<DeliveredRange>),
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) definitions: BTreeMap<(GroupId, DefinitionKey), Vec<u8>>,
    pub(crate) queues: BTreeMap<QueueId, Queue>,
    /// Ids of queues that held a message or were dropped: never to be given again.
    pub(crate) used: BTreeSet<QueueId>,
}

/// A queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Queue {
    pub(crate) live: BTreeMap<Seq, Arc<Message>>,
    /// Above every position logged.
    pub(crate) next_seq: Seq,
    pub(crate) delivered: BTreeMap<Seq, u32>,
}

impl Model {
    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Publish(message, slots) => self.publish(message, slots),
            Operation::Settle(settle) => self.settle(settle),
            Operation::Transaction(publishes, settles) => {
                for (message, slots) in publishes {
                    self.publish(message, slots);
                }
                for settle in settles {
                    self.settle(settle);
                }
            }
            Operation::Define(group, changes) => self.define(*group, changes),
            Operation::Purge(queue, last, kept) => {
                if let Some(queue) = self.queues.get_mut(queue) {
                    queue.live.retain(|seq, _| seq > last || kept.contains(seq));
                }
            }
            Operation::DropQueue(group, queue, changes) => {
                self.queues.remove(queue);
                self.used.insert(*queue);
                self.define(*group, changes);
            }
            Operation::Delivered(ranges) => {
                for range in ranges {
                    let Some(queue) = self.queues.get_mut(&range.queue) else { continue };
                    for seq in range.first.0..=range.last.0 {
                        queue.delivered.insert(Seq(seq), range.count);
                    }
                }
            }
        }
    }

    fn publish(&mut self, message: &Arc<Message>, slots: &[Slot]) {
        for slot in slots {
            self.used.insert(slot.queue);
            let queue = self.queues.entry(slot.queue).or_default();
            queue.live.insert(slot.seq, Arc::clone(message));
            queue.next_seq = queue.next_seq.max(slot.seq.next());
        }
    }

    fn settle(&mut self, settle: &Settle) {
        if let Some(queue) = self.queues.get_mut(&settle.queue) {
            queue.live.remove(&settle.seq);
        }
    }

    fn define(&mut self, group: GroupId, changes: &[Change]) {
        for (key, value) in changes {
            match value {
                Some(value) => self.definitions.insert((group, key.clone()), value.clone()),
                None => self.definitions.remove(&(group, key.clone())),
            };
        }
    }

    pub(crate) fn message_count(&self) -> u64 {
        self.queues.values().map(|queue| queue.live.len() as u64).sum()
    }
}

/// What a recovered store holds, read back through its own reader.
#[derive(Debug, PartialEq)]
pub(crate) struct Contents {
    pub(crate) clean: bool,
    pub(crate) definitions: BTreeMap<(GroupId, DefinitionKey), Vec<u8>>,
    pub(crate) queues: BTreeMap<QueueId, Queue>,
    /// Messages that are listed but cannot be read.
    pub(crate) unreadable: u64,
}

impl Contents {
    /// Reads everything; whatever does not add up within the store is an error.
    pub(crate) fn read(recovered: &Recovered, reader: &Reader) -> Result<Contents, String> {
        let mut contents = Contents {
            clean: recovered.clean,
            definitions: BTreeMap::new(),
            queues: BTreeMap::new(),
            unreadable: 0,
        };
        for (group, key, value) in &recovered.definitions {
            contents.definitions.insert((*group, key.clone()), value.clone());
        }
        let mut total = 0;
        for found in &recovered.queues {
            let mut queue = Queue { next_seq: found.next_seq, ..Queue::default() };
            for run in &found.runs {
                let failed = |error| format!("queue {}: {run:?}: {error}", found.id);
                let entries = reader.entries(found.id, run).map_err(failed)?;
                if !entries.is_sorted_by(|a, b| a.seq < b.seq) {
                    return Err(format!("queue {}: entries of {run:?} do not ascend", found.id));
                }
                let live: Vec<_> =
                    entries.into_iter().filter(|entry| !found.settled.contains(entry.seq)).collect();
                let wanted: Vec<Wanted> = live
                    .iter()
                    .map(|entry| Wanted {
                        lsn: entry.lsn,
                        record_bytes: entry.record_bytes,
                        queue: found.id,
                        seq: entry.seq,
                    })
                    .collect();
                for (entry, message) in live.iter().zip(reader.messages(&wanted)) {
                    let message = match message {
                        Ok(message) => Arc::new(Message {
                            exchange: message.exchange.to_string(),
                            routing_key: message.routing_key.to_string(),
                            properties: message.properties.to_vec(),
                            body: message.body.to_vec(),
                            persistent: message.persistent,
                            dead_lettered: message.dead_lettered,
                        }),
                        Err(_) => {
                            contents.unreadable += 1;
                            Arc::new(unreadable())
                        }
                    };
                    if queue.live.insert(entry.seq, message).is_some() {
                        return Err(format!("queue {}: position {} is there twice", found.id, entry.seq));
                    }
                }
            }
            if queue.live.len() as u64 != found.live {
                return Err(format!(
                    "queue {}: {} messages said, {} found: {:?} in {:?}, settled {:?}",
                    found.id,
                    found.live,
                    queue.live.len(),
                    queue.live.keys(),
                    found.runs,
                    found.settled,
                ));
            }
            for range in &found.delivered {
                for seq in range.first.0..=range.last.0 {
                    queue.delivered.insert(Seq(seq), range.count);
                }
            }
            total += found.live;
            contents.queues.insert(found.id, queue);
        }
        if total != recovered.statistics.messages {
            return Err(format!("{} messages said, {total} found", recovered.statistics.messages));
        }
        Ok(contents)
    }

    /// Whether this is what the model holds. Messages that cannot be read match any; the caller counts them.
    pub(crate) fn difference(&self, model: &Model) -> Option<String> {
        if self.definitions != model.definitions {
            return Some("definitions differ".into());
        }
        for (id, queue) in &self.queues {
            if queue.live.is_empty() {
                continue;
            }
            if !model.queues.contains_key(id) {
                return Some(format!("queue {id} with {} messages is not to be there", queue.live.len()));
            }
        }
        for (id, expected) in &model.queues {
            let empty = Queue::default();
            let found = self.queues.get(id).unwrap_or(&empty);
            if !found.live.keys().eq(expected.live.keys()) {
                let missing: Vec<_> =
                    expected.live.keys().filter(|seq| !found.live.contains_key(seq)).collect();
                let extra: Vec<_> =
                    found.live.keys().filter(|seq| !expected.live.contains_key(seq)).collect();
                return Some(format!("queue {id}: missing {missing:?}, not to be there {extra:?}"));
            }
            for (seq, message) in &found.live {
                if **message != unreadable() && expected.live.get(seq) != Some(message) {
                    return Some(format!("queue {id}: message {seq} differs"));
                }
            }
            if found.next_seq < expected.next_seq && self.queues.contains_key(id) {
                return Some(format!("queue {id}: position {} would be used again", found.next_seq));
            }
            for (seq, count) in &expected.delivered {
                if expected.live.contains_key(seq) && found.delivered.get(seq) != Some(count) {
                    return Some(format!("queue {id}: the delivery of {seq} is forgotten"));
                }
            }
        }
        None
    }
}

fn unreadable() -> Message {
    Message {
        exchange: "(unreadable)".into(),
        routing_key: String::new(),
        properties: Vec::new(),
        body: Vec::new(),
        persistent: false,
        dead_lettered: false,
    }
}

/// The operations since the model's state, in the order of the log, and the state itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What the store held before the operations.
    pub(crate) base: Model,
    pub(crate) operations: Vec<(Lsn, Operation)>,
}

impl History {
    /// Moves operations below `durable` into the base.
    pub(crate) fn confirm(&mut self, durable: Lsn) {
        let count = self.operations.iter().take_while(|(lsn, _)| *lsn < durable).count();
        for (_, operation) in self.operations.drain(..count) {
            self.base.apply(&operation);
        }
    }

    /// The state after the shortest prefix of the operations that holds everything below `durable` and is what was found.
    pub(crate) fn matching(&self, found: &Contents, durable: Lsn) -> Result<Model, String> {
        let confirmed = self.operations.iter().take_while(|(lsn, _)| *lsn < durable).count();
        let mut model = self.base.clone();
        let mut differences = Vec::new();
        for count in 0..=self.operations.len() {
            if count > 0
                && let Some((_, operation)) = self.operations.get(count - 1)
            {
                model.apply(operation);
            }
            if count >= confirmed {
                let Some(difference) = found.difference(&model) else { return Ok(model) };
                differences.push(difference);
            }
        }
        Err(format!(
            "{confirmed} of {} operations confirmed; none of the states that may be left was found: \
             after the confirmed: {}; after all: {}",
            self.operations.len(),
            differences.first().map_or("", String::as_str),
            differences.last().map_or("", String::as_str),
        ))
    }
}
