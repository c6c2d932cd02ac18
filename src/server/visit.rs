//! A visit: what somebody without a connection has a deputy do in a vhost, from its coming to its going. The vhost sees
//! a connection with one channel, so everything is as a client would have it: order, rights, confirms, and what is not
//! settled goes back to its queue when the visit ends, however it ends.

use super::broker::Broker;
use super::mail::{ConnectionInbox, ConnectionMail, VhostInbox, VhostMail};
use super::on_behalf;
use crate::auth::Accounts;
use crate::channel::{Actor, Deputy, Publication, Refusal};
use crate::message::Message;
use crate::protocol::client_method::ClientMethod;
use crate::protocol::method_id::MethodId;
use crate::protocol::table::Table;
use crate::protocol::value::Value;
use crate::vhost::command::{Command, ConnectionId, Envelope, Notice, Outcome, Reply};
use crate::vhost::events::PROVIDED_NAME;
use crate::vhost::input::Identity;
use ledgermq_storage::{QueueId, Seq};
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use tokio::sync::{SemaphorePermit, mpsc::UnboundedReceiver};

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    id: ConnectionId,
    vhost: VhostInbox,
    /// The vhost alone holds it: when it is gone, `incoming` ends.
    inbox: Weak<ConnectionInbox>,
    incoming: UnboundedReceiver<ConnectionMail>,
    arrived: VecDeque<Notice>,
    deputy: Deputy,
    is_confirming: bool,
    _place: SemaphorePermit<'a>,
}

/// A message that was got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) message: Arc<Message>,
    pub(crate) redelivered: bool,
    /// Ready messages left in the queue.
    pub(crate) message_count: u32,
    /// For settling it.
    place: (QueueId, Seq),
}

impl<'a> Visit<'a> {
    /// Goes to a vhost as `user`, who may what `accounts` say; `None` if there is no such vhost. Waits while too many visits are under way.
    pub(crate) async fn begin(
        broker: &'a Broker,
        vhost: &str,
        user: &str,
        accounts: Arc<Accounts>,
    ) -> Option<Self> {
        // The semaphore is never closed.
        let place = broker.visits.acquire().await.ok()?;
        let inbox = broker.directory.vhost(vhost)?;
        let id = broker.connections.next_id();
        let (own, incoming) = ConnectionInbox::new(id);
        let actor = Actor { user: user.into(), vhost: vhost.into() };
        let about = Table::from_pairs(&[
            ("type", Value::text("direct")),
            ("protocol", Value::text("{'Direct',{0,9,1}}")),
            (PROVIDED_NAME, Value::text(NAME)),
        ]);
        let name = on_behalf::operator().connection.unwrap_or_else(|| NAME.into());
        let identity = Identity { name, user: Arc::clone(&actor.user), about };
        let deputy = Deputy::new(id, actor, accounts, broker.config.message_bytes_max, super::random_u64());
        let visit = Self {
            id,
            vhost: inbox,
            inbox: Arc::downgrade(&own),
            incoming,
            arrived: VecDeque::new(),
            deputy,
            is_confirming: false,
            _place: place,
        };
        visit.vhost.send(VhostMail::Attach(own, identity));
        visit.send(vec![visit.deputy.opening()]);
        Some(visit)
    }

    /// Asks what a client may ask, and waits for the answer.
    pub(crate) async fn ask(&mut self, method: ClientMethod<'_>) -> Result<Reply, Refusal> {
        let commands = self.deputy.commands(method)?;
        self.send(commands);
        self.reply().await
    }

    /// Orders many things at once, without asking for anybody's rights; returns once all are done, and durable.
    ///
    /// # Errors
    /// The first that did not work, by its place among `orders`. Those before it are done, those behind it are not.
    pub(crate) async fn order_all(&mut self, orders: Vec<Command>) -> Result<(), (usize, Refusal)> {
        let count = orders.len();
        let commands = orders.into_iter().map(|order| self.deputy.envelope(MethodId::default(), order));
        let commands = commands.collect();
        self.send(commands);
        for done in 0..count {
            self.reply().await.map_err(|refusal| (done, refusal))?;
        }
        Ok(())
    }

    /// Publishes a message; answers whether a queue took it, once it is safe: durable, if it is persistent.
    pub(crate) async fn publish(&mut self, publication: Publication<'_>) -> Result<bool, Refusal> {
        if !self.is_confirming {
            self.ask(ClientMethod::ConfirmSelect { nowait: false }).await?;
            self.is_confirming = true;
        }
        let commands = self.deputy.publish(publication)?;
        self.send(commands);
        let mut is_routed = true;
        loop {
            match self.notice().await? {
                Notice::Returned { .. } => is_routed = false,
                Notice::Confirmed(_) => return Ok(is_routed),
                Notice::Refused(_) => return Err(Refusal::Rejected),
                notice => failed(notice)?,
            }
        }
    }

    /// Gets the next message of a queue; `None` if there is none.
    pub(crate) async fn get(&mut self, queue: &str, no_ack: bool) -> Result<Option<Got>, Refusal> {
        match self.ask(ClientMethod::BasicGet { queue, no_ack }).await? {
            Reply::GetOk { queue, seq, redelivered, message_count, message, .. } => {
                Ok(Some(Got { message, redelivered, message_count, place: (queue, seq) }))
            }
            _ => Ok(None),
        }
    }

    /// Settles what was got.
    pub(crate) fn settle(&mut self, got: &[Got], outcome: Outcome) {
        if got.is_empty() {
            return;
        }
        let deliveries = got.iter().map(|got| got.place).collect();
        let settle = Command::Settle { outcome, deliveries };
        self.send(vec![self.deputy.envelope(BASIC_NACK, settle)]);
    }

    /// Ends it; returns once what was published and settled will outlive the process.
    pub(crate) async fn end(mut self) {
        self.send(vec![self.deputy.closing()]);
        while let Ok(notice) = self.notice().await {
            if matches!(notice, Notice::Reply(Reply::ChannelClosed)) {
                break;
            }
        }
    }

    fn send(&self, commands: Vec<Envelope>) {
        if !commands.is_empty() {
            self.vhost.send(VhostMail::Commands { connection: self.id, commands, permits: 0 });
        }
    }

    async fn reply(&mut self) -> Result<Reply, Refusal> {
        loop {
            match self.notice().await? {
                Notice::Reply(Reply::ChannelOpened) => {}
                Notice::Reply(reply) => return Ok(reply),
                notice => failed(notice)?,
            }
        }
    }

    async fn notice(&mut self) -> Result<Notice, Refusal> {
        loop {
            if let Some(notice) = self.arrived.pop_front() {
                return Ok(notice);
            }
            match self.incoming.recv().await {
                Some(ConnectionMail::Notices(notices)) => {
                    self.arrived.extend(notices.into_iter().map(|addressed| addressed.notice));
                }
                Some(ConnectionMail::Detached) | None => return Err(Refusal::Stopping),
                // Only connections that are registered hear the rest.
                Some(_) => {}
            }
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        // Unless the vhost is gone, it still has to let go of what is unsettled.
        if self.inbox.strong_count() > 0 {
            self.vhost.send(VhostMail::Detach(self.id));
        }
    }
}

/// How observers see the connection of a visit, where nothing else is known of it.
const NAME: &str = "management";
/// basic.nack
const BASIC_NACK: MethodId = MethodId::new(60, 120);

/// What a notice that is no answer says about what was asked.
fn failed(notice: Notice) -> Result<(), Refusal> {
    match notice {
        Notice::ChannelFailed(error, _) => Err(Refusal::Channel(error)),
        Notice::ConnectionFailed(error, _) => Err(Refusal::Connection(error)),
        _ => Ok(()),
    }
}
