//! Numbers for new queues and groups, none given twice in the life of a store, whatever crashes and deletes come between.
//! They are taken from blocks: a definition of the store's own says in the log up to where numbers may have been
//! given, before the first of them is used. A restart goes on behind that, so part of a block may stay unused.

use crate::field::Fields;
use crate::ids::{GroupId, QueueId};
use crate::record::DefinitionKey;
use crate::staging::Staging;

/// The kind of the store's own definitions; the broker uses others.
pub const STORE_DEFINITION_KIND: u8 = 255;
const NAME: &[u8] = b"ids";
/// Numbers claimed at a time.
const BLOCK: u32 = 256;

/// The numbers given and claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    queue: u32,
    group: u32,
    /// Numbers below may be given without another record.
    claimed: Claimed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Claimed {
    queue: u32,
    group: u32,
}

impl Ids {
    /// Goes on behind the highest numbers seen in the log and behind what was claimed.
    pub(crate) fn after(queue: QueueId, group: GroupId, claimed: Option<&[u8]>) -> Self {
        let claimed = claimed.and_then(parse).unwrap_or_default();
        let queue = claimed.queue.max(queue.0.saturating_add(1));
        let group = claimed.group.max(group.0.saturating_add(1));
        Ids { queue, group, claimed: Claimed { queue, group } }
    }

    pub(crate) fn next_queue(&mut self, log: &mut Staging) -> QueueId {
        let id = self.queue;
        assert!(id < u32::MAX, "a store holds fewer than four billion queues in its life");
        self.queue += 1;
        self.claim(log);
        QueueId(id)
    }

    pub(crate) fn next_group(&mut self, log: &mut Staging) -> GroupId {
        let id = self.group;
        assert!(id < u32::MAX, "a store holds fewer than four billion groups in its life");
        self.group += 1;
        self.claim(log);
        GroupId(id)
    }

    /// Logs a claim unless the numbers given are within the last one.
    fn claim(&mut self, log: &mut Staging) {
        if self.queue <= self.claimed.queue && self.group <= self.claimed.group {
            return;
        }
        let claimed =
            Claimed { queue: self.queue.saturating_add(BLOCK), group: self.group.saturating_add(BLOCK) };
        let mut value = claimed.queue.to_le_bytes().to_vec();
        value.extend_from_slice(&claimed.group.to_le_bytes());
        log.define(GroupId::GLOBAL, &[(Ids::key(), Some(value))]);
        self.claimed = claimed;
    }

    /// The definition that holds the claim, in the global group.
    pub(crate) fn key() -> DefinitionKey {
        DefinitionKey { kind: STORE_DEFINITION_KIND, name: NAME.to_vec() }
    }
}

fn parse(bytes: &[u8]) -> Option<Claimed> {
    let mut fields = Fields(bytes);
    Some(Claimed { queue: fields.u32()?, group: fields.u32()? })
}
