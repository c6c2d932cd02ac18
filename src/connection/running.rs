//! A connection that runs: its channels by number, and what they share. Opens and forgets channels; what happens on one is
//! the channel's.
//!
//! A number that is closed and opened again is another life: notices carry the life they are for, and late ones are
//! dropped.

use super::alarm::Parked;
use super::half_received::HalfReceived;
use super::handshake::Tuned;
use super::{Client, Connection, ConnectionEffects, Fatal};
use crate::auth::{Accounts, Counted, Tally};
use crate::channel::{Actor, Channel, Context, Life, Output, TagMaker};
use crate::protocol::client_method::ClientMethod;
use crate::protocol::frame::ChannelId;
use crate::protocol::method_id::MethodId;
use crate::protocol::reply::{ConnectionCode, ConnectionError};
use crate::vhost::command::{ChannelKey, ConnectionId, Notice};
use bytes::Bytes;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Running {
    connection: ConnectionId,
    pub(super) channels: HashMap<u16, Channel, RandomState>,
    user_channels: Tally,
    /// One for each of `channels`.
    counted: HashMap<u16, Counted, RandomState>,
    /// Lives begun so far, of all numbers together: no two are alike.
    lives: u32,
    shared: Shared,
    channels_max: u16,
    pub(super) parked: Parked,
}

/// What channels borrow.
#[derive(Debug)]
struct Shared {
    actor: Actor,
    accounts: Arc<Accounts>,
    tags: TagMaker,
    message_bytes_max: u64,
    consumers_max: usize,
    half_received: HalfReceived,
    /// What [`Running::lend`] was called with.
    lent: Option<Bytes>,
}

impl Shared {
    fn context<'a>(
        &'a mut self,
        client: &Client,
        frame_bytes_max: u32,
        out: &'a mut ConnectionEffects,
    ) -> Context<'a> {
        Context {
            actor: &self.actor,
            accounts: &self.accounts,
            capabilities: client.capabilities,
            frame_bytes_max,
            message_bytes_max: self.message_bytes_max,
            consumers_max: self.consumers_max,
            tags: &mut self.tags,
            half_received: &mut self.half_received.share,
            lent: self.lent.as_ref(),
            out: Output {
                outbound: &mut out.outbound,
                commands: &mut out.commands,
                command_bytes: &mut out.command_bytes,
                drained_bytes: &mut out.drained_bytes,
            },
        }
    }
}

impl Running {
    pub(super) fn new(connection: &Connection, user: Arc<str>, vhost: Arc<str>, tuned: Tuned) -> Self {
        Self {
            connection: connection.id,
            channels: HashMap::default(),
            user_channels: connection.user_channels.clone(),
            counted: HashMap::default(),
            lives: 0,
            shared: Shared {
                actor: Actor { user, vhost },
                accounts: Arc::clone(&connection.accounts),
                tags: TagMaker::new(connection.tag_seed),
                message_bytes_max: connection.config.message_bytes_max,
                consumers_max: connection.config.consumers_max,
                half_received: HalfReceived::new(&connection.config.half_received),
                lent: None,
            },
            channels_max: tuned.channels_max,
            parked: Parked::default(),
        }
    }

    /// What is half-received on its channels.
    pub(super) fn half_received(&mut self) -> &mut HalfReceived {
        &mut self.shared.half_received
    }

    /// When to look at that again.
    pub(super) fn half_received_deadline(&self) -> Option<u64> {
        self.shared.half_received.next_deadline()
    }

    /// Whether it is not read because it holds too much of what all connections share.
    pub(super) fn waits_for_others(&self) -> bool {
        self.shared.half_received.waits()
    }

    /// A method on a channel.
    pub(super) fn method(
        &mut self,
        number: u16,
        method: ClientMethod<'_>,
        client: &Client,
        frame_bytes_max: u32,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        let mut cx = self.shared.context(client, frame_bytes_max, out);
        if let Some(channel) = self.channels.get_mut(&number) {
            if channel.method(method, &mut cx)? == Life::Over {
                self.channels.remove(&number);
                self.counted.remove(&number);
            }
            return Ok(());
        }
        let id = ChannelId::new(number).ok_or_else(|| (not_opened(), method.id()))?;
        if !matches!(method, ClientMethod::ChannelOpen) {
            return Err((not_opened(), method.id()));
        }
        let open = self.channels.values().filter(|channel| channel.is_open()).count();
        if open >= usize::from(self.channels_max) {
            let text = format!(
                "number of channels opened ({open}) has reached the negotiated channel_max ({})",
                self.channels_max
            );
            // RabbitMQ says this before it looks at the method.
            return Err((ConnectionError::new(ConnectionCode::NotAllowed, text), MethodId::default()));
        }
        let limit = self.shared.accounts.channels_max(&self.shared.actor.user);
        let counted = self.user_channels.take(limit).map_err(|limit| {
            let text = format!(
                "number of channels opened for user '{}' has reached the maximum allowed user limit of ({limit})",
                self.shared.actor.user
            );
            (ConnectionError::new(ConnectionCode::NotAllowed, text), method.id())
        })?;
        self.counted.insert(number, counted);
        let mut cx = self.shared.context(client, frame_bytes_max, out);
        let key = ChannelKey { connection: self.connection, number, life: self.lives };
        self.lives = self.lives.wrapping_add(1);
        self.channels.insert(number, Channel::open(key, id, &mut cx));
        Ok(())
    }

    /// A content header on a channel.
    pub(super) fn header(
        &mut self,
        id: ChannelId,
        payload: &[u8],
        client: &Client,
        frame_bytes_max: u32,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        let channel = self.channels.get_mut(&id.get()).ok_or_else(no_content_expected)?;
        channel.header(payload, &mut self.shared.context(client, frame_bytes_max, out))
    }

    /// The next input is in memory of which messages may keep parts; `None` ends that.
    pub(super) fn lend(&mut self, memory: Option<Bytes>) {
        self.shared.lent = memory;
    }

    /// A piece of a body on a channel.
    pub(super) fn body(
        &mut self,
        id: ChannelId,
        payload: &[u8],
        client: &Client,
        frame_bytes_max: u32,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        let channel = self.channels.get_mut(&id.get()).ok_or_else(no_content_expected)?;
        channel.body(payload, &mut self.shared.context(client, frame_bytes_max, out))
    }

    /// A notice for a channel, dropped if that life of it is over.
    pub(super) fn notice(
        &mut self,
        key: ChannelKey,
        notice: Notice,
        client: &Client,
        frame_bytes_max: u32,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        let Some(channel) = self.channels.get_mut(&key.number).filter(|channel| channel.key() == key) else {
            count_dropped(&notice, out);
            return Ok(());
        };
        if channel.notice(notice, &mut self.shared.context(client, frame_bytes_max, out))? == Life::Over {
            self.channels.remove(&key.number);
            self.counted.remove(&key.number);
        }
        Ok(())
    }

    /// Users or permissions changed. An error if the user has no business here any more.
    pub(super) fn accounts_changed(
        &mut self,
        accounts: Arc<Accounts>,
        client: &Client,
        frame_bytes_max: u32,
        out: &mut ConnectionEffects,
    ) -> Result<(), Fatal> {
        let Actor { user, vhost, .. } = &self.shared.actor;
        if !accounts.exists(user) {
            let text = format!("user '{user}' is deleted");
            return Err((ConnectionError::new(ConnectionCode::ConnectionForced, text), MethodId::default()));
        }
        if !accounts.has_access(user, vhost) {
            let text = format!("access to vhost '{vhost}' revoked for user '{user}'");
            return Err((ConnectionError::new(ConnectionCode::ConnectionForced, text), MethodId::default()));
        }
        self.shared.accounts = accounts;
        for channel in self.channels.values_mut() {
            channel.accounts_changed(&mut self.shared.context(client, frame_bytes_max, out));
        }
        Ok(())
    }
}

/// Notes the content of a delivery that nobody will see: the vhost counts on hearing of it.
pub(super) fn count_dropped(notice: &Notice, out: &mut ConnectionEffects) {
    if let Notice::Deliver(delivery) = notice {
        out.drained_bytes += delivery.message.resident_bytes();
    }
}

fn not_opened() -> ConnectionError {
    ConnectionError::new(ConnectionCode::ChannelError, "expected 'channel.open'")
}

fn no_content_expected() -> Fatal {
    let text = "expected method frame, got non method frame instead";
    (ConnectionError::new(ConnectionCode::UnexpectedFrame, text), MethodId::default())
}
