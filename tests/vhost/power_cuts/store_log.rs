//! The real store under a vhost, on a simulated disk and without threads: every step of it happens when the test says so.

use ledgermq::message::Message;
use ledgermq::vhost::input::{Effect, Input, LogProgress};
use ledgermq_storage::{
    Disk, GroupId, Lsn, Options, QueueId, Reader, Recovered, Seq, SimDisk, Store, Wanted,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(super) const GROUP: GroupId = GroupId(1);

/// Opens the store on a disk. Segments are small, so that a test goes through many.
pub(super) fn open(disk: &SimDisk, seed: u64) -> (Store, Recovered) {
    let counter = AtomicU64::new(seed);
    let mut options = Options::new(Arc::new(|| 1_700_000_000_000), Arc::new(|| 0));
    options.segment_bytes = 64 * 1024;
    options.disk_low_bytes = 0;
    options.threads = false;
    options.checkpoint_bytes = 96 * 1024;
    options.checkpoint_ms = 50;
    options.export_bytes = 128 * 1024;
    options.export_ms = 100;
    options.random = Arc::new(move || {
        counter.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    });
    Store::open(Arc::new(disk.clone()), options, &mut |_| {}).expect("every crash can be recovered from")
}

/// Whether a file of the store is of this kind.
fn is_of(name: &str, kind: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension == kind)
}

/// Removes what a store can do without: the indexes of segments, and of the whole index the newest copy, or all of them
/// where the log is there from its beginning. (The database is a further copy, which simulated disks do not have.)
pub(super) fn remove_index(disk: &SimDisk) {
    let mut names = disk.names();
    names.sort_unstable();
    let has_beginning = names.iter().any(|name| name == "wal/0000000000000001.seg");
    let mut copies: Vec<_> = names.iter().filter(|name| is_of(name, "ckpt")).collect();
    if !has_beginning {
        copies.drain(..copies.len().saturating_sub(1));
        if names.iter().filter(|name| is_of(name, "ckpt")).count() < 2 {
            copies.clear();
        }
    }
    let of_segments = names.iter().filter(|name| is_of(name, "idx"));
    for name in of_segments.chain(copies) {
        disk.remove(name).expect("a file that is there can be removed");
    }
}

/// How far the store is.
pub(super) fn progress(store: &Store) -> LogProgress {
    let progress = store.status().expect("the disk is on").progress;
    LogProgress { durable: progress.durable, written: progress.written, sealed_below: progress.sealed_below }
}

/// Does what a vhost asks of the disk.
pub(super) fn answer(reader: &Reader, read: Effect) -> Input {
    match read {
        Effect::ReadBodies { queue, wanted } => {
            Input::Bodies { queue, bodies: bodies(reader, queue, &wanted) }
        }
        Effect::ReadEntries { queue, run } => {
            let entries = reader.entries(queue, &run).map_err(|error| error.to_string());
            Input::Entries { queue, run, entries }
        }
        other => panic!("not asked for here: {other:?}"),
    }
}

pub(super) type Bodies = Vec<(Seq, Result<Arc<Message>, String>)>;

pub(super) fn bodies(reader: &Reader, queue: QueueId, wanted: &[(Seq, Lsn, u32)]) -> Bodies {
    let of = |&(seq, lsn, record_bytes): &(Seq, Lsn, u32)| Wanted { lsn, record_bytes, queue, seq };
    let asked: Vec<_> = wanted.iter().map(of).collect();
    let read = reader
        .messages(&asked)
        .into_iter()
        .map(|found| found.map(|stored| Arc::new(stored.into())).map_err(|error| error.to_string()));
    wanted.iter().map(|(seq, ..)| *seq).zip(read).collect()
}
