//! The numbers of the store, each its own type so that none is taken for another.
//! Knows nothing of what they number beyond these lines.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A segment of the WAL. Hot segments count up from 1; cold ones (written by compaction) have
    /// [`SegmentId::COLD`] set and a counter of their own. Never reused.
    SegmentId(u32)
}
number! {
    /// A queue, store-wide. Never reused: a queue deleted and declared again has a new id, so that an
    /// old acknowledgement can never hit a new message.
    QueueId(u32)
}
number! {
    /// Position of a message within its queue: +1 for each message enqueued, also for transient ones.
    Seq(u64)
}
number! {
    /// Owner of a record: the number of a vhost, or 0 for what stands above vhosts. Never reused.
    GroupId(u32)
}
number! {
    /// Position in the WAL: `segment << 32 | byte offset`. Within hot segments it grows with time, so a
    /// record is durable iff its `Lsn` is below the durable LSN.
    Lsn(u64)
}

impl SegmentId {
    /// Set in the id of a segment written by compaction.
    pub const COLD: u32 = 1 << 31;

    /// Whether compaction wrote this segment.
    pub fn is_cold(self) -> bool {
        self.0 & Self::COLD != 0
    }
}

impl GroupId {
    /// Vhosts, users, permissions, parameters.
    pub const GLOBAL: GroupId = GroupId(0);
}

impl Lsn {
    /// Below every record: the `Lsn` of what needs no disk.
    pub const NONE: Lsn = Lsn(0);

    /// The record that starts at `offset` bytes into `segment`.
    pub fn new(segment: SegmentId, offset: u32) -> Self {
        Lsn(u64::from(segment.0) << 32 | u64::from(offset))
    }

    /// The segment that holds the record.
    pub fn segment(self) -> SegmentId {
        SegmentId((self.0 >> 32) as u32)
    }

    /// Bytes from the start of that segment.
    pub fn offset(self) -> u32 {
        self.0 as u32
    }
}

impl Seq {
    /// The next position.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}
