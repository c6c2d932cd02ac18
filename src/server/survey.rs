//! Whole lists of what a vhost holds, for operators: asked for piece by piece, so that the vhost, which carries all messages,
//! serves its clients between two of them. What is listed was therefore not all there at the same moment.

use super::mail::VhostInbox;
use crate::limits::{HTTP_ROWS_PER_CHUNK, SORTED_HERE_MAX, VHOST_PLACES_PER_LOOK};
use crate::vhost::figures::VhostFigures;
use crate::vhost::input::{AdminCommand, AdminReply};
use crate::vhost::report::{ChannelReport, ConsumerReport, ExchangeReport, PolicyReport, QueueReport};
use crate::vhost::views::{Look, Seen, Stretch};
use crate::vhost::{BindingObject, ExchangeObject, PolicyLayer, QueueObject};
use std::cmp::Ordering;
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
        let look = match kind {
            Listed::Queues => Look::QueueNames,
            Listed::Exchanges => Look::ExchangeNames,
        };
        let names = |seen| if let Seen::Names(some, next) = seen { Some((some, next)) } else { None };
        sorted_once(self.stretches(look, names).await?, Ord::cmp).await
    }

    /// All that is told stretch by stretch.
    async fn stretches<T>(
        &self,
        look: impl Fn(Stretch) -> Look,
        told: impl Fn(Seen) -> Option<(Vec<T>, Option<usize>)>,
    ) -> Option<Vec<T>> {
        let mut all = Vec::new();
        let mut place = Some(0);
        while let Some(from) = place {
            let (some, next) = told(self.look(look(Stretch::from(from))).await?)?;
            all.extend(some);
            place = next;
        }
        Some(all)
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
    pub(super) async fn bindings(&self) -> Option<Vec<BindingObject>> {
        let queues = self.names(Listed::Queues).await?;
        let mut bindings: Vec<_> = queues.iter().map(BindingObject::of_default_exchange).collect();
        for exchange in self.names(Listed::Exchanges).await? {
            bindings.extend(self.bindings_from(&exchange, false).await?);
        }
        sorted_once(bindings, BindingObject::order).await
    }

    /// The bindings of an exchange, in no order, and some perhaps twice; `only_lasting` leaves out those to queues that belong to a connection.
    pub(super) async fn bindings_from(
        &self,
        source: &Arc<str>,
        only_lasting: bool,
    ) -> Option<Vec<BindingObject>> {
        let mut bindings = Vec::new();
        let mut behind = None;
        loop {
            let (source, count) = (Arc::clone(source), VHOST_PLACES_PER_LOOK);
            let look = Look::BindingsFrom { source, behind, only_lasting, count };
            let Seen::Bindings(some, next) = self.look(look).await? else { return None };
            bindings.extend(some);
            if next.is_none() {
                return Some(bindings);
            }
            behind = next;
        }
    }

    /// The queues that belong to no connection as they were declared, by name.
    pub(super) async fn queue_objects(&self) -> Option<Vec<QueueObject>> {
        let told = |seen| if let Seen::QueueObjects(some, next) = seen { Some((some, next)) } else { None };
        let queues = self.stretches(Look::QueueObjects, told).await?;
        sorted_once(queues, |one, other| one.name.cmp(&other.name)).await
    }

    /// The exchanges that were made as they were declared, by name.
    pub(super) async fn exchange_objects(&self) -> Option<Vec<ExchangeObject>> {
        let told =
            |seen| if let Seen::ExchangeObjects(some, next) = seen { Some((some, next)) } else { None };
        let exchanges = self.stretches(Look::ExchangeObjects, told).await?;
        sorted_once(exchanges, |one, other| one.name.cmp(&other.name)).await
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

/// What was told stretch by stretch, in order, and each once: what was deleted and made again meanwhile has another place, and
/// may have been told at both. Many are sorted beside the threads that serve clients.
pub(super) async fn sorted_once<T: Send + 'static>(
    mut all: Vec<T>,
    order: impl Fn(&T, &T) -> Ordering + Send + 'static,
) -> Option<Vec<T>> {
    let is_short = all.len() <= SORTED_HERE_MAX;
    let sort = move || {
        all.sort_by(&order);
        all.dedup_by(|one, other| order(one, other).is_eq());
        all
    };
    if is_short { Some(sort()) } else { spawn_blocking(sort).await.ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_told_twice_is_listed_once() {
        for count in [10, SORTED_HERE_MAX + 1] {
            let told: Vec<_> = (0..count).chain(0..count / 2).rev().collect();
            let listed = sorted_once(told, Ord::cmp).await;
            assert_eq!(listed, Some((0..count).collect()));
        }
    }
}
