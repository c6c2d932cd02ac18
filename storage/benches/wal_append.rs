//! How fast the log takes messages on the disk at hand: bodies of 16 B, 1 KiB and 64 KiB with 1, 100 and 1000 messages
//! between two waits for the sync, beside the least that anybody would have to do for them: a copy, a write into blocks that
//! are already written, and a sync; the staging buffer alone; and recovery's scan. Set `TMPDIR` to the disk to be measured.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use ledgermq_storage::record_encode::{Stamp, encode_publish};
use ledgermq_storage::{GroupId, Lsn, Options, Publish, QueueId, RealDisk, Seq, Slot, Store, Wal, record};
use std::fs::OpenOptions;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Condvar, Mutex};
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

    fn wait(&self, lsn: Lsn) {
        let guard = self.durable.0.lock().expect("no thread panics");
        drop(self.durable.1.wait_while(guard, |durable| *durable <= lsn).expect("no thread panics"));
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append_and_sync");
    group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    for (name, bytes) in [("16B", 16), ("1KiB", 1024), ("64KiB", 64 * 1024)] {
        for outstanding in [1, 100, 1000] {
            let dir = tempfile::tempdir().expect("a directory for the store");
            let mut bench = Bench::open(&dir.path().join("data"));
            let body = vec![7; bytes];
            group.throughput(Throughput::Elements(outstanding));
            group.bench_function(format!("{name}/{outstanding}"), |bencher| {
                bencher.iter(|| {
                    let mut last = Lsn::NONE;
                    for _ in 0..outstanding {
                        last = bench.publish(&body);
                    }
                    bench.wait(last);
                });
            });
            bench.store.shutdown().expect("the store closes");
            bare(&mut group, &format!("{name}/{outstanding}/bare"), bytes, outstanding);
        }
    }
    group.finish();
}

/// Bytes of the file that [`bare`] writes round and round.
const BARE_FILE_BYTES: usize = 64 << 20;
/// What the log adds to a body, about: the head of its record, names, properties and place in a queue.
const RECORD_BYTES: usize = 48;

/// The same bytes without a log: copied, written over what the file holds, synced.
fn bare(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, body_bytes: usize, outstanding: u64) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().write_all_at(&vec![1; BARE_FILE_BYTES], 0).expect("there is space");
    file.as_file().sync_all().expect("the disk works");
    let file = OpenOptions::new().write(true).open(file.path()).expect("it is there");
    let record = vec![7; RECORD_BYTES + body_bytes];
    let (mut batch, mut at) = (Vec::new(), 0);
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            batch.clear();
            for _ in 0..outstanding {
                batch.extend_from_slice(black_box(&record));
            }
            // Whole blocks, as the log writes them.
            batch.resize(batch.len().next_multiple_of(4096), 0);
            if at + batch.len() > BARE_FILE_BYTES {
                at = 0;
            }
            file.write_all_at(&batch, at as u64).expect("there is space");
            file.sync_data().expect("the disk works");
            at += batch.len();
        });
    });
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
