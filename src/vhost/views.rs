//! Parts of a vhost, for operators who do not want all of it: each is small enough to be looked at between two batches of
//! commands. Whoever lists a hundred thousand queues asks for their names, and then for a few hundred at a time.

use super::command::ConnectionId;
use super::counts::MessageCounts;
use super::figures::VhostFigures;
use super::input::{AdminId, AdminReply, Effect};
use super::objects::{BindingObject, BindingPlace, ExchangeObject, QueueObject};
use super::report::{ChannelReport, ConsumerReport, ExchangeReport, PolicyReport, QueueReport};
use super::{Context, PolicyLayer, Vhost};
use crate::definitions::DestinationKind;
use crate::limits::VHOST_PLACES_PER_LOOK;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// How much there is: [`Seen::Sums`]. Queues are summed up a stretch at a time; what is not of queues comes with the
    /// first one.
    Sums(Stretch),
    /// The names of the queues that clients can name, in no order, a stretch at a time: [`Seen::Names`].
    QueueNames(Stretch),
    /// The same of exchanges.
    ExchangeNames(Stretch),
    /// These queues: [`Seen::Queues`].
    Queues(Vec<Arc<str>>),
    /// These exchanges: [`Seen::Exchanges`].
    Exchanges(Vec<Arc<str>>),
    /// The queues of a stretch that belong to no connection, as they were declared: [`Seen::QueueObjects`].
    QueueObjects(Stretch),
    /// The exchanges of a stretch that were made: [`Seen::ExchangeObjects`].
    ExchangeObjects(Stretch),
    /// The bindings of an exchange to others, a stretch at a time, those of the default exchange left out:
    /// [`Seen::Bindings`].
    BindingsFrom {
        /// The exchange.
        source: Arc<str>,
        /// Where the stretch before this one ended; `None` = from the first on.
        behind: Option<BindingPlace>,
        /// Leaves out those to queues that belong to a connection.
        only_lasting: bool,
        /// How many at a time; a few more come where one destination is bound several times by the same key.
        count: usize,
    },
    /// The bindings to a queue or an exchange, that of the default exchange left out: [`Seen::Bindings`].
    BindingsTo(DestinationKind, Arc<str>),
    /// The consumers of these queues: [`Seen::Consumers`].
    Consumers(Vec<Arc<str>>),
    /// The consumers of a channel, by connection and number: [`Seen::Consumers`].
    ConsumersOf(ConnectionId, u16),
    /// The open channels: [`Seen::Channels`].
    Channels,
    /// The policies of users, or of operators: [`Seen::Policies`].
    Policies(PolicyLayer),
    /// What these queues and exchanges counted: [`Seen::Counts`].
    Counts {
        /// Names of queues.
        queues: Vec<Arc<str>>,
        /// Names of exchanges.
        exchanges: Vec<Arc<str>>,
        /// Channels by connection and number; `None` = all that are open.
        channels: Option<Vec<(ConnectionId, u16)>>,
    },
}

/// Some of a vhost's queues or exchanges: whoever wants all asks for one stretch after the other, and the vhost serves its
/// clients in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Where to begin: 0, or what the stretch before this one said.
    pub from: usize,
    /// Places to look at; some may be empty.
    pub places: usize,
}

impl Stretch {
    /// All in one piece, however long that takes.
    pub const ALL: Self = Self { from: 0, places: usize::MAX };

    /// As much as a vhost does at a time, from this place on.
    pub fn from(from: usize) -> Self {
        Self { from, places: VHOST_PLACES_PER_LOOK }
    }
}

/// What was seen; lists are in the order in which they were asked for, with `None` for what is not there.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// See [`Look::Sums`].
    Sums {
        /// What there is in this stretch.
        figures: Box<VhostFigures>,
        /// Where the next stretch begins; `None` if this was the last.
        next: Option<usize>,
        /// Queues deleted since the vhost started, at this moment: if it moves while somebody goes from stretch to stretch, a
        /// queue may be counted in none of them or twice.
        deleted_count: u64,
    },
    /// See [`Look::QueueNames`]: names, and where the next stretch begins if there is one.
    Names(Vec<Arc<str>>, Option<usize>),
    /// See [`Look::Queues`].
    Queues(Vec<Option<QueueReport>>),
    /// See [`Look::Exchanges`].
    Exchanges(Vec<Option<ExchangeReport>>),
    /// See [`Look::QueueObjects`]: and where the next stretch begins if there is one.
    QueueObjects(Vec<QueueObject>, Option<usize>),
    /// See [`Look::ExchangeObjects`]: and where the next stretch begins if there is one.
    ExchangeObjects(Vec<ExchangeObject>, Option<usize>),
    /// See [`Look::BindingsFrom`]: and where this stretch ended if there is another behind it.
    Bindings(Vec<BindingObject>, Option<BindingPlace>),
    /// See [`Look::Consumers`].
    Consumers(Vec<ConsumerReport>),
    /// See [`Look::Channels`].
    Channels(Vec<ChannelReport>),
    /// See [`Look::Policies`].
    Policies(Vec<PolicyReport>),
    /// See [`Look::Counts`].
    Counts {
        /// Of queues, with the messages ready and unacknowledged.
        queues: Vec<Option<(MessageCounts, u64, u64)>>,
        /// Of exchanges.
        exchanges: Vec<Option<MessageCounts>>,
        /// Of channels, by connection and number, in no order.
        channels: Vec<((ConnectionId, u16), MessageCounts)>,
    },
}

impl Vhost {
    pub(super) fn answer_look(&mut self, id: AdminId, look: &Look, cx: &mut Context<'_>) {
        let seen = self.look(look);
        cx.effects.effects.push(Effect::Answer(id, AdminReply::Seen(Box::new(seen))));
    }

    /// Looks at a part.
    pub fn look(&self, look: &Look) -> Seen {
        match look {
            Look::Sums(stretch) => {
                let (figures, next) = self.figures_of(*stretch);
                let deleted_count = self.totals.queues_deleted_count;
                Seen::Sums { figures: Box::new(figures), next, deleted_count }
            }
            Look::QueueNames(Stretch { from, places }) => {
                let (records, next) = self.topology.queues.stretch(*from, *places);
                let named = records.filter(|record| record.delays_for.is_none());
                Seen::Names(named.map(|record| Arc::clone(&record.name)).collect(), next)
            }
            Look::ExchangeNames(Stretch { from, places }) => {
                let (records, next) = self.topology.exchanges.stretch(*from, *places);
                Seen::Names(records.map(|record| Arc::clone(&record.exchange.name)).collect(), next)
            }
            Look::Queues(names) => {
                Seen::Queues(names.iter().map(|name| self.queue_report_of(name)).collect())
            }
            Look::Exchanges(names) => {
                Seen::Exchanges(names.iter().map(|name| self.exchange_report_of(name)).collect())
            }
            Look::QueueObjects(stretch) => {
                let (queues, next) = self.queue_objects(*stretch);
                Seen::QueueObjects(queues, next)
            }
            Look::ExchangeObjects(stretch) => {
                let (exchanges, next) = self.exchange_objects(*stretch);
                Seen::ExchangeObjects(exchanges, next)
            }
            Look::BindingsFrom { source, behind, only_lasting, count } => {
                let (bindings, next) = self.bindings_behind(source, behind.clone(), (*only_lasting, *count));
                Seen::Bindings(bindings, next)
            }
            Look::BindingsTo(kind, name) => Seen::Bindings(self.bindings_to(*kind, name), None),
            Look::Consumers(names) => {
                let slots = names.iter().filter_map(|name| self.topology.queue_named(name));
                let records = slots.filter_map(|slot| self.topology.queues.get(slot));
                Seen::Consumers(records.flat_map(|record| self.consumers_of(record)).collect())
            }
            Look::ConsumersOf(connection, number) => {
                let is_its = |consumer: &ConsumerReport| {
                    (consumer.connection, consumer.channel) == (*connection, *number)
                };
                let slots = self.channels.slots.iter().map(|(_, channel)| channel);
                let mut queues: Vec<_> = slots
                    .filter(|channel| (channel.key.connection, channel.key.number) == (*connection, *number))
                    .flat_map(|channel| channel.consumers.values().map(|consuming| consuming.queue))
                    .collect();
                queues.sort_unstable();
                queues.dedup();
                let records = queues.into_iter().filter_map(|slot| self.topology.queues.get(slot));
                Seen::Consumers(records.flat_map(|record| self.consumers_of(record)).filter(is_its).collect())
            }
            Look::Channels => Seen::Channels(self.channel_reports()),
            Look::Policies(layer) => Seen::Policies(self.policy_reports(*layer)),
            Look::Counts { queues, exchanges, channels } => {
                self.counts_of(queues, exchanges, channels.as_deref())
            }
        }
    }

    fn counts_of(
        &self,
        queues: &[Arc<str>],
        exchanges: &[Arc<str>],
        channels: Option<&[(ConnectionId, u16)]>,
    ) -> Seen {
        let queue = |name: &Arc<str>| {
            let record = self.topology.queues.get(self.topology.queue_named(name)?)?;
            Some((record.counts.into(), record.ready_count(), record.queue.unacked_count()))
        };
        let exchange = |name: &Arc<str>| {
            let record = self.topology.exchanges.get(self.topology.exchange_named(name)?)?;
            Some(record.counts.into())
        };
        let wanted: Option<BTreeSet<_>> = channels.map(|channels| channels.iter().copied().collect());
        let is_wanted = |key: (ConnectionId, u16)| wanted.as_ref().is_none_or(|wanted| wanted.contains(&key));
        let no_channels = wanted.as_ref().is_some_and(BTreeSet::is_empty);
        let open = self.channels.slots.iter().map(|(_, channel)| channel).filter(|channel| channel.is_open);
        let open = open.take_while(|_| !no_channels);
        Seen::Counts {
            queues: queues.iter().map(queue).collect(),
            exchanges: exchanges.iter().map(exchange).collect(),
            channels: open
                .map(|channel| ((channel.key.connection, channel.key.number), channel.counts.into()))
                .filter(|(key, _)| is_wanted(*key))
                .collect(),
        }
    }
}
