//! Who receives the messages of a queue, and who is next: round robin among those that can take one.
//! A consumer without credit, or whose channel or connection is full, leaves the ring until it is woken; so finding the
//! next one costs the same for one consumer and for ten thousand.
//! Consumer priorities and the single active consumer will choose their order here.

use super::unacked::ChannelSlot;
use crate::protocol::table::Table;
use std::collections::VecDeque;
use std::sync::Arc;

/// A consumer as its queue numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerSlot(pub u32);

/// One consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its channel.
    pub channel: ChannelSlot,
    /// Its tag, unique on the channel.
    pub tag: Arc<str>,
    /// Deliveries count as settled when sent; prefetch does not apply.
    pub no_ack: bool,
    /// Nobody else may consume.
    pub exclusive: bool,
    /// Deliveries it may hold; 0 = no limit.
    pub prefetch_count: u16,
    /// Arguments of basic.consume.
    pub arguments: Table,
}

#[derive(Debug)]
struct Seat {
    consumer: Consumer,
    unacked_count: u32,
    in_ring: bool,
    cancelled: bool,
}

impl Seat {
    fn has_credit(&self) -> bool {
        let limit = u32::from(self.consumer.prefetch_count);
        self.consumer.no_ack || limit == 0 || self.unacked_count < limit
    }
}

/// The consumers of one queue.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    /// A cancelled consumer keeps its seat until its last delivery is settled.
    seats: Vec<Option<Seat>>,
    free: Vec<ConsumerSlot>,
    ring: VecDeque<ConsumerSlot>,
    count: usize,
    exclusive: bool,
}

impl Consumers {
    /// Consumers, without the cancelled ones.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether one of them wants to be alone.
    pub(super) fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    pub(super) fn add(&mut self, consumer: Consumer) -> ConsumerSlot {
        self.exclusive |= consumer.exclusive;
        self.count += 1;
        let seat = Seat { consumer, unacked_count: 0, in_ring: true, cancelled: false };
        let slot = if let Some(slot) = self.free.pop() {
            if let Some(place) = self.seats.get_mut(slot.0 as usize) {
                *place = Some(seat);
            }
            slot
        } else {
            self.seats.push(Some(seat));
            ConsumerSlot(self.seats.len() as u32 - 1)
        };
        self.ring.push_back(slot);
        slot
    }

    /// Ends a consumer; what it holds stays with its channel.
    pub(super) fn cancel(&mut self, slot: ConsumerSlot) {
        let Some(seat) = self.seat_mut(slot) else { return };
        if seat.cancelled {
            return;
        }
        seat.cancelled = true;
        if std::mem::take(&mut seat.in_ring) {
            self.ring.retain(|&other| other != slot);
        }
        self.count -= 1;
        self.exclusive = false;
        self.leave_if_done(slot);
    }

    /// The next consumer in turn, with credit of its own.
    pub(super) fn next(&self) -> Option<(ConsumerSlot, &Consumer)> {
        let slot = *self.ring.front()?;
        Some((slot, &self.seats.get(slot.0 as usize)?.as_ref()?.consumer))
    }

    /// The consumer in turn took a message: it goes to the end of the ring, or out of it if it has no credit left.
    pub(super) fn took(&mut self, slot: ConsumerSlot) {
        let Some(seat) = self.seat_mut(slot) else { return };
        if !seat.consumer.no_ack {
            seat.unacked_count += 1;
        }
        let has_credit = seat.has_credit();
        seat.in_ring = has_credit;
        if self.ring.len() == 1 && has_credit {
            return;
        }
        self.ring.pop_front();
        if has_credit {
            self.ring.push_back(slot);
        }
    }

    /// The consumer in turn cannot take a message for a reason of its channel: it waits to be woken.
    pub(super) fn put_to_sleep(&mut self, slot: ConsumerSlot) {
        if let Some(seat) = self.seat_mut(slot) {
            seat.in_ring = false;
            self.ring.pop_front();
        }
    }

    /// Brings a consumer back into the ring if it can take a message as far as the queue knows.
    pub(super) fn wake(&mut self, slot: ConsumerSlot) {
        let Some(seat) = self.seat_mut(slot) else { return };
        if !seat.in_ring && !seat.cancelled && seat.has_credit() {
            seat.in_ring = true;
            self.ring.push_back(slot);
        }
    }

    /// One delivery of a consumer was settled.
    pub(super) fn settled(&mut self, slot: ConsumerSlot) {
        let Some(seat) = self.seat_mut(slot) else { return };
        assert!(seat.unacked_count > 0, "a consumer settles what it holds");
        seat.unacked_count -= 1;
        if seat.cancelled {
            self.leave_if_done(slot);
        } else {
            self.wake(slot);
        }
    }

    /// Whether somebody can take a message as far as the queue knows.
    pub(super) fn any_ready(&self) -> bool {
        !self.ring.is_empty()
    }

    /// Every consumer with the number of deliveries it holds.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Consumer, u32)> {
        let seats = self.seats.iter().flatten().filter(|seat| !seat.cancelled);
        seats.map(|seat| (&seat.consumer, seat.unacked_count))
    }

    fn seat_mut(&mut self, slot: ConsumerSlot) -> Option<&mut Seat> {
        self.seats.get_mut(slot.0 as usize)?.as_mut()
    }

    fn leave_if_done(&mut self, slot: ConsumerSlot) {
        if let Some(place) = self.seats.get_mut(slot.0 as usize)
            && place.as_ref().is_some_and(|seat| seat.cancelled && seat.unacked_count == 0)
        {
            *place = None;
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(tag: &str, prefetch_count: u16, no_ack: bool) -> Consumer {
        let (channel, arguments) = (ChannelSlot(0), Table::default());
        Consumer { channel, tag: tag.into(), no_ack, exclusive: false, prefetch_count, arguments }
    }

    fn turns(consumers: &mut Consumers, count: usize) -> String {
        let mut tags = String::new();
        for _ in 0..count {
            let Some((slot, consumer)) = consumers.next() else { break };
            tags.push_str(&consumer.tag);
            consumers.took(slot);
        }
        tags
    }

    #[test]
    fn in_turn() {
        let mut consumers = Consumers::default();
        for tag in ["a", "b", "c"] {
            consumers.add(consumer(tag, 0, false));
        }
        assert_eq!(turns(&mut consumers, 7), "abcabca");
    }

    #[test]
    fn credit_is_never_exceeded_and_comes_back() {
        let mut consumers = Consumers::default();
        let a = consumers.add(consumer("a", 1, false));
        consumers.add(consumer("b", 2, false));
        assert_eq!(turns(&mut consumers, 9), "abb");
        assert!(!consumers.any_ready());
        consumers.settled(a);
        assert_eq!(turns(&mut consumers, 9), "a");
    }

    #[test]
    fn prefetch_means_nothing_to_who_need_not_ack() {
        let mut consumers = Consumers::default();
        consumers.add(consumer("a", 1, true));
        assert_eq!(turns(&mut consumers, 4), "aaaa");
    }

    #[test]
    fn a_cancelled_consumer_keeps_its_seat_until_settled() {
        let mut consumers = Consumers::default();
        let a = consumers.add(consumer("a", 0, false));
        consumers.took(a);
        consumers.cancel(a);
        consumers.cancel(a);
        assert_eq!(consumers.len(), 0);
        let b = consumers.add(consumer("b", 0, false));
        assert_ne!(a, b, "the seat is still taken");
        consumers.settled(a);
        assert_eq!(consumers.add(consumer("c", 0, false)), a);
        assert_eq!(turns(&mut consumers, 3), "bcb");
    }

    #[test]
    fn asleep_until_woken() {
        let mut consumers = Consumers::default();
        let a = consumers.add(consumer("a", 0, false));
        consumers.add(consumer("b", 0, false));
        consumers.put_to_sleep(a);
        assert_eq!(turns(&mut consumers, 2), "bb");
        consumers.wake(a);
        consumers.wake(a);
        assert_eq!(turns(&mut consumers, 4), "baba");
    }
}
