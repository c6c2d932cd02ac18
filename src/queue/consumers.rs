//! Who receives the messages of a queue, and who is next: of the consumers that can take one, those of the highest
//! priority, round robin among equals. A consumer without credit, or whose channel or connection is full, leaves its ring
//! until it is woken; so finding the next one costs the same for one consumer and for ten thousand.
//!
//! Where a queue has a single active consumer, only that one is ever in a ring; the others wait for it to go.
//! Invariants: rings are sorted by falling priority, those before `first` are empty, and each has a member, in it or not.
//! Source: RabbitMQ `rabbit_queue_consumers`, `rabbit_fifo` (single active consumers by priority).

use super::unacked::ChannelSlot;
use crate::protocol::table::Table;
use std::cmp::Reverse;
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
    /// `x-priority`: those of the highest come first while they can take messages.
    pub priority: i64,
    /// `x-consumer-timeout`, ms, 0 = never: how long it may hold a delivery. `None`: as long as its queue says.
    pub timeout_ms: Option<u64>,
    /// Arguments of basic.consume.
    pub arguments: Table,
}

/// Whom a queue serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serving {
    /// All its consumers.
    #[default]
    All,
    /// One, until it goes: then the one of the highest priority, the longest there among equals.
    One,
    /// As [`Self::One`], but a consumer of a higher priority takes over once the active one holds nothing any more.
    OneByPriority,
}

/// A consumer with what its queue knows of it.
#[derive(Clone, Copy, Debug)]
pub struct ConsumerView<'a> {
    /// Who.
    pub consumer: &'a Consumer,
    /// Deliveries it holds.
    pub unacked_count: u32,
    /// May receive messages: false for those who wait behind a single active consumer.
    pub active: bool,
}

#[derive(Debug)]
struct Seat {
    consumer: Consumer,
    /// Consumers that came before it.
    since: u64,
    unacked_count: u32,
    in_ring: bool,
    /// Its channel has it on its list of those to rouse.
    asleep: bool,
    cancelled: bool,
}

impl Seat {
    fn has_credit(&self) -> bool {
        let limit = u32::from(self.consumer.prefetch_count);
        self.consumer.no_ack || limit == 0 || self.unacked_count < limit
    }
}

/// The consumers of one priority.
#[derive(Debug)]
struct Ring {
    priority: i64,
    /// Consumers of this priority, in turn or not.
    member_count: usize,
    slots: VecDeque<ConsumerSlot>,
}

/// The one consumer that is served.
#[derive(Debug, Default)]
struct Active {
    by_priority: bool,
    slot: Option<ConsumerSlot>,
    /// Somebody of a higher priority waits for it to settle what it holds.
    gives_way: bool,
}

/// The consumers of one queue.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    /// A cancelled consumer keeps its seat until its last delivery is settled.
    seats: Vec<Option<Seat>>,
    free: Vec<ConsumerSlot>,
    rings: Vec<Ring>,
    /// The first ring that has somebody in it.
    first: usize,
    count: usize,
    added_count: u64,
    exclusive: bool,
    /// `None`: all are served.
    active: Option<Active>,
}

impl Consumers {
    /// Sets whom the queue serves, before there is anybody.
    pub(super) fn serve(&mut self, serving: Serving) {
        self.active = match serving {
            Serving::All => None,
            Serving::One => Some(Active::default()),
            Serving::OneByPriority => Some(Active { by_priority: true, ..Active::default() }),
        };
    }

    /// Whether only one of them is served at a time.
    pub(super) fn is_single_active(&self) -> bool {
        self.active.is_some()
    }

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
        self.added_count += 1;
        let priority = consumer.priority;
        let since = self.added_count;
        let seat =
            Seat { consumer, since, unacked_count: 0, in_ring: false, asleep: false, cancelled: false };
        let slot = if let Some(slot) = self.free.pop() {
            if let Some(place) = self.seats.get_mut(slot.0 as usize) {
                *place = Some(seat);
            }
            slot
        } else {
            self.seats.push(Some(seat));
            ConsumerSlot(self.seats.len() as u32 - 1)
        };
        match self.ring_of(priority) {
            Ok(at) => {
                if let Some(ring) = self.rings.get_mut(at) {
                    ring.member_count += 1;
                }
            }
            Err(at) => {
                self.rings.insert(at, Ring { priority, member_count: 1, slots: VecDeque::new() });
                self.first += usize::from(at <= self.first);
            }
        }
        self.choose_active();
        self.wake(slot);
        slot
    }

    /// Ends a consumer; what it holds stays with its channel.
    pub(super) fn cancel(&mut self, slot: ConsumerSlot) {
        let Some(seat) = self.seat_mut(slot) else { return };
        if seat.cancelled {
            return;
        }
        seat.cancelled = true;
        let (priority, in_ring) = (seat.consumer.priority, std::mem::take(&mut seat.in_ring));
        if let Ok(at) = self.ring_of(priority)
            && let Some(ring) = self.rings.get_mut(at)
        {
            if in_ring {
                ring.slots.retain(|&other| other != slot);
            }
            ring.member_count -= 1;
            if ring.member_count == 0 {
                self.rings.remove(at);
                self.first -= usize::from(at < self.first);
            }
        }
        self.pass_empty_rings();
        self.count -= 1;
        self.exclusive = false;
        if let Some(active) = &mut self.active
            && active.slot == Some(slot)
        {
            *active = Active { by_priority: active.by_priority, ..Active::default() };
        }
        self.choose_active();
        self.leave_if_done(slot);
    }

    /// The next consumer in turn, with credit of its own.
    pub(super) fn next(&self) -> Option<(ConsumerSlot, &Consumer)> {
        let slot = *self.rings.get(self.first)?.slots.front()?;
        Some((slot, &self.seats.get(slot.0 as usize)?.as_ref()?.consumer))
    }

    /// The consumer in turn took a message: it goes to the end of its ring, or out of it if it has no credit left.
    pub(super) fn took(&mut self, slot: ConsumerSlot) {
        let Some(seat) = self.seats.get_mut(slot.0 as usize).and_then(Option::as_mut) else { return };
        if !seat.consumer.no_ack {
            seat.unacked_count += 1;
        }
        let has_credit = seat.has_credit();
        seat.in_ring = has_credit;
        let Some(ring) = self.rings.get_mut(self.first) else { return };
        if ring.slots.len() == 1 && has_credit {
            return;
        }
        ring.slots.pop_front();
        if has_credit {
            ring.slots.push_back(slot);
        } else {
            self.pass_empty_rings();
        }
    }

    /// The consumer in turn cannot take a message for a reason of its channel: it waits to be roused. Answers whether it
    /// did not wait already: one that becomes the active one gets another look at its queue before its channel rouses it.
    pub(super) fn put_to_sleep(&mut self, slot: ConsumerSlot) -> bool {
        let Some(seat) = self.seat_mut(slot) else { return false };
        seat.in_ring = false;
        let fell_asleep = !std::mem::replace(&mut seat.asleep, true);
        if let Some(ring) = self.rings.get_mut(self.first) {
            ring.slots.pop_front();
        }
        self.pass_empty_rings();
        fell_asleep
    }

    /// The reason of the consumer's channel is over.
    pub(super) fn rouse(&mut self, slot: ConsumerSlot) {
        if let Some(seat) = self.seat_mut(slot) {
            seat.asleep = false;
            self.wake(slot);
        }
    }

    /// Brings a consumer back into its ring if it can take a message as far as the queue knows.
    pub(super) fn wake(&mut self, slot: ConsumerSlot) {
        if self.active.as_ref().is_some_and(|active| active.slot != Some(slot) || active.gives_way) {
            return;
        }
        let Some(seat) = self.seat_mut(slot) else { return };
        if seat.in_ring || seat.cancelled || !seat.has_credit() {
            return;
        }
        seat.in_ring = true;
        let priority = seat.consumer.priority;
        if let Ok(at) = self.ring_of(priority)
            && let Some(ring) = self.rings.get_mut(at)
        {
            ring.slots.push_back(slot);
            self.first = self.first.min(at);
        }
    }

    /// Deliveries a consumer may still be given; [`u64::MAX`] without a limit.
    pub(super) fn credit_of(&self, slot: ConsumerSlot) -> u64 {
        let Some(seat) = self.seats.get(slot.0 as usize).and_then(Option::as_ref) else { return 0 };
        match seat.consumer.prefetch_count {
            0 => u64::MAX,
            limit => u64::from(limit).saturating_sub(u64::from(seat.unacked_count)),
        }
    }

    /// One delivery of a consumer was settled.
    pub(super) fn settled(&mut self, slot: ConsumerSlot) {
        let Some(seat) = self.seat_mut(slot) else { return };
        assert!(seat.unacked_count > 0, "a consumer settles what it holds");
        seat.unacked_count -= 1;
        let (holds_nothing, asleep) = (seat.unacked_count == 0, seat.asleep);
        if seat.cancelled {
            self.leave_if_done(slot);
            return;
        }
        if holds_nothing && self.active.as_ref().is_some_and(|active| active.gives_way) {
            self.choose_active();
        }
        // One that sleeps is roused after those who would have had their turn before it.
        if !asleep {
            self.wake(slot);
        }
    }

    /// Whether somebody can take a message as far as the queue knows.
    pub(super) fn any_ready(&self) -> bool {
        self.first < self.rings.len()
    }

    /// Every consumer.
    pub(super) fn iter(&self) -> impl Iterator<Item = ConsumerView<'_>> {
        let seats = (0..).map(ConsumerSlot).zip(&self.seats);
        seats.filter_map(|(slot, seat)| {
            let seat = seat.as_ref().filter(|seat| !seat.cancelled)?;
            let active = self.active.as_ref().is_none_or(|active| active.slot == Some(slot));
            Some(ConsumerView { consumer: &seat.consumer, unacked_count: seat.unacked_count, active })
        })
    }

    /// Finds who is to be served alone, if that is nobody, or somebody who is to give way and can. Somebody who is to give
    /// way and holds deliveries gets no more of them until it has settled those.
    fn choose_active(&mut self) {
        let Some(active) = &self.active else { return };
        let seats = (0..).map(ConsumerSlot).zip(&self.seats);
        let waiting =
            seats.filter_map(|(slot, seat)| Some((slot, seat.as_ref().filter(|seat| !seat.cancelled)?)));
        let best = waiting.min_by_key(|(_, seat)| (Reverse(seat.consumer.priority), seat.since));
        let best = best.map(|(slot, seat)| (slot, seat.consumer.priority));
        let current = active.slot.and_then(|slot| self.seats.get(slot.0 as usize)?.as_ref());
        let (next, gives_way) = match (current, best) {
            (Some(current), Some((_, priority)))
                if active.by_priority
                    && priority > current.consumer.priority
                    && current.unacked_count > 0 =>
            {
                (active.slot, true)
            }
            (Some(current), Some((best, priority)))
                if active.by_priority && priority > current.consumer.priority =>
            {
                (Some(best), false)
            }
            (Some(_), _) => (active.slot, false),
            (None, best) => (best.map(|(slot, _)| slot), false),
        };
        let before = active.slot;
        if let Some(active) = &mut self.active {
            (active.slot, active.gives_way) = (next, gives_way);
        }
        if gives_way || before != next {
            before.into_iter().for_each(|slot| self.leave_ring(slot));
        }
        if let Some(next) = next {
            self.rouse(next);
        }
    }

    fn leave_ring(&mut self, slot: ConsumerSlot) {
        let Some(seat) = self.seat_mut(slot) else { return };
        seat.in_ring = false;
        let priority = seat.consumer.priority;
        if let Ok(at) = self.ring_of(priority)
            && let Some(ring) = self.rings.get_mut(at)
        {
            ring.slots.retain(|&other| other != slot);
        }
        self.pass_empty_rings();
    }

    fn ring_of(&self, priority: i64) -> Result<usize, usize> {
        self.rings.binary_search_by_key(&Reverse(priority), |ring| Reverse(ring.priority))
    }

    fn pass_empty_rings(&mut self) {
        while self.rings.get(self.first).is_some_and(|ring| ring.slots.is_empty()) {
            self.first += 1;
        }
    }

    /// A consumer, also a cancelled one that still holds deliveries.
    pub(super) fn get(&self, slot: ConsumerSlot) -> Option<&Consumer> {
        Some(&self.seats.get(slot.0 as usize)?.as_ref()?.consumer)
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
        let tag = tag.into();
        Consumer {
            channel,
            tag,
            no_ack,
            exclusive: false,
            prefetch_count,
            priority: 0,
            timeout_ms: None,
            arguments,
        }
    }

    fn ranked(tag: &str, priority: i64, prefetch_count: u16) -> Consumer {
        Consumer { priority, ..consumer(tag, prefetch_count, false) }
    }

    fn active(consumers: &Consumers) -> Option<&str> {
        consumers.iter().find(|view| view.active).map(|view| &*view.consumer.tag)
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
        consumers.rouse(a);
        consumers.rouse(a);
        assert_eq!(turns(&mut consumers, 4), "baba");
    }

    #[test]
    fn the_highest_priority_first_and_in_turn_among_equals() {
        let mut consumers = Consumers::default();
        consumers.add(ranked("c", -1, 0));
        let a = consumers.add(ranked("a", 5, 2));
        consumers.add(ranked("b", 5, 1));
        consumers.add(ranked("d", i64::MIN, 0));
        assert_eq!(turns(&mut consumers, 6), "abaccc");
        consumers.settled(a);
        assert_eq!(turns(&mut consumers, 2), "ac");
        consumers.cancel(a);
        assert_eq!(turns(&mut consumers, 1), "c");
        consumers.add(ranked("e", 7, 0));
        assert_eq!(turns(&mut consumers, 2), "ee");
    }

    #[test]
    fn who_sleeps_is_passed_over_whatever_its_priority() {
        let mut consumers = Consumers::default();
        let a = consumers.add(ranked("a", 1, 0));
        let b = consumers.add(ranked("b", 0, 0));
        consumers.put_to_sleep(a);
        assert_eq!(turns(&mut consumers, 2), "bb");
        consumers.put_to_sleep(b);
        assert!(!consumers.any_ready());
        consumers.rouse(b);
        consumers.rouse(a);
        assert_eq!(turns(&mut consumers, 2), "aa");
        consumers.cancel(a);
        consumers.cancel(b);
        assert!(!consumers.any_ready() && consumers.rings.is_empty());
    }

    #[test]
    fn one_is_served_until_it_goes() {
        let mut consumers = Consumers::default();
        consumers.serve(Serving::One);
        let a = consumers.add(ranked("a", 0, 1));
        let b = consumers.add(ranked("b", 0, 0));
        consumers.add(ranked("c", 0, 0));
        consumers.add(ranked("d", 3, 0));
        assert_eq!((turns(&mut consumers, 9).as_str(), active(&consumers)), ("a", Some("a")));
        consumers.rouse(b);
        assert!(!consumers.any_ready(), "who waits is not woken");
        consumers.settled(a);
        assert_eq!(turns(&mut consumers, 1), "a");
        consumers.cancel(a);
        assert_eq!((turns(&mut consumers, 2).as_str(), active(&consumers)), ("dd", Some("d")));
        let d = consumers.next().unwrap().0;
        consumers.cancel(d);
        assert_eq!(
            (turns(&mut consumers, 2).as_str(), active(&consumers)),
            ("bb", Some("b")),
            "the longest there"
        );
        consumers.settled(a);
        assert_eq!(active(&consumers), Some("b"));
    }

    #[test]
    fn a_higher_priority_takes_over_once_the_active_one_holds_nothing() {
        let mut consumers = Consumers::default();
        consumers.serve(Serving::OneByPriority);
        let a = consumers.add(ranked("a", 0, 0));
        assert_eq!(turns(&mut consumers, 2), "aa");
        consumers.add(ranked("b", 1, 0));
        assert!(!consumers.any_ready());
        assert_eq!(active(&consumers), Some("a"));
        consumers.settled(a);
        consumers.rouse(a);
        assert!(!consumers.any_ready());
        consumers.settled(a);
        assert_eq!((turns(&mut consumers, 2).as_str(), active(&consumers)), ("bb", Some("b")));
        let e = consumers.add(ranked("e", 1, 0));
        assert_eq!(active(&consumers), Some("b"), "not for an equal");
        consumers.cancel(e);
        assert_eq!(active(&consumers), Some("b"));
    }
}
