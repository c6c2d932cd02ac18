//! One connection: handshake, frames, heartbeats, channels. Pure: bytes and notices in, bytes and commands out.
//!
//! Owns the stage of the conversation, the negotiated limits and the channels by number. Times are milliseconds of any
//! clock that only goes forward, the same one in all calls. Does not know sockets, users' passwords or vhosts.
//!
//! ```text
//! handshake ──open-ok──► running ──client's close──► detaching ──vhost let go──► lingering ──socket closed──► over
//!     │                     │                                                        ▲
//!     └────────error────────┴──our close sent──► closing ──────client's close-ok─────┘ (socket closed by us)
//! ```

mod alarm;
mod close;
mod config;
mod effects;
mod frames;
mod half_received;
mod handshake;
mod heartbeat;
mod report;
mod running;
mod security;

pub use config::{ConnectionConfig, Peer};
pub use effects::{ConnectionEffects, Login, Request};
pub use report::{ChannelReport, ConnectionReport, Traffic};
pub use security::{PeerCertificate, TlsSession};

use crate::auth::{Accounts, Tally, Token};
use crate::limits::FRAME_BYTES_BEFORE_TUNE;
use crate::protocol::reply::{ConnectionCode, ConnectionError};
use crate::protocol::server_method::ServerMethod;
use crate::protocol::server_properties::ClientCapabilities;
use crate::protocol::table::Table;
use crate::vhost::command::{Addressed, ConnectionId, MethodId, Notice};
use bytes::Bytes;
use handshake::Handshake;
use heartbeat::Heartbeat;
use running::Running;
use std::sync::Arc;

/// The state machine of one client's conversation.
#[derive(Debug)]
pub struct Connection {
    id: ConnectionId,
    config: Arc<ConnectionConfig>,
    accounts: Arc<Accounts>,
    peer: Peer,
    tls: Option<Arc<TlsSession>>,
    bearer: Option<Bearer>,
    client: Client,
    tag_seed: u64,
    /// Largest frame either side may send, bytes.
    frame_bytes_max: u32,
    heartbeat: Heartbeat,
    stage: Stage,
    /// Where the user's channels are counted, those of other connections too.
    user_channels: Tally,
    /// The text of connection.blocked while an alarm is on.
    alarm: Option<String>,
    /// While bytes are being handled: where their commands begin in the effects.
    read_from: Option<usize>,
}

/// What the client said of itself.
#[derive(Debug, Default)]
struct Client {
    capabilities: ClientCapabilities,
    /// `connection_name`
    name: Option<String>,
    /// `product` and `version`
    product: Option<String>,
    /// All it said.
    properties: Table,
    mechanism: &'static str,
    user: Option<Arc<str>>,
    vhost: Option<Arc<str>>,
}

/// A login by token.
#[derive(Debug)]
struct Bearer {
    token: Arc<Token>,
    /// When it ends, ms of the same clock as all times.
    expires_ms: u64,
}

#[derive(Debug)]
enum Stage {
    /// Before open-ok, with the time by which it must be over.
    Handshake {
        step: Handshake,
        deadline_ms: u64,
    },
    Running(Box<Running>),
    /// The client closed; close-ok waits for the vhost.
    Detaching,
    /// We closed; all but the client's close-ok is dropped until the deadline. A `deaf` connection has lost the
    /// boundaries of frames and cannot even find that.
    Closing {
        deadline_ms: u64,
        deaf: bool,
    },
    /// All is said; the client has until the deadline to close its socket.
    Lingering {
        deadline_ms: u64,
    },
    /// [`Request::CloseSocket`] has been made, or the socket is gone.
    Over,
}

/// Why a connection must go: the error, and the method that caused it.
type Fatal = (ConnectionError, MethodId);

impl Connection {
    /// A connection that was just accepted. `tag_seed` makes the generated consumer tags; any number will do.
    pub fn new(
        id: ConnectionId,
        config: Arc<ConnectionConfig>,
        accounts: Arc<Accounts>,
        peer: Peer,
        tag_seed: u64,
        now_ms: u64,
    ) -> Self {
        let deadline_ms = now_ms + config.handshake_ms;
        Self {
            id,
            config,
            accounts,
            peer,
            tls: None,
            bearer: None,
            client: Client::default(),
            tag_seed,
            frame_bytes_max: FRAME_BYTES_BEFORE_TUNE,
            heartbeat: Heartbeat::new(now_ms),
            stage: Stage::Handshake { step: Handshake::AwaitHeader, deadline_ms },
            user_channels: Tally::default(),
            alarm: None,
            read_from: None,
        }
    }

    /// It runs over TLS. Said before anything is received.
    pub fn secured(&mut self, tls: Arc<TlsSession>) {
        self.tls = Some(tls);
    }

    /// The login was by this token, which ends then. Said before [`Self::authenticated`].
    pub fn authorised(&mut self, token: Arc<Token>, expires_ms: u64) {
        self.accounts = Arc::new(self.accounts.with_token(Arc::clone(&token)));
        self.bearer = Some(Bearer { token, expires_ms });
    }

    /// The answer to [`Request::RenewToken`]: the new token and when it ends; an error is a reason for the log.
    pub fn renewed(
        &mut self,
        result: Result<(Arc<Token>, u64), String>,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) {
        let Stage::Running(_) = &self.stage else { return };
        let outbound_before = out.outbound.len();
        let renewed = result.and_then(|(token, expires_ms)| {
            if self.client.user.as_deref() != Some(&*token.user) {
                return Err("the new token is somebody else's".to_owned());
            }
            self.authorised(token, expires_ms);
            Ok(())
        });
        let answered = match renewed {
            Ok(()) => self.ask_rights_again(out).map(|()| {
                out.outbound.method(0, &ServerMethod::ConnectionUpdateSecretOk);
            }),
            Err(why) => {
                out.requests.push(Request::Log(format!("{} new secret refused: {why}", self.peer)));
                let text = "New secret was refused by one of the backends";
                Err((ConnectionError::new(ConnectionCode::NotAllowed, text), frames::UPDATE_SECRET))
            }
        };
        if let Err((error, cause)) = answered {
            self.fail(&error, cause, now_ms, out);
        }
        self.note_sent(outbound_before, now_ms, out);
    }

    /// The user that the peer's certificate names, which may log in by EXTERNAL.
    fn certified_user(&self) -> Option<&str> {
        self.tls.as_ref()?.certificate.as_ref()?.user.as_deref()
    }

    /// Handles everything complete at the front of `input`, which is what the socket brought and was not consumed yet.
    /// Returns how many bytes were consumed; the driver keeps the rest and hands it in again, with more behind it, or
    /// without after [`Self::authenticated`], [`Self::vhost_opened`] and an alarm's end.
    pub fn receive(&mut self, input: &[u8], now_ms: u64, out: &mut ConnectionEffects) -> usize {
        if !input.is_empty() {
            self.heartbeat.received(now_ms);
        }
        let (outbound_before, content_before) = (out.outbound.len(), out.command_bytes);
        let commands_before = *self.read_from.insert(out.commands.len());
        let mut consumed = 0;
        while let Some(rest) = input.get(consumed..) {
            if rest.is_empty() || !self.listens() {
                break;
            }
            match self.step(rest, now_ms, out) {
                0 => break,
                count => consumed += count,
            }
        }
        self.note_publishes(commands_before, content_before, out);
        self.note_half_received(now_ms);
        self.read_from = None;
        self.note_sent(outbound_before, now_ms, out);
        consumed
    }

    /// As [`Self::receive`] of `frame`, which is a frame's own memory: a message whose body it carries keeps it instead of
    /// copying it.
    pub fn receive_frame(&mut self, frame: &Bytes, now_ms: u64, out: &mut ConnectionEffects) -> usize {
        self.lend(Some(frame.clone()));
        let consumed = self.receive(frame, now_ms, out);
        self.lend(None);
        consumed
    }

    fn lend(&mut self, memory: Option<Bytes>) {
        if let Stage::Running(running) = &mut self.stage {
            running.lend(memory);
        }
    }

    /// Whether the client is not through its handshake yet.
    pub fn is_shaking_hands(&self) -> bool {
        matches!(self.stage, Stage::Handshake { .. })
    }

    /// Whether the driver should read the socket. False while a login or vhost check is under way, while an alarm holds
    /// back too many publishes, while half-received messages of all connections are too many, and once closed.
    pub fn wants_input(&self) -> bool {
        self.listens() && !self.waits_for_others()
    }

    /// Encodes what the vhost has to say.
    pub fn notices(
        &mut self,
        notices: impl Iterator<Item = Addressed>,
        now_ms: u64,
        out: &mut ConnectionEffects,
    ) {
        let outbound_before = out.outbound.len();
        for Addressed { channel, notice } in notices {
            let result = match (&mut self.stage, notice) {
                (Stage::Running(_), Notice::ConnectionFailed(error, cause)) => Err((error, cause)),
                (Stage::Running(running), notice) => {
                    running.notice(channel, notice, &self.client, self.frame_bytes_max, out)
                }
                (_, notice) => {
                    running::count_dropped(&notice, out);
                    Ok(())
                }
            };
            if let Err((error, cause)) = result {
                self.fail(&error, cause, now_ms, out);
            }
        }
        self.note_sent(outbound_before, now_ms, out);
    }

    /// The socket is gone (closed by the peer, or an error). Asks for [`Request::Detach`] if the vhost must be told.
    pub fn socket_closed(&mut self, out: &mut ConnectionEffects) {
        if let Stage::Running(_) = self.stage {
            // Publishes that an alarm holds back were never confirmed: they end with the socket they came from.
            out.requests.push(Request::Detach);
        }
        self.stage = Stage::Over;
    }

    /// Closes the connection from our side: connection.close with 320
    /// `CONNECTION_FORCED - broker forced connection closure with reason '{reason}'`.
    pub fn shutdown(&mut self, reason: &str, now_ms: u64, out: &mut ConnectionEffects) {
        let text = format!("broker forced connection closure with reason '{reason}'");
        self.force_close(&text, now_ms, out);
    }

    /// Closes the connection from our side: connection.close with 320 and this sentence.
    pub fn force_close(&mut self, text: &str, now_ms: u64, out: &mut ConnectionEffects) {
        let error = ConnectionError::new(ConnectionCode::ConnectionForced, text);
        match &self.stage {
            Stage::Running(_) => {
                let outbound_before = out.outbound.len();
                self.fail(&error, MethodId::default(), now_ms, out);
                self.note_sent(outbound_before, now_ms, out);
            }
            Stage::Handshake { .. } | Stage::Lingering { .. } => self.close_socket(out),
            Stage::Detaching | Stage::Closing { .. } | Stage::Over => {}
        }
    }

    /// Users or permissions changed: caches are dropped, consumers without the right to read are cancelled, and the
    /// connection closes (320) if its user is gone or may no longer enter the vhost.
    pub fn accounts_changed(&mut self, accounts: Arc<Accounts>, now_ms: u64, out: &mut ConnectionEffects) {
        let accounts = match &self.bearer {
            Some(Bearer { token, .. }) => Arc::new(accounts.with_token(Arc::clone(token))),
            None => accounts,
        };
        self.accounts = Arc::clone(&accounts);
        let Stage::Running(running) = &mut self.stage else { return };
        let outbound_before = out.outbound.len();
        if let Err((error, cause)) =
            running.accounts_changed(accounts, &self.client, self.frame_bytes_max, out)
        {
            self.fail(&error, cause, now_ms, out);
        }
        self.note_sent(outbound_before, now_ms, out);
    }

    /// Its channels are to be counted there, together with others of its user. Said before
    /// [`Self::vhost_opened`]; else they are counted alone.
    pub fn count_channels_in(&mut self, tally: Tally) {
        self.user_channels = tally;
    }

    /// Its id.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    fn note_sent(&mut self, outbound_before: usize, now_ms: u64, out: &ConnectionEffects) {
        if out.outbound.len() > outbound_before {
            self.heartbeat.sent(now_ms);
        }
    }
}
