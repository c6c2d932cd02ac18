//! What the staging buffer promises about places, room and space.

use super::*;
use crate::record::{DefinitionKey, RecordView, Slot, records};

const SEGMENT: u32 = 64 * 1024;
const GROUP: GroupId = GroupId(3);

fn staging() -> Staging {
    let settings = StagingSettings {
        seed: 7,
        segment_bytes: SEGMENT,
        unix_ms: Arc::new(|| 1000),
        pool: BufferPool::new(1 << 20),
        acks_apart: false,
    };
    Staging::new(settings, SegmentId(1), 1)
}

fn slot(queue: u32, seq: u64) -> Slot {
    Slot { queue: QueueId(queue), seq: Seq(seq), priority: 0, expire_unix_ms: 0 }
}

fn publish(staging: &mut Staging, body: &[u8], slots: &[Slot]) -> Result<Stored, AppendError> {
    let publish = Publish {
        exchange: "x",
        routing_key: "k",
        properties: b"pp",
        body,
        persistent: true,
        dead_lettered: false,
        slots,
    };
    staging.publish(GROUP, &publish)
}

fn ack(seq: u64) -> Settle {
    Settle { queue: QueueId(1), seq: Seq(seq), reason: SettleReason::Ack }
}

/// Every record of the batch, as `(position, text)`.
fn contents(batch: &Batch) -> Vec<(Lsn, String)> {
    let bytes = batch.buffer.as_ref().map_or(&[][..], |buffer| &buffer.bytes[FRAME_HEADER_BYTES..]);
    let base = Lsn::new(batch.segment, batch.offset + FRAME_HEADER_BYTES as u32);
    let found: Vec<_> = records(bytes, base, 7)
        .map(|record| {
            let (at, header, view) = record.unwrap();
            let text = match view {
                RecordView::Publish(p) => format!("publish {}", p.body.len()),
                RecordView::Settle(s) => {
                    format!("settle {:?}", s.ranges().map(|r| (r.first.0, r.count)).collect::<Vec<_>>())
                }
                RecordView::Transaction(t) => format!("tx {}", t.records(at).count()),
                RecordView::Define(c) => format!("define {}", c.changes().count()),
                RecordView::Purge(p) => format!("purge {}..={} but {}", p.first, p.last, p.kept().count()),
                RecordView::DropQueue(q, c) => format!("drop {q} {}", c.changes().count()),
                RecordView::Relocate(_) | RecordView::Delivered(_) | RecordView::Unknown => {
                    format!("{:#x}", header.kind)
                }
            };
            (at, text)
        })
        .collect();
    assert_eq!(found.len(), batch.record_count as usize);
    found
}

#[test]
fn a_record_lies_where_its_append_said() {
    let mut staging = staging();
    let first = publish(&mut staging, b"one", &[slot(1, 1)]).unwrap();
    let second = publish(&mut staging, b"second", &[slot(1, 2), slot(2, 1)]).unwrap();
    assert_eq!(first.lsn, Lsn::new(SegmentId(1), 4096 + 64));
    let batch = staging.take_batch().unwrap();
    let bytes = &batch.buffer.as_ref().unwrap().bytes;
    assert_eq!(contents(&batch), [(first.lsn, "publish 3".into()), (second.lsn, "publish 6".into())]);
    let at = (second.lsn.offset() - batch.offset) as usize;
    assert_eq!(bytes.len(), padded(at + second.record_bytes as usize));
    assert!(staging.take_batch().is_none() && staging.is_empty());
    assert_eq!(staging.bytes(), 0);
}

#[test]
fn settles_are_merged_and_come_last_in_their_batch() {
    let mut staging = staging();
    for seq in 1..=3 {
        publish(&mut staging, b"", &[slot(1, seq)]).unwrap();
        assert!(staging.settle(GROUP, ack(seq)) < Lsn::new(SegmentId(1), 8192));
    }
    let batch = staging.take_batch().unwrap();
    let texts: Vec<String> = contents(&batch).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["publish 0", "publish 0", "publish 0", "settle [(1, 3)]"]);
}

#[test]
fn a_range_is_settled_at_the_cost_of_one_and_settles_continue_it() {
    let mut staging = staging();
    let range = SettleRange { queue: QueueId(1), first: Seq(0), count: 1_000_000 };
    staging.settle_range(GROUP, range, SettleReason::Ack);
    staging.settle(GROUP, ack(1_000_000));
    let texts: Vec<String> =
        contents(&staging.take_batch().unwrap()).into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["settle [(0, 1000001)]"]);
}

#[test]
fn settles_alone_are_not_urgent_until_they_are_many() {
    let mut staging = staging();
    staging.settle(GROUP, ack(1));
    assert!(!staging.is_urgent() && !staging.is_empty());
    publish(&mut staging, b"", &[slot(1, 9)]).unwrap();
    assert!(staging.is_urgent());
}

#[test]
fn many_ranges_are_written_early_and_close_their_batch_in_time() {
    let mut staging = staging();
    let mut last = Lsn::NONE;
    for seq in 0..20_000 {
        let lsn = staging.settle(GROUP, ack(seq * 2));
        assert!(lsn >= last, "positions grow");
        last = lsn;
    }
    let (mut ranges, mut end) = (0, 4096);
    while let Some(batch) = staging.take_batch() {
        if batch.segment == SegmentId(1) {
            assert_eq!(batch.offset, end, "back to back");
            end = (batch.offset as usize + batch.bytes()).next_multiple_of(4096) as u32;
            assert!(end <= SEGMENT - 4096, "the last page is kept for the seal");
        }
        let bytes = &batch.buffer.as_ref().unwrap().bytes[FRAME_HEADER_BYTES..];
        for record in records(bytes, Lsn::NONE, 7) {
            let RecordView::Settle(settle) = record.unwrap().2 else { panic!("only settles") };
            ranges += settle.ranges().len();
        }
    }
    assert_eq!(ranges, 20_000);
}

#[test]
fn a_full_segment_is_followed_by_the_next() {
    let mut staging = staging();
    let body = vec![1; 20_000];
    let places: Vec<Lsn> =
        (1..=4).map(|seq| publish(&mut staging, &body, &[slot(1, seq)]).unwrap().lsn).collect();
    assert_eq!(places[2], Lsn::new(SegmentId(2), 4160), "the third does not fit");
    assert!(places.is_sorted());
    let batches: Vec<(u32, u32)> = std::iter::from_fn(|| staging.take_batch())
        .map(|batch| (batch.segment.0, batch.record_count))
        .collect();
    assert_eq!(batches, [(1, 2), (2, 2)]);
}

#[test]
fn the_largest_record_fits_and_the_next_larger_is_refused() {
    let mut staging = staging();
    let head = RECORD_HEADER_BYTES + 16 + 24 + 4;
    let largest = payload_max(SEGMENT) - head;
    publish(&mut staging, b"before", &[slot(1, 1)]).unwrap();
    let stored = publish(&mut staging, &vec![0; largest], &[slot(1, 2)]).unwrap();
    assert_eq!(stored.lsn, Lsn::new(SegmentId(2), 4160));
    assert_eq!(publish(&mut staging, &vec![0; largest + 1], &[slot(1, 3)]), Err(AppendError::TooLarge));
    let long = "x".repeat(256);
    let publish = Publish {
        exchange: &long,
        routing_key: "",
        properties: b"",
        body: b"",
        persistent: true,
        dead_lettered: false,
        slots: &[slot(1, 3)],
    };
    assert_eq!(staging.publish(GROUP, &publish), Err(AppendError::TooLarge));
}

#[test]
fn a_full_disk_refuses_publishes_that_need_a_segment_and_nothing_else() {
    let mut staging = staging();
    let body = vec![0; 20_000];
    staging.current = SegmentId(1);
    staging.scarce = true;
    staging.spare_ready = true;
    for seq in 1..=4 {
        publish(&mut staging, &body, &[slot(1, seq)]).unwrap();
    }
    assert_eq!(
        publish(&mut staging, &body, &[slot(1, 5)]),
        Err(AppendError::NoSpace),
        "the spare is spoken for"
    );
    let publish = Publish {
        exchange: "",
        routing_key: "",
        properties: b"",
        body: &body,
        persistent: true,
        dead_lettered: false,
        slots: &[slot(1, 5)],
    };
    assert_eq!(staging.transaction(GROUP, &[publish], &[ack(1)]), Err(AppendError::NoSpace));
    staging.settle(GROUP, ack(1));
    for _ in 0..3 {
        let key = DefinitionKey { kind: 1, name: b"n".to_vec() };
        staging.define(GROUP, &[(key, Some(body.clone()))]);
    }
    assert!(staging.purge(GROUP, QueueId(1), Seq(4), &[]) > Lsn::new(SegmentId(3), 0));
    staging.scarce = false;
    assert!(staging.publish(GROUP, &publish).is_ok());
}

#[test]
fn a_transaction_is_one_record_and_its_parts_are_read_alone() {
    let mut staging = staging();
    let slots = [slot(1, 1)];
    let publish = |body| Publish {
        exchange: "",
        routing_key: "",
        properties: b"",
        body,
        persistent: true,
        dead_lettered: false,
        slots: &slots,
    };
    let settles = [ack(7), ack(5), ack(6)];
    let (lsn, stored) =
        staging.transaction(GROUP, &[publish(b"first"), publish(b"second!")], &settles).unwrap();
    let batch = staging.take_batch().unwrap();
    assert_eq!(contents(&batch), [(lsn, "tx 3".into())]);
    for (stored, body) in stored.iter().zip([&b"first"[..], b"second!"]) {
        let at = (stored.lsn.offset() - batch.offset) as usize;
        let bytes = &batch.buffer.as_ref().unwrap().bytes[at..at + stored.record_bytes as usize];
        let (_, RecordView::Publish(view)) = crate::record::decode(bytes, 7).unwrap() else {
            panic!("a publish")
        };
        assert_eq!(view.body, body);
    }
}

#[test]
fn long_lists_are_split_over_records() {
    let mut staging = staging();
    let kept: Vec<Seq> = (0..3000).rev().map(|seq| Seq(seq * 2)).collect();
    staging.purge(GROUP, QueueId(1), Seq(10_000), &kept);
    let changes: Vec<Change> =
        (0..200u8).map(|n| (DefinitionKey { kind: 1, name: vec![n] }, Some(vec![n; 1000]))).collect();
    staging.drop_queue(GROUP, QueueId(1), &changes);
    let mut texts = Vec::new();
    while let Some(batch) = staging.take_batch() {
        texts.extend(contents(&batch).into_iter().map(|(_, text)| text));
    }
    assert_eq!(
        texts,
        [
            "purge 0..=2046 but 1024",
            "purge 2047..=4094 but 1024",
            "purge 4095..=10000 but 952",
            "define 56",
            "define 56",
            "define 56",
            "drop 1 32"
        ]
    );
}

#[test]
fn a_seal_takes_the_page_kept_for_it_and_never_displaces_records() {
    let mut staging = staging();
    publish(&mut staging, &vec![0; payload_max(SEGMENT) - 76], &[slot(1, 1)]).unwrap();
    assert!(staging.take_seal(0, true).is_none(), "records wait");
    staging.take_batch().unwrap();
    let seal = staging.take_seal(1, false).unwrap();
    assert_eq!((seal.segment, seal.offset, seal.first_number), (SegmentId(1), SEGMENT - 4096, 2));
    assert!(staging.take_seal(1, false).is_none(), "no page is left");
    let seal = staging.take_seal(3, true).unwrap();
    assert_eq!((seal.segment, seal.offset), (SegmentId(2), 4096));
}
