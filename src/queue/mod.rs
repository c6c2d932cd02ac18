//! One queue: what waits, who holds what, who is next. A self-contained value: it could move into a core of its own.
//! Pure: the vhost writes to the log, speaks to channels, and tells the queue how far the log got.
//! Invariants: a seq waits or is held, never both; counts and bytes are exact after every call; a message that the log
//! does not hold is always resident.
//! Time to live and lengths are enforced by the vhost, which alone knows the time and where dead letters go: see [`Leaver`].

mod arguments;
mod chunk;
mod consumers;
mod due;
mod entry;
mod equivalence;
mod leaving;
mod levels;
mod ready;
mod recovered;
mod residency;
mod returns;
mod settings;
mod stream;
mod unacked;

pub use arguments::{QUEUE_ARGUMENTS, QueueArgument, age_ms, asked_kind, with_kind};
pub use consumers::{Consumer, ConsumerSlot, ConsumerView, Serving};
pub use entry::Entry;
pub use equivalence::{Shown, check_equivalent, check_same, inequivalent};
pub use leaving::{Death, Leaver, LeavesFrom};
pub use recovered::{Ranges, Redelivered, WaitingRun};
pub use returns::ReturnedRange;
pub use settings::{
    DELIVERIES_UNLIMITED, DeadLetterStrategy, Overflow, QueueArguments, QueueKind, QueueSettings, QueueValues,
};
pub use stream::{Filter, Limits, Start, Stream, StreamAnswer, StreamRead, Turn, WantedFromStream};
pub use unacked::{ChannelSlot, Held, Owner};

use crate::budget::Budget;
use crate::limits::{HEAD_BYTES_MAX, HEAD_ENTRIES_MIN, HEAD_MESSAGES_MAX};
use crate::message::Message;
use crate::protocol::properties::Properties;
use chunk::Paged;
use consumers::Consumers;
use due::Due;
use leaving::Leaving;
use ledgermq_storage::{DeliveredRange, Lsn, QueueId, Run, SegmentId, Seq, SettledSet, StoredEntry};
use levels::Levels;
use ready::Head;
use residency::Residency;
use returns::Returns;
use std::collections::{BTreeSet, VecDeque};
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
    /// Its messages, if they wait for a time instead; then `ready` only holds what is still to be read.
    due: Option<Box<Due>>,
    leaving: Leaving,
    returns: Returns,
    /// Held messages stay in memory while the budget allows: they may have to go elsewhere.
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

/// Somebody who holds a delivery for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Who.
    pub owner: Owner,
    /// The time it had, ms.
    pub timeout_ms: u64,
}

/// Bodies to read back: position in the queue, position in the log, record length in bytes.
pub type WantedBodies = Vec<(Seq, Lsn, u32)>;

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
        let mut queue = Self { next_seq, settled, redelivered, ..Self::new(id, budget) };
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

    /// Whether held messages stay in memory while the budget allows.
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

    /// The level a message has here: what it says, at most the highest there is; 0 if it says nothing.
    /// Source: RabbitMQ `rabbit_priority_queue`.
    pub fn priority_of(&self, message: &Message) -> u8 {
        if self.priority_max == 0 {
            return 0;
        }
        Properties::new(&message.properties).priority().unwrap_or_default().min(self.priority_max)
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
        // A held message that the log has is read back if it is ever put back; the others must stay.
        let stays = owner.is_some() && (!logged || self.keeps_held && self.residency.admits(false));
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

    /// Takes a message back from the channel that holds it, to be forgotten or put back; the consumer gets its credit
    /// back. `None` if this channel does not hold it.
    pub fn settle(&mut self, seq: Seq, channel: ChannelSlot) -> Option<Held> {
        let held = self.unacked.take(seq, channel)?;
        if let Some(consumer) = held.owner.consumer {
            self.consumers.settled(consumer);
        }
        Some(held)
    }

    /// Whether this channel holds the message at `seq`, and the log knows of it.
    pub fn is_held_and_logged(&self, seq: Seq, channel: ChannelSlot) -> bool {
        self.unacked.get(seq, channel).is_some_and(|held| held.entry.is_logged())
    }

    /// Forgets a message that [`Self::settle`] gave.
    pub fn forget(&mut self, mut held: Held) {
        self.returns.forget(held.entry.seq);
        self.residency.release(&mut held.entry);
    }

    /// A consumer settled a delivery that the queue itself does not know of: one of its stream.
    pub fn consumer_settled(&mut self, slot: ConsumerSlot) {
        self.consumers.settled(slot);
    }

    /// Deliveries a consumer may still be given; [`u64::MAX`] without a limit.
    pub fn credit_of(&self, slot: ConsumerSlot) -> u64 {
        self.consumers.credit_of(slot)
    }

    /// Puts a message that [`Self::settle`] gave back to its place, or sends it away if it came back too often.
    pub fn put_back(&mut self, mut held: Held) {
        held.entry.mark_redelivered();
        if self.returns.came_back(held.entry.seq) {
            return self.leave(held, Death::DeliveryLimit);
        }
        self.ready.put_back(held.priority, held.entry);
    }

    /// Puts back everything a channel holds; answers how many, and how many of these went to consumers.
    pub fn put_back_all_of(&mut self, channel: ChannelSlot) -> (u64, u64) {
        let (mut count, mut consumed_count) = (0, 0);
        for held in self.unacked.take_all_of(channel) {
            count += 1;
            if let Some(consumer) = held.owner.consumer {
                consumed_count += 1;
                self.consumers.settled(consumer);
            }
            self.put_back(held);
        }
        (count, consumed_count)
    }

    /// Puts back everything a consumer holds; answers how many.
    pub fn put_back_all_of_consumer(&mut self, channel: ChannelSlot, consumer: ConsumerSlot) -> u64 {
        let mut count = 0;
        for seq in self.unacked.seqs_of(channel, consumer) {
            if let Some(held) = self.settle(seq, channel) {
                count += 1;
                self.put_back(held);
            }
        }
        count
    }

    /// Who holds a delivery for longer than its consumer, or else the queue, allows: each channel and consumer once. And
    /// when, by monotonic ms, the next may. `None` = as long as it likes.
    pub fn overdue(&self, now_ms: u64, timeout_ms: Option<u64>) -> (Vec<Overdue>, Option<u64>) {
        let timeout_of = |consumer: &Consumer| match consumer.timeout_ms {
            Some(own_ms) => (own_ms > 0).then_some(own_ms),
            None => timeout_ms,
        };
        let acking = self.consumers.iter().filter(|view| !view.consumer.no_ack);
        let later = acking.filter_map(|view| Some(now_ms.saturating_add(timeout_of(view.consumer)?)));
        let mut next_ms = later.min();
        let mut overdue: Vec<Overdue> = Vec::new();
        for held in self.unacked.iter() {
            let consumer = held.owner.consumer.and_then(|slot| self.consumers.get(slot));
            let Some(timeout_ms) = consumer.map_or(timeout_ms, timeout_of) else { continue };
            let at_ms = (u64::from(held.owner.since_s) * 1000).saturating_add(timeout_ms);
            if at_ms > now_ms {
                next_ms = Some(next_ms.map_or(at_ms, |next_ms| next_ms.min(at_ms)));
            } else if !overdue.iter().any(|known| is_same_holder(known.owner, held.owner)) {
                overdue.push(Overdue { owner: held.owner, timeout_ms });
            }
        }
        (overdue, next_ms)
    }

    /// Who holds its messages: one owner for each.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        self.unacked.iter().map(|held| held.owner)
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

    /// What is neither waiting nor gone.
    fn held(&self) -> impl Iterator<Item = &Entry> {
        self.unacked.iter().map(|held| &held.entry).chain(self.leaving.iter())
    }

    /// Positions of the logged messages that are held, given away or damaged, ascending.
    pub fn held_seqs(&self) -> Vec<Seq> {
        let held = self.held().filter(|entry| entry.is_logged()).map(|entry| entry.seq);
        let mut seqs: Vec<_> = held.chain(self.damaged.iter().copied()).collect();
        seqs.sort_unstable();
        seqs
    }

    /// What must be read before the first message can be handed out, or soon will have to be; each thing is asked for
    /// once. Call when somebody waits for messages.
    pub fn wanted(&mut self, marks: Watermarks) -> (Option<Run>, Option<WantedBodies>) {
        let run = self.ready.ask_entries(HEAD_ENTRIES_MIN);
        if self.reading {
            return (run, None);
        }
        let leavers = self.wanted_leavers(marks);
        if !leavers.is_empty() {
            self.reading = true;
            return (run, Some(leavers));
        }
        let mut wanted = WantedBodies::new();
        let (mut bytes, mut resident_count) = (0, 0);
        let mut is_first_missing = false;
        let due = self.due.iter().flat_map(|due| due.in_order());
        for entry in due.chain(self.ready.in_order()) {
            if entry.waits_for(marks.readable) {
                break;
            }
            if entry.message.is_some() {
                resident_count += 1;
            } else {
                is_first_missing |= resident_count == 0;
                bytes += entry.record_bytes as usize;
                if !wanted.is_empty() && bytes > HEAD_BYTES_MAX {
                    break;
                }
                wanted.push((entry.seq, entry.lsn, entry.record_bytes));
            }
            if wanted.len() + resident_count >= HEAD_MESSAGES_MAX {
                break;
            }
        }
        // While half a window is in memory there is no hurry: reading less often means reading more at once. Unless the
        // first message is the one that is missing: all wait for it.
        if !is_first_missing
            && wanted.len() * 2 < HEAD_MESSAGES_MAX
            && resident_count * 2 >= HEAD_MESSAGES_MAX
        {
            wanted.clear();
        }
        self.reading = !wanted.is_empty();
        (run, self.reading.then_some(wanted))
    }

    /// A body was read.
    pub fn body_read(&mut self, seq: Seq, message: Arc<Message>) {
        let due = self.due.as_mut().and_then(|due| due.find_mut(seq));
        if let Some(entry) = due.or_else(|| self.ready.find_mut(seq)).or_else(|| self.leaving.find_mut(seq))
            && entry.message.is_none()
        {
            self.residency.hold(&message);
            entry.message = Some(message);
        }
    }

    /// The record of a message cannot be read: it is never delivered, and stays in the log. Answers whether it was there.
    pub fn set_aside(&mut self, seq: Seq) -> bool {
        let due = self.due.as_mut().and_then(|due| due.remove(seq));
        let Some(mut entry) = due.or_else(|| self.ready.remove(seq)).or_else(|| self.leaving.remove(seq))
        else {
            return false;
        };
        self.residency.release(&mut entry);
        self.damaged.insert(seq);
        self.damaged_count += 1;
        true
    }

    /// The bodies asked for were all read.
    pub fn bodies_done(&mut self) {
        self.reading = false;
    }

    /// The entries of a run were read: those that are not settled wait.
    pub fn entries_read(&mut self, run: Run, entries: &[StoredEntry]) {
        let live = entries.iter().filter(|entry| {
            (run.first..=run.last).contains(&entry.seq)
                && !self.settled.contains(entry.seq)
                && !self.damaged.contains(&entry.seq)
        });
        let entries = live.map(|entry| Entry::stored(entry, self.redelivered.contains(entry.seq))).collect();
        match &mut self.due {
            None => self.ready.page_in(run, entries),
            Some(due) => {
                self.ready.page_in(run, VecDeque::new());
                entries.into_iter().for_each(|entry| due.insert(entry));
            }
        }
    }

    /// The entries of a run cannot be read: its messages are set aside. Answers how many.
    pub fn entries_damaged(&mut self, run: Run) -> u64 {
        let count = self.ready.give_up(run);
        self.damaged_count += count;
        count
    }

    /// Segments below are sealed: what lies there, far behind the head, may leave memory.
    pub fn page_out(&mut self, sealed_below: SegmentId) {
        for mut entry in self.ready.page_out(sealed_below, HEAD_ENTRIES_MIN) {
            self.residency.release(&mut entry);
        }
    }

    /// Stretches of logged messages that were delivered and not settled, and how often, for the next start. Later ones
    /// correct earlier ones.
    pub fn delivered_ranges(&self) -> Vec<ReturnedRange> {
        let waiting = self.ready.resident().filter(|entry| entry.is_redelivered());
        let known = self.held().chain(waiting).filter(|entry| entry.is_logged());
        let known = known.map(|entry| (entry.seq, entry.seq));
        let ranges = Ranges::new(known.chain(self.redelivered.ranges_before(self.next_seq)).collect());
        let once = ranges.into_vec().into_iter().map(|(first, last)| (first, last, 1));
        let held: BTreeSet<_> = self.unacked.iter().map(|held| held.entry.seq).collect();
        once.chain(self.returns.all(held.into_iter())).collect()
    }
}

fn is_same_holder(one: Owner, other: Owner) -> bool {
    (one.channel, one.consumer) == (other.channel, other.consumer)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) mod test_support {
    use super::*;
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
        })
    }
}
