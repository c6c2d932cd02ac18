//! Delivery tags of one channel: which tag stands for which message, until it is settled.
//!
//! Tags are drawn from 1 upwards and never reused. Entries stay sorted by tag; one settled in the middle is only
//! marked, and marks are swept once they outnumber the living, so memory stays within twice what is unacked however
//! old the oldest is. Does not know what settling does: the vhost does.

use ledgermq_storage::{QueueId, Seq};
use std::collections::VecDeque;

/// `delivery-tag` of a delivery, from 1 on each channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeliveryTag(pub(crate) u64);

/// A client named a tag that is not (or no longer) out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownTag(pub(crate) u64);

/// A message that is out, by its tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unacked {
    pub(crate) tag: DeliveryTag,
    pub(crate) queue: QueueId,
    pub(crate) seq: Seq,
}

/// [`Unacked`], laid out so that the mark costs nothing.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: DeliveryTag,
    seq: Seq,
    queue: QueueId,
    settled: bool,
}

impl Entry {
    fn new(Unacked { tag, queue, seq }: Unacked) -> Self {
        Self { tag, seq, queue, settled: false }
    }

    fn unacked(self) -> Unacked {
        let Self { tag, seq, queue, settled: _ } = self;
        Unacked { tag, queue, seq }
    }
}

const _: () = assert!(size_of::<Entry>() <= 24, "what each unsettled delivery costs on its channel");

/// What is out on one channel.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    last_tag: u64,
    entries: VecDeque<Entry>,
    settled_count: usize,
}

impl Deliveries {
    /// Draws a tag for a message that must be settled.
    pub(crate) fn deliver(&mut self, queue: QueueId, seq: Seq) -> DeliveryTag {
        let tag = self.draw();
        self.entries.push_back(Entry::new(Unacked { tag, queue, seq }));
        tag
    }

    /// Draws a tag for a message that counts as settled when sent.
    pub(crate) fn draw(&mut self) -> DeliveryTag {
        self.last_tag += 1;
        DeliveryTag(self.last_tag)
    }

    /// Takes the deliveries that `tag` (with `multiple`: all up to it; 0 = all) names, in order of delivery, and hands each
    /// to `take`. Nothing is taken if the tag is unknown. `tag` 0 with `multiple` is never unknown.
    pub(crate) fn settle(
        &mut self,
        tag: u64,
        multiple: bool,
        mut take: impl FnMut(Unacked),
    ) -> Result<(), UnknownTag> {
        if multiple && tag == 0 {
            self.entries.drain(..).filter(|entry| !entry.settled).for_each(|entry| take(entry.unacked()));
            self.settled_count = 0;
            return Ok(());
        }
        let position = self.position(tag).ok_or(UnknownTag(tag))?;
        if multiple {
            for entry in self.entries.drain(..=position) {
                if entry.settled {
                    self.settled_count -= 1;
                } else {
                    take(entry.unacked());
                }
            }
            self.trim();
            return Ok(());
        }
        if let Some(entry) = self.entries.get_mut(position) {
            entry.settled = true;
            self.settled_count += 1;
            take(entry.unacked());
        }
        self.trim();
        Ok(())
    }

    /// Puts deliveries back that [`Self::settle`] took: a transaction was rolled back.
    pub(crate) fn restore(&mut self, taken: impl Iterator<Item = Unacked>) {
        self.entries.retain(|entry| !entry.settled);
        self.settled_count = 0;
        self.entries.extend(taken.map(Entry::new));
        self.entries.make_contiguous().sort_unstable_by_key(|entry| entry.tag);
    }

    /// Everything that is out.
    pub(crate) fn unsettled(&self) -> impl Iterator<Item = (QueueId, Seq)> {
        let out = self.entries.iter().filter(|entry| !entry.settled);
        out.map(|entry| (entry.queue, entry.seq))
    }

    /// Forgets everything that is out: it was requeued.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.settled_count = 0;
    }

    /// Deliveries that are out.
    pub(crate) fn unacked_count(&self) -> usize {
        self.entries.len() - self.settled_count
    }

    fn position(&self, tag: u64) -> Option<usize> {
        let first = self.entries.front()?.tag.0;
        let guess = usize::try_from(tag.checked_sub(first)?).ok()?;
        // Without gaps (no swept entries, no no-ack deliveries in between) the tag is its own index.
        let found = match self.entries.get(guess) {
            Some(entry) if entry.tag.0 == tag => Some(guess),
            _ => self.entries.binary_search_by_key(&tag, |entry| entry.tag.0).ok(),
        }?;
        self.entries.get(found).is_some_and(|entry| !entry.settled).then_some(found)
    }

    fn trim(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.settled) {
            self.entries.pop_front();
            self.settled_count -= 1;
        }
        if self.settled_count > self.entries.len() / 2 {
            self.entries.retain(|entry| !entry.settled);
            self.settled_count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(count: u64) -> Deliveries {
        let mut deliveries = Deliveries::default();
        for seq in 1..=count {
            deliveries.deliver(QueueId(7), Seq(seq * 10));
        }
        deliveries
    }

    fn settle(deliveries: &mut Deliveries, tag: u64, multiple: bool) -> Result<Vec<u64>, UnknownTag> {
        let mut taken = Vec::new();
        deliveries.settle(tag, multiple, |unacked| taken.push(unacked.tag.0)).map(|()| taken)
    }

    #[test]
    fn one_tag_is_settled_once() {
        let mut deliveries = out(3);
        assert_eq!(settle(&mut deliveries, 2, false), Ok(vec![2]));
        assert_eq!(settle(&mut deliveries, 2, false), Err(UnknownTag(2)));
        assert_eq!(settle(&mut deliveries, 1, false), Ok(vec![1]));
        assert_eq!(settle(&mut deliveries, 3, false), Ok(vec![3]));
        assert_eq!(deliveries.unacked_count(), 0);
    }

    #[test]
    fn multiple_takes_all_up_to_a_tag_that_is_out() {
        let mut deliveries = out(5);
        assert_eq!(settle(&mut deliveries, 2, false), Ok(vec![2]));
        assert_eq!(settle(&mut deliveries, 2, true), Err(UnknownTag(2)), "2 is settled");
        assert_eq!(settle(&mut deliveries, 4, true), Ok(vec![1, 3, 4]));
        assert_eq!(settle(&mut deliveries, 4, true), Err(UnknownTag(4)));
        assert_eq!(settle(&mut deliveries, 6, true), Err(UnknownTag(6)));
        assert_eq!(deliveries.unacked_count(), 1);
    }

    #[test]
    fn tag_zero_means_all_only_with_multiple() {
        let mut deliveries = out(2);
        assert_eq!(settle(&mut deliveries, 0, false), Err(UnknownTag(0)));
        assert_eq!(settle(&mut deliveries, 0, true), Ok(vec![1, 2]));
        assert_eq!(settle(&mut deliveries, 0, true), Ok(vec![]), "no error when nothing is out");
    }

    #[test]
    fn no_ack_deliveries_draw_tags_and_leave_gaps() {
        let mut deliveries = Deliveries::default();
        assert_eq!(deliveries.draw(), DeliveryTag(1));
        assert_eq!(deliveries.deliver(QueueId(1), Seq(1)), DeliveryTag(2));
        assert_eq!(deliveries.draw(), DeliveryTag(3));
        assert_eq!(deliveries.deliver(QueueId(1), Seq(2)), DeliveryTag(4));
        assert_eq!(settle(&mut deliveries, 3, false), Err(UnknownTag(3)));
        assert_eq!(settle(&mut deliveries, 4, false), Ok(vec![4]));
        assert_eq!(settle(&mut deliveries, 2, false), Ok(vec![2]));
    }

    #[test]
    fn a_rollback_brings_tags_back_in_their_order() {
        let mut deliveries = out(5);
        let mut kept = Vec::new();
        deliveries.settle(4, false, |unacked| kept.push(unacked)).unwrap();
        deliveries.settle(2, true, |unacked| kept.push(unacked)).unwrap();
        deliveries.restore(kept.into_iter());
        assert_eq!(settle(&mut deliveries, 0, true), Ok(vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn an_old_unacked_delivery_does_not_hold_the_settled_ones_in_memory() {
        let mut deliveries = out(1);
        for tag in 2..100_000 {
            deliveries.deliver(QueueId(1), Seq(tag));
            assert_eq!(settle(&mut deliveries, tag, false), Ok(vec![tag]));
        }
        assert!(deliveries.entries.len() < 4, "swept");
        assert_eq!(settle(&mut deliveries, 1, false), Ok(vec![1]));
    }
}
