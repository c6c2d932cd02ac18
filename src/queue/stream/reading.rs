//! What a stream wants read from the disk: windows of messages for consumers that wait for them, or will soon, and where
//! consumers begin that asked for a time. Who has waited longest is served first, and whoever reads a long way back gets
//! one window after another like everybody else: nobody starves for the sake of another.

use super::Stream;
use super::shelf::Located;
use crate::limits::{STREAM_READS_MAX, STREAM_WINDOW_BYTES_MAX, STREAM_WINDOW_MESSAGES_MAX};
use crate::message::Message;
use crate::queue::{ConsumerSlot, WantedBodies, Watermarks};
use ledgermq_storage::{Run, Seq};
use std::sync::Arc;

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

/// A window that is being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// For whom.
    slot: ConsumerSlot,
    from: Seq,
    /// Behind the last.
    end: Seq,
}

impl Stream {
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

    /// Finds where a consumer begins that wants messages since some time, among those from `from` on.
    pub(super) fn seek(&mut self, slot: ConsumerSlot, unix_ms: u64, from: Seq) -> Option<StreamRead> {
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

    /// The consumer waits for the disk.
    pub fn await_bodies(&mut self, slot: ConsumerSlot) {
        if self.cursors.get(slot).is_some_and(|cursor| cursor.seeks.is_none()) {
            self.cursors.await_bodies(slot);
        }
    }

    /// What must be read next for those that wait, a window for each in turn, a few at a time. When nobody's window is
    /// still to be asked for, the next one of those that have used up half of theirs. While memory is short, one at a time,
    /// and no more than a consumer may take, `credit` for each. Call until it answers none.
    pub fn wanted(
        &mut self,
        marks: Watermarks,
        credit: impl Fn(ConsumerSlot) -> u64,
    ) -> Option<WantedFromStream> {
        let is_pressed = self.bodies.is_pressed();
        let reads_max = if is_pressed { 1 } else { STREAM_READS_MAX };
        if self.reading.len() >= reads_max {
            return None;
        }
        if let Some((slot, from)) = self.next_awaiting() {
            let count_max = if is_pressed { credit(slot) } else { STREAM_WINDOW_MESSAGES_MAX };
            return self.read_for(slot, from, count_max.clamp(1, STREAM_WINDOW_MESSAGES_MAX), marks);
        }
        while self.reading.len() < reads_max / 2 {
            let slot = self.cursors.take_ahead()?;
            let Some(cursor) = self.cursors.get(slot) else { continue };
            let from = cursor.read_to.max(self.first);
            let goes_on = credit(slot) > from.0.saturating_sub(cursor.next.0);
            if goes_on
                && !self.is_being_read(from)
                && self.bodies.get(from).is_none()
                && let Some(wanted) = self.read_for(slot, from, STREAM_WINDOW_MESSAGES_MAX, marks)
            {
                return Some(wanted);
            }
        }
        None
    }

    /// Bodies were read: the answer to one of [`Self::wanted`], from the first message it asked for on. Answers those that
    /// cannot be, and what the store says of them.
    pub fn bodies_read(&mut self, bodies: Vec<(Seq, Result<Arc<Message>, String>)>) -> Vec<(Seq, String)> {
        let begins = bodies.first().map(|(seq, _)| *seq);
        let at = self.reading.iter().position(|read| Some(read.from) == begins);
        if self.reading.is_empty() {
            return Vec::new();
        }
        let read = self.reading.remove(at.unwrap_or(0));
        let (from, last) = (read.from, bodies.last().map_or(read.from, |(seq, _)| *seq));
        if let Some(cursor) = self.cursors.get_mut(read.slot)
            && cursor.read_to == read.end
        {
            cursor.read_to = last.next();
        }
        let mut set_aside = Vec::new();
        if at.is_none() {
            set_aside.push((from, "the index of its segment does not list it".to_owned()));
        }
        for (seq, body) in bodies {
            match body {
                Ok(message) if seq >= self.first => self.bodies.insert(seq, &message),
                Ok(_) => {}
                Err(problem) => set_aside.push((seq, problem)),
            }
        }
        self.arrived =
            Some(self.arrived.map_or((from, last), |known| (known.0.min(from), known.1.max(last))));
        // What retention let go meanwhile need not be there.
        set_aside.retain(|(seq, _)| *seq >= self.first && self.damaged.insert(*seq));
        set_aside
    }

    /// Those that waited for what was read, or for what is not there any more, and may try again.
    pub fn take_awaiting(&mut self) -> Vec<ConsumerSlot> {
        let (arrived, first) = (self.arrived.take(), self.first);
        self.cursors.take_awaiting(|next| {
            next < first || arrived.is_some_and(|(from, last)| (from..=last).contains(&next))
        })
    }

    /// The consumer that has waited longest for what is not being read yet, and where it stands.
    fn next_awaiting(&mut self) -> Option<(ConsumerSlot, Seq)> {
        let first = self.first;
        let found = self.cursors.awaiting().map(|(slot, next)| (slot, next.max(first)));
        // Whoever is further back waits for those before.
        let mut found = found.take(4 * STREAM_READS_MAX);
        found.find(|(_, from)| !self.is_being_read(*from))
    }

    fn is_being_read(&self, seq: Seq) -> bool {
        self.reading.iter().any(|read| (read.from..read.end).contains(&seq))
    }

    /// Asks for a window of at most `count_max` messages.
    fn read_for(
        &mut self,
        slot: ConsumerSlot,
        from: Seq,
        count_max: u64,
        marks: Watermarks,
    ) -> Option<WantedFromStream> {
        // Up to what is in memory or being read already.
        let end = Seq(from.0 + count_max);
        let end = self.bodies.next_from(from).map_or(end, |there| there.min(end));
        let others = self.reading.iter().map(|read| read.from).filter(|other| *other > from);
        let end = others.min().map_or(end, |there| there.min(end)).max(from.next());
        let (wanted, end) = match self.shelf.locate(from) {
            Located::Run(run) => {
                let last = run.last.min(Seq(end.0.saturating_sub(1))).max(from);
                let count = u32::try_from(last.0 - from.0 + 1).unwrap_or(u32::MAX);
                let run = Run { last, count, ..run };
                let read = StreamRead::Window { run, bytes_max: STREAM_WINDOW_BYTES_MAX };
                (WantedFromStream::Read(read), last.next())
            }
            Located::Open => {
                let places = self.places(from, end, marks);
                let last = places.last()?.0;
                (WantedFromStream::Bodies(places), last.next())
            }
            Located::Before(_) | Located::Nowhere => return None,
        };
        self.reading.push(Reading { slot, from, end });
        if let Some(cursor) = self.cursors.get_mut(slot) {
            cursor.read_to = end;
        }
        Some(wanted)
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
