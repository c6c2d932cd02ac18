//! What the driver feeds a vhost and what the vhost asks of its driver.
//! Pure data: no tokio, no clock. The driver passes `now` along.

use super::command::{Addressed, ConnectionId, Envelope};
use super::events::Event;
use super::views::{Look, Seen};
use super::{BindingObject, Named, PolicyLayer, VhostSettings};
use crate::definitions::{DestinationKind, PolicyDefinition};
use crate::message::Message;
use crate::protocol::table::Table;
use crate::queue::{Entry, StreamAnswer, StreamRead};
use ledgermq_storage::{Lsn, QueueId, Run, SegmentId, Seq, StoredEntry};
use std::sync::Arc;

/// What happens to a vhost.
#[derive(Debug)]
pub enum Input {
    /// A connection opened this vhost.
    Attach(ConnectionId),
    /// Who a connection is, for those who observe it. Optional; after [`Input::Attach`].
    Identify(ConnectionId, Identity),
    /// A connection is gone or closing: all its channels close, its exclusive queues go. Answered by
    /// [`Effect::Detached`] once everything it published is durable.
    Detach(ConnectionId),
    /// Commands of one connection, in order.
    Commands(Vec<Envelope>),
    /// A connection wrote this many bytes of deliveries to its socket (as counted by
    /// [`Message::resident_bytes`]); the vhost delivers to it only while less than its outbox budget is on the way.
    Drained(ConnectionId, usize),
    /// The log moved.
    Progress(LogProgress),
    /// Answer to [`Effect::ReadBodies`]: the same order and number as asked.
    Bodies {
        /// Queue that asked.
        queue: QueueId,
        /// For each message, what was read; an error is a damaged or vanished record.
        bodies: Vec<(Seq, Result<Arc<Message>, String>)>,
    },
    /// Answer to [`Effect::ReadEntries`].
    Entries {
        /// Queue that asked.
        queue: QueueId,
        /// The run asked for.
        run: Run,
        /// Its entries, all of them, ascending by seq (also those settled before; the queue filters).
        entries: Result<Vec<StoredEntry>, String>,
    },
    /// Something happened here or in another vhost: for the event exchange, if it is here.
    Event(Event),
    /// Answer to [`Effect::ReadStream`], but for a window of messages: that is answered by [`Input::Bodies`], with what
    /// there was, from the first message asked for on.
    StreamRead {
        /// Stream that asked.
        queue: QueueId,
        /// What was found.
        answer: StreamAnswer,
    },
    /// An operator's question or order.
    Admin(AdminId, Operator, AdminCommand),
    /// Time passed: see [`crate::vhost::Vhost::next_deadline`].
    Tick,
    /// The broker is about to stop cleanly: note what the next start must know (delivered messages). Nothing follows.
    Shutdown,
}

/// How far the log got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogProgress {
    /// Records below survive a power cut.
    pub durable: Lsn,
    /// Records below survive the death of the process. `>= durable`.
    pub written: Lsn,
    /// Segments below are sealed and have their index on disk: their entries may leave memory.
    pub sealed_below: SegmentId,
}

/// Who a connection is, as operators and observers know it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// `127.0.0.1:40000 -> 127.0.0.1:5672`
    pub name: Arc<str>,
    /// Its login.
    pub user: Arc<str>,
    /// What else there is to say of it, under the names of RabbitMQ's event `connection.created`.
    pub about: Table,
}

impl Default for Identity {
    /// A connection that nobody described.
    fn default() -> Self {
        Self { name: "".into(), user: "".into(), about: Table::default() }
    }
}

/// Who gives an operator's order, as observers are told of what comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Login; RabbitMQ's word for who has none, because the order came by the command line.
    pub user: Arc<str>,
    /// `127.0.0.1:40000 -> 127.0.0.1:15672`, if the order came by a network.
    pub connection: Option<Arc<str>>,
}

impl Default for Operator {
    /// The command line of this machine.
    fn default() -> Self {
        Self { user: "rmq-cli".into(), connection: None }
    }
}

/// Ties an answer to an operator's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AdminId(pub u64);

/// What an operator may ask of a vhost.
#[derive(Debug)]
pub enum AdminCommand {
    /// The bindings between two things: answered by [`AdminReply::Bindings`].
    BindingsBetween {
        /// Name of the source exchange.
        source: Arc<str>,
        /// What kind of thing receives.
        kind: DestinationKind,
        /// Its name.
        destination: Arc<str>,
    },
    /// Whether there is such a thing: answered by [`AdminReply::Holds`].
    Holds(Named),
    /// A part of it: answered by [`AdminReply::Seen`].
    Look(Look),
    /// Turns the firehose on or off: see [`super::Vhost`]. Answered by [`AdminReply::Done`].
    Trace(bool),
    /// Removes ready messages.
    PurgeQueue(Arc<str>),
    /// Removes a queue.
    DeleteQueue {
        /// Which.
        name: Arc<str>,
        /// Refuse while it has consumers.
        if_unused: bool,
        /// Refuse while it holds messages.
        if_empty: bool,
    },
    /// The first messages that wait, at most [`crate::limits::PEEK_MESSAGES_MAX`], left as they are: answered by
    /// [`AdminReply::Peeked`].
    Peek {
        /// Queue.
        queue: Arc<str>,
        /// How many.
        count: usize,
    },
    /// Moves the first messages that wait to the end of another queue, as many as one order may: answered by
    /// [`AdminReply::Removed`] once that is durable. None are left once that is 0.
    Move {
        /// Queue they leave.
        from: Arc<str>,
        /// Queue they enter.
        to: Arc<str>,
        /// How many at most.
        count: u64,
    },
    /// Sets a policy: answered by [`AdminReply::Done`] once it is durable, and in force.
    SetPolicy(PolicyLayer, PolicyDefinition),
    /// Removes the policy of this name, as above.
    ClearPolicy(PolicyLayer, Arc<str>),
    /// Takes over settings that are kept elsewhere.
    Configure(VhostSettings),
}

/// What a vhost answers an operator.
#[derive(Debug)]
pub enum AdminReply {
    /// Bindings.
    Bindings(Vec<BindingObject>),
    /// Whether it is there.
    Holds(bool),
    /// A view of a part of it.
    Seen(Box<Seen>),
    /// Messages removed.
    Removed(u64),
    /// The first messages of this queue, in order; those that are not in memory are in the log.
    Peeked(QueueId, Vec<Entry>),
    /// It is done.
    Done,
    /// It did not work; a sentence for a person.
    Refused(String),
}

/// Work for the driver, done outside the core.
#[derive(Debug)]
pub enum Effect {
    /// Read message bodies back: at most a window, ascending.
    ReadBodies {
        /// Queue that asks.
        queue: QueueId,
        /// Position in the queue, position in the log, record length in bytes.
        wanted: Vec<(Seq, Lsn, u32)>,
    },
    /// Read the entries of a run back.
    ReadEntries {
        /// Queue that asks.
        queue: QueueId,
        /// The run.
        run: Run,
    },
    /// Read what a stream asks for.
    ReadStream {
        /// Stream that asks.
        queue: QueueId,
        /// What.
        read: StreamRead,
    },
    /// The connection's detach is complete.
    Detached(ConnectionId),
    /// Something happened: bring it to the vhost that has the event exchange, as [`Input::Event`].
    Event(Event),
    /// Answer to an operator.
    Answer(AdminId, AdminReply),
    /// Messages whose record could not be read were set aside, never to be delivered: report it, once, to people.
    Damaged {
        /// Queue they were in.
        queue: Arc<str>,
        /// First position.
        first: Seq,
        /// Last position.
        last: Seq,
        /// Messages set aside.
        count: u64,
        /// What the store said.
        problem: String,
    },
}

/// What comes out of one or more inputs; the driver drains it after each batch of inputs.
#[derive(Debug, Default)]
pub struct Effects {
    /// Notices, in order per connection.
    pub notices: Vec<Addressed>,
    /// Everything else.
    pub effects: Vec<Effect>,
}
