//! Which method of an open channel goes where. One line each; every method a client can send is named, so that a new one
//! asks for its place.

use super::consumers::Consume;
use super::settle::{Settlement, refused};
use super::topology::{Bind, DeclareExchange, DeclareQueue};
use super::{Context, Failure, Open, second_open};
use crate::protocol::client_method::ClientMethod as M;
use crate::protocol::frame::ChannelId;
use crate::protocol::reply::{ConnectionCode, ConnectionError};
use crate::protocol::server_method::ServerMethod;
use crate::vhost::command::{ChannelKey, Command, Envelope, Outcome};

impl Open {
    /// Handles a method other than channel.close.
    pub(super) fn handle(
        &mut self,
        key: ChannelKey,
        id: ChannelId,
        method: M<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let name = method.id();
        match method {
            M::BasicPublish { exchange, routing_key, mandatory, immediate } => {
                self.publish(exchange, routing_key, mandatory, immediate)
            }
            M::BasicAck { delivery_tag: tag, multiple } => {
                self.settle(key, name, Settlement { tag, multiple, outcome: Outcome::Ack }, cx)
            }
            M::BasicNack { delivery_tag: tag, multiple, requeue } => {
                self.settle(key, name, Settlement { tag, multiple, outcome: refused(requeue) }, cx)
            }
            M::BasicReject { delivery_tag: tag, requeue } => {
                self.settle(key, name, Settlement { tag, multiple: false, outcome: refused(requeue) }, cx)
            }
            M::ChannelFlow { active: true } => {
                cx.out.outbound.method(id.get(), &ServerMethod::ChannelFlowOk { active: true });
                Ok(())
            }
            M::ChannelFlow { active: false } => {
                Err(ConnectionError::new(ConnectionCode::NotImplemented, "active=false").into())
            }
            M::AccessRequest { .. } => {
                cx.out.outbound.method(id.get(), &ServerMethod::AccessRequestOk);
                Ok(())
            }
            // The answer to a cancel of ours.
            M::BasicCancelOk { .. } => Ok(()),
            asks_vhost => {
                let command = self.command(asks_vhost, cx)?;
                cx.out.commands.push(Envelope { channel: key, method: name, command });
                Ok(())
            }
        }
    }

    /// The command that a method becomes.
    fn command(&mut self, method: M<'_>, cx: &mut Context<'_>) -> Result<Command, Failure> {
        match method {
            M::ExchangeDeclare { .. }
            | M::ExchangeDelete { .. }
            | M::ExchangeBind { .. }
            | M::ExchangeUnbind { .. } => self.exchange_command(method, cx),
            M::QueueDeclare { .. }
            | M::QueueBind { .. }
            | M::QueueUnbind { .. }
            | M::QueuePurge { .. }
            | M::QueueDelete { .. } => self.queue_command(method, cx),
            M::BasicQos { prefetch_size, prefetch_count, global } => {
                Self::qos(prefetch_size, prefetch_count, global)
            }
            M::BasicConsume {
                queue,
                consumer_tag: tag,
                no_local: _,
                no_ack,
                exclusive,
                nowait,
                arguments,
            } => self.consume(Consume { queue, tag, no_ack, exclusive, nowait, arguments }, cx),
            M::BasicCancel { consumer_tag, nowait } => Ok(self.cancel(consumer_tag, nowait)),
            M::BasicGet { queue, no_ack } => self.get(queue, no_ack, cx),
            M::BasicRecover { requeue } => self.recover(requeue, true),
            M::BasicRecoverAsync { requeue } => self.recover(requeue, false),
            M::TxSelect => self.tx_select(),
            M::TxCommit => self.tx_commit(),
            M::TxRollback => self.tx_rollback(),
            M::ConfirmSelect { nowait } => self.confirm_select(nowait),
            M::ChannelOpen => Err(second_open().into()),
            // Answers to what was never asked, and what belongs to the connection or was handled above.
            M::ChannelFlowOk { .. }
            | M::ChannelFlow { .. }
            | M::ChannelClose { .. }
            | M::ChannelCloseOk
            | M::AccessRequest { .. }
            | M::BasicPublish { .. }
            | M::BasicAck { .. }
            | M::BasicNack { .. }
            | M::BasicReject { .. }
            | M::BasicCancelOk { .. }
            | M::ConnectionStartOk { .. }
            | M::ConnectionSecureOk { .. }
            | M::ConnectionTuneOk { .. }
            | M::ConnectionOpen { .. }
            | M::ConnectionClose { .. }
            | M::ConnectionCloseOk
            | M::ConnectionUpdateSecret { .. } => {
                Err(ConnectionError::new(ConnectionCode::CommandInvalid, "unimplemented method").into())
            }
        }
    }

    fn exchange_command(&mut self, method: M<'_>, cx: &Context<'_>) -> Result<Command, Failure> {
        match method {
            M::ExchangeDeclare {
                exchange: name,
                kind,
                passive,
                durable,
                auto_delete,
                internal,
                nowait,
                arguments,
            } => {
                let declare = DeclareExchange {
                    name,
                    kind,
                    passive,
                    durable,
                    auto_delete,
                    internal,
                    nowait,
                    arguments,
                };
                self.declare_exchange(declare, cx)
            }
            M::ExchangeDelete { exchange, if_unused, nowait } => {
                self.delete_exchange(exchange, if_unused, nowait, cx)
            }
            M::ExchangeBind { destination, source, routing_key: binding_key, nowait, arguments } => self
                .bind_exchange(Bind { add: true, destination, source, binding_key, nowait, arguments }, cx),
            M::ExchangeUnbind { destination, source, routing_key: binding_key, nowait, arguments } => self
                .bind_exchange(Bind { add: false, destination, source, binding_key, nowait, arguments }, cx),
            _ => unreachable!("only methods of the exchange class come here"),
        }
    }

    fn queue_command(&mut self, method: M<'_>, cx: &mut Context<'_>) -> Result<Command, Failure> {
        match method {
            M::QueueDeclare { queue: name, passive, durable, exclusive, auto_delete, nowait, arguments } => {
                let declare =
                    DeclareQueue { name, passive, durable, exclusive, auto_delete, nowait, arguments };
                self.declare_queue(declare, cx)
            }
            M::QueueBind {
                queue: destination,
                exchange: source,
                routing_key: binding_key,
                nowait,
                arguments,
            } => self.bind_queue(Bind { add: true, destination, source, binding_key, nowait, arguments }, cx),
            M::QueueUnbind { queue: destination, exchange: source, routing_key: binding_key, arguments } => {
                self.bind_queue(
                    Bind { add: false, destination, source, binding_key, nowait: false, arguments },
                    cx,
                )
            }
            M::QueuePurge { queue, nowait } => self.purge_queue(queue, nowait, cx),
            M::QueueDelete { queue, if_unused, if_empty, nowait } => {
                self.delete_queue(queue, if_unused, if_empty, nowait, cx)
            }
            _ => unreachable!("only methods of the queue class come here"),
        }
    }
}
