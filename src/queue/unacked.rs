//! Messages that somebody holds: delivered, not yet settled. Each has one owner, a channel, and the consumer it went to.
//! Deliveries mostly go out and come back in ascending order, so they live in a window sorted by seq in which settled
//! ones leave holes; what is delivered again out of order goes to a map beside it.
//! Invariant: a seq is in at most one of both, and the window's first and last are never holes.

use super::consumers::ConsumerSlot;
use super::entry::Entry;
use ledgermq_storage::Seq;
use std::collections::{BTreeMap, VecDeque};

/// A channel as its vhost numbers it; means nothing to a queue but being the same or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelSlot(pub u32);

/// Who holds a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The channel it was delivered on.
    pub channel: ChannelSlot,
    /// The consumer it was delivered to; `None` for basic.get.
    pub consumer: Option<ConsumerSlot>,
    /// The second of the process's life it was delivered in.
    pub since_s: u32,
}

/// A message that somebody holds.
#[derive(Clone, Debug)]
pub struct Held {
    /// The message; logged ones mostly without their body.
    pub entry: Entry,
    /// Its holder.
    pub owner: Owner,
    /// Its level in the queue.
    pub priority: u8,
}

/// A held message, or the hole one left.
#[derive(Debug)]
enum Place {
    Held(Held),
    Hole(Seq),
}

impl Place {
    fn seq(&self) -> Seq {
        match self {
            Self::Held(held) => held.entry.seq,
            Self::Hole(seq) => *seq,
        }
    }
}

const _: () = assert!(size_of::<Place>() <= 64, "what each unsettled delivery costs");

/// All messages of a queue that somebody holds.
#[derive(Debug, Default)]
pub(super) struct Unacked {
    window: VecDeque<Place>,
    hole_count: usize,
    beside: BTreeMap<Seq, Held>,
    bytes: u64,
}

/// Holes tolerated before the window is packed.
const HOLES_MIN: usize = 64;

impl Unacked {
    pub(super) fn len(&self) -> usize {
        self.window.len() - self.hole_count + self.beside.len()
    }

    /// Sum of the body lengths.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn insert(&mut self, held: Held) {
        self.bytes += held.entry.body_bytes();
        if self.window.back().is_none_or(|last| last.seq() < held.entry.seq) {
            self.window.push_back(Place::Held(held));
        } else {
            let before = self.beside.insert(held.entry.seq, held);
            assert!(before.is_none(), "a message has one holder");
        }
    }

    /// Takes a message back from the channel that holds it; `None` if this channel does not.
    pub(super) fn take(&mut self, seq: Seq, channel: ChannelSlot) -> Option<Held> {
        let held = if let Some(position) = self.position(seq) {
            self.take_from_window(position, channel)?
        } else {
            self.take_from_beside(seq, channel)?
        };
        self.bytes -= held.entry.body_bytes();
        Some(held)
    }

    /// The message at `seq`, if this channel holds it.
    pub(super) fn get(&self, seq: Seq, channel: ChannelSlot) -> Option<&Held> {
        let in_window = self.position(seq).and_then(|position| match self.window.get(position)? {
            Place::Held(held) => Some(held),
            Place::Hole(_) => None,
        });
        in_window.or_else(|| self.beside.get(&seq)).filter(|held| held.owner.channel == channel)
    }

    /// The message at `seq`, whoever holds it.
    pub(super) fn find_mut(&mut self, seq: Seq) -> Option<&mut Entry> {
        let position = self.position(seq);
        let in_window = position.and_then(|position| match self.window.get_mut(position)? {
            Place::Held(held) => Some(&mut held.entry),
            Place::Hole(_) => None,
        });
        in_window.or_else(|| self.beside.get_mut(&seq).map(|held| &mut held.entry))
    }

    /// Positions of what this consumer of a channel holds.
    pub(super) fn seqs_of(&self, channel: ChannelSlot, consumer: ConsumerSlot) -> Vec<Seq> {
        let is_its = |owner: Owner| owner.channel == channel && owner.consumer == Some(consumer);
        self.iter().filter(|held| is_its(held.owner)).map(|held| held.entry.seq).collect()
    }

    /// Takes back everything a channel holds, ascending.
    pub(super) fn take_all_of(&mut self, channel: ChannelSlot) -> Vec<Held> {
        let mut taken = Vec::new();
        let mut kept = VecDeque::with_capacity(self.window.len() - self.hole_count);
        for place in self.window.drain(..) {
            match place {
                Place::Held(held) if held.owner.channel == channel => taken.push(held),
                Place::Held(held) => kept.push_back(Place::Held(held)),
                Place::Hole(_) => {}
            }
        }
        self.window = kept;
        self.hole_count = 0;
        let (own, others) = std::mem::take(&mut self.beside)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, held)| held.owner.channel == channel);
        self.beside = others;
        taken.extend(own.into_values());
        taken.sort_unstable_by_key(|held| held.entry.seq);
        self.bytes -= taken.iter().map(|held| held.entry.body_bytes()).sum::<u64>();
        taken
    }

    /// Everything held, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        let window = self.window.iter().filter_map(|place| match place {
            Place::Held(held) => Some(held),
            Place::Hole(_) => None,
        });
        window.chain(self.beside.values())
    }

    /// Where a seq is in the window, if a message stands there. Without holes cut out the place follows from the seq.
    fn position(&self, seq: Seq) -> Option<usize> {
        let first = self.window.front()?.seq();
        let guess = usize::try_from(seq.0.checked_sub(first.0)?).ok()?;
        if self.window.get(guess).is_some_and(|place| place.seq() == seq) {
            return Some(guess);
        }
        self.window.binary_search_by_key(&seq, Place::seq).ok()
    }

    fn take_from_window(&mut self, position: usize, channel: ChannelSlot) -> Option<Held> {
        let place = self.window.get_mut(position)?;
        match place {
            Place::Held(held) if held.owner.channel == channel => {}
            Place::Held(_) => return None,
            Place::Hole(seq) => {
                // The message was given back, and may have been delivered again since.
                let seq = *seq;
                return self.take_from_beside(seq, channel);
            }
        }
        let seq = place.seq();
        let Place::Held(held) = std::mem::replace(place, Place::Hole(seq)) else { return None };
        self.hole_count += 1;
        self.pack();
        Some(held)
    }

    fn take_from_beside(&mut self, seq: Seq, channel: ChannelSlot) -> Option<Held> {
        if self.beside.get(&seq)?.owner.channel != channel {
            return None;
        }
        self.beside.remove(&seq)
    }

    /// Cuts holes off both ends, and all of them once they are the greater part.
    fn pack(&mut self) {
        while matches!(self.window.front(), Some(Place::Hole(_))) {
            self.window.pop_front();
            self.hole_count -= 1;
        }
        while matches!(self.window.back(), Some(Place::Hole(_))) {
            self.window.pop_back();
            self.hole_count -= 1;
        }
        if self.hole_count > HOLES_MIN && self.hole_count * 2 > self.window.len() {
            self.window.retain(|place| matches!(place, Place::Held(_)));
            self.hole_count = 0;
        }
        if self.window.is_empty() && self.window.capacity() > 64 * HOLES_MIN {
            self.window = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::message;
    use super::*;
    use ledgermq_storage::Lsn;

    fn held(seq: u64, channel: u32) -> Held {
        let entry = Entry::new(Seq(seq), Lsn(seq + 1), 50, message("12345", true));
        Held {
            entry,
            owner: Owner { channel: ChannelSlot(channel), consumer: None, since_s: 0 },
            priority: 0,
        }
    }

    fn unacked(seqs: impl IntoIterator<Item = (u64, u32)>) -> Unacked {
        let mut unacked = Unacked::default();
        seqs.into_iter().for_each(|(seq, channel)| unacked.insert(held(seq, channel)));
        unacked
    }

    #[test]
    fn taken_once_and_only_by_its_holder() {
        let mut unacked = unacked((0..10).map(|seq| (seq, 1)));
        assert!(unacked.take(Seq(4), ChannelSlot(2)).is_none(), "another channel's");
        assert!(unacked.take(Seq(4), ChannelSlot(1)).is_some());
        assert!(unacked.take(Seq(4), ChannelSlot(1)).is_none(), "a hole");
        assert!(unacked.take(Seq(10), ChannelSlot(1)).is_none(), "never held");
        assert_eq!((unacked.len(), unacked.bytes()), (9, 45));
    }

    #[test]
    fn gaps_and_disorder() {
        let mut unacked = unacked([(1, 1), (5, 1), (1000, 1), (3, 1), (0, 2)]);
        for (seq, channel) in [(1000, 1), (0, 2), (3, 1), (1, 1), (5, 1)] {
            assert!(unacked.take(Seq(seq), ChannelSlot(channel)).is_some(), "{seq}");
        }
        assert_eq!((unacked.len(), unacked.bytes(), unacked.window.len()), (0, 0, 0));
    }

    #[test]
    fn delivered_again_into_a_hole() {
        let mut unacked = unacked([(0, 1), (1, 1), (2, 1)]);
        assert!(unacked.take(Seq(1), ChannelSlot(1)).is_some());
        unacked.insert(held(1, 2));
        assert!(unacked.take(Seq(1), ChannelSlot(1)).is_none(), "it is the other's now");
        assert!(unacked.take(Seq(1), ChannelSlot(2)).is_some());
        assert_eq!(unacked.len(), 2);
    }

    #[test]
    fn a_straggler_does_not_keep_the_window_long() {
        let mut unacked = unacked((0..100_000).map(|seq| (seq, 1)));
        for seq in 1..100_000 {
            assert!(unacked.take(Seq(seq), ChannelSlot(1)).is_some());
        }
        assert_eq!(unacked.len(), 1);
        assert!(unacked.window.len() <= 2 * HOLES_MIN + 2);
    }

    #[test]
    fn a_channel_gives_back_what_it_holds_ascending() {
        let mut unacked = unacked([(0, 1), (1, 2), (5, 1), (2, 1), (3, 2)]);
        let seqs: Vec<_> = unacked.take_all_of(ChannelSlot(1)).iter().map(|held| held.entry.seq.0).collect();
        assert_eq!(seqs, [0, 2, 5]);
        assert_eq!((unacked.len(), unacked.bytes()), (2, 10));
        assert!(
            unacked.take(Seq(3), ChannelSlot(2)).is_some() && unacked.take(Seq(1), ChannelSlot(2)).is_some()
        );
    }
}
