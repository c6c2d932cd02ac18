//! The end of the log, once it is known: made durable, and the files behind it tidied up.

use super::CHUNK_BYTES;
use super::segments::{Candidate, LogSegment};
use crate::disk::{Disk, FileId};
use crate::ids::{Lsn, SegmentId};
use crate::limits::PAGE_BYTES;
use crate::prepare::{Leftovers, PREPARE_NAME, RESERVE_NAME, remove_if_there};
use crate::segment::{WAL_DIR, segment_name};
use std::io;
use tracing::info;

/// Rewrites the header page of the last segment and everything in it that nothing vouches for, then syncs.
pub(super) fn make_tail_durable(
    disk: &dyn Disk,
    last: &LogSegment,
    end: u32,
    witness: Lsn,
) -> io::Result<()> {
    let from = if witness.segment() == last.id { witness.offset().max(PAGE_BYTES) } else { PAGE_BYTES };
    let file = disk.open(&segment_name(last.id))?;
    let rewritten = rewrite(disk, file, 0, PAGE_BYTES)
        .and_then(|()| rewrite(disk, file, from, end))
        .and_then(|()| disk.sync(file));
    disk.close(file);
    rewritten?;
    disk.sync_dir(WAL_DIR)
}

fn rewrite(disk: &dyn Disk, file: FileId, from: u32, to: u32) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let count = ((to - at) as usize).min(CHUNK_BYTES);
        let mut bytes = vec![0; count];
        if disk.read_at(file, u64::from(at), &mut bytes)? != count {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        disk.write_at(file, u64::from(at), &bytes)?;
        at += count as u32;
    }
    Ok(())
}

/// Keeps what the preparer can use and removes what it left half done.
pub(super) fn tidy(
    disk: &dyn Disk,
    segment_bytes: u32,
    last: SegmentId,
    unused: &[Candidate],
) -> io::Result<Leftovers> {
    remove_if_there(disk, PREPARE_NAME)?;
    let mut leftovers = Leftovers::default();
    for candidate in unused {
        if candidate.id.0 == last.0 + 1 && candidate.size == u64::from(segment_bytes) {
            leftovers.spare = true;
        } else {
            info!(segment = %candidate.id, "a segment that was never used is removed");
            disk.remove(&segment_name(candidate.id))?;
        }
    }
    let reserve = disk.list(WAL_DIR)?.into_iter().find(|(name, _)| RESERVE_NAME.ends_with(name.as_str()));
    match reserve {
        Some((_, size)) if size == u64::from(segment_bytes) => leftovers.reserve = true,
        Some(_) => disk.remove(RESERVE_NAME)?,
        None => {}
    }
    // The spare's name must be durable before it is written to; it may stem from a rename just before the crash.
    disk.sync_dir(WAL_DIR)?;
    Ok(leftovers)
}
