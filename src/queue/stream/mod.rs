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
mod shelf;

pub use reader::{Filter, Start};

use super::{ChannelSlot, ConsumerSlot, WantedBodies, Watermarks};
use crate::budget::Budget;
use crate::limits::{STREAM_WINDOW_BYTES_MAX, STREAM_WINDOW_MESSAGES_MAX};
use crate::message::Message;
use bodies::Bodies;
use cursors::Cursors;
use ledgermq_storage::{Lsn, Run, SegmentId, Seq, SettleReason, SettledSet};
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
    /// Bodies from this offset on were asked for; the answer is on its way.
    reading: Option<Seq>,
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

/// What is to be read from the disk for a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRead {
    /// Messages from the first of a run on, in order, at least one and about this many bytes at most.
    Window {
        /// Bounds.
        run: Run,
        /// Bytes of records.
        bytes_max: usize,
    },
    /// Which is the first message of these runs written at a time or later.
    Since {
        /// To be given back.
        ticket: u64,
        /// Where to look, ascending.
        runs: Vec<Run>,
        /// The time, unix ms.
        unix_ms: u64,
    },
    /// When the last message of a run was written.
    Time {
        /// The run.
        run: Run,
    },
}

/// What the disk says to [`StreamRead::Since`] and [`StreamRead::Time`]; a window is answered with bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamAnswer {
    /// The first message, if there is one.
    Since {
        /// As asked.
        ticket: u64,
        /// The last offset looked at.
        last: Seq,
        /// As asked, unix ms.
        unix_ms: u64,
        /// What was found.
        found: Result<Option<Seq>, String>,
    },
    /// The time, unix ms.
    Time {
        /// Whose.
        last: Seq,
        /// Unix ms.
        unix_ms: Result<u64, String>,
    },
}

/// What is to be read next.
#[derive(Debug)]
pub enum WantedFromStream {
    /// By what the segment's index says.
    Read(StreamRead),
    /// By place.
    Bodies(WantedBodies),
}

/// What retention has to go by.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of records to keep at most, about.
    pub bytes_max: Option<u64>,
    /// Age of the messages to keep at most, ms.
    pub age_max_ms: Option<u64>,
    /// The newest part that always stays, bytes.
    pub unit_bytes: u64,
}

/// Messages that retention let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// First offset.
    pub first: Seq,
    /// Last offset.
    pub last: Seq,
    /// Why.
    pub reason: SettleReason,
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
            reading: None,
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

    /// Whether a piece was completed since [`Self::trim`] was called last.
    pub fn wants_trim(&self) -> bool {
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

    /// What was looked up for a consumer: it begins there. Answers the consumer, or what must be looked up first.
    pub fn sought(
        &mut self,
        ticket: u64,
        last: Seq,
        unix_ms: u64,
        found: &Result<Option<Seq>, String>,
    ) -> (Option<ConsumerSlot>, Option<StreamRead>) {
        let Some(slot) = self.cursors.seeking(ticket) else { return (None, None) };
        let begin = match found {
            Ok(Some(seq)) => *seq,
            // Rather too much than too little.
            Err(_) => self.first,
            Ok(None) => match self.seek(slot, unix_ms, last.next()) {
                None => return (Some(slot), None),
                read => return (None, read),
            },
        };
        if let Some(cursor) = self.cursors.get_mut(slot) {
            cursor.seeks = None;
            cursor.next = begin;
        }
        (Some(slot), None)
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

    /// The consumer waits for the disk.
    pub fn await_bodies(&mut self, slot: ConsumerSlot) {
        if self.cursors.get(slot).is_some_and(|cursor| cursor.seeks.is_none()) {
            self.cursors.await_bodies(slot);
        }
    }

    /// What must be read for those that wait; once at a time. While memory is short no more than a consumer may take is
    /// read, `credit` for each.
    pub fn wanted(
        &mut self,
        marks: Watermarks,
        credit: impl Fn(ConsumerSlot) -> u64,
    ) -> Option<WantedFromStream> {
        if self.reading.is_some() {
            return None;
        }
        let slot = self.cursors.first_awaiting()?;
        let from = self.cursors.get(slot)?.next.max(self.first);
        let count_max = STREAM_WINDOW_MESSAGES_MAX;
        let count_max = if self.bodies.is_pressed() { credit(slot).clamp(1, count_max) } else { count_max };
        // Up to what is in memory already.
        let end = Seq(from.0 + count_max);
        let end = self.bodies.next_from(from).map_or(end, |there| there.min(end)).max(from.next());
        let wanted = match self.shelf.locate(from) {
            Located::Run(run) => {
                let last = run.last.min(Seq(end.0.saturating_sub(1))).max(from);
                let count = u32::try_from(last.0 - from.0 + 1).unwrap_or(u32::MAX);
                let run = Run { last, count, ..run };
                WantedFromStream::Read(StreamRead::Window { run, bytes_max: STREAM_WINDOW_BYTES_MAX })
            }
            Located::Open => {
                let places = self.places(from, end, marks);
                if places.is_empty() {
                    return None;
                }
                WantedFromStream::Bodies(places)
            }
            Located::Before(_) | Located::Nowhere => return None,
        };
        self.reading = Some(from);
        Some(wanted)
    }

    /// Bodies were read. Answers those that cannot be, and what the store says of them.
    pub fn bodies_read(&mut self, bodies: Vec<(Seq, Result<Arc<Message>, String>)>) -> Vec<(Seq, String)> {
        let mut set_aside = Vec::new();
        let asked = self.reading.take();
        let begins = bodies.first().map(|(seq, _)| *seq);
        if let Some(asked) = asked.filter(|asked| begins != Some(*asked)) {
            set_aside.push((asked, "the index of its segment does not list it".to_owned()));
        }
        for (seq, body) in bodies {
            match body {
                Ok(message) if seq >= self.first => self.bodies.insert(seq, &message),
                Ok(_) => {}
                Err(problem) => set_aside.push((seq, problem)),
            }
        }
        // What retention let go meanwhile need not be there.
        set_aside.retain(|(seq, _)| *seq >= self.first && self.damaged.insert(*seq));
        set_aside
    }

    /// Those that waited for the disk and may try again.
    pub fn take_awaiting(&mut self) -> Vec<ConsumerSlot> {
        self.cursors.take_awaiting()
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

    /// Lets go of the oldest messages beyond the limits, never of the newest unit. Answers what went, and the run whose
    /// time must be read before more can be said.
    pub fn trim(&mut self, limits: Limits, now_ms: u64) -> (Vec<Trimmed>, Option<Run>) {
        self.wants_trim = false;
        let unit_bytes = limits.unit_bytes.max(1);
        let mut trimmed: Vec<Trimmed> = Vec::new();
        let mut undated = None;
        while let Some(piece) = self.shelf.oldest().copied() {
            let left = self.shelf.bytes() - piece.bytes;
            if left < unit_bytes {
                break;
            }
            let is_long = limits.bytes_max.is_some_and(|bytes_max| {
                self.shelf.bytes() > bytes_max && left >= bytes_max.saturating_sub(unit_bytes)
            });
            let reason = if is_long {
                SettleReason::MaxLength
            } else if let Some(age_max_ms) = limits.age_max_ms {
                let Some(unix_ms) = piece.unix_ms else {
                    undated = self.shelf.run_to(piece.last).filter(|_| self.dating != Some(piece.last));
                    self.dating = Some(piece.last);
                    undated = undated.map(|run| Run { last: piece.last, ..run });
                    break;
                };
                if now_ms.saturating_sub(unix_ms) < age_max_ms {
                    break;
                }
                SettleReason::Expired
            } else {
                break;
            };
            let (first, last) = (self.first, piece.last);
            self.shelf.drop_oldest();
            self.first = last.next();
            match trimmed.last_mut() {
                Some(before) if before.reason == reason => before.last = last,
                Some(_) | None => trimmed.push(Trimmed { first, last, reason }),
            }
        }
        if !trimmed.is_empty() {
            self.bodies.drop_before(self.first);
            self.damaged = self.damaged.split_off(&self.first);
        }
        (trimmed, undated)
    }

    /// The time of the message at `last` was read. One that cannot be read counts as new: nothing goes on a guess.
    pub fn dated(&mut self, last: Seq, unix_ms: Option<u64>) {
        if let Some(unix_ms) = unix_ms {
            self.dating = None;
            self.shelf.set_time(last, unix_ms);
        }
    }

    /// Finds where a consumer begins that wants messages since some time, among those from `from` on.
    fn seek(&mut self, slot: ConsumerSlot, unix_ms: u64, from: Seq) -> Option<StreamRead> {
        let runs = self.shelf.runs_from(from);
        let ticket = self.cursors.ticket();
        let (next, in_memory) = (self.next, self.shelf.since(from, unix_ms));
        let cursor = self.cursors.get_mut(slot)?;
        if runs.is_empty() {
            cursor.seeks = None;
            cursor.next = in_memory.unwrap_or(next);
            return None;
        }
        cursor.seeks = Some(ticket);
        Some(StreamRead::Since { ticket, runs, unix_ms })
    }

    /// Messages from `from` on by their places, up to `end` or a window's bytes.
    fn places(&self, from: Seq, end: Seq, marks: Watermarks) -> WantedBodies {
        let mut wanted = WantedBodies::new();
        let mut bytes = 0;
        for seq in (from.0..end.0).map(Seq) {
            let Some(place) = self.shelf.place(seq).filter(|place| place.lsn < marks.readable) else { break };
            bytes += place.record_bytes as usize;
            if !wanted.is_empty() && bytes > STREAM_WINDOW_BYTES_MAX {
                break;
            }
            wanted.push((seq, place.lsn, place.record_bytes));
        }
        wanted
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
