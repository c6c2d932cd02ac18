//! What a stream wants read from the disk, one thing at a time: windows of messages for consumers that wait for them, and
//! where consumers begin that asked for a time.

use super::Stream;
use super::shelf::Located;
use crate::limits::{STREAM_WINDOW_BYTES_MAX, STREAM_WINDOW_MESSAGES_MAX};
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
