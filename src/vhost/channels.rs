//! The channels and connections of a vhost: what each may receive, what it waits for, and the order of its notices.
//!
//! A notice that must wait for the disk holds back every later one of its channel. Confirms have an order of their own
//! and pass, except while a returned message is held back, which must precede its confirm.
//! Invariant: a notice leaves only through [`Channels::tell`], [`Channels::settle_get`] or a release.

use super::command::{Addressed, ChannelKey, ConnectionId, Notice, PublishSeq, Reply};
use super::commit::Parked;
use super::counts::{ChannelCounts, MessageCounts};
use super::input::{Effects, Identity, LogProgress};
use super::routing::RouteCache;
use super::slab::{Slab, slab_key};
use super::topology::QueueSlot;
use super::transaction::Transaction;
use crate::auth::Counted;
use crate::queue::{ChannelSlot, ConsumerSlot};
use ledgermq_storage::Lsn;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

/// A connection as its vhost numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ConnectionSlot(pub(super) u32);

slab_key!(ConnectionSlot);

/// What the log must reach before something may be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Until {
    /// This must survive a power cut.
    pub(super) durable: Lsn,
    /// This must survive the death of the process.
    pub(super) written: Lsn,
}

impl Until {
    /// Nothing to wait for.
    pub(super) const NOW: Until = Until { durable: Lsn::NONE, written: Lsn::NONE };

    /// Once the record at `lsn` is durable.
    pub(super) fn durable(lsn: Lsn) -> Self {
        Self { durable: lsn, ..Self::NOW }
    }

    pub(super) fn is_reached(self, progress: &LogProgress) -> bool {
        is_below(self.durable, progress.durable) && is_below(self.written, progress.written)
    }
}

/// Whether the record at `lsn` lies below a watermark; no record always does.
pub(super) fn is_below(lsn: Lsn, watermark: Lsn) -> bool {
    lsn == Lsn::NONE || lsn < watermark
}

/// A place in the order of a channel's notices.
#[derive(Debug)]
enum HeldBack {
    Notice {
        until: Until,
        notice: Notice,
    },
    /// The answer of a basic.get that waits for the disk.
    Get(GetTicket),
}

/// Ties a basic.get to its place among the notices of its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GetTicket(pub(super) u64);

/// A consumer of a channel: at which queue, and as whom there.
#[derive(Debug)]
pub(super) struct Consuming {
    pub(super) queue: QueueSlot,
    pub(super) consumer: ConsumerSlot,
    /// It counts among those of the vhost while it is here.
    pub(super) _counted: Counted,
}

/// One life of a channel.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, two of them marks of list membership")]
pub(super) struct Channel {
    pub(super) key: ChannelKey,
    pub(super) connection: ConnectionSlot,
    /// Takes commands. A closed one only waits to have its last notices sent.
    pub(super) is_open: bool,
    /// Prefetch of later consumers; 0 = no limit.
    pub(super) prefetch_count: u16,
    /// Prefetch of the channel as a whole; 0 = no limit.
    pub(super) global_prefetch_count: u16,
    /// Deliveries not settled, to consumers and to basic.get.
    pub(super) unacked_count: u64,
    /// Those to consumers: what the channel's prefetch counts.
    pub(super) consumed_count: u64,
    /// Consumers put to sleep because the channel or its connection was full, in the order in which they would have had
    /// their turn. May name some that are gone.
    pub(super) sleepers: Vec<(QueueSlot, ConsumerSlot)>,
    pub(super) consumers: HashMap<Arc<str>, Consuming>,
    /// Every queue that may hold messages for this channel.
    pub(super) queues: BTreeSet<QueueSlot>,
    pub(super) last_queue: Option<Arc<str>>,
    pub(super) confirms: bool,
    pub(super) transaction: Option<Transaction>,
    /// Its commit, while it waits for bodies.
    pub(super) parked: Option<Box<Parked>>,
    /// Publishes that wait for the disk, in order.
    unconfirmed: VecDeque<(Lsn, PublishSeq)>,
    /// Publishes to confirm or refuse when the batch is done.
    confirmed: Vec<PublishSeq>,
    refused: Vec<PublishSeq>,
    held_back: VecDeque<HeldBack>,
    held_back_returns: usize,
    /// In the list of those that wait for the log.
    is_listed: bool,
    /// In the list of those with something to say at the end of the input.
    is_due: bool,
    /// The last record of a publish.
    pub(super) published: Lsn,
    /// The last record of a settlement.
    pub(super) settled: Lsn,
    pub(super) route: RouteCache,
    pub(super) counts: ChannelCounts,
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    pub(super) channels: BTreeSet<ChannelSlot>,
    pub(super) exclusive_queues: BTreeSet<QueueSlot>,
    /// Deliveries on their way to the socket.
    pub(super) outbox_bytes: usize,
    /// A consumer was put to sleep because the outbox was full.
    pub(super) has_sleepers: bool,
    /// What its closed channels leave to wait for.
    pub(super) until: Until,
    pub(super) identity: Identity,
}

/// All channels and connections.
#[derive(Debug, Default)]
pub(super) struct Channels {
    pub(super) slots: Slab<ChannelSlot, Channel>,
    pub(super) connections: Slab<ConnectionSlot, Connection>,
    keys: HashMap<ChannelKey, ChannelSlot, foldhash::fast::FixedState>,
    connection_ids: HashMap<ConnectionId, ConnectionSlot, foldhash::fast::FixedState>,
    last_key: Option<(ChannelKey, ChannelSlot)>,
    /// Channels with something that waits for the log. May name one twice, or one that is gone.
    listed: Vec<ChannelSlot>,
    still_listed: Vec<ChannelSlot>,
    /// Channels with something to say at the end of the input. As above.
    due: Vec<ChannelSlot>,
    last_ticket: u64,
    /// What channels counted that are gone.
    gone: MessageCounts,
}

impl Channel {
    /// Whether its prefetch as a whole allows one more delivery.
    pub(super) fn has_credit(&self) -> bool {
        self.global_prefetch_count == 0 || self.consumed_count < u64::from(self.global_prefetch_count)
    }

    /// Publishes not yet confirmed.
    pub(super) fn unconfirmed_count(&self) -> usize {
        self.unconfirmed.len() + self.confirmed.len()
    }

    /// What every answer waits for: the settlements before it outlive the process.
    pub(super) fn settlements_written(&self) -> Until {
        Until { durable: Lsn::NONE, written: self.settled }
    }

    /// What its last answer waits for.
    pub(super) fn until(&self) -> Until {
        Until { durable: self.published, written: self.settled }
    }
}

impl Channels {
    /// The open channel of this key.
    pub(super) fn open_slot(&mut self, key: ChannelKey) -> Option<ChannelSlot> {
        if let Some((known, slot)) = self.last_key
            && known == key
        {
            return Some(slot);
        }
        let slot = self.keys.get(&key).copied()?;
        self.last_key = Some((key, slot));
        Some(slot)
    }

    pub(super) fn connection_slot(&self, id: ConnectionId) -> Option<ConnectionSlot> {
        self.connection_ids.get(&id).copied()
    }

    pub(super) fn attach(&mut self, id: ConnectionId) {
        let slot = self.connections.insert(Connection {
            id,
            channels: BTreeSet::new(),
            exclusive_queues: BTreeSet::new(),
            outbox_bytes: 0,
            has_sleepers: false,
            until: Until::NOW,
            identity: Identity::default(),
        });
        self.connection_ids.insert(id, slot);
    }

    /// Who a connection is.
    pub(super) fn identity(&self, slot: ConnectionSlot) -> Identity {
        self.connections.get(slot).map(|connection| connection.identity.clone()).unwrap_or_default()
    }

    /// Forgets a connection whose channels are all closed.
    pub(super) fn detach(&mut self, slot: ConnectionSlot) -> Option<Connection> {
        let connection = self.connections.remove(slot)?;
        self.connection_ids.remove(&connection.id);
        Some(connection)
    }

    /// Opens a channel; `None` if its connection is unknown or the key is open already.
    pub(super) fn open(&mut self, key: ChannelKey) -> Option<ChannelSlot> {
        let connection = self.connection_slot(key.connection)?;
        if self.keys.contains_key(&key) {
            return None;
        }
        let slot = self.slots.insert(Channel {
            key,
            connection,
            is_open: true,
            prefetch_count: 0,
            global_prefetch_count: 0,
            unacked_count: 0,
            consumed_count: 0,
            sleepers: Vec::new(),
            consumers: HashMap::new(),
            queues: BTreeSet::new(),
            last_queue: None,
            confirms: false,
            transaction: None,
            parked: None,
            unconfirmed: VecDeque::new(),
            confirmed: Vec::new(),
            refused: Vec::new(),
            held_back: VecDeque::new(),
            held_back_returns: 0,
            is_listed: false,
            is_due: false,
            published: Lsn::NONE,
            settled: Lsn::NONE,
            route: RouteCache::default(),
            counts: ChannelCounts::default(),
        });
        self.keys.insert(key, slot);
        self.connections.get_mut(connection)?.channels.insert(slot);
        Some(slot)
    }

    /// The channel takes no more commands. It lives on until its last notice is out.
    pub(super) fn close(&mut self, slot: ChannelSlot) {
        let Some(channel) = self.slots.get_mut(slot) else { return };
        channel.is_open = false;
        self.keys.remove(&channel.key);
        self.last_key = None;
        if let Some(connection) = self.connections.get_mut(channel.connection) {
            connection.channels.remove(&slot);
            let (all, one) = (&mut connection.until, channel.until());
            all.durable = all.durable.max(one.durable);
            all.written = all.written.max(one.written);
        }
        let gets = |held: &HeldBack| matches!(held, HeldBack::Get(_));
        channel.held_back.retain(|held| !gets(held));
        self.make_due(slot);
    }

    /// Forgets a channel and what it still had to say.
    pub(super) fn forget(&mut self, slot: ChannelSlot) {
        self.remove(slot);
    }

    fn remove(&mut self, slot: ChannelSlot) {
        if let Some(channel) = self.slots.remove(slot) {
            self.gone += channel.counts.into();
        }
    }

    /// What all channels counted, those that are gone included.
    pub(super) fn counts(&self) -> MessageCounts {
        let mut sum = self.gone;
        for (_, channel) in self.slots.iter() {
            sum += channel.counts.into();
        }
        sum
    }

    /// Says something on a channel once `until` is reached and everything before is said.
    pub(super) fn tell(
        &mut self,
        slot: ChannelSlot,
        notice: Notice,
        until: Until,
        progress: &LogProgress,
        effects: &mut Effects,
    ) {
        let Some(channel) = self.slots.get_mut(slot) else { return };
        if channel.held_back.is_empty() && until.is_reached(progress) {
            effects.notices.push(Addressed { channel: channel.key, notice });
            return;
        }
        if matches!(notice, Notice::Returned { .. }) {
            channel.held_back_returns += 1;
        }
        channel.held_back.push_back(HeldBack::Notice { until, notice });
        self.list(slot);
    }

    /// Keeps a place among the notices of a channel for the answer of a basic.get.
    pub(super) fn expect_get(&mut self, slot: ChannelSlot) -> GetTicket {
        self.last_ticket += 1;
        let ticket = GetTicket(self.last_ticket);
        if let Some(channel) = self.slots.get_mut(slot) {
            channel.held_back.push_back(HeldBack::Get(ticket));
        }
        self.list(slot);
        ticket
    }

    /// Answers a basic.get in its place.
    pub(super) fn settle_get(
        &mut self,
        slot: ChannelSlot,
        ticket: GetTicket,
        reply: Reply,
        progress: &LogProgress,
        effects: &mut Effects,
    ) {
        let Some(channel) = self.slots.get_mut(slot) else { return };
        let place =
            channel.held_back.iter_mut().find(|held| matches!(held, HeldBack::Get(at) if *at == ticket));
        if let Some(place) = place {
            let until = Until { durable: Lsn::NONE, written: channel.settled };
            *place = HeldBack::Notice { until, notice: Notice::Reply(reply) };
        }
        channel.release(progress, effects);
    }

    /// A publish is to be confirmed once its record is durable.
    pub(super) fn confirm(&mut self, slot: ChannelSlot, publish: PublishSeq, lsn: Lsn) {
        let Some(channel) = self.slots.get_mut(slot) else { return };
        if lsn == Lsn::NONE {
            channel.confirmed.push(publish);
            self.make_due(slot);
        } else {
            channel.unconfirmed.push_back((lsn, publish));
            if !channel.is_listed {
                self.list(slot);
            }
        }
    }

    /// A publish could not be stored.
    pub(super) fn refuse(&mut self, slot: ChannelSlot, publish: PublishSeq) {
        if let Some(channel) = self.slots.get_mut(slot) {
            channel.refused.push(publish);
            self.make_due(slot);
        }
    }

    /// The log moved: says what can be said now, first confirms, then what was held back. Answers how many publishes
    /// were confirmed.
    pub(super) fn release_listed(&mut self, progress: &LogProgress, effects: &mut Effects) -> u64 {
        let mut confirmed_count = 0;
        let mut still_listed = std::mem::take(&mut self.still_listed);
        let mut listed = std::mem::take(&mut self.listed);
        for slot in listed.drain(..) {
            let Some(channel) = self.slots.get_mut(slot) else { continue };
            confirmed_count += channel.release_confirms(progress, effects);
            channel.release(progress, effects);
            channel.is_listed = channel.waits();
            if channel.is_listed {
                still_listed.push(slot);
            } else if !channel.is_open {
                self.remove(slot);
            }
        }
        self.still_listed = listed;
        self.listed = still_listed;
        confirmed_count
    }

    /// The input is done: says what became certain during it. Answers how many publishes were confirmed. Closed
    /// channels with nothing left to say go.
    pub(super) fn release_due(&mut self, progress: &LogProgress, effects: &mut Effects) -> u64 {
        let mut confirmed_count = 0;
        while let Some(slot) = self.due.pop() {
            let Some(channel) = self.slots.get_mut(slot) else { continue };
            channel.is_due = false;
            confirmed_count += channel.release_confirms(progress, effects);
            if !channel.is_open && !channel.waits() {
                self.remove(slot);
            }
        }
        confirmed_count
    }

    fn list(&mut self, slot: ChannelSlot) {
        if let Some(channel) = self.slots.get_mut(slot)
            && !channel.is_listed
        {
            channel.is_listed = true;
            self.listed.push(slot);
        }
    }

    fn make_due(&mut self, slot: ChannelSlot) {
        if let Some(channel) = self.slots.get_mut(slot)
            && !channel.is_due
        {
            channel.is_due = true;
            self.due.push(slot);
        }
    }
}

impl Channel {
    /// Says which publishes are safe or refused; answers how many are safe.
    pub(super) fn release_confirms(&mut self, progress: &LogProgress, effects: &mut Effects) -> u64 {
        let mut count = 0;
        if !self.refused.is_empty() {
            let refused = std::mem::take(&mut self.refused);
            self.tell_confirm(Notice::Refused(refused), effects);
        }
        if !self.confirmed.is_empty() {
            let confirmed = std::mem::take(&mut self.confirmed);
            count += confirmed.len() as u64;
            self.tell_confirm(Notice::Confirmed(confirmed), effects);
        }
        let durable = self.unconfirmed.partition_point(|(lsn, _)| *lsn < progress.durable);
        if durable > 0 {
            let confirmed: Vec<_> = self.unconfirmed.drain(..durable).map(|(_, publish)| publish).collect();
            count += confirmed.len() as u64;
            self.tell_confirm(Notice::Confirmed(confirmed), effects);
        }
        self.counts.confirm += count;
        count
    }

    /// Whether there is something left to say. A closed channel still waits to say what was held back, and no more.
    fn waits(&self) -> bool {
        !self.held_back.is_empty() || self.is_open && !self.unconfirmed.is_empty()
    }

    fn tell_confirm(&mut self, notice: Notice, effects: &mut Effects) {
        if self.held_back_returns == 0 {
            effects.notices.push(Addressed { channel: self.key, notice });
        } else {
            self.held_back.push_back(HeldBack::Notice { until: Until::NOW, notice });
        }
    }

    fn release(&mut self, progress: &LogProgress, effects: &mut Effects) {
        while let Some(HeldBack::Notice { until, .. }) = self.held_back.front()
            && until.is_reached(progress)
            && let Some(HeldBack::Notice { notice, .. }) = self.held_back.pop_front()
        {
            if matches!(notice, Notice::Returned { .. }) {
                self.held_back_returns -= 1;
            }
            effects.notices.push(Addressed { channel: self.key, notice });
        }
    }
}
