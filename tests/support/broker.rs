//! A whole broker in memory: real connection machines over the real vhost, a log that is a counter, no sockets, no tasks.
//! Every step is run to its end before the next, so a conversation always looks the same.

use super::machine::{CAPABLE, HEADER, accounts, start_ok, take_outbound};
use super::wire;
use ledgermq::auth::{Accounts, Tally};
use ledgermq::budget::Budget;
use ledgermq::connection::{Connection, ConnectionConfig, ConnectionEffects, Peer, Request};
use ledgermq::limits::CONSUMER_TIMEOUT_MS;
use ledgermq::message::Message;
use ledgermq::protocol::reply::{ConnectionCode, ConnectionError};
use ledgermq::vhost::command::ConnectionId;
use ledgermq::vhost::events::EventTap;
use ledgermq::vhost::input::{Effect, Effects, Input, LogProgress};
use ledgermq::vhost::log::{Log, LogRefused, LoggedPublish, LoggedSettle, Stored};
use ledgermq::vhost::{DeliverMode, Now, Vhost, VhostConfig};
use ledgermq_storage::{DefinitionKey, GroupId, Lsn, QueueId, SegmentId, Seq, SettleReason};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The broker, with its clients by name.
pub struct Broker {
    vhost: Vhost,
    log: MemoryLog,
    pub accounts: Arc<Accounts>,
    clients: BTreeMap<String, Client>,
    user_channels: BTreeMap<String, Tally>,
    connections: u64,
    /// While set, nothing becomes durable.
    pub disk_stopped: bool,
    alarm: Option<String>,
    now: Now,
}

struct Client {
    id: ConnectionId,
    machine: Connection,
    effects: ConnectionEffects,
    unread: Vec<u8>,
    written: Vec<u8>,
    socket_closed: bool,
    /// The client reads nothing any more: what it is told stays in the effects.
    deaf: bool,
}

impl Default for Broker {
    fn default() -> Self {
        let config = VhostConfig {
            name: "/".into(),
            deliver: DeliverMode::AfterDurable,
            consumer_timeout_ms: CONSUMER_TIMEOUT_MS,
            budget: Budget::new(usize::MAX / 2),
            names_seed: [7; 32],
            events: EventTap::default(),
        };
        Self {
            vhost: Vhost::new(config),
            log: MemoryLog::default(),
            accounts: Arc::new(accounts()),
            clients: BTreeMap::new(),
            connections: 0,
            user_channels: BTreeMap::new(),
            disk_stopped: false,
            alarm: None,
            now: Now::default(),
        }
    }
}

impl Broker {
    /// Accepts a client that says nothing yet.
    pub fn accept(&mut self, name: &str) {
        self.connections += 1;
        let id = ConnectionId(self.connections);
        let peer =
            Peer { remote: "127.0.0.1:50000".parse().unwrap(), local: "127.0.0.1:5672".parse().unwrap() };
        let config =
            ConnectionConfig { product: "LedgerMQ".into(), version: "0".into(), ..Default::default() };
        let mut machine = Connection::new(id, Arc::new(config), Arc::clone(&self.accounts), peer, id.0, 0);
        let mut effects = ConnectionEffects::default();
        machine.alarm(self.alarm.as_deref(), 0, &mut effects);
        let client = Client {
            id,
            machine,
            effects,
            unread: Vec::new(),
            written: Vec::new(),
            socket_closed: false,
            deaf: false,
        };
        self.clients.insert(name.to_owned(), client);
    }

    /// Accepts a client and takes it through the handshake.
    pub fn connect(&mut self, name: &str, user: &str, client_properties: Option<&str>) {
        self.accept(name);
        let mut bytes = HEADER.to_vec();
        bytes.extend(wire::encode(0, &start_ok(client_properties.unwrap_or(CAPABLE), user)));
        bytes.extend(wire::encode(0, "connection.tune-ok channel-max=2047 frame-max=131072"));
        bytes.extend(wire::encode(0, "connection.open virtual-host=/"));
        self.send_bytes(name, &bytes);
        let said = self.heard(name);
        assert!(said.last().is_some_and(|(_, line)| line == "connection.open-ok"), "{name}: {said:?}");
    }

    /// A client's bytes arrive.
    pub fn send_bytes(&mut self, name: &str, bytes: &[u8]) {
        let client = self.client(name);
        client.unread.extend_from_slice(bytes);
        self.settle();
    }

    /// A client sends a method.
    pub fn send(&mut self, name: &str, channel: u16, method: &str) {
        self.send_bytes(name, &wire::encode(channel, method));
    }

    /// What a client was told since it was last asked.
    pub fn heard(&mut self, name: &str) -> Vec<(u16, String)> {
        wire::decode_all(&mut self.client(name).written)
    }

    /// A client's socket breaks.
    pub fn break_socket(&mut self, name: &str) {
        let client = self.client(name);
        client.socket_closed = true;
        client.machine.socket_closed(&mut client.effects);
        self.settle();
    }

    /// A client reads nothing any more.
    pub fn stop_reading(&mut self, name: &str) {
        self.client(name).deaf = true;
    }

    /// What waits for a client that does not read.
    pub fn waiting_bytes(&mut self, name: &str) -> usize {
        self.client(name).effects.outbound.len()
    }

    /// Whether the broker has closed a client's socket.
    pub fn has_closed(&mut self, name: &str) -> bool {
        self.client(name).socket_closed
    }

    /// A resource alarm goes on or off.
    pub fn set_alarm(&mut self, alarm: Option<&str>) {
        self.alarm = alarm.map(str::to_owned);
        for client in self.clients.values_mut() {
            client.machine.alarm(alarm, 0, &mut client.effects);
        }
        self.settle();
    }

    /// Users or permissions change.
    pub fn change_accounts(&mut self, change: impl FnOnce(&mut Accounts)) {
        change(Arc::make_mut(&mut self.accounts));
        for client in self.clients.values_mut() {
            client.machine.accounts_changed(Arc::clone(&self.accounts), 0, &mut client.effects);
        }
        self.settle();
    }

    /// Runs everything that can run.
    pub fn settle(&mut self) {
        loop {
            let mut busy = false;
            for name in self.clients.keys().cloned().collect::<Vec<_>>() {
                busy |= self.run_client(&name);
            }
            busy |= self.run_disk();
            if !busy {
                return;
            }
        }
    }

    fn client(&mut self, name: &str) -> &mut Client {
        self.clients.get_mut(name).unwrap_or_else(|| panic!("no client {name:?}"))
    }

    fn run_client(&mut self, name: &str) -> bool {
        let accounts = Arc::clone(&self.accounts);
        // A field of its own, so that both can be borrowed.
        let client = self.clients.get_mut(name).unwrap_or_else(|| panic!("no client {name:?}"));
        let consumed = client.machine.receive(&client.unread, 0, &mut client.effects);
        client.unread.drain(..consumed);
        let (id, effects) = (client.id, &mut client.effects);
        let commands = std::mem::take(&mut effects.commands);
        let drained = if client.deaf { 0 } else { std::mem::take(&mut effects.drained_bytes) };
        effects.command_bytes = 0;
        let requests = std::mem::take(&mut effects.requests);
        let wrote = !client.deaf && !effects.outbound.is_empty();
        if wrote {
            take_outbound(effects, &mut client.written);
        }
        let busy = consumed > 0 || !commands.is_empty() || !requests.is_empty() || wrote || drained > 0;
        let mut inputs = Vec::new();
        if !commands.is_empty() {
            inputs.push(Input::Commands(commands));
        }
        if drained > 0 {
            inputs.push(Input::Drained(id, drained));
        }
        for request in requests {
            match request {
                Request::Authenticate(login) => {
                    let result = accounts.login(&login.user, login.password.as_bytes(), true);
                    let result = result.map(|()| login.user.as_str().into());
                    let result = result.map_err(|refused| refused.reason(&login.user));
                    client.machine.authenticated(result, 0, &mut client.effects);
                }
                Request::OpenVhost { vhost, user } => {
                    let result = open_vhost(&vhost, &user, &accounts);
                    let channels = self.user_channels.entry(user.to_string()).or_default();
                    client.machine.count_channels_in(channels.clone());
                    if result.is_ok() {
                        inputs.push(Input::Attach(id));
                    }
                    client.machine.vhost_opened(result, 0, &mut client.effects);
                }
                Request::Detach => inputs.push(Input::Detach(id)),
                Request::CloseSocket => client.socket_closed = true,
                Request::Log(_) => {}
            }
        }
        for input in inputs {
            self.apply(input);
        }
        busy
    }

    /// Time passes.
    pub fn pass(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += ms;
        while self.vhost.next_deadline().is_some_and(|at_ms| at_ms <= self.now.monotonic_ms) {
            self.apply(Input::Tick);
            self.settle();
        }
    }

    fn run_disk(&mut self) -> bool {
        if self.disk_stopped || self.log.durable == self.log.next {
            return false;
        }
        self.log.durable = self.log.next;
        let durable = Lsn(self.log.next);
        self.apply(Input::Progress(LogProgress { durable, written: durable, sealed_below: SegmentId(0) }));
        true
    }

    fn apply(&mut self, input: Input) {
        let mut effects = Effects::default();
        self.vhost.apply(input, self.now, &mut self.log, &mut effects);
        for client in self.clients.values_mut() {
            let mine = effects.notices.extract_if(.., |notice| notice.channel.connection == client.id);
            client.machine.notices(mine, 0, &mut client.effects);
        }
        assert!(effects.notices.is_empty(), "every notice has a receiver");
        let mut reads = Vec::new();
        for effect in effects.effects {
            match effect {
                Effect::Detached(id) => {
                    let client = self.clients.values_mut().find(|client| client.id == id);
                    let client = client.expect("who detaches was attached");
                    client.machine.detached(0, &mut client.effects);
                }
                Effect::Event(event) => self.apply(Input::Event(event)),
                // What was delivered once may be in the log only.
                Effect::ReadBodies { queue, wanted } => {
                    let bodies = wanted.into_iter().map(|(seq, lsn, _)| {
                        let found = self.log.messages.get(&(lsn, queue, seq)).map(Arc::clone);
                        (seq, found.ok_or_else(|| format!("no message {seq} of queue {queue} at {lsn}")))
                    });
                    reads.push(Input::Bodies { queue, bodies: bodies.collect() });
                }
                other => panic!("nothing is paged out: {other:?}"),
            }
        }
        for read in reads {
            self.apply(read);
        }
    }
}

fn open_vhost(vhost: &str, user: &str, accounts: &Accounts) -> Result<(), ConnectionError> {
    let refused = |text| Err(ConnectionError::new(ConnectionCode::NotAllowed, text));
    if vhost != "/" {
        return refused(format!("vhost {vhost} not found"));
    }
    if !accounts.has_access(user, vhost) {
        return refused(format!("access to vhost '{vhost}' refused for user '{user}'"));
    }
    Ok(())
}

/// A log that counts.
#[derive(Default)]
struct MemoryLog {
    next: u64,
    durable: u64,
    queues: u32,
    messages: BTreeMap<(Lsn, QueueId, Seq), Arc<Message>>,
}

impl MemoryLog {
    fn append(&mut self) -> Lsn {
        // The first record must lie above `Lsn::NONE`; a record is durable once its LSN is below the durable one.
        let lsn = Lsn(self.next.max(1));
        self.next = lsn.0 + 1;
        lsn
    }

    fn store(&mut self, publish: &LoggedPublish<'_>) -> Stored {
        let lsn = self.append();
        let message = Arc::new(publish.message.clone());
        for slot in publish.slots {
            self.messages.insert((lsn, slot.queue, slot.seq), Arc::clone(&message));
        }
        Stored { lsn, record_bytes: 64 }
    }
}

impl Log for MemoryLog {
    fn publish(&mut self, publish: LoggedPublish<'_>) -> Result<Stored, LogRefused> {
        Ok(self.store(&publish))
    }

    fn settle(&mut self, _: LoggedSettle) -> Lsn {
        self.append()
    }

    fn settle_range(&mut self, _: QueueId, _: (Seq, Seq), _: SettleReason) -> Lsn {
        self.append()
    }

    fn transaction(
        &mut self,
        publishes: &[LoggedPublish<'_>],
        _: &[LoggedSettle],
    ) -> Result<(Lsn, Vec<Stored>), LogRefused> {
        let stored = publishes.iter().map(|publish| self.store(publish)).collect();
        Ok((self.append(), stored))
    }

    fn define(&mut self, _: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.append()
    }

    fn purge(&mut self, _: QueueId, _: Seq, _: &[Seq]) -> Lsn {
        self.append()
    }

    fn drop_queue(&mut self, _: QueueId, _: &[(DefinitionKey, Option<Vec<u8>>)]) -> Lsn {
        self.append()
    }

    fn delivered(&mut self, _: QueueId, _: Seq, _: Seq, _: u32) {
        self.append();
    }

    fn next_queue_id(&mut self) -> QueueId {
        self.queues += 1;
        QueueId(self.queues)
    }

    fn flush(&mut self) {}

    fn group(&self) -> GroupId {
        GroupId(1)
    }
}
