//! Whole lists of what a vhost holds, for operators: asked for piece by piece, so that the vhost, which carries all messages,
//! serves its clients between two of them. What is listed was therefore not all there at the same moment.

use super::mail::VhostInbox;
use crate::limits::{HTTP_ROWS_PER_CHUNK, SORTED_HERE_MAX};
use crate::vhost::PolicyLayer;
use crate::vhost::figures::VhostFigures;
use crate::vhost::input::{AdminCommand, AdminReply};
use crate::vhost::report::{
    BindingReport, ChannelReport, ConsumerReport, ExchangeReport, PolicyReport, QueueReport,
};
use crate::vhost::views::{Look, Seen, Stretch};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// How often sums are begun again because a queue was deleted in the middle of them.
const SUMS_TRIES: usize = 2;

/// What a list of names is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Queues that clients can name.
    Queues,
    /// Exchanges.
    Exchanges,
}

impl VhostInbox {
    /// Looks at a part; `None` once the vhost is gone.
    pub(super) async fn look(&self, look: Look) -> Option<Seen> {
        match self.ask(AdminCommand::Look(look)).await? {
            AdminReply::Seen(seen) => Some(*seen),
            _ => None,
        }
    }

    /// All names of a kind, sorted.
    pub(super) async fn names(&self, kind: Listed) -> Option<Vec<Arc<str>>> {
        let mut names = Vec::new();
        let mut place = Some(0);
        while let Some(from) = place {
            let stretch = Stretch::from(from);
            let look = match kind {
                Listed::Queues => Look::QueueNames(stretch),
                Listed::Exchanges => Look::ExchangeNames(stretch),
            };
            let Seen::Names(more, next) = self.look(look).await? else { return None };
            names.extend(more);
            place = next;
        }
        if names.len() <= SORTED_HERE_MAX {
            return Some(sorted(names));
        }
        spawn_blocking(move || sorted(names)).await.ok()
    }

    /// Sums over everything.
    pub(super) async fn sums(&self) -> Option<VhostFigures> {
        for _ in 0..SUMS_TRIES {
            if let Some(sums) = self.sums_in_stretches().await? {
                return Some(sums);
            }
        }
        // Queues come and go all the time. What counts messages must never go back: one moment, then.
        match self.look(Look::Sums(Stretch::ALL)).await? {
            Seen::Sums { figures, .. } => Some(*figures),
            _ => None,
        }
    }

    /// `Some(None)` if a queue went meanwhile: what it counted may be missing, or be there twice.
    async fn sums_in_stretches(&self) -> Option<Option<VhostFigures>> {
        let mut sums = VhostFigures::default();
        let mut place = Some(0);
        let mut deleted_before = None;
        while let Some(from) = place {
            let look = Look::Sums(Stretch::from(from));
            let Seen::Sums { figures, next, deleted_count } = self.look(look).await? else { return None };
            if *deleted_before.get_or_insert(deleted_count) != deleted_count {
                return Some(None);
            }
            sums.tracing |= figures.tracing;
            sums.add(&figures);
            place = next;
        }
        Some(Some(sums))
    }

    /// All queues, by name.
    pub(super) async fn queues(&self) -> Option<Vec<QueueReport>> {
        let mut queues = Vec::new();
        for names in self.names(Listed::Queues).await?.chunks(HTTP_ROWS_PER_CHUNK) {
            let Seen::Queues(some) = self.look(Look::Queues(names.to_vec())).await? else { return None };
            queues.extend(some.into_iter().flatten());
        }
        Some(queues)
    }

    /// All exchanges, by name.
    pub(super) async fn exchanges(&self) -> Option<Vec<ExchangeReport>> {
        let mut exchanges = Vec::new();
        for names in self.names(Listed::Exchanges).await?.chunks(HTTP_ROWS_PER_CHUNK) {
            let Seen::Exchanges(some) = self.look(Look::Exchanges(names.to_vec())).await? else {
                return None;
            };
            exchanges.extend(some.into_iter().flatten());
        }
        Some(exchanges)
    }

    /// All bindings by source, destination and key, those of the default exchange too.
    pub(super) async fn bindings(&self) -> Option<Vec<BindingReport>> {
        let queues = self.names(Listed::Queues).await?;
        let implicit = queues.iter().map(|name| BindingReport {
            destination: name.to_string(),
            destination_kind: "queue",
            binding_key: name.to_string(),
            ..BindingReport::default()
        });
        let mut bindings: Vec<_> = implicit.collect();
        for exchange in self.names(Listed::Exchanges).await? {
            let Seen::Bindings(some) = self.look(Look::BindingsFrom(exchange)).await? else { return None };
            bindings.extend(some);
        }
        let by_place = |one: &BindingReport, other: &BindingReport| {
            (&one.source, &one.destination, &one.binding_key).cmp(&(
                &other.source,
                &other.destination,
                &other.binding_key,
            ))
        };
        if bindings.len() <= SORTED_HERE_MAX {
            bindings.sort_by(by_place);
            return Some(bindings);
        }
        let sort = move || {
            bindings.sort_by(by_place);
            bindings
        };
        spawn_blocking(sort).await.ok()
    }

    /// All consumers, by queue.
    pub(super) async fn consumers(&self) -> Option<Vec<ConsumerReport>> {
        let mut consumers = Vec::new();
        for names in self.names(Listed::Queues).await?.chunks(HTTP_ROWS_PER_CHUNK) {
            let Seen::Consumers(some) = self.look(Look::Consumers(names.to_vec())).await? else {
                return None;
            };
            consumers.extend(some);
        }
        Some(consumers)
    }

    /// All open channels.
    pub(super) async fn channels(&self) -> Option<Vec<ChannelReport>> {
        match self.look(Look::Channels).await? {
            Seen::Channels(channels) => Some(channels),
            _ => None,
        }
    }

    /// The policies of users or of operators, the lowest priority first.
    pub(super) async fn policies(&self, layer: PolicyLayer) -> Option<Vec<PolicyReport>> {
        match self.look(Look::Policies(layer)).await? {
            Seen::Policies(policies) => Some(policies),
            _ => None,
        }
    }
}

/// Without those that are there twice: a queue that was deleted and made again has another place.
fn sorted(mut names: Vec<Arc<str>>) -> Vec<Arc<str>> {
    names.sort_unstable();
    names.dedup();
    names
}
