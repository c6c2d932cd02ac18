//! What the target has said of publishes: confirmed are all up to a floor, and some above it; others were refused. What may be
//! acknowledged at the source together is the floor; what is above a gap waits for it, at most a prefetch window of messages.

use crate::cli::client::wire::Settled;
use std::collections::BTreeSet;

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Confirmed {
    floor: u64,
    above: BTreeSet<u64>,
    refused: BTreeSet<u64>,
}

impl Confirmed {
    /// Takes a confirm.
    pub(super) fn take(&mut self, settled: Settled) {
        for tag in self.unsettled(settled) {
            self.above.insert(tag);
        }
        while self.above.first() == Some(&(self.floor + 1)) {
            self.above.pop_first();
            self.floor += 1;
        }
    }

    /// Takes a refusal: such a message stays at the source.
    pub(super) fn refuse(&mut self, settled: Settled) {
        for tag in self.unsettled(settled) {
            self.refused.insert(tag);
        }
    }

    /// Everything up to here is confirmed.
    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    /// What is confirmed besides.
    pub(super) fn above(&self) -> &BTreeSet<u64> {
        &self.above
    }

    /// How many publishes were confirmed or refused.
    pub(super) fn count(&self) -> u64 {
        self.floor + (self.above.len() + self.refused.len()) as u64
    }

    /// The publishes that are meant and not settled yet.
    fn unsettled(&self, settled: Settled) -> Vec<u64> {
        let first = if settled.multiple { self.floor + 1 } else { settled.tag };
        let is_new =
            |tag: &u64| *tag > self.floor && !self.above.contains(tag) && !self.refused.contains(tag);
        (first..=settled.tag).filter(is_new).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag: u64, multiple: bool) -> Settled {
        Settled { tag, multiple }
    }

    #[test]
    fn the_floor_is_below_the_first_that_is_missing() {
        let mut confirmed = Confirmed::default();
        for (number, multiple, floor, count) in [
            (2, false, 0, 1),
            (1, false, 2, 2),
            (1, false, 2, 2),
            (5, false, 2, 3),
            (7, false, 2, 4),
            (4, true, 5, 6),
            (3, true, 5, 6),
            (9, true, 9, 9),
            (10, false, 10, 10),
        ] {
            confirmed.take(tag(number, multiple));
            assert_eq!((confirmed.floor(), confirmed.count()), (floor, count), "{number} {multiple}");
        }
        assert!(confirmed.above().is_empty());
    }

    #[test]
    fn what_was_refused_is_settled_and_never_below_the_floor() {
        let mut confirmed = Confirmed::default();
        confirmed.refuse(tag(3, false));
        confirmed.take(tag(5, true));
        assert_eq!((confirmed.floor(), confirmed.count()), (2, 5));
        assert_eq!(confirmed.above().iter().copied().collect::<Vec<_>>(), [4, 5]);
        confirmed.refuse(tag(8, true));
        assert_eq!((confirmed.floor(), confirmed.count()), (2, 8));
    }
}
