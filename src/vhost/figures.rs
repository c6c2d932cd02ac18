//! Sums over a vhost, for who watches the broker from outside. Made without a copy of any name, and for a stretch of its
//! queues at a time, so that a vhost with 100,000 queues is asked as often as one likes.

use super::Vhost;
use super::counts::MessageCounts;
use super::report::VhostTotals;
use super::sizes::MessageSizes;
use super::topology::QueueRecord;
use super::views::Stretch;
use crate::queue::QueueKind;

/// How much there is in a vhost, or in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostFigures {
    /// Messages are copied to the trace exchange. Of one vhost; sums leave it alone.
    pub tracing: bool,
    /// Queues that clients can name.
    pub queues: u64,
    /// Exchanges, the predeclared ones too.
    pub exchanges: u64,
    /// Bindings, those of the default exchange left out.
    pub bindings: u64,
    /// Open channels.
    pub channels: u64,
    /// Those of them that published.
    pub publishers: u64,
    /// Consumers.
    pub consumers: u64,
    /// Messages waiting.
    pub messages_ready: u64,
    /// Messages with consumers.
    pub messages_unacknowledged: u64,
    /// Body bytes of the messages waiting.
    pub bytes_ready: u64,
    /// Body bytes of the messages with consumers.
    pub bytes_unacknowledged: u64,
    /// Messages of either kind whose body or entry is in memory.
    pub messages_resident: u64,
    /// Messages set aside because their record could not be read.
    pub messages_damaged: u64,
    /// Publishes not yet confirmed, all channels.
    pub messages_unconfirmed: u64,
    /// Publishes kept by open transactions, all channels.
    pub messages_uncommitted: u64,
    /// Counts since the vhost started.
    pub totals: VhostTotals,
    /// What passed through all channels since then.
    pub counts: MessageCounts,
    /// What all queues counted since then, those that are gone included.
    pub queue_counts: ByKind,
    /// How large the publishes since then were.
    pub sizes: MessageSizes,
}

/// What queues counted, by their kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByKind([MessageCounts; 3]);

impl ByKind {
    /// The sums of each kind.
    pub fn each(&self) -> [(QueueKind, &MessageCounts); 3] {
        let [classic, quorum, stream] = &self.0;
        [(QueueKind::Classic, classic), (QueueKind::Quorum, quorum), (QueueKind::Stream, stream)]
    }

    /// Adds what a queue counted.
    pub(super) fn add(&mut self, kind: QueueKind, counts: MessageCounts) {
        let [classic, quorum, stream] = &mut self.0;
        let sum = match kind {
            QueueKind::Classic => classic,
            QueueKind::Quorum => quorum,
            QueueKind::Stream => stream,
        };
        *sum += counts;
    }
}

impl VhostFigures {
    /// Adds those of another vhost.
    pub fn add(&mut self, other: &Self) {
        self.queues += other.queues;
        self.exchanges += other.exchanges;
        self.bindings += other.bindings;
        self.channels += other.channels;
        self.publishers += other.publishers;
        self.consumers += other.consumers;
        self.messages_ready += other.messages_ready;
        self.messages_unacknowledged += other.messages_unacknowledged;
        self.bytes_ready += other.bytes_ready;
        self.bytes_unacknowledged += other.bytes_unacknowledged;
        self.messages_resident += other.messages_resident;
        self.messages_damaged += other.messages_damaged;
        self.messages_unconfirmed += other.messages_unconfirmed;
        self.messages_uncommitted += other.messages_uncommitted;
        self.totals.add(&other.totals);
        self.counts += other.counts;
        other.queue_counts.each().into_iter().for_each(|(kind, counts)| self.queue_counts.add(kind, *counts));
        self.sizes.add(&other.sizes);
    }

    fn add_queue(&mut self, record: &QueueRecord) {
        let queue = &record.queue;
        self.queues += 1;
        self.queue_counts.add(record.declared.kind, record.counts.into());
        self.consumers += queue.consumer_count() as u64;
        self.messages_unacknowledged += queue.unacked_count();
        self.bytes_unacknowledged += queue.unacked_bytes();
        // As in the report of a queue: a stream keeps what it delivers.
        let (ready, bytes, resident, damaged) = match &record.stream {
            Some(stream) => {
                (stream.message_count(), stream.bytes(), stream.resident_count(), stream.damaged_count())
            }
            None => (queue.ready_count(), queue.ready_bytes(), queue.resident_count(), queue.damaged_count()),
        };
        self.messages_ready += ready;
        self.bytes_ready += bytes;
        self.messages_resident += resident;
        self.messages_damaged += damaged;
    }
}

impl VhostTotals {
    /// Adds those of another vhost.
    pub fn add(&mut self, other: &Self) {
        self.published_count += other.published_count;
        self.confirmed_count += other.confirmed_count;
        self.refused_count += other.refused_count;
        self.unroutable_count += other.unroutable_count;
        self.returned_count += other.returned_count;
        self.delivered_count += other.delivered_count;
        self.acked_count += other.acked_count;
        self.requeued_count += other.requeued_count;
        self.rejected_count += other.rejected_count;
        self.expired_count += other.expired_count;
        self.overflowed_count += other.overflowed_count;
        self.undeliverable_count += other.undeliverable_count;
        self.damaged_count += other.damaged_count;
        self.channels_opened_count += other.channels_opened_count;
        self.queues_declared_count += other.queues_declared_count;
        self.queues_created_count += other.queues_created_count;
        self.queues_deleted_count += other.queues_deleted_count;
    }
}

impl Vhost {
    /// Sums over everything there is to see.
    pub fn figures(&self) -> VhostFigures {
        self.figures_of(Stretch::ALL).0
    }

    /// Sums over a stretch of the queues, with the first one everything else; and where the next stretch begins.
    pub(super) fn figures_of(&self, stretch: Stretch) -> (VhostFigures, Option<usize>) {
        let (records, next) = self.topology.queues.stretch(stretch.from, stretch.places);
        let mut figures =
            if stretch.from == 0 { self.figures_beside_queues() } else { VhostFigures::default() };
        let named = records.filter(|record| record.delays_for.is_none());
        named.for_each(|record| figures.add_queue(record));
        (figures, next)
    }

    fn figures_beside_queues(&self) -> VhostFigures {
        let mut figures = VhostFigures {
            tracing: self.traces,
            exchanges: self.topology.exchange_count(),
            bindings: self.topology.binding_count(),
            totals: self.totals,
            counts: self.channels.counts(),
            queue_counts: self.gone,
            sizes: self.sizes,
            ..VhostFigures::default()
        };
        for (_, channel) in self.channels.slots.iter().filter(|(_, channel)| channel.is_open) {
            figures.channels += 1;
            figures.publishers += u64::from(channel.counts.publish > 0);
            figures.messages_unconfirmed += channel.unconfirmed_count() as u64;
            figures.messages_uncommitted += channel.transaction.as_ref().map_or(0, |kept| kept.len() as u64);
        }
        figures
    }
}
