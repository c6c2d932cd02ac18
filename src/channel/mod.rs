//! One channel: what a client may do on it, in what order. Pure: methods, content and notices in, frames and commands out.
//!
//! Owns the half-received content, the mode (plain, confirm, transaction), delivery tags, consumer tags and the cache of
//! permissions. Knows of the vhost only the conversation in [`crate::vhost::command`]; names, queues and credit are the
//! vhost's. Errors that end the channel are answered here; errors that end the connection are returned.
//!
//! ```text
//! open ──client's channel.close──► ending ──vhost: closed──► gone (close-ok sent, number free)
//!   └────error: channel.close sent──► closing ──client's close-ok──► gone
//! ```

mod access;
mod answers;
mod confirms;
mod consumers;
mod content;
mod deliveries;
mod deputy;
mod methods;
mod publish;
mod settle;
mod tags;
mod topology;

pub(crate) use access::Actor;
pub use deputy::Refusal;
pub(crate) use deputy::{Deputy, Publication, short_string};
pub(crate) use tags::TagMaker;

use crate::auth::Accounts;
use crate::fair_budget::Share;
use crate::protocol::client_method::ClientMethod;
use crate::protocol::frame::ChannelId;
use crate::protocol::method_id::MethodId;
use crate::protocol::outbound::Outbound;
use crate::protocol::reply::{ChannelError, ConnectionCode, ConnectionError};
use crate::protocol::server_method::ServerMethod;
use crate::protocol::server_properties::ClientCapabilities;
use crate::vhost::command::{ChannelKey, Command, Envelope, Outcome};
use access::Permissions;
use bytes::Bytes;
use confirms::Confirms;
use consumers::{Consumers, LastQueue};
use content::Assembly;
use deliveries::{Deliveries, Unacked};
use publish::PublishCache;

/// What a channel borrows of its connection while it handles something.
pub(crate) struct Context<'a> {
    pub(crate) actor: &'a Actor,
    pub(crate) accounts: &'a Accounts,
    pub(crate) capabilities: ClientCapabilities,
    pub(crate) frame_bytes_max: u32,
    pub(crate) message_bytes_max: u64,
    /// Consumers a channel may have.
    pub(crate) consumers_max: usize,
    /// Makes consumer tags for clients that name none.
    pub(crate) tags: &'a mut TagMaker,
    /// Half-received bodies on all channels of the connection.
    pub(crate) half_received: &'a mut Share,
    /// The memory the frame is in, if a message may keep it.
    pub(crate) lent: Option<&'a Bytes>,
    pub(crate) out: Output<'a>,
}

/// Where a channel puts what it has to say.
pub(crate) struct Output<'a> {
    pub(crate) outbound: &'a mut Outbound,
    pub(crate) commands: &'a mut Vec<Envelope>,
    /// Content bytes within `commands`.
    pub(crate) command_bytes: &'a mut usize,
    /// Content bytes of deliveries handled.
    pub(crate) drained_bytes: &'a mut usize,
}

/// An error with its scope.
#[derive(Debug)]
pub(crate) enum Failure {
    Channel(ChannelError),
    Connection(ConnectionError),
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

impl From<ConnectionError> for Failure {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

/// An error that ends the connection, with the method that caused it.
pub(crate) type Fatal = (ConnectionError, MethodId);

/// Whether a channel is still there after what it handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Goes,
    /// Its number is free.
    Over,
}

/// One life of a channel number.
#[derive(Debug)]
pub(crate) struct Channel {
    key: ChannelKey,
    id: ChannelId,
    state: ChannelState,
}

#[derive(Debug)]
enum ChannelState {
    Open(Box<Open>),
    /// The client closed it; the vhost has yet to say that everything published is durable.
    /// It may have said so several times: each is answered, up to the largest number kept here, and only at the end.
    Ending(Box<Open>, u8),
    /// We closed it; until the client agrees, everything else it sends is dropped.
    Closing,
}

/// All an open channel knows.
#[derive(Debug, Default)]
struct Open {
    assembly: Assembly,
    mode: PublishMode,
    deliveries: Deliveries,
    consumers: Consumers,
    last_queue: LastQueue,
    permissions: Permissions,
    publish_cache: PublishCache,
}

/// What becomes of publishes and settlements: confirm mode and transactions exclude each other.
#[derive(Debug, Default)]
enum PublishMode {
    #[default]
    Plain,
    Confirm(Confirms),
    /// With the settlements kept until commit.
    Transaction(Vec<(Outcome, Vec<Unacked>)>),
}

/// Figures of a channel for an operator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    pub(crate) confirm: bool,
    pub(crate) transactional: bool,
    pub(crate) consumer_count: usize,
    pub(crate) unacked_count: usize,
    pub(crate) unconfirmed_count: u64,
}

impl Channel {
    /// Opens a channel. The vhost's answer makes the open-ok.
    pub(crate) fn open(key: ChannelKey, id: ChannelId, cx: &mut Context<'_>) -> Self {
        cx.out.commands.push(Envelope {
            channel: key,
            method: ClientMethod::ChannelOpen.id(),
            command: Command::OpenChannel,
        });
        Self { key, id, state: ChannelState::Open(Box::default()) }
    }

    /// Which life of which number this is.
    pub(crate) fn key(&self) -> ChannelKey {
        self.key
    }

    /// Whether it counts against the connection's `channel_max`.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, ChannelState::Open(_))
    }

    /// Handles a method.
    pub(crate) fn method(&mut self, method: ClientMethod<'_>, cx: &mut Context<'_>) -> Result<Life, Fatal> {
        let open = match &mut self.state {
            ChannelState::Open(open) => open,
            ChannelState::Ending(_, closes) => {
                return Self::method_while_ending(closes, &method);
            }
            ChannelState::Closing => return self.method_while_closing(&method, cx),
        };
        if let Some(error) = open.assembly.interrupted() {
            return Err((error, open.assembly.cause()));
        }
        let id = method.id();
        if matches!(method, ClientMethod::ChannelClose { .. }) {
            self.close_by_client(id, cx);
            return Ok(Life::Goes);
        }
        let result = open.handle(self.key, self.id, method, cx);
        self.answer_failure(result, id, cx).map(|()| Life::Goes)
    }

    /// Handles the payload of a content header frame.
    pub(crate) fn header(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Fatal> {
        let ChannelState::Open(open) = &mut self.state else { return Ok(()) };
        let cause = open.assembly.cause();
        let result = open.header(self.key, payload, cx);
        self.answer_failure(result, cause, cx)
    }

    /// Handles a piece of a body.
    pub(crate) fn body(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Fatal> {
        let ChannelState::Open(open) = &mut self.state else { return Ok(()) };
        let cause = open.assembly.cause();
        let result = open.body(self.key, payload, cx);
        self.answer_failure(result, cause, cx)
    }

    /// Drops what a change of accounts made doubtful, and ends consumers that may no longer read.
    pub(crate) fn accounts_changed(&mut self, cx: &mut Context<'_>) {
        let (ChannelState::Open(open) | ChannelState::Ending(open, _)) = &mut self.state else { return };
        open.permissions.clear();
        open.publish_cache.forget_permission();
        open.cancel_unreadable(self.key, self.id, cx);
    }

    /// Figures for an operator; `None` once it is closing.
    pub(crate) fn figures(&self) -> Option<Figures> {
        let (ChannelState::Open(open) | ChannelState::Ending(open, _)) = &self.state else { return None };
        Some(Figures {
            confirm: matches!(open.mode, PublishMode::Confirm(_)),
            transactional: matches!(open.mode, PublishMode::Transaction(_)),
            consumer_count: open.consumers.len(),
            unacked_count: open.deliveries.unacked_count(),
            unconfirmed_count: match &open.mode {
                PublishMode::Confirm(confirms) => confirms.outstanding_count(),
                PublishMode::Plain | PublishMode::Transaction(_) => 0,
            },
        })
    }

    /// Ends the channel for an error: channel.close to the client, and everything but its answer is dropped from now on.
    /// The vhost is not told: either it is the one that failed the channel, or the caller tells it.
    fn fail(&mut self, error: &ChannelError, cause: MethodId, cx: &mut Context<'_>) {
        let state = std::mem::replace(&mut self.state, ChannelState::Closing);
        let close = ServerMethod::ChannelClose {
            reply_code: error.code.code(),
            reply_text: &error.reply_text(),
            cause,
        };
        cx.out.outbound.method(self.id.get(), &close);
        match state {
            ChannelState::Open(open) => open.assembly.release(cx.half_received),
            // The client's channel.close crossed ours: it gets its answer, too, and still owes us one.
            ChannelState::Ending(_, closes) => self.answer_closes(closes, cx),
            ChannelState::Closing => {}
        }
    }

    fn answer_failure(
        &mut self,
        result: Result<(), Failure>,
        cause: MethodId,
        cx: &mut Context<'_>,
    ) -> Result<(), Fatal> {
        match result {
            Ok(()) => Ok(()),
            Err(Failure::Connection(error)) => Err((error, cause)),
            Err(Failure::Channel(error)) => {
                self.fail(&error, cause, cx);
                cx.out.commands.push(Envelope {
                    channel: self.key,
                    method: cause,
                    command: Command::CloseChannel,
                });
                Ok(())
            }
        }
    }

    fn close_by_client(&mut self, method: MethodId, cx: &mut Context<'_>) {
        let state = std::mem::replace(&mut self.state, ChannelState::Closing);
        let (ChannelState::Open(open) | ChannelState::Ending(open, _)) = state else { return };
        self.state = ChannelState::Ending(open, 1);
        cx.out.commands.push(Envelope { channel: self.key, method, command: Command::CloseChannel });
    }

    /// The client has closed the channel and not heard of it yet: it has no business there.
    fn method_while_ending(closes: &mut u8, method: &ClientMethod<'_>) -> Result<Life, Fatal> {
        match method {
            ClientMethod::ChannelOpen => Err((second_open(), method.id())),
            // What the vhost still has to say comes first, as in RabbitMQ.
            ClientMethod::ChannelClose { .. } => {
                *closes = closes.saturating_add(1);
                Ok(Life::Goes)
            }
            _ => Ok(Life::Goes),
        }
    }

    /// Answers the client's closes.
    fn answer_closes(&self, closes: u8, cx: &mut Context<'_>) {
        for _ in 0..closes {
            cx.out.outbound.method(self.id.get(), &ServerMethod::ChannelCloseOk);
        }
    }

    fn method_while_closing(&self, method: &ClientMethod<'_>, cx: &mut Context<'_>) -> Result<Life, Fatal> {
        match method {
            ClientMethod::ChannelCloseOk => Ok(Life::Over),
            // Both sides closed at once: the client still owes us the answer to our close.
            ClientMethod::ChannelClose { .. } => {
                cx.out.outbound.method(self.id.get(), &ServerMethod::ChannelCloseOk);
                Ok(Life::Goes)
            }
            // Its number is free only once close-ok has come. A client that is not told waits for open-ok for ever.
            ClientMethod::ChannelOpen => Err((second_open(), method.id())),
            _ => Ok(Life::Goes),
        }
    }
}

/// channel.open for a number that is in use.
fn second_open() -> ConnectionError {
    ConnectionError::new(ConnectionCode::ChannelError, "second 'channel.open' seen")
}
