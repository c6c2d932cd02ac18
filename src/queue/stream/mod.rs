//! A stream: a queue that keeps what it delivers. Every message has an offset, its seq, and stays until retention lets it
//! go; every consumer has a place of its own in it, and acknowledging only gives it credit for more.
//! Pure: the vhost writes to the log, asks the disk, and tells the stream how far the log got.
//!
//! ```text
//!   offsets   first ························································ next
//!             [ on disk: runs                       ][ places in memory      ]     shelf
//!   bodies              [window]         [window]                 [ tail     ]     shared by all consumers
//!   cursors             ^a               ^b                                  ^c ^d
//! ```
//!
//! Invariants: offsets from `first` to `next` have no gaps; a consumer never gets an offset twice, nor one below an
//! earlier one; what is not in memory can be read back.

mod bodies;
mod cursors;
mod reader;
mod reading;
mod retention;
mod shelf;

pub use reader::{Filter, Start};
pub use reading::{StreamAnswer, StreamRead, WantedFromStream};
pub use retention::Limits;

use super::{ChannelSlot, ConsumerSlot, Watermarks};
use crate::budget::Budget;
use crate::limits::STREAM_WINDOW_MESSAGES_MAX;
use crate::message::Message;
use bodies::Bodies;
use cursors::Cursors;
use ledgermq_storage::{Lsn, Run, SegmentId, Seq, SettledSet};
use reading::Reading;
use shelf::{Located, Place, Shelf};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The messages and consumers of a stream.
#[derive(Debug)]
pub struct Stream {
    first: Seq,
    next: Seq,
    shelf: Shelf,
    bodies: Bodies,
    cursors: Cursors,
    /// Messages whose record could not be read: they stay in the log and are never delivered.
    damaged: BTreeSet<Seq>,
    /// Windows that were asked for; the answers are on their way.
    reading: Vec<Reading>,
    /// What was read since consumers were last roused: first and last offset.
    arrived: Option<(Seq, Seq)>,
    /// The time of the message at this offset was asked for.
    dating: Option<Seq>,
    wants_trim: bool,
}

/// What a consumer whose turn it is can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Take a message.
    Ready,
    /// Nothing with this message: it was passed over.
    Passed,
    /// Wait: it has seen everything.
    AtEnd,
    /// Wait for the log to get further.
    Later,
    /// Wait for the disk.
    Reading,
}

impl Stream {
    /// An empty stream.
    pub fn new(budget: Budget) -> Self {
        Self {
            first: Seq(0),
            next: Seq(0),
            shelf: Shelf::default(),
            bodies: Bodies::new(budget),
            cursors: Cursors::default(),
            damaged: BTreeSet::new(),
            reading: Vec::new(),
            arrived: None,
            dating: None,
            wants_trim: false,
        }
    }

    /// A stream as the log kept it. What was settled was let go by retention, always from the oldest on.
    pub fn restore(budget: Budget, next: Seq, runs: &[Run], settled: &SettledSet) -> Self {
        let mut stream = Self { first: first_kept(settled, next), next, ..Self::new(budget) };
        for run in runs.iter().filter(|run| run.last >= stream.first) {
            let first = run.first.max(stream.first);
            let (kept, all) = (run.last.0 - first.0 + 1, run.last.0 - run.first.0 + 1);
            let share = u128::from(run.bytes) * u128::from(kept) / u128::from(all);
            stream.shelf.push_run(Run { first, ..*run }, u64::try_from(share).unwrap_or(run.bytes));
        }
        stream
    }

    /// The oldest offset.
    pub fn first_offset(&self) -> Seq {
        self.first
    }

    /// The offset of the next message.
    pub fn next_offset(&self) -> Seq {
        self.next
    }

    /// Messages kept.
    pub fn message_count(&self) -> u64 {
        self.next.0 - self.first.0
    }

    /// Bytes of their records.
    pub fn bytes(&self) -> u64 {
        self.shelf.bytes()
    }

    /// Messages in memory.
    pub fn resident_count(&self) -> u64 {
        self.bodies.len() as u64
    }

    /// Messages set aside because their record could not be read.
    pub fn damaged_count(&self) -> u64 {
        self.damaged.len() as u64
    }

    /// Adds a message behind all others, written at `unix_ms`, in pieces of `unit_bytes`. Answers whether
    /// [`Self::trim`] may have something to do.
    pub fn push(&mut self, message: &Message, at: (Lsn, u32), unix_ms: u64, unit_bytes: u64) -> bool {
        let seq = self.next;
        self.next = seq.next();
        self.bodies.offer(message, seq, self.cursors.any_at_end());
        let place = Place { lsn: at.0, record_bytes: at.1 };
        self.wants_trim |= self.shelf.push(seq, place, unix_ms, unit_bytes);
        self.wants_trim
    }

    /// Adds a consumer. Answers what must be looked up before it can begin.
    pub fn add_consumer(
        &mut self,
        slot: ConsumerSlot,
        channel: ChannelSlot,
        start: Start,
        filter: Option<Filter>,
    ) -> Option<StreamRead> {
        let next = match start {
            Start::First | Start::Since(_) => self.first,
            Start::Last => Seq(self.next.0.saturating_sub(1)).max(self.first),
            Start::Next => self.next,
            Start::Offset(offset) => Seq(offset).max(self.first),
        };
        self.cursors.add(slot, channel, next, filter);
        match start {
            Start::Since(unix_ms) => self.seek(slot, unix_ms, self.first),
            Start::First | Start::Last | Start::Next | Start::Offset(_) => None,
        }
    }

    /// Ends a consumer; what it holds stays with its channel.
    pub fn cancel_consumer(&mut self, slot: ConsumerSlot) {
        self.cursors.cancel(slot);
        if self.cursors.len() == 0 {
            self.bodies.clear();
        }
    }

    /// What a consumer can do. Call when it is its turn.
    pub fn turn(&mut self, slot: ConsumerSlot, marks: Watermarks) -> Turn {
        let Some(cursor) = self.cursors.get_mut(slot) else { return Turn::AtEnd };
        if cursor.seeks.is_some() {
            return Turn::Reading;
        }
        cursor.next = cursor.next.max(self.first);
        if cursor.next >= self.next {
            return Turn::AtEnd;
        }
        if self.damaged.contains(&cursor.next) {
            cursor.next = cursor.next.next();
            return Turn::Passed;
        }
        let message = self.bodies.get(cursor.next);
        let needed =
            if message.is_some() { marks.deliverable } else { marks.deliverable.min(marks.readable) };
        if self.shelf.place(cursor.next).is_some_and(|place| place.lsn >= needed) {
            return Turn::Later;
        }
        let Some(message) = message else {
            return match self.shelf.locate(cursor.next) {
                Located::Run(_) | Located::Open => Turn::Reading,
                Located::Before(seq) => {
                    cursor.next = seq;
                    Turn::Passed
                }
                Located::Nowhere => {
                    cursor.next = self.next;
                    Turn::Passed
                }
            };
        };
        if cursor.filter.as_ref().is_some_and(|filter| !filter.matches(message)) {
            cursor.next = cursor.next.next();
            return Turn::Passed;
        }
        Turn::Ready
    }

    /// Hands a consumer its next message, under a number by which the delivery is settled: the offset would not do, for
    /// two consumers on one channel may hold the same message. Call when its turn is [`Turn::Ready`].
    pub fn take(&mut self, slot: ConsumerSlot) -> Option<(Seq, Arc<Message>)> {
        let cursor = self.cursors.get_mut(slot)?;
        let message = Arc::clone(self.bodies.get(cursor.next)?);
        cursor.next = cursor.next.next();
        let left = cursor.read_to.0.saturating_sub(cursor.next.0);
        let wants_more = cursor.read_to >= cursor.next && left <= STREAM_WINDOW_MESSAGES_MAX / 2;
        if wants_more {
            self.cursors.read_ahead(slot);
        }
        Some((self.cursors.hold(slot), message))
    }

    /// The consumer waits for later messages. Answers whether there are some that wait for the log.
    pub fn wait_at_end(&mut self, slot: ConsumerSlot) -> bool {
        self.cursors.wait_at_end(slot);
        self.cursors.get(slot).is_some_and(|cursor| cursor.next < self.next)
    }

    /// Whether somebody waits for later messages.
    pub fn is_awaited(&self) -> bool {
        self.cursors.any_at_end()
    }

    /// Those that waited for later messages and may try again.
    pub fn take_at_end(&mut self) -> Vec<ConsumerSlot> {
        self.cursors.take_at_end()
    }

    /// Nobody can take a message now: lets go of bodies that nobody needs soon.
    pub fn rest(&mut self) {
        if self.bodies.wants_sweep() {
            self.bodies.sweep(&self.cursors.positions());
        }
    }

    /// Settles a delivery by its number, if this channel holds it; answers the consumer that gets its credit back. The
    /// message stays.
    pub fn settle(&mut self, delivery: Seq, channel: ChannelSlot) -> Option<ConsumerSlot> {
        self.cursors.settle(delivery, channel)
    }

    /// Settles everything a channel holds; for each message the consumer that held it.
    pub fn settle_all_of(&mut self, channel: ChannelSlot) -> Vec<ConsumerSlot> {
        self.cursors.settle_all_of(channel)
    }

    /// The channel of each message held.
    pub fn holders(&self) -> impl Iterator<Item = ChannelSlot> {
        self.cursors.holders()
    }

    /// Segments below are sealed: where messages lie there is on disk.
    pub fn seal(&mut self, sealed_below: SegmentId) {
        self.shelf.seal(sealed_below);
    }
}

/// The lowest position that is not settled, or `next`: below it all are.
fn first_kept(settled: &SettledSet, next: Seq) -> Seq {
    let (mut low, mut high) = (settled.floor().0.min(next.0), next.0);
    while low < high {
        let middle = low + (high - low) / 2;
        if settled.contains(Seq(middle)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Seq(low)
}

#[cfg(test)]
mod tests;
