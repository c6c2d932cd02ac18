//! Which messages of one publisher came out of one queue: exact counts of what was lost, doubled or reordered, at one bit a
//! message. Pure. Each consumer keeps its own; they are put together when all is over.

/// How far ahead of the highest number seen a message may be; a larger gap counts as damage, so that no broken number makes
/// us reserve memory without bound. Messages; 2^26 are 8 MiB of bits.
const AHEAD_MAX: u64 = 1 << 26;

/// Bits of the numbers that came, and what was wrong with them.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    bits: Vec<u64>,
    /// One more than the highest number that came.
    next: u64,
    doubled: u64,
    reordered: u64,
}

/// What was wrong, over all publishers and queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wrongs {
    /// Published, neither delivered nor refused.
    pub(super) lost: u64,
    /// Delivered again.
    pub(super) doubled: u64,
    /// Delivered after a later one of the same publisher to the same consumer, without being marked as redelivered.
    pub(super) reordered: u64,
    /// Delivered with other bytes than were published.
    pub(super) damaged: u64,
}

impl Wrongs {
    /// All of them.
    pub(super) fn total(self) -> u64 {
        self.lost + self.doubled + self.reordered + self.damaged
    }
}

impl Seen {
    /// Message `number` has come. `false` if the number cannot be right.
    pub(super) fn take(&mut self, number: u64, redelivered: bool) -> bool {
        if number > self.next + AHEAD_MAX {
            return false;
        }
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.bits.len() {
            self.bits.resize((word + 1).next_power_of_two(), 0);
        }
        let Some(word) = self.bits.get_mut(word) else { return false };
        if *word & bit != 0 {
            self.doubled += 1;
        } else if number >= self.next {
            self.next = number + 1;
        } else if !redelivered {
            self.reordered += 1;
        }
        *word |= bit;
        true
    }

    /// Adds what another consumer of the same queue saw.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.bits.len() < other.bits.len() {
            self.bits.resize(other.bits.len(), 0);
        }
        for (ours, theirs) in self.bits.iter_mut().zip(&other.bits) {
            self.doubled += u64::from((*ours & *theirs).count_ones());
            *ours |= *theirs;
        }
        self.next = self.next.max(other.next);
        self.doubled += other.doubled;
        self.reordered += other.reordered;
    }

    /// Holds what came against the number of messages that were published, from 0 on. A number beyond them is damage.
    pub(super) fn wrongs(&self, published: u64) -> Wrongs {
        let came: u64 = self.bits.iter().map(|word| u64::from(word.count_ones())).sum();
        let beyond: u64 = (published..self.next).map(|number| u64::from(self.has(number))).sum();
        Wrongs {
            lost: published + beyond - came,
            doubled: self.doubled,
            reordered: self.reordered,
            damaged: beyond,
        }
    }

    fn has(&self, number: u64) -> bool {
        self.bits.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(came: &[u64], published: u64, [lost, doubled, reordered, damaged]: [u64; 4]) {
        let mut seen = Seen::default();
        came.iter().for_each(|number| assert!(seen.take(*number, false)));
        let expected = Wrongs { lost, doubled, reordered, damaged };
        assert_eq!(seen.wrongs(published), expected, "{came:?} of {published}");
    }

    #[test]
    fn what_is_wrong_is_counted_exactly() {
        check(&[0, 1, 2, 3], 4, [0, 0, 0, 0]);
        check(&[], 3, [3, 0, 0, 0]);
        check(&[0, 2, 3], 4, [1, 0, 0, 0]);
        check(&[0, 1, 2], 4, [1, 0, 0, 0]);
        check(&[0, 1, 1, 2], 3, [0, 1, 0, 0]);
        check(&[0, 2, 1, 3], 4, [0, 0, 1, 0]);
        check(&[3, 2, 1, 0], 4, [0, 0, 3, 0]);
        check(&[0, 1, 2, 0, 1, 2], 3, [0, 3, 0, 0]);
        check(&[0, 1, 5], 2, [0, 0, 0, 1]);
        check(&[64, 63, 200], 201, [198, 0, 1, 0]);
    }

    #[test]
    fn a_redelivered_message_may_come_late_but_not_twice() {
        let mut seen = Seen::default();
        for (number, redelivered) in [(0, false), (2, false), (1, true), (1, true)] {
            assert!(seen.take(number, redelivered));
        }
        assert_eq!(seen.wrongs(3), Wrongs { doubled: 1, ..Wrongs::default() });
    }

    #[test]
    fn two_consumers_share_a_queue() {
        let (mut first, mut second) = (Seen::default(), Seen::default());
        (0..200).step_by(2).for_each(|number| assert!(first.take(number, false)));
        (1..200).step_by(2).for_each(|number| assert!(second.take(number, false)));
        let mut both = first.clone();
        both.merge(&second);
        assert_eq!(both.wrongs(200), Wrongs::default());
        assert!(second.take(198, true), "a message that the other one had");
        first.merge(&second);
        assert_eq!(first.wrongs(200), Wrongs { doubled: 1, ..Wrongs::default() });
    }

    #[test]
    fn a_number_out_of_all_bounds_reserves_nothing() {
        let mut seen = Seen::default();
        assert!(!seen.take(AHEAD_MAX + 1, false));
        assert!(seen.bits.is_empty());
    }
}
