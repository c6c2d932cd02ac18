//! The store with its own threads on a real file system: confirms reach watchers, everything is found again after a clean
//! stop, after a drop, and twice in a row; a second process is refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use ledgermq_storage::{
    DefinitionKey, DirLock, GroupId, Lsn, OpenError, Options, Progress, Publish, QueueId, RealDisk,
    Recovered, Seq, Settle, SettleReason, Slot, Store, Wal, Wanted,
};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

const GROUP: GroupId = GroupId(1);

fn open(dir: &Path) -> (Store, Recovered, DirLock) {
    let disk = RealDisk::open(dir).unwrap();
    let lock = DirLock::acquire(dir).unwrap();
    let start = Instant::now();
    let mut options = Options::new(Arc::new(|| 1), Arc::new(move || start.elapsed().as_millis() as u64));
    options.segment_bytes = 1024 * 1024;
    options.disk_low_bytes = 0;
    let (store, recovered) = Store::open(Arc::new(disk), options, &mut |_| {}).unwrap();
    (store, recovered, lock)
}

/// Waits for the log to get somewhere.
struct Watch(Arc<(Mutex<Progress>, Condvar)>);

impl Watch {
    fn on(store: &Store) -> Watch {
        let shared = Arc::new((Mutex::new(Progress::default()), Condvar::new()));
        let told = Arc::clone(&shared);
        store.watch(Box::new(move |progress| {
            *told.0.lock().unwrap() = progress;
            told.1.notify_all();
        }));
        Watch(shared)
    }

    fn until(&self, reached: impl Fn(&Progress) -> bool) {
        let guard = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(guard, |progress| !reached(progress) && !progress.poisoned).unwrap());
    }
}

fn publish(wal: &Wal, queue: u32, seq: u64, body: &[u8]) -> Lsn {
    let slots = [Slot { queue: QueueId(queue), seq: Seq(seq), priority: 0, expire_unix_ms: 0 }];
    let publish = Publish {
        exchange: "x",
        routing_key: "k",
        properties: b"p",
        body,
        persistent: true,
        dead_lettered: false,
        slots: &slots,
    };
    wal.publish(GROUP, &publish).unwrap().lsn
}

fn bodies(store: &Store, recovered: &Recovered, queue: u32) -> Vec<Vec<u8>> {
    let reader = store.reader();
    let Some(found) = recovered.queues.iter().find(|found| found.id == QueueId(queue)) else {
        return Vec::new();
    };
    let mut bodies = Vec::new();
    for run in &found.runs {
        let entries = reader.entries(found.id, run).unwrap();
        let live = entries.into_iter().filter(|entry| !found.settled.contains(entry.seq));
        let wanted: Vec<Wanted> = live
            .map(|entry| Wanted {
                lsn: entry.lsn,
                record_bytes: entry.record_bytes,
                queue: found.id,
                seq: entry.seq,
            })
            .collect();
        bodies.extend(reader.messages(&wanted).into_iter().map(|message| message.unwrap().body.to_vec()));
    }
    bodies
}

#[test]
fn confirmed_messages_are_found_after_a_clean_stop_and_after_a_drop() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let (store, recovered, lock) = open(&dir);
    assert!(recovered.clean && recovered.queues.is_empty() && recovered.definitions.is_empty());
    assert!(matches!(DirLock::acquire(&dir), Err(OpenError::Locked { .. })));
    let watch = Watch::on(&store);
    let publishers: Vec<_> = (1..=4)
        .map(|queue| {
            let wal = store.wal();
            std::thread::spawn(move || {
                let places =
                    (1..=2000).map(|seq: u64| publish(&wal, queue, seq, &seq.to_le_bytes().repeat(40)));
                places.max().unwrap()
            })
        })
        .collect();
    let last = publishers.into_iter().map(|publisher| publisher.join().unwrap()).max().unwrap();
    let key = DefinitionKey { kind: 1, name: b"queue".to_vec() };
    let defined = store.wal().define(GROUP, &[(key.clone(), Some(b"durable".to_vec()))]);
    watch.until(|progress| progress.durable > last && progress.durable > defined);
    for seq in 1..=1000 {
        store.wal().settle(GROUP, Settle { queue: QueueId(1), seq: Seq(seq), reason: SettleReason::Ack });
    }
    store.shutdown().unwrap();
    drop(lock);

    let (store, recovered, lock) = open(&dir);
    assert!(recovered.clean);
    assert_eq!(recovered.statistics.messages, 7000);
    assert_eq!(recovered.definitions, [(GROUP, key, b"durable".to_vec())]);
    let expected: Vec<_> = (1001..=2000).map(|seq: u64| seq.to_le_bytes().repeat(40)).collect();
    assert_eq!(bodies(&store, &recovered, 1), expected);
    let watch = Watch::on(&store);
    let lsn = publish(&store.wal(), 1, 2001, b"after");
    watch.until(|progress| progress.durable > lsn);
    drop(store);
    drop(lock);

    for _ in 0..2 {
        let (store, recovered, _lock) = open(&dir);
        assert!(!recovered.clean, "nobody said goodbye");
        assert_eq!(recovered.statistics.messages, 7001);
        assert_eq!(bodies(&store, &recovered, 1).last().map(Vec::as_slice), Some(&b"after"[..]));
    }
}

#[test]
fn settles_alone_become_durable_soon() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _lock) = open(&dir.path().join("data"));
    let watch = Watch::on(&store);
    let wal = store.wal();
    let lsn = wal.settle(GROUP, Settle { queue: QueueId(1), seq: Seq(1), reason: SettleReason::Ack });
    watch.until(|progress| progress.durable > lsn);
    let lsn = wal.settle(GROUP, Settle { queue: QueueId(1), seq: Seq(2), reason: SettleReason::Ack });
    wal.flush_written();
    watch.until(|progress| progress.written > lsn);
    watch.until(|progress| progress.durable > lsn);
    let status = store.status().unwrap();
    assert!(status.segment_count >= 1 && status.progress.alarm.is_none());
    store.shutdown().unwrap();
}

#[test]
fn what_stands_still_has_room_again_once_it_is_indexed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, _lock) = open(&dir.path().join("data"));
    let watch = Watch::on(&store);
    let wal = store.wal();
    let body = vec![1; 100_000];
    let mut last = Lsn::NONE;
    let mut seq = 0;
    while wal.has_room() && seq < 2000 {
        seq += 1;
        last = publish(&wal, 1, seq, &body);
    }
    let asked = wal.clone();
    watch.until(|progress| progress.durable > last);
    watch.until(|_| asked.has_room());
    store.shutdown().unwrap();
}

/// A backup by hard links (`cp -al`) stays what it was when its segments are free to be used again.
#[test]
fn a_segment_with_a_second_name_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let backup = dir.path().join("backup");
    let mut before = Vec::new();
    let body = vec![1; 100_000];
    for start in 0..4 {
        let (store, _, _lock) = open(&data);
        let watch = Watch::on(&store);
        let seqs = start * 30..(start + 1) * 30;
        let last = seqs.clone().map(|seq| publish(&store.wal(), 1, seq, &body)).max().unwrap();
        watch.until(|progress| progress.durable > last);
        if start == 0 {
            std::fs::hard_link(data.join("wal/0000000000000001.seg"), &backup).unwrap();
            before = std::fs::read(&backup).unwrap();
        }
        for seq in seqs {
            store.wal().settle(GROUP, Settle { queue: QueueId(1), seq: Seq(seq), reason: SettleReason::Ack });
        }
        store.shutdown().unwrap();
    }
    assert!(!data.join("wal/0000000000000001.seg").exists(), "the segment was freed");
    assert!(std::fs::read(&backup).unwrap() == before, "the backup is as it was made");
}

#[test]
fn a_range_leaves_its_queue_and_times_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let ticks = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let open = || {
        let disk = RealDisk::open(&dir).unwrap();
        let lock = DirLock::acquire(&dir).unwrap();
        let start = Instant::now();
        let unix_ms = {
            let ticks = Arc::clone(&ticks);
            move || ticks.load(std::sync::atomic::Ordering::SeqCst)
        };
        let mut options =
            Options::new(Arc::new(unix_ms), Arc::new(move || start.elapsed().as_millis() as u64));
        options.segment_bytes = 1024 * 1024;
        options.disk_low_bytes = 0;
        let (store, recovered) = Store::open(Arc::new(disk), options, &mut |_| {}).unwrap();
        (store, recovered, lock)
    };
    let (store, _, lock) = open();
    let watch = Watch::on(&store);
    // Ten stretches of time, each durable before the next begins.
    for tick in 0..10 {
        ticks.store(1000 * tick, std::sync::atomic::Ordering::SeqCst);
        let last = (0..100).map(|at| publish(&store.wal(), 1, tick * 100 + at, &[7; 4000])).max().unwrap();
        watch.until(|progress| progress.durable > last);
    }
    store.wal().settle_range(GROUP, QueueId(1), (Seq(0), Seq(149)), SettleReason::Expired);
    store.shutdown().unwrap();
    drop(lock);

    let (store, recovered, _lock) = open();
    let queue = &recovered.queues[0];
    assert_eq!((queue.live, queue.next_seq, queue.runs.len() > 2), (850, Seq(1000), true));
    assert!((0..1000).all(|seq| queue.settled.contains(Seq(seq)) == (seq < 150)));
    let reader = store.reader();
    for (unix_ms, expected) in [(0, 0), (1, 100), (1000, 100), (5001, 600), (9000, 900)] {
        let found = reader.first_since(queue.id, &queue.runs, unix_ms).unwrap();
        // What was settled may be found or not; what lives is.
        assert!(
            found.is_some_and(|found| found.0 == expected || found.0 < 150 && expected < 150),
            "{unix_ms}: {found:?}"
        );
    }
    assert_eq!(reader.first_since(queue.id, &queue.runs, 9001), Ok(None));
    let last = queue.runs.last().unwrap();
    assert_eq!(reader.time_of(queue.id, last, last.last), Ok(9000));
}
