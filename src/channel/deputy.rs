//! Who acts in a vhost for somebody that has no connection there: a caller of the HTTP API, or the broker itself when it
//! brings definitions in. A deputy is a channel without frames: it makes the same commands after the same checks, so that
//! no rule is written twice, and leaves the vhost's notices to whoever sent it.

use super::content::Content;
use super::publish::Announced;
use super::{Actor, Context, Failure, Fatal, Open, Output, TagMaker};
use crate::auth::Accounts;
use crate::fair_budget::FairBudget;
use crate::limits::{CONSUMERS_PER_CHANNEL_MAX, FRAME_BYTES_MAX};
use crate::protocol::client_method::ClientMethod;
use crate::protocol::frame::ChannelId;
use crate::protocol::method_id::MethodId;
use crate::protocol::outbound::Outbound;
use crate::protocol::reply::{ChannelCode, ChannelError, ConnectionCode, ConnectionError};
use crate::protocol::server_properties::ClientCapabilities;
use crate::vhost::command::{ChannelKey, Command, ConnectionId, Envelope};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Deputy {
    key: ChannelKey,
    actor: Actor,
    accounts: Arc<Accounts>,
    message_bytes_max: u64,
    tags: TagMaker,
    open: Open,
}

/// Why a deputy did not do what was asked, in AMQP's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A client would have lost its channel.
    Channel(ChannelError),
    /// A client would have lost its connection.
    Connection(ConnectionError),
    /// The vhost is stopping or gone.
    Stopping,
    /// The message could not be stored: no room on the disk, or a queue that rejects what is too much.
    Rejected,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(error) => error.fmt(f),
            Self::Connection(error) => error.fmt(f),
            Self::Stopping => f.write_str("the virtual host is stopping"),
            Self::Rejected => f.write_str("rejected"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Channel(error) => Self::Channel(error),
            Failure::Connection(error) => Self::Connection(error),
        }
    }
}

impl From<Fatal> for Refusal {
    fn from((error, _): Fatal) -> Self {
        Self::Connection(error)
    }
}

/// A message to publish.
#[derive(Clone, Debug)]
pub(crate) struct Publication<'a> {
    /// Empty for the default exchange.
    pub(crate) exchange: &'a str,
    pub(crate) routing_key: &'a str,
    /// Flags and property list.
    pub(crate) properties: Bytes,
    pub(crate) body: Bytes,
}

impl Deputy {
    /// A deputy of `user`, whose rights are `accounts`'.
    pub(crate) fn new(
        connection: ConnectionId,
        actor: Actor,
        accounts: Arc<Accounts>,
        message_bytes_max: u64,
        seed: u64,
    ) -> Self {
        let key = ChannelKey { connection, number: CHANNEL, life: 0 };
        Self { key, actor, accounts, message_bytes_max, tags: TagMaker::new(seed), open: Open::default() }
    }

    /// The command that opens its channel.
    pub(crate) fn opening(&self) -> Envelope {
        self.envelope(ClientMethod::ChannelOpen.id(), Command::OpenChannel)
    }

    /// The command that closes its channel; its answer says that all before is done.
    pub(crate) fn closing(&self) -> Envelope {
        self.envelope(CHANNEL_CLOSE, Command::CloseChannel)
    }

    /// The commands of a method, after the checks that a channel makes.
    pub(crate) fn commands(&mut self, method: ClientMethod<'_>) -> Result<Vec<Envelope>, Refusal> {
        let Some(id) = ChannelId::new(CHANNEL) else { return Ok(Vec::new()) };
        let key = self.key;
        self.with_context(|open, cx| open.handle(key, id, method, cx))
    }

    /// The command of a publish whose mandatory message comes back if nobody takes it.
    pub(crate) fn publish(&mut self, publication: Publication<'_>) -> Result<Vec<Envelope>, Refusal> {
        let Publication { exchange, routing_key, properties, body } = publication;
        if body.len() as u64 > self.message_bytes_max {
            let max = self.message_bytes_max;
            let text = format!("message size {} is larger than configured max size {max}", body.len());
            return Err(Refusal::Channel(ChannelError::new(ChannelCode::PreconditionFailed, text)));
        }
        let key = self.key;
        let announced =
            Announced { exchange: exchange.into(), routing_key: routing_key.into(), mandatory: true };
        self.with_context(|open, cx| open.finish(key, Content { announced, properties, body }, cx))
    }

    /// What the broker itself orders: nobody's rights are asked.
    pub(crate) fn envelope(&self, method: MethodId, command: Command) -> Envelope {
        Envelope { channel: self.key, method, command }
    }

    fn with_context(
        &mut self,
        act: impl FnOnce(&mut Open, &mut Context<'_>) -> Result<(), Failure>,
    ) -> Result<Vec<Envelope>, Refusal> {
        let mut commands = Vec::new();
        let (mut outbound, mut command_bytes, mut drained_bytes) = (Outbound::default(), 0, 0);
        // Nothing is ever half-received here.
        let mut half_received = FairBudget::new(0).share();
        let mut cx = Context {
            actor: &self.actor,
            accounts: &self.accounts,
            capabilities: ClientCapabilities::default(),
            frame_bytes_max: FRAME_BYTES_MAX,
            message_bytes_max: self.message_bytes_max,
            consumers_max: CONSUMERS_PER_CHANNEL_MAX,
            tags: &mut self.tags,
            half_received: &mut half_received,
            lent: None,
            out: Output {
                outbound: &mut outbound,
                commands: &mut commands,
                command_bytes: &mut command_bytes,
                drained_bytes: &mut drained_bytes,
            },
        };
        act(&mut self.open, &mut cx)?;
        Ok(commands)
    }
}

/// The one channel of a deputy.
const CHANNEL: u16 = 1;
/// channel.close
const CHANNEL_CLOSE: MethodId = MethodId::new(20, 40);

/// A name that AMQP cannot carry has never been given to anything.
///
/// # Errors
/// 502, as a client hears that sends it all the same.
pub(crate) fn short_string(text: &str) -> Result<&str, Refusal> {
    if text.len() <= crate::limits::SHORT_STRING_BYTES_MAX {
        return Ok(text);
    }
    let text = format!("a name of {} bytes is longer than a short string", text.len());
    Err(Refusal::Connection(ConnectionError::new(ConnectionCode::SyntaxError, text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Hashing, PasswordHash};
    use crate::definitions::PermissionDefinition;
    use crate::protocol::properties::PropertyList;
    use crate::protocol::table::Table;

    fn deputy(configure: &str, write: &str) -> Deputy {
        let mut accounts = Accounts::new(Vec::new(), Hashing::Sha256);
        accounts.add_user("ann", PasswordHash::none()).unwrap();
        let [user, vhost, configure, write, read] = ["ann", "v", configure, write, ""].map(str::to_owned);
        accounts.set_permissions(PermissionDefinition { user, vhost, configure, write, read }).unwrap();
        let actor = Actor { user: "ann".into(), vhost: "v".into() };
        Deputy::new(ConnectionId(7), actor, Arc::new(accounts), 10, 1)
    }

    fn declare(name: &str) -> ClientMethod<'_> {
        ClientMethod::QueueDeclare {
            queue: name,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            nowait: false,
            arguments: Table::default(),
        }
    }

    #[test]
    fn it_may_what_a_channel_of_its_user_may() {
        let mut deputy = deputy("^mine", "^$");
        let commands = deputy.commands(declare("mine")).unwrap();
        assert!(
            matches!(&commands[..], [Envelope { command: Command::DeclareQueue { name, .. }, .. }] if **name == *"mine")
        );
        assert_eq!(
            deputy.commands(declare("other")).unwrap_err().to_string(),
            "403 ACCESS_REFUSED - configure access to queue 'other' in vhost 'v' refused for user 'ann'"
        );
        assert_eq!(
            deputy.commands(declare("amq.x")).unwrap_err().to_string(),
            "403 ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'"
        );
    }

    #[test]
    fn it_publishes_what_a_channel_would_let_through() {
        let publication = |exchange, body: &'static [u8], properties: &PropertyList<'_>| Publication {
            exchange,
            routing_key: "k",
            properties: properties.encode(),
            body: Bytes::from_static(body),
        };
        let plain = PropertyList { delivery_mode: Some(2), ..PropertyList::default() };
        let mut deputy = deputy("", "^x$");
        deputy.commands(ClientMethod::ConfirmSelect { nowait: false }).unwrap();
        let commands = deputy.publish(publication("x", b"hello", &plain)).unwrap();
        let [Envelope { command: Command::Publish(publish), .. }] = &commands[..] else {
            panic!("{commands:?}")
        };
        assert!(publish.mandatory && publish.message.persistent && publish.publish_seq.is_some());
        for (exchange, body, properties, expected) in [
            ("y", &b"hello"[..], &plain, "403 ACCESS_REFUSED - write access to exchange 'y'"),
            ("x", b"hello world", &plain, "406 PRECONDITION_FAILED - message size 11 is larger than"),
        ] {
            let refused = deputy.publish(publication(exchange, body, properties)).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
        // What is wrong with properties the vhost says, should the exchange be there.
        let claimed = PropertyList { user_id: Some("bob"), ..PropertyList::default() };
        let commands = deputy.publish(publication("x", b"hello", &claimed)).unwrap();
        assert!(matches!(commands[..], [Envelope { command: Command::RefusePublish { .. }, .. }]));
    }
}
