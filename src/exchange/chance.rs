//! Numbers nobody can foresee who does not know the seed, and that repeat for who does: chance is passed in at birth, as
//! time is with every input. For choosing among queues, not for secrets.

use std::cell::Cell;

/// A stream of numbers out of a seed.
#[derive(Debug)]
pub struct Chance {
    state: Cell<u64>,
}

/// Distance of states, odd: every state comes once before the first comes again.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self { state: Cell::new(seed) }
    }

    /// A number below `bound`, each as likely as the others but for one part in 2^64 / bound; 0 if `bound` is 0.
    pub fn below(&self, bound: usize) -> usize {
        let state = self.state.get().wrapping_add(STEP);
        self.state.set(state);
        ((u128::from(spread(state)) * bound as u128) >> 64) as usize
    }
}

/// Spreads every bit of a number over all bits of the result, one to one. Source: the finaliser of `SplitMix64`.
pub(super) fn spread(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_numbers_and_spreads_them() {
        let drawn = |seed| {
            let chance = Chance::new(seed);
            (0..10_000).map(|_| chance.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        for number in 0..10 {
            let count = drawn(3).into_iter().filter(|&drawn| drawn == number).count();
            assert!((850..1150).contains(&count), "{number} came {count} times of 10,000");
        }
        assert_eq!(Chance::new(1).below(0), 0);
        assert_eq!(Chance::new(1).below(1), 0);
    }
}
