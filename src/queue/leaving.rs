//! Messages that leave a queue without having been consumed. They go from the head (too old, or one too many) or from the
//! hand of a consumer (rejected, or returned too often). Where they go is the vhost's business; it may need the body, and
//! the log may have no room. Until then the first message stays the first, and what a consumer gave away stands here.
//! Invariant: a seq is here, waits, or is held, never two of these.

use super::entry::Entry;
use super::ready::Head;
use super::unacked::{ChannelSlot, Held};
use super::{Queue, WantedBodies, Watermarks};
use crate::limits::{HEAD_BYTES_MAX, HEAD_MESSAGES_MAX};
use crate::message::Message;
use ledgermq_storage::{Lsn, Run, Seq, SettleReason};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a message leaves without having been consumed. Source of the names: RabbitMQ, `x-death`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// basic.reject or basic.nack without requeue.
    Rejected,
    /// Its time to live is over.
    Expired,
    /// Pushed out by a length limit, or refused for one.
    MaxLength,
    /// Returned more often than the queue allows.
    DeliveryLimit,
}

impl Death {
    /// The word in `x-death`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLength => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }

    /// What the log is told of a message that goes nowhere.
    pub fn settle_reason(self) -> SettleReason {
        match self {
            Self::Rejected | Self::DeliveryLimit => SettleReason::Rejected,
            Self::Expired => SettleReason::Expired,
            Self::MaxLength => SettleReason::MaxLength,
        }
    }
}

/// Where in its queue a message that is to leave stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeavesFrom {
    /// It is the first.
    Head,
    /// A consumer gave it away.
    Hand,
}

/// A message that is to leave.
#[derive(Clone, Debug)]
pub struct Leaver {
    /// Where it stands.
    pub from: LeavesFrom,
    /// Position in the queue.
    pub seq: Seq,
    /// Why it goes.
    pub death: Death,
    /// Whether the log holds it.
    pub logged: bool,
    /// The message, if it is in memory.
    pub message: Option<Arc<Message>>,
}

impl Leaver {
    fn new(from: LeavesFrom, entry: &Entry, death: Death) -> Self {
        let message = entry.message.clone();
        Self { from, seq: entry.seq, death, logged: entry.is_logged(), message }
    }
}

/// What consumers gave away and what could not go yet.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    entries: BTreeMap<Seq, (Entry, Death)>,
    bytes: u64,
}

impl Leaving {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Sum of the body lengths.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().map(|(entry, _)| entry)
    }

    pub(super) fn find_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        self.entries.get_mut(&seq).map(|(entry, _)| entry)
    }

    pub(super) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let (entry, _) = self.entries.remove(&seq)?;
        self.bytes -= entry.body_bytes();
        Some(entry)
    }

    fn insert(&mut self, entry: Entry, death: Death) {
        self.bytes += entry.body_bytes();
        let before = self.entries.insert(entry.seq, (entry, death));
        assert!(before.is_none(), "a message leaves once");
    }
}

impl Queue {
    /// The first message, if one waits and its entry is in memory.
    pub fn head(&self) -> Option<&Entry> {
        match self.first() {
            Head::Entry(entry) => Some(entry),
            Head::Empty | Head::Paged => None,
        }
    }

    /// The first message as one that is to leave.
    pub fn leaving_head(&self, death: Death) -> Option<Leaver> {
        self.head().map(|entry| Leaver::new(LeavesFrom::Head, entry, death))
    }

    /// Sends a message that [`Self::settle`] gave on its way out.
    pub fn leave(&mut self, held: Held, death: Death) {
        self.leaving.insert(held.entry, death);
    }

    /// A held message as one that its consumer gives away, if this channel holds it.
    pub fn rejected(&self, seq: Seq, channel: ChannelSlot) -> Option<Leaver> {
        let held = self.unacked.get(seq, channel)?;
        Some(Leaver::new(LeavesFrom::Hand, &held.entry, Death::Rejected))
    }

    /// What is to be read before a held message can go elsewhere; `None` if it is in memory, or not in the log yet.
    pub fn wanted_held(&self, seq: Seq, channel: ChannelSlot, marks: Watermarks) -> Option<(Seq, Lsn, u32)> {
        let entry = &self.unacked.get(seq, channel)?.entry;
        let is_wanted = entry.message.is_none() && !entry.waits_for(marks.readable);
        is_wanted.then_some((entry.seq, entry.lsn, entry.record_bytes))
    }

    /// The first of those that consumers gave away.
    pub fn next_leaver(&self) -> Option<Leaver> {
        let (entry, death) = self.leaving.entries.values().next()?;
        Some(Leaver::new(LeavesFrom::Hand, entry, *death))
    }

    /// A message left: the first one, or one that a consumer gave away.
    pub fn left(&mut self, leaver: &Leaver) {
        let entry = match leaver.from {
            LeavesFrom::Head => match &mut self.due {
                None => self.ready.pop(),
                Some(due) => due.remove(leaver.seq),
            },
            LeavesFrom::Hand => self.leaving.remove(leaver.seq),
        };
        assert!(entry.as_ref().is_some_and(|entry| entry.seq == leaver.seq), "who leaves was there");
        if let Some(mut entry) = entry {
            self.residency.release(&mut entry);
            self.returns.forget(entry.seq);
        }
    }

    /// Asks for the entries of the first message, once, if they are on disk only; of messages that wait for a time also
    /// before the last that is in memory has gone.
    pub fn wanted_head(&mut self) -> Option<Run> {
        match &mut self.due {
            Some(due) => due.ask(),
            None if matches!(self.ready.head(), Head::Paged) => self.ready.ask_entries(1),
            None => None,
        }
    }

    /// Whether the next to leave can be read back, if it is not in memory.
    pub fn is_readable(&self, leaver: &Leaver, marks: Watermarks) -> bool {
        let entry = match leaver.from {
            LeavesFrom::Head => self.head(),
            LeavesFrom::Hand => self.leaving.entries.get(&leaver.seq).map(|(entry, _)| entry),
        };
        entry.is_some_and(|entry| !entry.waits_for(marks.readable))
    }

    /// Bodies of what consumers gave away, a window of them.
    pub(super) fn wanted_leavers(&self, marks: Watermarks) -> WantedBodies {
        let mut wanted = WantedBodies::new();
        let mut bytes = 0;
        for entry in self.leaving.iter().take(HEAD_MESSAGES_MAX) {
            if entry.message.is_some() || entry.waits_for(marks.readable) {
                continue;
            }
            bytes += entry.record_bytes as usize;
            if !wanted.is_empty() && bytes > HEAD_BYTES_MAX {
                break;
            }
            wanted.push((entry.seq, entry.lsn, entry.record_bytes));
        }
        wanted
    }
}
