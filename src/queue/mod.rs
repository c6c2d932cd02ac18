//! One queue: what waits, who holds what, who is next. A self-contained value: it could move into a core of its own.
//! Pure: the vhost writes to the log, speaks to channels, and tells the queue how far the log got.
//! Invariants: a seq waits or is held, never both; counts and bytes are exact after every call; a message that the log
//! does not hold is always resident.
//! Time to live and lengths are enforced by the vhost, which alone knows the time and where dead letters go: see [`Leaver`].

mod argument_values;
mod arguments;
mod chunk;
mod consumers;
mod due;
mod entry;
mod equivalence;
mod far;
mod holding;
mod leaving;
mod levels;
mod reading;
mod ready;
mod recovered;
mod residency;
mod returns;
mod settings;
mod stream;
mod unacked;

pub use argument_values::age_ms;
pub use arguments::{QUEUE_ARGUMENTS, QueueArgument, asked_kind, with_kind};
pub use consumers::{Consumer, ConsumerSlot, ConsumerView, Serving};
pub use entry::Entry;
pub use equivalence::{Shown, check_equivalent, check_same, inequivalent};
pub use holding::Overdue;
pub use leaving::{Death, Leaver, LeavesFrom};
pub use reading::WantedBodies;
pub use recovered::{Ranges, Redelivered, WaitingRun};
pub use returns::ReturnedRange;
pub use settings::{
    DELIVERIES_UNLIMITED, DeadLetterStrategy, Overflow, QueueArguments, QueueKind, QueueSettings, QueueValues,
};
pub use stream::{Filter, Limits, Start, Stream, StreamAnswer, StreamRead, Turn, WantedFromStream};
pub use unacked::{ChannelSlot, Held, Owner};

use crate::budget::Budget;
use crate::message::Message;
use crate::protocol::properties::Properties;
use chunk::Paged;
use consumers::Consumers;
use due::Due;
use leaving::Leaving;
use ledgermq_storage::{DeliveredRange, Lsn, QueueId, Seq, SettledSet};
use levels::Levels;
use ready::Head;
use residency::Residency;
use returns::Returns;
use std::collections::BTreeSet;
use std::sync::Arc;
use unacked::Unacked;

/// A queue: its messages and its consumers. Names, bindings and owners are the vhost's.
#[derive(Debug)]
pub struct Queue {
    id: QueueId,
    next_seq: Seq,
    ready: Levels,
    /// The highest priority; 0 if all messages are equal.
    priority_max: u8,
    unacked: Unacked,
    /// Its messages, if they wait for a time instead; then `ready` is empty.
    due: Option<Box<Due>>,
    leaving: Leaving,
    returns: Returns,
    /// Held messages stay in memory while the budget allows, however many: they may have to go elsewhere.
    keeps_held: bool,
    consumers: Consumers,
    residency: Residency,
    /// Bodies were asked for; the answer is on its way.
    reading: bool,
    /// Messages whose record could not be read: they stay in the log and are never delivered.
    damaged: BTreeSet<Seq>,
    damaged_count: u64,
    settled: SettledSet,
    redelivered: Redelivered,
}

/// How far the log got, as it matters to a queue.
#[derive(Clone, Copy, Debug)]
pub struct Watermarks {
    /// Messages below may be delivered.
    pub deliverable: Lsn,
    /// Messages below can be read back.
    pub readable: Lsn,
}

/// Whether the first message can be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// Nothing waits.
    Empty,
    /// Once the log got further.
    Later,
    /// Once something was read: see [`Queue::wanted`].
    Reading,
    /// Now.
    Ready,
}

/// A message on its way out.
#[derive(Debug)]
pub struct Taken {
    /// Position in the queue.
    pub seq: Seq,
    /// The message.
    pub message: Arc<Message>,
    /// May have been delivered before.
    pub redelivered: bool,
    /// Whether the log holds it, so that its end must be logged too.
    pub logged: bool,
    /// How often it came back before, if the queue counts that.
    pub return_count: u32,
}

/// The highest priority that is not urgent in a quorum queue. Source: RabbitMQ 4.0.
const NORMAL_MAX: u8 = 4;

impl Queue {
    /// An empty queue.
    pub fn new(id: QueueId, budget: Budget) -> Self {
        Self {
            id,
            next_seq: Seq(0),
            ready: Levels::default(),
            priority_max: 0,
            unacked: Unacked::default(),
            due: None,
            leaving: Leaving::default(),
            returns: Returns::default(),
            keeps_held: false,
            consumers: Consumers::default(),
            residency: Residency::new(budget),
            reading: false,
            damaged: BTreeSet::new(),
            damaged_count: 0,
            settled: SettledSet::new(),
            redelivered: Redelivered::default(),
        }
    }

    /// A queue as the log kept it: every message waits, none is in memory.
    pub fn restore(
        id: QueueId,
        budget: Budget,
        next_seq: Seq,
        runs: impl IntoIterator<Item = WaitingRun>,
        settled: SettledSet,
        redelivered: Redelivered,
    ) -> Self {
        let mut queue = Self::new(id, budget);
        (queue.next_seq, queue.settled, queue.redelivered) = (next_seq, settled, redelivered);
        for WaitingRun { run, live_count, body_bytes, is_guess } in runs {
            if live_count > 0 || is_guess {
                let is_estimate = true;
                queue.ready.push_paged(Paged {
                    run,
                    live_count,
                    body_bytes,
                    is_guess,
                    is_estimate,
                    asked: false,
                });
            }
        }
        queue
    }

    /// Its number in the log.
    pub fn id(&self) -> QueueId {
        self.id
    }

    /// The position the next message will have.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Takes the next position for a message that is not here yet. To be undone before it is enqueued.
    pub fn draw_seq(&mut self) -> Seq {
        let seq = self.next_seq;
        self.next_seq = seq.next();
        seq
    }

    /// Gives the last position drawn back.
    pub fn undo_draw(&mut self) {
        assert!(self.next_seq > Seq(0), "what is undone was drawn");
        self.next_seq = Seq(self.next_seq.0 - 1);
    }

    /// The first messages that wait, in order, up to the first that is on disk only.
    pub fn first_entries(&self) -> impl Iterator<Item = &Entry> {
        self.ready.in_order()
    }

    /// Messages waiting.
    pub fn ready_count(&self) -> u64 {
        self.ready.len() + self.due.as_ref().map_or(0, |due| due.len())
    }

    /// Body bytes waiting.
    pub fn ready_bytes(&self) -> u64 {
        self.ready.bytes() + self.due.as_ref().map_or(0, |due| due.bytes())
    }

    /// The same as far as it is certain: after a start, what was not read yet is an estimate.
    pub fn ready_bytes_min(&self) -> u64 {
        self.ready.bytes_min()
    }

    /// Messages held, and those given away that could not leave yet.
    pub fn unacked_count(&self) -> u64 {
        (self.unacked.len() + self.leaving.len()) as u64
    }

    /// Body bytes of these.
    pub fn unacked_bytes(&self) -> u64 {
        self.unacked.bytes() + self.leaving.bytes()
    }

    /// Whether held messages stay in memory while the budget allows, however many they are.
    pub fn keep_held(&mut self, keeps_held: bool) {
        self.keeps_held = keeps_held;
    }

    /// Whether it counts how often messages come back, and how often is allowed.
    pub fn count_returns(&mut self, is_counting: bool, limit: Option<u64>) {
        self.returns.set(is_counting, limit);
    }

    /// How often messages had come back before the last start.
    pub fn restore_returns(&mut self, ranges: &[DeliveredRange]) {
        self.returns.restore(ranges);
    }

    /// What the log must be told of messages that came back.
    pub fn take_returned(&mut self) -> Vec<ReturnedRange> {
        if !self.returns.is_counting() {
            return Vec::new();
        }
        let (ready, leaving) = (&mut self.ready, &mut self.leaving);
        let logged: BTreeSet<_> = self
            .returns
            .changed()
            .iter()
            .copied()
            .filter(|seq| {
                let entry = ready.find_mut(*seq).or_else(|| leaving.find_mut(*seq));
                entry.is_some_and(|entry| entry.is_logged())
            })
            .collect();
        self.returns.take_changed(|seq| logged.contains(&seq))
    }

    /// Messages whose body is in memory.
    pub fn resident_count(&self) -> u64 {
        self.residency.count() as u64
    }

    /// Messages set aside because their record could not be read.
    pub fn damaged_count(&self) -> u64 {
        self.damaged_count
    }

    /// Consumers.
    pub fn consumer_count(&self) -> usize {
        self.consumers.len()
    }

    /// Whether a consumer wants to be alone.
    pub fn has_exclusive_consumer(&self) -> bool {
        self.consumers.is_exclusive()
    }

    /// Sets whom it serves; before it has consumers.
    pub fn serve(&mut self, serving: Serving) {
        self.consumers.serve(serving);
    }

    /// Whether only one of its consumers is served at a time.
    pub fn has_single_active_consumer(&self) -> bool {
        self.consumers.is_single_active()
    }

    /// Every consumer.
    pub fn consumers(&self) -> impl Iterator<Item = ConsumerView<'_>> {
        self.consumers.iter()
    }

    /// Sets its highest priority; before it has messages that are not restored.
    pub fn rank(&mut self, priority_max: u8) {
        self.priority_max = priority_max;
    }

    /// Makes it tell urgent messages from normal ones, and hand out two of the urgent before one of the normal; before it has
    /// messages that are not restored.
    pub fn rank_urgent(&mut self) {
        self.priority_max = 1;
        self.ready.take_turns();
    }

    /// The level a message has here: what it says, at most the highest there is; 0 if it says nothing. In queues that only
    /// tell urgent from normal, 1 from priority 5 up. Source: RabbitMQ `rabbit_priority_queue`, `rabbit_fifo`.
    pub fn priority_of(&self, message: &Message) -> u8 {
        if self.priority_max == 0 {
            return 0;
        }
        let priority = Properties::new(&message.properties).priority().unwrap_or_default();
        if self.ready.takes_turns() {
            u8::from(priority > NORMAL_MAX)
        } else {
            priority.min(self.priority_max)
        }
    }

    /// Adds a message behind all others of its priority, at [`Self::next_seq`]. `lsn` is [`Lsn::NONE`] if the log does
    /// not hold it; `expire_unix_ms` is 0 if it does not expire.
    pub fn enqueue(&mut self, message: &Arc<Message>, lsn: Lsn, record_bytes: u32, expire_unix_ms: u64) {
        let mut entry = Entry::new(self.next_seq, lsn, record_bytes, Arc::clone(message));
        entry.expire_unix_ms = expire_unix_ms;
        if !entry.is_logged() || self.residency.admits(self.consumers.any_ready()) {
            self.residency.hold(message);
        } else {
            entry.message = None;
        }
        self.next_seq = self.next_seq.next();
        match &mut self.due {
            None => self.ready.push(self.priority_of(message), entry),
            Some(due) => due.insert(entry),
        }
    }

    /// Whether the first message can be handed out.
    pub fn availability(&self, marks: Watermarks) -> Availability {
        match self.ready.head() {
            Head::Empty => Availability::Empty,
            Head::Paged => Availability::Reading,
            Head::Entry(entry) => {
                let resident = entry.message.is_some();
                let needed = if resident { marks.deliverable } else { marks.deliverable.min(marks.readable) };
                if entry.waits_for(needed) {
                    Availability::Later
                } else if resident {
                    Availability::Ready
                } else {
                    Availability::Reading
                }
            }
        }
    }

    /// Hands the first message to `owner`, or, without one, for good. Call when [`Availability::Ready`].
    pub fn take(&mut self, owner: Option<Owner>) -> Option<Taken> {
        let priority = self.ready.top();
        let mut entry = self.ready.pop()?;
        let (seq, redelivered, logged) = (entry.seq, entry.is_redelivered(), entry.is_logged());
        // A held message that the log has can be read back if it is ever put back; the others must stay.
        let stays = owner.is_some() && (!logged || self.residency.admits_held(self.keeps_held));
        let return_count = self.returns.of(seq);
        let message = if stays { entry.message.clone() } else { self.residency.release(&mut entry) };
        assert!(message.is_some(), "a message is taken only when it is resident");
        if let Some(owner) = owner {
            self.unacked.insert(Held { entry, owner, priority });
        } else {
            self.returns.forget(seq);
        }
        Some(Taken { seq, message: message?, redelivered, logged, return_count })
    }

    /// The next consumer in turn that can take a message as far as the queue knows.
    pub fn next_consumer(&self) -> Option<(ConsumerSlot, &Consumer)> {
        self.consumers.next()
    }

    /// Whether there is one.
    pub fn has_ready_consumer(&self) -> bool {
        self.consumers.any_ready()
    }

    /// The consumer in turn took a message.
    pub fn consumer_took(&mut self, slot: ConsumerSlot) {
        self.consumers.took(slot);
    }

    /// The consumer in turn cannot take one until it is roused: its channel or connection is full. Answers whether that is
    /// new, so that whoever rouses it must remember it.
    pub fn consumer_sleeps(&mut self, slot: ConsumerSlot) -> bool {
        self.consumers.put_to_sleep(slot)
    }

    /// The channel and the connection of a consumer are no longer full.
    pub fn rouse_consumer(&mut self, slot: ConsumerSlot) {
        self.consumers.rouse(slot);
    }

    /// Adds a consumer.
    pub fn add_consumer(&mut self, consumer: Consumer) -> ConsumerSlot {
        self.consumers.add(consumer)
    }

    /// Ends a consumer; what it holds stays with its channel.
    pub fn cancel_consumer(&mut self, slot: ConsumerSlot) {
        self.consumers.cancel(slot);
    }

    /// A consumer settled a delivery that the queue itself does not know of: one of its stream.
    pub fn consumer_settled(&mut self, slot: ConsumerSlot) {
        self.consumers.settled(slot);
    }

    /// Deliveries a consumer may still be given; [`u64::MAX`] without a limit.
    pub fn credit_of(&self, slot: ConsumerSlot) -> u64 {
        self.consumers.credit_of(slot)
    }

    /// Removes what waits; answers how many messages. What is held stays, as [`Self::held_seqs`] says.
    pub fn purge(&mut self) -> u64 {
        let count = self.ready.len();
        for mut entry in self.ready.clear() {
            self.residency.release(&mut entry);
        }
        self.reading = false;
        let held: BTreeSet<_> = self.held().map(|entry| entry.seq).collect();
        self.returns.keep(|seq| held.contains(&seq));
        count
    }
}

/// What is in memory for this queue alone is so no longer.
impl Drop for Queue {
    fn drop(&mut self) {
        let due = self.due.iter().flat_map(|due| due.resident());
        let held = self.unacked.iter().map(|held| &held.entry).chain(self.leaving.iter());
        self.residency.release_all(self.ready.resident().chain(due).chain(held));
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod test_support {
    use super::*;
    use crate::message::Holders;
    use bytes::Bytes;

    /// A message with this body, published to the default exchange.
    pub(crate) fn message(body: &str, persistent: bool) -> Arc<Message> {
        Arc::new(Message {
            exchange: "".into(),
            routing_key: "q".into(),
            properties: Bytes::new(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            persistent,
            dead_lettered: false,
            holders: Holders::default(),
        })
    }
}
