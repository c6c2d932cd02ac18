//! Every method a client may send, typed, borrowed from the frame it came in; [`super::client_codec`] reads them. What
//! the values mean is the channel's and the connection's business.
//! Source: AMQP 0-9-1 §1.3-1.8 with RabbitMQ's additions (connection.update-secret, confirm, basic.nack, exchange.bind).

use super::method_id::MethodId;
use super::table::Table;
use std::fmt;

/// Bytes that hold a password or token: `Debug` never shows them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(pub &'a [u8]);

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A method a client sent. Reserved fields (tickets, channel ids, capabilities) are read over.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMethod<'a> {
    /// connection.start-ok
    ConnectionStartOk {
        /// What the client says it is and can.
        client_properties: Table,
        /// The SASL mechanism it chose.
        mechanism: &'a str,
        /// What it says to that.
        response: Secret<'a>,
        /// Language of reply texts.
        locale: &'a str,
    },
    /// connection.secure-ok
    ConnectionSecureOk {
        /// Answer to a challenge.
        response: Secret<'a>,
    },
    /// connection.tune-ok
    ConnectionTuneOk {
        /// Highest channel number; 0 = no limit.
        channel_max: u16,
        /// Largest frame, bytes; 0 = no limit.
        frame_bytes_max: u32,
        /// Seconds; 0 = none.
        heartbeat_s: u16,
    },
    /// connection.open
    ConnectionOpen {
        /// Name of the vhost.
        vhost: &'a str,
    },
    /// connection.close
    ConnectionClose {
        /// Why.
        reply_code: u16,
        /// Why, in words.
        reply_text: &'a str,
        /// The method that failed, or 0/0.
        cause: MethodId,
    },
    /// connection.close-ok
    ConnectionCloseOk,
    /// connection.update-secret
    ConnectionUpdateSecret {
        /// The new password or token.
        new_secret: Secret<'a>,
        /// Why, for people.
        reason: &'a str,
    },

    /// channel.open
    ChannelOpen,
    /// channel.flow
    ChannelFlow {
        /// Deliver, else stop.
        active: bool,
    },
    /// channel.flow-ok
    ChannelFlowOk {
        /// As asked.
        active: bool,
    },
    /// channel.close
    ChannelClose {
        /// Why.
        reply_code: u16,
        /// Why, in words.
        reply_text: &'a str,
        /// The method that failed, or 0/0.
        cause: MethodId,
    },
    /// channel.close-ok
    ChannelCloseOk,

    /// access.request, of AMQP 0-9: always granted.
    AccessRequest {
        /// What for.
        realm: &'a str,
    },

    /// exchange.declare
    ExchangeDeclare {
        /// Name.
        exchange: &'a str,
        /// Type.
        kind: &'a str,
        /// Only ask whether it exists.
        passive: bool,
        /// Survives restart.
        durable: bool,
        /// Deleted with its last binding as a source.
        auto_delete: bool,
        /// Clients cannot publish to it.
        internal: bool,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },
    /// exchange.delete
    ExchangeDelete {
        /// Name.
        exchange: &'a str,
        /// Refuse while it has bindings as a source.
        if_unused: bool,
        /// Without a reply.
        nowait: bool,
    },
    /// exchange.bind
    ExchangeBind {
        /// Receives messages.
        destination: &'a str,
        /// Passes them on.
        source: &'a str,
        /// Binding key.
        routing_key: &'a str,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },
    /// exchange.unbind
    ExchangeUnbind {
        /// Receives messages.
        destination: &'a str,
        /// Passes them on.
        source: &'a str,
        /// Binding key.
        routing_key: &'a str,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },

    /// queue.declare
    QueueDeclare {
        /// Name, or empty for one of the broker's making.
        queue: &'a str,
        /// Only ask whether it exists.
        passive: bool,
        /// Survives restart.
        durable: bool,
        /// Belongs to this connection.
        exclusive: bool,
        /// Deleted with its last consumer.
        auto_delete: bool,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },
    /// queue.bind
    QueueBind {
        /// Queue, or empty for the last declared.
        queue: &'a str,
        /// Exchange.
        exchange: &'a str,
        /// Binding key.
        routing_key: &'a str,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },
    /// queue.unbind
    QueueUnbind {
        /// Queue, or empty for the last declared.
        queue: &'a str,
        /// Exchange.
        exchange: &'a str,
        /// Binding key.
        routing_key: &'a str,
        /// Arguments.
        arguments: Table,
    },
    /// queue.purge
    QueuePurge {
        /// Queue, or empty for the last declared.
        queue: &'a str,
        /// Without a reply.
        nowait: bool,
    },
    /// queue.delete
    QueueDelete {
        /// Queue, or empty for the last declared.
        queue: &'a str,
        /// Refuse while it has consumers.
        if_unused: bool,
        /// Refuse while it has ready messages.
        if_empty: bool,
        /// Without a reply.
        nowait: bool,
    },

    /// basic.qos
    BasicQos {
        /// Bytes; RabbitMQ knows only 0.
        prefetch_size: u32,
        /// Deliveries; 0 = no limit.
        prefetch_count: u16,
        /// For the channel, else for each later consumer.
        global: bool,
    },
    /// basic.consume
    BasicConsume {
        /// Queue, or empty for the last declared.
        queue: &'a str,
        /// Tag, or empty for one of the broker's making.
        consumer_tag: &'a str,
        /// Not what I published; nobody implements it.
        no_local: bool,
        /// Deliveries count as acked when sent.
        no_ack: bool,
        /// Nobody else may consume.
        exclusive: bool,
        /// Without a reply.
        nowait: bool,
        /// Arguments.
        arguments: Table,
    },
    /// basic.cancel
    BasicCancel {
        /// Tag.
        consumer_tag: &'a str,
        /// Without a reply.
        nowait: bool,
    },
    /// basic.cancel-ok, to a cancel of the broker's
    BasicCancelOk {
        /// Tag.
        consumer_tag: &'a str,
    },
    /// basic.publish; content header and body follow
    BasicPublish {
        /// Exchange, empty for the default one.
        exchange: &'a str,
        /// Routing key.
        routing_key: &'a str,
        /// Return it if no queue takes it.
        mandatory: bool,
        /// Not implemented.
        immediate: bool,
    },
    /// basic.get
    BasicGet {
        /// Queue, or empty for the last declared.
        queue: &'a str,
        /// Counts as acked when sent.
        no_ack: bool,
    },
    /// basic.ack
    BasicAck {
        /// Delivery tag.
        delivery_tag: u64,
        /// It and all before.
        multiple: bool,
    },
    /// basic.reject
    BasicReject {
        /// Delivery tag.
        delivery_tag: u64,
        /// Back to its queue, else dead-letter or drop.
        requeue: bool,
    },
    /// basic.nack
    BasicNack {
        /// Delivery tag.
        delivery_tag: u64,
        /// It and all before.
        multiple: bool,
        /// Back to their queues, else dead-letter or drop.
        requeue: bool,
    },
    /// basic.recover-async
    BasicRecoverAsync {
        /// To whoever comes, else to the same consumer.
        requeue: bool,
    },
    /// basic.recover
    BasicRecover {
        /// To whoever comes, else to the same consumer.
        requeue: bool,
    },

    /// tx.select
    TxSelect,
    /// tx.commit
    TxCommit,
    /// tx.rollback
    TxRollback,
    /// confirm.select
    ConfirmSelect {
        /// Without a reply.
        nowait: bool,
    },
}

impl ClientMethod<'_> {
    /// Its class and method number.
    pub fn id(&self) -> MethodId {
        let (class, method) = match self {
            Self::ConnectionStartOk { .. } => (10, 11),
            Self::ConnectionSecureOk { .. } => (10, 21),
            Self::ConnectionTuneOk { .. } => (10, 31),
            Self::ConnectionOpen { .. } => (10, 40),
            Self::ConnectionClose { .. } => (10, 50),
            Self::ConnectionCloseOk => (10, 51),
            Self::ConnectionUpdateSecret { .. } => (10, 70),
            Self::ChannelOpen => (20, 10),
            Self::ChannelFlow { .. } => (20, 20),
            Self::ChannelFlowOk { .. } => (20, 21),
            Self::ChannelClose { .. } => (20, 40),
            Self::ChannelCloseOk => (20, 41),
            Self::AccessRequest { .. } => (30, 10),
            Self::ExchangeDeclare { .. } => (40, 10),
            Self::ExchangeDelete { .. } => (40, 20),
            Self::ExchangeBind { .. } => (40, 30),
            Self::ExchangeUnbind { .. } => (40, 40),
            Self::QueueDeclare { .. } => (50, 10),
            Self::QueueBind { .. } => (50, 20),
            Self::QueuePurge { .. } => (50, 30),
            Self::QueueDelete { .. } => (50, 40),
            Self::QueueUnbind { .. } => (50, 50),
            Self::BasicQos { .. } => (60, 10),
            Self::BasicConsume { .. } => (60, 20),
            Self::BasicCancel { .. } => (60, 30),
            Self::BasicCancelOk { .. } => (60, 31),
            Self::BasicPublish { .. } => (60, 40),
            Self::BasicGet { .. } => (60, 70),
            Self::BasicAck { .. } => (60, 80),
            Self::BasicReject { .. } => (60, 90),
            Self::BasicRecoverAsync { .. } => (60, 100),
            Self::BasicRecover { .. } => (60, 110),
            Self::BasicNack { .. } => (60, 120),
            Self::ConfirmSelect { .. } => (85, 10),
            Self::TxSelect => (90, 10),
            Self::TxCommit => (90, 20),
            Self::TxRollback => (90, 30),
        };
        MethodId::new(class, method)
    }
}
