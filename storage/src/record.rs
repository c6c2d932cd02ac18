//! Records: what the WAL is made of. Their kinds, their parts, and views that borrow from their bytes.
//! Writing them is `record_encode`, reading them `record_decode`: it makes a view only from bytes whose checksum and every
//! inner length fit, so that walking a view cannot fail.
//!
//! ```text
//! record   crc32 u32 | len u32 | kind u8 | version u8 | flags u16 | group u32 | number u64 | unix_ms u64 | body
//!          crc32 is over bytes 4..len, seeded with the store's seed; len counts the header, not the padding to 8
//! PUBLISH      slots u16 | exchange u8 | key u8 | properties u32 | body u64 | slots x 24 | exchange | key | properties | body
//!   slot       queue u32 | priority u8 | 0 u8 | 0 u16 | seq u64 | expire_unix_ms u64
//! SETTLE       ranges u16 | reason u8 | 0 u8 | 0 u32 | ranges x { queue u32 | 0 u32 | first u64 | count u32 | 0 u32 }
//! TRANSACTION  whole PUBLISH and SETTLE records, each padded to 8
//! DEFINE       changes u32 | 0 u32 | changes x { kind u8 | set u8 | name u16 | value u32 | name | value }
//! PURGE        queue u32 | kept u32 | first u64 | last u64 | kept x seq u64
//! DROP_QUEUE   queue u32 | 0 u32 | as DEFINE
//! RELOCATE     cold segment u32 | sources u32 | end u64 | sources x u32
//! DELIVERED    ranges u32 | 0 u32 | ranges x { queue u32 | count u32 | first u64 | last u64 }
//! ```

use crate::field::Fields;
use crate::ids::{GroupId, Lsn, QueueId, SegmentId, Seq};
pub(crate) use crate::record_decode::own_records;
pub use crate::record_decode::{Records, decode, records};
use crate::record_decode::{change, nested_records};

/// The place of a message in one durable queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Queue.
    pub queue: QueueId,
    /// Position.
    pub seq: Seq,
    /// Priority, 0..=255 (0 where the queue has none).
    pub priority: u8,
    /// Wall-clock expiry in unix ms; 0 = never.
    pub expire_unix_ms: u64,
}

/// Why a message left its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum SettleReason {
    /// Acknowledged (or sent to a no-ack consumer).
    Ack = 0,
    /// Rejected without requeue.
    Rejected = 1,
    /// Its time to live was over.
    Expired = 2,
    /// Pushed out by a length limit.
    MaxLength = 3,
    /// Purged.
    Purged = 4,
    /// Moved to a dead-letter exchange.
    DeadLettered = 5,
}

impl SettleReason {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => SettleReason::Ack,
            1 => SettleReason::Rejected,
            2 => SettleReason::Expired,
            3 => SettleReason::MaxLength,
            4 => SettleReason::Purged,
            5 => SettleReason::DeadLettered,
            _ => return None,
        })
    }
}

/// Names one definition within its group: a kind chosen by the broker and a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DefinitionKey {
    /// Kind: the broker's number for vhost, exchange, queue, binding, user, …
    pub kind: u8,
    /// Name within the kind, at most 4096 bytes.
    pub name: Vec<u8>,
}

/// A message to be logged: its bytes and its places.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// Exchange it was published to, at most 255 bytes.
    pub exchange: &'a str,
    /// Routing key, at most 255 bytes.
    pub routing_key: &'a str,
    /// Property bytes, as received.
    pub properties: &'a [u8],
    /// Body, as received.
    pub body: &'a [u8],
    /// Whether the publisher asked for persistence.
    pub persistent: bool,
    /// Whether the broker itself wrote the history of deaths in the properties.
    pub dead_lettered: bool,
    /// One per durable queue; at least one.
    pub slots: &'a [Slot],
}

/// One message that left its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Queue.
    pub queue: QueueId,
    /// Position in it.
    pub seq: Seq,
    /// Why.
    pub reason: SettleReason,
}

/// Consecutive messages of one queue that left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettleRange {
    /// Queue.
    pub queue: QueueId,
    /// Lowest position.
    pub first: Seq,
    /// How many, at least one.
    pub count: u32,
}

/// Consecutive messages of one queue that were delivered and are to be flagged redelivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveredRange {
    /// Queue.
    pub queue: QueueId,
    /// Lowest position.
    pub first: Seq,
    /// Highest position.
    pub last: Seq,
    /// How often each was delivered.
    pub count: u32,
}

/// A change to one definition: set to bytes, or removed.
pub type Change = (DefinitionKey, Option<Vec<u8>>);

/// Kinds of records, as written. Numbers are never reused; 0x20 (publish with its body in a file of its own), 0x31,
/// 0x40, 0x70 and 0x71 are kept free for what is to come.
pub mod kind {
    /// A message with its slots.
    pub const PUBLISH: u8 = 0x01;
    /// Messages that left their queues.
    pub const SETTLE: u8 = 0x02;
    /// Publishes and settles that stand or fall together.
    pub const TRANSACTION: u8 = 0x03;
    /// Definitions set and removed.
    pub const DEFINE: u8 = 0x10;
    /// The ready messages of a queue removed.
    pub const PURGE: u8 = 0x11;
    /// A queue removed, with its definitions.
    pub const DROP_QUEUE: u8 = 0x12;
    /// Live messages of old segments now in a cold one.
    pub const RELOCATE: u8 = 0x30;
    /// Messages delivered before a clean stop.
    pub const DELIVERED: u8 = 0x41;
}

/// Flags of a record.
pub mod flag {
    /// A reader that does not know the kind must refuse the store.
    pub const MUST_UNDERSTAND: u16 = 1;
    /// PUBLISH: the publisher asked for persistence.
    pub const PERSISTENT: u16 = 2;
    /// PUBLISH: the history of deaths in the properties is the broker's own, not a publisher's.
    pub const DEAD_LETTERED: u16 = 4;
}

/// Bytes of a record header.
pub const RECORD_HEADER_BYTES: usize = 32;
/// Records start at multiples of this many bytes.
pub const RECORD_ALIGN: usize = 8;
/// Bytes of the lengths that open a PUBLISH body.
pub(crate) const PUBLISH_FIXED_BYTES: usize = 16;
/// Bytes of a slot.
pub(crate) const SLOT_BYTES: usize = 24;
/// Bytes of a settled or delivered range.
pub(crate) const RANGE_BYTES: usize = 24;

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader {
    /// Length in bytes, header included, padding excluded.
    pub len: u32,
    /// See [`kind`].
    pub kind: u8,
    /// Version of the kind's layout; 1 today.
    pub version: u8,
    /// See [`flag`].
    pub flags: u16,
    /// Owner.
    pub group: GroupId,
    /// Counts the records of the store from 1, never reused. Records inside a transaction carry its number.
    pub number: u64,
    /// When it was appended.
    pub unix_ms: u64,
}

/// A record's body, borrowed.
#[derive(Clone, Copy, Debug)]
pub enum RecordView<'a> {
    /// A message with its slots.
    Publish(PublishView<'a>),
    /// Messages that left their queues.
    Settle(SettleView<'a>),
    /// Publishes and settles that stand or fall together.
    Transaction(TransactionView<'a>),
    /// Definitions set and removed.
    Define(ChangesView<'a>),
    /// Ready messages of a queue removed.
    Purge(PurgeView<'a>),
    /// A queue removed, with its definitions.
    DropQueue(QueueId, ChangesView<'a>),
    /// Live messages of old segments now in a cold one.
    Relocate(RelocateView<'a>),
    /// Messages delivered before a clean stop.
    Delivered(DeliveredView<'a>),
    /// A kind of a later version that may be skipped.
    Unknown,
}

/// A PUBLISH record.
#[derive(Clone, Copy, Debug)]
pub struct PublishView<'a> {
    /// Exchange name.
    pub exchange: &'a [u8],
    /// Routing key.
    pub routing_key: &'a [u8],
    /// Property bytes.
    pub properties: &'a [u8],
    /// Body.
    pub body: &'a [u8],
    /// Whether the publisher asked for persistence.
    pub persistent: bool,
    /// Whether the broker itself wrote the history of deaths in the properties.
    pub dead_lettered: bool,
    pub(crate) slots: &'a [[u8; SLOT_BYTES]],
}

impl<'a> PublishView<'a> {
    /// The places of the message, in the order written.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Slot> + Clone + 'a {
        self.slots.iter().map(slot)
    }
}

/// A SETTLE record.
#[derive(Clone, Copy, Debug)]
pub struct SettleView<'a> {
    /// Why they left; the same for all.
    pub reason: SettleReason,
    pub(crate) ranges: &'a [[u8; RANGE_BYTES]],
}

impl<'a> SettleView<'a> {
    /// The ranges, in the order written. `first + count` does not overflow.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = SettleRange> + Clone + 'a {
        self.ranges.iter().map(settle_range)
    }
}

/// A TRANSACTION record: whole records inside one.
#[derive(Clone, Copy, Debug)]
pub struct TransactionView<'a> {
    pub(crate) body: &'a [u8],
}

impl<'a> TransactionView<'a> {
    /// The records inside, each with its own position, given the position of the transaction.
    pub fn records(&self, at: Lsn) -> impl Iterator<Item = (Lsn, RecordHeader, RecordView<'a>)> + use<'a> {
        nested_records(self.body, Lsn(at.0 + RECORD_HEADER_BYTES as u64))
    }
}

/// Definition changes.
#[derive(Clone, Copy, Debug)]
pub struct ChangesView<'a> {
    pub(crate) count: u32,
    pub(crate) bytes: &'a [u8],
}

/// One definition change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeView<'a> {
    /// Kind, the broker's.
    pub kind: u8,
    /// Name.
    pub name: &'a [u8],
    /// New value; `None` removes it.
    pub value: Option<&'a [u8]>,
}

impl<'a> ChangesView<'a> {
    /// The changes, in the order written.
    pub fn changes(&self) -> impl Iterator<Item = ChangeView<'a>> + use<'a> {
        let mut fields = Fields(self.bytes);
        (0..self.count).map_while(move |_| change(&mut fields))
    }
}

/// A PURGE record: removes `first..=last` of a queue, but those kept.
#[derive(Clone, Copy, Debug)]
pub struct PurgeView<'a> {
    /// Queue.
    pub queue: QueueId,
    /// Lowest position removed.
    pub first: Seq,
    /// Highest position removed.
    pub last: Seq,
    pub(crate) kept: &'a [[u8; 8]],
}

impl<'a> PurgeView<'a> {
    /// Positions that stay, ascending.
    pub fn kept(&self) -> impl ExactSizeIterator<Item = Seq> + Clone + 'a {
        self.kept.iter().map(|bytes| Seq(u64::from_le_bytes(*bytes)))
    }
}

/// A RELOCATE record.
#[derive(Clone, Copy, Debug)]
pub struct RelocateView<'a> {
    /// The cold segment that holds the copies.
    pub target: SegmentId,
    /// Where its last frame ends, bytes.
    pub end: u64,
    pub(crate) sources: &'a [[u8; 4]],
}

impl<'a> RelocateView<'a> {
    /// Segments whose live messages are all in the target now.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = SegmentId> + Clone + 'a {
        self.sources.iter().map(|bytes| SegmentId(u32::from_le_bytes(*bytes)))
    }
}

/// A DELIVERED record.
#[derive(Clone, Copy, Debug)]
pub struct DeliveredView<'a> {
    pub(crate) ranges: &'a [[u8; RANGE_BYTES]],
}

impl<'a> DeliveredView<'a> {
    /// The ranges, in the order written; `first <= last`.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = DeliveredRange> + Clone + 'a {
        self.ranges.iter().map(delivered_range)
    }
}

/// `bytes` rounded up to where the next record may start.
pub(crate) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(RECORD_ALIGN)
}

/// The checksum of records and frames: CRC-32 (IEEE) continued from `seed`.
pub(crate) fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

fn slot(bytes: &[u8; SLOT_BYTES]) -> Slot {
    let [q0, q1, q2, q3, priority, _, _, _, seq @ .., e0, e1, e2, e3, e4, e5, e6, e7] = *bytes;
    Slot {
        queue: QueueId(u32::from_le_bytes([q0, q1, q2, q3])),
        seq: Seq(u64::from_le_bytes(seq)),
        priority,
        expire_unix_ms: u64::from_le_bytes([e0, e1, e2, e3, e4, e5, e6, e7]),
    }
}

pub(crate) fn settle_range(bytes: &[u8; RANGE_BYTES]) -> SettleRange {
    let [q0, q1, q2, q3, _, _, _, _, first @ .., c0, c1, c2, c3, _, _, _, _] = *bytes;
    SettleRange {
        queue: QueueId(u32::from_le_bytes([q0, q1, q2, q3])),
        first: Seq(u64::from_le_bytes(first)),
        count: u32::from_le_bytes([c0, c1, c2, c3]),
    }
}

pub(crate) fn delivered_range(bytes: &[u8; RANGE_BYTES]) -> DeliveredRange {
    let [q0, q1, q2, q3, c0, c1, c2, c3, first @ .., l0, l1, l2, l3, l4, l5, l6, l7] = *bytes;
    DeliveredRange {
        queue: QueueId(u32::from_le_bytes([q0, q1, q2, q3])),
        first: Seq(u64::from_le_bytes(first)),
        last: Seq(u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7])),
        count: u32::from_le_bytes([c0, c1, c2, c3]),
    }
}
