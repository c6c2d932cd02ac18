//! What of a queue is on disk only: which entries and bodies it wants read before they can be handed out, what was read,
//! what cannot be, and what may leave memory. Each thing is asked for once.

use super::entry::Entry;
use super::{Queue, Watermarks};
use crate::limits::{HEAD_BYTES_MAX, HEAD_ENTRIES_MIN, HEAD_MESSAGES_MAX};
use crate::message::Message;
use ledgermq_storage::{Lsn, Run, SegmentId, Seq, StoredEntry};
use std::sync::Arc;

/// Bodies to read back: position in the queue, position in the log, record length in bytes.
pub type WantedBodies = Vec<(Seq, Lsn, u32)>;

impl Queue {
    /// What must be read before the first message can be handed out, or soon will have to be; each thing is asked for
    /// once. Call when somebody waits for messages.
    pub fn wanted(&mut self, marks: Watermarks) -> (Option<Run>, Option<WantedBodies>) {
        let run = match &mut self.due {
            Some(due) => due.ask(),
            None => self.ready.ask_entries(HEAD_ENTRIES_MIN),
        };
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
        if let Some(due) = &mut self.due {
            due.note_asked(wanted.iter().map(|(seq, ..)| *seq));
        }
        (run, self.reading.then_some(wanted))
    }

    /// A body was read.
    pub fn body_read(&mut self, seq: Seq, message: Arc<Message>) {
        let due = self.due.as_mut().and_then(|due| due.find_mut(seq));
        let waiting = due.or_else(|| self.ready.find_mut(seq)).or_else(|| self.leaving.find_mut(seq));
        if let Some(entry) = waiting.or_else(|| self.unacked.find_mut(seq))
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
        let entries = live.map(|entry| Entry::stored(entry, self.redelivered.contains(entry.seq)));
        match &mut self.due {
            None => self.ready.page_in(run, entries.collect()),
            Some(due) => due.entries_read(run, entries),
        }
    }

    /// The entries of a run cannot be read: its messages are set aside. Answers how many.
    pub fn entries_damaged(&mut self, run: Run) -> u64 {
        let count = match &mut self.due {
            Some(due) => due.give_up(run),
            None => self.ready.give_up(run),
        };
        self.damaged_count += count;
        count
    }

    /// Segments below are sealed: what lies there, far behind the head, may leave memory.
    pub fn page_out(&mut self, sealed_below: SegmentId) {
        let released = match &mut self.due {
            Some(due) => due.page_out(sealed_below),
            None => self.ready.page_out(sealed_below, HEAD_ENTRIES_MIN),
        };
        for mut entry in released {
            self.residency.release(&mut entry);
        }
    }
}
