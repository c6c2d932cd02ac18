//! Confirms come after syncs, whatever the order of asking; a failed disk stops everything; a full one stops publishes.

use super::*;
use crate::error::AppendError;
use crate::id_blocks::Ids;
use crate::ids::{GroupId, QueueId, Seq};
use crate::prepare::Leftovers;
use crate::record::{Publish, Settle, SettleReason, Slot};
use crate::segment::{SEGMENT_HEADER_BYTES, segment_name};
use crate::sim_disk::{SimDisk, SyncFailure};
use crate::staging::StagingSettings;
use crate::wal::{Alarm, Wal};
use std::sync::Mutex;

const SEGMENT: u32 = 64 * 1024;

struct Rig {
    disk: SimDisk,
    shared: Arc<Shared>,
    wal: Wal,
    preparer: Arc<Preparer>,
    committer: Committer,
    now: u64,
    seq: u64,
}

fn rig_on(disk: SimDisk, disk_low_bytes: u64) -> Rig {
    disk.create_dir("wal").unwrap();
    let mut options = Options::new(Arc::new(|| 1), Arc::new(|| 0));
    options.segment_bytes = SEGMENT;
    options.disk_low_bytes = disk_low_bytes;
    options.random = Arc::new(|| 99);
    let pool = BufferPool::new(1 << 20);
    let settings = StagingSettings {
        seed: 7,
        segment_bytes: SEGMENT,
        unix_ms: Arc::clone(&options.unix_ms),
        pool: Arc::clone(&pool),
        acks_apart: false,
    };
    let staging = Staging::new(settings, SegmentId(1), 1);
    let ids = Ids::after(QueueId(0), GroupId(0), None);
    let shared = Arc::new(Shared::new(staging, Lsn::NONE, ids, 1 << 20));
    let on: Arc<dyn Disk> = Arc::new(disk.clone());
    let preparer =
        Preparer::new(Arc::clone(&on), Arc::clone(&shared), &options, SegmentId(1), Leftovers::default())
            .unwrap();
    let preparer = Arc::new(preparer);
    let end = LogEnd { segment: SegmentId(0), offset: 0, chain: 0 };
    let committer =
        Committer::new(on, Arc::clone(&shared), Arc::clone(&preparer), pool, [1; 16], &options, end);
    Rig { disk, wal: Wal::new(Arc::clone(&shared)), shared, preparer, committer, now: 1000, seq: 0 }
}

fn rig() -> Rig {
    let mut rig = rig_on(SimDisk::new(), 0);
    rig.start();
    rig
}

impl Rig {
    fn start(&mut self) {
        while !self.committer.start().unwrap() {
            assert!(self.preparer.work(self.now).unwrap(), "a segment can be prepared");
        }
    }

    fn publish(&mut self, bytes: usize) -> Result<Lsn, AppendError> {
        self.seq += 1;
        let slots = [Slot { queue: QueueId(1), seq: Seq(self.seq), priority: 0, expire_unix_ms: 0 }];
        let body = vec![7; bytes];
        let publish = Publish {
            exchange: "",
            routing_key: "q",
            properties: b"",
            body: &body,
            persistent: true,
            dead_lettered: false,
            slots: &slots,
        };
        self.wal.publish(GroupId(1), &publish).map(|stored| stored.lsn)
    }

    fn settle(&mut self, seq: u64) -> Lsn {
        self.wal.settle(GroupId(1), Settle { queue: QueueId(1), seq: Seq(seq), reason: SettleReason::Ack })
    }

    /// Steps until the committer would sleep; the preparer works in between.
    fn run(&mut self) -> Next {
        loop {
            while self.preparer.work(self.now).unwrap() {}
            match self.committer.step(self.now).unwrap() {
                Next::Again => {}
                Next::Sleep { waits: Waits::Segment, .. } if self.preparer.work(self.now).unwrap() => {}
                next => return next,
            }
        }
    }

    fn syncs(&self) -> usize {
        self.disk.operations().iter().filter(|line| line.contains(" sync ")).count()
    }
}

#[test]
fn a_record_is_durable_after_the_sync_and_not_before() {
    let mut rig = rig();
    let lsn = rig.publish(10).unwrap();
    assert!(rig.wal.durable() <= lsn && rig.wal.written() <= lsn, "only staged");
    rig.disk.fail_sync(1, SyncFailure::PagesDropped);
    assert!(rig.committer.step(rig.now).is_err());
    assert!(rig.wal.written() > lsn, "written");
    assert!(rig.wal.durable() <= lsn, "the sync failed");
}

#[test]
fn what_arrives_together_shares_one_sync() {
    let mut rig = rig();
    rig.run();
    let before = rig.syncs();
    let last = (0..100).map(|_| rig.publish(10).unwrap()).last().unwrap();
    rig.run();
    assert!(rig.wal.durable() > last);
    assert_eq!(rig.syncs() - before, 1);
}

#[test]
fn watchers_are_told_once_per_commit() {
    let mut rig = rig();
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&told);
    rig.shared.watch(Box::new(move |progress| sink.lock().unwrap().push(progress.durable)));
    for _ in 0..50 {
        rig.publish(10).unwrap();
    }
    rig.run();
    assert_eq!(told.lock().unwrap().len(), 2, "once when it began to watch, once for the commit");
    assert!(told.lock().unwrap().is_sorted());
}

#[test]
fn settles_wait_for_company_but_not_long() {
    let mut rig = rig();
    rig.run();
    let lsn = rig.settle(1);
    let Next::Sleep { waits: Waits::Urgent, until_ms: Some(until) } = rig.run() else { panic!("it sleeps") };
    assert_eq!(until, rig.now + 10);
    assert!(rig.wal.written() <= lsn);
    rig.now = until;
    rig.run();
    assert!(rig.wal.durable() > lsn);
}

#[test]
fn settles_go_with_the_next_publish() {
    let mut rig = rig();
    let settled = rig.settle(1);
    rig.run();
    let published = rig.publish(1).unwrap();
    rig.run();
    assert!(rig.wal.durable() > settled && rig.wal.durable() > published);
}

#[test]
fn a_flush_waits_for_nobody() {
    let mut rig = rig();
    let lsn = rig.settle(1);
    rig.wal.flush();
    rig.run();
    assert!(rig.wal.durable() > lsn);
}

#[test]
fn written_now_is_synced_soon() {
    let mut rig = rig();
    let lsn = rig.settle(1);
    rig.wal.flush_written();
    let Next::Sleep { until_ms: Some(until), .. } = rig.run() else { panic!("it sleeps") };
    assert!(rig.wal.written() > lsn && rig.wal.durable() <= lsn);
    rig.now = until;
    rig.run();
    assert!(rig.wal.durable() > lsn);
    let lsn = rig.settle(2);
    rig.wal.flush_written();
    rig.run();
    rig.wal.flush();
    rig.run();
    assert!(rig.wal.durable() > lsn, "a flush also syncs what is written already");
}

#[test]
fn an_idle_log_is_sealed_once() {
    let mut rig = rig();
    rig.publish(1).unwrap();
    let Next::Sleep { until_ms: Some(until), .. } = rig.run() else { panic!("it sleeps") };
    let before = rig.wal.durable();
    rig.now = until;
    assert_eq!(rig.run(), Next::Sleep { waits: Waits::Any, until_ms: None });
    assert_eq!(rig.wal.durable().0, before.0 + 4096, "one page");
    let frames = rig.committer.take_committed();
    assert_eq!(frames.last().map(|frame| frame.flags), Some(frame_flag::SEAL));
}

#[test]
fn rolling_over_says_where_the_last_segment_ended() {
    let mut rig = rig();
    for _ in 0..10 {
        rig.publish(20_000).unwrap();
        rig.run();
    }
    let page = |id| rig.disk.contents(&segment_name(SegmentId(id))).unwrap()[..SEGMENT_HEADER_BYTES].to_vec();
    let second = SegmentHeader::decode(&page(2)).unwrap();
    assert_eq!((second.previous, second.first_number), (SegmentId(1), 3));
    let frames = rig.committer.take_committed();
    let end =
        frames.iter().filter(|frame| frame.segment == SegmentId(1)).map(|frame| frame.end().offset()).max();
    assert_eq!(end, Some(second.prev_end as u32));
}

#[test]
fn a_full_disk_stops_publishes_and_they_go_on_when_space_returns() {
    let disk = SimDisk::new();
    let mut rig = rig_on(disk.clone(), u64::from(SEGMENT));
    rig.start();
    while rig.preparer.work(rig.now).unwrap() {}
    disk.set_capacity_bytes(Some(disk.used_bytes()));
    rig.now += 1000;
    while rig.preparer.work(rig.now).unwrap() {}
    assert_eq!(rig.shared.progress().alarm, Some(Alarm::Disk));
    let mut refused = 0;
    for _ in 0..20 {
        match rig.publish(20_000) {
            Ok(_) => {}
            Err(AppendError::NoSpace) => refused += 1,
            Err(AppendError::TooLarge) => panic!("it would fit"),
        }
        rig.run();
    }
    assert!(refused >= 14, "only what fits the segment and its spare is taken");
    // Settles use the reserve; when that is used up they wait, and nothing is lost.
    let mut last = Lsn::NONE;
    for seq in 0..5000 {
        last = rig.settle(seq * 2);
    }
    rig.wal.flush();
    rig.run();
    assert!(rig.wal.durable() <= last);
    disk.set_capacity_bytes(None);
    rig.now += 1000;
    rig.run();
    rig.now += 1000;
    rig.run();
    assert_eq!(rig.shared.progress().alarm, None);
    assert!(rig.wal.durable() > last);
    rig.publish(20_000).unwrap();
}

#[test]
fn an_emptied_segment_is_used_again() {
    let mut rig = rig();
    for _ in 0..6 {
        rig.publish(20_000).unwrap();
        rig.run();
    }
    let before = rig.disk.names().len();
    rig.preparer.retire(SegmentId(1));
    for _ in 0..4 {
        rig.publish(20_000).unwrap();
        rig.run();
    }
    let names = rig.disk.names();
    assert!(!names.contains(&segment_name(SegmentId(1))), "{names:?}");
    assert!(names.len() <= before + 1, "{names:?}");
    assert!(rig.disk.operations().iter().any(|line| line.contains("rename wal/0000000000000001.seg")));
}

#[test]
fn closing_writes_everything_and_says_so() {
    let mut rig = rig();
    let lsn = rig.settle(4);
    rig.shared.close();
    assert_eq!(rig.run(), Next::Closed);
    assert!(rig.wal.durable() > lsn);
    let frames = rig.committer.take_committed();
    let flags = frames.last().map(|frame| frame.flags);
    assert_eq!(flags, Some(frame_flag::SEAL | frame_flag::CLEAN_SHUTDOWN));
}

#[test]
fn ids_are_claimed_in_the_log_before_they_are_used() {
    let mut rig = rig();
    assert_eq!(rig.wal.next_queue_id(), QueueId(1));
    assert_eq!(rig.wal.next_queue_id(), QueueId(2));
    assert_eq!(rig.wal.next_group_id(), GroupId(1));
    rig.run();
    let frames = rig.committer.take_committed();
    let records: usize = frames.iter().map(|frame| frame.records().count()).sum();
    assert_eq!(records, 1, "one claim serves many");
}
