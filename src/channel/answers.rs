//! What the vhost tells a channel, as frames. Notices come in the order the client must see them, so each is encoded as it
//! comes. A channel that is closing has nothing more to say; what the vhost still sends it is counted and dropped.

use super::{Channel, ChannelState, Context, Fatal, Life, Open, PublishMode};
use crate::message::Message;
use crate::protocol::frame::ChannelId;
use crate::protocol::method_id::MethodId;
use crate::protocol::publish_codec::{Content, Deliver, GetOk, Return};
use crate::protocol::reply::{ChannelCode, ChannelError};
use crate::protocol::server_method::ServerMethod;
use crate::vhost::command::{self, Notice, PublishSeq, Reply};
use std::sync::Arc;

impl Channel {
    /// Handles what the vhost says.
    pub(crate) fn notice(&mut self, notice: Notice, cx: &mut Context<'_>) -> Result<Life, Fatal> {
        let id = self.id;
        match notice {
            Notice::ConnectionFailed(error, cause) => return Err((error, cause)),
            Notice::ChannelFailed(error, cause) => {
                if !matches!(self.state, ChannelState::Closing) {
                    self.fail(&error, cause, cx);
                }
                return Ok(Life::Goes);
            }
            Notice::Reply(Reply::ChannelClosed) => return Ok(self.closed_by_vhost(cx)),
            Notice::TimedOut { tag, timeout_ms } => return self.timed_out(tag.as_ref(), timeout_ms, cx),
            Notice::Deliver(delivery) => {
                *cx.out.drained_bytes += delivery.message.resident_bytes();
                if let Some(open) = self.listening() {
                    open.deliver(id, &delivery, cx);
                }
            }
            notice => {
                if let Some(open) = self.listening() {
                    open.notice(id, notice, cx);
                }
            }
        }
        Ok(Life::Goes)
    }

    /// Deliveries were not settled in time: a client that understands hears that its consumer is cancelled, another that its
    /// channel is closed.
    fn timed_out(
        &mut self,
        tag: Option<&Arc<str>>,
        timeout_ms: u64,
        cx: &mut Context<'_>,
    ) -> Result<Life, Fatal> {
        let id = self.id;
        let ChannelState::Open(open) = &mut self.state else { return Ok(Life::Goes) };
        if let Some(tag) = tag
            && cx.capabilities.consumer_cancel_notify
        {
            open.cancelled(id, tag, cx);
            return Ok(Life::Goes);
        }
        let text = format!(
            "delivery acknowledgement on channel {} timed out. Timeout value used: {timeout_ms} ms. This timeout value \
             can be configured, see consumers doc guide to learn more",
            id.get()
        );
        let error = ChannelError::new(ChannelCode::PreconditionFailed, text);
        self.answer_failure(Err(error.into()), MethodId::default(), cx).map(|()| Life::Goes)
    }

    fn listening(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            ChannelState::Open(open) | ChannelState::Ending(open, _) => Some(open),
            ChannelState::Closing => None,
        }
    }

    fn closed_by_vhost(&mut self, cx: &mut Context<'_>) -> Life {
        match &self.state {
            ChannelState::Ending(_, closes) => {
                self.answer_closes(*closes, cx);
                Life::Over
            }
            // The answer to our own close is the client's to give.
            ChannelState::Open(_) | ChannelState::Closing => Life::Goes,
        }
    }
}

impl Open {
    fn notice(&mut self, id: ChannelId, notice: Notice, cx: &mut Context<'_>) {
        match notice {
            Notice::Confirmed(seqs) => self.confirmed(id, &seqs, cx),
            Notice::Refused(seqs) => self.refused(id, &seqs, cx),
            Notice::Returned { code, text, message } => {
                let Message { exchange, routing_key, .. } = &*message;
                let method = Return { reply_code: code, reply_text: text, exchange, routing_key };
                let (properties, body) = (&message.shown_properties(), &message.body);
                let content = Content { properties, body };
                cx.out.outbound.returned(id, cx.frame_bytes_max, &method, content);
            }
            Notice::ConsumerCancelled { tag } => self.cancelled(id, &tag, cx),
            Notice::Reply(reply) => self.reply(id, &reply, cx),
            Notice::Deliver(_)
            | Notice::TimedOut { .. }
            | Notice::ChannelFailed(..)
            | Notice::ConnectionFailed(..) => {
                unreachable!("handled before")
            }
        }
    }

    /// The vhost ended a consumer.
    fn cancelled(&mut self, id: ChannelId, tag: &Arc<str>, cx: &mut Context<'_>) {
        // The tag may stand for another consumer by now: then this one was cancelled by the client as well.
        if self.consumers.get_key_value(tag).is_some_and(|(known, _)| Arc::ptr_eq(known, tag)) {
            self.consumers.remove(tag);
            if cx.capabilities.consumer_cancel_notify {
                cx.out.outbound.method(id.get(), &ServerMethod::BasicCancel { consumer_tag: tag });
            }
        }
    }

    fn deliver(&mut self, id: ChannelId, delivery: &command::Deliver, cx: &mut Context<'_>) {
        let command::Deliver { tag, queue, seq, redelivered, no_ack, message } = delivery;
        let delivery_tag =
            if *no_ack { self.deliveries.draw() } else { self.deliveries.deliver(*queue, *seq) };
        let method = Deliver {
            consumer_tag: tag,
            delivery_tag: delivery_tag.0,
            redelivered: *redelivered,
            exchange: &message.exchange,
            routing_key: &message.routing_key,
        };
        let (properties, body) = (&message.shown_properties(), &message.body);
        cx.out.outbound.deliver(id, cx.frame_bytes_max, &method, Content { properties, body });
    }

    fn confirmed(&mut self, id: ChannelId, seqs: &[PublishSeq], cx: &mut Context<'_>) {
        if let PublishMode::Confirm(confirms) = &mut self.mode {
            confirms.confirmed(seqs, |answer| cx.out.outbound.ack(id, answer.seq, answer.multiple));
        }
    }

    fn refused(&mut self, id: ChannelId, seqs: &[PublishSeq], cx: &mut Context<'_>) {
        if let PublishMode::Confirm(confirms) = &mut self.mode {
            confirms.refused(seqs, |answer| cx.out.outbound.nack(id, answer.seq, answer.multiple));
        }
    }

    fn reply(&mut self, id: ChannelId, reply: &Reply, cx: &mut Context<'_>) {
        let method = match reply {
            Reply::ChannelOpened => ServerMethod::ChannelOpenOk,
            Reply::ExchangeDeclared => ServerMethod::ExchangeDeclareOk,
            Reply::ExchangeDeleted => ServerMethod::ExchangeDeleteOk,
            Reply::ExchangeBound => ServerMethod::ExchangeBindOk,
            Reply::ExchangeUnbound => ServerMethod::ExchangeUnbindOk,
            Reply::QueueDeclared { name, message_count, consumer_count } => {
                self.last_queue.declared(name);
                ServerMethod::QueueDeclareOk {
                    queue: name,
                    message_count: *message_count,
                    consumer_count: *consumer_count,
                }
            }
            Reply::QueueDeleted { message_count } => {
                ServerMethod::QueueDeleteOk { message_count: *message_count }
            }
            Reply::QueueBound => ServerMethod::QueueBindOk,
            Reply::QueueUnbound => ServerMethod::QueueUnbindOk,
            Reply::QueuePurged { message_count } => {
                ServerMethod::QueuePurgeOk { message_count: *message_count }
            }
            Reply::QosSet => ServerMethod::BasicQosOk,
            Reply::Consuming { tag } => ServerMethod::BasicConsumeOk { consumer_tag: tag },
            Reply::Cancelled { tag } => ServerMethod::BasicCancelOk { consumer_tag: tag },
            Reply::GetOk { queue, seq, no_ack, redelivered, message_count, message } => {
                let tag =
                    if *no_ack { self.deliveries.draw() } else { self.deliveries.deliver(*queue, *seq) };
                let method = GetOk {
                    delivery_tag: tag.0,
                    redelivered: *redelivered,
                    exchange: &message.exchange,
                    routing_key: &message.routing_key,
                    message_count: *message_count,
                };
                let (properties, body) = (&message.shown_properties(), &message.body);
                let content = Content { properties, body };
                return cx.out.outbound.get_ok(id, cx.frame_bytes_max, &method, content);
            }
            Reply::GetEmpty => ServerMethod::BasicGetEmpty,
            Reply::Recovered => ServerMethod::BasicRecoverOk,
            Reply::TxSelected => ServerMethod::TxSelectOk,
            Reply::TxCommitted => ServerMethod::TxCommitOk,
            Reply::TxRolledBack => ServerMethod::TxRollbackOk,
            Reply::ConfirmSelected => ServerMethod::ConfirmSelectOk,
            Reply::ChannelClosed => unreachable!("handled before"),
        };
        cx.out.outbound.method(id.get(), &method);
    }
}
