//! What recovery reads: records, frames' headers and segments' headers of a log that somebody changed and made the checksums
//! fit again. Nothing panics, views stay within their bytes, and what is read is written as the same bytes.

use super::script::Script;
use ledgermq_storage::frame::{FRAME_HEADER_BYTES, FrameHeader};
use ledgermq_storage::record::{self, RECORD_HEADER_BYTES, RecordView, flag, kind};
use ledgermq_storage::record_encode::{Stamp, encode_publish};
use ledgermq_storage::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, parse_segment_name, segment_name};
use ledgermq_storage::{Lsn, Publish, RecordHeader, SegmentId};

const SEED: u32 = 0x5EED_0007;
const BASE: Lsn = Lsn((1 << 32) + 4096 + 64);
/// Kinds there are, and some that there are not.
const KINDS: [u8; 16] = [
    kind::PUBLISH,
    kind::SETTLE,
    kind::TRANSACTION,
    kind::DEFINE,
    kind::PURGE,
    kind::DROP_QUEUE,
    kind::RELOCATE,
    kind::DELIVERED,
    0x20,
    0x31,
    0,
    0xFF,
    kind::PUBLISH,
    kind::SETTLE,
    kind::DEFINE,
    kind::PURGE,
];

/// The first byte says what the rest is.
pub fn run(input: &[u8]) {
    let mut script = Script::new(input);
    match script.byte() {
        0..=0xBF => {
            let mut payload = Vec::new();
            while !script.is_empty() {
                push_record(&mut payload, &mut script, true);
            }
            walk(&payload);
        }
        0xC0..=0xDF => frame_header(script.rest()),
        0xE0..=0xEF => segment_header(script.rest()),
        0xF0..=0xF7 => {
            let name = String::from_utf8_lossy(script.rest()).into_owned();
            if let Some(segment) = parse_segment_name(&name) {
                assert!(segment_name(segment).ends_with(&name));
            }
        }
        _ => walk(script.rest()),
    }
}

/// A record whose checksum fits: its kind, flags, version and body are the script's, and mostly its length is right.
fn push_record(payload: &mut Vec<u8>, script: &mut Script<'_>, may_nest: bool) {
    let what = script.byte();
    let kind = KINDS[usize::from(what & 0x0F)];
    let start = payload.len();
    let flags = u16::from(what >> 5);
    let version = if what & 0x10 == 0 { 1 } else { script.byte() };
    payload.extend([0; 8]);
    payload.extend([kind, version]);
    payload.extend(flags.to_le_bytes());
    payload.extend(u32::from(script.byte()).to_le_bytes());
    payload.extend([0; 16]);
    if kind == self::kind::TRANSACTION && may_nest && version == 1 {
        for _ in 0..script.byte() & 3 {
            push_record(payload, script, false);
        }
    } else {
        let body = script.counted();
        payload.extend_from_slice(body);
    }
    let length = (payload.len() - start) as u32;
    payload[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    let sum = checksum(SEED, &payload[start + 4..]);
    payload[start..start + 4].copy_from_slice(&sum.to_le_bytes());
    payload.resize(payload.len().next_multiple_of(8), 0);
}

fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

fn walk(payload: &[u8]) {
    let end = BASE.0 + payload.len() as u64;
    let mut next = BASE.0;
    let mut ended = false;
    for record in record::records(payload, BASE, SEED) {
        assert!(!ended, "nothing comes after an error");
        let Ok((at, header, view)) = record else {
            ended = true;
            continue;
        };
        assert_eq!(at.0, next, "records follow each other");
        next += u64::from(header.len).next_multiple_of(8);
        assert!(next <= end && header.len as usize >= RECORD_HEADER_BYTES);
        let offset = (at.0 - BASE.0) as usize;
        let bytes = &payload[offset..offset + header.len as usize];
        assert!(record::decode(&bytes[..bytes.len() - 1], SEED).is_err(), "one byte less is none");
        assert!(record::decode(bytes, SEED ^ 1).is_err(), "a record of another store is none");
        visit(at, &header, &view, bytes);
    }
    assert!(ended || next == end, "all bytes are accounted for");
}

fn visit(at: Lsn, header: &RecordHeader, view: &RecordView<'_>, bytes: &[u8]) {
    let bytes_max = bytes.len();
    match view {
        RecordView::Publish(publish) => {
            let parts = publish.exchange.len() + publish.routing_key.len() + publish.properties.len();
            assert!(parts + publish.body.len() + publish.slots().len() * 24 <= bytes_max);
            publish_again(header, publish, bytes);
        }
        RecordView::Settle(settle) => {
            assert!(settle.ranges().len() * 24 <= bytes_max);
            let ends = settle.ranges().map(|range| range.first.0 + u64::from(range.count));
            ends.for_each(drop);
        }
        RecordView::Transaction(transaction) => {
            for (inner, header, view) in transaction.records(at) {
                assert!(inner > at && inner.0 + u64::from(header.len) <= at.0 + bytes_max as u64);
                let offset = (inner.0 - at.0) as usize;
                let inner_bytes = &bytes[offset..offset + header.len as usize];
                let nests =
                    matches!(view, RecordView::Publish(_) | RecordView::Settle(_) | RecordView::Unknown);
                assert!(nests, "a transaction holds publishes and settles");
                visit(inner, &header, &view, inner_bytes);
            }
        }
        RecordView::Define(changes) | RecordView::DropQueue(_, changes) => {
            let held: usize = changes
                .changes()
                .map(|change| 8 + change.name.len() + change.value.map_or(0, <[u8]>::len))
                .sum();
            assert!(held <= bytes_max);
        }
        RecordView::Purge(purge) => assert!(purge.kept().len() * 8 <= bytes_max),
        RecordView::Relocate(relocate) => assert!(relocate.sources().len() * 4 <= bytes_max),
        RecordView::Delivered(delivered) => {
            assert!(delivered.ranges().len() * 24 <= bytes_max);
            assert!(delivered.ranges().all(|range| range.first <= range.last));
        }
        RecordView::Unknown => {
            assert_eq!(header.flags & flag::MUST_UNDERSTAND, 0, "what must be understood is refused");
        }
    }
}

/// A publish whose names are text is written as the same bytes, but for what its slots leave unused and flags nobody knows.
fn publish_again(header: &RecordHeader, publish: &record::PublishView<'_>, bytes: &[u8]) {
    let (Ok(exchange), Ok(routing_key)) =
        (str::from_utf8(publish.exchange), str::from_utf8(publish.routing_key))
    else {
        return;
    };
    let slots: Vec<_> = publish.slots().collect();
    let again = Publish {
        exchange,
        routing_key,
        properties: publish.properties,
        body: publish.body,
        persistent: publish.persistent,
        dead_lettered: publish.dead_lettered,
        slots: &slots,
    };
    let stamp = Stamp { group: header.group, number: header.number, unix_ms: header.unix_ms, seed: SEED };
    let mut written = Vec::new();
    encode_publish(&mut written, &stamp, &again);
    let (other, view) = record::decode(&written, SEED).expect("what was written is read");
    assert_eq!((other.len, other.group, other.number), (header.len, header.group, header.number));
    let RecordView::Publish(view) = view else { panic!("{view:?}") };
    assert_eq!((view.body, view.properties), (publish.body, publish.properties));
    assert!(view.slots().eq(publish.slots()));
    let behind_slots = RECORD_HEADER_BYTES + 16 + slots.len() * 24;
    assert_eq!(written[behind_slots..bytes.len()], bytes[behind_slots..]);
}

fn frame_header(bytes: &[u8]) {
    let mut header = [0; FRAME_HEADER_BYTES];
    let count = bytes.len().min(FRAME_HEADER_BYTES);
    header[..count].copy_from_slice(&bytes[..count]);
    let sum = checksum(SEED, &header[8..]);
    header[4..8].copy_from_slice(&sum.to_le_bytes());
    let segment = SegmentId(u32::from_le_bytes([header[8], header[9], header[10], header[11]]));
    let offset = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
    let Some(read) = FrameHeader::decode(&header, SEED, segment, offset) else { return };
    assert_eq!((read.segment, read.offset), (segment, offset));
    assert!(read.frame_bytes() % 4096 == 0 && read.frame_bytes() > read.payload_bytes);
    let mut again = [0; FRAME_HEADER_BYTES];
    read.encode(SEED, &mut again);
    assert_eq!(FrameHeader::decode(&again, SEED, segment, offset), Some(read));
    assert!(FrameHeader::decode(&header, SEED ^ 1, segment, offset).is_none());
    assert!(FrameHeader::decode(&header[..63], SEED, segment, offset).is_none());
}

fn segment_header(bytes: &[u8]) {
    let mut page = [0; SEGMENT_HEADER_BYTES];
    let count = bytes.len().min(SEGMENT_HEADER_BYTES);
    page[..count].copy_from_slice(&bytes[..count]);
    let sum = checksum(0, &page[..SEGMENT_HEADER_BYTES - 4]);
    page[SEGMENT_HEADER_BYTES - 4..].copy_from_slice(&sum.to_le_bytes());
    let Some(read) = SegmentHeader::decode(&page) else { return };
    assert_eq!(SegmentHeader::decode(&read.encode()), Some(read));
    page[100] ^= 1;
    assert!(SegmentHeader::decode(&page).is_none());
}
