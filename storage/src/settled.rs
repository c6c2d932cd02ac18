//! Which positions of a queue are settled: a floor below which all are, and above it a set in compressed pieces of
//! 65536 positions. In order, it is a few bytes whatever the length of the queue; in the worst case two bits a message.
//! Invariant: no piece is empty and none lies wholly below the floor.

use crate::ids::Seq;
use roaring::RoaringBitmap;
use std::collections::BTreeMap;

/// Settled positions of one queue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SettledSet {
    floor: Seq,
    /// By `position >> 16`: the low 16 bits.
    pieces: BTreeMap<u64, RoaringBitmap>,
}

/// Positions in a piece, as a power of two.
const PIECE_BITS: u32 = 16;
/// Highest low half of a position.
const LOW_MAX: u32 = (1 << PIECE_BITS) - 1;
/// Bytes an encoded piece takes at most: 8 KiB of bits, headers, and what run compression may cost.
pub(crate) const PIECE_BYTES_MAX: usize = 16 * 1024;

impl SettledSet {
    /// Nothing is settled.
    pub fn new() -> Self {
        SettledSet::default()
    }

    /// Every position below is settled, or was never one of a logged message.
    pub fn floor(&self) -> Seq {
        self.floor
    }

    /// Whether the position is settled.
    pub fn contains(&self, seq: Seq) -> bool {
        seq < self.floor || self.pieces.get(&piece_of(seq)).is_some_and(|piece| piece.contains(low(seq)))
    }

    /// Settles a position; `false` if it was settled before.
    pub fn insert(&mut self, seq: Seq) -> bool {
        seq >= self.floor && self.pieces.entry(piece_of(seq)).or_default().insert(low(seq))
    }

    /// Settles `first..=last` and returns how many of them were not settled before.
    pub fn insert_range(&mut self, first: Seq, last: Seq) -> u64 {
        let mut newly = 0;
        for (piece, low, high) in pieces_of(first.max(self.floor), last) {
            newly += self.pieces.entry(piece).or_default().insert_range(low..=high);
        }
        newly
    }

    /// How many of `first..=last` are settled; those below the floor count.
    pub fn count(&self, first: Seq, last: Seq) -> u64 {
        let below = last.0.saturating_add(1).min(self.floor.0).saturating_sub(first.0);
        let above: u64 = pieces_of(first.max(self.floor), last)
            .filter_map(|(piece, low, high)| Some(self.pieces.get(&piece)?.range_cardinality(low..=high)))
            .sum();
        below + above
    }

    /// Settles everything below `floor`. A lower floor than before changes nothing.
    pub fn raise_floor(&mut self, floor: Seq) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        self.pieces = self.pieces.split_off(&piece_of(floor));
        if let Some(mut first) = self.pieces.first_entry()
            && *first.key() == piece_of(floor)
        {
            first.get_mut().remove_range(..low(floor));
            if first.get().is_empty() {
                first.remove();
            }
        }
    }

    /// Settled positions above the floor.
    pub fn len(&self) -> u64 {
        self.pieces.values().map(RoaringBitmap::len).sum()
    }

    /// Whether nothing above the floor is settled.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Gives memory of long runs back.
    pub fn compress(&mut self) {
        for piece in self.pieces.values_mut() {
            piece.optimize();
        }
    }

    /// Numbers of the pieces there are.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = u64> + '_ {
        self.pieces.keys().copied()
    }

    /// The bytes of a piece; `None` if nothing of it is settled (above the floor).
    pub(crate) fn encode_piece(&self, piece: u64) -> Option<Vec<u8>> {
        let bitmap = self.pieces.get(&piece)?;
        let mut bytes = Vec::with_capacity(bitmap.serialized_size());
        // Writing to memory cannot fail.
        bitmap.serialize_into(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Takes a piece back from its bytes; `false` if they are none.
    pub(crate) fn decode_piece(&mut self, piece: u64, bytes: &[u8]) -> bool {
        if bytes.len() > PIECE_BYTES_MAX || piece > piece_of(Seq(u64::MAX)) {
            return false;
        }
        match RoaringBitmap::deserialize_from(bytes) {
            Ok(bitmap) if bitmap.max().is_some_and(|max| max <= LOW_MAX) => {
                self.pieces.insert(piece, bitmap);
                true
            }
            _ => false,
        }
    }
}

/// Number of the piece that holds a position.
pub(crate) fn piece_of(seq: Seq) -> u64 {
    seq.0 >> PIECE_BITS
}

fn low(seq: Seq) -> u32 {
    seq.0 as u32 & LOW_MAX
}

/// The pieces that `first..=last` touches, each with its first and last low half.
fn pieces_of(first: Seq, last: Seq) -> impl Iterator<Item = (u64, u32, u32)> {
    let pieces = if first <= last { piece_of(first)..piece_of(last) + 1 } else { 0..0 };
    pieces.map(move |piece| {
        let start = if piece == piece_of(first) { low(first) } else { 0 };
        let end = if piece == piece_of(last) { low(last) } else { LOW_MAX };
        (piece, start, end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// What the set stands for, spelled out.
    #[derive(Default)]
    struct Model {
        floor: u64,
        settled: BTreeSet<u64>,
    }

    #[derive(Clone, Debug)]
    enum Step {
        One(u64),
        Range(u64, u64),
        Floor(u64),
        Compress,
    }

    fn position() -> impl Strategy<Value = u64> {
        prop_oneof![0..300u64, 65_400..65_700u64, 131_000..131_200u64]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => position().prop_map(Step::One),
            2 => (position(), 0..400u64).prop_map(|(first, count)| Step::Range(first, first + count)),
            1 => position().prop_map(Step::Floor),
            1 => Just(Step::Compress),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(steps in prop::collection::vec(step(), 0..60), asked in prop::collection::vec(position(), 10)) {
            let (mut set, mut model) = (SettledSet::new(), Model::default());
            for step in steps {
                match step {
                    Step::One(seq) => {
                        let newly = seq >= model.floor && model.settled.insert(seq);
                        prop_assert_eq!(set.insert(Seq(seq)), newly);
                    }
                    Step::Range(first, last) => {
                        let newly = (first.max(model.floor)..=last).filter(|seq| model.settled.insert(*seq)).count();
                        prop_assert_eq!(set.insert_range(Seq(first), Seq(last)), newly as u64);
                    }
                    Step::Floor(floor) => {
                        model.floor = model.floor.max(floor);
                        model.settled = model.settled.split_off(&model.floor);
                        set.raise_floor(Seq(floor));
                    }
                    Step::Compress => set.compress(),
                }
                prop_assert_eq!(set.len(), model.settled.len() as u64);
                prop_assert_eq!(set.floor().0, model.floor);
                let mut copy = SettledSet { floor: set.floor, ..SettledSet::default() };
                for piece in set.pieces().collect::<Vec<_>>() {
                    let bytes = set.encode_piece(piece).unwrap();
                    prop_assert!(copy.decode_piece(piece, &bytes));
                }
                prop_assert_eq!(&copy, &set);
            }
            for seq in &asked {
                prop_assert_eq!(set.contains(Seq(*seq)), *seq < model.floor || model.settled.contains(seq));
            }
            let (first, last) = (asked[0].min(asked[1]), asked[0].max(asked[1]));
            let expected = (first..=last).filter(|seq| *seq < model.floor || model.settled.contains(seq)).count();
            prop_assert_eq!(set.count(Seq(first), Seq(last)), expected as u64);
        }

        #[test]
        fn bytes_that_are_no_piece_are_refused_or_harmless(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            SettledSet::new().decode_piece(3, &bytes);
        }
    }

    #[test]
    fn a_hundred_million_in_order_take_no_memory_to_speak_of() {
        let mut set = SettledSet::new();
        assert_eq!(set.insert_range(Seq(1), Seq(100_000_000)), 100_000_000);
        set.compress();
        let bytes: usize =
            set.pieces().filter_map(|piece| set.encode_piece(piece)).map(|bytes| bytes.len()).sum();
        assert!(bytes < 64 * 1024, "{bytes}");
        set.raise_floor(Seq(100_000_001));
        assert!(set.is_empty());
    }

    #[test]
    fn an_empty_or_oversized_piece_is_refused() {
        let mut bytes = Vec::new();
        RoaringBitmap::new().serialize_into(&mut bytes).unwrap();
        assert!(!SettledSet::new().decode_piece(0, &bytes));
        bytes.clear();
        RoaringBitmap::from([70_000]).serialize_into(&mut bytes).unwrap();
        assert!(!SettledSet::new().decode_piece(0, &bytes));
    }
}
