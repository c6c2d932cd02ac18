//! Torn tail or damage: the table of cases, each on a log laid out by hand.

use super::*;
use crate::disk::{Allocate, FileId};
use crate::frame::frame_bytes;
use crate::ids::GroupId;
use crate::record_encode::{Stamp, encode_define};
use crate::sim_disk::SimDisk;

const SEGMENT: u32 = 64 * 1024;
const IDENTITY: StoreIdentity = StoreIdentity { uuid: [3; 16], seed: 7, created_unix_ms: 0 };

/// A log written frame by frame, one record each.
struct Log {
    disk: SimDisk,
    file: Option<FileId>,
    end: LogEnd,
    number: u64,
    salt: u32,
}

impl Log {
    fn new() -> Log {
        let disk = SimDisk::new();
        disk.create_dir("wal").unwrap();
        disk.sync_dir("").unwrap();
        let end = LogEnd { segment: SegmentId(0), offset: 0, chain: 0 };
        let mut log = Log { disk, file: None, end, number: 1, salt: 0 };
        log.roll();
        log
    }

    fn roll(&mut self) {
        let id = SegmentId(self.end.segment.0 + 1);
        self.salt = 1000 + id.0;
        let header = SegmentHeader {
            store: IDENTITY.uuid,
            segment: id,
            previous: self.end.segment,
            prev_end: u64::from(self.end.offset),
            first_number: self.number,
            chain: self.end.chain,
            segment_bytes: u64::from(SEGMENT),
            flags: 0,
            salt: self.salt,
            created_unix_ms: 0,
        };
        let name = segment_name(id);
        let file = self.disk.create(&name, u64::from(SEGMENT), Allocate::Zeroed).unwrap();
        self.disk.write_at(file, 0, &header.encode()).unwrap();
        self.disk.sync(file).unwrap();
        self.disk.sync_dir("wal").unwrap();
        self.file = Some(file);
        self.end = LogEnd { segment: id, offset: PAGE_BYTES, chain: self.end.chain };
    }

    /// Appends a frame with one record that says that everything below `durable` is synced. Returns where it starts.
    fn frame(&mut self, durable: u32, flags: u32) -> u32 {
        let mut bytes = vec![0; FRAME_HEADER_BYTES];
        let stamp = Stamp { group: GroupId(0), number: self.number, unix_ms: 0, seed: IDENTITY.seed };
        encode_define(&mut bytes, &stamp, &[]);
        let payload_bytes = (bytes.len() - FRAME_HEADER_BYTES) as u32;
        let payload_crc = checksum(self.salt, &bytes[FRAME_HEADER_BYTES..]);
        let header = FrameHeader {
            segment: self.end.segment,
            offset: self.end.offset,
            payload_bytes,
            first_number: self.number,
            record_count: 1,
            payload_crc,
            durable: Lsn::new(self.end.segment, durable),
            chain: chain(self.end.chain, payload_crc, self.number),
            flags,
        };
        bytes.resize(frame_bytes(payload_bytes) as usize, 0);
        header.encode(self.salt, &mut bytes);
        let start = self.end.offset;
        self.disk.write_at(self.file.unwrap(), u64::from(start), &bytes).unwrap();
        self.disk.sync(self.file.unwrap()).unwrap();
        self.end.chain = header.chain;
        self.end.offset += header.frame_bytes();
        self.number += 1;
        start
    }

    fn damage(&self, segment: u32, offset: u32) {
        self.disk.flip_bit(&segment_name(SegmentId(segment)), u64::from(offset), 3);
    }

    fn recover(&self) -> Result<(Found, usize), OpenError> {
        self.recover_from(Lsn::NONE)
    }

    fn recover_from(&self, applied: Lsn) -> Result<(Found, usize), OpenError> {
        let mut count = Count(0);
        let found = recover(&self.disk, &IDENTITY, SEGMENT, applied, &mut count, &mut |_| {})?;
        assert_eq!(found.record_count as usize, count.0);
        Ok((found, count.0))
    }

    fn check_end(&self, segment: u32, offset: u32, records: usize) {
        let (found, count) = self.recover().unwrap();
        assert_eq!((found.end.segment.0, found.end.offset, count), (segment, offset, records));
        let again = self.recover().unwrap();
        assert_eq!((again.0.end.segment.0, again.0.end.offset, again.1), (segment, offset, records), "again");
    }

    fn check_damage(&self, segment: u32, offset: u32) {
        let before: Vec<_> = self.disk.names().iter().map(|name| self.disk.contents(name)).collect();
        let Err(OpenError::Corrupt(damage)) = self.recover() else {
            panic!("damage was taken for a torn tail")
        };
        assert_eq!((damage.segment.0, damage.offset), (segment, u64::from(offset)), "{damage}");
        let after: Vec<_> = self.disk.names().iter().map(|name| self.disk.contents(name)).collect();
        assert!(before == after, "a refused store is not changed");
    }
}

struct Count(usize);

impl Replay for Count {
    fn apply(&mut self, _: Lsn, _: &RecordHeader, _: &RecordView<'_>) {
        self.0 += 1;
    }

    fn advance(&mut self, _: Lsn) {}
}

#[test]
fn an_empty_directory_is_a_new_log() {
    let disk = SimDisk::new();
    disk.create_dir("wal").unwrap();
    let found = recover(&disk, &IDENTITY, SEGMENT, Lsn::NONE, &mut Count(0), &mut |_| {}).unwrap();
    assert_eq!((found.end.segment, found.next_number, found.clean), (SegmentId(0), 1, true));
}

#[test]
fn a_whole_log_ends_where_it_ends() {
    let mut log = Log::new();
    log.check_end(1, 4096, 0);
    log.frame(0, 0);
    log.frame(8192, 0);
    log.check_end(1, 12288, 2);
    log.roll();
    log.frame(4096, frame_flag::SEAL | frame_flag::CLEAN_SHUTDOWN);
    log.check_end(2, 8192, 3);
    assert!(log.recover().unwrap().0.clean);
}

#[test]
fn a_damaged_frame_that_nothing_vouches_for_is_a_torn_tail() {
    let mut log = Log::new();
    log.frame(0, 0);
    let torn = log.frame(8192, 0);
    log.damage(1, torn + 70);
    log.check_end(1, torn, 1);
}

#[test]
fn frames_behind_a_torn_one_that_were_written_before_its_sync_do_not_vouch_for_it() {
    let mut log = Log::new();
    log.frame(0, 0);
    let torn = log.frame(8192, 0);
    log.frame(8192, 0);
    log.damage(1, torn + 70);
    log.check_end(1, torn, 1);
}

#[test]
fn a_damaged_frame_that_a_later_one_vouches_for_is_damage() {
    let mut log = Log::new();
    log.frame(0, 0);
    let hit = log.frame(8192, 0);
    log.frame(hit + 4096, frame_flag::SEAL);
    log.damage(1, hit + 70);
    log.check_damage(1, hit);
    let mut log = Log::new();
    let hit = log.frame(0, 0);
    log.frame(hit + 4096, 0);
    log.damage(1, hit + 5);
    log.check_damage(1, hit);
}

#[test]
fn a_damaged_frame_in_a_segment_with_a_successor_is_damage() {
    let mut log = Log::new();
    log.frame(0, 0);
    let hit = log.frame(8192, 0);
    log.roll();
    log.damage(1, hit + 70);
    log.check_damage(1, hit);
}

#[test]
fn what_lies_behind_the_end_that_a_successor_states_is_not_read() {
    let mut log = Log::new();
    log.frame(0, 0);
    let end = log.end;
    let number = log.number;
    log.frame(8192, 0);
    log.end = end;
    log.number = number;
    log.roll();
    log.check_end(2, 4096, 1);
}

#[test]
fn a_damaged_header_is_damage_where_it_was_in_use() {
    let mut log = Log::new();
    log.frame(0, 0);
    log.roll();
    log.frame(0, 0);
    log.damage(1, 100);
    log.check_damage(1, 0);
    let mut log = Log::new();
    let first = log.frame(0, 0);
    log.frame(first + 4096, frame_flag::SEAL);
    log.damage(1, 100);
    log.check_damage(1, 0);
}

#[test]
fn a_header_torn_at_a_roll_is_a_segment_never_used() {
    let mut log = Log::new();
    log.frame(0, 0);
    log.roll();
    log.frame(0, 0);
    log.damage(2, 100);
    log.check_end(1, 8192, 1);
    assert!(log.recover().unwrap().0.leftovers.spare);
}

#[test]
fn a_missing_segment_is_damage() {
    let mut log = Log::new();
    for _ in 0..3 {
        log.frame(0, 0);
        log.roll();
    }
    log.disk.remove(&segment_name(SegmentId(2))).unwrap();
    log.check_damage(2, 0);
    log.disk.remove(&segment_name(SegmentId(1))).unwrap();
    log.check_damage(2, 0);
}

#[test]
fn segments_that_the_index_has_passed_may_be_gone() {
    let mut log = Log::new();
    log.frame(0, 0);
    let sealed = Lsn::new(SegmentId(1), log.end.offset);
    log.roll();
    log.frame(0, 0);
    log.disk.remove(&segment_name(SegmentId(1))).unwrap();
    let (found, count) = log.recover_from(sealed).unwrap();
    assert_eq!((found.end.segment, count), (SegmentId(2), 1));
    let (found, count) = log.recover_from(Lsn::new(SegmentId(2), 8192)).unwrap();
    assert_eq!((found.next_number, count), (3, 0), "applied records are not applied again");
    assert!(log.recover_from(Lsn::new(SegmentId(1), 4096)).is_err());
}

#[test]
fn an_index_ahead_of_the_log_is_damage() {
    let mut log = Log::new();
    log.frame(0, 0);
    let ahead = Lsn::new(SegmentId(1), log.end.offset + 4096);
    assert!(matches!(log.recover_from(ahead), Err(OpenError::Corrupt(_))));
    assert!(matches!(log.recover_from(Lsn::new(SegmentId(4), 4096)), Err(OpenError::Corrupt(_))));
}

#[test]
fn a_segment_of_another_store_or_size_is_damage() {
    let mut log = Log::new();
    log.frame(0, 0);
    let other = StoreIdentity { uuid: [4; 16], ..IDENTITY };
    let found = recover(&log.disk, &other, SEGMENT, Lsn::NONE, &mut Count(0), &mut |_| {});
    assert!(matches!(found, Err(OpenError::Corrupt(_))));
    log.disk.truncate(&segment_name(SegmentId(1)), 40_000);
    log.check_damage(1, 40_000);
}

#[test]
fn frames_of_an_earlier_incarnation_are_not_read() {
    let mut log = Log::new();
    let first = log.frame(0, 0);
    log.salt += 1;
    log.frame(first + 4096, 0);
    log.check_end(1, first + 4096, 1);
}

#[test]
fn the_unvouched_tail_is_rewritten_and_synced() {
    let mut log = Log::new();
    log.frame(0, 0);
    log.frame(8192, 0);
    let before = log.disk.operation_count();
    log.recover().unwrap();
    let operations = log.disk.operations();
    let since: Vec<&str> = operations[before as usize..]
        .iter()
        .filter_map(|line| line.split_once(' '))
        .map(|(_, rest)| rest)
        .collect();
    let name = segment_name(SegmentId(1));
    assert_eq!(
        since[..3],
        [format!("write {name} 0 +4096"), format!("write {name} 8192 +4096"), format!("sync {name}")]
    );
}
