//! What a queue handed out: who holds what and for how long, what is settled, and what comes back to its place.

use super::Queue;
use super::consumers::{Consumer, ConsumerSlot};
use super::entry::Entry;
use super::leaving::Death;
use super::recovered::Ranges;
use super::returns::ReturnedRange;
use super::unacked::{ChannelSlot, Held, Owner};
use ledgermq_storage::Seq;
use std::collections::BTreeSet;

/// Somebody who holds a delivery for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Who.
    pub owner: Owner,
    /// The time it had, ms.
    pub timeout_ms: u64,
}

impl Queue {
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

    /// What is neither waiting nor gone.
    pub(super) fn held(&self) -> impl Iterator<Item = &Entry> {
        self.unacked.iter().map(|held| &held.entry).chain(self.leaving.iter())
    }

    /// Positions of the logged messages that are held, given away or damaged, ascending.
    pub fn held_seqs(&self) -> Vec<Seq> {
        let held = self.held().filter(|entry| entry.is_logged()).map(|entry| entry.seq);
        let mut seqs: Vec<_> = held.chain(self.damaged.iter().copied()).collect();
        seqs.sort_unstable();
        seqs
    }

    /// Stretches of logged messages that were delivered and not settled, and how often, for the next start. Later ones
    /// correct earlier ones.
    pub fn delivered_ranges(&self) -> Vec<ReturnedRange> {
        let waiting = self.ready.resident().filter(|entry| entry.is_redelivered());
        let known = self.held().chain(waiting).filter(|entry| entry.is_logged());
        let known = known.map(|entry| (entry.seq, entry.seq));
        let ranges = Ranges::new(known.chain(self.redelivered.ranges_before(self.next_seq)).collect());
        // Who counts knows better, and that of which nothing is counted never came back.
        let count = u32::from(!self.returns.is_counting());
        let once = ranges.into_vec().into_iter().map(|(first, last)| (first, last, count));
        let held: BTreeSet<_> = self.unacked.iter().map(|held| held.entry.seq).collect();
        // What the log does not hold ends with the process, and others will take its positions.
        let passing = self.held().chain(self.ready.resident()).filter(|entry| !entry.is_logged());
        let passing: BTreeSet<_> = passing.map(|entry| entry.seq).collect();
        let is_logged = |seq: &Seq| !passing.contains(seq);
        once.chain(self.returns.all(held.into_iter(), is_logged)).collect()
    }
}

fn is_same_holder(one: Owner, other: Owner) -> bool {
    (one.channel, one.consumer) == (other.channel, other.consumer)
}
