//! The publishes of one channel that wait for their confirm: when each was due, and how many more may follow. Pure.
//! Invariant: `oldest <= tag <= newest` for every tag that is open, and no two open tags share a place.

use crate::cli::client::wire::Settled;

/// A ring of the tags from the oldest open one to the newest.
pub(super) struct Unconfirmed {
    /// When the message of a tag was due, ns; [`SETTLED`] where the tag is not open.
    due_ns: Vec<u64>,
    window: u64,
    open: u64,
    /// All below are settled. Tags begin at 1.
    oldest: u64,
    newest: u64,
}

const SETTLED: u64 = u64::MAX;
/// Places for each message of the window: single confirms out of order leave gaps.
const PLACES_PER_OPEN: u64 = 4;

impl Unconfirmed {
    /// For at most `window` open tags.
    pub(super) fn new(window: u64) -> Self {
        let places = (window * PLACES_PER_OPEN).next_power_of_two();
        Self { due_ns: vec![SETTLED; places as usize], window, open: 0, oldest: 1, newest: 0 }
    }

    /// Tags that are open.
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// How many more may be published now.
    pub(super) fn room(&self) -> u64 {
        let places = self.due_ns.len() as u64 - (self.newest + 1 - self.oldest);
        (self.window - self.open).min(places)
    }

    /// The next tag has been published; there was room.
    pub(super) fn published(&mut self, due_ns: u64) {
        self.newest += 1;
        self.open += 1;
        *self.place(self.newest) = due_ns;
    }

    /// The broker has settled a tag, or all up to it. Hands the time each was due to `each` and returns their number.
    pub(super) fn settle(
        &mut self,
        Settled { tag, multiple }: Settled,
        mut each: impl FnMut(u64),
    ) -> Result<u64, String> {
        // RabbitMQ's documents: with `multiple`, tag 0 is everything.
        let last = if multiple && tag == 0 { self.newest } else { tag };
        if last > self.newest || (last == 0 && !multiple) {
            return Err(format!("a confirm for publish {tag}, of {}", self.newest));
        }
        let first = if multiple { self.oldest } else { last };
        if !multiple && last < self.oldest {
            return Err(format!("a second confirm for publish {tag}"));
        }
        let mut count = 0;
        for tag in first..=last {
            match std::mem::replace(self.place(tag), SETTLED) {
                SETTLED if multiple => {}
                SETTLED => return Err(format!("a second confirm for publish {tag}")),
                due_ns => {
                    each(due_ns);
                    count += 1;
                }
            }
        }
        self.open -= count;
        while self.oldest <= self.newest && *self.place(self.oldest) == SETTLED {
            self.oldest += 1;
        }
        Ok(count)
    }

    fn place(&mut self, tag: u64) -> &mut u64 {
        let mask = self.due_ns.len() - 1;
        let at = tag as usize & mask;
        #[expect(clippy::indexing_slicing, reason = "masked by the length, a power of two")]
        &mut self.due_ns[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(tag: u64) -> Settled {
        Settled { tag, multiple: false }
    }

    fn up_to(tag: u64) -> Settled {
        Settled { tag, multiple: true }
    }

    fn settle(open: &mut Unconfirmed, settled: Settled) -> Result<Vec<u64>, String> {
        let mut dues = Vec::new();
        let count = open.settle(settled, |due| dues.push(due))?;
        assert_eq!(count, dues.len() as u64);
        Ok(dues)
    }

    #[test]
    fn each_publish_is_confirmed_once_in_any_order() {
        let mut open = Unconfirmed::new(8);
        (1..=6).for_each(|tag| open.published(tag * 10));
        assert_eq!((open.open(), open.room()), (6, 2));
        assert_eq!(settle(&mut open, single(3)), Ok(vec![30]));
        assert_eq!(settle(&mut open, up_to(4)), Ok(vec![10, 20, 40]));
        assert_eq!(settle(&mut open, single(6)), Ok(vec![60]));
        assert_eq!(settle(&mut open, up_to(0)), Ok(vec![50]));
        assert_eq!((open.open(), open.room()), (0, 8));
        assert_eq!(settle(&mut open, up_to(6)), Ok(vec![]), "an empty range is no fault");
    }

    #[test]
    fn confirms_that_nothing_waits_for_are_faults() {
        let mut open = Unconfirmed::new(4);
        open.published(1);
        open.published(2);
        for (tag, words) in [(3, "publish 3, of 2"), (0, "publish 0")] {
            assert!(settle(&mut open, single(tag)).unwrap_err().contains(words));
        }
        assert!(settle(&mut open, up_to(3)).is_err());
        assert_eq!(settle(&mut open, single(2)), Ok(vec![2]));
        assert!(settle(&mut open, single(2)).unwrap_err().contains("second confirm"));
        assert_eq!(settle(&mut open, single(1)), Ok(vec![1]));
        assert!(settle(&mut open, single(1)).unwrap_err().contains("second confirm"));
    }

    #[test]
    fn a_first_publish_that_stays_open_bounds_what_follows() {
        let mut open = Unconfirmed::new(4);
        open.published(0);
        let mut tag = 1;
        while open.room() > 0 {
            open.published(0);
            tag += 1;
            assert_eq!(settle(&mut open, single(tag)), Ok(vec![0]));
        }
        assert_eq!(tag, 16, "the ring is full of gaps");
        assert_eq!(settle(&mut open, single(1)), Ok(vec![0]));
        assert_eq!(open.room(), 4);
    }
}
