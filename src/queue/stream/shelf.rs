//! Where the messages of a stream lie: full segments of the log as runs, whose entries are on disk, and the segments still
//! being written as sixteen bytes a message. Beside them the pieces: the stretches in which messages may be let go.
//! Positions have no gaps: a stream holds every offset from its first to its next.
//!
//! ```text
//!   sealed   [Run 0..=90_000] [Run 90_001..=180_000]          on disk
//!   open                                            [180_001 180_002 …]   in memory
//!   pieces   [  |  |  ] [   |    ] [ | | |           each with its bytes and the time of its last message
//! ```

use crate::limits::STREAM_PIECES_PER_SEGMENT_MAX;
use ledgermq_storage::{Lsn, Run, SegmentId, Seq};
use std::collections::VecDeque;

/// Where the messages of a stream lie.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    sealed: VecDeque<Run>,
    open: VecDeque<Open>,
    pieces: VecDeque<Piece>,
    bytes: u64,
}

/// A message in a segment that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) lsn: Lsn,
    pub(super) record_bytes: u32,
}

/// Messages in one segment that is being written, or whose index is.
#[derive(Debug)]
struct Open {
    segment: SegmentId,
    first: Seq,
    places: VecDeque<Place>,
    /// The first message of each second of the wall clock, with its time.
    seconds: VecDeque<(Seq, u64)>,
}

/// What retention takes or leaves as a whole; lies within one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) segment: SegmentId,
    pub(super) last: Seq,
    pub(super) bytes: u64,
    /// When its last message was written, unix ms; `None` if that is not known since the last start.
    pub(super) unix_ms: Option<u64>,
}

/// How a message can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Located {
    /// Through the index of its segment: the rest of its run, from this message on.
    Run(Run),
    /// By its place.
    Open,
    /// Not here, but those from this offset on.
    Before(Seq),
    /// Not here.
    Nowhere,
}

impl Open {
    fn end(&self) -> Seq {
        Seq(self.first.0 + self.places.len() as u64)
    }
}

impl Shelf {
    /// Bytes of the records.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a stretch that is on disk, behind all others; for recovery. `bytes` is what it counts for.
    pub(super) fn push_run(&mut self, run: Run, bytes: u64) {
        let run = Run { bytes, ..run };
        self.bytes += bytes;
        self.sealed.push_back(run);
        self.pieces.push_back(Piece { segment: run.segment, last: run.last, bytes, unix_ms: None });
    }

    /// Adds a message behind all others, in pieces of `unit_bytes`. Answers whether it began a new piece: then one more
    /// is complete.
    pub(super) fn push(&mut self, seq: Seq, place: Place, unix_ms: u64, unit_bytes: u64) -> bool {
        let segment = place.lsn.segment();
        if self.open.back().is_none_or(|open| open.segment != segment) {
            let open = Open { segment, first: seq, places: VecDeque::new(), seconds: VecDeque::new() };
            self.open.push_back(open);
        }
        if let Some(open) = self.open.back_mut() {
            open.places.push_back(place);
            if open.seconds.back().is_none_or(|(_, known_ms)| unix_ms / 1000 > known_ms / 1000) {
                open.seconds.push_back((seq, unix_ms));
            }
        }
        let bytes = u64::from(place.record_bytes);
        self.bytes += bytes;
        let fits = |piece: &&mut Piece| piece.segment == segment && piece.bytes < unit_bytes;
        match self.pieces.back_mut().filter(fits) {
            Some(piece) => {
                piece.last = seq;
                piece.bytes += bytes;
                piece.unix_ms = Some(unix_ms);
                false
            }
            None => {
                self.pieces.push_back(Piece { segment, last: seq, bytes, unix_ms: Some(unix_ms) });
                true
            }
        }
    }

    /// How the message at `seq` can be read.
    pub(super) fn locate(&self, seq: Seq) -> Located {
        let position = self.sealed.partition_point(|run| run.last < seq);
        if let Some(run) = self.sealed.get(position) {
            return if run.first <= seq {
                Located::Run(Run { first: seq, ..*run })
            } else {
                Located::Before(run.first)
            };
        }
        match self.open.iter().find(|open| open.end() > seq) {
            Some(open) if open.first <= seq => Located::Open,
            Some(open) => Located::Before(open.first),
            None => Located::Nowhere,
        }
    }

    /// The place of a message in a segment that is being written.
    pub(super) fn place(&self, seq: Seq) -> Option<Place> {
        let open = self.open.iter().rev().find(|open| open.first <= seq)?;
        open.places.get(usize::try_from(seq.0 - open.first.0).ok()?).copied()
    }

    /// Segments below are sealed: their places leave memory.
    pub(super) fn seal(&mut self, sealed_below: SegmentId) {
        while let Some(open) = pop_front_if(&mut self.open, |open| open.segment < sealed_below) {
            let bytes = open.places.iter().map(|place| u64::from(place.record_bytes)).sum();
            self.sealed.push_back(Run {
                segment: open.segment,
                priority: 0,
                first: open.first,
                last: Seq(open.end().0 - 1),
                count: u32::try_from(open.places.len()).unwrap_or(u32::MAX),
                bytes,
            });
            self.merge_pieces(open.segment);
        }
    }

    /// Stretches on disk from `from` on, ascending.
    pub(super) fn runs_from(&self, from: Seq) -> Vec<Run> {
        let position = self.sealed.partition_point(|run| run.last < from);
        let first_of = |run: &Run| Run { first: run.first.max(from), ..*run };
        self.sealed.iter().skip(position).map(first_of).collect()
    }

    /// The first message from `from` on in the segments being written that was written in the second of `unix_ms` or
    /// later.
    pub(super) fn since(&self, from: Seq, unix_ms: u64) -> Option<Seq> {
        let mut seconds = self.open.iter().filter(|open| open.end() > from).flat_map(|open| &open.seconds);
        let found = seconds.find(|(_, known_ms)| known_ms / 1000 >= unix_ms / 1000);
        found.map(|(seq, _)| (*seq).max(from))
    }

    /// The oldest piece, if it is not the only one.
    pub(super) fn oldest(&self) -> Option<&Piece> {
        if self.pieces.len() > 1 { self.pieces.front() } else { None }
    }

    /// Notes when the last message of a piece was written.
    pub(super) fn set_time(&mut self, last: Seq, unix_ms: u64) {
        if let Some(piece) = self.pieces.iter_mut().find(|piece| piece.last == last) {
            piece.unix_ms = Some(unix_ms);
        }
    }

    /// The run whose last message is at `last`, if it is on disk.
    pub(super) fn run_to(&self, last: Seq) -> Option<Run> {
        self.sealed.iter().find(|run| run.first <= last && last <= run.last).copied()
    }

    /// Lets the oldest piece go.
    pub(super) fn drop_oldest(&mut self) {
        let Some(piece) = self.pieces.pop_front() else { return };
        self.bytes -= piece.bytes;
        let first = piece.last.next();
        while pop_front_if(&mut self.sealed, |run| run.last < first).is_some() {}
        if let Some(run) = self.sealed.front_mut() {
            run.first = run.first.max(first);
        }
        while pop_front_if(&mut self.open, |open| open.end() <= first).is_some() {}
        if let Some(open) = self.open.front_mut()
            && open.first < first
        {
            let gone = usize::try_from(first.0 - open.first.0).unwrap_or(usize::MAX).min(open.places.len());
            open.places.drain(..gone);
            open.first = first;
            while open.seconds.get(1).is_some_and(|(seq, _)| *seq <= first) {
                open.seconds.pop_front();
            }
            if open.places.capacity() > 4 * open.places.len() + 1024 {
                open.places.shrink_to_fit();
            }
        }
    }

    /// A full segment keeps few pieces.
    fn merge_pieces(&mut self, segment: SegmentId) {
        let Some(start) = self.pieces.iter().position(|piece| piece.segment == segment) else { return };
        let count = self.pieces.iter().skip(start).take_while(|piece| piece.segment == segment).count();
        let together = count.div_ceil(STREAM_PIECES_PER_SEGMENT_MAX);
        if together < 2 {
            return;
        }
        let mut after = self.pieces.split_off(start);
        let mut of_segment: Vec<_> = after.drain(..count).collect();
        for pieces in of_segment.chunks_mut(together) {
            let bytes = pieces.iter().map(|piece| piece.bytes).sum();
            self.pieces.extend(pieces.last().map(|last| Piece { bytes, ..*last }));
        }
        self.pieces.append(&mut after);
    }

    /// Pieces there are.
    #[cfg(test)]
    pub(super) fn piece_count(&self) -> usize {
        self.pieces.len()
    }
}

fn pop_front_if<T>(queue: &mut VecDeque<T>, goes: impl FnOnce(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(goes) { queue.pop_front() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten messages a segment from segment 1 on, one a second, 100 bytes each.
    fn shelf(count: u64, unit_bytes: u64) -> Shelf {
        let mut shelf = Shelf::default();
        for seq in 0..count {
            let lsn = Lsn::new(SegmentId(1 + seq as u32 / 10), 64 + seq as u32 % 10);
            shelf.push(Seq(seq), Place { lsn, record_bytes: 100 }, 5000 + seq * 1000, unit_bytes);
        }
        shelf
    }

    fn located(shelf: &Shelf, seq: u64) -> String {
        match shelf.locate(Seq(seq)) {
            Located::Run(run) => format!("run {} {}..={}", run.segment.0, run.first.0, run.last.0),
            Located::Open => format!("open {}", shelf.place(Seq(seq)).unwrap().lsn.offset()),
            Located::Before(seq) => format!("before {}", seq.0),
            Located::Nowhere => "nowhere".into(),
        }
    }

    #[test]
    fn full_segments_keep_only_their_bounds() {
        let mut shelf = shelf(25, 1000);
        assert_eq!(located(&shelf, 3), "open 67");
        shelf.seal(SegmentId(3));
        assert_eq!(located(&shelf, 3), "run 1 3..=9");
        assert_eq!(located(&shelf, 10), "run 2 10..=19");
        assert_eq!(located(&shelf, 20), "open 64");
        assert_eq!(located(&shelf, 25), "nowhere");
        assert_eq!(shelf.bytes(), 2500);
        let runs: Vec<_> = shelf.runs_from(Seq(5)).iter().map(|run| (run.first.0, run.last.0)).collect();
        assert_eq!(runs, [(5, 9), (10, 19)]);
    }

    #[test]
    fn the_oldest_piece_goes_wherever_it_lies() {
        let mut shelf = shelf(25, 300);
        assert_eq!(shelf.piece_count(), 4 + 4 + 2, "pieces end with their segment");
        shelf.drop_oldest();
        assert_eq!((located(&shelf, 0), located(&shelf, 3)), ("before 3".into(), "open 67".into()));
        shelf.seal(SegmentId(2));
        shelf.drop_oldest();
        assert_eq!((located(&shelf, 3), located(&shelf, 6)), ("before 6".into(), "run 1 6..=9".into()));
        shelf.drop_oldest();
        shelf.drop_oldest();
        assert_eq!((located(&shelf, 6), shelf.bytes()), ("before 10".into(), 1500));
        for _ in 0..5 {
            shelf.drop_oldest();
        }
        assert_eq!((shelf.oldest(), shelf.bytes()), (None, 200), "the newest piece is not for the taking");
    }

    #[test]
    fn a_full_segment_keeps_few_pieces() {
        let mut shelf = Shelf::default();
        for seq in 0..1000 {
            let lsn = Lsn::new(SegmentId(1 + seq as u32 / 900), 64 + seq as u32);
            shelf.push(Seq(seq), Place { lsn, record_bytes: 100 }, 0, 1);
        }
        assert_eq!(shelf.piece_count(), 1000);
        shelf.seal(SegmentId(2));
        assert_eq!(shelf.piece_count(), 16 + 100);
        shelf.drop_oldest();
        assert_eq!((located(&shelf, 0), shelf.bytes()), ("before 57".into(), 94_300));
    }

    #[test]
    fn a_time_is_found_to_the_second() {
        let mut shelf = shelf(25, 300);
        assert_eq!(shelf.since(Seq(0), 0), Some(Seq(0)));
        assert_eq!(shelf.since(Seq(0), 12_000), Some(Seq(7)));
        assert_eq!(shelf.since(Seq(0), 12_999), Some(Seq(7)), "within the second");
        assert_eq!(shelf.since(Seq(9), 12_000), Some(Seq(9)));
        assert_eq!(shelf.since(Seq(0), 30_000), None);
        shelf.seal(SegmentId(2));
        assert_eq!(shelf.since(Seq(0), 12_000), Some(Seq(10)), "what is on disk is looked up there");
        for _ in 0..5 {
            shelf.drop_oldest();
        }
        assert_eq!(shelf.since(Seq(0), 0), Some(Seq(13)));
    }
}
