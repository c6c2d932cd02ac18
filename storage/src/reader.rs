//! Reading messages back: the entries of a run, and records by position. For many threads at once, beside the keeper.
//! Reads are sorted and put together, so that a window of neighbours costs one call; every record's checksum is verified
//! and that it is the message asked for. Where compaction has moved a message it is found through the cold segment's
//! index file. A damaged record spoils nothing but itself.

mod timeline;

use crate::disk::{Disk, FileId};
use crate::files::{Files, OpenFile, Pin};
use crate::identity::StoreIdentity;
use crate::ids::{Lsn, QueueId, SegmentId, Seq};
use crate::limits::{DIRECTORY_ROWS_MAX, FRAME_PAYLOAD_BYTES_MAX, READ_CHUNK_BYTES_MAX, READ_GAP_BYTES_MAX};
use crate::record::{PublishView, RECORD_HEADER_BYTES, RecordView, decode};
use crate::run::{IndexEntry, Run, StoredEntry};
use crate::segment_index::{self, Directory, IndexFileError, IndexFiles, Turn, index_name};
use crate::segment_scan;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::warn;

/// Reads messages and entries; clones share their open files. Every call may block.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    files: Arc<Files>,
    identity: StoreIdentity,
    directories: Mutex<Directories>,
    index_files: Arc<IndexFiles>,
}

/// Directories of index files read lately.
#[derive(Debug, Default)]
struct Directories {
    by_segment: HashMap<SegmentId, (Arc<Directory>, u64)>,
    row_count: usize,
    uses: u64,
}

/// A message to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Position of its record, as the log or an entry told it; compaction may have moved it since.
    pub lsn: Lsn,
    /// Length of the record in bytes.
    pub record_bytes: u32,
    /// Queue.
    pub queue: QueueId,
    /// Position in it.
    pub seq: Seq,
}

/// A message read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// Exchange it was published to.
    pub exchange: Arc<str>,
    /// Routing key.
    pub routing_key: Arc<str>,
    /// Property bytes, as received.
    pub properties: Bytes,
    /// Body, as received.
    pub body: Bytes,
    /// Whether the publisher asked for persistence.
    pub persistent: bool,
    /// Whether the broker itself wrote the history of deaths in the properties.
    pub dead_lettered: bool,
    /// Wall-clock time its record was written, unix ms.
    pub unix_ms: u64,
}

/// Why a message or run cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Its segment was freed: the message was settled before.
    #[error("the message is not in the log any more")]
    Gone,
    /// Its bytes are damaged.
    #[error("damaged: {0}")]
    Damaged(String),
    /// The disk failed.
    #[error("{0}")]
    Io(String),
}

/// A record to be read from a pinned file.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Position in the caller's list.
    asked: usize,
    offset: u32,
    record_bytes: u32,
}

impl Place {
    fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.record_bytes)
    }
}

impl Reader {
    pub(crate) fn new(files: Arc<Files>, identity: StoreIdentity, index_files: Arc<IndexFiles>) -> Reader {
        let shared = Shared { files, identity, directories: Mutex::default(), index_files };
        Reader { shared: Arc::new(shared) }
    }

    /// The entries of a run, ascending, settled ones included (compaction may have left those out).
    pub fn entries(&self, queue: QueueId, run: &Run) -> Result<Vec<StoredEntry>, ReadError> {
        let pin = self.shared.files.pin(run.segment)?;
        self.entries_between(&pin, queue, Some(run.priority), (run.first, run.last))
    }

    /// Reads messages; each has its own result, in the order asked.
    pub fn messages(&self, wanted: &[Wanted]) -> Vec<Result<StoredMessage, ReadError>> {
        let mut results: Vec<Result<StoredMessage, ReadError>> = vec![Err(ReadError::Gone); wanted.len()];
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_unstable_by_key(|asked| wanted.get(*asked).map(|wanted| wanted.lsn));
        let segment = |asked: &usize| wanted.get(*asked).map(|wanted| wanted.lsn.segment());
        for of_segment in order.chunk_by(|one, next| segment(one) == segment(next)) {
            let Some(asked_segment) = of_segment.first().and_then(segment) else { continue };
            let mut set = |asked: usize, result| {
                if let Some(place) = results.get_mut(asked) {
                    *place = result;
                }
            };
            match self.shared.files.pin(asked_segment) {
                Ok(pin) => {
                    let places = self.places(&pin, asked_segment, wanted, of_segment, &mut set);
                    for chunk in chunks(&places) {
                        self.read_chunk(&pin, chunk, wanted, &mut set);
                    }
                }
                Err(error) => of_segment.iter().for_each(|asked| set(*asked, Err(error.clone()))),
            }
        }
        results
    }

    /// Where the wanted messages of one segment lie in the pinned one, ascending.
    fn places(
        &self,
        pin: &Pin,
        asked_segment: SegmentId,
        wanted: &[Wanted],
        of_segment: &[usize],
        set: &mut impl FnMut(usize, Result<StoredMessage, ReadError>),
    ) -> Vec<Place> {
        let mut places = Vec::with_capacity(of_segment.len());
        // Neighbours are mostly in the same row.
        let mut found: Vec<StoredEntry> = Vec::new();
        let mut found_in = None;
        for &asked in of_segment {
            let Some(wanted) = wanted.get(asked) else { continue };
            let (mut lsn, mut record_bytes) = (wanted.lsn, wanted.record_bytes);
            if pin.segment != asked_segment {
                let is_in =
                    |found: &[StoredEntry]| found.binary_search_by_key(&wanted.seq, |entry| entry.seq).ok();
                if found_in != Some(wanted.queue) || is_in(&found).is_none() {
                    found_in = Some(wanted.queue);
                    found = match self.block_of(pin, wanted.queue, wanted.seq) {
                        Ok(found) => found,
                        Err(error) => {
                            set(asked, Err(error));
                            found_in = None;
                            continue;
                        }
                    };
                }
                let Some(entry) = is_in(&found).and_then(|position| found.get(position)) else { continue };
                (lsn, record_bytes) = (entry.lsn, entry.record_bytes);
            }
            let fits = (RECORD_HEADER_BYTES as u32..=FRAME_PAYLOAD_BYTES_MAX).contains(&record_bytes);
            if fits {
                places.push(Place { asked, offset: lsn.offset(), record_bytes });
            } else {
                set(asked, Err(ReadError::Damaged(format!("a record of {record_bytes} bytes at {lsn}"))));
            }
        }
        places.sort_unstable_by_key(|place| place.offset);
        places
    }

    /// The entries around a message in a segment written by compaction, of whatever priority.
    fn block_of(&self, pin: &Pin, queue: QueueId, seq: Seq) -> Result<Vec<StoredEntry>, ReadError> {
        let mut entries = self.with_index(pin, |disk, file, directory| {
            let rows = directory.rows_of(queue, None, (seq, seq));
            let mut entries = Vec::new();
            for row in rows {
                entries.extend(segment_index::read_entries(disk, file, pin.segment, row)?);
            }
            Ok(entries)
        })?;
        entries.sort_unstable_by_key(|entry| entry.seq);
        Ok(entries)
    }

    fn read_chunk(
        &self,
        pin: &Pin,
        chunk: &[Place],
        wanted: &[Wanted],
        set: &mut impl FnMut(usize, Result<StoredMessage, ReadError>),
    ) {
        let (Some(first), Some(end)) = (chunk.first(), chunk.iter().map(Place::end).max()) else { return };
        let start = u64::from(first.offset);
        let mut bytes = vec![0; (end - start) as usize];
        match self.shared.files.disk().read_at(pin.file.id, start, &mut bytes) {
            Ok(read) => bytes.truncate(read),
            // One bad sector must not take its neighbours along.
            Err(_) if chunk.len() > 1 => {
                for place in chunk {
                    self.read_chunk(pin, std::slice::from_ref(place), wanted, set);
                }
                return;
            }
            Err(error) => {
                set(first.asked, Err(ReadError::Io(format!("segment {}: {error}", pin.segment))));
                return;
            }
        }
        let bytes = Bytes::from(bytes);
        for place in chunk {
            let from = (u64::from(place.offset) - start) as usize;
            let record = from..from + place.record_bytes as usize;
            let record = if record.end <= bytes.len() { bytes.slice(record) } else { Bytes::new() };
            let Some(wanted) = wanted.get(place.asked) else { continue };
            let message = message(&record, self.shared.identity.seed, wanted, chunk.len() == 1);
            set(place.asked, message.map_err(|reason| damaged(pin.segment, place.offset, &reason)));
        }
    }

    pub(crate) fn entries_between(
        &self,
        pin: &Pin,
        queue: QueueId,
        priority: Option<u8>,
        (first, last): (Seq, Seq),
    ) -> Result<Vec<StoredEntry>, ReadError> {
        self.with_index(pin, |disk, file, directory| {
            let mut entries = Vec::new();
            for row in directory.rows_of(queue, priority, (first, last)) {
                let row_entries = segment_index::read_entries(disk, file, pin.segment, row)?;
                entries.extend(row_entries.into_iter().filter(|entry| (first..=last).contains(&entry.seq)));
            }
            Ok(entries)
        })
    }

    /// Every message a pinned segment holds, settled ones included, in the order of the segment.
    pub(crate) fn all_entries(&self, pin: &Pin) -> Result<Vec<IndexEntry>, ReadError> {
        let mut entries = self.with_index(pin, |disk, file, directory| {
            let mut entries = Vec::new();
            for row in &directory.rows {
                let (queue, priority) = (row.queue, row.priority);
                let stored = segment_index::read_entries(disk, file, pin.segment, row)?;
                entries.extend(stored.into_iter().map(|stored| IndexEntry { queue, priority, stored }));
            }
            Ok(entries)
        })?;
        entries.sort_by_key(|entry| entry.stored.lsn);
        Ok(entries)
    }

    /// Reads from the index file of a pinned segment; one that is missing or damaged is made again, once.
    fn with_index<T>(
        &self,
        pin: &Pin,
        read: impl Fn(&dyn Disk, FileId, &Directory) -> Result<T, IndexFileError>,
    ) -> Result<T, ReadError> {
        let disk = self.shared.files.disk();
        let attempt = || -> Result<T, IndexFileError> {
            let file = OpenFile::open(disk, &index_name(pin.segment))?;
            let directory = self.directory(pin, file.id)?;
            read(&**disk, file.id, &directory)
        };
        let failed = match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let turn = self.shared.index_files.turn();
        self.forget_directory(pin.segment);
        if let Ok(value) = attempt() {
            return Ok(value);
        }
        self.make_index(pin, &failed, &turn)?;
        attempt().map_err(|error| ReadError::Io(format!("index of segment {}: {error}", pin.segment)))
    }

    fn make_index(&self, pin: &Pin, failed: &IndexFileError, turn: &Turn<'_>) -> Result<(), ReadError> {
        let disk = &**self.shared.files.disk();
        let identity = &self.shared.identity;
        if pin.end.is_none() {
            return Err(ReadError::Gone);
        }
        warn!(segment = %pin.segment, reason = %failed, "index file made again");
        let sealed = segment_scan::entries(disk, pin.file.id, pin.segment, identity, pin.end)
            .map_err(|error| ReadError::Damaged(error.to_string()))?;
        turn.write(&sealed)
            .map_err(|error| ReadError::Io(format!("index of segment {}: {error}", pin.segment)))
    }

    fn directory(&self, pin: &Pin, file: FileId) -> Result<Arc<Directory>, IndexFileError> {
        let lock = || self.shared.directories.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(directory) = lock().get(pin.segment) {
            return Ok(directory);
        }
        let disk = &**self.shared.files.disk();
        let read = segment_index::read_directory(disk, file, pin.segment, &self.shared.identity.uuid)?;
        let directory = Arc::new(read);
        lock().insert(pin.segment, Arc::clone(&directory));
        Ok(directory)
    }

    /// Drops what is kept in memory of a segment's index file.
    pub(crate) fn forget_directory(&self, segment: SegmentId) {
        self.shared.directories.lock().unwrap_or_else(PoisonError::into_inner).remove(segment);
    }

    pub(crate) fn files(&self) -> &Arc<Files> {
        &self.shared.files
    }
}

impl Directories {
    fn get(&mut self, segment: SegmentId) -> Option<Arc<Directory>> {
        self.uses += 1;
        let (directory, used) = self.by_segment.get_mut(&segment)?;
        *used = self.uses;
        Some(Arc::clone(directory))
    }

    fn insert(&mut self, segment: SegmentId, directory: Arc<Directory>) {
        self.remove(segment);
        self.row_count += directory.rows.len();
        while self.row_count > DIRECTORY_ROWS_MAX {
            let oldest =
                self.by_segment.iter().min_by_key(|(_, (_, used))| *used).map(|(segment, _)| *segment);
            match oldest {
                Some(oldest) => self.remove(oldest),
                None => break,
            }
        }
        self.uses += 1;
        self.by_segment.insert(segment, (directory, self.uses));
    }

    fn remove(&mut self, segment: SegmentId) {
        if let Some((directory, _)) = self.by_segment.remove(&segment) {
            self.row_count -= directory.rows.len();
        }
    }
}

/// Divides places, which ascend, into stretches that are read at once.
fn chunks(places: &[Place]) -> impl Iterator<Item = &[Place]> {
    let mut rest = places;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let mut end = first.end();
        let mut count = 1;
        for place in rest.iter().skip(1) {
            let near = u64::from(place.offset) <= end + u64::from(READ_GAP_BYTES_MAX);
            let small = place.end().max(end) - u64::from(first.offset) <= u64::from(READ_CHUNK_BYTES_MAX);
            if !near || !small {
                break;
            }
            end = end.max(place.end());
            count += 1;
        }
        let (chunk, behind) = rest.split_at(count);
        rest = behind;
        Some(chunk)
    })
}

fn damaged(segment: SegmentId, offset: u32, reason: &str) -> ReadError {
    ReadError::Damaged(format!("segment {segment}, offset {offset}: {reason}"))
}

/// The message a record holds, if it is the one wanted. Its bytes are shared with `record` only when it was read
/// `alone`: otherwise one small message would keep the memory of its whole neighbourhood.
fn message(record: &Bytes, seed: u32, wanted: &Wanted, alone: bool) -> Result<StoredMessage, String> {
    let (header, view) = decode(record, seed).map_err(|error| error.to_string())?;
    let RecordView::Publish(publish) = view else {
        return Err("the record holds no message".to_owned());
    };
    let is_wanted = publish.slots().any(|slot| slot.queue == wanted.queue && slot.seq == wanted.seq);
    if header.len as usize != record.len() || !is_wanted {
        return Err(format!("the record is not that of message {} of queue {}", wanted.seq, wanted.queue));
    }
    let name = |bytes| std::str::from_utf8(bytes).map(Arc::from).map_err(|_| "a name is not text".to_owned());
    let (properties, body) = contents(record, &publish, alone);
    Ok(StoredMessage {
        exchange: name(publish.exchange)?,
        routing_key: name(publish.routing_key)?,
        properties,
        body,
        persistent: publish.persistent,
        dead_lettered: publish.dead_lettered,
        unix_ms: header.unix_ms,
    })
}

fn contents(record: &Bytes, publish: &PublishView<'_>, alone: bool) -> (Bytes, Bytes) {
    let properties = publish.properties;
    if alone {
        return (record.slice_ref(properties), record.slice_ref(publish.body));
    }
    let mut both = Vec::with_capacity(properties.len() + publish.body.len());
    both.extend_from_slice(properties);
    both.extend_from_slice(publish.body);
    let mut properties_bytes = Bytes::from(both);
    let body = properties_bytes.split_off(properties.len());
    (properties_bytes, body)
}
