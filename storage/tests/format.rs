//! The bytes on disk: golden examples of every record kind and of the frame and segment headers, in hexadecimal; and that
//! no input, however mangled, panics or is misread. A change that breaks a golden example breaks every store there is.

use ledgermq_storage::frame::{FRAME_HEADER_BYTES, FrameHeader, chain, frame_flag};
use ledgermq_storage::record::{ChangeView, SettleRange, decode, flag, kind, records};
use ledgermq_storage::record_encode::{
    Stamp, encode_define, encode_delivered, encode_drop_queue, encode_publish, encode_purge, encode_relocate,
    encode_settle, encode_transaction, publish_bytes,
};
use ledgermq_storage::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};
use ledgermq_storage::{
    Change, DefinitionKey, DeliveredRange, GroupId, Lsn, Publish, QueueId, RecordError, RecordView,
    SegmentId, Seq, SettleReason, Slot,
};
use proptest::prelude::*;
use std::fmt::Write;

const SEED: u32 = 0x5eed_5eed;

fn stamp() -> Stamp {
    Stamp {
        group: GroupId(0x0a0b_0c0d),
        number: 0x0102_0304_0506_0708,
        unix_ms: 1_700_000_000_000,
        seed: SEED,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Encodes a record, compares it with its golden bytes (spaces are for the reader) and reads it back.
fn golden(write: impl FnOnce(&mut Vec<u8>), expected: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes);
    let expected: String = expected.split_whitespace().collect();
    assert_eq!(hex(&bytes), expected);
    assert_eq!(bytes.len() % 8, 0, "records are padded to 8");
    let (header, _) = decode(&bytes, SEED).expect("a golden record is readable");
    assert_eq!(
        (header.group, header.number, header.unix_ms),
        (stamp().group, stamp().number, stamp().unix_ms)
    );
    bytes
}

fn slots() -> [Slot; 2] {
    [
        Slot { queue: QueueId(1), seq: Seq(2), priority: 3, expire_unix_ms: 4 },
        Slot {
            queue: QueueId(0x1112_1314),
            seq: Seq(0x2122_2324_2526_2728),
            priority: 255,
            expire_unix_ms: 0,
        },
    ]
}

fn message(slots: &[Slot]) -> Publish<'_> {
    Publish {
        exchange: "amq.x",
        routing_key: "key",
        properties: &[0x10, 0],
        body: b"body",
        persistent: true,
        dead_lettered: false,
        slots,
    }
}

#[test]
fn a_dead_letter_is_a_publish_with_a_flag() {
    let slots = slots();
    let mut bytes = Vec::new();
    let publish = Publish { dead_lettered: true, ..message(&slots) };
    encode_publish(&mut bytes, &stamp(), &publish);
    let (header, RecordView::Publish(view)) = decode(&bytes, SEED).unwrap() else { panic!("a publish") };
    assert_eq!(header.flags, flag::PERSISTENT | flag::DEAD_LETTERED);
    assert_eq!((&bytes[10..12], view.persistent, view.dead_lettered), (&[6, 0][..], true, true));
}

#[test]
fn a_publish() {
    let slots = slots();
    let bytes = golden(
        |into| encode_publish(into, &stamp(), &message(&slots)),
        "9576b533 6e000000 01 01 0200 0d0c0b0a 0807060504030201 0068e5cf8b010000 0200 05 03 \
         02000000 0400000000000000 01000000 03 000000 0200000000000000 0400000000000000 14131211 ff \
         000000 2827262524232221 0000000000000000 616d712e78 6b6579 1000 626f6479 0000",
    );
    let (header, RecordView::Publish(view)) = decode(&bytes, SEED).unwrap() else { panic!("a publish") };
    assert_eq!((header.kind, header.flags), (kind::PUBLISH, flag::PERSISTENT));
    assert_eq!(publish_bytes(&message(&slots)), Some(bytes.len()));
    assert_eq!((view.exchange, view.routing_key), (&b"amq.x"[..], &b"key"[..]));
    assert_eq!((view.properties, view.body, view.persistent), (&[0x10, 0][..], &b"body"[..], true));
    assert_eq!(view.slots().collect::<Vec<_>>(), slots);
}

fn ranges() -> [SettleRange; 2] {
    [
        SettleRange { queue: QueueId(1), first: Seq(7), count: 3 },
        SettleRange { queue: QueueId(2), first: Seq(u64::MAX - 9), count: 9 },
    ]
}

#[test]
fn a_settle() {
    let bytes = golden(
        |into| encode_settle(into, &stamp(), SettleReason::Expired, ranges().into_iter()),
        "bd013d47 58000000 02 01 0000 0d0c0b0a 0807060504030201 0068e5cf8b010000 0200 02 0000000000 \
         01000000 00000000 0700000000000000 03000000 00000000 02000000 00000000 f6ffffffffffffff \
         09000000 00000000",
    );
    let (_, RecordView::Settle(view)) = decode(&bytes, SEED).unwrap() else { panic!("a settle") };
    assert_eq!(view.reason, SettleReason::Expired);
    assert_eq!(view.ranges().collect::<Vec<_>>(), ranges());
}

#[test]
fn a_transaction() {
    let slots = &slots()[..1];
    let bytes = golden(
        |into| {
            encode_transaction(into, &stamp(), |into| {
                encode_publish(into, &stamp(), &message(slots));
                encode_settle(into, &stamp(), SettleReason::Ack, ranges().into_iter().take(1));
            });
        },
        "0030e3c1 b8000000 03 01 0100 0d0c0b0a 0807060504030201 0068e5cf8b010000 f6d03a29 56000000 \
         01 01 0200 0d0c0b0a 0807060504030201 0068e5cf8b010000 0100 05 03 02000000 0400000000000000 \
         01000000 03 000000 0200000000000000 0400000000000000 616d712e78 6b6579 1000 626f6479 0000 \
         988b3fc6 40000000 02 01 0000 0d0c0b0a 0807060504030201 0068e5cf8b010000 0100 00 0000000000 \
         01000000 00000000 0700000000000000 03000000 00000000",
    );
    let (_, RecordView::Transaction(view)) = decode(&bytes, SEED).unwrap() else { panic!("a transaction") };
    let at = Lsn::new(SegmentId(5), 4160);
    let inside: Vec<_> = view.records(at).map(|(at, header, _)| (at.offset(), header.kind)).collect();
    assert_eq!(inside, [(4192, kind::PUBLISH), (4280, kind::SETTLE)]);
}

fn changes() -> Vec<Change> {
    vec![
        (DefinitionKey { kind: 2, name: b"queue".to_vec() }, Some(b"value".to_vec())),
        (DefinitionKey { kind: 3, name: b"gone".to_vec() }, None),
        (DefinitionKey { kind: 4, name: Vec::new() }, Some(Vec::new())),
    ]
}

fn check_changes<'a>(found: impl Iterator<Item = ChangeView<'a>>) {
    let found: Vec<Change> = found
        .map(|change| {
            (
                DefinitionKey { kind: change.kind, name: change.name.to_vec() },
                change.value.map(<[u8]>::to_vec),
            )
        })
        .collect();
    assert_eq!(found, changes());
}

#[test]
fn a_definition() {
    let bytes = golden(
        |into| encode_define(into, &stamp(), &changes()),
        "d4f52b38 4e000000 10 01 0100 0d0c0b0a 0807060504030201 0068e5cf8b010000 03000000 00000000 \
         02 01 0500 05000000 7175657565 76616c7565 03 00 0400 00000000 676f6e65 04 01 0000 00000000 \
         0000",
    );
    let (header, RecordView::Define(view)) = decode(&bytes, SEED).unwrap() else { panic!("a definition") };
    assert_eq!(header.flags, flag::MUST_UNDERSTAND);
    check_changes(view.changes());
}

#[test]
fn a_purge() {
    let kept = [Seq(5), Seq(9)];
    let bytes = golden(
        |into| encode_purge(into, &stamp(), QueueId(6), Seq(1), Seq(10), &kept),
        "12262600 48000000 11 01 0100 0d0c0b0a 0807060504030201 0068e5cf8b010000 06000000 02000000 \
         0100000000000000 0a00000000000000 0500000000000000 0900000000000000",
    );
    let (_, RecordView::Purge(view)) = decode(&bytes, SEED).unwrap() else { panic!("a purge") };
    assert_eq!((view.queue, view.first, view.last), (QueueId(6), Seq(1), Seq(10)));
    assert_eq!(view.kept().collect::<Vec<_>>(), kept);
}

#[test]
fn a_dropped_queue() {
    let bytes = golden(
        |into| encode_drop_queue(into, &stamp(), QueueId(6), &changes()),
        "6e7203d1 56000000 12 01 0100 0d0c0b0a 0807060504030201 0068e5cf8b010000 06000000 00000000 \
         03000000 00000000 02 01 0500 05000000 7175657565 76616c7565 03 00 0400 00000000 676f6e65 \
         04 01 0000 00000000 0000",
    );
    let (_, RecordView::DropQueue(queue, view)) = decode(&bytes, SEED).unwrap() else { panic!("a drop") };
    assert_eq!(queue, QueueId(6));
    check_changes(view.changes());
}

#[test]
fn a_relocation() {
    let sources = [SegmentId(3), SegmentId(4)];
    let target = SegmentId(SegmentId::COLD | 1);
    let bytes = golden(
        |into| encode_relocate(into, &stamp(), target, 65536, &sources),
        "b625d177 38000000 30 01 0100 0d0c0b0a 0807060504030201 0068e5cf8b010000 01000080 02000000 \
         0000010000000000 03000000 04000000",
    );
    let (_, RecordView::Relocate(view)) = decode(&bytes, SEED).unwrap() else { panic!("a relocation") };
    assert_eq!((view.target, view.end), (target, 65536));
    assert_eq!(view.sources().collect::<Vec<_>>(), sources);
}

#[test]
fn delivered_messages() {
    let ranges = [DeliveredRange { queue: QueueId(1), first: Seq(2), last: Seq(5), count: 2 }];
    let bytes = golden(
        |into| encode_delivered(into, &stamp(), &ranges),
        "38f1f89e 40000000 41 01 0000 0d0c0b0a 0807060504030201 0068e5cf8b010000 01000000 00000000 \
         01000000 02000000 0200000000000000 0500000000000000",
    );
    let (_, RecordView::Delivered(view)) = decode(&bytes, SEED).unwrap() else { panic!("deliveries") };
    assert_eq!(view.ranges().collect::<Vec<_>>(), ranges);
}

#[test]
fn a_frame_header() {
    let header = FrameHeader {
        segment: SegmentId(7),
        offset: 8192,
        payload_bytes: 120,
        first_number: 99,
        record_count: 2,
        payload_crc: 0xdead_beef,
        durable: Lsn::new(SegmentId(7), 4096),
        chain: 0x0102_0304_0506_0708,
        flags: frame_flag::SEAL,
    };
    let mut bytes = [0; FRAME_HEADER_BYTES];
    header.encode(0x5a17_5a17, &mut bytes);
    let expected = "4652414d 8f8c0a26 0700000000000000 00200000 78000000 6300000000000000 02000000 efbeadde \
         0010000007000000 0807060504030201 00000000 01000000";
    assert_eq!(hex(&bytes), expected.split_whitespace().collect::<String>());
    assert_eq!(FrameHeader::decode(&bytes, 0x5a17_5a17, SegmentId(7), 8192), Some(header));
    assert_eq!(chain(1, 2, 3), 0xe7b2_5ad2_7bcc_b532);
}

#[test]
fn a_segment_header() {
    let header = SegmentHeader {
        store: *b"0123456789abcdef",
        segment: SegmentId(9),
        previous: SegmentId(8),
        prev_end: 65536,
        first_number: 1000,
        chain: 0x1122_3344_5566_7788,
        segment_bytes: 1 << 20,
        flags: 0,
        salt: 0xcafe_babe,
        created_unix_ms: 1_700_000_000_000,
    };
    let page = header.encode();
    assert_eq!(page.len(), SEGMENT_HEADER_BYTES);
    let expected = "4c4d515753454731 01000000 00100000 30313233343536373839616263646566 0900000000000000 \
         0800000000000000 0000010000000000 e803000000000000 8877665544332211 0000100000000000 \
         00100000 00000000 bebafeca 00000000 0068e5cf8b010000";
    assert_eq!(hex(&page[..104]), expected.split_whitespace().collect::<String>());
    assert!(page[104..4092].iter().all(|byte| *byte == 0));
    assert_eq!(hex(&page[4092..]), "2b3c5ffa");
}

#[test]
fn records_of_a_later_version_are_skipped_or_refused_as_they_ask() {
    let later = |kind: u8, flags: u16, version: u8| {
        let mut bytes = vec![0; 40];
        bytes[4..8].copy_from_slice(&40u32.to_le_bytes());
        bytes[8] = kind;
        bytes[9] = version;
        bytes[10..12].copy_from_slice(&flags.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new_with_initial(SEED);
        hasher.update(&bytes[4..]);
        bytes[..4].copy_from_slice(&hasher.finalize().to_le_bytes());
        bytes
    };
    assert!(matches!(decode(&later(0x7f, 0, 1), SEED), Ok((_, RecordView::Unknown))));
    assert!(matches!(decode(&later(kind::DELIVERED, 0, 2), SEED), Ok((_, RecordView::Unknown))));
    assert_eq!(
        decode(&later(0x7f, flag::MUST_UNDERSTAND, 1), SEED).map(drop),
        Err(RecordError::NotUnderstood { kind: 0x7f, version: 1 })
    );
    assert_eq!(
        decode(&later(kind::PUBLISH, 0, 1), SEED).map(drop),
        Err(RecordError::Body { kind: kind::PUBLISH })
    );
    assert_eq!(decode(&[0; 64], SEED).map(drop), Err(RecordError::Length), "zeros are no record");
}

#[test]
fn a_transaction_holds_no_transaction() {
    let mut bytes = Vec::new();
    encode_transaction(&mut bytes, &stamp(), |into| encode_transaction(into, &stamp(), |_| {}));
    assert_eq!(decode(&bytes, SEED).map(drop), Err(RecordError::Body { kind: kind::TRANSACTION }));
    let mut bytes = Vec::new();
    encode_transaction(&mut bytes, &stamp(), |into| encode_define(into, &stamp(), &changes()));
    assert_eq!(decode(&bytes, SEED).map(drop), Err(RecordError::Body { kind: kind::TRANSACTION }));
}

/// Walks everything a view gives; a view must never fail once it is made.
fn walk(view: &RecordView<'_>) -> usize {
    match view {
        RecordView::Publish(view) => view.slots().count() + view.body.len(),
        RecordView::Settle(view) => view.ranges().count(),
        RecordView::Transaction(view) => view.records(Lsn(0)).map(|(_, _, inside)| walk(&inside)).sum(),
        RecordView::Define(view) | RecordView::DropQueue(_, view) => view.changes().count(),
        RecordView::Purge(view) => view.kept().count(),
        RecordView::Relocate(view) => view.sources().count(),
        RecordView::Delivered(view) => view.ranges().count(),
        RecordView::Unknown => 0,
    }
}

fn any_slot() -> impl Strategy<Value = Slot> {
    (any::<u32>(), any::<u64>(), any::<u8>(), any::<u64>()).prop_map(
        |(queue, seq, priority, expire_unix_ms)| Slot {
            queue: QueueId(queue),
            seq: Seq(seq),
            priority,
            expire_unix_ms,
        },
    )
}

proptest! {
    #[test]
    fn any_publish_is_read_back(
        exchange in ".{0,40}",
        routing_key in ".{0,40}",
        properties in prop::collection::vec(any::<u8>(), 0..100),
        body in prop::collection::vec(any::<u8>(), 0..3000),
        slots in prop::collection::vec(any_slot(), 1..20),
        persistent: bool,
        dead_lettered: bool,
    ) {
        let publish = Publish {
            exchange: &exchange, routing_key: &routing_key, properties: &properties, body: &body, persistent, dead_lettered, slots: &slots,
        };
        let mut bytes = Vec::new();
        encode_publish(&mut bytes, &stamp(), &publish);
        prop_assert_eq!(publish_bytes(&publish), Some(bytes.len()));
        let (_, RecordView::Publish(view)) = decode(&bytes, SEED).unwrap() else { panic!("a publish") };
        prop_assert_eq!(view.exchange, exchange.as_bytes());
        prop_assert_eq!(view.routing_key, routing_key.as_bytes());
        prop_assert_eq!(view.properties, &properties[..]);
        prop_assert_eq!(view.body, &body[..]);
        prop_assert_eq!(view.persistent, persistent);
        prop_assert_eq!(view.dead_lettered, dead_lettered);
        prop_assert_eq!(view.slots().collect::<Vec<_>>(), slots);
    }

    #[test]
    fn a_changed_bit_is_never_read(
        body in prop::collection::vec(any::<u8>(), 0..300),
        slots in prop::collection::vec(any_slot(), 1..4),
        place in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let publish = Publish {
            exchange: "x", routing_key: "k", properties: b"", body: &body, persistent: true, dead_lettered: false, slots: &slots,
        };
        let mut bytes = Vec::new();
        encode_transaction(&mut bytes, &stamp(), |into| encode_publish(into, &stamp(), &publish));
        let len = decode(&bytes, SEED).unwrap().0.len as usize;
        let at = place.index(len);
        bytes[at] ^= 1 << bit;
        prop_assert!(decode(&bytes, SEED).is_err(), "bit {} of byte {}", bit, at);
        prop_assert!(decode(&bytes[..at], SEED).is_err());
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_lead_beyond_their_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut total = 0;
        for (_, header, view) in records(&bytes, Lsn(0), SEED).flatten() {
            total += header.len as usize;
            walk(&view);
        }
        prop_assert!(total <= bytes.len());
        FrameHeader::decode(&bytes, SEED, SegmentId(1), 4096);
        SegmentHeader::decode(&bytes);
    }

    /// Bodies that a careless checksum would let through: the checksum fits, the lengths inside are anything.
    #[test]
    fn well_sealed_nonsense_neither_panics_nor_allocates(
        kind in prop::sample::select(vec![
            kind::PUBLISH, kind::SETTLE, kind::TRANSACTION, kind::DEFINE, kind::PURGE, kind::DROP_QUEUE,
            kind::RELOCATE, kind::DELIVERED,
        ]),
        body in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255), any::<u8>()], 0..200),
    ) {
        let mut bytes = vec![0; 32];
        bytes.extend_from_slice(&body);
        let len = bytes.len() as u32;
        bytes[4..8].copy_from_slice(&len.to_le_bytes());
        bytes[8] = kind;
        bytes[9] = 1;
        let mut hasher = crc32fast::Hasher::new_with_initial(SEED);
        hasher.update(&bytes[4..]);
        bytes[..4].copy_from_slice(&hasher.finalize().to_le_bytes());
        if let Ok((_, view)) = decode(&bytes, SEED) {
            prop_assert!(walk(&view) <= bytes.len());
        }
    }
}
