//! What a message of a measurement says of itself, so that a lost, doubled, reordered or damaged one is seen at any speed.
//!
//! ```text
//! | publisher 16 bits, number 48 bits | due µs 32 bits | check 32 bits | filler ... | the first word again, turned |
//! 0                                   8                12              16           size - 8
//! ```
//!
//! The number counts the messages of one publisher for one queue from 0. The filler depends on its place only, so the reader
//! compares instead of computing a checksum: a flipped bit and a part in the wrong place both show. The last word (bodies of
//! 32 bytes or more) ties the end of a body to its beginning.

/// The smallest body.
pub(super) const STAMP_BYTES: usize = 16;
/// The smallest body that repeats its first word at its end.
const TAIL_FROM_BYTES: usize = 32;
/// Length of the repeated word.
pub(super) const TAIL_BYTES: usize = 8;
const TAIL_TURN: u64 = 0x9e37_79b9_7f4a_7c15;
const NUMBER_BITS: u32 = 48;

/// Who sent a message, as which, and when it was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) publisher: u16,
    pub(super) number: u64,
    /// Microseconds since the start of the run, modulo 2^32 (71 minutes).
    pub(super) due_us: u32,
}

impl Stamp {
    fn word(self) -> u64 {
        u64::from(self.publisher) << NUMBER_BITS | self.number
    }

    /// How a body begins.
    pub(super) fn head(self) -> [u8; STAMP_BYTES] {
        let word = self.word();
        let numbers =
            u128::from(word) << 64 | u128::from(self.due_us) << 32 | u128::from(check(word, self.due_us));
        numbers.to_be_bytes()
    }

    /// How a body of 32 bytes or more ends.
    pub(super) fn tail(self) -> [u8; TAIL_BYTES] {
        (self.word() ^ TAIL_TURN).to_be_bytes()
    }

    /// Reads the beginning of a body; `None` if it is damaged.
    pub(super) fn read(head: [u8; STAMP_BYTES]) -> Option<Self> {
        let numbers = u128::from_be_bytes(head);
        let (word, due_us) = ((numbers >> 64) as u64, (numbers >> 32) as u32);
        (check(word, due_us) == numbers as u32).then_some(Self {
            publisher: (word >> NUMBER_BITS) as u16,
            number: word & ((1 << NUMBER_BITS) - 1),
            due_us,
        })
    }
}

fn check(word: u64, due_us: u32) -> u32 {
    let mixed = (word ^ u64::from(due_us) << 29).wrapping_mul(0xff51_afd7_ed55_8ccd);
    ((mixed ^ mixed >> 29).wrapping_mul(0xc4ce_b9fe_1a85_ec53) >> 32) as u32
}

/// A body of that size before it is stamped.
pub(super) fn filler(size: usize) -> Vec<u8> {
    // A multiplier without common factors keeps the pattern from repeating at any frame size.
    (0..size as u64).map(|at| (at.wrapping_mul(TAIL_TURN) >> 56) as u8).collect()
}

/// Where in a body of that size its tail begins, if it has one.
pub(super) fn tail_at(size: usize) -> Option<usize> {
    (size >= TAIL_FROM_BYTES).then(|| size - TAIL_BYTES)
}

/// Puts the bodies of one consumer together, part by part, without keeping them.
pub(super) struct Incoming {
    filler: Vec<u8>,
    /// What the content header announced, bytes.
    announced: u64,
    got: u64,
    head: [u8; STAMP_BYTES],
    tail: [u8; TAIL_BYTES],
    intact: bool,
}

impl Incoming {
    /// For bodies that are all of one size.
    pub(super) fn new(size: usize) -> Self {
        Self {
            filler: filler(size),
            announced: 0,
            got: 0,
            head: [0; STAMP_BYTES],
            tail: [0; TAIL_BYTES],
            intact: true,
        }
    }

    /// A content header has come. Returns whether the body is whole with it, being empty.
    pub(super) fn begin(&mut self, announced: u64) -> bool {
        (self.announced, self.got) = (announced, 0);
        self.intact = announced == self.filler.len() as u64;
        announced == 0
    }

    /// A part of the body has come. Returns whether the body is whole with it.
    pub(super) fn part(&mut self, part: &[u8]) -> bool {
        if self.intact {
            self.look_at(part);
        }
        self.got += part.len() as u64;
        self.got >= self.announced
    }

    /// The stamp of the body that is whole now; `None` if it is damaged.
    pub(super) fn finish(&self) -> Option<Stamp> {
        let stamp = Stamp::read(self.head).filter(|_| self.intact && self.got == self.announced)?;
        (tail_at(self.filler.len()).is_none() || self.tail == stamp.tail()).then_some(stamp)
    }

    fn look_at(&mut self, part: &[u8]) {
        let size = self.filler.len();
        let from = self.got as usize;
        let Some(expected) = self.filler.get(from..from + part.len()) else {
            self.intact = false;
            return;
        };
        let tail_at = tail_at(size).unwrap_or(size);
        // Of this part: what belongs to the head, to the filler, to the tail.
        let head_end = STAMP_BYTES.saturating_sub(from).min(part.len());
        let tail_start = tail_at.saturating_sub(from).clamp(head_end, part.len());
        if let (Some(to), Some(bytes)) = (self.head.get_mut(from..from + head_end), part.get(..head_end)) {
            to.copy_from_slice(bytes);
        }
        self.intact = part.get(head_end..tail_start) == expected.get(head_end..tail_start);
        if let Some(bytes) = part.get(tail_start..).filter(|bytes| !bytes.is_empty()) {
            let at = from + tail_start - tail_at;
            if let Some(to) = self.tail.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(bytes);
            }
        }
    }
}

/// The body of a message, for tests and for small runs: the hot path stamps a template instead.
#[cfg(test)]
pub(super) fn body(stamp: Stamp, size: usize) -> Vec<u8> {
    let mut body = filler(size);
    body[..STAMP_BYTES].copy_from_slice(&stamp.head());
    if let Some(at) = tail_at(size) {
        body[at..].copy_from_slice(&stamp.tail());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { publisher: 513, number: 0x1234_5678_9abc, due_us: 0xfedc_ba98 };

    fn read(size: usize, body: &[u8], part_bytes: usize) -> Option<Stamp> {
        let mut incoming = Incoming::new(size);
        let mut whole = incoming.begin(body.len() as u64);
        for part in body.chunks(part_bytes) {
            assert!(!whole, "parts come after the end");
            whole = incoming.part(part);
        }
        assert!(whole, "all parts have come");
        incoming.finish()
    }

    #[test]
    fn a_body_in_any_parts_gives_its_stamp() {
        for size in [16, 17, 31, 32, 33, 40, 100, 5000] {
            for part_bytes in [1, 7, 8, 15, 16, 17, 1000, 9000] {
                assert_eq!(read(size, &body(STAMP, size), part_bytes), Some(STAMP), "{size}, {part_bytes}");
            }
        }
    }

    #[test]
    fn each_flipped_bit_is_seen_wherever_it_is() {
        for size in [16, 24, 32, 100] {
            for bit in 0..size * 8 {
                let mut body = body(STAMP, size);
                body[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read(size, &body, 33), None, "{size} bytes, bit {bit}");
            }
        }
    }

    #[test]
    fn the_end_of_another_message_or_another_length_is_damage() {
        let other = Stamp { number: 7, ..STAMP };
        let mut mixed = body(STAMP, 64);
        mixed[40..].copy_from_slice(&body(other, 64)[40..]);
        assert_eq!(read(64, &mixed, 64), None, "two halves");
        assert_eq!(read(64, &body(STAMP, 63), 64), None, "a shorter one");
        assert_eq!(read(64, &body(STAMP, 65), 64), None, "a longer one");
        assert_eq!(read(64, &[], 64), None, "an empty one");
        let mut swapped = body(STAMP, 64);
        swapped[20..40].rotate_left(1);
        assert_eq!(read(64, &swapped, 64), None, "filler out of its place");
    }
}
