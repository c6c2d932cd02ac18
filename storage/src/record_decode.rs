//! Reading records: bytes become views, after their checksum and every length in them were checked. Nothing is allocated
//! or copied, whatever the bytes say, and nothing recurses: a transaction cannot hold another. Layouts are drawn in
//! `record`.

use crate::error::RecordError;
use crate::field::Fields;
use crate::ids::Lsn;
use crate::record::{
    ChangeView, ChangesView, DeliveredRange, DeliveredView, PublishView, PurgeView, RANGE_BYTES,
    RECORD_HEADER_BYTES, RecordHeader, RecordView, RelocateView, SettleRange, SettleReason, SettleView,
    TransactionView, checksum, delivered_range, flag, kind, padded, settle_range,
};

/// Decodes the record at the front of `bytes` (which may go on behind it), checking its checksum and every length.
///
/// # Errors
/// See [`RecordError`].
pub fn decode(bytes: &[u8], seed: u32) -> Result<(RecordHeader, RecordView<'_>), RecordError> {
    decode_at(bytes, Checksums::From(seed), Place::Outer)
}

/// Walks the records of a frame's payload (or of a transaction's body), which starts at `base` in the WAL. Ends
/// after the first error.
pub fn records(payload: &[u8], base: Lsn, seed: u32) -> Records<'_> {
    Records::new(payload, base, Checksums::From(seed), Place::Outer)
}

/// As [`records`], of a payload that has not left this process's memory: only lengths are checked.
pub(crate) fn own_records(payload: &[u8], base: Lsn) -> Records<'_> {
    Records::new(payload, base, Checksums::Known, Place::Outer)
}

/// The records inside a transaction, whose checksums and lengths were verified: none is an error.
pub(crate) fn nested_records(
    body: &[u8],
    base: Lsn,
) -> impl Iterator<Item = (Lsn, RecordHeader, RecordView<'_>)> {
    Records::new(body, base, Checksums::Known, Place::Nested).map_while(Result::ok)
}

/// Iterator of [`records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    at: Lsn,
    checksums: Checksums,
    place: Place,
}

/// How much a record's checksum is worth looking at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checksums {
    /// The bytes come from a disk; checksums start from the store's seed.
    From(u32),
    /// The bytes are as this process wrote them, or were checked already.
    Known,
}

impl Checksums {
    fn fit(self, stored: u32, bytes: &[u8]) -> bool {
        match self {
            Self::From(seed) => checksum(seed, bytes) == stored,
            Self::Known => true,
        }
    }
}

/// Where a record stands: a transaction cannot hold another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Outer,
    Nested,
}

impl<'a> Records<'a> {
    fn new(rest: &'a [u8], at: Lsn, checksums: Checksums, place: Place) -> Self {
        Records { rest, at, checksums, place }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<(Lsn, RecordHeader, RecordView<'a>), RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let decoded = decode_at(self.rest, self.checksums, self.place);
        let step = match &decoded {
            Ok((header, _)) => padded(header.len as usize),
            Err(_) => self.rest.len(),
        };
        let Some(rest) = self.rest.get(step..) else {
            self.rest = &[];
            return Some(Err(RecordError::Length));
        };
        let at = self.at;
        self.rest = rest;
        self.at = Lsn(at.0 + step as u64);
        Some(decoded.map(|(header, view)| (at, header, view)))
    }
}

fn decode_at(
    bytes: &[u8],
    checksums: Checksums,
    place: Place,
) -> Result<(RecordHeader, RecordView<'_>), RecordError> {
    let mut fields = Fields(bytes);
    let (stored_crc, header) = header(&mut fields).ok_or(RecordError::Length)?;
    let len = header.len as usize;
    if len < RECORD_HEADER_BYTES {
        return Err(RecordError::Length);
    }
    let checked = bytes.get(4..len).ok_or(RecordError::Length)?;
    if !checksums.fit(stored_crc, checked) {
        return Err(RecordError::Checksum);
    }
    let body = bytes.get(RECORD_HEADER_BYTES..len).ok_or(RecordError::Length)?;
    let view = body_view(&header, body, checksums, place)?;
    Ok((header, view))
}

fn header(fields: &mut Fields<'_>) -> Option<(u32, RecordHeader)> {
    let stored_crc = fields.u32()?;
    let header = RecordHeader {
        len: fields.u32()?,
        kind: fields.u8()?,
        version: fields.u8()?,
        flags: fields.u16()?,
        group: fields.group()?,
        number: fields.u64()?,
        unix_ms: fields.u64()?,
    };
    Some((stored_crc, header))
}

fn body_view<'a>(
    header: &RecordHeader,
    body: &'a [u8],
    checksums: Checksums,
    place: Place,
) -> Result<RecordView<'a>, RecordError> {
    let unknown = header.version != 1
        || !matches!(
            header.kind,
            kind::PUBLISH
                | kind::SETTLE
                | kind::TRANSACTION
                | kind::DEFINE
                | kind::PURGE
                | kind::DROP_QUEUE
                | kind::RELOCATE
                | kind::DELIVERED
        );
    if unknown {
        return if header.flags & flag::MUST_UNDERSTAND == 0 {
            Ok(RecordView::Unknown)
        } else {
            Err(RecordError::NotUnderstood { kind: header.kind, version: header.version })
        };
    }
    if header.kind == kind::TRANSACTION {
        return transaction(body, checksums, place).map(RecordView::Transaction);
    }
    let mut fields = Fields(body);
    let view = match header.kind {
        kind::PUBLISH => publish(&mut fields, header.flags).map(RecordView::Publish),
        kind::SETTLE => settle(&mut fields).map(RecordView::Settle),
        kind::DEFINE => changes(&mut fields).map(RecordView::Define),
        kind::PURGE => purge(&mut fields).map(RecordView::Purge),
        kind::DROP_QUEUE => drop_queue(&mut fields),
        kind::RELOCATE => relocate(&mut fields).map(RecordView::Relocate),
        _ => delivered(&mut fields).map(RecordView::Delivered),
    };
    match view {
        Some(view) if fields.is_empty() => Ok(view),
        _ => Err(RecordError::Body { kind: header.kind }),
    }
}

/// `count` items of `N` bytes each.
fn items<'a, const N: usize>(fields: &mut Fields<'a>, count: usize) -> Option<&'a [[u8; N]]> {
    let bytes = fields.bytes(count.checked_mul(N)?)?;
    Some(bytes.as_chunks::<N>().0)
}

fn publish<'a>(fields: &mut Fields<'a>, flags: u16) -> Option<PublishView<'a>> {
    let slots = usize::from(fields.u16()?);
    let exchange = usize::from(fields.u8()?);
    let routing_key = usize::from(fields.u8()?);
    let properties = fields.u32()? as usize;
    let body = usize::try_from(fields.u64()?).ok()?;
    let slots = items(fields, slots)?;
    Some(PublishView {
        exchange: fields.bytes(exchange)?,
        routing_key: fields.bytes(routing_key)?,
        properties: fields.bytes(properties)?,
        body: fields.bytes(body)?,
        persistent: flags & flag::PERSISTENT != 0,
        dead_lettered: flags & flag::DEAD_LETTERED != 0,
        slots,
    })
}

fn settle<'a>(fields: &mut Fields<'a>) -> Option<SettleView<'a>> {
    let count = usize::from(fields.u16()?);
    let reason = SettleReason::from_byte(fields.u8()?)?;
    fields.bytes(5)?;
    let ranges: &[[u8; RANGE_BYTES]] = items(fields, count)?;
    let fit = |range: SettleRange| range.first.0.checked_add(u64::from(range.count)).is_some();
    ranges.iter().map(settle_range).all(fit).then_some(SettleView { reason, ranges })
}

fn transaction(body: &[u8], checksums: Checksums, place: Place) -> Result<TransactionView<'_>, RecordError> {
    if place == Place::Nested {
        return Err(RecordError::Body { kind: kind::TRANSACTION });
    }
    for nested in Records::new(body, Lsn::NONE, checksums, Place::Nested) {
        match nested?.2 {
            RecordView::Publish(_) | RecordView::Settle(_) | RecordView::Unknown => {}
            RecordView::Transaction(_)
            | RecordView::Define(_)
            | RecordView::Purge(_)
            | RecordView::DropQueue(..)
            | RecordView::Relocate(_)
            | RecordView::Delivered(_) => return Err(RecordError::Body { kind: kind::TRANSACTION }),
        }
    }
    Ok(TransactionView { body })
}

fn changes<'a>(fields: &mut Fields<'a>) -> Option<ChangesView<'a>> {
    let count = fields.u32()?;
    fields.u32()?;
    let bytes = fields.0;
    for _ in 0..count {
        change(fields)?;
    }
    Some(ChangesView { count, bytes })
}

/// The next definition change.
pub(crate) fn change<'a>(fields: &mut Fields<'a>) -> Option<ChangeView<'a>> {
    let kind = fields.u8()?;
    let set = fields.u8()?;
    let name = usize::from(fields.u16()?);
    let value = fields.u32()? as usize;
    let name = fields.bytes(name)?;
    let value = fields.bytes(value)?;
    match set {
        0 if value.is_empty() => Some(ChangeView { kind, name, value: None }),
        1 => Some(ChangeView { kind, name, value: Some(value) }),
        _ => None,
    }
}

fn purge<'a>(fields: &mut Fields<'a>) -> Option<PurgeView<'a>> {
    let queue = fields.queue()?;
    let kept = fields.u32()? as usize;
    Some(PurgeView { queue, first: fields.seq()?, last: fields.seq()?, kept: items(fields, kept)? })
}

fn drop_queue<'a>(fields: &mut Fields<'a>) -> Option<RecordView<'a>> {
    let queue = fields.queue()?;
    fields.u32()?;
    Some(RecordView::DropQueue(queue, changes(fields)?))
}

fn relocate<'a>(fields: &mut Fields<'a>) -> Option<RelocateView<'a>> {
    let target = fields.segment()?;
    let sources = fields.u32()? as usize;
    Some(RelocateView { target, end: fields.u64()?, sources: items(fields, sources)? })
}

fn delivered<'a>(fields: &mut Fields<'a>) -> Option<DeliveredView<'a>> {
    let count = fields.u32()? as usize;
    fields.u32()?;
    let ranges: &[[u8; RANGE_BYTES]] = items(fields, count)?;
    let fit = |range: DeliveredRange| range.first <= range.last;
    ranges.iter().map(delivered_range).all(fit).then_some(DeliveredView { ranges })
}
