//! Little-endian fields at the front of a slice, taken one after another. Every read is checked; nothing is copied.
//! Knows no record: the callers know which field comes next.

use crate::ids::{GroupId, Lsn, QueueId, SegmentId, Seq};

/// What is left of the bytes being decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The next `count` bytes, or `None` if fewer are left.
    #[inline]
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn queue(&mut self) -> Option<QueueId> {
        self.u32().map(QueueId)
    }

    pub(crate) fn group(&mut self) -> Option<GroupId> {
        self.u32().map(GroupId)
    }

    pub(crate) fn seq(&mut self) -> Option<Seq> {
        self.u64().map(Seq)
    }

    pub(crate) fn lsn(&mut self) -> Option<Lsn> {
        self.u64().map(Lsn)
    }

    pub(crate) fn segment(&mut self) -> Option<SegmentId> {
        self.u32().map(SegmentId)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Overwrites `into[at..]` with `bytes`. The callers patch fields of buffers they have just laid out.
#[inline]
pub(crate) fn patch(into: &mut [u8], at: usize, bytes: &[u8]) {
    let place = into.get_mut(at..at + bytes.len());
    assert!(place.is_some(), "a patched field lies within the buffer laid out for it");
    if let Some(place) = place {
        place.copy_from_slice(bytes);
    }
}
