//! Looks at a stopped store without changing it: what recovery would find, what every segment holds, and the first
//! damage. Reads the whole of every segment, so that rot is found before it is needed.
//! The index is taken from the exports alone, since the database cannot be opened without writing; the log behind an
//! export is kept for that.

mod derived;

use crate::disk::Disk;
use crate::error::{Damage, OpenError};
use crate::identity::StoreIdentity;
use crate::ids::{GroupId, Lsn, QueueId, SegmentId, Seq};
use crate::index::{Index, QueueState, SegmentState};
use crate::record::{DefinitionKey, RecordHeader, RecordView};
use crate::recovery::{self, Replay};
use crate::segment::segment_name;
use crate::segment_scan::{self, ScanError};
use std::io;

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// When the store was made, unix ms.
    pub created_unix_ms: u64,
    /// The index was read up to here from an export; recovery replays from here.
    pub applied: Lsn,
    /// Where the log ends; [`Lsn::NONE`] if damage hides it.
    pub end: Lsn,
    /// It was closed cleanly.
    pub clean: bool,
    /// Records that recovery replays.
    pub replayed_record_count: u64,
    /// Segments in use, ascending.
    pub segments: Vec<SegmentInspection>,
    /// Queues that hold or held messages, by id.
    pub queues: Vec<QueueInspection>,
    /// Definitions, by group and key.
    pub definitions: Vec<(GroupId, DefinitionKey, Vec<u8>)>,
    /// The first damage found. What stands above is then what could still be read.
    pub damage: Option<Damage>,
    /// Where exports and index files say something else than the log: a sentence each. They are made again from it.
    /// Compared only when the log is undamaged.
    pub differences: Vec<String>,
}

/// A segment as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentInspection {
    /// Which.
    pub segment: SegmentId,
    /// Where its last frame ends, bytes.
    pub end: u32,
    /// Frames.
    pub frame_count: u64,
    /// Records by kind.
    pub records: RecordCounts,
    /// Places of messages in queues that were written into it.
    pub slot_count: u64,
    /// Those of them that are not settled.
    pub live_slot_count: u64,
}

/// Numbers of records, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// Messages.
    pub publish: u64,
    /// Settled ranges.
    pub settle: u64,
    /// Transactions, whose parts are not counted again.
    pub transaction: u64,
    /// Definitions set or removed.
    pub define: u64,
    /// Purges.
    pub purge: u64,
    /// Deleted queues.
    pub drop_queue: u64,
    /// Compactions.
    pub relocate: u64,
    /// Deliveries noted at a clean stop.
    pub delivered: u64,
    /// Of a later version, skipped.
    pub unknown: u64,
}

/// A queue as the log knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueInspection {
    /// Which.
    pub queue: QueueId,
    /// Owner.
    pub group: GroupId,
    /// Messages not settled.
    pub live: u64,
    /// The position the next message gets.
    pub next_seq: Seq,
}

/// Inspects the store on `disk`, which nobody has open.
///
/// # Errors
/// If there is no store, or one of a later version, or the disk fails. Damage is no error: it is in the report.
pub fn inspect(disk: &dyn Disk) -> Result<Inspection, OpenError> {
    let mut found = Inspection::default();
    let identity = StoreIdentity::read(disk)?.ok_or_else(no_store)?;
    found.created_unix_ms = identity.created_unix_ms;
    match Index::load(disk, &identity) {
        Ok(loaded) => {
            found.applied = loaded.applied;
            let index = replay(disk, &identity, loaded.index, &mut found)?;
            describe(&index, &mut found);
            let walk = |(segment, state)| walk(disk, &identity, segment, state, &mut found);
            index.segments().try_for_each(walk)?;
            if found.damage.is_none() {
                derived::compare(disk, &identity, &index, &mut found)?;
            }
        }
        Err(OpenError::Corrupt(damage)) => found.damage = Some(damage),
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn no_store() -> OpenError {
    OpenError::io("opening STORE")(io::Error::new(
        io::ErrorKind::NotFound,
        "there is no store in this directory",
    ))
}

struct IndexReplay(Index);

impl Replay for IndexReplay {
    fn apply(&mut self, at: Lsn, header: &RecordHeader, view: &RecordView<'_>) {
        self.0.apply(at, header, view);
    }

    fn advance(&mut self, end: Lsn) {
        self.0.advance(end);
        // The entries of full segments are for their index files, which are not made here.
        drop(self.0.take_sealed());
    }
}

/// Reads the log from where the index stands, as recovery does.
fn replay(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    index: Index,
    found: &mut Inspection,
) -> Result<Index, OpenError> {
    let applied = index.applied();
    let mut replay = IndexReplay(index);
    match recovery::read(disk, identity, applied, &mut replay, &mut |_| {}) {
        Ok(read) => {
            found.end = Lsn::new(read.end.segment, read.end.offset);
            found.clean = read.clean;
            found.replayed_record_count = read.record_count;
        }
        Err(OpenError::Corrupt(damage)) => found.damage = Some(damage),
        Err(error) => return Err(error),
    }
    Ok(replay.0)
}

fn describe(index: &Index, found: &mut Inspection) {
    found.queues = queues(index);
    found.definitions =
        index.definitions().map(|(group, key, value)| (group, key.clone(), value.to_vec())).collect();
}

/// The queues of an index, by id.
fn queues(index: &Index) -> Vec<QueueInspection> {
    let inspect = |(queue, state): (QueueId, &QueueState)| QueueInspection {
        queue,
        group: state.group(),
        live: state.live(),
        next_seq: state.next_seq(),
    };
    let mut queues: Vec<_> = index.queues().map(inspect).collect();
    queues.sort_unstable_by_key(|queue| queue.queue);
    queues
}

/// Reads a segment from end to end.
fn walk(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    segment: SegmentId,
    state: &SegmentState,
    found: &mut Inspection,
) -> Result<(), OpenError> {
    let mut read = SegmentInspection {
        segment,
        end: state.end,
        slot_count: state.slots,
        live_slot_count: state.live_slots,
        ..SegmentInspection::default()
    };
    let walked = match disk.open(&segment_name(segment)) {
        Ok(file) => {
            let (frames, records) = (&mut read.frame_count, &mut read.records);
            let walked = segment_scan::walk(
                disk,
                file,
                segment,
                identity,
                Some(state.end),
                &mut |_| *frames += 1,
                &mut |_, _, view| records.count(view),
            );
            disk.close(file);
            walked.map(drop)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ScanError::Damaged { segment, offset: 0, reason: "the segment is missing".to_owned() })
        }
        Err(error) => Err(error.into()),
    };
    found.segments.push(read);
    match walked {
        Ok(()) => Ok(()),
        Err(ScanError::Damaged { segment, offset, reason }) => {
            found.damage.get_or_insert(Damage { segment, offset: offset.into(), reason });
            Ok(())
        }
        Err(ScanError::Io(error)) => Err(OpenError::io(format!("reading segment {segment}"))(error)),
    }
}

impl RecordCounts {
    fn count(&mut self, view: &RecordView<'_>) {
        let count = match view {
            RecordView::Publish(_) => &mut self.publish,
            RecordView::Settle(_) => &mut self.settle,
            RecordView::Transaction(_) => &mut self.transaction,
            RecordView::Define(_) => &mut self.define,
            RecordView::Purge(_) => &mut self.purge,
            RecordView::DropQueue(..) => &mut self.drop_queue,
            RecordView::Relocate(_) => &mut self.relocate,
            RecordView::Delivered(_) => &mut self.delivered,
            RecordView::Unknown => &mut self.unknown,
        };
        *count += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        let Self { publish, settle, transaction, define, purge, drop_queue, relocate, delivered, unknown } =
            self;
        publish + settle + transaction + define + purge + drop_queue + relocate + delivered + unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;
    use crate::index::SealedSegment;
    use crate::options::Options;
    use crate::record::{Publish, Settle, SettleReason, Slot};
    use crate::segment_index::index_name;
    use crate::store::Store;
    use std::path::Path;
    use std::sync::Arc;

    const GROUP: GroupId = GroupId(1);

    /// A store with three messages in two queues, one of them settled.
    fn make(dir: &Path) {
        let disk = Arc::new(RealDisk::open(dir).unwrap());
        let mut options = Options::new(Arc::new(|| 7), Arc::new(|| 0));
        (options.segment_bytes, options.disk_low_bytes) = (1 << 20, 0);
        let (store, _) = Store::open(disk, options, &mut |_| {}).unwrap();
        let wal = store.wal();
        let key = DefinitionKey { kind: 5, name: b"q".to_vec() };
        wal.define(GROUP, &[(key, Some(b"value".to_vec()))]);
        for (queue, seq) in [(1, 1), (1, 2), (2, 1)] {
            let slots = [Slot { queue: QueueId(queue), seq: Seq(seq), priority: 0, expire_unix_ms: 0 }];
            let publish = Publish {
                exchange: "",
                routing_key: "q",
                properties: b"",
                body: b"canary",
                persistent: true,
                dead_lettered: false,
                slots: &slots,
            };
            wal.publish(GROUP, &publish).unwrap();
        }
        wal.settle(GROUP, Settle { queue: QueueId(1), seq: Seq(1), reason: SettleReason::Ack });
        store.shutdown().unwrap();
    }

    fn files(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                files.extend(self::files(&entry.path()));
            } else {
                files.push((entry.path(), std::fs::read(entry.path()).unwrap()));
            }
        }
        files.sort();
        files
    }

    #[test]
    fn a_stopped_store_is_described_and_not_changed() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let before = files(dir.path());
        let found = inspect(&RealDisk::open_read_only(dir.path()).unwrap()).unwrap();
        assert!(files(dir.path()) == before, "inspection changes nothing");
        assert_eq!(found.damage, None);
        assert!(found.clean && found.end > Lsn::NONE);
        let queues: Vec<_> = found.queues.iter().map(|queue| (queue.queue.0, queue.live)).collect();
        assert_eq!(queues, [(1, 1), (2, 1)]);
        let records: Vec<_> = found.segments.iter().map(|segment| segment.records).collect();
        assert_eq!(records.iter().map(|records| records.publish).sum::<u64>(), 3);
        assert_eq!(records.iter().map(|records| records.settle).sum::<u64>(), 1);
        assert!(found.definitions.iter().any(|(_, key, value)| key.kind == 5 && value == b"value"));
    }

    #[test]
    fn damage_is_reported_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let name = segment_name(SegmentId(1));
        let mut bytes = std::fs::read(dir.path().join(&name)).unwrap();
        let at = bytes.windows(6).position(|window| window == b"canary").unwrap();
        bytes[at] ^= 1;
        std::fs::write(dir.path().join(&name), bytes).unwrap();
        let found = inspect(&RealDisk::open_read_only(dir.path()).unwrap()).unwrap();
        assert_eq!(found.damage.unwrap().segment, SegmentId(1));
    }

    /// The store with what `change` makes of one of its files.
    fn differences(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let path = dir.path().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let found = inspect(&RealDisk::open_read_only(dir.path()).unwrap()).unwrap();
        assert_eq!(found.damage, None);
        found.differences
    }

    #[test]
    fn what_is_derived_is_compared_with_the_log() {
        let name = index_name(SegmentId(1));
        assert_eq!(differences(&name, |_| {}), [""; 0]);
        let cut = differences(&name, |bytes| bytes.truncate(70));
        assert_eq!(cut, ["index file of segment 1: its header does not fit"]);
        // Whole in itself, yet not what the segment says.
        let mut other = SealedSegment { segment: SegmentId(1), end: 0, entries: Vec::new() };
        let lies = differences(&name, |bytes| {
            other.end = u32::from_le_bytes(bytes[40..44].try_into().unwrap());
            let store: [u8; 16] = bytes[16..32].try_into().unwrap();
            *bytes = crate::segment_index::encode(&other, &store);
        });
        assert_eq!(lies, ["index file of segment 1: it lists other messages than the segment holds"]);
    }

    #[test]
    fn without_a_store_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = inspect(&RealDisk::open_read_only(dir.path()).unwrap()).unwrap_err();
        assert!(error.to_string().contains("no store"), "{error}");
    }
}
