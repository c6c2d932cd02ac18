//! A queue and an exchange with what the vhost knows of them beside what they are.

use super::super::command::ConnectionId;
use super::super::consume::PendingGet;
use super::super::counts::{ExchangeCounts, QueueCounts};
use super::super::lifetime::Life;
use super::super::policy::Governing;
use super::{QueueSlot, Target};
use crate::definitions::{Definition, ExchangeDefinition, QueueDefinition};
use crate::exchange::{Exchange, History, Routes};
use crate::protocol::table::Table;
use crate::queue::{Queue, QueueArguments, QueueKind, QueueSettings, QueueValues, Serving, Stream};
use std::collections::VecDeque;
use std::sync::Arc;

/// A queue with what the vhost knows of it.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, two of them marks of list membership")]
pub(in crate::vhost) struct QueueRecord {
    pub(in crate::vhost) name: Arc<str>,
    pub(in crate::vhost) durable: bool,
    pub(in crate::vhost) auto_delete: bool,
    /// The connection it is exclusive to.
    pub(in crate::vhost) owner: Option<ConnectionId>,
    pub(in crate::vhost) arguments: Table,
    /// The arguments, parsed.
    pub(in crate::vhost) declared: QueueArguments,
    /// What is in force: the arguments, and what policies say beside them. Behaviours read it here; whoever changes it
    /// calls [`crate::vhost::Vhost::settings_changed`].
    pub(in crate::vhost) settings: QueueSettings,
    pub(in crate::vhost) governing: Governing,
    pub(in crate::vhost) queue: Queue,
    /// What makes it a stream. Its messages are here; its consumers are in `queue` like those of others.
    pub(in crate::vhost) stream: Option<Box<Stream>>,
    /// Calls of basic.get that wait for the disk, oldest first. They come before consumers.
    pub(in crate::vhost) gets: VecDeque<PendingGet>,
    /// In the list of queues to be looked at.
    pub(in crate::vhost) is_runnable: bool,
    /// In the list of queues that wait for the log.
    pub(in crate::vhost) is_waiting: bool,
    /// The walk that last reached it.
    pub(in crate::vhost) reached_in: u64,
    pub(in crate::vhost) life: Life,
    /// The exchange whose messages wait here for their time. Such a queue has no name for clients.
    pub(in crate::vhost) delays_for: Option<Arc<str>>,
    pub(in crate::vhost) counts: QueueCounts,
    /// When a message last came or went, wall clock; 0 = not since the start.
    pub(in crate::vhost) active_unix_ms: u64,
}

/// An exchange with its bindings.
#[derive(Debug)]
pub(in crate::vhost) struct ExchangeRecord {
    pub(in crate::vhost) exchange: Exchange,
    /// Where messages go that no binding takes: what the arguments say, or else a policy.
    pub(in crate::vhost) alternate_exchange: Option<Arc<str>>,
    pub(in crate::vhost) governing: Governing,
    pub(in crate::vhost) routes: Routes<Target>,
    /// The last messages, if it keeps any.
    pub(in crate::vhost) history: Option<History>,
    /// Where messages wait for their time, if it lets them.
    pub(in crate::vhost) delays_in: Option<QueueSlot>,
    /// The walk that last reached it.
    pub(in crate::vhost) reached_in: u64,
    pub(in crate::vhost) counts: ExchangeCounts,
}

/// The argument of an exchange that names its alternate.
pub(in crate::vhost) const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

impl QueueRecord {
    /// A queue nobody waits at yet.
    pub(in crate::vhost) fn new(
        name: Arc<str>,
        mut queue: Queue,
        arguments: Table,
        declared: QueueArguments,
    ) -> Self {
        let settings = declared.under(&QueueValues::default());
        match settings.kind {
            QueueKind::Quorum => queue.rank_urgent(),
            QueueKind::Classic | QueueKind::Stream => queue.rank(settings.priority_max.unwrap_or(0)),
        }
        queue.serve(match (settings.single_active_consumer, settings.kind) {
            (false, _) => Serving::All,
            (true, QueueKind::Classic) => Serving::One,
            (true, QueueKind::Quorum | QueueKind::Stream) => Serving::OneByPriority,
        });
        Self {
            name,
            durable: false,
            auto_delete: false,
            owner: None,
            arguments,
            declared,
            settings,
            governing: Governing::default(),
            queue,
            stream: None,
            gets: VecDeque::new(),
            is_runnable: false,
            is_waiting: false,
            reached_in: 0,
            life: Life::default(),
            delays_for: None,
            counts: QueueCounts::default(),
            active_unix_ms: 0,
        }
    }

    pub(in crate::vhost) fn definition(&self) -> Definition {
        Definition::Queue(QueueDefinition {
            name: self.name.to_string(),
            queue: self.queue.id(),
            auto_delete: self.auto_delete,
            arguments: self.arguments.as_bytes().to_vec(),
        })
    }

    /// Whether this connection may do more with it than publish.
    pub(in crate::vhost) fn is_open_to(&self, connection: ConnectionId) -> bool {
        self.owner.is_none_or(|owner| owner == connection)
    }

    /// Whether something is to be done when something happened to it.
    pub(in crate::vhost) fn wants_a_look(&self) -> bool {
        self.life.is_tended
            || self.has_demand()
            || self.stream.as_ref().is_some_and(|stream| stream.wants_trim())
    }

    /// Whether somebody waits for its messages.
    pub(in crate::vhost) fn has_demand(&self) -> bool {
        self.queue.has_ready_consumer() || !self.gets.is_empty()
    }
}

impl ExchangeRecord {
    pub(in crate::vhost) fn definition(&self) -> Definition {
        let exchange = &self.exchange;
        Definition::Exchange(ExchangeDefinition {
            name: exchange.name.to_string(),
            kind: exchange.kind.name().into(),
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments: exchange.arguments.as_bytes().to_vec(),
        })
    }
}

/// The alternate exchange that the arguments of exchange.declare name.
pub(in crate::vhost) fn declared_alternate(arguments: &Table) -> Option<Arc<str>> {
    Some(arguments.get(ALTERNATE_EXCHANGE)?.as_str()?.into())
}
