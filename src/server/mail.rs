//! The inboxes of the tasks: what may be put into them, and how much of it. Every task has one inbox, so that it waits
//! in one place and what one sender puts in stays in order.
//!
//! None of the channels has a length; what bounds them is counted in bytes:
//! - towards a vhost, [`ConnectionInbox::take_permits`]: a connection with too much on its way stops reading its socket;
//! - towards a connection, the vhost's own outbox budget, which it gets back with [`VhostMail::Drained`].

use super::on_behalf;
use crate::auth::Accounts;
use crate::connection::{ConnectionReport, Traffic};
use crate::limits::INBOX_BYTES_MAX;
use crate::vhost::command::{Addressed, ConnectionId, Envelope};
use crate::vhost::events::Event;
use crate::vhost::input::{AdminCommand, AdminReply, Identity, Input, Operator};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// What a connection task is told.
#[derive(Debug)]
pub(super) enum ConnectionMail {
    /// Notices of the vhost, in order.
    Notices(Vec<Addressed>),
    /// Enough permits came back to read on.
    Room,
    /// The vhost has let go of everything of this connection.
    Detached,
    /// An alarm went on, with its text, or all went off.
    Alarm(Option<Arc<str>>),
    /// Users or permissions changed.
    Accounts(Arc<Accounts>),
    /// Close with 320 because of the broker, for this reason.
    Close(Arc<str>),
    /// Close with 320 and this sentence.
    Force(Arc<str>),
    /// Patience is over: drop the socket.
    Drop,
    /// An operator wants to see it.
    Report(oneshot::Sender<ConnectionReport>),
}

/// What a vhost task is told.
#[derive(Debug)]
pub(super) enum VhostMail {
    /// A connection opened this vhost.
    Attach(Arc<ConnectionInbox>, Identity),
    /// It is gone or closing; nothing more comes from it.
    Detach(ConnectionId),
    /// Its commands, in order.
    Commands {
        /// Whose.
        connection: ConnectionId,
        /// At least one.
        commands: Vec<Envelope>,
        /// Permits to give back once they are processed, bytes.
        permits: usize,
    },
    /// It wrote this many bytes of deliveries to its socket.
    Drained(ConnectionId, usize),
    /// What was read from the store.
    Read(Input),
    /// Something happened: for the event exchange, which this vhost has.
    Event(Event),
    /// An operator's question or order.
    Admin(Operator, AdminCommand, oneshot::Sender<AdminReply>),
    /// The broker stops cleanly: note what the next start must know, answer, and end.
    Shutdown(oneshot::Sender<()>),
}

/// Where a connection task is reached. Its permits are counted here because both sides touch them.
#[derive(Debug)]
pub(super) struct ConnectionInbox {
    /// Whose.
    pub(super) id: ConnectionId,
    sender: mpsc::UnboundedSender<ConnectionMail>,
    /// Bytes of commands sent to the vhost and not yet processed by it.
    unprocessed_bytes: AtomicUsize,
    /// What the socket carried.
    pub(super) carried: Carried,
}

/// What a socket carried so far. Its task writes it, once for each read and write; whoever wants to know reads it without
/// waking the task.
#[derive(Debug, Default)]
pub(super) struct Carried {
    received_bytes: AtomicU64,
    received_count: AtomicU64,
    sent_bytes: AtomicU64,
    sent_count: AtomicU64,
}

impl Carried {
    /// A read brought bytes.
    pub(super) fn note_received(&self, bytes: usize) {
        self.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.received_count.fetch_add(1, Ordering::Relaxed);
    }

    /// So much was sent in all.
    pub(super) fn note_sent(&self, bytes: u64, writes: u64) {
        self.sent_bytes.store(bytes, Ordering::Relaxed);
        self.sent_count.store(writes, Ordering::Relaxed);
    }

    /// How it stands.
    pub(super) fn traffic(&self) -> Traffic {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic {
            received_bytes: read(&self.received_bytes),
            received_count: read(&self.received_count),
            sent_bytes: read(&self.sent_bytes),
            sent_count: read(&self.sent_count),
            unsent_bytes: 0,
        }
    }
}

impl ConnectionInbox {
    /// An inbox and the end to read it from.
    pub(super) fn new(id: ConnectionId) -> (Arc<Self>, mpsc::UnboundedReceiver<ConnectionMail>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (
            Arc::new(Self {
                id,
                sender,
                unprocessed_bytes: AtomicUsize::new(0),
                carried: Carried::default(),
            }),
            receiver,
        )
    }

    /// Puts mail in; if the connection is gone it is dropped.
    pub(super) fn send(&self, mail: ConnectionMail) {
        let _ = self.sender.send(mail);
    }

    /// Notes commands on their way to the vhost.
    pub(super) fn take_permits(&self, bytes: usize) {
        self.unprocessed_bytes.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Whether the connection may read more from its socket. If not, [`ConnectionMail::Room`] will come.
    pub(super) fn has_room(&self) -> bool {
        self.unprocessed_bytes.load(Ordering::Acquire) < INBOX_BYTES_MAX
    }

    /// The vhost has processed commands. Wakes the connection when half of its room is free again, not at each batch.
    pub(super) fn give_permits(&self, bytes: usize) {
        let before = self.unprocessed_bytes.fetch_sub(bytes, Ordering::AcqRel);
        assert!(before >= bytes, "permits given back were taken");
        let low = INBOX_BYTES_MAX / 2;
        if before >= low && before - bytes < low {
            self.send(ConnectionMail::Room);
        }
    }
}

/// Where a vhost task is reached.
#[derive(Clone, Debug)]
pub(super) struct VhostInbox {
    sender: mpsc::UnboundedSender<VhostMail>,
}

impl VhostInbox {
    /// An inbox and the end to read it from.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<VhostMail>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender }, receiver)
    }

    /// Puts mail in; if the vhost is gone it is dropped.
    pub(super) fn send(&self, mail: VhostMail) {
        let _ = self.sender.send(mail);
    }

    /// Asks the vhost and waits for its answer; `None` if the vhost is gone.
    pub(super) async fn ask(&self, command: AdminCommand) -> Option<AdminReply> {
        self.tell(command).await.ok()
    }

    /// Asks the vhost; its answer may be waited for.
    pub(super) fn tell(&self, command: AdminCommand) -> oneshot::Receiver<AdminReply> {
        let (sender, receiver) = oneshot::channel();
        self.send(VhostMail::Admin(on_behalf::operator(), command, sender));
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_reads_again_once_half_its_room_is_free() {
        let (inbox, mut mail) = ConnectionInbox::new(ConnectionId(1));
        inbox.take_permits(INBOX_BYTES_MAX - 1);
        assert!(inbox.has_room());
        inbox.take_permits(1);
        assert!(!inbox.has_room());
        inbox.give_permits(INBOX_BYTES_MAX / 2 - 1);
        assert!(mail.try_recv().is_err(), "a little room is not worth a wake");
        inbox.give_permits(2);
        assert!(matches!(mail.try_recv(), Ok(ConnectionMail::Room)));
        inbox.give_permits(1);
        assert!(mail.try_recv().is_err(), "told once");
    }
}
