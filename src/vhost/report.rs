//! Views of a vhost for operators: plain data, made on request, for listings such as `list_queues`.
//! Knows no formatting: arguments are pairs of texts, absent policies are empty, times are left to the driver.

use super::command::ConnectionId;
use super::counts::MessageCounts;
use super::objects::BindingObject;
use crate::protocol::table::Table;
use std::sync::Arc;

/// Everything there is to see in a vhost at one moment. Each list is sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostReport {
    /// Name of the vhost.
    pub name: String,
    /// Messages are copied to the trace exchange.
    pub tracing: bool,
    /// Its queues.
    pub queues: Vec<QueueReport>,
    /// Its exchanges, the predeclared ones too.
    pub exchanges: Vec<ExchangeReport>,
    /// Its policies, the lowest priority first.
    pub policies: Vec<PolicyReport>,
    /// The policies of operators, the lowest priority first.
    pub operator_policies: Vec<PolicyReport>,
    /// Its bindings; the implicit ones of the default exchange first.
    pub bindings: Vec<BindingObject>,
    /// Its consumers.
    pub consumers: Vec<ConsumerReport>,
    /// Its open channels.
    pub channels: Vec<ChannelReport>,
    /// Counts since the vhost started.
    pub totals: VhostTotals,
    /// What all its channels counted, those that are gone included.
    pub counts: MessageCounts,
}

/// Messages counted since the vhost started (this process).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VhostTotals {
    /// Publishes received.
    pub published_count: u64,
    /// Confirms sent.
    pub confirmed_count: u64,
    /// Publishes refused (nack).
    pub refused_count: u64,
    /// Publishes no queue took.
    pub unroutable_count: u64,
    /// Mandatory publishes sent back.
    pub returned_count: u64,
    /// Messages handed to consumers and getters.
    pub delivered_count: u64,
    /// Messages acknowledged by clients.
    pub acked_count: u64,
    /// Messages put back by clients or for them.
    pub requeued_count: u64,
    /// Messages rejected without requeue by clients of queues with dead letters.
    pub rejected_count: u64,
    /// Messages whose time to live was over.
    pub expired_count: u64,
    /// Messages that a length limit pushed out or dead-lettered.
    pub overflowed_count: u64,
    /// Messages that came back too often.
    pub undeliverable_count: u64,
    /// Messages whose record could not be read and that were set aside.
    pub damaged_count: u64,
    /// Channels opened.
    pub channels_opened_count: u64,
    /// Declarations of queues that came to pass, of those that were there as well.
    pub queues_declared_count: u64,
    /// Queues that came.
    pub queues_created_count: u64,
    /// Queues that went.
    pub queues_deleted_count: u64,
}

/// A queue as operators see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct QueueReport {
    /// Name.
    pub name: String,
    /// The type it was declared with: `classic` or `quorum`.
    pub kind: &'static str,
    /// Survives restart.
    pub durable: bool,
    /// Goes with its last consumer.
    pub auto_delete: bool,
    /// Belongs to one connection.
    pub exclusive: bool,
    /// That connection.
    pub owner: Option<ConnectionId>,
    /// Declared arguments.
    pub arguments: Table,
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
    /// Consumers.
    pub consumers: u64,
    /// `running`.
    pub state: &'static str,
    /// The policy that governs it; empty if none does.
    pub policy: String,
    /// The same of operators.
    pub operator_policy: String,
    /// What both say together, by key.
    pub effective_policy: Vec<(String, serde_json::Value)>,
    /// What passed through it since the start.
    pub counts: MessageCounts,
    /// When a message last came or went, wall clock, ms; 0 = not since the start.
    pub active_unix_ms: u64,
    /// The exclusive consumer, or the active one of a queue with a single active consumer: channel and tag.
    pub sole_consumer: Option<(ConnectionId, u16, Arc<str>)>,
    /// Serves one consumer at a time.
    pub single_active_consumer: bool,
    /// A consumer could take a message now.
    pub has_ready_consumer: bool,
    /// The publisher's timestamp of the first message, seconds since 1970, if it is in memory and has one.
    pub head_timestamp_s: Option<u64>,
    /// How often a message may come back.
    pub delivery_limit: Option<u64>,
}

/// An exchange as operators see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExchangeReport {
    /// Name; empty for the default exchange.
    pub name: String,
    /// `direct`, `fanout`, `topic`, `headers`.
    pub kind: String,
    /// Survives restart.
    pub durable: bool,
    /// Goes with its last binding.
    pub auto_delete: bool,
    /// Clients cannot publish to it.
    pub internal: bool,
    /// Declared arguments.
    pub arguments: Table,
    /// The policy that governs it; empty if none does.
    pub policy: String,
    /// Bindings that lead from it, those that every queue has to the default exchange left out.
    pub binding_count: u64,
    /// Messages that wait in it for their time.
    pub messages_delayed: u64,
    /// What passed through it since the start.
    pub counts: MessageCounts,
}

/// A policy as operators see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReport {
    /// Name.
    pub name: String,
    /// What names are searched for.
    pub pattern: String,
    /// `all`, `queues`, …
    pub apply_to: &'static str,
    /// What it says: a JSON object, its keys in order.
    pub definition: String,
    /// The highest one that matches governs.
    pub priority: i64,
}

/// A consumer as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct ConsumerReport {
    /// Queue.
    pub queue: String,
    /// Connection.
    pub connection: ConnectionId,
    /// Channel number.
    pub channel: u16,
    /// Consumer tag.
    pub tag: Arc<str>,
    /// Messages must be acknowledged.
    pub ack_required: bool,
    /// Nobody else may consume.
    pub exclusive: bool,
    /// Prefetch asked for; 0 = no limit.
    pub prefetch_count: u16,
    /// Messages it holds.
    pub messages_unacknowledged: u64,
    /// Its queue serves one consumer at a time.
    pub single: bool,
    /// May receive messages: false for those who wait behind a single active consumer.
    pub active: bool,
    /// `x-priority`.
    pub priority: i64,
    /// Arguments.
    pub arguments: Table,
}

/// A channel as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelReport {
    /// Connection.
    pub connection: ConnectionId,
    /// Number.
    pub number: u16,
    /// Consumers.
    pub consumer_count: u64,
    /// Messages delivered and not settled.
    pub messages_unacknowledged: u64,
    /// Publishes not yet confirmed.
    pub messages_unconfirmed: u64,
    /// Publishes kept by the open transaction.
    pub messages_uncommitted: u64,
    /// Prefetch of later consumers; 0 = no limit.
    pub prefetch_count: u16,
    /// Prefetch of the channel as a whole; 0 = no limit.
    pub global_prefetch_count: u16,
    /// In confirm mode.
    pub confirm: bool,
    /// In transaction mode.
    pub transactional: bool,
    /// What passed through it.
    pub counts: MessageCounts,
}
