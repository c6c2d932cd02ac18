//! Compares what is derived from the log with the log: index files with their segments, and what each export amounts to
//! once the log behind it is replayed. A difference costs no message, since all of it can be made again; but it is a
//! bug or a disk that changes bytes, and somebody should know.

use super::{IndexReplay, Inspection, QueueInspection, queues};
use crate::disk::{Disk, FileId};
use crate::error::OpenError;
use crate::export;
use crate::identity::StoreIdentity;
use crate::ids::{Lsn, QueueId, SegmentId};
use crate::index::{Index, SegmentState};
use crate::recovery;
use crate::run::IndexEntry;
use crate::segment::segment_name;
use crate::segment_index::{self, IndexFileError, index_name};
use crate::segment_scan;
use std::collections::BTreeSet;

/// Notes in `found` what differs. `index` is what the whole log amounts to; the log was found without damage.
pub(super) fn compare(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    index: &Index,
    found: &mut Inspection,
) -> Result<(), OpenError> {
    for applied in export::list(disk).map_err(OpenError::io("listing the exports"))? {
        if let Some(problem) = export_problem(disk, identity, applied, index, &found.queues)? {
            found.differences.push(format!("export {}: {problem}", export::name(applied)));
        }
    }
    for (segment, state) in index.segments() {
        if let Some(problem) = index_file_problem(disk, identity, segment, state)? {
            found.differences.push(format!("index file of segment {segment}: {problem}"));
        }
    }
    Ok(())
}

/// Why an export does not lead to where the log leads.
fn export_problem(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    applied: Lsn,
    index: &Index,
    expected: &[QueueInspection],
) -> Result<Option<String>, OpenError> {
    let exported = match export::read(disk, applied, &identity.uuid) {
        Ok(exported) => exported,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let mut replay = IndexReplay(exported);
    match recovery::read(disk, identity, applied, &mut replay, &mut |_| {}) {
        Ok(_) => {}
        Err(OpenError::Corrupt(damage)) => return Ok(Some(format!("the log behind it: {damage}"))),
        Err(error) => return Err(error),
    }
    let replayed = replay.0;
    if !index.definitions().eq(replayed.definitions()) {
        return Ok(Some("it leads to other definitions".to_owned()));
    }
    // What a purge has left is counted when somebody needs the number, and not by the log.
    let uncounted: BTreeSet<QueueId> =
        [index, &replayed].into_iter().flat_map(Index::recounts).map(|(queue, _)| queue).collect();
    let counted = |queues: &[QueueInspection]| -> Vec<QueueInspection> {
        queues.iter().filter(|queue| !uncounted.contains(&queue.queue)).copied().collect()
    };
    let (expected, replayed) = (counted(expected), counted(&queues(&replayed)));
    let differing = expected.iter().find(|queue| !replayed.contains(queue));
    let differing = differing.or_else(|| replayed.iter().find(|queue| !expected.contains(queue)));
    Ok(differing.map(|queue| format!("it leads to another state of queue {}", queue.queue)))
}

/// Why an index file is not what its segment says. One that is not there is made when it is needed.
fn index_file_problem(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    segment: SegmentId,
    state: &SegmentState,
) -> Result<Option<String>, OpenError> {
    let listed = match listed_entries(disk, identity, segment, state.end) {
        Ok(listed) => listed,
        Err(IndexFileError::Missing) => return Ok(None),
        Err(IndexFileError::Damaged(problem)) => return Ok(Some(problem.to_owned())),
        Err(IndexFileError::Io(error)) => {
            return Err(OpenError::io(format!("reading the index file of segment {segment}"))(error));
        }
    };
    let Ok(file) = disk.open(&segment_name(segment)) else { return Ok(None) };
    let scanned = segment_scan::entries(disk, file, segment, identity, Some(state.end));
    disk.close(file);
    Ok(match scanned {
        Ok(sealed) => {
            let mut entries = sealed.entries;
            entries.sort_by_key(order);
            (entries != listed).then(|| "it lists other messages than the segment holds".to_owned())
        }
        // The walk over the segment reports it.
        Err(_) => None,
    })
}

fn listed_entries(
    disk: &dyn Disk,
    identity: &StoreIdentity,
    segment: SegmentId,
    end: u32,
) -> Result<Vec<IndexEntry>, IndexFileError> {
    let file = disk.open(&index_name(segment))?;
    let entries = read_entries(disk, file, identity, segment, end);
    disk.close(file);
    entries
}

fn read_entries(
    disk: &dyn Disk,
    file: FileId,
    identity: &StoreIdentity,
    segment: SegmentId,
    end: u32,
) -> Result<Vec<IndexEntry>, IndexFileError> {
    let directory = segment_index::read_directory(disk, file, segment, &identity.uuid)?;
    if directory.end != end {
        return Err(IndexFileError::Damaged("it ends elsewhere than the segment"));
    }
    let mut entries = Vec::new();
    for row in &directory.rows {
        let stored = segment_index::read_entries(disk, file, segment, row)?;
        let (queue, priority) = (row.queue, row.priority);
        entries.extend(stored.into_iter().map(|stored| IndexEntry { queue, priority, stored }));
    }
    entries.sort_by_key(order);
    Ok(entries)
}

fn order(entry: &IndexEntry) -> (Lsn, QueueId) {
    (entry.stored.lsn, entry.queue)
}
