//! Every bound of the store, with its unit, and what happens when it is reached. A bound that a user may move is the
//! default of a field of [`crate::Options`]; the others are constants of the format.

/// Frames start at multiples of this many bytes, so that no write touches a sector that holds confirmed bytes.
pub const PAGE_BYTES: u32 = 4096;
/// Default size of a WAL segment, bytes.
pub const SEGMENT_BYTES: u32 = 64 * 1024 * 1024;
/// Smallest segment, bytes; below: [`crate::OpenError::Options`].
pub const SEGMENT_BYTES_MIN: u32 = 64 * 1024;
/// Largest segment, bytes; above: [`crate::OpenError::Options`].
pub const SEGMENT_BYTES_MAX: u32 = 1024 * 1024 * 1024;
/// Largest frame payload, bytes, whatever the segment size; a record that does not fit is too large.
pub const FRAME_PAYLOAD_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// A batch that reaches this many bytes is closed; the next record opens another. A larger record has a frame of its own.
pub const BATCH_BYTES_TARGET: u32 = 8 * 1024 * 1024;
/// How often the commit thread looks whether a batch still grows before it takes it.
pub const GATHER_LOOKS_MAX: u32 = 4;
/// Default for bytes appended and not yet durable (and indexed); above, [`crate::Wal::has_room`] is false and the
/// broker stops reading from publishers.
pub const STAGING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Frames on their way to the keeper; more: the commit thread waits for it.
pub const KEEPER_FRAMES_MAX: usize = 16 * 1024;
/// Bytes of buffers kept for reuse; more are given back to the allocator.
pub const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Ranges of settled messages that wait for their batch; more: they are written into it as one record.
pub const SETTLE_RANGES_MAX: usize = 4096;
/// Default for how long settled messages may wait for company, ms.
pub const ACK_FLUSH_MS: u64 = 10;
/// Bytes of settle records that are written without waiting for [`ACK_FLUSH_MS`].
pub const ACK_FLUSH_BYTES: usize = 256 * 1024;
/// Default for how long the log is idle before its last frame is vouched for by a seal, ms.
pub const SEAL_IDLE_MS: u64 = 5;
/// Default for free disk space below which publishers are stopped, bytes.
pub const DISK_LOW_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Free space is looked at this often, ms.
pub const DISK_CHECK_MS: u64 = 1000;
/// Bytes above the low mark that must be free before publishers go on; a quarter of a low mark that is smaller.
pub const DISK_CLEAR_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Zeros written to a new segment at once, bytes; a sync of the log waits at most for these.
pub const FILL_PIECE_BYTES: u64 = 256 * 1024;
/// Pause behind such a piece, ms.
pub const FILL_PAUSE_MS: u64 = 10;
/// Emptied segments kept for reuse; more are removed.
pub const RECYCLED_SEGMENTS_MAX: usize = 4;
/// Default for WAL bytes between two checkpoints of the index.
pub const CHECKPOINT_BYTES: u64 = 256 * 1024 * 1024;
/// Default for the time between two checkpoints when there is something to save, ms.
pub const CHECKPOINT_MS: u64 = 5_000;
/// Default for WAL bytes between two exports of the index, at most; a small index is exported more often.
pub const EXPORT_BYTES: u64 = 256 * 1024 * 1024;
/// WAL bytes between two exports of a small index.
pub const EXPORT_BYTES_MIN: u64 = 128 * 1024 * 1024;
/// WAL bytes between two exports for each byte of the last one, within the two bounds above.
pub const EXPORT_LOG_SHARE: u64 = 32;
/// Default for the time between two exports when there is something to save, ms.
pub const EXPORT_MS: u64 = 300_000;
/// How long frames gather for a keeper that is busy, ms: a wake for each sync would cost more than its work.
pub const KEEPER_GATHER_MS: u64 = 10;
/// Bytes of gathered frames for which it is woken at once.
pub const KEEPER_GATHER_BYTES_MAX: usize = 256 * 1024;
/// Longest pause of the keeper between two looks at what is due, ms.
pub const KEEPER_PAUSE_MS: u64 = 250;
/// Slots of one publish; more: too large.
pub const SLOTS_MAX: usize = u16::MAX as usize;
/// Bytes of an exchange name or routing key.
pub const SHORT_STRING_BYTES_MAX: usize = 255;
/// Bytes of a definition's name; longer: the broker has failed to check it.
pub const DEFINITION_NAME_BYTES_MAX: usize = 4096;
/// Bytes of a definition's value; longer: the broker has failed to check it.
pub const DEFINITION_VALUE_BYTES_MAX: usize = 512 * 1024;
/// Definition changes in one record; more are split over records.
pub const CHANGES_MAX: usize = 16 * 1024;
/// Ranges in one purge, delivered or relocation record; more are split over records.
pub const LIST_ITEMS_MAX: usize = 1024;
/// Entries in one row of a segment's index file; a longer stretch of a queue has several rows.
pub const ROW_ENTRIES_MAX: usize = 4096;
/// Segment files kept open for reading; more: the longest unused is closed.
pub const OPEN_SEGMENTS_MAX: usize = 128;
/// Directory rows of segments' index files kept in memory for reading; more: the longest unused file's are dropped.
pub const DIRECTORY_ROWS_MAX: usize = 256 * 1024;
/// Bytes between two wanted records up to which both are read at once.
pub const READ_GAP_BYTES_MAX: u32 = 64 * 1024;
/// Bytes read at once; a larger record is read by itself.
pub const READ_CHUNK_BYTES_MAX: u32 = 1024 * 1024;
/// Bytes of rows after which a block of an export is closed.
pub const EXPORT_BLOCK_BYTES: usize = 1024 * 1024;
/// Exports kept; the log is kept as long as the oldest of them needs it.
pub const EXPORTS_KEPT: usize = 2;
/// Pieces of slow work handed to the keeper's helper and not done; more: the keeper keeps them to itself.
pub const HELPER_JOBS_MAX: usize = 16;
/// Live share of a segment, in percent, below which it is worth compacting.
pub const COMPACT_LIVE_SHARE_MAX: u64 = 25;
/// Dead share of the store, in percent, below which nothing is compacted while there is space.
pub const COMPACT_DEAD_SHARE_MIN: u64 = 30;
/// Age of a full segment before it is compacted, ms: most messages are settled by then without being copied.
pub const COMPACT_AGE_MS: u64 = 60_000;
/// Bytes a second that compaction copies at most, unless space is low.
pub const COMPACT_BYTES_PER_S: u64 = 50 * 1024 * 1024;
/// Payload after which a frame of a cold segment is closed, bytes.
pub const COLD_FRAME_BYTES: usize = 1024 * 1024;
/// Time before work that failed for want of space, or a database that failed, is tried again, ms.
pub const RETRY_MS: u64 = 30_000;
/// Entries of full segments kept for their index files; of more, the segment is read again instead.
pub const SEALED_ENTRIES_MAX: usize = 1024 * 1024;
/// Rows in one batch of the database; larger ones eat its memory.
pub const DATABASE_BATCH_ROWS: usize = 100;
/// Bytes the database may cache.
pub const DATABASE_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Time the database is given to open and be read at start, ms; later: it is set aside.
pub const DATABASE_LOAD_MS: u64 = 60_000;
/// How long a process that was killed may take to let go of the data directory, ms; then the next one is refused.
pub const DYING_HOLDER_MS: u64 = 10_000;
/// How often that is looked at, ms; divides the time above.
pub const DYING_HOLDER_POLL_MS: u64 = 20;
/// Time between two looks at what the segments hold, for people, ms.
pub const SURVEY_MS: u64 = 1_000;
/// Segments that people are told one by one; of more, only the sums.
pub const SURVEY_SEGMENTS_MAX: usize = 1_000;
