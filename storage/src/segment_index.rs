//! The index file beside a full segment: which messages of which queue it holds and where, so that a long queue is read
//! back without reading its segments. Derived: written without a sync, checked by its checksums, made again from the
//! segment when it is missing or damaged.
//!
//! ```text
//! header     magic [8] | format u32 | segment u32 | store uuid [16] | rows u32 | crc32 of the directory u32
//!            | end of the segment u32 | 0 u32 | file bytes u64 | 0 u32 | crc32 of 0..60 u32
//! directory  rows x { queue u32 | priority u8 | flags u8 | 0 u16 | first u64 | last u64 | count u32
//!            | crc32 of the entries u32 | record bytes u64 | offset of the entries u64 }   by queue, priority, first
//! entries    { seq - first u32 | offset in the segment u32 | record bytes u32 | body bytes u32
//!            | expiry unix ms u64, if the row's flags say so }                             ascending
//! ```

use crate::disk::{Allocate, Disk, FileId};
use crate::field::{Fields, patch};
use crate::ids::{Lsn, QueueId, SegmentId, Seq};
use crate::index::SealedSegment;
use crate::limits::ROW_ENTRIES_MAX;
use crate::prepare::remove_if_there;
use crate::record::checksum;
use crate::run::{IndexEntry, StoredEntry};
use crate::segment::{COLD_DIR, WAL_DIR};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const MAGIC: &[u8; 8] = b"LMQWIDX1";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 64;
const ROW_BYTES: usize = 48;
const ENTRY_BYTES: usize = 16;
const EXPIRY_BYTES: usize = 8;
/// Flag of a row: its entries carry an expiry.
const WITH_EXPIRY: u8 = 1;

/// What an index file lists, without the entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    /// Where the segment's last frame ends.
    pub(crate) end: u32,
    /// By queue, priority, first.
    pub(crate) rows: Vec<DirectoryRow>,
}

/// Consecutive entries of one queue and priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryRow {
    pub(crate) queue: QueueId,
    pub(crate) priority: u8,
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) count: u32,
    /// Sum of the record lengths.
    pub(crate) bytes: u64,
    with_expiry: bool,
    crc: u32,
    offset: u64,
}

/// Why an index file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IndexFileError {
    /// It is not there.
    #[error("there is no index file")]
    Missing,
    /// It is not what was written.
    #[error("the index file is damaged: {0}")]
    Damaged(&'static str),
    /// The disk failed.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for IndexFileError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            IndexFileError::Missing
        } else {
            IndexFileError::Io(error)
        }
    }
}

/// Ends the name of an index file that is being written.
const TEMPORARY: &str = ".tmp";

/// Makes index files, one at a time: a reader in a hurry and the keeper's helper may both want the same one, and each
/// goes through a file of the same temporary name.
pub(crate) struct IndexFiles {
    disk: Arc<dyn Disk>,
    store: [u8; 16],
    turn: Mutex<()>,
}

/// The right to make index files; nobody else makes one meanwhile.
pub(crate) struct Turn<'a> {
    files: &'a IndexFiles,
    _held: MutexGuard<'a, ()>,
}

impl IndexFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, store: [u8; 16]) -> Arc<Self> {
        Arc::new(Self { disk, store, turn: Mutex::default() })
    }

    /// Waits for the right to make index files.
    pub(crate) fn turn(&self) -> Turn<'_> {
        Turn { files: self, _held: self.turn.lock().unwrap_or_else(PoisonError::into_inner) }
    }
}

impl fmt::Debug for IndexFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexFiles").finish_non_exhaustive()
    }
}

/// Whether a file is an index file whose writing was cut short.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(".idx.tmp")
}

/// Name of the index file of a segment within the data directory.
pub(crate) fn index_name(segment: SegmentId) -> String {
    let dir = if segment.is_cold() { COLD_DIR } else { WAL_DIR };
    format!("{dir}/{:016x}.idx", segment.0)
}

/// The bytes of the index file of a full segment.
pub(crate) fn encode(sealed: &SealedSegment, store: &[u8; 16]) -> Vec<u8> {
    let mut entries: Vec<&IndexEntry> = sealed.entries.iter().collect();
    entries.sort_by_key(|entry| (entry.queue, entry.priority, entry.stored.seq));
    let groups: Vec<&[&IndexEntry]> = entries
        .chunk_by(|one, next| belong_together(one, next))
        .flat_map(|group| group.chunks(ROW_ENTRIES_MAX))
        .collect();
    let mut file = vec![0; HEADER_BYTES + groups.len() * ROW_BYTES];
    let mut rows = Vec::with_capacity(groups.len() * ROW_BYTES);
    for group in &groups {
        let start = file.len();
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let with_expiry = group.iter().any(|entry| entry.stored.expire_unix_ms != 0);
        let mut bytes = 0;
        for entry in *group {
            let stored = &entry.stored;
            bytes += u64::from(stored.record_bytes);
            file.extend_from_slice(&((stored.seq.0 - first.stored.seq.0) as u32).to_le_bytes());
            file.extend_from_slice(&stored.lsn.offset().to_le_bytes());
            file.extend_from_slice(&stored.record_bytes.to_le_bytes());
            file.extend_from_slice(&stored.body_bytes.to_le_bytes());
            if with_expiry {
                file.extend_from_slice(&stored.expire_unix_ms.to_le_bytes());
            }
        }
        rows.extend_from_slice(&first.queue.0.to_le_bytes());
        rows.extend_from_slice(&[first.priority, if with_expiry { WITH_EXPIRY } else { 0 }, 0, 0]);
        rows.extend_from_slice(&first.stored.seq.0.to_le_bytes());
        rows.extend_from_slice(&last.stored.seq.0.to_le_bytes());
        rows.extend_from_slice(&(group.len() as u32).to_le_bytes());
        rows.extend_from_slice(&checksum(0, file.get(start..).unwrap_or_default()).to_le_bytes());
        rows.extend_from_slice(&bytes.to_le_bytes());
        rows.extend_from_slice(&(start as u64).to_le_bytes());
    }
    patch(&mut file, HEADER_BYTES, &rows);
    let file_bytes = file.len() as u64;
    patch(&mut file, 0, MAGIC);
    patch(&mut file, 8, &FORMAT.to_le_bytes());
    patch(&mut file, 12, &sealed.segment.0.to_le_bytes());
    patch(&mut file, 16, store);
    patch(&mut file, 32, &(groups.len() as u32).to_le_bytes());
    patch(&mut file, 36, &checksum(0, &rows).to_le_bytes());
    patch(&mut file, 40, &sealed.end.to_le_bytes());
    patch(&mut file, 48, &file_bytes.to_le_bytes());
    let crc = checksum(0, file.get(..HEADER_BYTES - 4).unwrap_or_default());
    patch(&mut file, HEADER_BYTES - 4, &crc.to_le_bytes());
    file
}

/// Whether two neighbours can stand in one row: the distance from the first must fit its field, for which it is enough
/// that the distance between neighbours is small.
fn belong_together(one: &IndexEntry, next: &IndexEntry) -> bool {
    let distance = next.stored.seq.0.saturating_sub(one.stored.seq.0);
    let near = distance < u64::from(u32::MAX) / ROW_ENTRIES_MAX as u64;
    one.queue == next.queue && one.priority == next.priority && near
}

impl Turn<'_> {
    /// Writes the index file of a full segment, replacing one that is there.
    pub(crate) fn write(&self, sealed: &SealedSegment) -> io::Result<()> {
        let disk = &*self.files.disk;
        let name = index_name(sealed.segment);
        let temporary = format!("{name}{TEMPORARY}");
        remove_if_there(disk, &temporary)?;
        let file = disk.create(&temporary, 0, Allocate::Empty)?;
        let written = disk.write_at(file, 0, &encode(sealed, &self.files.store));
        disk.close(file);
        if let Err(error) = written {
            drop(disk.remove(&temporary));
            return Err(error);
        }
        disk.rename(&temporary, &name)
    }
}

/// Reads and checks the directory of an index file.
pub(crate) fn read_directory(
    disk: &dyn Disk,
    file: FileId,
    segment: SegmentId,
    store: &[u8; 16],
) -> Result<Directory, IndexFileError> {
    let mut header = [0; HEADER_BYTES];
    let read = disk.read_at(file, 0, &mut header)?;
    let len = disk.len(file)?;
    if read < HEADER_BYTES {
        return Err(IndexFileError::Damaged("it is too short"));
    }
    let (row_count, directory_crc, end) = parse_header(&header, segment, store, len)
        .ok_or(IndexFileError::Damaged("its header does not fit"))?;
    let directory_bytes = u64::from(row_count) * ROW_BYTES as u64;
    if HEADER_BYTES as u64 + directory_bytes > len {
        return Err(IndexFileError::Damaged("its directory is cut"));
    }
    let mut bytes = vec![0; directory_bytes as usize];
    let read = disk.read_at(file, HEADER_BYTES as u64, &mut bytes)?;
    if read < bytes.len() || checksum(0, &bytes) != directory_crc {
        return Err(IndexFileError::Damaged("its directory does not match its checksum"));
    }
    let rows: Option<Vec<DirectoryRow>> =
        bytes.chunks(ROW_BYTES).map(|bytes| parse_row(bytes, len)).collect();
    Ok(Directory { end, rows: rows.ok_or(IndexFileError::Damaged("a row does not fit"))? })
}

/// Rows, checksum of the directory, end of the segment.
fn parse_header(
    header: &[u8; HEADER_BYTES],
    segment: SegmentId,
    store: &[u8; 16],
    len: u64,
) -> Option<(u32, u32, u32)> {
    let mut fields = Fields(header);
    let ours = fields.bytes(8)? == MAGIC
        && fields.u32()? == FORMAT
        && fields.segment()? == segment
        && fields.bytes(16)? == store;
    let rows = fields.u32()?;
    let directory_crc = fields.u32()?;
    let end = fields.u32()?;
    fields.u32()?;
    let file_bytes = fields.u64()?;
    fields.u32()?;
    let crc = checksum(0, header.get(..HEADER_BYTES - 4)?);
    (ours && file_bytes == len && fields.u32()? == crc).then_some((rows, directory_crc, end))
}

fn parse_row(bytes: &[u8], len: u64) -> Option<DirectoryRow> {
    let mut fields = Fields(bytes);
    let queue = fields.queue()?;
    let priority = fields.u8()?;
    let with_expiry = fields.u8()? & WITH_EXPIRY != 0;
    fields.u16()?;
    let row = DirectoryRow {
        queue,
        priority,
        with_expiry,
        first: fields.seq()?,
        last: fields.seq()?,
        count: fields.u32()?,
        crc: fields.u32()?,
        bytes: fields.u64()?,
        offset: fields.u64()?,
    };
    let fits = row.count as usize <= ROW_ENTRIES_MAX
        && row.offset.checked_add(row.entries_bytes() as u64).is_some_and(|end| end <= len)
        && row.first <= row.last;
    fits.then_some(row)
}

impl DirectoryRow {
    fn entry_bytes(&self) -> usize {
        if self.with_expiry { ENTRY_BYTES + EXPIRY_BYTES } else { ENTRY_BYTES }
    }

    fn entries_bytes(&self) -> usize {
        self.count as usize * self.entry_bytes()
    }

    /// The entry whose bytes these are.
    fn entry(&self, bytes: &[u8], segment: SegmentId) -> Option<StoredEntry> {
        let mut fields = Fields(bytes);
        Some(StoredEntry {
            seq: Seq(self.first.0.checked_add(u64::from(fields.u32()?))?),
            lsn: Lsn::new(segment, fields.u32()?),
            record_bytes: fields.u32()?,
            body_bytes: fields.u32()?,
            expire_unix_ms: if self.with_expiry { fields.u64()? } else { 0 },
        })
    }
}

impl Directory {
    /// The rows of a queue that touch `first..=last`, of one priority or (`None`) of all.
    pub(crate) fn rows_of(
        &self,
        queue: QueueId,
        priority: Option<u8>,
        (first, last): (Seq, Seq),
    ) -> impl Iterator<Item = &DirectoryRow> {
        let start =
            self.rows.partition_point(|row| (row.queue, row.priority) < (queue, priority.unwrap_or(0)));
        let of_queue = self.rows.iter().skip(start).take_while(move |row| row.queue == queue);
        let of_priority =
            of_queue.take_while(move |row| priority.is_none_or(|priority| row.priority == priority));
        of_priority.filter(move |row| row.first <= last && row.last >= first)
    }
}

/// Reads and checks the entries of a row.
pub(crate) fn read_entries(
    disk: &dyn Disk,
    file: FileId,
    segment: SegmentId,
    row: &DirectoryRow,
) -> Result<Vec<StoredEntry>, IndexFileError> {
    let mut bytes = vec![0; row.entries_bytes()];
    let read = disk.read_at(file, row.offset, &mut bytes)?;
    if read < bytes.len() || checksum(0, &bytes) != row.crc {
        return Err(IndexFileError::Damaged("entries do not match their checksum"));
    }
    let entries =
        bytes.chunks(row.entry_bytes()).map(|bytes| row.entry(bytes, segment)).collect::<Option<_>>();
    entries.ok_or(IndexFileError::Damaged("an entry does not fit"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_disk::SimDisk;
    use proptest::prelude::*;

    const STORE: [u8; 16] = *b"0123456789abcdef";

    fn disk() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir(WAL_DIR).unwrap();
        disk
    }

    fn entry(queue: u32, priority: u8, seq: u64, offset: u32, expire_unix_ms: u64) -> IndexEntry {
        let lsn = Lsn::new(SegmentId(3), offset);
        IndexEntry {
            queue: QueueId(queue),
            priority,
            stored: StoredEntry { seq: Seq(seq), lsn, record_bytes: 100, body_bytes: 10, expire_unix_ms },
        }
    }

    fn sealed(entries: Vec<IndexEntry>) -> SealedSegment {
        SealedSegment { segment: SegmentId(3), end: 8192, entries }
    }

    fn write(disk: &SimDisk, sealed: &SealedSegment) -> io::Result<()> {
        IndexFiles::new(Arc::new(disk.clone()), STORE).turn().write(sealed)
    }

    /// Every entry of the file, by reading it.
    fn read_all(disk: &SimDisk) -> Result<Vec<IndexEntry>, IndexFileError> {
        let file = disk.open(&index_name(SegmentId(3)))?;
        let directory = read_directory(disk, file, SegmentId(3), &STORE)?;
        let mut entries = Vec::new();
        for row in &directory.rows {
            let (queue, priority) = (row.queue, row.priority);
            let stored = read_entries(disk, file, SegmentId(3), row)?;
            assert_eq!(row.bytes, stored.iter().map(|entry| u64::from(entry.record_bytes)).sum::<u64>());
            entries.extend(stored.into_iter().map(|stored| IndexEntry { queue, priority, stored }));
        }
        disk.close(file);
        Ok(entries)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            mut places in prop::collection::btree_set((0..5u32, 0..3u8, prop_oneof![0..1000u64, Just(1 << 40)]), 0..200),
            expiring in any::<bool>(),
        ) {
            places.insert((9, 0, u64::MAX));
            let numbered = places.iter().rev().enumerate();
            let entries = numbered.map(|(number, (queue, priority, seq))| {
                entry(*queue, *priority, *seq, number as u32 * 8, u64::from(expiring) * (number as u64 % 3))
            });
            let sealed = sealed(entries.collect());
            let disk = disk();
            write(&disk, &sealed).unwrap();
            let mut expected = sealed.entries.clone();
            expected.sort_by_key(|entry| (entry.queue, entry.priority, entry.stored.seq));
            prop_assert_eq!(read_all(&disk).unwrap(), expected);
        }
    }

    /// A reader in a hurry and the keeper's helper.
    #[test]
    fn two_who_make_the_same_file_do_not_disturb_each_other() {
        let disk = disk();
        let files = IndexFiles::new(Arc::new(disk.clone()), STORE);
        let sealed = sealed((0..50).map(|seq| entry(1, 0, seq, seq as u32 * 8, 0)).collect());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        files.turn().write(&sealed).unwrap();
                    }
                });
            }
        });
        assert_eq!(read_all(&disk).unwrap(), sealed.entries);
        let names: Vec<String> = disk.list(WAL_DIR).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["0000000000000003.idx"]);
    }

    #[test]
    fn rows_are_found_by_queue_priority_and_range() {
        let entries: Vec<IndexEntry> = (0..10_000)
            .map(|seq| entry(1 + (seq % 2) as u32, (seq % 3) as u8, seq, seq as u32 * 8, 0))
            .collect();
        let disk = disk();
        write(&disk, &sealed(entries.clone())).unwrap();
        write(&disk, &sealed(entries)).unwrap();
        let file = disk.open(&index_name(SegmentId(3))).unwrap();
        let directory = read_directory(&disk, file, SegmentId(3), &STORE).unwrap();
        assert_eq!(directory.end, 8192);
        let count = |queue, priority, range| {
            directory.rows_of(QueueId(queue), priority, range).map(|row| row.count).sum::<u32>()
        };
        let all = (Seq(0), Seq(u64::MAX));
        assert_eq!((count(1, None, all), count(2, None, all)), (5000, 5000));
        assert_eq!(count(1, Some(0), all) + count(1, Some(1), all) + count(1, Some(2), all), 5000);
        assert_eq!(count(3, None, all), 0);
        assert_eq!(count(1, None, (Seq(10_000), Seq(20_000))), 0);
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let entries = vec![entry(1, 0, 5, 64, 0), entry(1, 0, 9, 128, 77), entry(2, 1, 1, 256, 0)];
        let bytes = encode(&sealed(entries), &STORE);
        let disk = disk();
        let file = disk.create(&index_name(SegmentId(3)), bytes.len() as u64, Allocate::Zeroed).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            disk.write_at(file, 0, &flipped).unwrap();
            assert!(read_all(&disk).is_err(), "bit {bit}");
        }
        disk.write_at(file, 0, &bytes).unwrap();
        assert!(read_all(&disk).is_ok());
        for len in (0..bytes.len() as u64).rev() {
            disk.truncate(&index_name(SegmentId(3)), len);
            assert!(read_all(&disk).is_err(), "length {len}");
        }
    }
}
