//! The messages of a stream that are in memory, shared by all its consumers: its newest ones, while somebody follows them,
//! and windows that were read back for those further behind. All of it is in the log as well, so all of it may go at any
//! time. What nobody needs soon goes first; over the budget everything goes once nobody can take a message.
//! Messages here are as they are delivered: with their offset in a header.
//! Invariant: `bytes` is what was taken from the budget; it is given back when the stream goes.

use crate::budget::Budget;
use crate::limits::{
    STREAM_IDLE_BYTES_MAX, STREAM_IDLE_MESSAGES_MAX, STREAM_TAIL_BYTES_MAX, STREAM_TAIL_MESSAGES_MAX,
    STREAM_WINDOW_BYTES_MAX, STREAM_WINDOW_MESSAGES_MAX,
};
use crate::message::Message;
use crate::protocol::properties::Properties;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use ledgermq_storage::Seq;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Messages in memory.
#[derive(Debug)]
pub(super) struct Bodies {
    budget: Budget,
    bytes: usize,
    /// The newest messages, without gaps, from `tail_first` on.
    tail: VecDeque<Arc<Message>>,
    tail_first: Seq,
    windows: BTreeMap<Seq, Arc<Message>>,
    /// Counts above which it is worth looking for what can go.
    swept_count: usize,
    swept_bytes: usize,
}

/// A message as a consumer of a stream gets it: its offset is in the headers.
pub(super) fn with_offset(message: &Message, offset: Seq) -> Arc<Message> {
    let properties = Properties::new(&message.properties);
    let offset = Value::I64(i64::try_from(offset.0).unwrap_or(i64::MAX));
    let headers = Table::with_first(properties.headers(), "x-stream-offset", &offset);
    let properties = properties.with_headers(&headers);
    Arc::new(Message { properties, ..message.clone() })
}

impl Bodies {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            budget,
            bytes: 0,
            tail: VecDeque::new(),
            tail_first: Seq(0),
            windows: BTreeMap::new(),
            swept_count: STREAM_IDLE_MESSAGES_MAX,
            swept_bytes: STREAM_IDLE_BYTES_MAX,
        }
    }

    /// Messages in memory.
    pub(super) fn len(&self) -> usize {
        self.tail.len() + self.windows.len()
    }

    /// Whether memory is short.
    pub(super) fn is_pressed(&self) -> bool {
        self.budget.exceeded()
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&Arc<Message>> {
        let in_tail =
            seq.0.checked_sub(self.tail_first.0).and_then(|at| self.tail.get(usize::try_from(at).ok()?));
        in_tail.or_else(|| self.windows.get(&seq))
    }

    /// The first message from `seq` on that is in memory.
    pub(super) fn next_from(&self, seq: Seq) -> Option<Seq> {
        let in_windows = self.windows.range(seq..).next().map(|(seq, _)| *seq);
        let tail_end = self.tail_first.0 + self.tail.len() as u64;
        let in_tail = (!self.tail.is_empty() && seq.0 < tail_end).then(|| seq.max(self.tail_first));
        in_windows.into_iter().chain(in_tail).min()
    }

    /// Offers the newest message, as it was published. It stays if it continues what is there, or if somebody waits for
    /// it; and if there is room.
    pub(super) fn offer(&mut self, message: &Message, seq: Seq, is_awaited: bool) {
        let continues = !self.tail.is_empty() && self.tail_first.0 + self.tail.len() as u64 == seq.0;
        let starts = self.tail.is_empty() && is_awaited;
        let has_room = if self.is_pressed() {
            is_awaited
                && (self.tail.len() as u64) < STREAM_WINDOW_MESSAGES_MAX
                && self.bytes < STREAM_WINDOW_BYTES_MAX
        } else {
            self.tail.len() < STREAM_TAIL_MESSAGES_MAX && self.bytes < STREAM_TAIL_BYTES_MAX
        };
        if !(continues || starts) || !has_room {
            return;
        }
        if starts {
            self.tail_first = seq;
        }
        let message = with_offset(message, seq);
        self.take(&message);
        self.tail.push_back(message);
    }

    /// Keeps a message that was read back.
    pub(super) fn insert(&mut self, seq: Seq, message: &Message) {
        if self.get(seq).is_none() {
            let message = with_offset(message, seq);
            self.take(&message);
            self.windows.insert(seq, message);
        }
    }

    /// Lets go of what is older than the stream.
    pub(super) fn drop_before(&mut self, first: Seq) {
        while self.tail_first < first && !self.tail.is_empty() {
            self.pop_tail();
        }
        let kept = self.windows.split_off(&first);
        for gone in std::mem::replace(&mut self.windows, kept).into_values() {
            self.give(&gone);
        }
    }

    /// Whether enough is here that [`Self::sweep`] is worth its time. Call when nobody can take a message.
    pub(super) fn wants_sweep(&self) -> bool {
        self.len() > self.swept_count || self.bytes > self.swept_bytes || self.len() > 0 && self.is_pressed()
    }

    /// Keeps what the consumers at `cursors`, which ascend, will want next.
    pub(super) fn sweep(&mut self, cursors: &[Seq]) {
        if cursors.is_empty() || self.is_pressed() {
            return self.clear();
        }
        let window = STREAM_WINDOW_MESSAGES_MAX;
        let near = cursors.iter().find(|cursor| cursor.0 + window > self.tail_first.0);
        match near {
            Some(&near) => {
                while self.tail_first < near && !self.tail.is_empty() {
                    self.pop_tail();
                }
            }
            None => {
                while !self.tail.is_empty() {
                    self.pop_tail();
                }
            }
        }
        let is_wanted = |seq: &Seq| {
            let after = cursors.partition_point(|cursor| cursor <= seq);
            after
                .checked_sub(1)
                .and_then(|at| cursors.get(at))
                .is_some_and(|cursor| seq.0 - cursor.0 < 2 * window)
        };
        let mut gone_bytes = 0;
        self.windows.retain(|seq, message| {
            let wanted = is_wanted(seq);
            gone_bytes += if wanted { 0 } else { message.resident_bytes() };
            wanted
        });
        self.bytes -= gone_bytes;
        self.budget.give(gone_bytes);
        self.swept_count = (2 * self.len()).max(STREAM_IDLE_MESSAGES_MAX);
        self.swept_bytes = (2 * self.bytes).max(STREAM_IDLE_BYTES_MAX);
    }

    /// Lets go of everything.
    pub(super) fn clear(&mut self) {
        self.tail = VecDeque::new();
        self.windows = BTreeMap::new();
        self.budget.give(std::mem::take(&mut self.bytes));
        self.swept_count = STREAM_IDLE_MESSAGES_MAX;
        self.swept_bytes = STREAM_IDLE_BYTES_MAX;
    }

    fn pop_tail(&mut self) {
        if let Some(gone) = self.tail.pop_front() {
            self.tail_first = self.tail_first.next();
            self.give(&gone);
        }
    }

    fn take(&mut self, message: &Message) {
        self.bytes += message.resident_bytes();
        self.budget.take(message.resident_bytes());
    }

    fn give(&mut self, message: &Message) {
        self.bytes -= message.resident_bytes();
        self.budget.give(message.resident_bytes());
    }
}

impl Drop for Bodies {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::test_support::message;
    use super::*;

    fn bodies(budget: &Budget, tail: std::ops::Range<u64>, windows: &[u64]) -> Bodies {
        let mut bodies = Bodies::new(budget.clone());
        for seq in tail {
            bodies.offer(&message("body", true), Seq(seq), true);
        }
        for &seq in windows {
            bodies.insert(Seq(seq), &message("body", true));
        }
        bodies
    }

    fn kept(bodies: &Bodies) -> Vec<u64> {
        (0..10_000).filter(|&seq| bodies.get(Seq(seq)).is_some()).collect()
    }

    #[test]
    fn a_message_carries_its_offset_and_keeps_its_other_headers() {
        let once = with_offset(&message("body", true), Seq(7));
        let headers = Properties::new(&once.properties).headers().to_table();
        assert_eq!(headers, Table::from_pairs(&[("x-stream-offset", Value::I64(7))]));
        let other = Table::with_first(headers.fields(), "other", &Value::Bool(true));
        let other = Properties::new(&once.properties).with_headers(&other);
        let twice = with_offset(&Message { properties: other, ..(*once).clone() }, Seq(9));
        let expected = [("x-stream-offset", Value::I64(9)), ("other", Value::Bool(true))];
        assert_eq!(Properties::new(&twice.properties).headers().to_table(), Table::from_pairs(&expected));
    }

    #[test]
    fn the_newest_messages_stay_while_somebody_follows() {
        let budget = Budget::new(1 << 20);
        let mut bodies = Bodies::new(budget.clone());
        bodies.offer(&message("body", true), Seq(0), false);
        assert_eq!(bodies.len(), 0, "nobody waits");
        for (seq, is_awaited) in [(1, true), (2, false), (3, false), (5, true)] {
            bodies.offer(&message("body", true), Seq(seq), is_awaited);
        }
        assert_eq!(kept(&bodies), [1, 2, 3], "without gaps");
        bodies.sweep(&[Seq(2), Seq(3)]);
        assert_eq!(kept(&bodies), [2, 3]);
        bodies.sweep(&[Seq(4)]);
        assert_eq!((bodies.len(), budget.used_bytes()), (0, 0));
    }

    #[test]
    fn a_tail_nobody_reads_is_bounded() {
        let budget = Budget::new(usize::MAX);
        let bodies = bodies(&budget, 0..10_000, &[]);
        assert_eq!(bodies.len(), STREAM_TAIL_MESSAGES_MAX);
    }

    #[test]
    fn windows_stay_before_their_readers_and_nowhere_else() {
        let budget = Budget::new(1 << 20);
        let mut bodies = bodies(&budget, 5000..5004, &[1, 2, 3, 300, 301, 4000]);
        assert_eq!(bodies.next_from(Seq(4)), Some(Seq(300)));
        assert_eq!(bodies.next_from(Seq(4001)), Some(Seq(5000)));
        bodies.sweep(&[Seq(2), Seq(301), Seq(5001)]);
        assert_eq!(kept(&bodies), [2, 3, 300, 301, 5001, 5002, 5003]);
        bodies.drop_before(Seq(5002));
        assert_eq!(kept(&bodies), [5002, 5003]);
        bodies.sweep(&[Seq(2)]);
        assert_eq!((kept(&bodies), budget.used_bytes()), (vec![], 0));
    }

    #[test]
    fn under_pressure_nothing_stays_that_nobody_can_take() {
        let budget = Budget::new(1000);
        let mut bodies = bodies(&budget, 10..12, &[1, 2, 3]);
        assert!(!bodies.wants_sweep());
        budget.take(1000);
        assert!(bodies.wants_sweep());
        bodies.sweep(&[Seq(1), Seq(10)]);
        assert_eq!((bodies.len(), budget.used_bytes()), (0, 1000));
        bodies.offer(&message("body", true), Seq(12), false);
        assert_eq!(bodies.len(), 0);
        bodies.offer(&message("body", true), Seq(13), true);
        assert_eq!(bodies.len(), 1, "somebody waits for it");
    }
}
