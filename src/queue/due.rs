//! Messages that wait for a time rather than for their turn: the soonest first, those of the same time in the order they
//! came. Entries are in memory, at about 150 bytes each; bodies are only while the budget allows. After a start the entries
//! come in stretch by stretch, in the order of the log.
//! Invariant: both maps hold the same seqs.

use super::Queue;
use super::entry::Entry;
use super::ready::Head;
use ledgermq_storage::Seq;
use std::collections::{BTreeMap, BTreeSet};

/// Messages by time.
#[derive(Debug, Default)]
pub(super) struct Due {
    order: BTreeSet<(u64, Seq)>,
    entries: BTreeMap<Seq, Entry>,
    bytes: u64,
}

impl Due {
    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Sum of the body lengths.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn insert(&mut self, entry: Entry) {
        self.bytes += entry.body_bytes();
        self.order.insert((entry.expire_unix_ms, entry.seq));
        let before = self.entries.insert(entry.seq, entry);
        assert!(before.is_none(), "a seq is used once");
    }

    pub(super) fn first(&self) -> Option<&Entry> {
        let (_, seq) = self.order.first()?;
        self.entries.get(seq)
    }

    /// All of them, the soonest first.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|(_, seq)| self.entries.get(seq))
    }

    pub(super) fn find_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        self.entries.get_mut(&seq)
    }

    pub(super) fn remove(&mut self, seq: Seq) -> Option<Entry> {
        let entry = self.entries.remove(&seq)?;
        self.order.remove(&(entry.expire_unix_ms, seq));
        self.bytes -= entry.body_bytes();
        Some(entry)
    }
}

impl Queue {
    /// Makes it a queue whose messages wait for their time. Before it has messages that are not restored.
    pub fn order_by_time(&mut self) {
        self.due.get_or_insert_default();
    }

    /// What stands first.
    pub(super) fn first(&self) -> Head<'_> {
        match &self.due {
            None => self.ready.head(),
            Some(due) => due.first().map_or_else(|| self.ready.head(), Head::Entry),
        }
    }

    /// Whether entries are still to be read that may come before the first.
    pub(super) fn has_unread(&self) -> bool {
        match &self.due {
            None => matches!(self.ready.head(), Head::Paged),
            Some(_) => self.ready.len() > 0 || matches!(self.ready.head(), Head::Paged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::message;
    use super::*;
    use ledgermq_storage::Lsn;

    #[test]
    fn the_soonest_first_and_equals_in_the_order_they_came() {
        let mut due = Due::default();
        for (seq, at_ms) in [50, 10, 50, 20].into_iter().enumerate() {
            let mut entry = Entry::new(Seq(seq as u64), Lsn(1), 9, message("body", true));
            entry.expire_unix_ms = at_ms;
            due.insert(entry);
        }
        assert_eq!((due.len(), due.bytes()), (4, 16));
        assert!(due.find_mut(Seq(2)).is_some() && due.remove(Seq(9)).is_none());
        let mut order = Vec::new();
        while let Some(seq) = due.first().map(|entry| entry.seq) {
            order.push(seq.0);
            due.remove(seq);
        }
        assert_eq!((order, due.len(), due.bytes()), (vec![1, 3, 0, 2], 0, 0));
    }
}
