//! The conversation between a channel and its vhost, and all a channel may know of it.
//! A channel (floor 5, in the connection's task) sends [`Command`]s in batches; the vhost (floor 4, in its own
//! task) answers with [`Notice`]s in batches. Neither awaits the other.
//!
//! Order: the vhost handles the commands of a channel one after another, and the notices of a channel arrive in
//! the order a client must see them. A reply that must wait for the disk holds back every later notice of its
//! channel (confirms excepted, which have their own order). So a connection encodes notices as they come.
//!
//! Who knows what: the channel owns delivery tags, the half-received content, the mode (plain, confirm, tx) and the
//! permission checks; the vhost owns names, queues, prefetch credit and what is unacked.

use crate::message::Message;
pub use crate::protocol::method_id::MethodId;
use crate::protocol::reply::{ChannelError, ConnectionError};
use crate::protocol::table::Table;
use ledgermq_storage::{QueueId, Seq};
use std::sync::Arc;

/// A connection, broker-wide; never reused within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// One life of a channel number: a number closed and opened again is another channel, so that late notices of the
/// old life are told apart and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelKey {
    /// Whose channel.
    pub connection: ConnectionId,
    /// Its number, 1..=65535.
    pub number: u16,
    /// Counts the lives of the number on this connection, from 0.
    pub life: u32,
}

/// Sequence number of a publish on a channel in confirm mode, from 1; `delivery-tag` of the confirm on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublishSeq(pub u64);

/// What a channel asks of its vhost. The channel has already checked permissions and syntax.
#[derive(Debug)]
pub enum Command {
    /// channel.open. Answered by [`Reply::ChannelOpened`]. A key whose channel is not open (never opened, closed, or
    /// failed) has its other commands dropped silently.
    OpenChannel,
    /// channel.close, or the channel was closed for an error found on floor 5: cancels consumers, requeues what
    /// is unacked, drops an open transaction. Answered by [`Reply::ChannelClosed`] once everything the channel
    /// had published is durable.
    CloseChannel,

    /// basic.publish with its whole content.
    Publish(Publish),

    /// basic.publish whose properties cannot be: fails the channel with `error`, unless the exchange is a worse reason.
    RefusePublish {
        /// The exchange it was for.
        exchange: Arc<str>,
        /// What is wrong with the properties.
        error: ChannelError,
        /// What is told instead if the exchange is a topic exchange: one of the keys is not the user's to use there.
        topic_refusal: Option<Box<ChannelError>>,
    },

    /// exchange.declare.
    DeclareExchange {
        /// Name; never empty (the channel refuses the default exchange).
        name: Arc<str>,
        /// `direct`, `fanout`, `topic`, `headers`, or a name nobody knows.
        kind: Arc<str>,
        /// Only ask whether it exists.
        passive: bool,
        /// Survives restart.
        durable: bool,
        /// Deleted when its last binding as a source goes.
        auto_delete: bool,
        /// Clients cannot publish to it.
        internal: bool,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },
    /// exchange.delete.
    DeleteExchange {
        /// Name.
        name: Arc<str>,
        /// Refuse if it has bindings as a source.
        if_unused: bool,
        /// Without a reply.
        nowait: bool,
    },
    /// exchange.bind (`add`) and exchange.unbind.
    BindExchange {
        /// Bind, else unbind.
        add: bool,
        /// Receives messages.
        destination: Arc<str>,
        /// Passes them on.
        source: Arc<str>,
        /// Binding key.
        binding_key: Arc<str>,
        /// Without a reply.
        nowait: bool,
        /// Arguments, part of the binding's identity.
        arguments: Table,
        /// The answer if the source is a topic exchange: the key is not the user\'s to use there.
        topic_refusal: Option<Box<ChannelError>>,
    },

    /// queue.declare. An empty name asks for a generated one (`amq.gen-…`).
    DeclareQueue {
        /// Name or empty.
        name: Arc<str>,
        /// Only ask whether it exists (and is not locked).
        passive: bool,
        /// Survives restart.
        durable: bool,
        /// Belongs to this connection and goes with it.
        exclusive: bool,
        /// Deleted when its last consumer goes.
        auto_delete: bool,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },
    /// queue.delete. In this and the following, an empty queue name stands for the channel's last declared queue
    /// (the vhost remembers it; 404 `no previously declared queue`).
    DeleteQueue {
        /// Name or empty.
        name: Arc<str>,
        /// Refuse while it has consumers.
        if_unused: bool,
        /// Refuse while it has ready messages.
        if_empty: bool,
        /// Without a reply.
        nowait: bool,
    },
    /// queue.bind (`add`) and queue.unbind.
    BindQueue {
        /// Bind, else unbind.
        add: bool,
        /// Queue name or empty.
        queue: Arc<str>,
        /// Source exchange.
        exchange: Arc<str>,
        /// Binding key; empty together with an empty queue name stands for the queue's name.
        binding_key: Arc<str>,
        /// Without a reply (never for unbind).
        nowait: bool,
        /// Arguments, part of the binding's identity.
        arguments: Table,
        /// The answer if the exchange is a topic exchange: the key is not the user\'s to use there.
        topic_refusal: Option<Box<ChannelError>>,
    },
    /// queue.purge.
    PurgeQueue {
        /// Name or empty.
        name: Arc<str>,
        /// Without a reply.
        nowait: bool,
    },

    /// basic.qos; `global` false sets the prefetch of later consumers, true the channel's.
    Qos {
        /// 0 = no limit.
        prefetch_count: u16,
        /// For the channel as a whole.
        global: bool,
    },
    /// basic.consume. The channel has made sure that the tag is new on it (530 otherwise) and generated an empty one.
    Consume {
        /// Queue name or empty.
        queue: Arc<str>,
        /// Consumer tag, not empty.
        tag: Arc<str>,
        /// Deliveries count as acked when sent.
        no_ack: bool,
        /// Nobody else may consume.
        exclusive: bool,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },
    /// basic.cancel. Unknown tags are fine.
    Cancel {
        /// Consumer tag.
        tag: Arc<str>,
        /// Without a reply.
        nowait: bool,
    },
    /// basic.get. Answered by [`Reply::GetOk`] or [`Reply::GetEmpty`].
    Get {
        /// Queue name or empty.
        queue: Arc<str>,
        /// Counts as acked when sent.
        no_ack: bool,
    },
    /// basic.ack, nack, reject: deliveries the channel has resolved from their tags. Never in a transaction.
    Settle {
        /// What becomes of them.
        outcome: Outcome,
        /// In order of delivery; at least one. Unknown ones are ignored (their queue may be gone).
        deliveries: Vec<(QueueId, Seq)>,
    },
    /// basic.recover with requeue: everything unacked on this channel goes back. The channel forgets all its tags when
    /// it sends this. `reply` false for recover-async.
    Recover {
        /// In a transaction: the deliveries that are not settled in it. Those that are stay, until its commit or rollback.
        only: Option<Vec<(QueueId, Seq)>>,
        /// Answer with [`Reply::Recovered`].
        reply: bool,
    },

    /// tx.select. From now on publishes of this channel are routed and checked at once but kept until commit.
    TxSelect,
    /// tx.commit with the settlements made since the last commit or rollback.
    TxCommit {
        /// In order.
        settles: Vec<(Outcome, Vec<(QueueId, Seq)>)>,
    },
    /// tx.rollback: kept publishes are dropped (the channel itself forgets its kept settlements).
    TxRollback,
    /// confirm.select. Only so that its reply keeps its place among the channel's replies.
    ConfirmSelect {
        /// Without a reply.
        nowait: bool,
    },
}

impl Command {
    /// Bytes of the table it carries.
    pub(crate) fn argument_bytes(&self) -> usize {
        match self {
            Self::DeclareExchange { arguments, .. }
            | Self::BindExchange { arguments, .. }
            | Self::DeclareQueue { arguments, .. }
            | Self::BindQueue { arguments, .. }
            | Self::Consume { arguments, .. } => arguments.as_bytes().len(),
            Self::OpenChannel
            | Self::CloseChannel
            | Self::Publish(_)
            | Self::RefusePublish { .. }
            | Self::DeleteExchange { .. }
            | Self::DeleteQueue { .. }
            | Self::PurgeQueue { .. }
            | Self::Qos { .. }
            | Self::Cancel { .. }
            | Self::Get { .. }
            | Self::Settle { .. }
            | Self::Recover { .. }
            | Self::TxSelect
            | Self::TxCommit { .. }
            | Self::TxRollback
            | Self::ConfirmSelect { .. } => 0,
        }
    }
}

/// A publish on its way to the queues.
#[derive(Debug)]
pub struct Publish {
    /// The message.
    pub message: Arc<Message>,
    /// Its number if the channel is in confirm mode.
    pub publish_seq: Option<PublishSeq>,
    /// Return it if no queue takes it.
    pub mandatory: bool,
    /// Its `reply-to` is [`DIRECT_REPLY_TO`] and is to become the name of this channel's reply consumer.
    pub wants_reply: bool,
    /// The answer if the exchange is a topic exchange: one of the keys is not the user's to use there. The channel does
    /// not know exchanges, the vhost does not know users.
    pub topic_refusal: Option<Box<ChannelError>>,
}

/// The queue that is none: a consumer of it receives what is published to the name its requests carry as `reply-to`.
pub const DIRECT_REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// What a settled delivery becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done: gone for good.
    Ack,
    /// Back to its place, redelivered.
    Requeue,
    /// Rejected: dead-lettered where that is set up, else gone.
    Discard,
}

/// A command with its channel and the method it came from.
#[derive(Debug)]
pub struct Envelope {
    /// Sender.
    pub channel: ChannelKey,
    /// For the error reply.
    pub method: MethodId,
    /// The command.
    pub command: Command,
}

/// What a vhost tells a channel.
#[derive(Debug)]
pub enum Notice {
    /// The answer to a method that has one.
    Reply(Reply),
    /// A command failed. The vhost has already closed the channel on its side (as by [`Command::CloseChannel`], without
    /// the reply) and drops what it still sends.
    ChannelFailed(ChannelError, MethodId),
    /// A command failed so badly that the connection must go.
    ConnectionFailed(ConnectionError, MethodId),
    /// A message for a consumer: the channel draws the delivery tag.
    Deliver(Deliver),
    /// Publishes are safe; ascending, without doubles.
    Confirmed(Vec<PublishSeq>),
    /// Publishes could not be stored (basic.nack).
    Refused(Vec<PublishSeq>),
    /// A mandatory message nobody took. Precedes its confirm.
    Returned {
        /// 312.
        code: u16,
        /// `NO_ROUTE`.
        text: &'static str,
        /// The message.
        message: Arc<Message>,
    },
    /// Deliveries were not settled in time. Those of a consumer went back to its queue.
    TimedOut {
        /// The consumer that was ended, by the very tag of its [`Command::Consume`]; `None` if the deliveries belong to none
        /// (any more): then the channel must end.
        tag: Option<Arc<str>>,
        /// The time there was, ms.
        timeout_ms: u64,
    },
    /// The vhost ended a consumer (its queue is gone). The client hears of it only if it said it can.
    ConsumerCancelled {
        /// Which: not only an equal tag, but the very one that its [`Command::Consume`] carried.
        tag: Arc<str>,
    },
}

/// A message handed to a consumer.
#[derive(Debug)]
pub struct Deliver {
    /// Consumer.
    pub tag: Arc<str>,
    /// Where it came from, for settling. Without meaning if `no_ack`.
    pub queue: QueueId,
    /// Its place there.
    pub seq: Seq,
    /// May have been delivered before.
    pub redelivered: bool,
    /// Needs no settling.
    pub no_ack: bool,
    /// The message.
    pub message: Arc<Message>,
}

/// Answers, one per method that has one; the channel turns each into its `-ok` method.
#[derive(Debug)]
pub enum Reply {
    /// channel.open-ok
    ChannelOpened,
    /// channel.close-ok (or nothing, if the channel closed for an error)
    ChannelClosed,
    /// exchange.declare-ok
    ExchangeDeclared,
    /// exchange.delete-ok
    ExchangeDeleted,
    /// exchange.bind-ok
    ExchangeBound,
    /// exchange.unbind-ok
    ExchangeUnbound,
    /// queue.declare-ok
    QueueDeclared {
        /// Name, also a generated one.
        name: Arc<str>,
        /// Ready messages.
        message_count: u32,
        /// Consumers.
        consumer_count: u32,
    },
    /// queue.delete-ok
    QueueDeleted {
        /// Messages that went with it.
        message_count: u32,
    },
    /// queue.bind-ok
    QueueBound,
    /// queue.unbind-ok
    QueueUnbound,
    /// queue.purge-ok
    QueuePurged {
        /// Messages removed.
        message_count: u32,
    },
    /// basic.qos-ok
    QosSet,
    /// basic.consume-ok
    Consuming {
        /// Consumer tag.
        tag: Arc<str>,
    },
    /// basic.cancel-ok
    Cancelled {
        /// Consumer tag.
        tag: Arc<str>,
    },
    /// basic.get-ok: the channel draws the delivery tag.
    GetOk {
        /// Queue, for settling.
        queue: QueueId,
        /// Place, for settling.
        seq: Seq,
        /// Needs no settling.
        no_ack: bool,
        /// May have been delivered before.
        redelivered: bool,
        /// Ready messages left.
        message_count: u32,
        /// The message.
        message: Arc<Message>,
    },
    /// basic.get-empty
    GetEmpty,
    /// basic.recover-ok
    Recovered,
    /// tx.select-ok
    TxSelected,
    /// tx.commit-ok
    TxCommitted,
    /// tx.rollback-ok
    TxRolledBack,
    /// confirm.select-ok
    ConfirmSelected,
}

/// A notice with its channel.
#[derive(Debug)]
pub struct Addressed {
    /// Receiver; the connection drops it if this life of the channel is over.
    pub channel: ChannelKey,
    /// The notice.
    pub notice: Notice,
}
