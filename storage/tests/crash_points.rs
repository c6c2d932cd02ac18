//! Power cuts at every kind of moment: after any operation of the disk, in the middle of commits, rolls, checkpoints,
//! compaction and recovery, with unsynced sectors kept, lost or torn and names in any order; disks that fail, fill up or
//! rot. `LEDGERMQ_CRASH_POINTS` is how many points are checked, `LEDGERMQ_SEED` where they start; a failure names the seed
//! that shows it again. With the feature `planted-bugs`: that these checks find the bugs they are there for.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use ledgermq_storage::{
    Alarm, GroupId, Lsn, OpenError, Publish, QueueId, Seq, SettleReason, SimDisk, Slot, Store, SyncFailure,
};
use std::sync::Arc;
use support::model::{Contents, History, Message, Model, Operation};
use support::workload::{OpenOutcome, SEGMENT, Setup, open, options, run};
use support::{Random, from_env};

#[test]
fn every_crash_leaves_everything_confirmed_and_nothing_else() {
    let mut setup = Setup::new(from_env("LEDGERMQ_SEED", 1));
    setup.points = from_env("LEDGERMQ_CRASH_POINTS", 10_000);
    let tally = run(&setup).unwrap_or_else(|problem| panic!("{problem}"));
    println!(
        "{} crash points, {} generations, {} operations, {} messages recovered: none lost, none invented",
        tally.points, tally.generations, tally.operations, tally.messages_recovered
    );
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use super::*;
    use ledgermq_storage::PlantedBug;

    fn check(bug: PlantedBug) {
        let mut setup = Setup::new(from_env("LEDGERMQ_SEED", 1));
        setup.points = from_env("LEDGERMQ_CRASH_POINTS", 10_000);
        setup.adjust = Arc::new(move |options| options.planted = Some(bug));
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&setup)));
        match found {
            Ok(Ok(tally)) => panic!("{bug:?} was not found in {} crash points", tally.points),
            Ok(Err(problem)) => println!("{bug:?} was found: {problem}"),
            Err(_) => println!("{bug:?} was found: it broke an invariant"),
        }
    }

    #[test]
    fn a_confirm_before_the_sync_is_found() {
        check(PlantedBug::ConfirmBeforeSync);
    }

    #[test]
    fn a_sync_before_the_write_is_found() {
        check(PlantedBug::SyncBeforeWrite);
    }

    #[test]
    fn a_missing_directory_sync_is_found() {
        check(PlantedBug::NoDirectorySync);
    }

    #[test]
    fn acks_kept_apart_are_found() {
        check(PlantedBug::AcksApart);
    }
}

/// A store on its disk with some messages in it, every one known to the history.
struct Filled {
    disk: SimDisk,
    store: Store,
    history: History,
    now_ms: u64,
}

fn filled(seed: u64, message_count: u64) -> Filled {
    let disk = SimDisk::new();
    let (store, _) = Store::open(Arc::new(disk.clone()), options(seed), &mut |_| {}).unwrap();
    let mut filled = Filled { disk, store, history: History::default(), now_ms: 1000 };
    for n in 1..=message_count {
        filled.publish(n, 500).unwrap();
        if n % 3 == 0 {
            filled.step().unwrap();
        }
        if n % 4 == 0 {
            filled.settle(n / 2);
        }
    }
    filled
}

impl Filled {
    fn publish(&mut self, n: u64, bytes: usize) -> Result<(), ledgermq_storage::AppendError> {
        let message = Arc::new(Message {
            exchange: String::new(),
            routing_key: "q".into(),
            properties: vec![0; 3],
            body: vec![n as u8; bytes],
            persistent: true,
            dead_lettered: false,
        });
        let slots = vec![Slot { queue: QueueId(1), seq: Seq(n), priority: 0, expire_unix_ms: 0 }];
        let publish = Publish {
            exchange: &message.exchange,
            routing_key: &message.routing_key,
            properties: &message.properties,
            body: &message.body,
            persistent: true,
            dead_lettered: false,
            slots: &slots,
        };
        let stored = self.store.wal().publish(GroupId(1), &publish)?;
        self.history.operations.push((stored.lsn, Operation::Publish(message, slots)));
        Ok(())
    }

    fn settle(&mut self, seq: u64) {
        let settle = ledgermq_storage::Settle { queue: QueueId(1), seq: Seq(seq), reason: SettleReason::Ack };
        let lsn = self.store.wal().settle(GroupId(1), settle);
        self.history.operations.push((lsn, Operation::Settle(settle)));
    }

    fn step(&mut self) -> std::io::Result<()> {
        self.store.step(self.now_ms)
    }

    /// What the store holds once everything is durable.
    fn all(&mut self) -> Model {
        self.history.confirm(Lsn(u64::MAX));
        self.history.base.clone()
    }

    /// Lets time pass until everything is synced and vouched for.
    fn come_to_rest(&mut self) {
        for _ in 0..10 {
            self.now_ms += 20;
            self.step().unwrap();
        }
    }
}

fn recover(disk: &SimDisk, seed: u64) -> Result<Contents, OpenOutcome> {
    open(Arc::new(disk.clone()), options(seed)).map(|(_, _, contents)| contents)
}

#[test]
fn a_failed_sync_confirms_nothing_and_its_records_are_whole_or_absent() {
    let mut hit = 0;
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut filled = filled(seed, 20);
        let how =
            random.pick(&[SyncFailure::PagesDropped, SyncFailure::PagesLookClean, SyncFailure::Retryable]);
        filled.disk.fail_sync(1 + random.below(12), how.unwrap());
        let mut failed = false;
        for n in 21..120 {
            filled.publish(n, 400).unwrap();
            filled.now_ms += random.below(12);
            if filled.step().is_err() {
                failed = true;
                break;
            }
        }
        let wal = filled.store.wal();
        let durable = wal.durable();
        if failed {
            hit += 1;
            let status = filled.store.status();
            assert!(status.is_ok_and(|status| status.progress.poisoned), "seed {seed}");
            assert!(
                filled.step().is_err() || wal.durable() == durable,
                "nothing is confirmed after it, seed {seed}"
            );
        }
        // The process stops; its page cache may show more than the disk holds.
        let found = filled.disk.kill();
        let first = recover(&found, seed).unwrap_or_else(|outcome| panic!("seed {seed}: {outcome:?}"));
        filled.history.matching(&first, durable).unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        // What that recovery relied on survives a power cut now.
        let second =
            recover(&found.crash(seed), seed).unwrap_or_else(|outcome| panic!("seed {seed}: {outcome:?}"));
        assert_eq!(second.queues, first.queues, "seed {seed}");
    }
    assert!(hit > 100, "the failure was met {hit} times");
}

#[test]
fn a_full_disk_stops_publishers_and_loses_nothing() {
    for seed in 0..50 {
        let mut random = Random(seed);
        let mut filled = filled(seed, 10);
        filled.come_to_rest();
        let room = random.below(6) * u64::from(SEGMENT) + random.below(u64::from(SEGMENT));
        filled.disk.set_capacity_bytes(Some(filled.disk.used_bytes() + room));
        let mut refused = 0;
        for n in 11..300 {
            match filled.publish(n, 3000) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error, ledgermq_storage::AppendError::NoSpace);
                    refused += 1;
                }
            }
            if n % 5 == 0 {
                filled.settle(n / 5);
            }
            filled.now_ms += 200;
            filled.step().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        assert!(refused > 0, "seed {seed}: the disk was never full");
        let status = filled.store.status().unwrap();
        assert_eq!(status.progress.alarm, Some(Alarm::Disk), "seed {seed}");
        let durable = filled.store.wal().durable();
        let found = filled.disk.crashed_copy(seed);
        let contents = recover(&found, seed).unwrap_or_else(|outcome| panic!("seed {seed}: {outcome:?}"));
        filled
            .history
            .matching(&contents, durable)
            .unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
        // Space returns: service resumes without a restart.
        filled.disk.set_capacity_bytes(None);
        for _ in 0..5 {
            filled.now_ms += 1000;
            filled.step().unwrap();
        }
        filled.publish(1000, 3000).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        filled.come_to_rest();
        assert_eq!(filled.store.status().unwrap().progress.alarm, None, "seed {seed}");
        filled.history.confirm(filled.store.wal().durable());
        assert!(filled.history.operations.is_empty(), "seed {seed}: everything is durable again");
    }
}

/// What recovery may make of a damaged store: a refusal, or exactly what was there.
fn damaged(seed: u64, disk: &SimDisk, expected: &Model, what: &str) -> bool {
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| recover(disk, seed)));
    match opened.unwrap_or_else(|_| panic!("seed {seed}, {what}: recovery panicked")) {
        Err(OpenOutcome::Refused(
            OpenError::Corrupt(_) | OpenError::Io { .. } | OpenError::Version { .. },
        )) => true,
        Err(OpenOutcome::Refused(error)) => panic!("seed {seed}, {what}: {error}"),
        // An index file or record that says that it is damaged: reported, not lost.
        Err(OpenOutcome::Inconsistent(problem)) if problem.contains("damaged") => true,
        Err(OpenOutcome::Inconsistent(problem)) => panic!("seed {seed}, {what}: {problem}"),
        Ok(contents) => {
            if let Some(difference) = contents.difference(expected) {
                panic!("seed {seed}, {what}: silently something else: {difference}");
            }
            contents.unreadable > 0
        }
    }
}

#[test]
fn a_flipped_bit_is_reported_or_harmless() {
    let mut detected = 0;
    for seed in 0..150 {
        let mut random = Random(seed);
        let mut filled = filled(seed, 20 + random.below(200));
        filled.come_to_rest();
        let expected = filled.all();
        for round in 0..4 {
            let disk = filled.disk.crashed_copy(seed);
            let name = random.pick(&disk.names()).unwrap();
            let len = disk.contents(&name).map_or(0, |bytes| bytes.len() as u64);
            let (offset, bit) = (random.below(len), random.below(8) as u8);
            disk.flip_bit(&name, offset, bit);
            let what = format!("round {round}: bit {bit} of byte {offset} of {name}");
            detected += u64::from(damaged(seed, &disk, &expected, &what));
        }
    }
    assert!(detected > 50, "{detected} of 600 flips were noticed");
}

#[test]
fn a_file_cut_short_is_reported_or_harmless() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let mut filled = filled(seed, 20 + random.below(200));
        filled.come_to_rest();
        let expected = filled.all();
        let disk = filled.disk.crashed_copy(seed);
        let name = random.pick(&disk.names()).unwrap();
        let len = disk.contents(&name).map_or(0, |bytes| bytes.len() as u64);
        let cut = random.below(len.max(1));
        disk.truncate(&name, cut);
        damaged(seed, &disk, &expected, &format!("{name} cut from {len} to {cut}"));
    }
}

#[test]
fn an_unreadable_sector_is_an_error_not_an_end() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut filled = filled(seed, 20 + random.below(200));
        filled.come_to_rest();
        let expected = filled.all();
        let disk = filled.disk.crashed_copy(seed);
        let name = random.pick(&disk.names()).unwrap();
        let len = disk.contents(&name).map_or(0, |bytes| bytes.len() as u64);
        let sector = random.below(len.max(1)) / 512 * 512;
        disk.fail_reads(&name, sector, 512);
        match recover(&disk, seed) {
            Ok(contents) => assert_eq!(contents.difference(&expected), None, "seed {seed}, {name} {sector}"),
            Err(OpenOutcome::Refused(_)) => {}
            Err(OpenOutcome::Inconsistent(problem)) => {
                assert!(!problem.contains("said"), "seed {seed}, {name} {sector}: {problem}");
            }
        }
    }
}
