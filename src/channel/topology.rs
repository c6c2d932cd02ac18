//! The exchange and queue classes: names made clean, rights asked, and the rest handed to the vhost.
//!
//! | method | configure | write | read |
//! |---|---|---|---|
//! | exchange.declare | exchange | alternate exchange | exchange, if it names an alternate |
//! | queue.declare | queue | dead-letter exchange | queue, if it names a dead-letter exchange |
//! | exchange.delete, queue.delete | it | | |
//! | queue.bind, unbind | | queue | exchange |
//! | exchange.bind, unbind | | destination | source |
//! | queue.purge | | | queue |
//! | passive declare | any one of the three | | |
//!
//! Binding to a topic exchange also needs the right to the binding key, if the user's keys are restricted there.

use super::access::{Resource, topic_refusal};
use super::consumers::{GENERATED_PREFIX, LastQueue, without_line_breaks};
use super::{Context, Failure, Open};
use crate::auth::Access;
use crate::protocol::reply::{ChannelCode, ChannelError};
use crate::protocol::table::Table;
use crate::vhost::command::{Command, DIRECT_REPLY_TO};
use std::sync::Arc;

/// Fields of exchange.declare.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are the method's")]
pub(super) struct DeclareExchange<'a> {
    pub(super) name: &'a str,
    pub(super) kind: &'a str,
    pub(super) passive: bool,
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
    pub(super) nowait: bool,
    pub(super) arguments: Table,
}

/// Fields of queue.declare.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the fields are the method's")]
pub(super) struct DeclareQueue<'a> {
    pub(super) name: &'a str,
    pub(super) passive: bool,
    pub(super) durable: bool,
    pub(super) exclusive: bool,
    pub(super) auto_delete: bool,
    pub(super) nowait: bool,
    pub(super) arguments: Table,
}

/// Fields of queue.bind and unbind, exchange.bind and unbind. The destination is a queue or an exchange.
#[derive(Debug)]
pub(super) struct Bind<'a> {
    pub(super) add: bool,
    pub(super) destination: &'a str,
    pub(super) source: &'a str,
    pub(super) binding_key: &'a str,
    pub(super) nowait: bool,
    pub(super) arguments: Table,
}

impl Open {
    /// exchange.declare
    pub(super) fn declare_exchange(
        &mut self,
        declare: DeclareExchange<'_>,
        cx: &Context<'_>,
    ) -> Result<Command, Failure> {
        let DeclareExchange { name, kind, passive, durable, auto_delete, internal, nowait, arguments } =
            declare;
        let name = without_line_breaks(name);
        not_default(&name)?;
        let exchange = Resource::Exchange(&name);
        if passive {
            self.permissions.check_any(exchange, cx)?;
        } else {
            no_control_characters(exchange, &name)?;
            self.permissions.check(Access::Configure, exchange, cx)?;
            let alternate = arguments.get("alternate-exchange").and_then(|value| value.as_str());
            self.check_passing_on(exchange, alternate, cx)?;
        }
        let kind = kind.into();
        Ok(Command::DeclareExchange {
            name,
            kind,
            passive,
            durable,
            auto_delete,
            internal,
            nowait,
            arguments,
        })
    }

    /// exchange.delete
    pub(super) fn delete_exchange(
        &mut self,
        name: &str,
        if_unused: bool,
        nowait: bool,
        cx: &Context<'_>,
    ) -> Result<Command, Failure> {
        let name = without_line_breaks(name);
        not_default(&name)?;
        if name.starts_with(RESERVED_PREFIX) {
            let vhost = &cx.actor.vhost;
            let text = format!("deletion of system exchange '{name}' in vhost '{vhost}' not allowed");
            return Err(ChannelError::new(ChannelCode::AccessRefused, text).into());
        }
        self.permissions.check(Access::Configure, Resource::Exchange(&name), cx)?;
        Ok(Command::DeleteExchange { name, if_unused, nowait })
    }

    /// exchange.bind and exchange.unbind
    pub(super) fn bind_exchange(&mut self, bind: Bind<'_>, cx: &Context<'_>) -> Result<Command, Failure> {
        let Bind { add, destination, source, binding_key, nowait, arguments } = bind;
        let (destination, source) = (without_line_breaks(destination), without_line_breaks(source));
        self.permissions.check(Access::Write, Resource::Exchange(&destination), cx)?;
        not_default(&destination)?;
        not_default(&source)?;
        self.permissions.check(Access::Read, Resource::Exchange(&source), cx)?;
        let topic_refusal = topic_refusal(Access::Read, &source, std::iter::once(binding_key), cx);
        let binding_key = binding_key.into();
        Ok(Command::BindExchange { add, destination, source, binding_key, nowait, arguments, topic_refusal })
    }

    /// queue.declare
    pub(super) fn declare_queue(
        &mut self,
        declare: DeclareQueue<'_>,
        cx: &mut Context<'_>,
    ) -> Result<Command, Failure> {
        let DeclareQueue { name, passive, durable, exclusive, auto_delete, nowait, arguments } = declare;
        let name = without_line_breaks(name);
        // The vhost makes the name of a nameless queue; a right to names of that form is asked with another of them.
        let last = if name.is_empty() {
            LastQueue::Nameless(cx.tags.name(GENERATED_PREFIX))
        } else {
            LastQueue::Named(Arc::clone(&name))
        };
        let queue = Resource::Queue(last.resolve("").unwrap_or_default());
        if name.starts_with(DIRECT_REPLY_TO) {
            // Nothing is made, and who asks knows the name: a question that needs no right.
        } else if passive {
            self.permissions.check_any(queue, cx)?;
        } else {
            no_control_characters(queue, &name)?;
            if name.starts_with(RESERVED_PREFIX) {
                let text = format!("queue name '{name}' contains reserved prefix 'amq.*'");
                return Err(ChannelError::new(ChannelCode::AccessRefused, text).into());
            }
            self.permissions.check(Access::Configure, queue, cx)?;
            let dead_letters = arguments.get("x-dead-letter-exchange").and_then(|value| value.as_str());
            self.check_passing_on(queue, dead_letters, cx)?;
        }
        self.last_queue = last;
        Ok(Command::DeclareQueue { name, passive, durable, exclusive, auto_delete, nowait, arguments })
    }

    /// queue.delete
    pub(super) fn delete_queue(
        &mut self,
        name: &str,
        if_unused: bool,
        if_empty: bool,
        nowait: bool,
        cx: &Context<'_>,
    ) -> Result<Command, Failure> {
        let name = without_line_breaks(name);
        let asked = self.last_queue.resolve(&name)?;
        self.permissions.check(Access::Configure, Resource::Queue(asked), cx)?;
        Ok(Command::DeleteQueue { name, if_unused, if_empty, nowait })
    }

    /// queue.bind and queue.unbind
    pub(super) fn bind_queue(&mut self, bind: Bind<'_>, cx: &Context<'_>) -> Result<Command, Failure> {
        let Bind { add, destination, source, binding_key, nowait, arguments } = bind;
        let (queue, exchange) = (without_line_breaks(destination), without_line_breaks(source));
        let asked = self.last_queue.resolve(&queue)?;
        self.permissions.check(Access::Write, Resource::Queue(asked), cx)?;
        not_default(&exchange)?;
        self.permissions.check(Access::Read, Resource::Exchange(&exchange), cx)?;
        // The vhost puts the queue's name in the place of an empty key, if the queue's name is empty, too.
        let key = if queue.is_empty() && binding_key.is_empty() {
            self.last_queue.resolve("").unwrap_or_default()
        } else {
            binding_key
        };
        let topic_refusal = topic_refusal(Access::Read, &exchange, std::iter::once(key), cx);
        let binding_key = binding_key.into();
        Ok(Command::BindQueue { add, queue, exchange, binding_key, nowait, arguments, topic_refusal })
    }

    /// queue.purge
    pub(super) fn purge_queue(
        &mut self,
        name: &str,
        nowait: bool,
        cx: &Context<'_>,
    ) -> Result<Command, Failure> {
        let name = self.readable_queue(name, cx)?;
        Ok(Command::PurgeQueue { name, nowait })
    }

    /// What passes messages on to `target` by itself needs the right to read `from` and to write there.
    fn check_passing_on(
        &mut self,
        from: Resource<'_>,
        target: Option<&str>,
        cx: &Context<'_>,
    ) -> Result<(), ChannelError> {
        let Some(target) = target else { return Ok(()) };
        self.permissions.check(Access::Read, from, cx)?;
        self.permissions.check(Access::Write, Resource::Exchange(target), cx)
    }
}

/// Begins the names that only the broker gives.
const RESERVED_PREFIX: &str = "amq.";

fn not_default(exchange: &str) -> Result<(), ChannelError> {
    if exchange.is_empty() {
        let text = "operation not permitted on the default exchange";
        return Err(ChannelError::new(ChannelCode::AccessRefused, text));
    }
    Ok(())
}

/// Names reach logs, terminals and web pages; RabbitMQ lets control characters through, we do not.
fn no_control_characters(resource: Resource<'_>, name: &str) -> Result<(), ChannelError> {
    if name.contains(char::is_control) {
        let kind = match resource {
            Resource::Exchange(_) => "exchange",
            Resource::Queue(_) => "queue",
        };
        let text = format!("{kind} name '{}' contains control characters", name.escape_default());
        return Err(ChannelError::new(ChannelCode::AccessRefused, text));
    }
    Ok(())
}
