//! What a connection asks of its driver: bytes to write, commands for the vhost, and the few things only the driver
//! can do. Plain data; the driver drains it after every call into the machine, in this order: `commands` to the vhost,
//! `requests` in order, `outbound` to the socket.

use crate::auth::Secret;
use crate::protocol::outbound::Outbound;
use crate::vhost::command::Envelope;
use std::fmt;
use std::sync::Arc;

/// What one or more calls into a [`Connection`](super::Connection) produced.
#[derive(Debug, Default)]
pub struct ConnectionEffects {
    /// Bytes for the socket, in order.
    pub outbound: Outbound,
    /// Commands for the vhost, in order.
    pub commands: Vec<Envelope>,
    /// Bytes of message content within `commands` ([`Message::resident_bytes`](crate::message::Message::resident_bytes)):
    /// what the driver holds inbox permits for.
    pub command_bytes: usize,
    /// Bytes of large methods within `commands`, such as declarations with large tables, for which the driver holds permits
    /// as well.
    pub method_bytes: usize,
    /// Content of deliveries encoded into `outbound` (or dropped because their channel is gone), as the vhost counts it
    /// ([`Message::resident_bytes`](crate::message::Message::resident_bytes)). The driver reports it as `Input::Drained` once the
    /// socket took the bytes.
    pub drained_bytes: usize,
    /// What else is to be done, in order.
    pub requests: Vec<Request>,
}

/// Work for the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Check a login; answer with [`Connection::authenticated`](super::Connection::authenticated). Until then nothing is read.
    Authenticate(Login),
    /// Check a token that is to go on for the one of the login; answer with [`Connection::renewed`](super::Connection::renewed).
    RenewToken(Secret),
    /// Check that the vhost exists, that the user may enter it and that no limit stands against it, attach to it, and
    /// answer with [`Connection::vhost_opened`](super::Connection::vhost_opened). Until then nothing is read.
    OpenVhost {
        /// Vhost name.
        vhost: Arc<str>,
        /// The user that [`Connection::authenticated`](super::Connection::authenticated) named.
        user: Arc<str>,
    },
    /// Tell the vhost that this connection goes (after all `commands`); answer with
    /// [`Connection::detached`](super::Connection::detached). Asked at most once, and only after a vhost was opened.
    Detach,
    /// Write what is in `outbound`, then close the socket. Nothing more comes out of the machine. A detach may still be
    /// on its way: its answer needs no delivery.
    CloseSocket,
    /// A line worth logging, once: how the connection ended or what was refused.
    Log(String),
}

/// A user name and a password to check; with EXTERNAL the name is that of a certificate that was verified, and there is no
/// password. `Debug` shows none.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// Mechanism the client chose, e.g. `PLAIN`.
    pub mechanism: &'static str,
    /// Who it says it is.
    pub user: String,
    /// Its proof.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}
