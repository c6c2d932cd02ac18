//! The consumers of a stream: where each stands and what it holds. Whose turn it is, and whether somebody has credit, is
//! told by the queue's own list of consumers; this one is indexed by its slots.
//! Invariant: a seat is kept as long as the queue's list keeps its own: until the consumer is cancelled and holds nothing.

use super::reader::Filter;
use crate::queue::{ChannelSlot, ConsumerSlot};
use ledgermq_storage::Seq;
use std::collections::{HashMap, VecDeque};

/// One consumer.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, three of them marks of list membership"
)]
pub(super) struct Cursor {
    pub(super) channel: ChannelSlot,
    /// The offset it gets next, if that exists and is wanted.
    pub(super) next: Seq,
    pub(super) filter: Option<Filter>,
    /// Where it begins is being looked up, under this ticket.
    pub(super) seeks: Option<u64>,
    /// Deliveries not settled, ascending.
    held: VecDeque<Seq>,
    is_cancelled: bool,
    /// Messages below this offset were read back for it, or are being read.
    pub(super) read_to: Seq,
    /// Marks of list membership.
    is_at_end: bool,
    is_awaiting: bool,
    is_ahead: bool,
}

/// All consumers of a stream.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    seats: Vec<Option<Cursor>>,
    /// Who sits where: a channel has few consumers of one stream.
    by_channel: HashMap<ChannelSlot, Vec<ConsumerSlot>, foldhash::fast::FixedState>,
    /// Those that wait for later messages.
    at_end: Vec<ConsumerSlot>,
    /// Those that wait for bodies.
    awaiting: VecDeque<ConsumerSlot>,
    /// Those that have used up half of what was read for them.
    ahead: VecDeque<ConsumerSlot>,
    count: usize,
    /// Number of the next delivery.
    next_delivery: Seq,
    last_ticket: u64,
}

impl Cursors {
    /// Seats a consumer that begins at `next`.
    pub(super) fn add(
        &mut self,
        slot: ConsumerSlot,
        channel: ChannelSlot,
        next: Seq,
        filter: Option<Filter>,
    ) {
        let cursor = Cursor {
            channel,
            next,
            filter,
            seeks: None,
            held: VecDeque::new(),
            is_cancelled: false,
            read_to: Seq(0),
            is_at_end: false,
            is_awaiting: false,
            is_ahead: false,
        };
        let at = slot.0 as usize;
        if self.seats.len() <= at {
            self.seats.resize_with(at + 1, || None);
        }
        if let Some(seat) = self.seats.get_mut(at) {
            assert!(seat.is_none(), "a consumer gets a free seat");
            *seat = Some(cursor);
            self.by_channel.entry(channel).or_default().push(slot);
            self.count += 1;
        }
    }

    pub(super) fn get(&self, slot: ConsumerSlot) -> Option<&Cursor> {
        self.seats.get(slot.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: ConsumerSlot) -> Option<&mut Cursor> {
        self.seats.get_mut(slot.0 as usize)?.as_mut()
    }

    /// A ticket for looking up where a consumer begins.
    pub(super) fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// The consumer that waits for this ticket.
    pub(super) fn seeking(&self, ticket: u64) -> Option<ConsumerSlot> {
        let position = self
            .seats
            .iter()
            .position(|seat| seat.as_ref().is_some_and(|cursor| cursor.seeks == Some(ticket)));
        position.map(|at| ConsumerSlot(at as u32))
    }

    /// Ends a consumer; what it holds stays with its channel.
    pub(super) fn cancel(&mut self, slot: ConsumerSlot) {
        if let Some(cursor) = self.get_mut(slot)
            && !cursor.is_cancelled
        {
            cursor.is_cancelled = true;
            cursor.seeks = None;
            self.count -= 1;
            self.leave_if_done(slot);
        }
    }

    /// A message goes to a consumer; answers the number of this delivery.
    pub(super) fn hold(&mut self, slot: ConsumerSlot) -> Seq {
        let delivery = self.next_delivery;
        self.next_delivery = delivery.next();
        if let Some(cursor) = self.get_mut(slot) {
            cursor.held.push_back(delivery);
        }
        delivery
    }

    /// Settles a delivery that one of the channel's consumers holds; answers which.
    pub(super) fn settle(&mut self, delivery: Seq, channel: ChannelSlot) -> Option<ConsumerSlot> {
        let held_at = |slot: &ConsumerSlot| {
            let position = self.get(*slot)?.held.binary_search(&delivery).ok()?;
            Some((*slot, position))
        };
        let (slot, position) = self.by_channel.get(&channel)?.iter().find_map(held_at)?;
        self.get_mut(slot)?.held.remove(position);
        self.leave_if_done(slot);
        Some(slot)
    }

    /// Settles everything a channel holds; for each message the consumer that held it.
    pub(super) fn settle_all_of(&mut self, channel: ChannelSlot) -> Vec<ConsumerSlot> {
        let mut settled = Vec::new();
        for slot in self.by_channel.get(&channel).cloned().unwrap_or_default() {
            let Some(cursor) = self.get_mut(slot) else { continue };
            let count = cursor.held.len();
            cursor.held.clear();
            settled.extend(std::iter::repeat_n(slot, count));
            self.leave_if_done(slot);
        }
        settled
    }

    /// Who holds what: the channel of each message.
    pub(super) fn holders(&self) -> impl Iterator<Item = ChannelSlot> {
        let cursors = self.seats.iter().flatten();
        cursors.flat_map(|cursor| std::iter::repeat_n(cursor.channel, cursor.held.len()))
    }

    /// The consumer waits for later messages.
    pub(super) fn wait_at_end(&mut self, slot: ConsumerSlot) {
        if let Some(cursor) = self.get_mut(slot)
            && !std::mem::replace(&mut cursor.is_at_end, true)
        {
            self.at_end.push(slot);
        }
    }

    /// Whether somebody waits for later messages.
    pub(super) fn any_at_end(&self) -> bool {
        !self.at_end.is_empty()
    }

    /// Those that waited for later messages.
    pub(super) fn take_at_end(&mut self) -> Vec<ConsumerSlot> {
        let slots = std::mem::take(&mut self.at_end);
        for &slot in &slots {
            if let Some(cursor) = self.get_mut(slot) {
                cursor.is_at_end = false;
            }
        }
        slots
    }

    /// The consumer waits for bodies.
    pub(super) fn await_bodies(&mut self, slot: ConsumerSlot) {
        if let Some(cursor) = self.get_mut(slot)
            && !std::mem::replace(&mut cursor.is_awaiting, true)
        {
            self.awaiting.push_back(slot);
        }
    }

    /// Those that wait for bodies and where they stand, who has waited longest first.
    pub(super) fn awaiting(&self) -> impl Iterator<Item = (ConsumerSlot, Seq)> {
        self.awaiting.iter().filter_map(|slot| {
            let cursor = self.get(*slot).filter(|cursor| cursor.is_awaiting && !cursor.is_cancelled)?;
            Some((*slot, cursor.next))
        })
    }

    /// Those that wait for bodies no more: they stand where `is_there`, or are gone.
    pub(super) fn take_awaiting(&mut self, is_there: impl Fn(Seq) -> bool) -> Vec<ConsumerSlot> {
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for slot in std::mem::take(&mut self.awaiting) {
            match self.get_mut(slot) {
                Some(cursor) if cursor.is_awaiting => {
                    if !cursor.is_cancelled && !is_there(cursor.next) {
                        left.push_back(slot);
                    } else {
                        cursor.is_awaiting = false;
                        taken.push(slot);
                    }
                }
                Some(_) | None => {}
            }
        }
        self.awaiting = left;
        taken
    }

    /// The consumer will soon need what comes after that which was read for it.
    pub(super) fn read_ahead(&mut self, slot: ConsumerSlot) {
        if let Some(cursor) = self.get_mut(slot)
            && !std::mem::replace(&mut cursor.is_ahead, true)
        {
            self.ahead.push_back(slot);
        }
    }

    /// The one of these that has waited longest.
    pub(super) fn take_ahead(&mut self) -> Option<ConsumerSlot> {
        loop {
            let slot = self.ahead.pop_front()?;
            let Some(cursor) = self.get_mut(slot) else { continue };
            cursor.is_ahead = false;
            if !cursor.is_cancelled {
                return Some(slot);
            }
        }
    }

    /// Where the consumers stand, ascending.
    pub(super) fn positions(&self) -> Vec<Seq> {
        let live = self.seats.iter().flatten().filter(|cursor| !cursor.is_cancelled);
        let mut positions: Vec<_> = live.map(|cursor| cursor.next).collect();
        positions.sort_unstable();
        positions.dedup();
        positions
    }

    /// Consumers, without the cancelled ones.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn leave_if_done(&mut self, slot: ConsumerSlot) {
        if let Some(seat) = self.seats.get_mut(slot.0 as usize)
            && let Some(channel) = seat
                .take_if(|cursor| cursor.is_cancelled && cursor.held.is_empty())
                .map(|cursor| cursor.channel)
            && let Some(slots) = self.by_channel.get_mut(&channel)
        {
            slots.retain(|&other| other != slot);
            if slots.is_empty() {
                self.by_channel.remove(&channel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursors(channels: &[u32]) -> Cursors {
        let mut cursors = Cursors::default();
        for (at, channel) in channels.iter().enumerate() {
            cursors.add(ConsumerSlot(at as u32), ChannelSlot(*channel), Seq(0), None);
        }
        cursors
    }

    #[test]
    fn each_consumer_holds_its_own() {
        let mut cursors = cursors(&[1, 1, 2]);
        let deliveries: Vec<_> = (0..3).map(|slot| cursors.hold(ConsumerSlot(slot))).collect();
        assert_eq!(cursors.settle(deliveries[1], ChannelSlot(2)), None, "another channel's");
        assert_eq!(cursors.settle(deliveries[1], ChannelSlot(1)), Some(ConsumerSlot(1)));
        assert_eq!(cursors.settle(deliveries[1], ChannelSlot(1)), None, "once");
        assert_eq!(cursors.holders().collect::<Vec<_>>(), [ChannelSlot(1), ChannelSlot(2)]);
        assert_eq!(cursors.settle_all_of(ChannelSlot(2)), [ConsumerSlot(2)]);
        assert_eq!(cursors.holders().count(), 1);
    }

    #[test]
    fn a_seat_is_free_once_its_consumer_is_cancelled_and_holds_nothing() {
        let mut cursors = cursors(&[1]);
        let delivery = cursors.hold(ConsumerSlot(0));
        cursors.cancel(ConsumerSlot(0));
        assert_eq!((cursors.len(), cursors.positions()), (0, vec![]));
        assert_eq!(cursors.settle(delivery, ChannelSlot(1)), Some(ConsumerSlot(0)));
        cursors.add(ConsumerSlot(0), ChannelSlot(9), Seq(3), None);
        assert_eq!((cursors.len(), cursors.positions()), (1, vec![Seq(3)]));
    }

    #[test]
    fn who_waits_is_listed_once() {
        let mut cursors = cursors(&[1, 1]);
        for _ in 0..2 {
            cursors.wait_at_end(ConsumerSlot(1));
            cursors.await_bodies(ConsumerSlot(0));
        }
        let awaiting = |cursors: &Cursors| cursors.awaiting().map(|(slot, _)| slot).collect::<Vec<_>>();
        assert_eq!(awaiting(&cursors), [ConsumerSlot(0)]);
        assert_eq!(cursors.take_at_end(), [ConsumerSlot(1)]);
        assert!(!cursors.any_at_end());
        assert_eq!(cursors.take_awaiting(|next| next == Seq(5)), []);
        assert_eq!(cursors.take_awaiting(|next| next == Seq(0)), [ConsumerSlot(0)]);
        assert_eq!(awaiting(&cursors), []);
        cursors.await_bodies(ConsumerSlot(0));
        cursors.cancel(ConsumerSlot(0));
        assert_eq!(awaiting(&cursors), [], "who is gone waits for nothing");
    }
}
