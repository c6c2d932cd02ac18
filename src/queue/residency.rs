//! Which bodies a queue keeps in memory, and what the budget is charged for them: a message in several queues once, by the first
//! that keeps it, given back by the last.
//! Invariant: `bytes` and `count` are of the messages that the queue's entries hold.

use super::entry::Entry;
use crate::budget::Budget;
use crate::limits::{HEAD_BYTES_MAX, HEAD_MESSAGES_MAX, HELD_MESSAGES_MAX};
use crate::message::Message;
use std::sync::Arc;

/// The bodies of one queue that are in memory.
#[derive(Debug)]
pub(super) struct Residency {
    budget: Budget,
    bytes: usize,
    count: usize,
}

impl Residency {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, bytes: 0, count: 0 }
    }

    /// What its bytes are taken from.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Messages resident.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Counts a message that an entry holds from now on.
    pub(super) fn hold(&mut self, message: &Message) {
        let bytes = message.resident_bytes();
        if message.holders.add() {
            self.budget.take(bytes);
        }
        self.bytes += bytes;
        self.count += 1;
    }

    /// Takes the message out of an entry and stops counting it.
    pub(super) fn release(&mut self, entry: &mut Entry) -> Option<Arc<Message>> {
        let message = entry.message.take()?;
        self.let_go(&message);
        Some(message)
    }

    /// Stops counting what entries hold that go with the queue.
    pub(super) fn release_all<'a>(&mut self, entries: impl Iterator<Item = &'a Entry>) {
        entries.filter_map(|entry| entry.message.as_deref()).for_each(|message| self.let_go(message));
        assert!(self.count == 0, "every entry of the queue was seen");
    }

    fn let_go(&mut self, message: &Message) {
        let bytes = message.resident_bytes();
        assert!(self.bytes >= bytes && self.count > 0, "what is released was held");
        if message.holders.remove() {
            self.budget.give(bytes);
        }
        self.bytes -= bytes;
        self.count -= 1;
    }

    /// Whether a new logged message may stay in memory. Above the budget only the first few of a queue that is being
    /// consumed may: they are on their way out, and reading them back would cost more than it saves.
    pub(super) fn admits(&self, is_consumed: bool) -> bool {
        !self.budget.exceeded()
            || is_consumed && self.count < HEAD_MESSAGES_MAX && self.bytes < HEAD_BYTES_MAX
    }

    /// Whether a logged message may stay in memory while somebody holds it, so that it can be handed out again at once if it
    /// comes back. `is_wanted`: held messages are likely to be needed. Others stay only while little of the queue does.
    pub(super) fn admits_held(&self, is_wanted: bool) -> bool {
        let is_little = self.count <= HELD_MESSAGES_MAX && self.bytes <= HEAD_BYTES_MAX;
        !self.budget.exceeded() && (is_wanted || is_little)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::message;
    use super::*;
    use ledgermq_storage::{Lsn, Seq};

    #[test]
    fn held_messages_stay_as_long_as_they_are_few() {
        let budget = Budget::new(1024 * 1024);
        let mut residency = Residency::new(budget.clone());
        for _ in 0..HELD_MESSAGES_MAX {
            assert!(residency.admits_held(false));
            residency.hold(&message("body", true));
        }
        assert!(residency.admits_held(false));
        residency.hold(&message("body", true));
        assert!(!residency.admits_held(false) && residency.admits_held(true));
        budget.take(budget.limit_bytes());
        assert!(!residency.admits_held(true), "the budget counts for all");
        budget.give(budget.limit_bytes());
        let mut large = Residency::new(Budget::new(usize::MAX));
        large.hold(&message(&"x".repeat(HEAD_BYTES_MAX), true));
        assert!(!large.admits_held(false) && large.admits_held(true));
    }

    #[test]
    fn what_is_held_is_given_back() {
        let budget = Budget::new(100);
        let mut residency = Residency::new(budget.clone());
        assert!(residency.admits(false));
        let message = message("body", true);
        residency.hold(&message);
        assert!(budget.exceeded() && !residency.admits(false) && residency.admits(true));
        let mut entry = Entry::new(Seq(0), Lsn(1), 1, message);
        assert!(residency.release(&mut entry).is_some());
        assert!(residency.release(&mut entry).is_none(), "once");
        assert_eq!((budget.used_bytes(), residency.count()), (0, 0));
    }

    #[test]
    fn a_message_in_several_queues_counts_once() {
        let budget = Budget::new(usize::MAX);
        let mut queues = [0, 1, 2].map(|_| Residency::new(budget.clone()));
        let message = message("body", true);
        let bytes = message.resident_bytes();
        for queue in &mut queues {
            queue.hold(&message);
            assert_eq!((budget.used_bytes(), queue.bytes), (bytes, bytes));
        }
        let entry = Entry::new(Seq(0), Lsn(1), 1, Arc::clone(&message));
        let [first, others @ ..] = &mut queues;
        first.release(&mut entry.clone());
        assert_eq!(budget.used_bytes(), bytes);
        others.iter_mut().for_each(|queue| queue.release_all(std::iter::once(&entry)));
        assert_eq!(budget.used_bytes(), 0);
        first.hold(&message);
        assert_eq!(budget.used_bytes(), bytes, "and may be held again");
    }
}
