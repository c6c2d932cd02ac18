//! The index as rows: a key and a value each, the form in which checkpoints and exports keep it. A value carries its
//! version, a checksum over key and value, and the position up to which the index had been applied, because neither
//! the database nor the disk is trusted to return what it was given.
//!
//! ```text
//! value  version u8 | crc32 u32 over key, version, lsn, body | lsn u64 | body, encoded
//! keys   m | d group kind name | q queue | r queue first | a queue piece | s segment     (numbers big-endian)
//! ```

use super::queue::{QueueState, Stretch};
use super::{Index, Marks, SegmentState};
use crate::encoding::{self, Decode, Encode};
use crate::field::Fields;
use crate::ids::{GroupId, Lsn, QueueId, SegmentId, Seq};
use crate::limits::DEFINITION_VALUE_BYTES_MAX;
use crate::record::DefinitionKey;
use crate::run::Run;
use crate::settled::piece_of;
use std::collections::BTreeMap;

/// A row set (`Some`) or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// Why rows are not an index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowError {
    /// The checksum differs.
    #[error("row {0:02x?}: the checksum does not match")]
    Checksum(Vec<u8>),
    /// The key or the value cannot be read.
    #[error("row {0:02x?} cannot be read")]
    Unreadable(Vec<u8>),
    /// Rows contradict one another.
    #[error("{0}")]
    Contradiction(String),
}

const VERSION: u8 = 1;
const VALUE_HEAD_BYTES: usize = 13;
/// Bytes of a row's key or value; longer ones are not ours.
pub(crate) const ROW_BYTES_MAX: usize = 64 * 1024 * 1024;

const MARKS: u8 = b'm';
const DEFINITION: u8 = b'd';
const QUEUE: u8 = b'q';
const STRETCH: u8 = b'r';
const PIECE: u8 = b'a';
const SEGMENT: u8 = b's';

#[derive(Encode, Decode)]
#[bincode(crate = "crate::encoding")]
struct MarksBody {
    applied: u64,
    queue: u32,
    group: u32,
    number: u64,
    cold: u32,
}

#[derive(Encode, Decode)]
#[bincode(crate = "crate::encoding")]
struct QueueBody {
    group: u32,
    next_seq: u64,
    floor: u64,
    /// First, last, deliveries.
    delivered: Vec<(u64, u64, u32)>,
}

#[derive(Encode, Decode)]
#[bincode(crate = "crate::encoding")]
struct StretchBody {
    segment: u32,
    last: u64,
    count: u32,
    live: u32,
    bytes: u64,
    recount: bool,
    /// Priority, first, last, count, bytes.
    priorities: Vec<(u8, u64, u64, u32, u64)>,
}

#[derive(Encode, Decode)]
#[bincode(crate = "crate::encoding")]
struct SegmentBody {
    slots: u64,
    live_slots: u64,
    record_bytes: u64,
    end: u32,
}

pub(super) fn segment_key(segment: SegmentId) -> Vec<u8> {
    key(SEGMENT, &[&segment.0.to_be_bytes()])
}

pub(super) fn queue_key(queue: QueueId) -> Vec<u8> {
    key(QUEUE, &[&queue.0.to_be_bytes()])
}

pub(super) fn stretch_key(queue: QueueId, first: Seq) -> Vec<u8> {
    key(STRETCH, &[&queue.0.to_be_bytes(), &first.0.to_be_bytes()])
}

pub(super) fn piece_key(queue: QueueId, piece: u64) -> Vec<u8> {
    key(PIECE, &[&queue.0.to_be_bytes(), &piece.to_be_bytes()])
}

pub(super) fn definition_key((group, definition): &(GroupId, DefinitionKey)) -> Vec<u8> {
    key(DEFINITION, &[&group.0.to_be_bytes(), &[definition.kind], &definition.name])
}

fn key(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![kind];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

/// The checksum a value carries; `None` if it is too short to be one.
pub(crate) fn stored_crc(value: &[u8]) -> Option<u32> {
    let mut fields = Fields(value);
    fields.u8()?;
    fields.u32()
}

/// The row's value around `body`.
pub(crate) fn seal(key: &[u8], lsn: Lsn, body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(VALUE_HEAD_BYTES + body.len());
    value.push(VERSION);
    value.extend_from_slice(&crc(key, VERSION, lsn, body).to_le_bytes());
    value.extend_from_slice(&lsn.0.to_le_bytes());
    value.extend_from_slice(body);
    value
}

/// The body within a row's value, after its checksum was verified.
pub(crate) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<(Lsn, &'a [u8]), RowError> {
    let unreadable = || RowError::Unreadable(key.to_vec());
    let mut fields = Fields(value);
    let version = fields.u8().ok_or_else(unreadable)?;
    let stored = fields.u32().ok_or_else(unreadable)?;
    let lsn = fields.lsn().ok_or_else(unreadable)?;
    if version != VERSION {
        return Err(unreadable());
    }
    if crc(key, version, lsn, fields.0) != stored {
        return Err(RowError::Checksum(key.to_vec()));
    }
    Ok((lsn, fields.0))
}

fn crc(key: &[u8], version: u8, lsn: Lsn, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in [key, &[version], &lsn.0.to_le_bytes(), body] {
        hasher.update(part);
    }
    hasher.finalize()
}

impl Index {
    /// Calls `each` with every row there is, in the order of their keys within a kind.
    pub(crate) fn all_rows(&self, mut each: impl FnMut(Row)) {
        each(self.marks_row());
        for (key, value) in &self.definitions {
            each(self.row(definition_key(key), value));
        }
        let queues: BTreeMap<QueueId, &QueueState> =
            self.queues.iter().map(|(id, queue)| (*id, queue)).collect();
        for (id, queue) in &queues {
            each(self.queue_row(*id, queue));
            for stretch in &queue.stretches {
                each(self.stretch_row(*id, stretch));
            }
            for piece in queue.settled.pieces() {
                each(self.piece_row(*id, queue, piece));
            }
        }
        for (id, segment) in &self.segments {
            each(self.segment_row(*id, segment));
        }
    }

    /// The rows changed since the last call; those removed come first.
    pub(crate) fn take_unsaved(&mut self) -> Vec<Row> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let mut rows: Vec<Row> = unsaved.removed.into_iter().map(|key| Row { key, value: None }).collect();
        rows.push(self.marks_row());
        for key in &unsaved.definitions {
            if let Some(value) = self.definitions.get(key) {
                rows.push(self.row(definition_key(key), value));
            }
        }
        for id in unsaved.queues {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            let of_queue = std::mem::take(&mut queue.unsaved);
            let Some(queue) = self.queues.get(&id) else { continue };
            rows.push(self.queue_row(id, queue));
            for first in of_queue.stretches {
                let position = queue.stretches.partition_point(|stretch| stretch.first < first);
                if let Some(stretch) = queue.stretches.get(position).filter(|stretch| stretch.first == first)
                {
                    rows.push(self.stretch_row(id, stretch));
                }
            }
            let pieces = of_queue.pieces.into_iter().map(|piece| self.piece_row(id, queue, piece));
            rows.extend(pieces);
        }
        for id in unsaved.segments {
            if let Some(segment) = self.segments.get(&id) {
                rows.push(self.segment_row(id, segment));
            }
        }
        rows
    }

    fn row(&self, key: Vec<u8>, body: &[u8]) -> Row {
        let value = Some(seal(&key, self.applied, body));
        Row { key, value }
    }

    fn marks_row(&self) -> Row {
        let Marks { queue, group, number, cold } = self.marks;
        let body =
            MarksBody { applied: self.applied.0, queue: queue.0, group: group.0, number, cold: cold.0 };
        self.row(vec![MARKS], &encoding::encode(&body))
    }

    fn queue_row(&self, id: QueueId, queue: &QueueState) -> Row {
        let delivered =
            queue.delivered.iter().map(|(first, (last, count))| (first.0, last.0, *count)).collect();
        let body = QueueBody {
            group: queue.group.0,
            next_seq: queue.next_seq.0,
            floor: queue.settled.floor().0,
            delivered,
        };
        self.row(queue_key(id), &encoding::encode(&body))
    }

    fn stretch_row(&self, id: QueueId, stretch: &Stretch) -> Row {
        let priorities = stretch.priorities.iter();
        let body = StretchBody {
            segment: stretch.segment.0,
            last: stretch.last.0,
            count: stretch.count,
            live: stretch.live,
            bytes: stretch.bytes,
            recount: stretch.recount,
            priorities: priorities
                .map(|run| (run.priority, run.first.0, run.last.0, run.count, run.bytes))
                .collect(),
        };
        self.row(stretch_key(id, stretch.first), &encoding::encode(&body))
    }

    fn piece_row(&self, id: QueueId, queue: &QueueState, piece: u64) -> Row {
        let key = piece_key(id, piece);
        match queue.settled.encode_piece(piece) {
            Some(body) => self.row(key, &body),
            None => Row { key, value: None },
        }
    }

    fn segment_row(&self, id: SegmentId, segment: &SegmentState) -> Row {
        let SegmentState { slots, live_slots, record_bytes, end } = *segment;
        let body = SegmentBody { slots, live_slots, record_bytes, end };
        self.row(segment_key(id), &encoding::encode(&body))
    }

    /// The index whose rows these are, whatever their order.
    pub(crate) fn from_rows(rows: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<Index, RowError> {
        let mut index = Index::default();
        for (key, value) in rows {
            let (_, body) = unseal(&key, &value)?;
            index.take_row(&key, body).ok_or(RowError::Unreadable(key))?;
        }
        index.check()?;
        let recount = |(id, queue): (&QueueId, &QueueState)| {
            queue.stretches.iter().any(|stretch| stretch.recount).then_some(*id)
        };
        index.recounts = index.queues.iter().filter_map(recount).collect();
        Ok(index)
    }

    fn take_row(&mut self, key: &[u8], body: &[u8]) -> Option<()> {
        let mut fields = BigEndian(key);
        match fields.u8()? {
            MARKS => {
                let row: MarksBody = encoding::decode(body, ROW_BYTES_MAX).ok()?;
                self.applied = Lsn(row.applied);
                self.marks = Marks {
                    queue: QueueId(row.queue),
                    group: GroupId(row.group),
                    number: row.number,
                    cold: SegmentId(row.cold),
                };
            }
            DEFINITION => {
                let group = GroupId(fields.u32()?);
                let kind = fields.u8()?;
                let name = std::mem::take(&mut fields.0).to_vec();
                let fits = body.len() <= DEFINITION_VALUE_BYTES_MAX;
                fits.then(|| self.definitions.insert((group, DefinitionKey { kind, name }), body.to_vec()))?;
            }
            QUEUE => {
                let row: QueueBody = encoding::decode(body, ROW_BYTES_MAX).ok()?;
                let queue = self.queues.entry(QueueId(fields.u32()?)).or_default();
                queue.group = GroupId(row.group);
                queue.next_seq = Seq(row.next_seq);
                queue.set_floor(Seq(row.floor));
                let delivered = row.delivered.into_iter();
                queue.delivered =
                    delivered.map(|(first, last, count)| (Seq(first), (Seq(last), count))).collect();
            }
            STRETCH => {
                let row: StretchBody = encoding::decode(body, ROW_BYTES_MAX).ok()?;
                let queue = self.queues.entry(QueueId(fields.u32()?)).or_default();
                queue.place(stretch(Seq(fields.u64()?), row));
            }
            PIECE => {
                let queue = self.queues.entry(QueueId(fields.u32()?)).or_default();
                let taken = queue.settled.decode_piece(fields.u64()?, body);
                taken.then_some(())?;
            }
            SEGMENT => {
                let row: SegmentBody = encoding::decode(body, ROW_BYTES_MAX).ok()?;
                let SegmentBody { slots, live_slots, record_bytes, end } = row;
                let state = SegmentState { slots, live_slots, record_bytes, end };
                self.segments.insert(SegmentId(fields.u32()?), state);
            }
            _ => return None,
        }
        fields.0.is_empty().then_some(())
    }

    /// Whether the rows agree with one another: what a lost row would break.
    fn check(&self) -> Result<(), RowError> {
        let contradiction = |what: String| Err(RowError::Contradiction(what));
        if self.applied == Lsn::NONE {
            return contradiction("the row of marks is missing".to_owned());
        }
        let mut live_slots: BTreeMap<SegmentId, u64> = BTreeMap::new();
        for (id, queue) in &self.queues {
            if !queue.is_consistent() {
                return contradiction(format!("the rows of queue {id} do not fit together"));
            }
            for stretch in &queue.stretches {
                *live_slots.entry(stretch.segment).or_default() += u64::from(stretch.live);
            }
        }
        for (id, segment) in &self.segments {
            if live_slots.remove(id).unwrap_or(0) != segment.live_slots {
                return contradiction(format!("the live messages of segment {id} do not add up"));
            }
        }
        match live_slots.into_iter().find(|(_, live)| *live > 0) {
            Some((id, _)) => contradiction(format!("segment {id} holds messages and has no row")),
            None => Ok(()),
        }
    }
}

fn stretch(first: Seq, row: StretchBody) -> Stretch {
    let segment = SegmentId(row.segment);
    let run = |(priority, first, last, count, bytes)| Run {
        segment,
        priority,
        first: Seq(first),
        last: Seq(last),
        count,
        bytes,
    };
    Stretch {
        segment,
        first,
        last: Seq(row.last),
        count: row.count,
        live: row.live,
        bytes: row.bytes,
        priorities: row.priorities.into_iter().map(run).collect(),
        recount: row.recount,
    }
}

impl QueueState {
    fn set_floor(&mut self, floor: Seq) {
        // Pieces may have been taken before or after: raising cuts nothing of them, for none lies below the floor.
        self.settled.raise_floor(floor);
    }

    /// Puts a stretch into its place; rows come in no order.
    fn place(&mut self, stretch: Stretch) {
        self.live += u64::from(stretch.live);
        let position = self.stretches.partition_point(|other| other.first < stretch.first);
        self.stretches.insert(position, stretch);
    }

    fn is_consistent(&self) -> bool {
        let ordered = self.stretches.iter().zip(self.stretches.iter().skip(1));
        ordered.into_iter().all(|(one, next)| one.last < next.first)
            && self
                .stretches
                .iter()
                .all(|stretch| stretch.first <= stretch.last && stretch.live <= stretch.count)
            && self.stretches.back().is_none_or(|stretch| stretch.last < self.next_seq)
            && self.settled.pieces().next().is_none_or(|piece| piece >= piece_of(self.settled.floor()))
    }
}

/// Big-endian fields, so that keys sort as their numbers do.
struct BigEndian<'a>(&'a [u8]);

impl BigEndian<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }
}
