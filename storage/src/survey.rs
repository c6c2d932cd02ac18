//! What the segments of the log hold, for people who watch it: looked at by the keeper about once a second.

use crate::{Lsn, SegmentId};

/// See the file's head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The oldest segments, at most [`crate::limits::SURVEY_SEGMENTS_MAX`].
    pub segments: Vec<SurveyedSegment>,
    /// Segments in all.
    pub segment_count: u64,
    /// Bytes that were written into them.
    pub bytes: u64,
    /// Bytes of records still needed, about.
    pub live_bytes: u64,
    /// Bytes in segments that compaction wrote.
    pub cold_bytes: u64,
    /// Where the index was saved last; [`Lsn::NONE`] = not yet.
    pub saved: Lsn,
}

/// A segment with something in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SurveyedSegment {
    /// Which.
    pub id: SegmentId,
    /// Bytes written into it.
    pub bytes: u64,
    /// Bytes of records still needed, about.
    pub live_bytes: u64,
}
