//! basic.publish: from a finished content to a command, with the checks that need no queue or exchange.
//!
//! A publisher mostly repeats itself, so the last exchange, routing key and properties are kept: publishing the same way
//! again allocates nothing but the body and the message. Whether the exchange exists is the vhost's to say.
//! Source for order and texts of the checks: RabbitMQ's `rabbit_channel:handle_method(#'basic.publish'{})`.

use super::access::{self, Resource};
use super::content::{Assembly, Content};
use super::{Context, Failure, Open, PublishMode};
use crate::auth::Access;
use crate::limits::{EXPIRATION_MS_MAX, PROPERTIES_KEPT_BYTES_MAX};
use crate::message::{Holders, Message};
use crate::protocol::header_keys::UnacceptableHeader;
use crate::protocol::method_id::MethodId;
use crate::protocol::properties::Properties;
use crate::protocol::reply::{ChannelCode, ChannelError, ConnectionCode, ConnectionError};
use crate::vhost::command::{ChannelKey, Command, DIRECT_REPLY_TO, Envelope, Publish};
use bytes::Bytes;
use std::sync::Arc;

/// A publish whose content is on its way.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) exchange: Arc<str>,
    pub(super) routing_key: Arc<str>,
    pub(super) mandatory: bool,
}

/// What the last publish was like.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each the answer to a question not asked again"
)]
pub(super) struct PublishCache {
    exchange: Arc<str>,
    routing_key: Arc<str>,
    /// The user may write to `exchange`.
    allowed: bool,
    /// The user may use only some keys there, should it be a topic exchange.
    restricted: bool,
    /// Properties that passed all checks, and whether they say persistent.
    properties: Bytes,
    persistent: bool,
    /// They ask for direct replies.
    wants_reply: bool,
    /// The same as messages keep them, if `CC` or `BCC` makes that differ.
    marked: Option<Bytes>,
}

impl PublishCache {
    /// Makes the next publish ask for permission again.
    pub(super) fn forget_permission(&mut self) {
        self.allowed = false;
        self.properties = Bytes::new();
    }

    fn names(&mut self, exchange: &str, routing_key: &str) -> (Arc<str>, Arc<str>) {
        if *self.exchange != *exchange {
            self.exchange = exchange.into();
            self.allowed = false;
        }
        if *self.routing_key != *routing_key {
            self.routing_key = routing_key.into();
        }
        (Arc::clone(&self.exchange), Arc::clone(&self.routing_key))
    }

    fn bytes_of(&self, properties: &[u8]) -> Bytes {
        if self.properties == properties {
            self.properties.clone()
        } else {
            Bytes::copy_from_slice(properties)
        }
    }
}

impl Open {
    /// basic.publish: its content follows.
    pub(super) fn publish(
        &mut self,
        exchange: &str,
        routing_key: &str,
        mandatory: bool,
        immediate: bool,
    ) -> Result<(), Failure> {
        if immediate {
            return Err(ConnectionError::new(ConnectionCode::NotImplemented, "immediate=true").into());
        }
        let (exchange, routing_key) = self.publish_cache.names(exchange, routing_key);
        self.assembly = Assembly::AwaitHeader(Announced { exchange, routing_key, mandatory });
        Ok(())
    }

    /// A content header.
    pub(super) fn header(
        &mut self,
        key: ChannelKey,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let cache = &self.publish_cache;
        let content =
            self.assembly.header(payload, cx.message_bytes_max, |properties| cache.bytes_of(properties))?;
        content.map_or(Ok(()), |content| self.finish(key, content, cx))
    }

    /// A piece of a body.
    pub(super) fn body(
        &mut self,
        key: ChannelKey,
        payload: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let content = self.assembly.body(payload, cx.lent, cx.message_bytes_max, cx.half_received)?;
        content.map_or(Ok(()), |content| self.finish(key, content, cx))
    }

    /// Makes the command of a publish whose content is there.
    pub(super) fn finish(
        &mut self,
        key: ChannelKey,
        content: Content,
        cx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Content { announced: Announced { exchange, routing_key, mandatory }, properties, body } = content;
        let permitted = self.publish_cache.allowed && Arc::ptr_eq(&exchange, &self.publish_cache.exchange);
        if !permitted {
            self.permissions.check(Access::Write, Resource::Exchange(&exchange), cx)?;
            self.publish_cache.allowed = true;
            let (user, vhost) = (&cx.actor.user, &cx.actor.vhost);
            self.publish_cache.restricted = cx.accounts.has_topic_permission(user, vhost, &exchange);
        }
        if properties != self.publish_cache.properties {
            match self.check_properties(&exchange, &routing_key, &properties, cx) {
                Ok(marked) => self.publish_cache.marked = marked,
                Err((error, topic_refusal)) => {
                    // The vhost has the first word: there may be no such exchange.
                    let command = Command::RefusePublish { exchange, error, topic_refusal };
                    cx.out.commands.push(Envelope { channel: key, method: MethodId::BASIC_PUBLISH, command });
                    return Ok(());
                }
            }
            let kept = properties.len() <= PROPERTIES_KEPT_BYTES_MAX;
            self.publish_cache.properties = if kept { properties.clone() } else { Bytes::new() };
            let read = Properties::new(&properties);
            self.publish_cache.persistent = read.delivery_mode() == Some(PERSISTENT);
            self.publish_cache.wants_reply = read.reply_to() == Some(DIRECT_REPLY_TO);
        }
        let PublishCache { persistent, wants_reply, .. } = self.publish_cache;
        let properties = self.publish_cache.marked.clone().unwrap_or(properties);
        let publish_seq = match &mut self.mode {
            PublishMode::Confirm(confirms) => Some(confirms.number()),
            PublishMode::Plain | PublishMode::Transaction(_) => None,
        };
        let message = Message {
            exchange,
            routing_key,
            properties,
            body,
            persistent,
            dead_lettered: false,
            holders: Holders::default(),
        };
        *cx.out.command_bytes += message.resident_bytes();
        let mut topic_refusal = None;
        if self.publish_cache.restricted {
            let keys = std::iter::once(&*message.routing_key).chain(message.more_keys());
            topic_refusal = access::topic_refusal(Access::Write, &message.exchange, keys, cx);
        }
        let message = Arc::new(message);
        let publish = Publish { message, publish_seq, mandatory, wants_reply, topic_refusal };
        let command = Command::Publish(publish);
        cx.out.commands.push(Envelope { channel: key, method: MethodId::BASIC_PUBLISH, command });
        Ok(())
    }

    /// Checks what properties ask of the broker. Answers them as the message keeps them, if that is not as they came; else
    /// what is wrong, and what is told before it if the exchange is a topic exchange.
    /// Source of the order: RabbitMQ `rabbit_channel`, which looks at the keys between the headers and the user.
    fn check_properties(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: &[u8],
        cx: &Context<'_>,
    ) -> Result<Option<Bytes>, (ChannelError, Option<Box<ChannelError>>)> {
        let marked = check_form(properties).map_err(|error| (error, None))?;
        let properties = marked.as_deref().unwrap_or(properties);
        let Err(error) = check_user_id(properties, cx) else { return Ok(marked) };
        let mut topic_refusal = None;
        if self.publish_cache.restricted {
            let keys = std::iter::once(routing_key).chain(Properties::new(properties).more_keys());
            topic_refusal = access::topic_refusal(Access::Write, exchange, keys, cx);
        }
        Err((error, topic_refusal))
    }
}

/// Checks `expiration` and the headers that name more keys.
fn check_form(properties: &[u8]) -> Result<Option<Bytes>, ChannelError> {
    let properties = Properties::new(properties);
    if let Some(expiration) = properties.expiration() {
        check_expiration(expiration)
            .map_err(|why| precondition(format!("invalid expiration '{expiration}': {why}")))?;
    }
    properties.admit().map_err(|UnacceptableHeader { name, type_name }| {
        precondition(format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{type_name}}}"))
    })
}

/// Who publishes may not say that somebody else does.
fn check_user_id(properties: &[u8], cx: &Context<'_>) -> Result<(), ChannelError> {
    match Properties::new(properties).user_id() {
        Some(claimed)
            if *claimed != *cx.actor.user && !cx.accounts.has_tag(&cx.actor.user, "impersonator") =>
        {
            let user = &cx.actor.user;
            Err(precondition(format!(
                "user_id property set to '{claimed}' but authenticated user was '{user}'"
            )))
        }
        _ => Ok(()),
    }
}

/// Reads `expiration` as RabbitMQ does: an integer, with a sign if it likes, and nothing behind it.
fn check_expiration(text: &str) -> Result<(), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits_end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
    let (digits, leftover) = unsigned.split_at(digits_end);
    if digits.is_empty() {
        return Err("no_integer".to_owned());
    }
    if !leftover.is_empty() {
        return Err(format!("{{leftover_string,\"{leftover}\"}}"));
    }
    let number = digits.trim_start_matches('0');
    if text.starts_with('-') && !number.is_empty() {
        return Err(format!("{{value_negative,-{number}}}"));
    }
    if number.is_empty() || number.parse::<u64>().is_ok_and(|ms| ms <= EXPIRATION_MS_MAX) {
        return Ok(());
    }
    Err(format!("{{value_too_large,{number}}}"))
}

fn precondition(text: String) -> ChannelError {
    ChannelError::new(ChannelCode::PreconditionFailed, text)
}

const PERSISTENT: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiration_is_an_integer_of_at_most_ten_years() {
        fn check(text: &str, expected: Result<(), &str>) {
            assert_eq!(check_expiration(text), expected.map_err(str::to_owned), "{text:?}");
        }
        check("0", Ok(()));
        check("60000", Ok(()));
        check("+5", Ok(()));
        check("-0", Ok(()));
        check("000000000000000000000000000001", Ok(()));
        check("315360000000", Ok(()));
        check("315360000001", Err("{value_too_large,315360000001}"));
        check("99999999999999999999999", Err("{value_too_large,99999999999999999999999}"));
        check("-1", Err("{value_negative,-1}"));
        check("", Err("no_integer"));
        check("abc", Err("no_integer"));
        check("-", Err("no_integer"));
        check(" 1", Err("no_integer"));
        check("1s", Err("{leftover_string,\"s\"}"));
        check("1.5", Err("{leftover_string,\".5\"}"));
    }
}
