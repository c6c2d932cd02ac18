//! How fast the log takes messages on the disk at hand: bodies of 16 B, 1 KiB and 64 KiB with at most 1, 100 and 1000 messages
//! not yet synced, beside the least that anybody would have to do for them, which is group commit and nothing else; the
//! staging buffer alone; and recovery's scan. Set `TMPDIR` to the disk to be measured.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ledgermq_storage::record_encode::{Stamp, encode_publish};
use ledgermq_storage::{
    GroupId, Lsn, Options, Publish, QueueId, RealDisk, Seq, SettleReason, Slot, Store, Wal, record,
};
use std::collections::VecDeque;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

fn options() -> Options {
    let start = Instant::now();
    let mut options = Options::new(Arc::new(|| 1), Arc::new(move || start.elapsed().as_millis() as u64));
    options.disk_low_bytes = 0;
    options
}

/// A store whose durable position can be waited for.
struct Bench {
    store: Store,
    wal: Wal,
    durable: Arc<(Mutex<Lsn>, Condvar)>,
    seq: u64,
}

impl Bench {
    fn open(dir: &std::path::Path) -> Bench {
        let disk = Arc::new(RealDisk::open(dir).expect("the directory can be made"));
        let (store, _) = Store::open(disk, options(), &mut |_| {}).expect("a new store opens");
        let durable = Arc::new((Mutex::new(Lsn::NONE), Condvar::new()));
        let told = Arc::clone(&durable);
        store.watch(Box::new(move |progress| {
            assert!(!progress.poisoned, "the disk works");
            *told.0.lock().expect("no thread panics") = progress.durable;
            told.1.notify_one();
        }));
        let wal = store.wal();
        Bench { store, wal, durable, seq: 0 }
    }

    fn publish(&mut self, body: &[u8]) -> Lsn {
        self.seq += 1;
        let slots = [Slot { queue: QueueId(1), seq: Seq(self.seq), priority: 0, expire_unix_ms: 0 }];
        let publish = Publish {
            exchange: "",
            routing_key: "queue",
            properties: &[0x10, 0, 2],
            body,
            persistent: true,
            dead_lettered: false,
            slots: &slots,
        };
        self.wal.publish(GroupId(1), &publish).expect("there is space").lsn
    }

    /// Waits until `lsn` is durable; returns how far the log is then.
    fn wait(&self, lsn: Lsn) -> Lsn {
        let guard = self.durable.0.lock().expect("no thread panics");
        *self.durable.1.wait_while(guard, |durable| *durable <= lsn).expect("no thread panics")
    }
}

/// Messages settled at a time, behind those that are on their way: segments become free and are used again.
const SETTLED_AT_A_TIME: u64 = 100;

impl Bench {
    /// Publishes `count` messages with at most `window` of them not yet durable, and settles them once they are.
    fn run(&mut self, count: u64, window: u64, body: &[u8]) {
        let first = self.seq + 1;
        let (last, mut settled) = (self.seq + count, first);
        let mut waiting = VecDeque::new();
        while self.seq < last || !waiting.is_empty() {
            while self.seq < last && (waiting.len() as u64) < window {
                let lsn = self.publish(body);
                waiting.push_back(lsn);
            }
            let durable = self.wait(*waiting.front().expect("the window is above 0"));
            while waiting.front().is_some_and(|lsn| *lsn < durable) {
                waiting.pop_front();
            }
            let behind = self.seq - waiting.len() as u64;
            if behind + 1 >= settled + SETTLED_AT_A_TIME || behind == last {
                let range = (Seq(settled), Seq(behind));
                self.wal.settle_range(GroupId(1), QueueId(1), range, SettleReason::Ack);
                settled = behind + 1;
            }
        }
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append_and_sync");
    group.sample_size(20).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    group.throughput(Throughput::Elements(1));
    for (name, bytes) in [("16B", 16), ("1KiB", 1024), ("64KiB", 64 * 1024)] {
        for window in [1, 100, 1000] {
            let dir = tempfile::tempdir().expect("a directory for the store");
            let mut bench = Bench::open(&dir.path().join("data"));
            let mut bare = Bare::open();
            let body = vec![7; bytes];
            group.bench_function(format!("{name}/{window}"), |bencher| {
                bencher.iter_custom(|count| timed(|| bench.run(count, window, &body)));
            });
            group.bench_function(format!("{name}/{window}/bare"), |bencher| {
                bencher.iter_custom(|count| timed(|| bare.run(count, window, &body)));
            });
            bench.store.shutdown().expect("the store closes");
        }
    }
    group.finish();
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Bytes of the file that [`Bare`] writes round and round.
const BARE_FILE_BYTES: usize = 64 << 20;
/// What the log adds to a body, about: the head of its record, names, properties and place in a queue.
const RECORD_BYTES: usize = 48;

/// Group commit and nothing else: records with a checksum, copied into what a thread of its own writes over blocks that
/// are already there, and syncs. What is written is never read again.
struct Bare {
    shared: Arc<BareShared>,
    written: u64,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct BareShared {
    state: Mutex<BareState>,
    /// Wakes the writer.
    staged: Condvar,
    /// Wakes the publisher.
    synced: Condvar,
}

#[derive(Default)]
struct BareState {
    records: Vec<u8>,
    count: u64,
    durable: u64,
    writer_sleeps: bool,
    ends: bool,
}

impl Bare {
    fn open() -> Bare {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(&vec![1; BARE_FILE_BYTES], 0).expect("there is space");
        file.sync_all().expect("the disk works");
        let shared = Arc::new(BareShared::default());
        let theirs = Arc::clone(&shared);
        let writer = Some(std::thread::spawn(move || theirs.write(&file)));
        Bare { shared, written: 0, writer }
    }

    fn run(&mut self, count: u64, window: u64, body: &[u8]) {
        let last = self.written + count;
        let mut durable = self.written;
        let record_head = [7; RECORD_BYTES - 4];
        while durable < last {
            while self.written < last && self.written < durable + window {
                let checksum = crc32fast::hash(body);
                let mut state = self.shared.state.lock().expect("no thread panics");
                state.records.extend_from_slice(&record_head);
                state.records.extend_from_slice(&checksum.to_le_bytes());
                state.records.extend_from_slice(body);
                state.count += 1;
                self.written += 1;
                if std::mem::take(&mut state.writer_sleeps) {
                    self.shared.staged.notify_one();
                }
            }
            let state = self.shared.state.lock().expect("no thread panics");
            let synced = self.shared.synced.wait_while(state, |state| state.durable == durable);
            durable = synced.expect("no thread panics").durable;
        }
    }
}

impl BareShared {
    fn write(&self, file: &File) {
        let (mut batch, mut at) = (Vec::new(), 0);
        loop {
            let mut state = self.state.lock().expect("no thread panics");
            while state.records.is_empty() && !state.ends {
                state.writer_sleeps = true;
                state = self.staged.wait(state).expect("no thread panics");
            }
            if state.ends {
                return;
            }
            std::mem::swap(&mut state.records, &mut batch);
            let count = state.count;
            drop(state);
            // Whole blocks, as the log writes them.
            batch.resize(batch.len().next_multiple_of(4096), 0);
            if at + batch.len() > BARE_FILE_BYTES {
                at = 0;
            }
            file.write_all_at(&batch, at as u64).expect("there is space");
            file.sync_data().expect("the disk works");
            at += batch.len();
            batch.clear();
            self.state.lock().expect("no thread panics").durable = count;
            self.synced.notify_one();
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.shared.state.lock().expect("no thread panics").ends = true;
        self.shared.staged.notify_one();
        self.writer.take().map(JoinHandle::join).transpose().expect("the writer does not panic");
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode_and_decode");
    for (name, bytes) in [("16B", 16), ("1KiB", 1024)] {
        let body = vec![7; bytes];
        let slots = [Slot { queue: QueueId(1), seq: Seq(1), priority: 0, expire_unix_ms: 0 }];
        let publish = Publish {
            exchange: "",
            routing_key: "queue",
            properties: &[0x10, 0, 2],
            body: &body,
            persistent: true,
            dead_lettered: false,
            slots: &slots,
        };
        let stamp = Stamp { group: GroupId(1), number: 1, unix_ms: 1, seed: 7 };
        let mut into = Vec::new();
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("encode/{name}"), |bencher| {
            bencher.iter(|| {
                into.clear();
                encode_publish(&mut into, &stamp, black_box(&publish));
            });
        });
        group.bench_function(format!("decode/{name}"), |bencher| {
            bencher.iter(|| record::decode(black_box(&into), 7).is_ok());
        });
    }
    group.finish();
}

/// Opening a store whose index was never saved: every record is read again.
fn recovery(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("recovery_scan");
    group.sample_size(10).measurement_time(Duration::from_secs(3));
    for (name, bytes, count) in [("16B", 16, 200_000u64), ("1KiB", 1024, 50_000)] {
        group.throughput(Throughput::Elements(count));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    let dir = tempfile::tempdir().expect("a directory for the store");
                    let mut bench = Bench::open(&dir.path().join("data"));
                    let body = vec![7; bytes];
                    let last = (0..count).map(|_| bench.publish(&body)).max().unwrap_or_default();
                    bench.wait(last);
                    dir
                },
                |dir| {
                    let disk = Arc::new(RealDisk::open(&dir.path().join("data")).expect("it is there"));
                    let opened = Store::open(disk, options(), &mut |_| {}).expect("the store opens");
                    assert_eq!(opened.1.statistics.messages, count);
                    dir
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, encode, append, recovery);
criterion_main!(benches);
